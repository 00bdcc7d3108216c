//! The table of a grid at points.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use atlas::ArraySchema;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::exec::{Along, Sampling, Shown};
use super::method::{Role, linear_along};
use crate::tables::columns::Table;
use crate::tables::layout::ColumnKind;

/// A grid at points.
#[derive(Debug)]
pub struct Sampled {
    grid: Table,
    points: LogicalPlan,
    along: Vec<Along>,
    shown: Vec<Shown>,
    schema: SchemaRef,
}

impl Sampled {
    /// The table of a grid at points.
    ///
    /// # Errors
    /// If the points have no column for a dimension of the grid, or one of another kind; if a name
    /// would occur twice; if the method is unknown.
    pub fn new(grid: Table, points: LogicalPlan, method: &str) -> Result<Self> {
        let layout = &grid.layout;
        let of_points = points.schema().as_arrow().clone();
        let mut along = Vec::new();
        let mut roles = Vec::new();
        for (dim, name) in layout.dims.iter().enumerate() {
            let column = layout.columns.iter().position(|kind| *kind == ColumnKind::Dimension(dim));
            let (Some(column), Ok(point)) = (column, of_points.index_of(name)) else { continue };
            let (wanted, found) = (grid.data_type(column), of_points.field(point).data_type().clone());
            if !may_lie(&found, &wanted) {
                return plan_err!("`{name}` of the points is {found}, and that of the grid {wanted}");
            }
            let coordinate = layout.datasets().find_map(|(ordinal, _)| grid.array(ordinal, column));
            let role = Role::of(name, coordinate.map(AsRef::as_ref));
            roles.push((name.as_str(), role));
            along.push(Along { dim, column, point, linear: false, turns: role == Role::Longitude });
        }
        if along.is_empty() {
            let dims = layout.dims.join(", ");
            return plan_err!("the points need a column that is called as a dimension of the grid: {dims}");
        }
        for (along, linear) in along.iter_mut().zip(linear_along(method, &roles)?) {
            along.linear = linear;
        }
        let mut fields: Vec<Field> = Vec::new();
        let mut shown: Vec<Shown> = Vec::new();
        for (place, field) in of_points.fields().iter().enumerate() {
            fields.push(field.as_ref().clone());
            shown.push(Shown::Point(place));
        }
        let interpolates = along.iter().any(|along| along.linear);
        for (place, (kind, field)) in layout.columns.iter().zip(layout.schema.fields()).enumerate() {
            let data_type = match kind {
                ColumnKind::Attribute(..) => continue,
                ColumnKind::Dimension(dim) if along.iter().any(|along| along.dim == *dim) => continue,
                ColumnKind::Variable(_) if interpolates && field.data_type().is_numeric() => {
                    DataType::Float64
                }
                _ => field.data_type().clone(),
            };
            fields.push(Field::new(field.name(), data_type, true));
            shown.push(Shown::Grid(place));
        }
        let mut names = HashSet::new();
        if let Some(field) = fields.iter().find(|field| !names.insert(field.name().as_str())) {
            return plan_err!(
                "the points and the grid both have a column `{}`: rename that of the points",
                field.name()
            );
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { grid, points, along, shown, schema })
    }

    /// The query of the points, whose columns come first.
    pub fn points(&self) -> &LogicalPlan {
        &self.points
    }

    /// The different ways in which datasets declare the variable that a column of the grid shows; none
    /// if it shows no variable.
    pub fn declarations(&self, column: &str) -> Vec<&ArraySchema> {
        self.grid.declarations(column)
    }
}

/// True if values of a type can be compared with coordinates of another.
fn may_lie(points: &DataType, coordinates: &DataType) -> bool {
    match coordinates {
        DataType::Timestamp(..) => {
            matches!(points, DataType::Timestamp(..) | DataType::Date32 | DataType::Null)
        }
        coordinates => coordinates.is_numeric() && (points.is_numeric() || points.is_null()),
    }
}

#[async_trait]
impl TableProvider for Sampled {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let points = state.create_physical_plan(&self.points).await?;
        let (schema, shown) = match projection {
            Some(wanted) => (
                Arc::new(self.schema.project(wanted)?),
                wanted.iter().filter_map(|&place| self.shown.get(place).copied()).collect(),
            ),
            None => (Arc::clone(&self.schema), self.shown.clone()),
        };
        Ok(Arc::new(Sampling::new(self.grid.clone(), points, self.along.clone(), shown, schema)))
    }
}
