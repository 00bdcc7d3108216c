//! Filters that operators above a scan fill while a query runs: which of them a scan may believe.
//!
//! DataFusion offers a scan the filters of sorts with a limit, of hash joins and of aggregations,
//! all as [`DynamicFilterPhysicalExpr`] and without a word about who fills them. Those of
//! aggregations are unsound: `min(a)` beside `max(abs(a))` fills a filter for `min(a)` alone. So a
//! scan ignores what it was offered until [`SoundDynamicFilters`] has seen the finished plan.

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
/// A sort with a limit only excludes rows that come after those that it has; a hash join only rows
/// whose key is not on its other side. A filter that passes an operator with two columns of one
/// name may be about the other column, and is not used. The rule comes last, since filters are
/// offered to scans late. Without it, scans use no dynamic filter.
#[derive(Debug, Default)]
pub struct SoundDynamicFilters;

impl SoundDynamicFilters {
    const NAME: &str = "SoundDynamicFilters";

    /// Puts the rule behind those of a session, unless it is there.
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

/// Lets the scans below `plan` use their dynamic filters that are `sound`, or that sorts and hash
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

/// The source of a scan of a store with those of its dynamic filters that are sound; `None` where
/// it was offered none.
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

/// Whether a filter is one that sound operators fill, and that says what they mean.
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

/// Whether DataFusion can tell what the parts of a filter are in terms of the table's columns.
///
/// It replaces the expressions that a filter is about one by one, the inner ones first. Where one
/// is a part of another, as in `ORDER BY a + b, a`, it no longer finds the outer one, and columns
/// stay behind that are numbered as in another schema.
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
