//! Heat maps and sections: cells whose colour represents a value.

use std::collections::HashMap;

use super::super::steps::{cells, distinct, half_way, nearest};
use super::quantity::{Quantity, lying_and_standing};
use super::{Area, Cell, Figure, Layer, nothing};
use crate::error::Result;

/// The smallest fraction of a grid's cells that must have rows.
const FILLED: f64 = 0.1;

/// The smallest average number of rows for each distinct value of a grid's coordinate.
const REPEATED: f64 = 2.0;

/// The position and the value of a row.
type Row = (f64, f64, f64);

/// Whether rows lie on a grid of two columns, and not at arbitrary positions.
pub(super) fn is_grid(a: &Quantity, b: &Quantity) -> bool {
    let is_key = |column: &Quantity| column.meaning.independent && column.meaning.bin.is_some();
    if is_key(a) && is_key(b) {
        return true;
    }
    let finite = a.values.iter().zip(&b.values).filter(|(a, b)| a.is_finite() && b.is_finite());
    let mut pairs: Vec<_> = finite.map(|(a, b)| (a.to_bits(), b.to_bits())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let (wide, high) = (distinct(a.finite()).len() as f64, distinct(b.finite()).len() as f64);
    let (pairs, all) = (pairs.len() as f64, wide * high);
    pairs >= 0.99 * all || pairs >= FILLED * all && pairs >= REPEATED * wide.max(high)
}

/// Cells on a grid, with the size of its most common steps.
pub(super) fn heat_map(a: Quantity, b: Quantity, value: &Quantity) -> Result<Figure> {
    let (x, y) = lying_and_standing(a, b);
    let rows = rows(&x, &y, value)?;
    let (xs, ys) = (distinct(rows.iter().map(|(x, ..)| *x)), distinct(rows.iter().map(|(_, y, _)| *y)));
    let columns = cells(&xs, x.meaning.bin);
    let levels =
        if y.is_vertical() && y.meaning.bin.is_none() { half_way(&ys) } else { cells(&ys, y.meaning.bin) };
    let mut means = Means::default();
    for (x, y, value) in rows {
        means.add((nearest(&xs, x), nearest(&ys, y)), value);
    }
    let area =
        |(column, level): (usize, usize)| Some(Area { x: *columns.get(column)?, y: *levels.get(level)? });
    Ok(of_cells(&x, &y, value, means.cells(area)))
}

/// Profiles beside each other. Each level fills half the distance to the next one of its profile.
/// Each profile fills half the distance to the next one, unless a profile is missing in between.
pub(super) fn section(along: Quantity, vertical: Quantity, value: &Quantity) -> Result<Figure> {
    if vertical.meaning.bin.is_some() {
        return heat_map(along, vertical, value);
    }
    let rows = rows(&along, &vertical, value)?;
    let places = distinct(rows.iter().map(|(x, ..)| *x));
    let columns = cells(&places, along.meaning.bin);
    let mut profiles: Vec<Vec<(f64, f64)>> = vec![Vec::new(); places.len()];
    for (x, level, value) in rows {
        if let Some(profile) = profiles.get_mut(nearest(&places, x)) {
            profile.push((level, value));
        }
    }
    let mut found = Vec::new();
    for (profile, x) in profiles.into_iter().zip(columns) {
        let levels = distinct(profile.iter().map(|(level, _)| *level));
        let mut means = Means::default();
        for (level, value) in profile {
            means.add((0, nearest(&levels, level)), value);
        }
        let heights = half_way(&levels);
        found.extend(means.cells(|(_, level)| Some(Area { x, y: *heights.get(level)? })));
    }
    // Cells do not extend above the surface.
    if vertical.finite().all(|level| level >= 0.0) {
        found.iter_mut().for_each(|cell| cell.area.y.0 = cell.area.y.0.max(0.0));
    }
    Ok(of_cells(&along, &vertical, value, found))
}

/// The rows with a position. At least one of them has a value.
fn rows(x: &Quantity, y: &Quantity, value: &Quantity) -> Result<Vec<Row>> {
    let rows = x.values.iter().zip(&y.values).zip(&value.values);
    let rows = rows.filter(|((x, y), _)| x.is_finite() && y.is_finite());
    let rows: Vec<Row> = rows.map(|((x, y), value)| (*x, *y, *value)).collect();
    if rows.iter().any(|(.., value)| value.is_finite()) { Ok(rows) } else { Err(nothing()) }
}

fn of_cells(x: &Quantity, y: &Quantity, value: &Quantity, cells: Vec<Cell>) -> Figure {
    let over = |quantity: &Quantity, of: fn(&Area) -> (f64, f64)| {
        let mut axis = quantity.axis();
        axis.fit(cells.iter().map(|cell| of(&cell.area)).flat_map(|(from, to)| [from, to]), 0.0);
        axis
    };
    let is_time = y.times;
    let (x, mut y) = (over(x, |area| area.x), over(y, |area| area.y));
    // Time increases downwards in a Hovmöller diagram.
    y.reversed |= is_time;
    let colours = Some(value.colours(cells.iter().map(|cell| cell.value)));
    Figure { colours, ..Figure::new(x, y, vec![Layer::Cells(cells)]) }
}

/// The means of the values in each cell of a grid.
#[derive(Default)]
struct Means(HashMap<(usize, usize), (f64, u32)>);

impl Means {
    fn add(&mut self, cell: (usize, usize), value: f64) {
        if value.is_finite() {
            let (sum, count) = self.0.entry(cell).or_default();
            *sum += value;
            *count += 1;
        }
    }

    /// The cells, row by row.
    fn cells(self, area: impl Fn((usize, usize)) -> Option<Area>) -> Vec<Cell> {
        let mut means: Vec<_> = self.0.into_iter().collect();
        means.sort_unstable_by_key(|((column, level), _)| (*level, *column));
        let cell = |(at, (sum, count)): (_, (f64, u32))| {
            Some(Cell { area: area(at)?, value: sum / f64::from(count) })
        };
        means.into_iter().filter_map(cell).collect()
    }
}
