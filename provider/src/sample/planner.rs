//! `sample_at` in SQL: tables and queries as arguments.

use std::sync::Arc;

use datafusion::catalog::CatalogProviderList;
use datafusion::common::{Result, plan_datafusion_err, plan_err};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, TableFactor, Value,
};
use futures::FutureExt;

use super::SAMPLE_AT;
use super::table::Sampled;
use crate::plan::table::AtlasTable;

/// Plans `sample_at(table, points, method)`. DataFusion gives table functions expressions as
/// arguments, and an expression cannot be a query of several columns.
#[derive(Debug)]
pub struct SampleAt {
    catalogs: Arc<dyn CatalogProviderList>,
}

impl SampleAt {
    /// The planner of a session with these catalogs.
    pub fn new(catalogs: Arc<dyn CatalogProviderList>) -> Self {
        Self { catalogs }
    }

    /// The plan of a table, view or query that is given as an argument.
    fn relation(&self, argument: Expr, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let name = match argument {
            Expr::Subquery(subquery) => {
                return context.plan(TableFactor::Derived {
                    lateral: false,
                    subquery,
                    alias: None,
                    sample: None,
                });
            }
            Expr::Identifier(name) => vec![name],
            Expr::CompoundIdentifier(names) => names,
            Expr::Value(value) => match value.value {
                Value::SingleQuotedString(name) => {
                    name.split('.').map(|part| Ident::with_quote('"', part)).collect()
                }
                other => return plan_err!("{SAMPLE_AT} takes the name of a table, not {other}"),
            },
            other => return plan_err!("{SAMPLE_AT} takes the name of a table or a query, not {other}"),
        };
        let name = ObjectName(name.into_iter().map(ObjectNamePart::Identifier).collect());
        let reference = context.object_name_to_table_reference(name.clone())?;
        // The name may be one of a `WITH`.
        if let Ok(plan) = context.plan(named(name)) {
            return Ok(plan);
        }
        let catalog = &context.context_provider().options().catalog;
        let resolved = reference.clone().resolve(&catalog.default_catalog, &catalog.default_schema);
        let schema = self.catalogs.catalog(&resolved.catalog).and_then(|it| it.schema(&resolved.schema));
        let provider = match schema.map(|schema| schema.table(&resolved.table).now_or_never().transpose()) {
            Some(found) => found?.flatten(),
            None => None,
        };
        let provider = provider.ok_or_else(|| plan_datafusion_err!("table '{reference}' not found"))?;
        LogicalPlanBuilder::scan(reference, provider_as_source(provider), None)?.build()
    }
}

fn named(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

impl RelationPlanner for SampleAt {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { name, args: Some(arguments), alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if !name.to_string().eq_ignore_ascii_case(SAMPLE_AT) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let arguments = arguments.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        });
        let Some(Ok([grid, points, method])) =
            arguments.collect::<Option<Vec<_>>>().map(<[Expr; 3]>::try_from)
        else {
            return plan_err!(
                "{SAMPLE_AT} takes a table, points and a method: {SAMPLE_AT}(era, points, 'nearest')"
            );
        };
        let method = match method {
            Expr::Value(value) => match value.value {
                Value::SingleQuotedString(method) => method,
                other => return plan_err!("the method of {SAMPLE_AT} is a text, not {other}"),
            },
            other => return plan_err!("the method of {SAMPLE_AT} is a text, not {other}"),
        };
        let shown = grid.to_string();
        let grid = match self.relation(grid, context)? {
            LogicalPlan::TableScan(scan) => Some(source_as_provider(&scan.source)?),
            _ => None,
        };
        let Some(grid) = grid.as_ref().and_then(|provider| provider.downcast_ref::<AtlasTable>()) else {
            return plan_err!("{SAMPLE_AT} samples a table of a store, and {shown} is none");
        };
        let sampled = Sampled::new(grid.inner().clone(), self.relation(points, context)?, &method)?;
        let plan =
            LogicalPlanBuilder::scan(SAMPLE_AT, provider_as_source(Arc::new(sampled)), None)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}
