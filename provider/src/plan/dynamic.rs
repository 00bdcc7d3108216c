//! Dynamic filters: which of the filters that operators fill during a query a scan may use.
//!
//! DataFusion offers a scan the filters of sorts with a limit, of hash joins and of aggregations.
//! All are [`DynamicFilterPhysicalExpr`], and do not tell which operator fills them. Filters of
//! aggregations are unsound: `min(a)` beside `max(abs(a))` fills a filter for `min(a)` alone. A
//! scan therefore ignores offered filters until [`SoundDynamicFilters`] has examined the finished
//! plan.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use crate::plan::aggregate_source::AggregateSource;
use crate::plan::source::AtlasSource;

/// Lets scans of stores use the dynamic filters of sorts and hash joins, and of no other operator.
///
/// A sort with a limit only excludes rows that come after those that it has. A hash join only
/// excludes rows whose key does not occur on its other side. A filter that passes an operator with
/// two columns of one name may refer to the wrong column, and is not used. The rule comes last,
/// because scans are offered filters late. Without it, scans use no dynamic filters.
#[derive(Debug, Default)]
pub struct SoundDynamicFilters;

impl SoundDynamicFilters {
    const NAME: &str = "SoundDynamicFilters";

    /// Adds the rule after those of a session, unless it is there already.
    pub fn add_to(rules: &mut Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>) {
        if !rules.iter().any(|rule| rule.name() == Self::NAME) {
            rules.push(Arc::new(Self));
        }
    }
}

impl PhysicalOptimizerRule for SoundDynamicFilters {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        vouch(plan, HashSet::new())
    }

    fn name(&self) -> &str {
        Self::NAME
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Lets the scans below `plan` use dynamic filters that are in `sound`, or that sorts and hash
/// joins below `plan` fill.
fn vouch(plan: Arc<dyn ExecutionPlan>, mut sound: HashSet<u64>) -> Result<Arc<dyn ExecutionPlan>> {
    // Each iteration gives the operators new filters, while scans keep those of the first.
    if plan.is::<RecursiveQueryExec>() {
        return Ok(plan);
    }
    // Filters pass operators by the names of columns, and take the first of two.
    if has_a_name_twice(&plan.schema()) {
        sound.clear();
    }
    if plan.is::<SortExec>() || plan.is::<HashJoinExec>() {
        sound.extend(plan.dynamic_expressions_produced().iter().filter_map(|filter| filter.expression_id()));
    }
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let config = scan.data_source().downcast_ref::<FileScanConfig>();
        let Some((config, source)) = config.and_then(|config| Some((config, vouched(config, &sound)?)))
        else {
            return Ok(plan);
        };
        let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
        return Ok(DataSourceExec::from_data_source(config));
    }
    let children = plan.children().into_iter().map(|child| vouch(Arc::clone(child), sound.clone()));
    replace_children_if_necessary(Arc::clone(&plan), children.collect::<Result<Vec<_>>>()?)
}

fn has_a_name_twice(schema: &Schema) -> bool {
    let mut names = HashSet::with_capacity(schema.fields().len());
    !schema.fields().iter().all(|field| names.insert(field.name()))
}

/// The source of a scan of a store that uses its sound dynamic filters; `None` if none were
/// offered.
fn vouched(config: &FileScanConfig, sound: &HashSet<u64>) -> Option<Arc<dyn FileSource>> {
    let source = config.file_source();
    if let Some(source) = source.downcast_ref::<AtlasSource>() {
        return source
            .vouched(|filter| is_sound(filter, sound))
            .map(|source| Arc::new(source) as Arc<dyn FileSource>);
    }
    let source = source.downcast_ref::<AggregateSource>()?.vouched(|filter| is_sound(filter, sound))?;
    Some(Arc::new(source))
}

/// True if sound operators fill a filter, and its expression is intact.
fn is_sound(filter: &Arc<dyn PhysicalExpr>, sound: &HashSet<u64>) -> bool {
    let mut all = true;
    let visited = filter.apply(|node| {
        if let Some(dynamic) = node.downcast_ref::<DynamicFilterPhysicalExpr>() {
            let known = dynamic.expression_id().is_some_and(|id| sound.contains(&id));
            all &= known && is_remapped_whole(dynamic);
        }
        Ok(if all { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    all && visited.is_ok()
}

/// True if DataFusion can translate the expressions of a filter to the table's columns.
///
/// It replaces these expressions one by one, inner ones first. If one is part of another, as in
/// `ORDER BY a + b, a`, it no longer finds the outer one, and leaves columns behind whose indices
/// belong to another schema.
fn is_remapped_whole(filter: &DynamicFilterPhysicalExpr) -> bool {
    let about = filter.children();
    about.iter().all(|outer| {
        let mut whole = true;
        let visited = outer.apply(|part| {
            let is_other = !Arc::ptr_eq(part, outer) && part != *outer;
            whole &= !(is_other && about.contains(&part));
            Ok(if whole { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        whole && visited.is_ok()
    })
}
