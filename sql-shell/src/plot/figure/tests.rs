//! Which figures result from which columns.

use super::super::axis::Scale;
use super::super::canvas::Point;
use super::super::colours::Map;
use super::super::request::Kind;
use super::quantity::Quantity;
use super::*;
use crate::columns::role::Role;
use crate::columns::{Bin, Meaning};
use crate::error::Result;

const DEPTH: Option<Role> = Some(Role::Vertical { down: true, sure: true });
const PRESSURE: Option<Role> = Some(Role::Vertical { down: true, sure: false });

fn numbers(name: &str, role: Option<Role>, values: &[f64]) -> Column {
    let whole = values.iter().all(|value| value.fract() == 0.0);
    let values = Values::Numbers { values: values.to_vec(), times: role == Some(Role::Time), whole };
    Column { meaning: Meaning { name: name.to_owned(), role, ..Meaning::default() }, values }
}

/// A measured column.
fn measured(name: &str, units: &str, values: &[f64]) -> Column {
    let mut column = numbers(name, None, values);
    column.meaning.units = Some(units.to_owned());
    column
}

/// A grouping key whose values are bins.
fn bins(name: &str, role: Option<Role>, width: f64, values: &[f64]) -> Column {
    let mut column = numbers(name, role, values);
    (column.meaning.independent, column.meaning.bin) = (true, Some(Bin::From(width)));
    column
}

fn counts(values: &[f64]) -> Column {
    let mut column = numbers("count(*)", None, values);
    column.meaning.amount = true;
    column
}

fn texts(name: &str, texts: &[&str]) -> Column {
    let values = Values::Texts(texts.iter().map(ToString::to_string).collect());
    Column { meaning: Meaning::named(name), values }
}

fn figure(columns: Vec<Column>) -> Figure {
    Figure::of(columns, None, false, &[]).unwrap()
}

fn ordered(columns: Vec<Column>) -> Figure {
    Figure::of(columns, None, true, &[]).unwrap()
}

fn of_kind(kind: Kind, columns: Vec<Column>) -> Result<Figure> {
    Figure::of(columns, Some(kind), false, &[])
}

fn line(points: &[Point]) -> Layer {
    Layer::Line { points: points.to_vec(), series: 0 }
}

fn areas(figure: &Figure) -> Vec<Area> {
    let of_layer = |layer: &Layer| match layer {
        Layer::Bars { areas, .. } => areas.clone(),
        Layer::Cells(cells) => cells.iter().map(|cell| cell.area).collect(),
        _ => Vec::new(),
    };
    figure.layers.iter().flat_map(of_layer).collect()
}

#[test]
fn profiles_stand_and_go_downwards() {
    let figure = figure(vec![
        numbers("depth", DEPTH, &[10.0, 0.0, 20.0]),
        measured("temperature", "degC", &[8.0, 9.0, 7.0]),
    ]);
    assert_eq!((figure.x.label.as_str(), figure.y.label.as_str()), ("temperature [degC]", "depth"));
    assert!(figure.y.reversed && !figure.x.reversed);
    assert_eq!(figure.layers, [line(&[(9.0, 0.0), (8.0, 10.0), (7.0, 20.0)])]);
}

#[test]
fn rows_of_many_profiles_are_not_joined() {
    let figure = figure(vec![
        numbers("depth", DEPTH, &[0.0, 10.0, 0.0, 10.0]),
        measured("temperature", "degC", &[8.0, 9.0, 7.0, 6.0]),
    ]);
    assert!(matches!(figure.layers[0], Layer::Points { .. }), "{figure:?}");
    // Each profile is joined if a text distinguishes them.
    let figure = self::figure(vec![
        texts("cast", &["a", "a", "b", "b"]),
        numbers("depth", DEPTH, &[0.0, 10.0, 0.0, 10.0]),
        measured("temperature", "degC", &[8.0, 9.0, 7.0, 6.0]),
    ]);
    assert_eq!(figure.legend, Legend::Names(vec!["a".into(), "b".into()]));
    assert_eq!(figure.layers[1], Layer::Line { points: vec![(7.0, 0.0), (6.0, 10.0)], series: 1 });
}

#[test]
fn measured_columns_are_points() {
    let salinity = || measured("salinity", "psu", &[35.0, 34.0, 35.5]);
    let temperature = || measured("temperature", "degC", &[10.0, 4.0, 12.0]);
    let figure = ordered(vec![salinity(), temperature()]);
    let points = vec![(35.0, 10.0), (34.0, 4.0), (35.5, 12.0)];
    assert_eq!(figure.layers, [Layer::Points { points, series: 0 }]);
    // The coordinate determines the colour, whatever its position.
    let pressure = || numbers("pressure", PRESSURE, &[0.0, 1000.0, 0.0]);
    for columns in [vec![salinity(), temperature(), pressure()], vec![pressure(), salinity(), temperature()]]
    {
        let figure = self::figure(columns);
        assert!(matches!(&figure.layers[0], Layer::Values(points) if points[1] == ((34.0, 4.0), 1000.0)));
        let colours = figure.colours.unwrap();
        assert_eq!((colours.scale.label.as_str(), colours.map), ("pressure", Map::Sequential));
    }
}

#[test]
fn columns_of_the_same_units_are_lines() {
    let figure = figure(vec![
        numbers("month", None, &[1.0, 2.0]),
        measured("least", "degC", &[1.0, 2.0]),
        measured("most", "degC", &[3.0, 4.0]),
    ]);
    // An unknown month is not a coordinate, but it is one as a grouping key.
    assert!(matches!(figure.layers[0], Layer::Values(_)));
    let mut month = numbers("month", None, &[2.0, 1.0]);
    month.meaning.independent = true;
    let figure = self::figure(vec![
        month,
        measured("least", "degC", &[1.0, 2.0]),
        measured("most", "degC", &[3.0, 4.0]),
    ]);
    assert_eq!(figure.legend, Legend::Names(vec!["least".into(), "most".into()]));
    assert_eq!(figure.layers[1], Layer::Line { points: vec![(1.0, 4.0), (2.0, 3.0)], series: 1 });
    assert_eq!(figure.y.label, "[degC]");
}

#[test]
fn an_air_pressure_beside_a_time_is_a_value() {
    let time = || numbers("time", Some(Role::Time), &[0.0, 60.0]);
    let of = |role| figure(vec![time(), numbers("p", role, &[1000.0, 1010.0])]);
    assert!(!of(PRESSURE).y.reversed && of(DEPTH).y.reversed);
}

#[test]
fn a_track_needs_an_order() {
    let columns = || {
        vec![
            numbers("lat", Some(Role::Latitude), &[1.0, 0.0]),
            numbers("lon", Some(Role::Longitude), &[5.0, 9.0]),
        ]
    };
    let points = vec![(5.0, 1.0), (9.0, 0.0)];
    let marks = Layer::Points { points: points.clone(), series: 0 };
    let figure = ordered(columns());
    assert_eq!(figure.layers, [line(&points), marks]);
    assert!(figure.is_map && figure.x.scale == Scale::Longitudes && figure.x.label.is_empty());
    let figure = self::figure(columns());
    assert_eq!(figure.layers, [Layer::Points { points, series: 0 }]);
    let coloured = vec![
        numbers("time", Some(Role::Time), &[0.0, 60.0]),
        numbers("lat", Some(Role::Latitude), &[1.0, 0.0]),
        numbers("lon", Some(Role::Longitude), &[5.0, 9.0]),
    ];
    let figure = self::figure(coloured);
    assert!(figure.is_map && figure.colours.unwrap().scale.scale == Scale::Times);
}

#[test]
fn boxes_have_the_size_of_their_bins() {
    let figure = figure(vec![
        bins("bin(lon, 10)", Some(Role::Longitude), 10.0, &[-40.0, 20.0, 20.0]),
        bins("bin(lat, 10)", Some(Role::Latitude), 10.0, &[50.0, 50.0, -10.0]),
        measured("t", "degC", &[1.0, 2.0, 3.0]),
    ]);
    let areas = areas(&figure);
    assert_eq!(areas[0], Area { x: (20.0, 30.0), y: (-10.0, 0.0) });
    assert_eq!(areas[1], Area { x: (-40.0, -30.0), y: (50.0, 60.0) });
    assert!(figure.is_map && areas.len() == 3);
}

#[test]
fn gaps_in_a_grid_stay_empty() {
    let (mut lat, mut lon) = (Vec::new(), Vec::new());
    for y in [0.0, 10.0, 20.0, 60.0, 70.0] {
        for x in [350.0, 355.0, 360.0] {
            lat.push(y);
            lon.push(x);
        }
    }
    let values: Vec<f64> = (0..15).map(|i| if i == 4 { f64::NAN } else { f64::from(i) }).collect();
    let figure = figure(vec![
        numbers("lat", Some(Role::Latitude), &lat),
        numbers("lon", Some(Role::Longitude), &lon),
        measured("t", "degC", &values),
    ]);
    let areas = areas(&figure);
    assert_eq!(areas.len(), 14);
    assert!(areas.iter().all(|area| (area.x.1 - area.x.0, area.y.1 - area.y.0) == (5.0, 10.0)));
    assert!(areas.contains(&Area { x: (347.5, 352.5), y: (15.0, 25.0) }));
}

#[test]
fn values_at_scattered_places_are_points() {
    let way: Vec<f64> = (0..100).map(|i| f64::from(i) / 3.0).collect();
    let figure = figure(vec![
        numbers("lon", Some(Role::Longitude), &way),
        numbers("lat", Some(Role::Latitude), &way),
        measured("t", "degC", &way),
    ]);
    assert!(matches!(figure.layers[0], Layer::Values(_)) && figure.is_map);
}

#[test]
fn levels_fill_half_the_distance_to_the_next_of_their_profile() {
    let day = 86_400.0;
    let figure = figure(vec![
        numbers("time", Some(Role::Time), &[0.0, 0.0, 0.0, day, day, 5.0 * day, 6.0 * day]),
        numbers("pressure", PRESSURE, &[0.0, 10.0, 30.0, 5.0, 25.0, 0.0, 0.0]),
        measured("t", "degC", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
    ]);
    assert!(figure.y.reversed && figure.y.label == "pressure");
    let areas = areas(&figure);
    let x = (-day / 2.0, day / 2.0);
    assert_eq!(areas[0], Area { x, y: (0.0, 5.0) });
    assert_eq!(areas[1], Area { x, y: (5.0, 20.0) });
    assert_eq!(areas[3], Area { x: (day / 2.0, 1.5 * day), y: (0.0, 15.0) });
    // Three days without a profile stay empty.
    assert_eq!(areas[5].x, (4.5 * day, 5.5 * day));
}

#[test]
fn hovmoeller_diagrams_have_time_upright() {
    let time = numbers("time", Some(Role::Time), &[0.0, 0.0, 60.0, 60.0]);
    let lon = numbers("lon", Some(Role::Longitude), &[0.0, 1.0, 0.0, 1.0]);
    let figure = figure(vec![time, lon, measured("u", "m s-1", &[-1.0, 2.0, 1.0, -2.0])]);
    assert_eq!((figure.x.label.as_str(), figure.y.label.as_str()), ("lon", "time"));
    assert!(figure.y.reversed && !figure.is_map);
    let colours = figure.colours.unwrap();
    assert_eq!((colours.map, colours.scale.from, colours.scale.to), (Map::Diverging, -2.0, 2.0));
}

#[test]
fn only_signed_values_have_diverging_colours() {
    let map = |column: Column, signed: bool| {
        let mut column = column;
        column.meaning.signed = signed;
        let quantity = Quantity::of(column).ok().unwrap();
        quantity.colours(quantity.finite()).map
    };
    let values = [-20.0, 30.0];
    assert_eq!(map(measured("t", "degC", &values), false), Map::Sequential);
    assert_eq!(map(measured("anomaly", "degC", &values), true), Map::Diverging);
    assert_eq!(map(measured("u", "m s**-1", &values), false), Map::Diverging);
    assert_eq!(map(measured("u", "m s**-1", &[1.0, 30.0]), true), Map::Sequential);
    assert_eq!(map(numbers("x", None, &values), false), Map::Diverging);
    assert_eq!(map(numbers("x", None, &[-1.0, 100.0]), false), Map::Sequential);
    assert_eq!(map(numbers("lat", Some(Role::Latitude), &values), false), Map::Sequential);
}

#[test]
fn counts_are_bars_of_bins() {
    let figure = figure(vec![bins("bin(t, 5)", None, 5.0, &[5.0, -5.0]), counts(&[3.0, 8.0])]);
    let expected = [Area { x: (5.0, 10.0), y: (0.0, 3.0) }, Area { x: (-5.0, 0.0), y: (0.0, 8.0) }];
    assert_eq!(areas(&figure), expected);
    assert_eq!((figure.x.from, figure.x.to, figure.y.from), (-5.0, 10.0, 0.0));
    // Along a vertical coordinate, bars are horizontal.
    let figure = self::figure(vec![counts(&[3.0]), bins("bin(p, 5)", DEPTH, 5.0, &[5.0])]);
    assert_eq!(areas(&figure), [Area { x: (0.0, 3.0), y: (5.0, 10.0) }]);
    // Bars of several series are beside each other.
    let figure = self::figure(vec![
        bins("bin(t, 6)", None, 6.0, &[0.0, 0.0]),
        texts("sea", &["North", "Baltic"]),
        counts(&[3.0, 8.0]),
    ]);
    let expected = [Area { x: (0.0, 3.0), y: (0.0, 3.0) }, Area { x: (3.0, 6.0), y: (0.0, 8.0) }];
    assert_eq!(areas(&figure), expected);
    // Means are not amounts, and are drawn at the centres of their bins. The key is horizontal,
    // whatever its position.
    let columns =
        || [bins("bin(t, 6)", None, 6.0, &[6.0, 0.0]), measured("o", "ml/l", &[3.0, 8.0])].into_iter();
    for columns in [columns().collect(), columns().rev().collect()] {
        assert_eq!(self::figure(columns).layers, [line(&[(3.0, 8.0), (9.0, 3.0)])]);
    }
}

#[test]
fn whole_numbers_have_bars_of_their_own() {
    let figure = figure(vec![numbers("month", None, &[1.0, 3.0, 3.0])]);
    let found: Vec<_> = areas(&figure).iter().map(|area| (area.x, area.y.1)).collect();
    assert_eq!(found, [((0.5, 1.5), 1.0), ((1.5, 2.5), 0.0), ((2.5, 3.5), 2.0)]);
    assert_eq!((figure.y.label.as_str(), figure.y.from), ("rows", 0.0));
}

#[test]
fn every_value_is_in_one_bar_with_round_edges() {
    let values: Vec<f64> = (0..1000).map(|i| f64::from(i * i) / 7.0).collect();
    let figure = figure(vec![numbers("x", None, &values)]);
    let areas = areas(&figure);
    assert_eq!(areas.iter().map(|area| area.y.1).sum::<f64>(), 1000.0);
    assert!(areas.iter().all(|area| area.x.0 % 10_000.0 == 0.0 && area.x.1 - area.x.0 == 10_000.0));
    // If texts repeat in several rows, a number has a histogram for each text.
    let figure = self::figure(vec![texts("s", &["a", "b", "a"]), numbers("x", None, &[1.0, 1.0, 2.0])]);
    assert_eq!(figure.legend, Legend::Names(vec!["a".into(), "b".into()]));
}

#[test]
fn kinds_can_be_asked_for() {
    let columns = || vec![numbers("x", None, &[2.0, 1.0]), numbers("y", None, &[3.0, 4.0])];
    assert_eq!(of_kind(Kind::Lines, columns()).unwrap().layers, [line(&[(1.0, 4.0), (2.0, 3.0)])]);
    assert!(matches!(of_kind(Kind::Points, columns()).unwrap().layers[0], Layer::Points { .. }));
    assert_eq!(areas(&of_kind(Kind::Bars, columns()).unwrap())[0].y, (0.0, 3.0));
    let profile = of_kind(Kind::Profile, columns()).unwrap();
    assert!(profile.y.reversed && profile.y.label == "x");
    let error = |kind| of_kind(kind, columns()).unwrap_err().to_string();
    assert!(error(Kind::Map).contains("a map needs a longitude and a latitude"), "{}", error(Kind::Map));
    assert!(error(Kind::Section).contains("a section needs"));
    assert!(error(Kind::Histogram).contains("2 columns of numbers"));
}

#[test]
fn titles_say_what_is_shown_and_where_it_comes_from() {
    let title = |columns: Vec<Column>, source: &[&str]| {
        let source: Vec<String> = source.iter().map(ToString::to_string).collect();
        Figure::of(columns, None, false, &source).unwrap().title
    };
    let depth = || numbers("depth", DEPTH, &[0.0, 10.0]);
    let salinity = || measured("salinity", "psu", &[35.0, 34.0]);
    assert_eq!(title(vec![depth(), salinity()], &["argo", "depth < 20"]), "salinity · argo · depth < 20");
    assert_eq!(title(vec![depth()], &["argo"]), "depth · argo");
    assert_eq!(title(vec![depth(), salinity()], &[]), "");
    let position = [Role::Longitude, Role::Latitude].map(|role| numbers("x", Some(role), &[1.0, 2.0]));
    assert_eq!(title(position.into(), &["argo"]), "argo");
}

#[test]
fn grids_around_the_globe_begin_and_end_at_the_date_line() {
    for (first, seam) in [(-180.0, -180.0), (-175.0, -180.0), (0.0, 0.0), (5.0, 0.0)] {
        let lon: Vec<f64> = (0..36).chain(0..36).map(|i| first + f64::from(i) * 10.0).collect();
        let lat: Vec<f64> = (0..72).map(|i| if i < 36 { -45.0 } else { 45.0 }).collect();
        let figure = figure(vec![
            numbers("lon", Some(Role::Longitude), &lon),
            numbers("lat", Some(Role::Latitude), &lat),
            measured("t", "degC", &lon),
        ]);
        assert_eq!((figure.x.from, figure.x.to), (seam, seam + 360.0));
        assert_eq!((figure.y.from, figure.y.to), (-90.0, 90.0));
        // Cells cover every longitude.
        let areas = areas(&figure);
        for longitude in (1..360).map(|i| seam + f64::from(i)) {
            let is_in = |area: &&Area| area.x.0 <= longitude && longitude <= area.x.1;
            assert!(areas.iter().filter(is_in).count() >= 2, "{first} {longitude}");
        }
    }
}

#[test]
fn places_around_the_globe_are_all_on_the_map() {
    for (west, east, from) in [(-178.0, 179.0, -180.0), (0.0, 358.0, 0.0), (-20.0, 330.0, -25.0)] {
        let lon: Vec<f64> = (0..=50).map(|i| west + (east - west) * f64::from(i) / 50.0).collect();
        let figure = ordered(vec![
            numbers("lon", Some(Role::Longitude), &lon),
            numbers("lat", Some(Role::Latitude), &lon.iter().map(|x| x / 10.0).collect::<Vec<_>>()),
        ]);
        assert_eq!((figure.x.from, figure.x.to), (from, from + 360.0));
    }
}

#[test]
fn many_series_are_counted() {
    let names: Vec<String> = (0..9).map(|i| i.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let columns = [numbers("x", None, &[0.0; 9]), numbers("y", None, &[0.0; 9])];
    let figure = figure(columns.into_iter().chain([texts("dataset", &names)]).collect());
    assert_eq!(figure.legend, Legend::Count(9, "dataset".into()));
}

#[test]
fn what_is_no_picture_is_an_error() {
    let error = |columns| Figure::of(columns, None, false, &[]).unwrap_err().to_string();
    assert!(error(vec![texts("a", &["b"])]).contains("0 columns of numbers and times and 1 of text"));
    assert!(error(vec![numbers("a", None, &[f64::NAN])]).contains("nothing to draw"));
    let long: Vec<String> = (0..70).map(|i| i.to_string()).collect();
    let names: Vec<&str> = long.iter().map(String::as_str).collect();
    assert!(error(vec![texts("a", &names), numbers("n", None, &[1.0; 70])]).contains("more than 60 names"));
}
