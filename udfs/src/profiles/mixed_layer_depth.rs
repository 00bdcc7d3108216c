//! `mixed_layer_depth`: the depth of the mixed layer.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::AggregateUDF;

use super::levels::Levels;
use crate::aggregates::gathered::{gathered, numbers};
use crate::documentation::{About, Topic};
use crate::ocean::{conservative_temperature, known, salinity};

const ABOUT: About = About {
    name: "mixed_layer_depth",
    topic: Topic::Profiles,
    gives: "The pressure in dbar, about the depth in metres, down to which a profile is mixed, for \
            each group. Without salinities, it is where the temperature first differs by 0.2 \
            degrees from that at 10 dbar. With salinities, it is where the potential density first \
            exceeds that at 10 dbar by 0.03 kg/m³. Values between levels are interpolated \
            linearly. Rows with the same pressure count as one, with their means. NULL if no level \
            is at 10 dbar or above, or if the profile ends before it reaches the threshold.",
    arguments: &[
        ("p", "sea pressure in dbar"),
        ("t", "in-situ temperature in degrees Celsius (ITS-90)"),
        ("s?", "Practical Salinity (PSS-78)"),
    ],
    source: "de Boyer Montégut et al. (2004); densities by TEOS-10 (`sigma0`)",
    example: "SELECT mixed_layer_depth(p, t) FROM (VALUES (5, 20.0), (20, 20.0), (40, 18.0)) AS profile(p, t)",
};

/// The reference pressure, at which the water is certainly mixed. Above it, the sun warms the water
/// by day.
const REFERENCE: f64 = 10.0;

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    gathered(&ABOUT, numbers(&[2, 3]), DataType::Float64, value)
}

fn value(rows: &[[f64; 3]]) -> Result<ScalarValue> {
    let by_temperature = rows.iter().all(|[_, _, s]| s.is_nan());
    let depth = if rows.iter().flatten().any(|number| number.is_infinite()) {
        Some(f64::NAN)
    } else if by_temperature {
        let levels = Levels::of(rows.iter().map(|&[p, t, _]| (p, [t])));
        crossing(&levels, f64::abs, 0.2)
    } else {
        let measured = Levels::of(rows.iter().map(|&[p, t, s]| (p, [t, s])));
        let density = measured.all().filter_map(|(p, [t, s])| Some((p, [sigma0(p, t, s)?])));
        crossing(&Levels::of(density), |denser| denser, 0.03)
    };
    Ok(ScalarValue::Float64(depth))
}

/// The level at which values first differ by a threshold from the value at the reference. `size`
/// measures the difference.
fn crossing(levels: &Levels<1>, size: fn(f64) -> f64, threshold: f64) -> Option<f64> {
    let [surface] = levels.at(REFERENCE)?;
    let (mut p, mut difference) = (REFERENCE, 0.0);
    for (next, [value]) in levels.below(REFERENCE) {
        let of_next = value - surface;
        if size(of_next) >= threshold {
            let wanted = threshold.copysign(of_next);
            return Some(p + (next - p) * (wanted - difference) / (of_next - difference));
        }
        (p, difference) = (next, of_next);
    }
    None
}

/// The potential density anomaly of a measurement; `None` if it has none.
fn sigma0(p: f64, t: f64, practical_salinity: f64) -> Option<f64> {
    let sa = gsw::conversions::sr_from_sp(salinity(practical_salinity)?);
    let ct = conservative_temperature(sa, t, p)?;
    known([sa, ct], || gsw::volume::sigma0(sa, ct))
}
