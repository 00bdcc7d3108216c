//! Composes figures of results: which columns are along which axis, and what is drawn between the
//! axes.

mod bars;
mod choice;
mod grid;
mod lines;
mod map;
mod quantity;
mod series;
#[cfg(test)]
mod tests;

pub(super) use self::series::{Legend, MOST_SERIES};

use super::axis::Axis;
use super::canvas::Point;
use super::colours::Map;
use crate::columns::Meaning;
use crate::error::Failure;

/// A column of a result.
pub(super) struct Column {
    pub meaning: Meaning,
    pub values: Values,
}

pub(super) enum Values {
    /// Numbers; NaN marks missing values.
    Numbers {
        values: Vec<f64>,
        /// Whether they are seconds since 1970.
        times: bool,
        /// Whether all values are integers.
        whole: bool,
    },
    Texts(Vec<String>),
}

/// A figure, which is ready to be drawn.
#[derive(Debug, PartialEq)]
pub(super) struct Figure {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    /// The layers, with the topmost last.
    pub layers: Vec<Layer>,
    pub legend: Legend,
    /// The colours of values.
    pub colours: Option<Colours>,
    /// Whether degrees along both axes are equally long, and coastlines are drawn.
    pub is_map: bool,
    /// Whether a map may extend beyond the range of its axes.
    pub may_grow: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Layer {
    Bars {
        areas: Vec<Area>,
        series: usize,
    },
    Line {
        points: Vec<Point>,
        series: usize,
    },
    Points {
        points: Vec<Point>,
        series: usize,
    },
    /// Points with values.
    Values(Vec<(Point, f64)>),
    Cells(Vec<Cell>),
}

/// A rectangle of a figure, by its ends along both axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub x: (f64, f64),
    pub y: (f64, f64),
}

/// A rectangle of a figure with a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub area: Area,
    pub value: f64,
}

/// The colours of values.
#[derive(Debug, PartialEq)]
pub(super) struct Colours {
    pub scale: Axis,
    pub map: Map,
}

impl Figure {
    fn new(x: Axis, y: Axis, layers: Vec<Layer>) -> Self {
        Self {
            title: String::new(),
            x,
            y,
            layers,
            legend: Legend::None,
            colours: None,
            is_map: false,
            may_grow: false,
        }
    }
}

fn nothing() -> Failure {
    Failure::new("the last result has nothing to draw: there are no values")
}
