//! Scalar subqueries of queries that workers run.

use std::sync::Arc;

use atlas_datafusion::AtlasOptions;
use datafusion::common::Result;
use datafusion::common::alias::AliasGenerator;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// Turns scalar subqueries into joins if the session has workers.
///
/// DataFusion can leave those that do not depend on the rows around them in the physical plan, as an
/// operator with results of its own. Each task of a stage would run it again. A subquery that may
/// have several rows stays there, because only that operator rejects them; the client then runs the
/// query. The rule takes the place of DataFusion's own, and does the same without workers.
#[derive(Debug, Default)]
pub(crate) struct ScalarSubqueries(ScalarSubqueryToJoin);

impl ScalarSubqueries {
    /// Replaces DataFusion's rule by this one.
    pub fn replace_in(optimizer: &mut Optimizer) {
        let own: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(Self::default());
        for rule in &mut optimizer.rules {
            if rule.name() == own.name() {
                *rule = Arc::clone(&own);
            }
        }
    }
}

impl OptimizerRule for ScalarSubqueries {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let options = config.options();
        if !has_joinable_subqueries(&plan)? || AtlasOptions::of(&options).workers.urls.is_empty() {
            return self.0.rewrite(plan, config);
        }
        let mut options = ConfigOptions::clone(&options);
        options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        self.0.rewrite(plan, &Changed { config, options: Arc::new(options) })
    }
}

/// True if a node has scalar subqueries, and each has at most one row or depends on the rows around
/// it.
fn has_joinable_subqueries(plan: &LogicalPlan) -> Result<bool> {
    let (mut any, mut all) = (false, true);
    plan.apply_expressions(|expr| {
        expr.apply(|part| {
            if let Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns, .. }) = part {
                any = true;
                all &= !outer_ref_columns.is_empty() || subquery.max_rows().is_some_and(|rows| rows <= 1);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(any && all)
}

/// A configuration with other options.
struct Changed<'a> {
    config: &'a dyn OptimizerConfig,
    options: Arc<ConfigOptions>,
}

impl OptimizerConfig for Changed<'_> {
    fn query_execution_start_time(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        self.config.query_execution_start_time()
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        self.config.alias_generator()
    }

    fn options(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.options)
    }

    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        self.config.function_registry()
    }
}
