//! The coordinates along a dimension, and the position of a point among them.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::common::Result;

/// Coordinates as numbers, or as nanoseconds since 1970.
#[derive(Debug)]
pub enum Coordinates {
    Numbers(Float64Array),
    Times(Int64Array),
}

impl Coordinates {
    /// The values of a column, converted for comparison with coordinates of a type.
    pub fn new(values: &ArrayRef, coordinates: &DataType) -> Result<Self> {
        let to = |data_type: &DataType| cast(values, data_type);
        Ok(match coordinates {
            DataType::Timestamp(..) => {
                let times = to(&DataType::Timestamp(TimeUnit::Nanosecond, None))?;
                Self::Times(cast(&times, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            _ => Self::Numbers(to(&DataType::Float64)?.as_primitive::<Float64Type>().clone()),
        })
    }

    /// A number, or the nanoseconds since `origin`; `None` if it is missing.
    #[allow(clippy::cast_precision_loss, reason = "a span of years is exact to microseconds")]
    pub fn get(&self, row: usize, origin: i64) -> Option<f64> {
        match self {
            Self::Numbers(numbers) => {
                numbers.is_valid(row).then(|| numbers.value(row)).filter(|number| number.is_finite())
            }
            Self::Times(times) => times.is_valid(row).then(|| (times.value(row) - origin) as f64),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Times(times) => times.len(),
        }
    }
}

/// The position of a point along an axis: between two indices, as the fraction of the way from the
/// first to the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    pub from: usize,
    pub to: usize,
    pub share: f64,
}

/// The coordinates of a dataset along a dimension, in ascending order.
#[derive(Debug)]
pub struct Axis {
    ascending: Vec<f64>,
    descends: bool,
    turns: bool,
    /// Times are relative to this instant.
    pub origin: i64,
}

impl Axis {
    /// The axis of coordinates; `None` if they neither rise nor fall throughout, or one is missing.
    /// With `turns`, the coordinates continue after 360.
    pub fn new(coordinates: &Coordinates, turns: bool) -> Option<Self> {
        let origin = match coordinates {
            Coordinates::Times(times) if !times.is_empty() => times.value(0),
            _ => 0,
        };
        let all = (0..coordinates.len()).map(|i| coordinates.get(i, origin));
        let mut ascending: Vec<f64> = all.collect::<Option<_>>()?;
        let descends = ascending.first() > ascending.last();
        if descends {
            ascending.reverse();
        }
        let rises = ascending.is_sorted_by(|a, b| a < b);
        rises.then_some(Self { ascending, descends, turns, origin })
    }

    /// The position of a number; `None` beyond the coordinates. The nearest coordinate also covers
    /// half a step beyond the last coordinate. A single coordinate covers only itself.
    pub fn locate(&self, number: f64, linear: bool) -> Option<At> {
        let (&first, &last) = (self.ascending.first()?, self.ascending.last()?);
        let at = |from, to, share| Some(self.at(from, to, share, linear));
        if !self.turns {
            return self.within(number, linear).and_then(|(from, to, share)| at(from, to, share));
        }
        let mut number = number + ((first - number) / 360.0).ceil() * 360.0;
        let gap = first + 360.0 - last;
        let end = self.ascending.len() - 1;
        // Around the globe, the last coordinate is adjacent to the first.
        let closes = self.ascending.get(1).is_some_and(|second| gap <= 1.01 * (second - first));
        if number > last && closes {
            return at(end, 0, (number - last) / gap);
        }
        if number > last && self.within(number, linear).is_none() {
            number -= 360.0;
        }
        self.within(number, linear).and_then(|(from, to, share)| at(from, to, share))
    }

    /// The indices, in ascending order, between which a number lies.
    fn within(&self, number: f64, linear: bool) -> Option<(usize, usize, f64)> {
        let end = self.ascending.len().checked_sub(1)?;
        let get = |place: usize| self.ascending.get(place).copied();
        if end == 0 {
            // A single coordinate need only match in single precision.
            let only = get(0)?;
            let same = (number - only).abs() <= f64::from(f32::EPSILON) * only.abs();
            return same.then_some((0, 0, 0.0));
        }
        let after = self.ascending.partition_point(|coordinate| *coordinate <= number);
        let Some(below) = after.checked_sub(1) else {
            let half = (get(1)? - get(0)?) / 2.0;
            return (!linear && number >= get(0)? - half).then_some((0, 0, 0.0));
        };
        if below == end {
            let half = (get(end)? - get(end - 1)?) / 2.0;
            let beyond = if linear { number > get(end)? } else { number > get(end)? + half };
            return (!beyond).then_some((end, end, 0.0));
        }
        let share = (number - get(below)?) / (get(after)? - get(below)?);
        Some((below, after, share))
    }

    fn at(&self, from: usize, to: usize, share: f64, linear: bool) -> At {
        let index = |place: usize| if self.descends { self.ascending.len() - 1 - place } else { place };
        match (linear, share) {
            (_, 0.0) => At { from: index(from), to: index(from), share: 0.0 },
            (true, share) => At { from: index(from), to: index(to), share },
            (false, share) => {
                let nearest = index(if share < 0.5 { from } else { to });
                At { from: nearest, to: nearest, share: 0.0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(coordinates: &[f64], turns: bool) -> Axis {
        Axis::new(&Coordinates::Numbers(Float64Array::from(coordinates.to_vec())), turns).unwrap()
    }

    fn found(axis: &Axis, number: f64, linear: bool) -> Option<(usize, usize, f64)> {
        axis.locate(number, linear).map(|at| (at.from, at.to, at.share))
    }

    #[test]
    fn numbers_lie_between_coordinates() {
        for (coordinates, number, linear, nearest) in [
            (vec![0.0, 10.0, 30.0], 5.0, Some((0, 1, 0.5)), Some(1)),
            (vec![0.0, 10.0, 30.0], 10.0, Some((1, 1, 0.0)), Some(1)),
            (vec![0.0, 10.0, 30.0], 25.0, Some((1, 2, 0.75)), Some(2)),
            (vec![0.0, 10.0, 30.0], 30.0, Some((2, 2, 0.0)), Some(2)),
            (vec![0.0, 10.0, 30.0], 40.0, None, Some(2)),
            (vec![0.0, 10.0, 30.0], 40.1, None, None),
            (vec![0.0, 10.0, 30.0], -5.0, None, Some(0)),
            (vec![0.0, 10.0, 30.0], -5.1, None, None),
            (vec![30.0, 10.0, 0.0], 25.0, Some((1, 0, 0.75)), Some(0)),
            (vec![7.0], 7.0, Some((0, 0, 0.0)), Some(0)),
            (vec![7.0], 7.1, None, None),
            (vec![], 7.0, None, None),
        ] {
            let axis = axis(&coordinates, false);
            assert_eq!(found(&axis, number, true), linear, "{number} in {coordinates:?}");
            let at = found(&axis, number, false).map(|(from, to, share)| {
                assert_eq!((from, share), (to, 0.0));
                from
            });
            assert_eq!(at, nearest, "{number} in {coordinates:?}");
        }
    }

    #[test]
    fn longitudes_begin_anew() {
        let globe = axis(&[0.0, 90.0, 180.0, 270.0], true);
        for (lon, expected) in [
            (-90.0, (3, 3, 0.0)),
            (360.0, (0, 0, 0.0)),
            (-45.0, (3, 0, 0.5)),
            (315.0, (3, 0, 0.5)),
            (405.0, (0, 1, 0.5)),
        ] {
            assert_eq!(found(&globe, lon, true), Some(expected), "{lon}");
        }
        assert_eq!(found(&globe, 350.0, false), Some((0, 0, 0.0)));
        let europe = axis(&[-10.0, 0.0, 10.0], true);
        assert_eq!(found(&europe, 355.0, true), Some((0, 1, 0.5)));
        assert_eq!(found(&europe, 180.0, false), None);
        assert_eq!(found(&europe, 14.0, false), Some((2, 2, 0.0)));
        assert_eq!(found(&europe, -14.0, false), Some((0, 0, 0.0)));
        assert_eq!(found(&europe, -14.0, true), None);
    }

    #[test]
    fn what_turns_back_is_no_axis() {
        for coordinates in [vec![1.0, 1.0], vec![0.0, 2.0, 1.0], vec![0.0, f64::NAN]] {
            assert!(Axis::new(&Coordinates::Numbers(Float64Array::from(coordinates)), false).is_none());
        }
        let times = Int64Array::from(vec![i64::MAX - 10, i64::MAX - 5]);
        let axis = Axis::new(&Coordinates::Times(times.clone()), false).unwrap();
        let between = Coordinates::Times(Int64Array::from(vec![i64::MAX - 9])).get(0, axis.origin).unwrap();
        assert_eq!(found(&axis, between, true), Some((0, 1, 0.2)));
    }
}
