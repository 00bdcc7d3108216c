//! Clips lines to a rectangle.

use super::canvas::{Point, Rectangle};

/// The parts of a line inside a rectangle.
pub(super) fn clipped(points: &[Point], area: Rectangle) -> Vec<Vec<Point>> {
    if let [point] = points {
        let inside = segment(*point, *point, area);
        return inside.map(|(from, _)| vec![vec![from]]).unwrap_or_default();
    }
    let mut parts: Vec<Vec<Point>> = Vec::new();
    for (from, to) in points.iter().zip(points.iter().skip(1)) {
        let Some((start, end)) = segment(*from, *to, area) else { continue };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&start) => part.push(end),
            _ => parts.push(vec![start, end]),
        }
    }
    parts
}

/// The part of a straight line inside a rectangle, by the algorithm of Liang and Barsky.
fn segment(from: Point, to: Point, (least, most): Rectangle) -> Option<(Point, Point)> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (mut enter, mut leave) = (0.0f64, 1.0f64);
    for (step, room) in
        [(-dx, from.0 - least.0), (dx, most.0 - from.0), (-dy, from.1 - least.1), (dy, most.1 - from.1)]
    {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            enter = enter.max(room / step);
        } else {
            leave = leave.min(room / step);
        }
    }
    let at = |share: f64| match share {
        0.0 => from,
        1.0 => to,
        share => (from.0 + dx * share, from.1 + dy * share),
    };
    (enter <= leave).then(|| (at(enter), at(leave)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rectangle = ((0.0, 0.0), (10.0, 10.0));

    #[test]
    fn lines_end_at_the_border_and_begin_again() {
        let line = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (7.0, 15.0), (7.0, 5.0)];
        let parts = [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(7.0, 10.0), (7.0, 5.0)]];
        assert_eq!(clipped(&line, AREA), parts);
        assert_eq!(clipped(&[(-1.0, 5.0), (11.0, 5.0)], AREA), [[(0.0, 5.0), (10.0, 5.0)]]);
        assert!(clipped(&[(-2.0, 9.0), (2.0, 13.0)], AREA).is_empty());
    }

    #[test]
    fn a_point_is_inside_or_not() {
        assert_eq!(clipped(&[(3.0, 10.0)], AREA), [[(3.0, 10.0)]]);
        assert!(clipped(&[(3.0, 10.5)], AREA).is_empty() && clipped(&[], AREA).is_empty());
    }
}
