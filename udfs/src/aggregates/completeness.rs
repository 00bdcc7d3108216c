//! `completeness`: the share of values that are not missing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility,
};

use super::not_distinct;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "completeness",
    topic: Topic::Statistics,
    gives: "The share of values that are not missing, from 0 to 1. NULL if there are no rows.",
    arguments: &[("x", "values of any type")],
    source: "counting",
    example: "SELECT completeness(x) FROM (VALUES (1), (NULL)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let signature = Signature::any(1, Volatility::Immutable);
    AggregateUDF::new_from_impl(Completeness(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Completeness(Signature, Box<Documentation>);

impl AggregateUDFImpl for Completeness {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_distinct(ABOUT.name, &args)?;
        Ok(Box::new(Counts::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name| {
            Arc::new(Field::new(format_state_name(args.name, name), DataType::Int64, true)) as FieldRef
        };
        Ok(vec![field("present"), field("all")])
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

#[derive(Debug, Default)]
struct Counts {
    present: i64,
    all: i64,
}

impl Counts {
    fn add(&mut self, values: &[ArrayRef], sign: i64) {
        for values in values {
            let missing = super::present(values).map_or(0, |present| present.null_count());
            let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
            self.present += sign * count(values.len() - missing);
            self.all += sign * count(values.len());
        }
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, 1);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let mut sums =
            states.iter().map(|state| state.as_primitive::<Int64Type>().iter().flatten().sum::<i64>());
        self.present += sums.next().unwrap_or(0);
        self.all += sums.next().unwrap_or(0);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.present.into(), self.all.into()])
    }

    #[allow(clippy::cast_precision_loss)]
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let share = (self.all > 0).then(|| self.present as f64 / self.all as f64);
        Ok(ScalarValue::Float64(share))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
