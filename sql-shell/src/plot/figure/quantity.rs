//! Columns of numbers or times.

use super::super::axis::{Axis, Scale};
use super::super::colours::Map;
use super::super::steps::{commonest_step, distinct};
use super::{Colours, Column, Values};
use crate::columns::Meaning;
use crate::columns::role::Role;
use crate::printable::printable;

/// The smallest ratio of the values on both sides of zero for which colours diverge there.
const LEAST_SIDE: f64 = 0.05;

/// The same ratio for values of which only the sign is known.
const BALANCED: f64 = 0.3;

/// The smallest fraction of distinct values for which a column is a coordinate of lines.
const UNIQUE: f64 = 0.95;

pub(super) struct Quantity {
    pub meaning: Meaning,
    /// The values; NaN marks missing ones.
    pub values: Vec<f64>,
    /// Whether they are seconds since 1970.
    pub times: bool,
    /// Whether all values are integers.
    pub whole: bool,
}

impl Quantity {
    /// Converts a column of numbers; a text column is returned as its name and its texts.
    pub(super) fn of(column: Column) -> Result<Self, (String, Vec<String>)> {
        let Column { mut meaning, values } = column;
        meaning.name = printable(&meaning.name).into_owned();
        match values {
            Values::Texts(texts) => Err((meaning.name, texts)),
            Values::Numbers { values, times, whole } => {
                if times {
                    meaning.role = Some(Role::Time);
                    meaning.units = None;
                }
                Ok(Self { meaning, values, times, whole })
            }
        }
    }

    pub(super) fn label(&self) -> String {
        let Meaning { name, units, .. } = &self.meaning;
        match units {
            Some(units) => format!("{name} [{}]", printable(units)).trim_start().to_owned(),
            None => name.clone(),
        }
    }

    /// Whether other columns are measured along it.
    pub(super) fn is_coordinate(&self) -> bool {
        !self.meaning.amount && (self.meaning.role.is_some() || self.meaning.independent)
    }

    pub(super) fn is_vertical(&self) -> bool {
        self.meaning.role.is_some_and(Role::is_vertical)
    }

    pub(super) fn finite(&self) -> impl Iterator<Item = f64> {
        self.values.iter().copied().filter(|value| value.is_finite())
    }

    /// An axis with this column's label and direction.
    pub(super) fn axis(&self) -> Axis {
        let scale = match self.meaning.role {
            _ if self.times => Scale::Times,
            Some(Role::Longitude) => Scale::Longitudes,
            Some(Role::Latitude) => Scale::Latitudes,
            _ if self.whole => Scale::Integers,
            _ => Scale::Numbers,
        };
        let reversed = matches!(self.meaning.role, Some(Role::Vertical { down: true, .. }));
        Axis { label: self.label(), scale, reversed, from: 0.0, to: 1.0 }
    }

    /// An axis that covers the values, with a margin at both ends.
    pub(super) fn fitted(&self) -> Axis {
        let mut axis = self.axis();
        axis.fit(self.middles(), 0.03);
        axis
    }

    /// The values, or the centres of the intervals that they represent.
    pub(super) fn middles(&self) -> impl Iterator<Item = f64> {
        let bin = self.meaning.bin;
        self.values.iter().map(move |&value| {
            bin.map_or(value, |bin| {
                let (from, to) = bin.interval(value);
                from + (to - from) / 2.0
            })
        })
    }

    /// Whether nearly all values are distinct within each series.
    pub(super) fn is_unique(&self, series: &[usize]) -> bool {
        let mut places: Vec<_> = self
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(row, value)| (series.get(row).copied().unwrap_or(0), value.to_bits()))
            .collect();
        let all = places.len();
        places.sort_unstable();
        places.dedup();
        places.len() as f64 >= UNIQUE * all as f64
    }

    /// Whether the values are evenly spaced, as those of an index are.
    pub(super) fn is_even(&self) -> bool {
        let values = distinct(self.finite());
        let Some(step) = commonest_step(&values).filter(|_| values.len() > 2) else { return false };
        values.windows(2).all(|pair| matches!(pair, [a, b] if (b - a - step).abs() <= step * 1e-3))
    }

    /// The colours of values of this column.
    pub(super) fn colours(&self, values: impl Iterator<Item = f64>) -> Colours {
        let mut scale = Axis { reversed: false, ..self.axis() };
        scale.fit(values, 0.0);
        if !self.diverges(scale.from, scale.to) {
            return Colours { scale, map: Map::Sequential };
        }
        let most = scale.to.max(-scale.from);
        Colours { scale: Axis { from: -most, to: most, ..scale }, map: Map::Diverging }
    }

    /// Whether the sign is the most important property of values that range from `from` to `to`.
    fn diverges(&self, from: f64, to: f64) -> bool {
        let Meaning { role, signed, amount, units, .. } = &self.meaning;
        let least = if *signed { LEAST_SIDE } else { BALANCED };
        let balance = from.abs().min(to.abs()) / from.abs().max(to.abs());
        let may_be_signed = match units.as_deref() {
            // An unknown expression, such as a difference from a constant.
            None => !amount && role.is_none(),
            Some(units) => is_rate(units),
        };
        !self.times && from < 0.0 && to > 0.0 && balance >= least && (*signed || may_be_signed)
    }
}

/// Decides which of two columns is horizontal, and which is vertical.
pub(super) fn lying_and_standing(a: Quantity, b: Quantity) -> (Quantity, Quantity) {
    let upright = |column: &Quantity| match column.meaning.role {
        // Keys and dimensions are horizontal, below what is measured along them.
        None if column.is_coordinate() => Role::uprightness(Some(Role::Time)),
        role => Role::uprightness(role),
    };
    if upright(&a) > upright(&b) { (b, a) } else { (a, b) }
}

/// Whether units are those of velocities, fluxes and other rates: negative values of such
/// quantities indicate a direction.
fn is_rate(units: &str) -> bool {
    let parts = ["s-1", "s**-1", "s^-1", "/s", "W m", "W/m", "N m", "N/m", "d-1", "day-1", "/day", "/d"];
    parts.iter().any(|part| units.contains(part))
}
