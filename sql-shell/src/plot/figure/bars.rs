//! Histograms and bar charts.

use super::super::axis::{Axis, Scale};
use super::super::steps::{cells, distinct, nearest};
use super::quantity::Quantity;
use super::series::Series;
use super::{Area, Figure, Layer, nothing};
use crate::error::{Failure, Result};

/// The largest number of bars of a histogram.
const MOST_BARS: usize = 60;

/// The largest number of names along an axis.
const MOST_NAMES: usize = 60;

/// The fraction of the available width that bars of names and single numbers take.
const WIDTH: f64 = 0.8;

/// The distribution of a column's values, for each series.
pub(super) fn histogram(x: &Quantity, series: &Series) -> Result<Figure> {
    let mut axis = Axis { reversed: false, ..x.axis() };
    let values = distinct(x.finite());
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return Err(nothing()) };
    let (from, width, bars) = if x.whole && last - first < MOST_BARS as f64 {
        // One bar for each integer.
        (first - 0.5, 1.0, (last - first) as usize + 1)
    } else {
        let rough = (last - first) / rice(x.finite().count());
        let width = if x.times { rough } else { round_step(rough) };
        let from = if x.times { first } else { (first / width).floor() * width };
        if width > 0.0 { (from, width, ((last - from) / width) as usize + 1) } else { (first - 0.5, 1.0, 1) }
    };
    let mut counts = vec![vec![0u64; bars]; series.names.len()];
    for (row, value) in x.values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
        let bar = (((value - from) / width) as usize).min(bars - 1);
        if let Some(count) = counts.get_mut(series.of(row)).and_then(|counts| counts.get_mut(bar)) {
            *count += 1;
        }
    }
    let edge = |bar: usize| from + bar as f64 * width;
    let heights = counts.into_iter().enumerate().flat_map(|(of, counts)| {
        let bars = counts.into_iter().enumerate();
        bars.map(move |(bar, count)| (of, (edge(bar), edge(bar + 1)), count as f64))
    });
    (axis.from, axis.to) = (edge(0), edge(bars));
    Ok(of_bars(axis, "rows".to_owned(), heights.collect(), series, false))
}

/// Rice's rule: twice the cube root of the number of values.
fn rice(values: usize) -> f64 {
    (2.0 * (values as f64).cbrt()).ceil().clamp(5.0, MOST_BARS as f64)
}

/// The smallest of 1, 2 and 5 times a power of ten that is not less than a step.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|n| n * power).find(|rounded| *rounded >= step).unwrap_or(10.0 * power)
}

/// One bar for each name, or for each name in each series.
pub(super) fn of_names(
    (label, names): (String, Vec<String>),
    height: &Quantity,
    series: &Series,
) -> Result<Figure> {
    let mut different: Vec<String> = Vec::new();
    let mut heights = Vec::new();
    for (row, (name, height)) in names.into_iter().zip(&height.values).enumerate() {
        let at = different.iter().position(|other| *other == name).unwrap_or_else(|| {
            different.push(name);
            different.len() - 1
        });
        let middle = at as f64;
        if different.len() > MOST_NAMES {
            return Err(Failure::new(format!(
                "the last result has bars for more than {MOST_NAMES} names, which is the most that a picture \
                 has room for: add a LIMIT"
            )));
        }
        if height.is_finite() {
            heights.push((series.of(row), (middle - WIDTH / 2.0, middle + WIDTH / 2.0), *height));
        }
    }
    if heights.is_empty() {
        return Err(nothing());
    }
    let to = different.len() as f64 - 0.5;
    let x = Axis { label, scale: Scale::Names(different), reversed: false, from: -0.5, to };
    Ok(of_bars(x, height.label(), heights, series, false))
}

/// One bar for each number or time, as wide as the interval that it represents.
pub(super) fn along(key: &Quantity, height: &Quantity, series: &Series) -> Result<Figure> {
    let keys = distinct(key.finite());
    let intervals = cells(&keys, key.meaning.bin);
    // Bars of intervals touch each other; those of single numbers do not.
    let narrow = |(from, to): (f64, f64)| match key.meaning.bin {
        Some(_) => (from, to),
        None => {
            let spare = (to - from) * (1.0 - WIDTH) / 2.0;
            (from + spare, to - spare)
        }
    };
    let rows = key.values.iter().zip(&height.values).enumerate();
    let rows = rows.filter(|(_, (key, height))| key.is_finite() && height.is_finite());
    let heights: Vec<_> = rows
        .filter_map(|(row, (key, height))| {
            let interval = intervals.get(nearest(&keys, *key)).copied()?;
            Some((series.of(row), narrow(interval), *height))
        })
        .collect();
    if heights.is_empty() {
        return Err(nothing());
    }
    let mut axis = key.axis();
    axis.fit(intervals.iter().flat_map(|(from, to)| [*from, *to]), 0.0);
    Ok(of_bars(axis, height.label(), heights, series, key.is_vertical()))
}

/// The series, interval and height of a bar.
type Bar = (usize, (f64, f64), f64);

/// Bars from zero, with those of different series beside each other. `axis` is vertical if
/// `upright`.
fn of_bars(axis: Axis, label: String, bars: Vec<Bar>, series: &Series, upright: bool) -> Figure {
    let are_whole = bars.iter().all(|(_, _, height)| height.fract() == 0.0);
    let scale = if are_whole { Scale::Integers } else { Scale::Numbers };
    let mut amounts = Axis { label, scale, reversed: false, from: 0.0, to: 1.0 };
    amounts.fit(bars.iter().map(|(_, _, height)| *height).chain([0.0]), 0.0);
    // Leaves some room beyond the highest bar.
    let spare = (amounts.to - amounts.from) * 0.04;
    amounts.to += if amounts.to > 0.0 { spare } else { 0.0 };
    amounts.from -= if amounts.from < 0.0 { spare } else { 0.0 };
    let shares = series.names.len() as f64;
    let mut layers: Vec<(Vec<Area>, usize)> = (0..series.names.len()).map(|of| (Vec::new(), of)).collect();
    for (of, (from, to), height) in bars {
        let part = (to - from) / shares;
        let along = (from + part * of as f64, from + part * (of + 1) as f64);
        let area =
            if upright { Area { x: (0.0, height), y: along } } else { Area { x: along, y: (0.0, height) } };
        if let Some((areas, _)) = layers.get_mut(of) {
            areas.push(area);
        }
    }
    let (x, y) = if upright { (amounts, axis) } else { (axis, amounts) };
    let layers = layers.into_iter().map(|(areas, series)| Layer::Bars { areas, series });
    Figure { legend: series.legend(), ..Figure::new(x, y, layers.collect()) }
}
