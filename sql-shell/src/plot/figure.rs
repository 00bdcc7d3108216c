//! What a result looks like as a picture: which columns lie along which axis, and what is drawn between them.

use std::collections::HashMap;

use super::axis::{Axis, Role, Scale};
use crate::error::{Failure, Result};

/// Bars of a histogram at the most.
const MOST_BARS: usize = 60;

/// Names along an axis at the most.
const MOST_NAMES: usize = 60;

/// Lines in one picture at the most.
pub(super) const MOST_SERIES: usize = 8;

/// Cells along a side of a heat map of places that lie on no grid, at the least.
const SCATTERED: usize = 48;

/// A column of a result.
pub(super) struct Column {
    /// Its name, with units where they are known.
    pub label: String,
    pub role: Option<Role>,
    pub values: Values,
}

pub(super) enum Values {
    /// NaN is what is missing.
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
    pub x: Axis,
    pub y: Axis,
    pub marks: Marks,
}

#[derive(Debug, PartialEq)]
pub(super) enum Marks {
    Lines(Vec<Series>),
    /// From left to right.
    Bars(Vec<Bar>),
    Cells(Cells),
}

/// Points that a line goes through, in order.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    pub name: Option<String>,
    pub points: Vec<(f64, f64)>,
}

/// A bar from 0 to its height.
#[derive(Debug, PartialEq)]
pub(super) struct Bar {
    pub left: f64,
    pub right: f64,
    pub height: f64,
}

/// Values on a grid.
#[derive(Debug, PartialEq)]
pub(super) struct Cells {
    /// Where columns and rows begin, and where the last of them ends, ascending.
    pub columns: Vec<f64>,
    pub rows: Vec<f64>,
    /// Row by row; NaN is what is missing.
    pub values: Vec<f64>,
    /// The colour bar.
    pub scale: Axis,
}

impl Figure {
    /// The picture of a result.
    pub(super) fn of(columns: Vec<Column>) -> Result<Self> {
        let (texts, numbers): (Vec<_>, Vec<_>) =
            columns.into_iter().partition(|column| matches!(column.values, Values::Texts(_)));
        let numbers: Vec<_> = numbers.into_iter().filter_map(Quantity::of).collect();
        let names = |column: Column| match column.values {
            Values::Texts(texts) => (column.label, texts),
            Values::Numbers { .. } => (column.label, Vec::new()),
        };
        let (kinds, mut texts) = ((numbers.len(), texts.len()), texts.into_iter().map(names));
        let mut numbers = numbers.into_iter();
        match (kinds, numbers.next(), numbers.next(), numbers.next(), texts.next()) {
            ((1, 0), Some(x), ..) => histogram(x),
            ((1, 1), Some(height), _, _, Some(names)) => bars(names, height),
            ((2, 0), Some(a), Some(b), ..) => lines(a, b, None),
            ((2, 1), Some(a), Some(b), _, Some((_, series))) => lines(a, b, Some(series)),
            ((3, 0), Some(a), Some(b), Some(value), _) => heat_map(a, b, value),
            ((numbers, texts), ..) => Err(Failure::new(format!(
                "the last result has {numbers} columns of numbers and times and {texts} of text: \\plot draws a number as a \
                 histogram, (x, y) as a line, (x, y, text) as a line for each text, (text, number) as bars, and \
                 (x, y, number) as a heat map"
            ))),
        }
    }
}

/// A column of numbers or times.
struct Quantity {
    label: String,
    role: Option<Role>,
    values: Vec<f64>,
    times: bool,
    whole: bool,
}

impl Quantity {
    fn of(column: Column) -> Option<Self> {
        let Values::Numbers { values, times, whole } = column.values else { return None };
        let role = if times { Some(Role::Time) } else { column.role };
        Some(Self { label: column.label, role, values, times, whole })
    }

    /// An axis that reaches over the values.
    fn axis(&self, spare: f64) -> Axis {
        let scale = if self.times { Scale::Times } else { Scale::Numbers };
        let reversed = self.role == Some(Role::Vertical { down: true });
        let mut axis = Axis { label: self.label.clone(), scale, reversed, from: 0.0, to: 1.0 };
        axis.fit(self.values.iter().copied(), spare);
        axis
    }

    /// The room that is left at both ends of an axis: none, along coordinates.
    fn spare(&self) -> f64 {
        if self.role.is_some() { 0.0 } else { 0.03 }
    }
}

/// Which of two columns lies, and which stands.
fn lying_and_standing(a: Quantity, b: Quantity) -> (Quantity, Quantity) {
    if Role::uprightness(a.role) > Role::uprightness(b.role) { (b, a) } else { (a, b) }
}

fn nothing() -> Failure {
    Failure::new("the last result has nothing to draw: there are no values")
}

fn histogram(x: Quantity) -> Result<Figure> {
    let mut axis = Axis { reversed: false, ..x.axis(0.0) };
    let values: Vec<f64> = x.values.into_iter().filter(|value| value.is_finite()).collect();
    if values.is_empty() {
        return Err(nothing());
    }
    let extent = axis.to - axis.from;
    let bars = if x.whole && extent < MOST_BARS as f64 {
        // A bar for each number.
        axis.from = (axis.from + 0.5).floor() - 0.5;
        axis.to = (axis.to - 0.5).ceil() + 0.5;
        (axis.to - axis.from).round() as usize
    } else {
        // Rice's rule.
        (2.0 * (values.len() as f64).cbrt()).ceil().clamp(5.0, MOST_BARS as f64) as usize
    };
    let width = (axis.to - axis.from) / bars as f64;
    let mut counts = vec![0u64; bars];
    for value in values {
        let place = (((value - axis.from) / width) as usize).min(bars - 1);
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    let from = axis.from;
    let edge = |place: usize| from + place as f64 * width;
    let bars = counts.into_iter().enumerate();
    let bars = bars.map(|(i, count)| Bar { left: edge(i), right: edge(i + 1), height: count as f64 });
    Ok(of_bars(axis, "rows".to_owned(), bars.collect()))
}

fn bars((label, names): (String, Vec<String>), height: Quantity) -> Result<Figure> {
    if names.len() > MOST_NAMES {
        return Err(Failure::new(format!(
            "the last result has {} bars, and a picture room for {MOST_NAMES}: add a LIMIT",
            names.len()
        )));
    }
    if !height.values.iter().any(|value| value.is_finite()) {
        return Err(nothing());
    }
    let place = |i: usize| i as f64;
    let bars = height.values.iter().enumerate();
    let bars = bars.map(|(i, &height)| Bar { left: place(i) - 0.4, right: place(i) + 0.4, height });
    let bars = bars.filter(|bar| bar.height.is_finite()).collect();
    let to = place(names.len()) - 0.5;
    let x = Axis { label, scale: Scale::Names(names), reversed: false, from: -0.5, to };
    Ok(of_bars(x, height.label, bars))
}

/// Bars, with an axis that reaches from 0 over all of them.
fn of_bars(x: Axis, label: String, bars: Vec<Bar>) -> Figure {
    let mut y = Axis { label, scale: Scale::Numbers, reversed: false, from: 0.0, to: 1.0 };
    y.fit(bars.iter().map(|bar| bar.height).chain([0.0]), 0.0);
    Figure { x, y, marks: Marks::Bars(bars) }
}

fn lines(a: Quantity, b: Quantity, series: Option<Vec<String>>) -> Result<Figure> {
    let (x, y) = lying_and_standing(a, b);
    // Along a coordinate, if one is along the other: else it is a way, in the order of its rows.
    let along_y = y.role.is_some() && x.role.is_none();
    let is_way = x.role.is_some() && y.role.is_some();
    let mut named: Vec<Series> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let points = x.values.iter().copied().zip(y.values.iter().copied()).enumerate();
    for (row, point) in points.filter(|(_, (x, y))| x.is_finite() && y.is_finite()) {
        let name = series.as_ref().and_then(|names| names.get(row));
        let place = *places.entry(name.cloned().unwrap_or_default()).or_insert_with(|| {
            named.push(Series { name: name.cloned(), points: Vec::new() });
            named.len() - 1
        });
        if let Some(series) = named.get_mut(place) {
            series.points.push(point);
        }
    }
    if named.is_empty() {
        return Err(nothing());
    }
    if named.len() > MOST_SERIES {
        return Err(Failure::new(format!(
            "the last result has {} lines, and a picture room for {MOST_SERIES}: choose some with WHERE",
            named.len()
        )));
    }
    if !is_way {
        let along = |(x, y): &(f64, f64)| if along_y { *y } else { *x };
        named.iter_mut().for_each(|series| series.points.sort_by(|a, b| along(a).total_cmp(&along(b))));
    }
    Ok(Figure { x: x.axis(x.spare()), y: y.axis(y.spare()), marks: Marks::Lines(named) })
}

fn heat_map(a: Quantity, b: Quantity, value: Quantity) -> Result<Figure> {
    let (x, y) = lying_and_standing(a, b);
    let places = x.values.iter().copied().zip(y.values.iter().copied()).zip(value.values.iter().copied());
    let places: Vec<_> = places.filter(|((x, y), _)| x.is_finite() && y.is_finite()).collect();
    if !places.iter().any(|(_, value)| value.is_finite()) {
        return Err(nothing());
    }
    let mut columns = edges(places.iter().map(|((x, _), _)| *x));
    let mut rows = edges(places.iter().map(|((_, y), _)| *y));
    // Where a quarter of the cells has no row there is no grid: places that are near are put together.
    while (columns.len() - 1) * (rows.len() - 1) * 3 > places.len() * 4 {
        let more = if columns.len() > rows.len() { &mut columns } else { &mut rows };
        if more.len() - 1 <= SCATTERED {
            break;
        }
        *more = even(more, ((more.len() - 1) / 2).max(SCATTERED));
    }
    let (width, height) = (columns.len() - 1, rows.len() - 1);
    let mut sums = vec![(0.0, 0u32); width * height];
    for ((x, y), value) in places.into_iter().filter(|(_, value)| value.is_finite()) {
        let place = |edges: &[f64], at: f64| {
            (edges.partition_point(|edge| *edge <= at).max(1) - 1).min(edges.len() - 2)
        };
        if let Some((sum, count)) = sums.get_mut(place(&rows, y) * width + place(&columns, x)) {
            *sum += value;
            *count += 1;
        }
    }
    let values: Vec<f64> = sums
        .into_iter()
        .map(|(sum, count)| if count == 0 { f64::NAN } else { sum / f64::from(count) })
        .collect();
    let mut scale = Axis { reversed: false, ..value.axis(0.0) };
    scale.fit(values.iter().copied(), 0.0);
    let over = |quantity: &Quantity, edges: &[f64]| {
        let mut axis = quantity.axis(0.0);
        axis.fit(edges.iter().copied(), 0.0);
        axis
    };
    let (x, y) = (over(&x, &columns), over(&y, &rows));
    Ok(Figure { x, y, marks: Marks::Cells(Cells { columns, rows, values, scale }) })
}

/// Edges half-way between the different values of a coordinate.
fn edges(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.map(|value| value + 0.0).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let (Some(&first), Some(&last)) = (values.first(), values.last()) else { return vec![0.0, 1.0] };
    if first == last {
        return vec![first - 0.5, first + 0.5];
    }
    let between: Vec<f64> =
        values.iter().zip(values.iter().skip(1)).map(|(a, b)| a + (b - a) / 2.0).collect();
    // The outer cells reach as far to the outside as to the inside.
    let before = between.first().map_or(first, |edge| first - (edge - first));
    let after = between.last().map_or(last, |edge| last + (last - edge));
    [before].into_iter().chain(between).chain([after]).collect()
}

/// Edges of so many cells, evenly over what others reach over.
fn even(edges: &[f64], cells: usize) -> Vec<f64> {
    let (Some(first), Some(last)) = (edges.first(), edges.last()) else { return edges.to_vec() };
    (0..=cells).map(|i| first + (last - first) * i as f64 / cells as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(label: &str, role: Option<Role>, values: &[f64]) -> Column {
        let whole = values.iter().all(|value| value.fract() == 0.0);
        let values = Values::Numbers { values: values.to_vec(), times: role == Some(Role::Time), whole };
        Column { label: label.to_owned(), role, values }
    }

    fn texts(label: &str, texts: &[&str]) -> Column {
        let texts = Values::Texts(texts.iter().map(ToString::to_string).collect());
        Column { label: label.to_owned(), role: None, values: texts }
    }

    #[test]
    fn depth_stands_and_grows_downwards() {
        let depth = Some(Role::Vertical { down: true });
        let figure = Figure::of(vec![
            numbers("depth", depth, &[10.0, 0.0, 20.0]),
            numbers("temperature", None, &[8.0, 9.0, 7.0]),
        ])
        .unwrap();
        assert_eq!((figure.x.label.as_str(), figure.y.label.as_str()), ("temperature", "depth"));
        assert!(figure.y.reversed && !figure.x.reversed);
        let points = vec![(9.0, 0.0), (8.0, 10.0), (7.0, 20.0)];
        assert_eq!(figure.marks, Marks::Lines(vec![Series { name: None, points }]));
    }

    #[test]
    fn a_way_keeps_the_order_of_its_rows() {
        let figure = Figure::of(vec![
            numbers("lat", Some(Role::Latitude), &[1.0, 0.0]),
            numbers("lon", Some(Role::Longitude), &[5.0, 9.0]),
        ])
        .unwrap();
        let points = vec![(5.0, 1.0), (9.0, 0.0)];
        assert_eq!(figure.marks, Marks::Lines(vec![Series { name: None, points }]));
    }

    #[test]
    fn text_names_the_lines() {
        let figure = Figure::of(vec![
            texts("station", &["b", "a", "b"]),
            numbers("time", Some(Role::Time), &[2.0, 1.0, 1.0]),
            numbers("t", None, &[f64::NAN, 3.0, 4.0]),
        ])
        .unwrap();
        let series = |name: &str, point| Series { name: Some(name.to_owned()), points: vec![point] };
        assert_eq!(figure.marks, Marks::Lines(vec![series("a", (1.0, 3.0)), series("b", (1.0, 4.0))]));
    }

    #[test]
    fn whole_numbers_have_bars_of_their_own() {
        let figure = Figure::of(vec![numbers("month", None, &[1.0, 3.0, 3.0])]).unwrap();
        let Marks::Bars(bars) = figure.marks else { panic!() };
        let heights: Vec<f64> = bars.iter().map(|bar| bar.height).collect();
        assert_eq!((heights, bars[0].left, bars[2].right), (vec![1.0, 0.0, 2.0], 0.5, 3.5));
        assert_eq!((figure.y.from, figure.y.to), (0.0, 2.0));
    }

    #[test]
    fn every_value_is_in_one_bar() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i * i) / 7.0).collect();
        let Marks::Bars(bars) = Figure::of(vec![numbers("x", None, &values)]).unwrap().marks else {
            panic!()
        };
        assert_eq!(bars.iter().map(|bar| bar.height).sum::<f64>(), 1000.0);
    }

    #[test]
    fn cells_reach_half_way_to_their_neighbours() {
        let figure = Figure::of(vec![
            numbers("lat", Some(Role::Latitude), &[0.0, 0.0, 10.0, 10.0]),
            numbers("lon", Some(Role::Longitude), &[1.0, 2.0, 1.0, 4.0]),
            numbers("t", None, &[1.0, 2.0, 3.0, 4.0]),
        ])
        .unwrap();
        assert_eq!((figure.x.label.as_str(), figure.y.label.as_str()), ("lon", "lat"));
        let Marks::Cells(cells) = figure.marks else { panic!() };
        assert_eq!((cells.columns, cells.rows), (vec![0.5, 1.5, 3.0, 5.0], vec![-5.0, 5.0, 15.0]));
        assert_eq!(
            cells.values.iter().map(|v| if v.is_nan() { -1.0 } else { *v }).collect::<Vec<_>>(),
            [1.0, 2.0, -1.0, 3.0, -1.0, 4.0]
        );
    }

    #[test]
    fn places_on_no_grid_are_put_together() {
        let cells = |x: &[f64], y: &[f64], value: &[f64]| {
            let columns = [("x", x), ("y", y), ("t", value)];
            let figure =
                Figure::of(columns.map(|(name, values)| numbers(name, None, values)).into()).unwrap();
            let Marks::Cells(cells) = figure.marks else { panic!() };
            (
                cells.columns.len() - 1,
                cells.rows.len() - 1,
                cells.values.iter().filter(|v| v.is_finite()).count(),
            )
        };
        let way: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(cells(&way, &way, &way), (SCATTERED, SCATTERED, SCATTERED));
        // Profiles at every other depth in turn.
        let times: Vec<f64> = (0..10_000).map(|i| f64::from(i / 100)).collect();
        let depths: Vec<f64> = (0..10_000).map(|i| f64::from(i % 100 * 2 + i / 100 % 2)).collect();
        assert_eq!(cells(&times, &depths, &depths), (100, 100, 10_000));
        // What is missing is missing, on a grid.
        let values: Vec<f64> = (0..10_000).map(|i| if i % 3 == 0 { 1.0 } else { f64::NAN }).collect();
        let regular: Vec<f64> = (0..10_000).map(|i| f64::from(i % 100)).collect();
        assert_eq!(cells(&times, &regular, &values), (100, 100, 3334));
    }

    #[test]
    fn what_is_no_picture_is_told() {
        let told = |columns| Figure::of(columns).unwrap_err().to_string();
        assert!(told(vec![texts("a", &["b"])]).contains("0 columns of numbers and times and 1 of text"));
        assert!(told(vec![numbers("a", None, &[f64::NAN])]).contains("nothing to draw"));
        let names: Vec<String> = (0..9).map(|i| i.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let nine = [0.0; 9];
        assert!(
            told(vec![numbers("x", None, &nine), numbers("y", None, &nine), texts("s", &names)])
                .contains("9 lines")
        );
    }
}
