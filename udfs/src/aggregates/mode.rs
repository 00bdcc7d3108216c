//! `mode`: the most frequent value.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility,
};

use super::not_distinct;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "mode",
    topic: Topic::Statistics,
    gives: "The most frequent value; the least one if several are equally frequent.",
    arguments: &[("x", "values of any type")],
    source: "counting; SciPy's `mode`",
    example: "SELECT mode(x) FROM (VALUES (1), (2), (2)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let signature = Signature::any(1, Volatility::Immutable);
    AggregateUDF::new_from_impl(Mode(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mode(Signature, Box<Documentation>);

impl AggregateUDFImpl for Mode {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Null))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_distinct(ABOUT.name, &args)?;
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(Frequencies { data_type, counts: HashMap::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name, item: DataType| {
            let name = format_state_name(args.name, name);
            Arc::new(Field::new_list(name, Field::new_list_field(item, true), true)) as FieldRef
        };
        Ok(vec![list("values", args.return_type().clone()), list("counts", DataType::Int64)])
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

#[derive(Debug)]
struct Frequencies {
    data_type: DataType,
    counts: HashMap<ScalarValue, i64>,
}

impl Frequencies {
    fn add(&mut self, value: ScalarValue, count: i64) {
        let total = self.counts.entry(value.clone()).or_insert(0);
        *total += count;
        if *total == 0 {
            self.counts.remove(&value);
        }
    }

    fn add_each(&mut self, values: &[ArrayRef], count: i64) -> Result<()> {
        for values in values {
            let present = super::present(values);
            for row in 0..values.len() {
                if present.as_ref().is_none_or(|present| present.is_valid(row)) {
                    self.add(with_one_zero(ScalarValue::try_from_array(values, row)?), count);
                }
            }
        }
        Ok(())
    }
}

impl Accumulator for Frequencies {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add_each(values, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add_each(values, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, counts] = states else { return exec_err!("mode has two states") };
        let (values, counts) = (values.as_list::<i32>(), counts.as_list::<i32>());
        for state in 0..values.len() {
            let (values, counts) = (values.value(state), counts.value(state));
            let counts = counts.as_primitive::<Int64Type>();
            for row in 0..values.len() {
                self.add(ScalarValue::try_from_array(&values, row)?, counts.value(row));
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts): (Vec<ScalarValue>, Vec<ScalarValue>) =
            self.counts.iter().map(|(value, &count)| (value.clone(), ScalarValue::from(count))).unzip();
        let list =
            |values: &[ScalarValue], item| ScalarValue::List(ScalarValue::new_list_nullable(values, item));
        Ok(vec![list(&values, &self.data_type), list(&counts, &DataType::Int64)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let best = self.counts.iter().max_by(|(a, m), (b, n)| {
            // The least of equally frequent values; for values without an order, in the order of
            // their texts.
            let least = || b.partial_cmp(a).unwrap_or_else(|| b.to_string().cmp(&a.to_string()));
            m.cmp(n).then_with(least)
        });
        best.map_or_else(|| ScalarValue::try_from(&self.data_type), |(value, _)| Ok(value.clone()))
    }

    fn size(&self) -> usize {
        let values: usize = self.counts.keys().map(ScalarValue::size).sum();
        size_of_val(self) + values + self.counts.capacity() * size_of::<i64>()
    }
}

/// Replaces negative zero with zero, which equals it.
fn with_one_zero(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float64(Some(x)) => ScalarValue::Float64(Some(x + 0.0)),
        ScalarValue::Float32(Some(x)) => ScalarValue::Float32(Some(x + 0.0)),
        value => value,
    }
}
