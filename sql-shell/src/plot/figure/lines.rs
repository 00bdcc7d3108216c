//! Lines and points.

use super::super::canvas::Point;
use super::quantity::{Quantity, lying_and_standing};
use super::series::Series;
use super::{Figure, Layer, nothing};
use crate::columns::role::Role;
use crate::error::Result;

/// How rows are joined to lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// Rows are not joined.
    Points,
    /// In the order of the horizontal axis, or of the vertical one.
    AlongX,
    AlongY,
    /// In the order of the rows.
    Rows,
}

/// Points or lines, whichever suits the columns. Lines follow a coordinate that has a distinct
/// value in each row, or follow the order of the query from position to position.
pub(super) fn suitable(a: Quantity, b: Quantity, series: &Series, ordered: bool) -> Result<Figure> {
    let (x, y) = arranged(a, b);
    let of_rows = series.of_rows();
    let is_time = |column: &Quantity| column.meaning.role == Some(Role::Time);
    let join = match (x.is_coordinate(), y.is_coordinate()) {
        (true, true) if is_time(&x) && x.is_unique(of_rows) => Join::AlongX,
        (true, true) if is_time(&y) && y.is_unique(of_rows) => Join::AlongY,
        (true, true) if ordered => Join::Rows,
        (true, false) if x.is_unique(of_rows) => Join::AlongX,
        (false, true) if y.is_unique(of_rows) => Join::AlongY,
        // The column may be an index: it has no units, and its values are evenly spaced and unique.
        (false, false) if x.meaning.units.is_none() && x.is_even() && x.is_unique(of_rows) => Join::AlongX,
        _ => Join::Points,
    };
    drawn(&x, &y, series, join)
}

/// Lines along the coordinate, or along the first column if there is none.
pub(super) fn lines(a: Quantity, b: Quantity, series: &Series, ordered: bool) -> Result<Figure> {
    let (x, y) = arranged(a, b);
    let join = match (x.is_coordinate(), y.is_coordinate()) {
        (false, true) => Join::AlongY,
        (true, true) | (false, false) if ordered => Join::Rows,
        _ => Join::AlongX,
    };
    drawn(&x, &y, series, join)
}

/// One point for each row.
pub(super) fn points(a: Quantity, b: Quantity, series: &Series) -> Result<Figure> {
    let (x, y) = arranged(a, b);
    drawn(&x, &y, series, Join::Points)
}

/// One point for each row, in a colour that represents a third column.
pub(super) fn coloured(a: Quantity, b: Quantity, value: &Quantity) -> Result<Figure> {
    let (x, y) = arranged(a, b);
    let places = x.middles().zip(y.middles()).zip(value.values.iter().copied());
    let places: Vec<(Point, f64)> =
        places.filter(|((x, y), value)| x.is_finite() && y.is_finite() && value.is_finite()).collect();
    if places.is_empty() {
        return Err(nothing());
    }
    let colours = Some(value.colours(places.iter().map(|(_, value)| *value)));
    Ok(Figure { colours, ..Figure::new(x.fitted(), y.fitted(), vec![Layer::Values(places)]) })
}

/// Decides which column is horizontal and which is vertical. An air pressure or a height beside a
/// time is a measured value, unless the file declares it a coordinate.
fn arranged(mut a: Quantity, mut b: Quantity) -> (Quantity, Quantity) {
    let is_time = |column: &Quantity| column.meaning.role == Some(Role::Time);
    if is_time(&a) || is_time(&b) {
        for column in [&mut a, &mut b] {
            if matches!(column.meaning.role, Some(Role::Vertical { sure: false, .. })) {
                column.meaning.role = None;
            }
        }
    }
    lying_and_standing(a, b)
}

fn drawn(x: &Quantity, y: &Quantity, series: &Series, join: Join) -> Result<Figure> {
    let mut places: Vec<Vec<Point>> = vec![Vec::new(); series.names.len()];
    for (row, point) in x.middles().zip(y.middles()).enumerate() {
        if let Some(of_series) =
            places.get_mut(series.of(row)).filter(|_| point.0.is_finite() && point.1.is_finite())
        {
            of_series.push(point);
        }
    }
    if places.iter().all(Vec::is_empty) {
        return Err(nothing());
    }
    let layer = |(series, mut points): (usize, Vec<Point>)| {
        match join {
            Join::Points => return Layer::Points { points, series },
            Join::AlongX => points.sort_by(|a, b| a.0.total_cmp(&b.0)),
            Join::AlongY => points.sort_by(|a, b| a.1.total_cmp(&b.1)),
            Join::Rows => {}
        }
        Layer::Line { points, series }
    };
    let layers = places.into_iter().enumerate().map(layer).collect();
    Ok(Figure { legend: series.legend(), ..Figure::new(x.fitted(), y.fitted(), layers) })
}
