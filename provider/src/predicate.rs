//! Predicates, sorted by how much of a dataset one must look at to decide them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee, collect_columns, reassign_expr_columns};

use crate::layout::{ColumnKind, DATASET};

/// What a predicate depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The dataset alone: its name and its attributes.
    Dataset,
    /// The dataset and the coordinate along one dimension of the table, by its position.
    Dimension(usize),
    /// Values, or several coordinates: rows.
    Rows,
}

/// What a predicate over some columns depends on.
pub fn scope<'a>(columns: impl IntoIterator<Item = &'a ColumnKind>) -> Scope {
    columns.into_iter().fold(Scope::Dataset, |scope, column| match (scope, column) {
        (scope, ColumnKind::Dataset | ColumnKind::Attribute(..)) => scope,
        (Scope::Dataset, ColumnKind::Dimension(dim)) => Scope::Dimension(*dim),
        (Scope::Dimension(a), ColumnKind::Dimension(b)) if a == *b => scope,
        _ => Scope::Rows,
    })
}

/// A predicate over the columns of a table, with those columns that it names.
#[derive(Clone, Debug)]
pub struct Predicate {
    /// The columns, as positions in the table, ascending.
    pub columns: Vec<usize>,
    /// What it depends on.
    pub scope: Scope,
    /// Over the table's columns.
    expr: Arc<dyn PhysicalExpr>,
    /// The same over a batch of just `columns`.
    own: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl Predicate {
    /// A predicate over a table with `schema` and `kinds` of columns.
    pub fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, kinds: &[ColumnKind]) -> Result<Self> {
        let mut columns: Vec<_> = collect_columns(expr).into_iter().map(|column| column.index()).collect();
        columns.sort_unstable();
        let projected = Arc::new(schema.project(&columns)?);
        let own = reassign_expr_columns(Arc::clone(expr), &projected)?;
        let scope = scope(columns.iter().filter_map(|&column| kinds.get(column)));
        Ok(Self { columns, scope, expr: Arc::clone(expr), own, schema: projected })
    }

    /// The predicate, over the table's columns.
    pub fn expr(&self) -> &Arc<dyn PhysicalExpr> {
        &self.expr
    }

    /// The names of which the dataset must have one for the predicate to hold; `None` where it may have any.
    pub fn names(&self) -> Option<Vec<String>> {
        let guarantees = LiteralGuarantee::analyze(&self.expr);
        let names = guarantees
            .into_iter()
            .find(|guarantee| guarantee.guarantee == Guarantee::In && guarantee.column.name() == DATASET)?;
        let text = |value: &ScalarValue| value.try_as_str().flatten().map(str::to_owned);
        names.literals.iter().map(text).collect()
    }

    /// Which of `rows` rows it selects; `columns` has the values of its columns. NULL selects nothing.
    pub fn evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanArray> {
        let batch = batch(&self.schema, columns, rows)?;
        let selected = self.own.evaluate(&batch)?.into_array(rows)?;
        if *selected.data_type() != DataType::Boolean {
            let found = selected.data_type();
            return Err(DataFusionError::Plan(format!(
                "the predicate {} is {found}, not Boolean",
                self.expr
            )));
        }
        let selected = selected.as_boolean();
        Ok(match selected.nulls() {
            None => selected.clone(),
            Some(known) => BooleanArray::new(selected.values() & known.inner(), None),
        })
    }
}

/// A batch that may have no columns.
pub fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The rows that all masks select; `None` where there is no mask, and so every row is selected.
pub fn all_of(masks: impl IntoIterator<Item = BooleanArray>) -> Option<BooleanArray> {
    masks.into_iter().reduce(|a, b| BooleanArray::new(a.values() & b.values(), None))
}
