//! `nsquared`: the stability of the layering of water.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use super::levels::Levels;
use crate::aggregates::gathered::numbers;
use crate::documentation::{About, Topic};
use crate::ocean::salinity;

const ABOUT: About = About {
    name: "nsquared",
    topic: Topic::Profiles,
    gives: "The square of the buoyancy frequency in 1/s² between a level and the next one above \
            it. It is a window function; each partition is a profile. Pressures order the levels, \
            whatever the order of the rows. Rows with the same pressure count as one level, with \
            their means. NULL at the first level, and if a value is missing. Without latitudes, \
            gravity is 9.7963 m/s².",
    arguments: &[
        ("sa", "Absolute Salinity in g/kg"),
        ("ct", "Conservative Temperature in degrees Celsius"),
        ("p", "sea pressure in dbar"),
        ("lat?", "latitude in degrees north"),
    ],
    source: "TEOS-10, `Nsquared` of the `gsw` toolboxes; expansion coefficients by the `gsw` crate",
    example: "SELECT max(n2) FROM (SELECT nsquared(sa, ct, p, 30) OVER () AS n2 \
              FROM (VALUES (34.7, 28.8, 10), (34.9, 25.0, 60)) AS profile(sa, ct, p))",
};

/// The function.
pub(super) fn udwf() -> WindowUDF {
    WindowUDF::new_from_impl(Nsquared(numbers(&[3, 4]), Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Nsquared(Signature, Box<Documentation>);

impl WindowUDFImpl for Nsquared {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Profile))
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), DataType::Float64, true)))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // The level above may be in any row.
        LimitEffect::Unknown
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

#[derive(Debug)]
struct Profile;

impl PartitionEvaluator for Profile {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let mut columns: Vec<Float64Array> = Vec::with_capacity(values.len());
        for column in values {
            columns.push(cast(column, &DataType::Float64)?.as_primitive().clone());
        }
        let measured: Vec<Option<(f64, [f64; 3])>> = (0..rows).map(|row| measured(&columns, row)).collect();
        let mut sorted: Vec<(f64, [f64; 3])> = measured.iter().copied().flatten().collect();
        sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let levels: Vec<(f64, [f64; 3])> = Levels::of(sorted.into_iter()).all().collect();
        let of_row = |&(p, _): &(f64, [f64; 3])| {
            let level = levels.partition_point(|(other, _)| *other < p);
            between(levels.get(level.checked_sub(1)?)?, levels.get(level)?)
        };
        let found = measured.iter().map(|row| row.as_ref().and_then(of_row));
        Ok(Arc::new(found.collect::<Float64Array>()))
    }
}

/// The pressure of a row, and its salinity, temperature and gravity; `None` if one is missing.
fn measured(columns: &[Float64Array], row: usize) -> Option<(f64, [f64; 3])> {
    let value = |column: &Float64Array| {
        column.is_valid(row).then(|| column.value(row)).filter(|value| !value.is_nan())
    };
    let ([sa, ct, p], lat) = columns.split_first_chunk()?;
    let (sa, ct, p) = (salinity(value(sa)?)?, value(ct)?, value(p)? + 0.0);
    let gravity = match lat.first() {
        Some(lat) => gsw::earth::gravity(value(lat)?, p).ok()?,
        // Griffies (2004)
        None => 9.7963,
    };
    Some((p, [sa, ct, gravity]))
}

fn between(above: &(f64, [f64; 3]), below: &(f64, [f64; 3])) -> Option<f64> {
    const PASCALS_PER_DBAR: f64 = 1e4;
    let mean = |a: f64, b: f64| 0.5 * (a + b);
    let (&(pa, [sa, ta, ga]), &(pb, [sb, tb, gb])) = (above, below);
    let middle = gsw::volume::specvol_alpha_beta(mean(sa, sb), mean(ta, tb), mean(pa, pb));
    let (volume, alpha, beta) = middle.ok()?;
    let gravity = mean(ga, gb);
    let lighter = beta * (sb - sa) - alpha * (tb - ta);
    Some(gravity * gravity / (volume * PASCALS_PER_DBAR * (pb - pa)) * lighter)
}
