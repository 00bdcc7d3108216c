//! The coastlines of maps.

use std::sync::LazyLock;

use super::canvas::Point;

/// `sql-shell/data/README.md` documents the source and the encoding.
const TEXT: &str = include_str!("../../data/coastlines.txt");

/// Lines of longitudes and latitudes in degrees, none of which crosses the date line.
pub(super) fn coastlines() -> &'static [Vec<Point>] {
    static LINES: LazyLock<Vec<Vec<Point>>> = LazyLock::new(|| TEXT.lines().map(line).collect());
    &LINES
}

fn line(text: &str) -> Vec<Point> {
    let mut numbers = text.split(' ').filter_map(|number| number.parse::<i32>().ok());
    let (mut x, mut y) = (0, 0);
    let mut points = Vec::new();
    while let (Some(dx), Some(dy)) = (numbers.next(), numbers.next()) {
        (x, y) = (x + dx, y + dy);
        points.push((f64::from(x) / 100.0, f64::from(y) / 100.0));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coastlines_are_on_the_globe_and_cross_no_date_line() {
        let lines = coastlines();
        assert!(lines.len() > 100);
        assert_eq!(lines.iter().map(Vec::len).sum::<usize>(), TEXT.split_whitespace().count() / 2);
        for line in lines {
            assert!(line.iter().all(|(x, y)| x.abs() <= 180.0 && y.abs() <= 90.0));
            assert!(line.windows(2).all(|pair| (pair[0].0 - pair[1].0).abs() < 30.0), "{line:?}");
        }
        // Some lines pass Land's End and the Cape of Good Hope.
        for (x, y) in [(-5.2, 50.0), (18.4, -34.2)] {
            let near = |point: &Point| (point.0 - x).hypot(point.1 - y) < 1.0;
            assert!(lines.iter().flatten().any(near), "{x} {y}");
        }
    }
}
