//! Runs the plan of a task on a worker.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion_distributed::BroadcastExec;
use futures::{FutureExt, StreamExt};
use tokio::runtime::Handle;

/// The plan of a task, so that a worker can run it: on the threads of `queries`, with errors instead
/// of panics, and so that it can be interrupted.
///
/// The engine runs the partitions of a task on the threads of its connections, and does not look at
/// how they end. If one panicked, its stream would just end, and the query would return the rows so
/// far as its result.
pub(crate) fn for_worker(plan: Arc<dyn ExecutionPlan>, queries: &Handle) -> Result<Arc<dyn ExecutionPlan>> {
    let interruptible = plan.transform_up(|node| {
        // A batch of rows can have millions of matches. An operator that aggregates these would not
        // let the task end before it has seen all.
        let is_join =
            node.is::<HashJoinExec>() || node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>();
        Ok(if is_join {
            Transformed::yes(StandIn::of(node, Run::Cooperatively))
        } else {
            Transformed::no(node)
        })
    });
    on_threads(interruptible.data()?, queries)
}

/// The engine recognizes some operators at the root by their types. There, the operators below them
/// are replaced.
fn on_threads(plan: Arc<dyn ExecutionPlan>, queries: &Handle) -> Result<Arc<dyn ExecutionPlan>> {
    let is_of_engine = plan.is::<BroadcastExec>() || plan.name() == "ChildrenIsolatorUnionExec";
    if is_of_engine || plan.is::<RepartitionExec>() {
        let inputs = plan.children().into_iter().map(|input| on_threads(Arc::clone(input), queries));
        let inputs = inputs.collect::<Result<_>>()?;
        return replace_children_if_necessary(plan, inputs);
    }
    Ok(StandIn::of(plan, Run::On(queries.clone())))
}

/// Runs an operator in another way, and stands for it in its plan: it has the operator's inputs and
/// metrics. The engine matches metrics with operators by their positions.
struct StandIn {
    plan: Arc<dyn ExecutionPlan>,
    run: Run,
}

#[derive(Clone)]
enum Run {
    /// On other threads, and with errors instead of panics.
    On(Handle),
    /// Lets other tasks run after some batches.
    Cooperatively,
}

impl StandIn {
    fn of(plan: Arc<dyn ExecutionPlan>, run: Run) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { plan, run })
    }
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl DisplayAs for StandIn {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt_as(t, f)
    }
}

impl ExecutionPlan for StandIn {
    fn name(&self) -> &str {
        self.plan.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.plan.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.plan.apply_expressions(f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = replace_children_if_necessary(Arc::clone(&self.plan), children)?;
        Ok(Self::of(plan, self.run.clone()))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.plan.metrics()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        match &self.run {
            Run::Cooperatively => Ok(make_cooperative(self.plan.execute(partition, context)?)),
            Run::On(threads) => Ok(execute_on(threads, Arc::clone(&self.plan), partition, context)),
        }
    }
}

fn execute_on(
    threads: &Handle,
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStreamBuilder::new(plan.schema(), 1);
    let tx = builder.tx();
    let rows = async move {
        let mut rows = plan.execute(partition, context)?;
        while let Some(batch) = rows.next().await {
            if tx.send(Ok(batch?)).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let rows = AssertUnwindSafe(rows).catch_unwind();
    builder.spawn_on(rows.map(|done| done.unwrap_or_else(|panic| Err(error(panic.as_ref())))), threads);
    builder.build()
}

fn error(panic: &(dyn Any + Send)) -> DataFusionError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    DataFusionError::External(format!("it panicked: {}", text.unwrap_or("without a message")).into())
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use datafusion::physical_plan::{Partitioning, collect};
    use datafusion::prelude::SessionContext;

    use super::*;

    /// A session with a function that panics at the value 3, and a table with that value at its end.
    fn session() -> SessionContext {
        let ctx = SessionContext::new();
        let strict = create_udf(
            "strict",
            vec![DataType::Int64],
            DataType::Int64,
            Volatility::Immutable,
            Arc::new(|arguments| {
                let values = ColumnarValue::values_to_arrays(arguments)?;
                let values = values[0].as_primitive::<Int64Type>();
                assert!(values.iter().flatten().all(|value| value != 3), "three is too many");
                Ok(ColumnarValue::Array(Arc::new(values.clone())))
            }),
        );
        ctx.register_udf(strict);
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let batch = |n| RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![n]))]);
        let batches = [1, 2, 3].map(|n| batch(n).unwrap()).to_vec();
        let table = datafusion::datasource::MemTable::try_new(schema, vec![batches]).unwrap();
        ctx.register_table("t", Arc::new(table)).unwrap();
        ctx
    }

    #[tokio::test]
    async fn panics_are_errors_and_not_the_end_of_the_rows() {
        let ctx = session();
        let plan = |sql: &'static str| {
            let ctx = ctx.clone();
            async move { ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap() }
        };
        let broken = plan("SELECT strict(n) FROM t").await;
        let hash = Partitioning::RoundRobinBatch(2);
        let roots: [Arc<dyn ExecutionPlan>; 3] = [
            Arc::clone(&broken),
            Arc::new(RepartitionExec::try_new(Arc::clone(&broken), hash).unwrap()),
            Arc::new(BroadcastExec::new(Arc::clone(&broken), 1)),
        ];
        for root in roots {
            let (name, metrics) = (root.name().to_owned(), count(&root));
            let caught = for_worker(root, &Handle::current()).unwrap();
            assert_eq!((caught.name(), count(&caught)), (name.as_str(), metrics));
            let error = collect(caught, ctx.task_ctx()).await.unwrap_err().to_string();
            assert!(error.contains("it panicked: three is too many"), "{name}: {error}");
        }
        let sound = for_worker(plan("SELECT n + 1 FROM t").await, &Handle::current()).unwrap();
        let rows: usize =
            collect(sound, ctx.task_ctx()).await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 3);
    }

    fn count(plan: &Arc<dyn ExecutionPlan>) -> usize {
        1 + plan.children().into_iter().map(count).sum::<usize>()
    }
}
