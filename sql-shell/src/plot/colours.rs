//! Colours of series and of values.

use super::canvas::Colour;

/// Okabe and Ito's colours, which people with all types of colour vision can distinguish.
pub(super) const SERIES: [Colour; 8] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [213, 94, 0],
    [86, 180, 233],
    [204, 121, 167],
    [150, 140, 30],
    [120, 120, 120],
];

/// Evenly spaced colours of matplotlib's viridis, which is perceptually uniform from dark to
/// bright.
const VIRIDIS: [Colour; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// ColorBrewer's RdBu with 11 classes, reversed: from blue over near white to red.
const DIVERGING: [Colour; 11] = [
    [5, 48, 97],
    [33, 102, 172],
    [67, 147, 195],
    [146, 197, 222],
    [209, 229, 240],
    [247, 247, 247],
    [253, 219, 199],
    [244, 165, 130],
    [214, 96, 77],
    [178, 24, 43],
    [103, 0, 31],
];

/// The number of shades of a colour map. It is small, so that neighbours often have the same shade
/// and are drawn together.
pub(super) const SHADES: usize = 96;

/// A colour map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    Sequential,
    /// Diverges from zero.
    Diverging,
}

impl Map {
    /// The shade of a fraction from 0 to 1.
    pub(super) fn shade(share: f64) -> usize {
        (share.clamp(0.0, 1.0) * SHADES as f64).round() as usize
    }

    /// The colour of a shade.
    pub(super) fn colour(self, shade: usize) -> Colour {
        let stops: &[Colour] = match self {
            Self::Sequential => &VIRIDIS,
            Self::Diverging => &DIVERGING,
        };
        let place = shade as f64 / SHADES as f64 * (stops.len() - 1) as f64;
        let lower = (place.floor() as usize).min(stops.len() - 2);
        let mix = place - lower as f64;
        let stop = |at: usize| stops.get(at).copied().unwrap_or_default();
        let (from, to) = (stop(lower), stop(lower + 1));
        std::array::from_fn(|i| (f64::from(from[i]) * (1.0 - mix) + f64::from(to[i]) * mix).round() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_from_end_to_end() {
        let of = |map: Map, share| map.colour(Map::shade(share));
        assert_eq!((of(Map::Sequential, -1.0), of(Map::Sequential, 2.0)), (VIRIDIS[0], VIRIDIS[8]));
        assert_eq!(of(Map::Sequential, 0.5), VIRIDIS[4]);
        assert_eq!(of(Map::Diverging, 0.5), [247, 247, 247]);
        let brightness = |[red, green, blue]: Colour| u32::from(red) + u32::from(green) + u32::from(blue);
        assert!(brightness(of(Map::Diverging, 0.0)) < 200 && brightness(of(Map::Diverging, 1.0)) < 200);
    }
}
