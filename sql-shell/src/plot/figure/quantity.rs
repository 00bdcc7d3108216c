//! A column of numbers or times.

use super::super::axis::{Axis, Scale};
use super::super::colours::Map;
use super::super::columns::Meaning;
use super::super::columns::role::Role;
use super::super::steps::{commonest_step, distinct};
use super::{Colours, Column, Values};
use crate::printable::printable;

/// How much smaller the values on one side of zero may be for colours that diverge there.
const LEAST_SIDE: f64 = 0.05;

/// The same, of values of which only their sign is known.
const BALANCED: f64 = 0.3;

/// The share of different values that are in rows of their own, along a coordinate of lines.
const UNIQUE: f64 = 0.95;

pub(super) struct Quantity {
    pub meaning: Meaning,
    /// NaN is a missing value.
    pub values: Vec<f64>,
    /// Whether they are seconds since 1970.
    pub times: bool,
    /// Whether all are integers.
    pub whole: bool,
}

impl Quantity {
    /// A column of numbers; else its name with its texts.
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

    /// An axis that reaches over the values, with some room at both ends.
    pub(super) fn fitted(&self) -> Axis {
        let mut axis = self.axis();
        axis.fit(self.middles(), 0.03);
        axis
    }

    /// The values, or the middles of the intervals that they stand for.
    pub(super) fn middles(&self) -> impl Iterator<Item = f64> {
        let bin = self.meaning.bin;
        self.values.iter().map(move |&value| {
            bin.map_or(value, |bin| {
                let (from, to) = bin.interval(value);
                from + (to - from) / 2.0
            })
        })
    }

    /// Whether nearly all values are different, in each of the series that rows belong to.
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

    /// Whether the values are as far apart as those of an index.
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

    /// Whether values that reach from `from` to `to` differ by their sign in the first place.
    fn diverges(&self, from: f64, to: f64) -> bool {
        let Meaning { role, signed, amount, units, .. } = &self.meaning;
        let least = if *signed { LEAST_SIDE } else { BALANCED };
        let balance = from.abs().min(to.abs()) / from.abs().max(to.abs());
        let may_be_signed = match units.as_deref() {
            // An expression of which nothing is known, such as a difference from a constant.
            None => !amount && role.is_none(),
            Some(units) => is_rate(units),
        };
        !self.times && from < 0.0 && to > 0.0 && balance >= least && (*signed || may_be_signed)
    }
}

/// Which of two columns lies, and which stands.
pub(super) fn lying_and_standing(a: Quantity, b: Quantity) -> (Quantity, Quantity) {
    let upright = |column: &Quantity| match column.meaning.role {
        // Keys and dimensions lie below what is measured along them.
        None if column.is_coordinate() => Role::uprightness(Some(Role::Time)),
        role => Role::uprightness(role),
    };
    if upright(&a) > upright(&b) { (b, a) } else { (a, b) }
}

/// Whether units are of velocities, fluxes and other rates: those with negative values have a
/// direction.
fn is_rate(units: &str) -> bool {
    let parts = ["s-1", "s**-1", "s^-1", "/s", "W m", "W/m", "N m", "N/m", "d-1", "day-1", "/day", "/d"];
    parts.iter().any(|part| units.contains(part))
}
