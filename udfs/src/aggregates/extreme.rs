//! The first or last value by another column.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef};

use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility,
};

use crate::documentation::About;

/// The SQL function that takes the value of the last time, or of the first.
pub fn by_time(about: &About, last: bool) -> AggregateUDF {
    AggregateUDF::new_from_impl(ByTime {
        name: about.name,
        last,
        signature: Signature::any(2, Volatility::Immutable),
        documentation: about.documentation(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ByTime {
    name: &'static str,
    last: bool,
    signature: Signature,
    documentation: Documentation,
}

impl AggregateUDFImpl for ByTime {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Null))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let value = ScalarValue::try_from(args.return_field.data_type())?;
        let time =
            args.expr_fields.get(1).map_or(Ok(ScalarValue::Null), |field| field.data_type().try_into())?;
        Ok(Box::new(Best { last: self.last, value, time }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let types = args.input_fields.iter().map(|field| field.data_type().clone());
        let fields = types.zip(["value", "time"]).map(|(data_type, name)| {
            Arc::new(Field::new(format_state_name(args.name, name), data_type, true)) as FieldRef
        });
        Ok(fields.collect())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[derive(Debug)]
struct Best {
    last: bool,
    value: ScalarValue,
    /// NULL as long as there is none.
    time: ScalarValue,
}

impl Best {
    /// Whether rows of one time and value come before those of another: of one time, the least value does.
    fn is_better(&self, value: &ScalarValue, time: &ScalarValue) -> bool {
        let by_time = if self.last { time.partial_cmp(&self.time) } else { self.time.partial_cmp(time) };
        match by_time {
            _ if self.time.is_null() => true,
            Some(Ordering::Equal) => value.partial_cmp(&self.value) == Some(Ordering::Less),
            order => order == Some(Ordering::Greater),
        }
    }
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, times] = values else { return exec_err!("a value and its time are needed") };
        let present = NullBuffer::union(super::present(values).as_ref(), super::present(times).as_ref());
        let by_time = make_comparator(times, times, SortOptions::default())?;
        let by_value = make_comparator(values, values, SortOptions::default())?;
        let rows =
            (0..values.len()).filter(|&row| present.as_ref().is_none_or(|present| present.is_valid(row)));
        let order = |a: &usize, b: &usize| {
            let times = by_time(*a, *b);
            if self.last { times.reverse() } else { times }.then_with(|| by_value(*a, *b))
        };
        if let Some(row) = rows.min_by(order) {
            let value = ScalarValue::try_from_array(values, row)?;
            let time = ScalarValue::try_from_array(times, row)?;
            if self.is_better(&value, &time) {
                (self.value, self.time) = (value, time);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), self.time.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() + self.time.size()
    }
}
