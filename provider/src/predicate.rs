//! Predicates, sorted by how much of a dataset one must look at to decide them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Literal};
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee, collect_columns, reassign_expr_columns};

use crate::layout::{ColumnKind, DATASET};
use crate::literals::with_both_zeros;

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
    /// Whether rows for which it does not hold may be selected too.
    inexact: bool,
}

impl Predicate {
    /// A predicate over a table with `schema` and `kinds` of columns.
    pub fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, kinds: &[ColumnKind]) -> Result<Self> {
        let mut columns: Vec<_> = collect_columns(expr).into_iter().map(|column| column.index()).collect();
        columns.sort_unstable();
        let projected = Arc::new(schema.project(&columns)?);
        let own = with_both_zeros(reassign_expr_columns(Arc::clone(expr), &projected)?, &projected)?;
        let own = narrowed(own, &projected)?;
        let scope = scope(columns.iter().filter_map(|&column| kinds.get(column)));
        Ok(Self { columns, scope, expr: Arc::clone(expr), own, schema: projected, inexact: false })
    }

    /// The same predicate, where rows for which it does not hold may be selected too. Where it
    /// cannot be evaluated it selects all rows: nobody asked for those that it fails on.
    pub fn inexact(self) -> Self {
        Self { inexact: true, ..self }
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
        match self.try_evaluate(columns, rows) {
            Err(_) if self.inexact => Ok(BooleanArray::from(vec![true; rows])),
            selected => selected,
        }
    }

    fn try_evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanArray> {
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

/// Comparisons of columns of `f32`, cast to `f64`, with numbers, as comparisons in `f32`: they hold for the same values, and need no
/// cast. Every number in SQL is an `f64`, and most columns are `f32`.
fn narrowed(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let narrowed = expr.transform_up(|node| {
        let narrow = node.downcast_ref::<BinaryExpr>().and_then(|comparison| {
            let cast = comparison.left().downcast_ref::<CastExpr>()?;
            let is_single = cast.expr().data_type(schema).ok()? == DataType::Float32;
            let number = match comparison.right().downcast_ref::<Literal>()?.value() {
                ScalarValue::Float64(Some(number)) if is_single && *cast.cast_type() == DataType::Float64 => {
                    *number
                }
                _ => return None,
            };
            let (op, number) = in_single(*comparison.op(), number)?;
            let number = Literal::new(ScalarValue::Float32(Some(number)));
            Some(BinaryExpr::new(Arc::clone(cast.expr()), op, Arc::new(number)))
        });
        Ok(match narrow {
            Some(narrow) => Transformed::yes(Arc::new(narrow) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(node),
        })
    });
    narrowed.data()
}

/// A comparison of `f32` with a number as one with an `f32`.
#[allow(clippy::cast_possible_truncation, reason = "the nearest is what is wanted")]
fn in_single(op: Operator, number: f64) -> Option<(Operator, f32)> {
    let near = number as f32;
    if f64::from(near) == number {
        return matches!(
            op,
            Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq | Operator::Eq | Operator::NotEq
        )
        .then_some((op, near));
    }
    // Nothing is equal to a number between two others.
    match op {
        Operator::Gt | Operator::GtEq if f64::from(near) > number => Some((Operator::Gt, near.next_down())),
        Operator::Gt | Operator::GtEq if f64::from(near) < number => Some((Operator::Gt, near)),
        Operator::Lt | Operator::LtEq if f64::from(near) < number => Some((Operator::Lt, near.next_up())),
        Operator::Lt | Operator::LtEq if f64::from(near) > number => Some((Operator::Lt, near)),
        _ => None,
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

#[cfg(test)]
mod tests {
    use arrow::array::Float32Array;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    /// Numbers of all kinds, and those next to them.
    fn numbers() -> Vec<f64> {
        let singles = [0.0, 1.0, 0.1, 25.358_9, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NAN];
        let singles = singles.into_iter().map(f64::from).chain([1e300, 1e-320, 0.1, 16_777_217.0]);
        let both = singles.flat_map(|number| [number, -number]);
        both.flat_map(|number| [number, number.next_up(), number.next_down()]).collect()
    }

    #[test]
    fn comparisons_in_single_precision_hold_for_the_same_values() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float32, true)]));
        #[allow(clippy::cast_possible_truncation)]
        let values: Float32Array =
            numbers().into_iter().map(|number| Some(number as f32)).chain([None]).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(values)]).unwrap();
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("x", 0));
        let mut narrow = 0;
        for number in numbers() {
            for op in [
                Operator::Gt,
                Operator::GtEq,
                Operator::Lt,
                Operator::LtEq,
                Operator::Eq,
                Operator::NotEq,
                Operator::Plus,
            ] {
                let cast = Arc::new(CastExpr::new(Arc::clone(&column), DataType::Float64, None));
                let literal = Arc::new(Literal::new(ScalarValue::Float64(Some(number))));
                let wide: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(cast, op, literal));
                let own = narrowed(Arc::clone(&wide), &schema).unwrap();
                narrow += usize::from(!own.to_string().contains("CAST"));
                let evaluated = |expr: &Arc<dyn PhysicalExpr>| {
                    expr.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap()
                };
                assert_eq!(&evaluated(&own), &evaluated(&wide), "{wide}");
            }
        }
        assert!(narrow > numbers().len() * 4, "{narrow}");
    }
}
