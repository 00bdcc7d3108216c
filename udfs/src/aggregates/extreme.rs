//! The first or last value in the order of another column.

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

use super::window::{Window, no_states};
use crate::documentation::About;

/// The SQL function that returns the value of the last time, or of the first.
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
        Ok(Box::new(Best { last: self.last, row: Row { value, time } }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let none = ScalarValue::try_from(args.return_field.data_type())?;
        Ok(Box::new(Sliding { last: self.last, none, rows: Window::default() }))
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

/// A value and its time; both are NULL if there is none.
#[derive(Clone, Debug)]
struct Row {
    value: ScalarValue,
    time: ScalarValue,
}

impl Row {
    /// The row of two that the function returns. For rows of equal time, the one with the least
    /// value.
    fn better<'a>(&'a self, other: &'a Self, last: bool) -> &'a Self {
        let by_time = self.time.partial_cmp(&other.time);
        let order = match by_time {
            _ if self.time.is_null() => return other,
            _ if other.time.is_null() => return self,
            Some(Ordering::Equal) => self.value.partial_cmp(&other.value),
            by_time if last => by_time.map(Ordering::reverse),
            by_time => by_time,
        };
        if order == Some(Ordering::Greater) { other } else { self }
    }
}

#[derive(Debug)]
struct Best {
    last: bool,
    row: Row,
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (values, times, present) = columns(values)?;
        let by_time = make_comparator(times, times, SortOptions::default())?;
        let by_value = make_comparator(values, values, SortOptions::default())?;
        let order = |a: &usize, b: &usize| {
            let times = by_time(*a, *b);
            if self.last { times.reverse() } else { times }.then_with(|| by_value(*a, *b))
        };
        if let Some(row) = rows(values, present.as_ref()).min_by(order) {
            let row = row_of(values, times, row)?;
            self.row = self.row.better(&row, self.last).clone();
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.row.value.clone(), self.row.time.clone()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.row.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.row.value.size() + self.row.time.size()
    }
}

/// The same for a sliding window.
#[derive(Debug)]
struct Sliding {
    last: bool,
    none: ScalarValue,
    rows: Window<Row>,
}

impl Sliding {
    fn merge(last: bool) -> impl Fn(&Row, &Row) -> Row {
        move |a, b| a.better(b, last).clone()
    }
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (values, times, present) = columns(values)?;
        for row in rows(values, present.as_ref()) {
            self.rows.push(row_of(values, times, row)?, Self::merge(self.last));
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (values, _, present) = columns(values)?;
        rows(values, present.as_ref()).for_each(|_| self.rows.pop(Self::merge(self.last)));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        no_states()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        no_states()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let row = self.rows.state(Self::merge(self.last));
        Ok(row.map_or_else(|| self.none.clone(), |row| row.value))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.none.size() + self.rows.capacity() * size_of::<Row>()
    }
}

/// Values, times, and which rows have both.
fn columns(columns: &[ArrayRef]) -> Result<(&ArrayRef, &ArrayRef, Option<NullBuffer>)> {
    let [values, times] = columns else { return exec_err!("a value and its time are needed") };
    let present = NullBuffer::union(super::present(values).as_ref(), super::present(times).as_ref());
    Ok((values, times, present))
}

fn rows<'a>(values: &ArrayRef, present: Option<&'a NullBuffer>) -> impl Iterator<Item = usize> + use<'a> {
    (0..values.len()).filter(move |&row| present.is_none_or(|present| present.is_valid(row)))
}

fn row_of(values: &ArrayRef, times: &ArrayRef, row: usize) -> Result<Row> {
    Ok(Row {
        value: ScalarValue::try_from_array(values, row)?,
        time: ScalarValue::try_from_array(times, row)?,
    })
}
