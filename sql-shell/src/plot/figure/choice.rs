//! Chooses the figure that suits the columns of a result.

use super::super::request::Kind;
use super::quantity::Quantity;
use super::series::Series;
use super::{Column, Figure, bars, grid, lines, map};
use crate::columns::role::Role;
use crate::error::{Failure, Result};

/// The columns of a result by type.
struct Columns {
    numbers: Vec<Quantity>,
    texts: Vec<(String, Vec<String>)>,
    ordered: bool,
}

impl Figure {
    /// The figure of a result, of the given kind or of the one that suits it. `ordered` says
    /// whether the rows have an order, and `source` where they come from.
    pub(in crate::plot) fn of(
        columns: Vec<Column>,
        kind: Option<Kind>,
        ordered: bool,
        source: &[String],
    ) -> Result<Self> {
        let mut all = Columns { numbers: Vec::new(), texts: Vec::new(), ordered };
        for column in columns {
            match Quantity::of(column) {
                Ok(number) => all.numbers.push(number),
                Err(text) => all.texts.push(text),
            }
        }
        let subjects = all.subjects();
        let figure = match kind {
            None => all.suitable(),
            Some(Kind::Points) => all.points(),
            Some(Kind::Lines) => all.lines(),
            Some(Kind::Bars) => all.bars(),
            Some(Kind::Map) => all.map(),
            Some(Kind::Section) => all.section(),
            Some(Kind::Histogram) => all.histogram(),
            Some(Kind::Profile) => all.profile(),
        };
        let figure = figure?;
        // A map that only shows positions has no other subject.
        let subject =
            subjects.into_iter().take(if figure.is_map { 1 } else { 2 }).find(|subject| !subject.is_empty());
        let title: Vec<String> = subject.into_iter().chain(source.iter().cloned()).collect();
        // The labels suffice for results that do not come from a table.
        let title = if source.is_empty() { String::new() } else { title.join(" · ") };
        Ok(Self { title, ..figure })
    }
}

impl Columns {
    /// The candidates for the subject of the figure: the measured columns, or else all columns.
    fn subjects(&self) -> [String; 2] {
        let names = |measured: bool| {
            let columns = self.numbers.iter().filter(|column| !measured || !column.is_coordinate());
            columns.map(|column| column.meaning.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        [names(true), names(false)]
    }

    /// An error that names the columns that exist and those that are needed.
    fn unsuitable<T>(&self, needed: &str) -> Result<T> {
        let (numbers, texts) = (self.numbers.len(), self.texts.len());
        let column =
            |number: usize| if number == 1 { "1 column".to_owned() } else { format!("{number} columns") };
        Err(Failure::new(format!(
            "the last result has {} of numbers and times and {texts} of text: {needed}",
            column(numbers)
        )))
    }

    fn suitable(self) -> Result<Figure> {
        match (self.numbers.len(), self.texts.len()) {
            (1, 0) => self.histogram(),
            (1, 1) if self.is_repeated(0) => self.histogram(),
            (1, 1 | 2) => self.bars(),
            (2, 0 | 1) => self.pair(),
            (3.., 0) => self.several(),
            _ => self.unsuitable(
                "\\plot draws a number as a histogram, (text, number) as bars, (x, y) as points or lines, \
                 (x, y, text) with a colour for each text, and (x, y, value) as a map, a section, a heat map \
                 or coloured points",
            ),
        }
    }

    /// Whether a text occurs in several rows.
    fn is_repeated(&self, text: usize) -> bool {
        self.texts.get(text).is_some_and(|(_, texts)| {
            let mut sorted: Vec<_> = texts.iter().collect();
            sorted.sort_unstable();
            sorted.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
        })
    }

    fn position(&self, is: impl Fn(&Quantity) -> bool) -> Option<usize> {
        self.numbers.iter().position(is)
    }

    /// The positions of a longitude column and a latitude column.
    fn horizontal(&self) -> Option<(usize, usize)> {
        let of = |role: Role| self.position(|column| column.meaning.role == Some(role));
        of(Role::Longitude).zip(of(Role::Latitude))
    }

    /// The figure of two numeric columns, and perhaps a text column.
    fn pair(mut self) -> Result<Figure> {
        if self.horizontal().is_some() {
            return self.map();
        }
        let counted = self.position(|column| column.meaning.amount);
        let key = self.position(Quantity::is_coordinate);
        if counted.zip(key).is_some_and(|(counted, key)| counted != key) {
            return self.bars();
        }
        let series = Series::new(self.texts.pop());
        let ordered = self.ordered;
        let [a, b] = self.take([0, 1])?;
        lines::suitable(a, b, &series, ordered)
    }

    /// The figure of three or more numeric columns.
    fn several(mut self) -> Result<Figure> {
        let coordinates: Vec<usize> = (0..self.numbers.len())
            .filter(|at| self.numbers.get(*at).is_some_and(Quantity::is_coordinate))
            .collect();
        let vertical = self.position(|column| column.is_coordinate() && column.is_vertical());
        let across = coordinates.iter().copied().find(|at| Some(*at) != vertical);
        if self.numbers.len() > 3 {
            return match coordinates.as_slice() {
                [_] if self.has_same_units(&coordinates) => self.columns_as_lines(),
                _ => self.unsuitable(
                    "\\plot draws up to three, and more than that where one is a coordinate and the others \
                     have the same units, as lines",
                ),
            };
        }
        if self.horizontal().is_some() {
            return self.map();
        }
        match (vertical, across, coordinates.as_slice()) {
            (Some(vertical), Some(across), _) => {
                let [across, vertical, value] = self.take([across, vertical, 3 - across - vertical])?;
                grid::section(across, vertical, &value)
            }
            (_, _, [a, b, ..]) => {
                let (a, b) = (*a, *b);
                let [a, b, value] = self.take([a, b, 3 - a - b])?;
                if grid::is_grid(&a, &b) {
                    return grid::heat_map(a, b, &value);
                }
                lines::coloured(a, b, &value)
            }
            (_, _, [_]) if self.has_same_units(&coordinates) => self.columns_as_lines(),
            (_, _, [along]) => {
                let along = *along;
                let others: Vec<usize> = (0..3).filter(|at| *at != along).collect();
                let [a, b, value] = self.take([others[0], others[1], along])?;
                lines::coloured(a, b, &value)
            }
            _ => {
                let [a, b, value] = self.take([0, 1, 2])?;
                if grid::is_grid(&a, &b) {
                    return grid::heat_map(a, b, &value);
                }
                lines::coloured(a, b, &value)
            }
        }
    }

    /// Whether all columns other than coordinates have the same units.
    fn has_same_units(&self, coordinates: &[usize]) -> bool {
        let others = self.numbers.iter().enumerate().filter(|(at, _)| !coordinates.contains(at));
        let mut units =
            others.map(|(_, column)| (&column.meaning.units, column.times, column.meaning.amount));
        let first = units.next();
        units.all(|other| Some(other) == first)
    }

    /// One line for each column other than the coordinate.
    fn columns_as_lines(mut self) -> Result<Figure> {
        let along = self.position(Quantity::is_coordinate).unwrap_or(0);
        let along = self.numbers.remove(along);
        let Some((first, others)) = self.numbers.split_first_mut() else {
            return self.unsuitable("lines need a coordinate and a number");
        };
        let rows = along.values.len();
        let names =
            std::iter::once(&*first).chain(&*others).map(|column| column.meaning.name.clone()).collect();
        let series = Series::of_columns(names, rows);
        for other in others.iter_mut() {
            first.values.append(&mut other.values);
        }
        // The legend distinguishes the columns.
        let all = others.len() + 1;
        if all > 1 {
            first.meaning.name = String::new();
        }
        let along = Quantity { values: along.values.repeat(all), ..along };
        let [values] = self.take([0])?;
        lines::suitable(along, values, &series, false)
    }

    fn points(mut self) -> Result<Figure> {
        match (self.numbers.len(), self.texts.len()) {
            (2, 0 | 1) => {
                let series = Series::new(self.texts.pop());
                let [a, b] = self.take([0, 1])?;
                lines::points(a, b, &series)
            }
            (3, 0) => {
                let [a, b, value] = self.take([0, 1, 2])?;
                lines::coloured(a, b, &value)
            }
            _ => self.unsuitable("points are (x, y), (x, y, value) or (x, y, text)"),
        }
    }

    fn lines(mut self) -> Result<Figure> {
        match (self.numbers.len(), self.texts.len()) {
            (2, 0 | 1) => {
                let (series, ordered) = (Series::new(self.texts.pop()), self.ordered);
                let [a, b] = self.take([0, 1])?;
                lines::lines(a, b, &series, ordered)
            }
            (3.., 0) => self.columns_as_lines(),
            _ => self.unsuitable("lines are (x, y), (x, y, text) or (x, several numbers)"),
        }
    }

    fn bars(mut self) -> Result<Figure> {
        match (self.numbers.len(), self.texts.len()) {
            (1, 1 | 2) => {
                let names = self.texts.remove(0);
                let series = Series::new(self.texts.pop());
                let [height] = self.take([0])?;
                bars::of_names(names, &height, &series)
            }
            (2, 0 | 1) => {
                let series = Series::new(self.texts.pop());
                let counted = self.position(|column| column.meaning.amount).unwrap_or(1);
                let [key, height] = self.take([1 - counted, counted])?;
                bars::along(&key, &height, &series)
            }
            _ => self.unsuitable("bars are (text, number), (number, number), or these and a text"),
        }
    }

    fn histogram(mut self) -> Result<Figure> {
        match (self.numbers.len(), self.texts.len()) {
            (1, 0 | 1) => {
                let series = Series::new(self.texts.pop());
                let [values] = self.take([0])?;
                bars::histogram(&values, &series)
            }
            // The rows already contain counts.
            (2, 0 | 1) if self.position(|column| column.meaning.amount).is_some() => self.bars(),
            _ => self.unsuitable("a histogram is of a number, or of a number and a text"),
        }
    }

    fn map(mut self) -> Result<Figure> {
        let needed = "a map needs a longitude and a latitude, by their attributes or by their names, such as \
                      lon and lat, and at most one other column";
        let Some((longitude, latitude)) = self.horizontal() else { return self.unsuitable(needed) };
        match (self.numbers.len(), self.texts.len()) {
            (2, 0 | 1) => {
                let (series, ordered) = (Series::new(self.texts.pop()), self.ordered);
                let [longitude, latitude] = self.take([longitude, latitude])?;
                map::positions(longitude, latitude, &series, ordered)
            }
            (3, 0) => {
                let [longitude, latitude, value] =
                    self.take([longitude, latitude, 3 - longitude - latitude])?;
                map::values(longitude, latitude, &value)
            }
            _ => self.unsuitable(needed),
        }
    }

    fn section(mut self) -> Result<Figure> {
        let needed = "a section needs a vertical coordinate, another one and a value";
        if (self.numbers.len(), self.texts.len()) != (3, 0) {
            return self.unsuitable(needed);
        }
        let vertical = self.position(Quantity::is_vertical).unwrap_or(1);
        let across = (0..3).find(|at| *at != vertical).unwrap_or(0);
        let others = (0..3).filter(|at| *at != vertical);
        let coordinate = others.clone().find(|at| self.numbers.get(*at).is_some_and(Quantity::is_coordinate));
        let across = coordinate.unwrap_or(across);
        let [across, vertical, value] = self.take([across, vertical, 3 - across - vertical])?;
        grid::section(across, standing(vertical), &value)
    }

    fn profile(mut self) -> Result<Figure> {
        let needed =
            "a profile needs a vertical coordinate and values of the same units, or a value and a text";
        let vertical = self.position(Quantity::is_vertical).unwrap_or(0);
        match (self.numbers.len(), self.texts.len()) {
            (2, 0 | 1) => {
                let series = Series::new(self.texts.pop());
                let [vertical, value] = self.take([vertical, 1 - vertical])?;
                lines::suitable(standing(vertical), value, &series, false)
            }
            (3.., 0) if self.has_same_units(&[vertical]) => {
                let vertical = standing(self.numbers.remove(vertical));
                self.numbers.insert(0, vertical);
                self.columns_as_lines()
            }
            _ => self.unsuitable(needed),
        }
    }

    /// Takes the columns at these positions, in this order.
    fn take<const N: usize>(&mut self, positions: [usize; N]) -> Result<[Quantity; N]> {
        let mut all: Vec<_> = std::mem::take(&mut self.numbers).into_iter().map(Some).collect();
        let taken: Vec<_> =
            positions.iter().filter_map(|at| all.get_mut(*at).and_then(Option::take)).collect();
        taken.try_into().map_err(|_| Failure::new("the columns of the last result were not understood"))
    }
}

/// Makes a column vertical on request. It increases downwards if the file does not specify the
/// direction.
fn standing(vertical: Quantity) -> Quantity {
    let mut vertical = vertical;
    let role = match vertical.meaning.role {
        Some(Role::Vertical { down, .. }) => Role::Vertical { down, sure: true },
        _ => Role::Vertical { down: true, sure: true },
    };
    vertical.meaning.role = Some(role);
    vertical
}
