//! The states of one aggregate, for all groups.

use arrow::array::{ArrayRef, BooleanArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

/// DataFusion's accumulators, so that states are exactly what its final step expects.
pub struct States {
    accumulators: Accumulators,
    groups: usize,
}

enum Accumulators {
    /// The accumulator of the one group of an aggregation without keys.
    One(Box<dyn Accumulator>),
    Many(Box<dyn GroupsAccumulator>),
}

impl States {
    /// The states of `groups` groups, for a function with arguments of `types`. `one` for an
    /// aggregation without keys.
    pub fn new(
        function: &AggregateFunctionExpr,
        types: &[DataType],
        one: bool,
        groups: usize,
    ) -> Result<Self> {
        if one {
            return Ok(Self { accumulators: Accumulators::One(function.create_accumulator()?), groups });
        }
        let mut accumulators = function.create_groups_accumulator()?;
        if types.is_empty() {
            return Ok(Self { accumulators: Accumulators::Many(accumulators), groups });
        }
        // An accumulator treats a group as one with values, unless it has seen the group in a NULL
        // or a filter.
        let nothing: Vec<_> = types.iter().map(|data_type| new_null_array(data_type, groups)).collect();
        let none = BooleanArray::new(BooleanBuffer::new_unset(groups), None);
        let all: Vec<usize> = (0..groups).collect();
        accumulators.update_batch(&nothing, &all, Some(&none), groups)?;
        Ok(Self { accumulators: Accumulators::Many(accumulators), groups })
    }

    /// Adds rows: the aggregate's arguments, the group of each row, and which rows count.
    pub fn update(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        mask: Option<&BooleanArray>,
    ) -> Result<()> {
        match &mut self.accumulators {
            Accumulators::One(accumulator) => {
                let values = values.iter().map(|values| filtered(values, mask));
                accumulator.update_batch(&values.collect::<Result<Vec<_>>>()?)
            }
            Accumulators::Many(accumulators) => accumulators.update_batch(values, groups, mask, self.groups),
        }
    }

    /// Adds states, each to a group.
    pub fn merge(&mut self, states: &[ArrayRef], groups: &[usize]) -> Result<()> {
        match &mut self.accumulators {
            Accumulators::One(accumulator) => accumulator.merge_batch(states),
            Accumulators::Many(accumulators) => accumulators.merge_batch(states, groups, self.groups),
        }
    }

    /// The values of all groups.
    pub fn values(self) -> Result<ArrayRef> {
        match self.accumulators {
            Accumulators::One(mut accumulator) => accumulator.evaluate()?.to_array(),
            Accumulators::Many(mut accumulators) => accumulators.evaluate(EmitTo::All),
        }
    }

    /// The states of all groups.
    pub fn finish(self) -> Result<Vec<ArrayRef>> {
        match self.accumulators {
            Accumulators::One(mut accumulator) => {
                accumulator.state()?.iter().map(|state| state.to_array()).collect()
            }
            Accumulators::Many(mut accumulators) => accumulators.state(EmitTo::All),
        }
    }
}

/// The selected values.
fn filtered(values: &ArrayRef, mask: Option<&BooleanArray>) -> Result<ArrayRef> {
    Ok(match mask {
        Some(mask) => filter(values, mask)?,
        None => ArrayRef::clone(values),
    })
}
