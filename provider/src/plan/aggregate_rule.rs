//! The optimizer rule that moves aggregations into scans.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use crate::aggregate::plan::over;
use crate::plan::aggregate_source::{AggregateSource, Planned};
use crate::plan::source::AtlasSource;
use crate::tables::options::AtlasOptions;

/// Lets scans of stores compute aggregations: partial ones, and also the final ones if every group
/// has all its rows in one dataset.
///
/// It looks for a partial aggregation directly above a scan, and for a final aggregation directly
/// above that. So it must run after filters were pushed into scans. It must run before distribution
/// is enforced, which puts other operators between the two.
#[derive(Debug, Default)]
pub struct AggregateInScan;

impl AggregateInScan {
    const NAME: &str = "AggregateInScan";

    /// Adds the rule at its position among those of a session, unless it is there already.
    pub fn add_to(rules: &mut Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>) {
        if !rules.iter().any(|rule| rule.name() == Self::NAME) {
            let before = rules.iter().position(|rule| rule.name() == "FilterPushdown");
            rules.insert(before.map_or(0, |before| before + 1), Arc::new(Self));
        }
    }
}

impl PhysicalOptimizerRule for AggregateInScan {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !AtlasOptions::of(config).aggregates {
            return Ok(plan);
        }
        let replaced = plan.transform_up(|node| {
            let scan = match node.downcast_ref::<AggregateExec>() {
                Some(partial) if *partial.mode() == AggregateMode::Partial => in_scan(partial)?,
                Some(last) => finished_in_scan(last)?,
                None => None,
            };
            Ok(scan.map_or_else(|| Transformed::no(node), Transformed::yes))
        });
        replaced.data()
    }

    fn name(&self) -> &str {
        Self::NAME
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan that computes a partial aggregation, if a scan can.
fn in_scan(partial: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((config, inputs)) = scan_below(partial.input())? else { return Ok(None) };
    let Some(source) = config.file_source().downcast_ref::<AtlasSource>() else { return Ok(None) };
    if config.limit.is_some() {
        return Ok(None);
    }
    let planned = Planned::new(partial, inputs)?;
    let Some(aggregation) = planned.aggregation(&source.table().layout)? else { return Ok(None) };
    let schema = partial.schema();
    if let Some(known) = aggregation.known(&config.statistics())? {
        let literals = known.into_iter().zip(schema.fields()).map(|(value, field)| {
            let alias = field.name().clone();
            ProjectionExpr { expr: Arc::new(Literal::new(value)), alias }
        });
        let row = Arc::new(PlaceholderRowExec::new(Arc::new(Schema::empty())));
        return Ok(Some(Arc::new(ProjectionExec::try_new(literals.collect::<Vec<_>>(), row)?)));
    }
    // Ranges that are all alike and take no time need not be shared. Fewer ranges give fewer
    // batches of states.
    let parts = &config.file_groups;
    let source = AggregateSource::new(source.clone(), planned, aggregation, schema);
    let parts = if source.is_of_statistics() { parts.iter().map(joined).collect() } else { parts.clone() };
    Ok(Some(scan_of(config, source, parts)))
}

/// The scan that computes a partial aggregation and the final one above it, if each group lies in
/// one range.
fn finished_in_scan(last: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let merges = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned)
        && last.limit_options().is_none();
    let scan = last.input().downcast_ref::<DataSourceExec>().filter(|_| merges);
    let scan = scan.and_then(|scan| scan.downcast_to_file_source::<AggregateSource>());
    let Some((config, source)) = scan else { return Ok(None) };
    let finished = source.finished(&config.file_groups, last.schema());
    Ok(finished.map(|(source, parts)| scan_of(config, source, parts)))
}

/// A copy of a scan with other ranges.
fn scan_of(like: &FileScanConfig, source: AggregateSource, parts: Vec<FileGroup>) -> Arc<dyn ExecutionPlan> {
    let statistics = Statistics::new_unknown(source.table_schema().table_schema());
    let config = FileScanConfigBuilder::new(like.object_store_url.clone(), Arc::new(source))
        .with_file_groups(parts)
        .with_statistics(statistics)
        .build();
    DataSourceExec::from_data_source(config)
}

/// The ranges of a partition, with consecutive ones merged.
fn joined(parts: &FileGroup) -> FileGroup {
    let mut joined: Vec<PartitionedFile> = Vec::new();
    for part in parts.iter() {
        let last = joined.last_mut().and_then(|last| last.range.as_mut());
        match (last, &part.range) {
            (Some(last), Some(next)) if last.end == next.start => last.end = next.end,
            _ => joined.push(part.clone()),
        }
    }
    FileGroup::new(joined)
}

/// The scan below projections, and the expressions over its table that produce the columns of
/// `plan`.
#[allow(clippy::type_complexity, reason = "a scan and its columns")]
fn scan_below(
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<Option<(&FileScanConfig, Vec<Arc<dyn PhysicalExpr>>)>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let Some((config, inputs)) = scan_below(projection.input())? else { return Ok(None) };
        let columns = projection.expr().iter().map(|column| over(Arc::clone(&column.expr), &inputs));
        return Ok(Some((config, columns.collect::<Result<_>>()?)));
    }
    let Some(config) = plan
        .downcast_ref::<DataSourceExec>()
        .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>())
    else {
        return Ok(None);
    };
    let columns: Vec<Arc<dyn PhysicalExpr>> = match config.file_source().projection() {
        Some(projection) => projection.expr_iter().collect(),
        None => {
            let schema = plan.schema();
            let column = |(i, field): (usize, &Arc<arrow::datatypes::Field>)| {
                Arc::new(Column::new(field.name(), i)) as Arc<dyn PhysicalExpr>
            };
            schema.fields().iter().enumerate().map(column).collect()
        }
    };
    Ok(Some((config, columns)))
}
