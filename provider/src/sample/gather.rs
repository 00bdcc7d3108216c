//! The cells around points, and their values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder, UInt32Array};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, Float64Type};
use atlas::{ArrayRead, ArraySchema, ReadMetrics, Region};
use datafusion::common::Result;

use super::axis::At;
use crate::error::from_store;
use crate::tables::columns::Table;

/// The source of the index along a dimension of a dataset's rows: the points, by the position of
/// the dimension among theirs; or every row, by the position among the other dimensions.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    Along(usize),
    Kept(usize),
}

/// The points in a dataset, each with a row for all indices along the other dimensions.
pub struct Hits {
    points: Vec<u32>,
    /// For each point, its position along each dimension of the points.
    at: Vec<At>,
    along: usize,
    kept: Vec<usize>,
}

/// The part that contains a cell, by its chunk along the points' dimensions; the cell; and its
/// weight.
type Weighted = (Vec<usize>, Vec<usize>, f64);

/// A part of an array that is read: its start and its end.
struct Part {
    number: usize,
    start: Vec<usize>,
    end: Vec<usize>,
}

impl Hits {
    /// No points yet. `kept` are the sizes of the other dimensions, `along` is the number of
    /// dimensions of the points.
    pub fn new(kept: Vec<usize>, along: usize) -> Self {
        Self { points: Vec::new(), at: Vec::new(), along, kept }
    }

    /// Adds a point with its position.
    pub fn push(&mut self, point: u32, at: &[At]) {
        self.points.push(point);
        self.at.extend_from_slice(at);
    }

    fn rows_of_point(&self) -> usize {
        self.kept.iter().product()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.points.len() * self.rows_of_point()
    }

    /// The point of each row.
    pub fn points_of_rows(&self) -> Vec<u32> {
        self.points.iter().flat_map(|&point| std::iter::repeat_n(point, self.rows_of_point())).collect()
    }

    /// The index of each row along one of the other dimensions.
    pub fn kept_of_rows(&self, place: usize) -> UInt32Array {
        let index = |row: usize| u32::try_from(self.kept_index(place, row)).unwrap_or(u32::MAX);
        UInt32Array::from_iter_values((0..self.rows()).map(index))
    }

    /// The values of an array for all rows, as a column shows them, then cast to `data_type`:
    /// numbers interpolated linearly, others from the nearest cell. `sources` are those of the
    /// array's dimensions.
    #[allow(clippy::too_many_arguments, reason = "an array, how it is shown, and where points lie in it")]
    pub async fn gather(
        &self,
        grid: &Table,
        dataset: u32,
        column: usize,
        array: &Arc<ArraySchema>,
        sources: Vec<Source>,
        data_type: &DataType,
        metrics: &ReadMetrics,
    ) -> Result<ArrayRef> {
        let of_column = grid.data_type(column);
        let corners = self.corners(&sources, of_column.is_numeric());
        let Some((_, owner)) = grid.dataset(dataset).map(|(dataset, layout)| (layout, dataset)) else {
            return Ok(arrow::array::new_null_array(data_type, self.rows()));
        };
        let shape = grid.catalog.shape(owner, array);
        let chunk = array.chunk_shape(&shape);

        let mut parts: HashMap<Vec<usize>, Part> = HashMap::new();
        let cells = self.points.len() * corners.len();
        // The cells at the corners around each point.
        let mut places: Vec<Option<Weighted>> = Vec::with_capacity(cells);
        for at in self.at.chunks_exact(self.along.max(1)) {
            for corner in &corners {
                let (cell, weight) = corner.cell(at, &sources);
                if weight == 0.0 {
                    places.push(None);
                    continue;
                }
                let key: Vec<usize> = sources
                    .iter()
                    .zip(cell.iter().zip(&chunk))
                    .map(|(source, (&cell, &chunk))| match source {
                        Source::Along(_) => cell / chunk.max(1),
                        Source::Kept(_) => 0,
                    })
                    .collect();
                let number = parts.len();
                let part = parts.entry(key.clone()).or_insert_with(|| Part {
                    number,
                    start: cell.clone(),
                    end: cell.clone(),
                });
                for (bound, &cell) in part.start.iter_mut().zip(&cell) {
                    *bound = cell.min(*bound);
                }
                for (bound, &cell) in part.end.iter_mut().zip(&cell) {
                    *bound = cell.max(*bound);
                }
                places.push(Some((key, cell, weight)));
            }
        }
        for part in parts.values_mut() {
            for ((source, size), (start, end)) in
                sources.iter().zip(&shape).zip(part.start.iter_mut().zip(&mut part.end))
            {
                if let Source::Kept(_) = source {
                    (*start, *end) = (0, size.saturating_sub(1));
                }
            }
        }
        let mut wanted: Vec<&Part> = parts.values().collect();
        wanted.sort_by_key(|part| part.number);
        let reads: Vec<ArrayRead> = wanted
            .iter()
            .map(|part| {
                let sizes = part.start.iter().zip(&part.end).map(|(start, end)| end + 1 - start);
                ArrayRead { dataset, region: Region::new(part.start.clone(), sizes.collect::<Vec<_>>()) }
            })
            .collect();
        let read = grid.snapshot.read(&array.name, &reads, metrics).await.map_err(from_store)?;
        let mut values = Vec::with_capacity(read.len());
        for array in read {
            values.push(grid.shown(array, column, true)?);
        }

        let offset = |part: &Part, cell: &[usize], row: usize| {
            let mut offset = 0;
            for ((source, cell), (start, end)) in
                sources.iter().zip(cell).zip(part.start.iter().zip(&part.end))
            {
                let index = match source {
                    Source::Along(_) => cell - start,
                    Source::Kept(place) => self.kept_index(*place, row),
                };
                offset = offset * (end + 1 - start) + index;
            }
            offset
        };
        let rows = self.rows_of_point();
        let mut found: Vec<(usize, usize)> = Vec::new();
        if let [_] = corners.as_slice() {
            found.reserve(self.rows());
            for (key, cell, _) in places.iter().flatten() {
                let Some(part) = parts.get(key) else { continue };
                found.extend((0..rows).map(|row| (part.number, offset(part, cell, row))));
            }
            let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
            return Ok(cast(&interleave(&values, &found)?, data_type)?);
        }
        let mut numbers: Vec<Float64Array> = Vec::with_capacity(values.len());
        for values in &values {
            numbers.push(cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone());
        }
        let mut builder = Float64Builder::with_capacity(self.rows());
        for places in places.chunks(corners.len()) {
            for row in 0..rows {
                let weighted = places.iter().flatten().map(|(key, cell, weight)| {
                    let part = parts.get(key)?;
                    let (numbers, at) = (numbers.get(part.number)?, offset(part, cell, row));
                    numbers.is_valid(at).then(|| numbers.value(at) * weight)
                });
                builder.append_option(weighted.sum::<Option<f64>>());
            }
        }
        Ok(cast(&(Arc::new(builder.finish()) as ArrayRef), data_type)?)
    }

    fn kept_index(&self, place: usize, row: usize) -> usize {
        let after: usize = self.kept.iter().skip(place + 1).product();
        row / after.max(1) % self.kept.get(place).copied().unwrap_or(1).max(1)
    }

    /// The corners of the box of cells around a point, for an array with some of the dimensions.
    fn corners(&self, sources: &[Source], linear: bool) -> Vec<Corner> {
        let between =
            |along: usize| self.at.iter().skip(along).step_by(self.along.max(1)).any(|at| at.from != at.to);
        let spread = sources.iter().filter_map(|source| match source {
            Source::Along(along) if linear && between(*along) => Some(*along),
            _ => None,
        });
        spread.fold(vec![Corner::default()], |corners, along| {
            let with = |to: bool| {
                corners.iter().map(move |corner| Corner {
                    sides: corner.sides.iter().copied().chain([(along, to)]).collect(),
                })
            };
            with(false).chain(with(true)).collect()
        })
    }
}

/// For each linear dimension, which of both cells.
#[derive(Default)]
struct Corner {
    sides: Vec<(usize, bool)>,
}

impl Corner {
    /// The cell of a point at this corner, and its weight.
    fn cell(&self, at: &[At], sources: &[Source]) -> (Vec<usize>, f64) {
        let mut weight = 1.0;
        let cell = sources.iter().map(|source| {
            let Source::Along(along) = source else { return 0 };
            let Some(at) = at.get(*along) else { return 0 };
            match self.sides.iter().find(|(side, _)| side == along) {
                Some((_, true)) => {
                    weight *= at.share;
                    at.to
                }
                Some((_, false)) => {
                    weight *= 1.0 - at.share;
                    at.from
                }
                // The nearest one.
                None if at.share < 0.5 => at.from,
                None => at.to,
            }
        });
        (cell.collect(), weight)
    }
}
