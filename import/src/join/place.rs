//! Places the parts of a joined dataset along its dimension: in the order of the coordinate, with
//! each value once.

use std::collections::BTreeMap;

/// The coordinates of a part, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part {
    pub keys: Vec<i64>,
    /// Whether it overwrites existing cells, since its file has changed.
    pub overwrites: bool,
}

/// Consecutive indices of a part, and their target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub from: usize,
    pub to: usize,
    pub len: usize,
}

/// The positions of all parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Placement {
    /// The length of the dimension.
    pub total: usize,
    /// The runs of the existing indices, without overwritten ones.
    pub old: Vec<Run>,
    /// The runs of each part.
    pub parts: Vec<Vec<Run>>,
    /// True if the existing indices keep their positions.
    pub stays: bool,
}

impl Placement {
    /// The number of indices of a part that are dropped, since another part or the existing dataset
    /// has the same coordinates.
    pub(super) fn dropped(&self, part: usize, keys: usize) -> usize {
        let placed = self.parts.get(part).map_or(0, |runs| runs.iter().map(|run| run.len).sum());
        keys.saturating_sub(placed)
    }
}

/// Places parts among the existing coordinates `old`; all are ascending. If two parts have the same
/// coordinate, the first part provides its cells.
pub(super) fn place(old: &[i64], parts: &[Part]) -> Placement {
    // For each coordinate, the part (0 for the existing dataset, else from 1), and the index in it.
    let mut owners: BTreeMap<i64, (usize, usize)> =
        old.iter().enumerate().map(|(index, &key)| (key, (0, index))).collect();
    for (number, part) in parts.iter().enumerate() {
        for (index, &key) in part.keys.iter().enumerate() {
            let owner = owners.entry(key).or_insert((number + 1, index));
            if owner.0 == 0 && part.overwrites {
                *owner = (number + 1, index);
            }
        }
    }
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); parts.len() + 1];
    for (to, (owner, from)) in owners.values().copied().enumerate() {
        let Some(of_owner) = runs.get_mut(owner) else { continue };
        match of_owner.last_mut() {
            Some(last) if last.from + last.len == from && last.to + last.len == to => last.len += 1,
            _ => of_owner.push(Run { from, to, len: 1 }),
        }
    }
    let total = owners.len();
    // All new coordinates come after the existing ones.
    let stays = owners.keys().take(old.len()).eq(old);
    let mut runs = runs.into_iter();
    Placement { total, old: runs.next().unwrap_or_default(), parts: runs.collect(), stays }
}

/// Steps between adjacent coordinates that are longer than most steps. Each is given by the
/// position before it, and the number of missing coordinates.
pub(super) fn gaps(coordinates: &[f64]) -> Vec<(usize, usize)> {
    let steps: Vec<f64> =
        coordinates.iter().zip(coordinates.iter().skip(1)).map(|(one, next)| next - one).collect();
    let mut sorted = steps.clone();
    sorted.sort_by(f64::total_cmp);
    let Some(&usual) = sorted.get(sorted.len() / 2).filter(|&&usual| usual > 0.0) else { return Vec::new() };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let missing = |step: f64| ((step / usual).round() as usize).saturating_sub(1);
    let long = steps.into_iter().enumerate().filter(|(_, step)| *step > 1.5 * usual);
    long.map(|(place, step)| (place, missing(step).max(1))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(keys: &[i64]) -> Part {
        Part { keys: keys.to_vec(), overwrites: false }
    }

    #[test]
    fn parts_out_of_order_and_twice_have_one_place_each() {
        let placed = place(&[], &[part(&[1, 2]), part(&[1, 2]), part(&[5, 6]), part(&[3, 4])]);
        let run = |to| vec![Run { from: 0, to, len: 2 }];
        assert_eq!(placed.parts, [run(0), vec![], run(4), run(2)]);
        assert_eq!((placed.total, placed.dropped(1, 2), placed.dropped(0, 2)), (6, 2, 0));
    }

    #[test]
    fn what_comes_behind_lets_the_rest_stay() {
        assert!(place(&[1, 2], &[part(&[3])]).stays);
        assert!(place(&[1, 2], &[Part { keys: vec![2, 3], overwrites: true }]).stays);
        assert!(!place(&[1, 3], &[part(&[2])]).stays);
        assert!(place(&[], &[part(&[2])]).stays);
    }

    #[test]
    fn gaps_are_told_by_the_usual_step() {
        assert_eq!(gaps(&[0.0, 1.0, 2.0, 5.0, 6.0]), [(2, 2)]);
        assert_eq!(gaps(&[0.0, 1.0]), []);
        assert_eq!(gaps(&[3.0]), []);
        // Months differ in length.
        assert_eq!(gaps(&[0.0, 31.0, 59.0, 90.0, 120.0]), []);
    }

    proptest! {
        #[test]
        fn places_are_those_of_a_sorted_list(
            old in prop::collection::btree_set(0i64..30, 0..12),
            parts in prop::collection::vec(
                (prop::collection::btree_set(0i64..30, 0..8), any::<bool>()), 0..5),
        ) {
            let old: Vec<i64> = old.into_iter().collect();
            let parts: Vec<Part> = parts
                .into_iter()
                .map(|(keys, overwrites)| Part { keys: keys.into_iter().collect(), overwrites })
                .collect();
            let placed = place(&old, &parts);
            let mut all: Vec<i64> = old.iter().chain(parts.iter().flat_map(|part| &part.keys)).copied().collect();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(placed.total, all.len());
            // Every position is filled once, with its coordinate.
            let mut filled = vec![None; all.len()];
            let sources = std::iter::once(&old).chain(parts.iter().map(|part| &part.keys));
            let runs = std::iter::once(&placed.old).chain(&placed.parts);
            for (number, (keys, runs)) in sources.zip(runs).enumerate() {
                for run in runs {
                    for step in 0..run.len {
                        prop_assert_eq!(filled[run.to + step].replace(number), None);
                        prop_assert_eq!(keys[run.from + step], all[run.to + step]);
                    }
                }
            }
            // The first part with a coordinate provides it. The existing dataset takes precedence
            // over parts that do not overwrite.
            for (key, owner) in all.iter().zip(&filled) {
                let changed = parts.iter().position(|part| part.overwrites && part.keys.contains(key));
                let expected = match (old.contains(key), changed) {
                    (true, Some(part)) => part + 1,
                    (true, None) => 0,
                    (false, _) => parts.iter().position(|part| part.keys.contains(key)).unwrap() + 1,
                };
                prop_assert_eq!(*owner, Some(expected));
            }
            let still = all.iter().take(old.len()).eq(&old);
            prop_assert_eq!(placed.stays, still);
        }
    }
}
