//! Aggregates of numbers that keep all rows.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, TypeSignature, Volatility,
};

use super::not_distinct;
use super::sums::for_rows;
use crate::documentation::About;

/// Computes an aggregate of up to `N` numbers from all its rows, of which there is at least one,
/// sorted. An argument that was left out is NaN in every row.
pub type Value<const N: usize> = fn(&[[f64; N]]) -> Result<ScalarValue>;

/// A signature for these numbers of arguments.
pub fn numbers(counts: &[usize]) -> Signature {
    let exact = |&count: &usize| TypeSignature::Exact(vec![DataType::Float64; count]);
    Signature::one_of(counts.iter().map(exact).collect(), Volatility::Immutable)
}

/// A signature for a number and its time.
pub fn number_and_time() -> Signature {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Signature::exact(vec![DataType::Float64, time], Volatility::Immutable)
}

/// The SQL function that computes `value`, of the type `returns`. `signature` describes its
/// arguments: numbers, and timestamps as seconds.
pub fn gathered<const N: usize>(
    about: &About,
    signature: Signature,
    returns: DataType,
    value: Value<N>,
) -> AggregateUDF {
    AggregateUDF::new_from_impl(Gathered {
        name: about.name,
        signature,
        documentation: about.documentation(),
        returns,
        value,
    })
}

#[derive(Debug)]
struct Gathered<const N: usize> {
    name: &'static str,
    signature: Signature,
    documentation: Documentation,
    returns: DataType,
    value: Value<N>,
}

impl<const N: usize> PartialEq for Gathered<N> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<const N: usize> Eq for Gathered<N> {}

impl<const N: usize> Hash for Gathered<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<const N: usize> AggregateUDFImpl for Gathered<N> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_distinct(self.name, &args)?;
        let none = ScalarValue::try_from(&self.returns)?;
        Ok(Box::new(Rows { none, value: self.value, rows: VecDeque::new() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "rows");
        Ok(vec![Arc::new(Field::new_list(name, Field::new_list_field(DataType::Float64, true), true))])
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The rows in which nothing is missing. In a window, rows leave in the order in which they came.
#[derive(Debug)]
struct Rows<const N: usize> {
    none: ScalarValue,
    value: Value<N>,
    rows: VecDeque<[f64; N]>,
}

impl<const N: usize> Accumulator for Rows<N> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // Zeros of both signs are one number.
        for_rows(values, super::present, |row: [f64; N]| self.rows.push_back(row.map(|x| x + 0.0)))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_rows(values, super::present, |_: [f64; N]| {
            self.rows.pop_front();
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states.iter().flat_map(|states| states.as_list::<i32>().iter().flatten()) {
            let (rows, _) = state.as_primitive::<Float64Type>().values().as_chunks::<N>();
            self.rows.extend(rows);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let numbers = self.rows.iter().flatten().map(|&number| Some(number));
        let list = ListArray::from_iter_primitive::<Float64Type, _, _>([Some(numbers)]);
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.rows.is_empty() {
            return Ok(self.none.clone());
        }
        // Sorted, so that partitions and the order of rows do not affect the rounding either.
        let mut rows: Vec<[f64; N]> = self.rows.iter().copied().collect();
        rows.sort_unstable_by(|a, b| {
            let numbers = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
            numbers.fold(Ordering::Equal, Ordering::then)
        });
        (self.value)(&rows)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.none.size() + self.rows.capacity() * size_of::<[f64; N]>()
    }
}
