//! Predicates, each classified once by what it depends on and by how it is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_expr::utils::{
    Guarantee, LiteralGuarantee, collect_columns, conjunction, reassign_expr_columns,
};

use super::compare::Test;
use super::dynamic;
use super::frame::Frame;
use super::pruning::Pruning;
use super::zeros::with_both_zeros;
use crate::tables::columns::Table;
use crate::tables::layout::{ColumnKind, DATASET, Layout};
use crate::tables::level::Level;
use crate::tables::options::AtlasOptions;

/// The scope of a predicate: what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The dataset alone: its name and its attributes.
    Dataset,
    /// The dataset and the coordinate along one dimension of the table, by its position.
    Dimension(usize),
    /// Values, or several coordinates: rows.
    Rows,
}

/// The scope of a predicate over some columns.
pub fn scope<'a>(columns: impl IntoIterator<Item = &'a ColumnKind>) -> Scope {
    columns.into_iter().fold(Scope::Dataset, |scope, column| match (scope, column) {
        (scope, ColumnKind::Dataset | ColumnKind::Attribute(..)) => scope,
        (Scope::Dataset, ColumnKind::Dimension(dim)) => Scope::Dimension(*dim),
        (Scope::Dimension(a), ColumnKind::Dimension(b)) if a == *b => scope,
        _ => Scope::Rows,
    })
}

/// Expressions over some columns of a table.
#[derive(Clone, Debug)]
pub struct Expressions {
    /// The columns, as positions in the table, ascending.
    pub columns: Vec<usize>,
    /// Their common level.
    pub level: Level,
    /// The schema of a batch of `columns`.
    schema: SchemaRef,
    /// The expressions, over such a batch.
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Expressions {
    /// Expressions over the columns of a table.
    pub fn new(exprs: &[Arc<dyn PhysicalExpr>], layout: &Layout) -> Result<Self> {
        let columns: BTreeSet<usize> =
            exprs.iter().flat_map(collect_columns).map(|column| column.index()).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let schema = Arc::new(layout.schema.project(&columns)?);
        let exprs = exprs.iter().map(|expr| reassign_expr_columns(Arc::clone(expr), &schema));
        let exprs = exprs.collect::<Result<_>>()?;
        let level = layout.level_of(columns.iter().copied());
        Ok(Self { columns, level, schema, exprs })
    }

    /// The column that they are, where they are one as it is.
    pub fn column(&self) -> Option<usize> {
        match (self.exprs.as_slice(), self.columns.as_slice()) {
            ([expr], &[column]) if expr.is::<Column>() => Some(column),
            _ => None,
        }
    }

    /// Their types.
    pub fn types(&self) -> Result<Vec<DataType>> {
        self.exprs.iter().map(|expr| expr.data_type(&self.schema)).collect()
    }

    /// Their values in `rows` rows. `arrays` has the columns.
    pub fn evaluate(&self, arrays: Vec<ArrayRef>, rows: usize) -> Result<Vec<ArrayRef>> {
        let batch = batch(&self.schema, arrays, rows)?;
        self.exprs.iter().map(|expr| expr.evaluate(&batch)?.into_array(rows)).collect()
    }
}

/// A predicate over the columns of a table.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The expression, over the table's columns.
    expr: Arc<dyn PhysicalExpr>,
    own: Expressions,
    /// The same predicate as comparisons of numbers, if it consists of these only.
    test: Option<Test>,
    /// True if rows that do not satisfy it may be selected too.
    inexact: bool,
}

impl Filter {
    /// A predicate over a table.
    pub fn new(expr: &Arc<dyn PhysicalExpr>, table: &Table) -> Result<Self> {
        let layout = &table.layout;
        let mut own = Expressions::new(std::slice::from_ref(expr), layout)?;
        let (mut exprs, mut test) = (Vec::with_capacity(1), None);
        for expr in own.exprs {
            let expr = narrowed(with_both_zeros(expr, &own.schema)?, &own.schema)?;
            test = Test::new(&expr, &own.schema, table.nan_as_null);
            exprs.push(expr);
        }
        own.exprs = exprs;
        Ok(Self { expr: Arc::clone(expr), own, test, inexact: false })
    }

    /// The same predicate as an inexact one: rows that do not satisfy it may be selected too. It
    /// selects all rows if it cannot be evaluated, because it need not exclude any.
    pub fn inexact(self) -> Self {
        Self { inexact: true, ..self }
    }

    /// The predicate, over the table's columns.
    pub fn expr(&self) -> &Arc<dyn PhysicalExpr> {
        &self.expr
    }

    /// The columns that it names, as positions in the table, ascending.
    pub fn columns(&self) -> &[usize] {
        &self.own.columns
    }

    /// What it depends on.
    pub fn level(&self) -> Level {
        self.own.level
    }

    /// True if it can be evaluated for each dataset without reading anything.
    pub fn is_of_datasets(&self, layout: &Layout) -> bool {
        self.columns().iter().all(|&column| layout.is_of_datasets(column))
    }

    /// The names that the dataset may have if the predicate holds; `None` if it may have any.
    pub fn names(&self) -> Option<Vec<String>> {
        let guarantees = LiteralGuarantee::analyze(&self.expr);
        let names = guarantees
            .into_iter()
            .find(|guarantee| guarantee.guarantee == Guarantee::In && guarantee.column.name() == DATASET)?;
        let text = |value: &ScalarValue| value.try_as_str().flatten().map(str::to_owned);
        names.literals.iter().map(text).collect()
    }

    /// The rows that it selects among `rows` rows. `columns` has the values of its columns. NULL
    /// does not select a row.
    pub fn evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanBuffer> {
        match self.try_evaluate(columns, rows) {
            Err(_) if self.inexact => Ok(BooleanBuffer::new_set(rows)),
            selected => selected,
        }
    }

    /// The values of its level that it selects, in a frame that has its columns.
    pub fn evaluate_in(&self, table: &Table, frame: &Frame) -> Result<BooleanBuffer> {
        let level = self.level();
        let columns = self.columns().iter().map(|&column| frame.column_at(table, column, level));
        let values = frame.boxes.values(&table.layout, level);
        self.evaluate(columns.collect::<Result<_>>()?, values)
    }

    fn try_evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanBuffer> {
        if let Some(selected) = self.test.as_ref().and_then(|test| test.evaluate(&columns)) {
            return Ok(selected);
        }
        let selected = self.own.evaluate(columns, rows)?.pop();
        let selected = selected.filter(|selected| *selected.data_type() == DataType::Boolean);
        let Some(selected) = selected else {
            return Err(DataFusionError::Plan(format!("the predicate {} is not Boolean", self.expr)));
        };
        let selected = selected.as_boolean();
        Ok(match selected.nulls() {
            None => selected.values().clone(),
            Some(known) => selected.values() & known.inner(),
        })
    }
}

/// All filters of a scan.
#[derive(Default)]
pub struct Filters {
    /// Filters that depend on the dataset alone.
    pub datasets: Vec<Filter>,
    /// On one coordinate, or on several variables along one dimension. They reduce boxes to ranges.
    /// In order of dimension; those on one coordinate are combined.
    pub dimensions: Vec<Filter>,
    /// All others, those of lower levels first.
    pub rows: Vec<Filter>,
    /// Predicates that prune boxes by statistics.
    pub pruning: Vec<Pruning>,
    /// Prunes boxes of which not all rows match; `None` if that cannot be decided.
    pub unless_all_match: Option<Pruning>,
    /// Dynamic filters: rows that do not satisfy them may be dropped or not.
    pub dynamic: Vec<Arc<dyn PhysicalExpr>>,
}

impl Filters {
    /// Filters for rows that satisfy `predicates`. Rows that do not satisfy an `inexact` filter may
    /// be dropped or not. `values_of` tells, for predicates on values, whether rows that are NULL
    /// in their only column do not matter.
    pub fn new(
        table: &Table,
        predicates: &[Arc<dyn PhysicalExpr>],
        inexact: &[Arc<dyn PhysicalExpr>],
        dynamic: Vec<Arc<dyn PhysicalExpr>>,
        options: &AtlasOptions,
        values_of: impl Fn(&[Arc<dyn PhysicalExpr>]) -> bool,
    ) -> Result<Self> {
        let layout = &table.layout;
        let mut filters = Self { dynamic, ..Self::default() };
        let mut of_values = Vec::new();
        let mut of_dims: BTreeMap<usize, Vec<Arc<dyn PhysicalExpr>>> = BTreeMap::new();
        for expr in predicates {
            let columns = collect_columns(expr);
            match scope(columns.iter().filter_map(|column| layout.columns.get(column.index()))) {
                Scope::Dataset => filters.datasets.push(Filter::new(expr, table)?),
                Scope::Dimension(dim) => of_dims.entry(dim).or_default().push(Arc::clone(expr)),
                Scope::Rows => {
                    filters.rows.push(Filter::new(expr, table)?);
                    of_values.push(Arc::clone(expr));
                }
            }
        }
        // Predicates on one coordinate are combined, so that it is read once.
        for exprs in of_dims.into_values() {
            filters.dimensions.push(Filter::new(&conjunction(exprs), table)?);
        }
        filters.rows.sort_by_key(|filter| filter.level().dims());
        if options.pruning {
            let exprs = of_values.iter().chain(inexact);
            filters.pruning.extend(exprs.filter_map(|expr| Pruning::new(table, expr)));
            filters.unless_all_match = Pruning::unless_all_match(table, &of_values, !values_of(&of_values));
        }
        Ok(filters)
    }

    /// The current predicates of the dynamic filters.
    pub fn current(&self, table: &Table) -> Result<Vec<Filter>> {
        let mut current = Vec::new();
        for filter in &self.dynamic {
            for expr in dynamic::current(filter, &table.layout.schema)? {
                // An unfilled filter is `true`. A sort sets its filter to `false` once no row can be
                // better than those it has.
                if !is_true(&expr) {
                    current.push(Filter::new(&expr, table)?.inexact());
                }
            }
        }
        Ok(current)
    }
}

fn is_true(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| literal.value() == &ScalarValue::Boolean(Some(true)))
}

/// Comparisons of columns of `f32`, cast to `f64`, with numbers, as comparisons in `f32`. They hold
/// for the same values, and need no cast. Every number in SQL is an `f64`, and most columns are
/// `f32`.
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

/// A comparison of an `f32` with a number, as one with an `f32`.
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
    // No `f32` equals a number between two neighbouring ones.
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

#[cfg(test)]
mod tests {
    use arrow::array::Float32Array;
    use arrow::datatypes::Field;

    use super::*;

    /// Numbers of all kinds, and their neighbours.
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
