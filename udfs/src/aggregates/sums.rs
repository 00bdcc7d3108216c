//! Aggregates of numbers whose state is a few numbers, which can be merged.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility,
};

use super::not_distinct;
use super::window::{Window, no_states};
use crate::documentation::About;

/// An aggregate of `N` numbers with states of `M` numbers, the first of which counts rows. The
/// state without rows is all zeros. Infinities and NaN in a state are ordinary values.
#[derive(Debug)]
pub struct Sums<const N: usize, const M: usize> {
    /// The state of one row.
    pub one: fn([f64; N]) -> [f64; M],
    /// Merges two states, both with rows.
    pub merge: fn(&[f64; M], &[f64; M]) -> [f64; M],
    /// The value of a state with rows; `None` if there is no value.
    pub value: fn(&[f64; M]) -> Option<f64>,
}

impl<const N: usize, const M: usize> Clone for Sums<N, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<const N: usize, const M: usize> Copy for Sums<N, M> {}

/// The SQL function with these states. Its arguments are numbers. With `last_is_time`, the last one
/// is a timestamp, as seconds.
pub fn aggregate<const N: usize, const M: usize>(
    about: &About,
    last_is_time: bool,
    sums: Sums<N, M>,
) -> AggregateUDF {
    let mut arguments = vec![DataType::Float64; N];
    if let (Some(last), true) = (arguments.last_mut(), last_is_time) {
        *last = DataType::Timestamp(TimeUnit::Nanosecond, None);
    }
    AggregateUDF::new_from_impl(Aggregate {
        name: about.name,
        signature: Signature::exact(arguments, Volatility::Immutable),
        documentation: about.documentation(),
        sums,
    })
}

#[derive(Debug)]
struct Aggregate<const N: usize, const M: usize> {
    name: &'static str,
    signature: Signature,
    documentation: Documentation,
    sums: Sums<N, M>,
}

impl<const N: usize, const M: usize> PartialEq for Aggregate<N, M> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<const N: usize, const M: usize> Eq for Aggregate<N, M> {}

impl<const N: usize, const M: usize> Hash for Aggregate<N, M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<const N: usize, const M: usize> AggregateUDFImpl for Aggregate<N, M> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_distinct(self.name, &args)?;
        Ok(Box::new(Accumulated { sums: self.sums, state: [0.0; M] }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_distinct(self.name, &args)?;
        Ok(Box::new(Sliding { sums: self.sums, rows: Window::default() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |i: usize| {
            let name = format_state_name(args.name, &i.to_string());
            Arc::new(Field::new(name, DataType::Float64, true))
        };
        Ok((0..M).map(field).collect())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[derive(Debug)]
struct Accumulated<const N: usize, const M: usize> {
    sums: Sums<N, M>,
    state: [f64; M],
}

impl<const N: usize, const M: usize> Accumulated<N, M> {
    fn add(&mut self, other: &[f64; M]) {
        match (rows(&self.state), rows(other)) {
            (_, 0.0) => {}
            (0.0, _) => self.state = *other,
            _ => self.state = (self.sums.merge)(&self.state, other),
        }
    }
}

fn rows(state: &[f64]) -> f64 {
    state.first().copied().unwrap_or(0.0)
}

impl<const N: usize, const M: usize> Accumulator for Accumulated<N, M> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let one = self.sums.one;
        for_rows(values, super::present, |row| self.add(&one(row)))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for_rows(states, |numbers| numbers.nulls().cloned(), |state| self.add(&state))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.state.iter().map(|&number| ScalarValue::Float64(Some(number))).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = if rows(&self.state) > 0.0 { (self.sums.value)(&self.state) } else { None };
        Ok(ScalarValue::Float64(value))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The same for a sliding window.
#[derive(Debug)]
struct Sliding<const N: usize, const M: usize> {
    sums: Sums<N, M>,
    rows: Window<[f64; M]>,
}

impl<const N: usize, const M: usize> Accumulator for Sliding<N, M> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Sums { one, merge, .. } = self.sums;
        for_rows(values, super::present, |row| self.rows.push(one(row), merge))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let merge = self.sums.merge;
        for_rows(values, super::present, |_: [f64; N]| self.rows.pop(merge))
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
        let state = self.rows.state(self.sums.merge);
        Ok(ScalarValue::Float64(state.and_then(|state| (self.sums.value)(&state))))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<[f64; M]>()
    }
}

/// Calls `of` with every row of columns in which nothing is missing: numbers, and timestamps as
/// seconds. An absent column is NaN.
pub fn for_rows<const K: usize>(
    columns: &[ArrayRef],
    present: fn(&ArrayRef) -> Option<NullBuffer>,
    mut of: impl FnMut([f64; K]),
) -> Result<()> {
    let mut nulls = None;
    let mut numbers: Vec<Float64Array> = Vec::with_capacity(K);
    for column in columns.iter().take(K) {
        let column = numbers_of(column)?;
        nulls = NullBuffer::union(nulls.as_ref(), present(&column).as_ref());
        numbers.push(column.as_primitive::<Float64Type>().clone());
    }
    let rows = numbers.first().map_or(0, Float64Array::len);
    for row in (0..rows).filter(|&row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))) {
        of(std::array::from_fn(|k| numbers.get(k).map_or(f64::NAN, |column| column.value(row))));
    }
    Ok(())
}

/// A column as numbers: timestamps as seconds since 1970.
fn numbers_of(column: &ArrayRef) -> Result<ArrayRef> {
    if !matches!(column.data_type(), DataType::Timestamp(..)) {
        return Ok(cast(column, &DataType::Float64)?);
    }
    let nanoseconds = cast(&cast(column, &DataType::Int64)?, &DataType::Float64)?;
    Ok(Arc::new(nanoseconds.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| x / 1e9)))
}
