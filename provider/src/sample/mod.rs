//! `sample_at(table, points, method)`: the values of a grid at points.
//!
//! A join of points with a grid compares every point with every cell, or needs an expression that
//! rounds coordinates to those of the grid. This module instead finds the cells around a point from
//! the coordinates of a dataset, and reads only chunks with such cells.

mod axis;
mod exec;
mod gather;
mod method;
mod planner;
mod table;

use datafusion::logical_expr::{DocSection, Documentation};

pub use planner::SampleAt;
pub use table::Sampled;

/// The name of the table function that samples a grid at points.
pub const SAMPLE_AT: &str = "sample_at";

/// The documentation of [`SAMPLE_AT`].
pub fn documentation() -> Documentation {
    let section = DocSection { include: true, label: "Tables", description: None };
    let description = "The values of a grid at points: a row for each point, with its columns and \
        the grid's variables there. The points' columns with the names of the grid's dimensions \
        give their positions. Along other dimensions there is a row for each coordinate. The \
        values are NULL beyond the grid, and if a missing cell would count.\n\n\
        Source: xarray's `interp` and `sel(method='nearest')` with points";
    Documentation::builder(section, description, format!("{SAMPLE_AT}(table, points, method)"))
        .with_argument("table", "the name of a table of a store")
        .with_argument("points", "the name of a table or view, or a query in parentheses")
        .with_argument(
            "method",
            "'nearest', 'bilinear' (linear along latitude and longitude, otherwise nearest) or \
             'linear' (along all dimensions); append `, time=linear` or `, level=nearest` for \
             another method along one dimension",
        )
        .with_sql_example("SELECT * FROM sample_at(atlas, (SELECT 52.5 AS lat, 13.4 AS lon), 'bilinear')")
        .build()
}
