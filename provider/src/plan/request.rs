//! The request to the scan of a table: what it reads, filters and emits.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;

use crate::scan::order::BestFirst;
use crate::tables::options::AtlasOptions;

/// What the scan of a table is to do. All expressions are over the table's columns.
#[derive(Clone)]
pub struct Request {
    pub projection: ProjectionExprs,
    /// Predicates that all rows of the scan satisfy.
    pub predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// The number of predicates, from the first on, that the table knew when it counted its rows.
    pub counted: usize,
    /// Inexact filters: DataFusion re-checks them above the scan; the scan uses them only to prune.
    pub inexact: Vec<Arc<dyn PhysicalExpr>>,
    /// Sound dynamic filters. The scan may drop rows that do not satisfy them, but need not.
    pub dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// The order of which an operator above wants the first rows.
    pub order: Option<BestFirst>,
    pub options: AtlasOptions,
    pub batch_size: usize,
}

impl Request {
    /// All filters and predicates.
    pub fn filters(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.predicates.iter().chain(&self.inexact).chain(&self.dynamic)
    }

    /// The columns that the projection refers to, as ascending positions in the table.
    pub fn shown_columns(&self) -> Vec<usize> {
        let columns = self.projection.expr_iter().flat_map(|expr| collect_columns(&expr));
        let columns: BTreeSet<usize> = columns.map(|column| column.index()).collect();
        columns.into_iter().collect()
    }
}

/// Calls `f` with each expression, until it says to stop.
pub fn apply<'a>(
    expressions: impl IntoIterator<Item = &'a Arc<dyn PhysicalExpr>>,
    f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
) -> Result<TreeNodeRecursion> {
    for expr in expressions {
        if f(expr)? == TreeNodeRecursion::Stop {
            return Ok(TreeNodeRecursion::Stop);
        }
    }
    Ok(TreeNodeRecursion::Continue)
}
