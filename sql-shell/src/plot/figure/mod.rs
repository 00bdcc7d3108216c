//! What a result looks like as a picture: which columns lie along which axis, and what is drawn
//! between them.

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
use super::columns::Meaning;
use crate::error::Failure;

/// A column of a result.
pub(super) struct Column {
    pub meaning: Meaning,
    pub values: Values,
}

pub(super) enum Values {
    /// NaN is a missing value.
    Numbers {
        values: Vec<f64>,
        /// Whether they are seconds since 1970.
        times: bool,
        /// Whether all are integers.
        whole: bool,
    },
    Texts(Vec<String>),
}

/// A picture.
#[derive(Debug, PartialEq)]
pub(super) struct Figure {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    /// The last on top.
    pub layers: Vec<Layer>,
    pub legend: Legend,
    /// The colours of values.
    pub colours: Option<Colours>,
    /// Whether degrees along both axes are equal, and there are coastlines.
    pub is_map: bool,
    /// Whether a map may show more than its axes reach over.
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

/// A part of a picture: where it begins and ends along both axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub x: (f64, f64),
    pub y: (f64, f64),
}

/// A part of a picture with a value.
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
