//! Window functions whose partitions have a constant key.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// The same plan, in which the inputs of window functions are also sorted by constant keys.
///
/// `PARTITION BY k` below `WHERE k = 3` needs no order by `k` in a single process, because the
/// planner knows that `k` is constant. The receiver of rows from other processes does not know it,
/// and refuses a window function whose input is not sorted by all of its keys.
pub(crate) fn sorted_by_constants(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let sorted = plan.transform_up(|node| {
        let inputs = node.children();
        // All window functions of an operator have the same partitions.
        let first = windows_of(node.as_ref()).and_then(<[_]>::first);
        let (Some(first), [input]) = (first, inputs.as_slice()) else { return Ok(Transformed::no(node)) };
        let properties = input.equivalence_properties();
        let constant = first.partition_by().iter().filter(|key| properties.is_expr_constant(key).is_some());
        let constant: Vec<_> = constant.cloned().map(PhysicalSortExpr::new_default).collect();
        if constant.is_empty() {
            return Ok(Transformed::no(node));
        }
        let sort = input.downcast_ref::<SortExec>();
        let order = sort.map(SortExec::expr).or_else(|| input.output_ordering());
        let order = constant.into_iter().chain(order.into_iter().flatten().cloned());
        let Some(order) = LexOrdering::new(order) else { return Ok(Transformed::no(node)) };
        let sorted = match sort {
            Some(sort) => SortExec::new(order, Arc::clone(sort.input()))
                .with_fetch(sort.fetch())
                .with_preserve_partitioning(sort.preserve_partitioning()),
            None => SortExec::new(order, Arc::clone(input)).with_preserve_partitioning(true),
        };
        let node = Arc::clone(&node);
        Ok(Transformed::yes(replace_children_if_necessary(node, vec![Arc::new(sorted)])?))
    });
    sorted.data()
}

/// The window functions of an operator; `None` for other operators.
pub(crate) fn windows_of(node: &dyn ExecutionPlan) -> Option<&[Arc<dyn WindowExpr>]> {
    let windows = node.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr);
    windows.or_else(|| node.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr))
}
