//! `freezing_temperature`: where seawater freezes.

use datafusion::logical_expr::ScalarUDF;

use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "freezing_temperature",
    topic: Topic::Ocean,
    gives: "The in-situ temperature in degrees Celsius at which seawater without dissolved air \
            freezes. Accurate within 0.0006 degrees, for salinities up to 120 g/kg and pressures \
            up to 10,000 dbar.",
    arguments: &[("sa", "Absolute Salinity in g/kg"), ("p", "sea pressure in dbar")],
    source: "TEOS-10, the polynomial of McDougall et al. (2014)",
    example: "SELECT freezing_temperature(34.7, 0)",
};

/// Powers of the root of salinity in 100 g/kg, and of pressure in 10,000 dbar, with their
/// coefficients.
const TERMS: [(i32, i32, f64); 23] = [
    (0, 0, 0.002519),
    (2, 0, -5.946302841607319),
    (3, 0, 4.136051661346983),
    (4, 0, -11.15150523403847),
    (5, 0, 14.76878746184548),
    (6, 0, -10.88873263630961),
    (7, 0, 2.96101883964073),
    (0, 1, -7.433320943962606),
    (0, 2, -1.561578562479883),
    (0, 3, 0.04073774363480365),
    (2, 1, 0.01158414435887717),
    (3, 1, -0.4122639292422863),
    (2, 2, -0.112318691562826),
    (4, 1, 0.5715012685553502),
    (3, 2, 0.2021682115652684),
    (2, 3, 0.04140574258089767),
    (5, 1, -0.6034228641903586),
    (4, 2, -0.01205825928146808),
    (3, 3, -0.2812172968619369),
    (6, 1, 0.0187724447402375),
    (5, 2, -0.1204395563789007),
    (4, 3, 0.2349147739749606),
    (7, 1, 0.002748444541144219),
];

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[sa, p]| {
        if !(0.0..=120.0).contains(&sa) || !(0.0..=10_000.0).contains(&p) {
            return (sa + p).is_nan().then_some(f64::NAN);
        }
        let (x, z) = ((sa / 100.0).sqrt(), p / 10_000.0);
        Some(TERMS.iter().map(|&(i, j, coefficient)| coefficient * x.powi(i) * z.powi(j)).sum())
    })
}
