//! The rows of a sliding window.

use datafusion::common::{Result, internal_err};

/// What DataFusion is told where it asks a sliding window for states, or gives it some.
pub fn no_states<T>() -> Result<T> {
    internal_err!("a sliding window has rows, and no states to merge")
}

/// What the rows of a sliding window give together. Rows leave in the order in which they came.
///
/// States are only merged, never subtracted: whatever an outlier did to the digits of the others
/// leaves with it. The rows are in two stacks, and each row is merged three times at most.
#[derive(Debug)]
pub struct Window<S> {
    /// The rows that leave first, the first on top: each with those under it in one state.
    leaving: Vec<S>,
    /// The rows that came after them, the last on top: each by itself.
    entered: Vec<S>,
    /// All of `entered` in one state.
    total: Option<S>,
}

impl<S> Default for Window<S> {
    fn default() -> Self {
        Self { leaving: Vec::new(), entered: Vec::new(), total: None }
    }
}

impl<S: Clone> Window<S> {
    /// Adds a row behind all others.
    pub fn push(&mut self, row: S, merge: impl Fn(&S, &S) -> S) {
        self.total = Some(self.total.as_ref().map_or_else(|| row.clone(), |total| merge(total, &row)));
        self.entered.push(row);
    }

    /// Removes the row that came first.
    pub fn pop(&mut self, merge: impl Fn(&S, &S) -> S) {
        if self.leaving.is_empty() {
            self.total = None;
            while let Some(row) = self.entered.pop() {
                let state = self.leaving.last().map_or_else(|| row.clone(), |later| merge(&row, later));
                self.leaving.push(state);
            }
        }
        self.leaving.pop();
    }

    /// The state of all rows; `None` where there are none.
    pub fn state(&self, merge: impl Fn(&S, &S) -> S) -> Option<S> {
        match (self.leaving.last(), &self.total) {
            (Some(first), Some(last)) => Some(merge(first, last)),
            (first, last) => first.or(last.as_ref()).cloned(),
        }
    }

    /// Rows that there is room for: two states a row, at most.
    pub fn capacity(&self) -> usize {
        self.leaving.capacity() + self.entered.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_a_queue_in_their_order() {
        let merge = |a: &String, b: &String| format!("{a}{b}");
        let mut window = Window::default();
        let mut expected = std::collections::VecDeque::new();
        let mut seed = 7u32;
        for number in 0..2000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 30 < 2 || expected.is_empty() {
                let row = format!("{number};");
                expected.push_back(row.clone());
                window.push(row, merge);
            } else {
                expected.pop_front();
                window.pop(merge);
            }
            let all = expected.iter().cloned().reduce(|a, b| merge(&a, &b));
            assert_eq!(window.state(merge), all);
        }
        // One row too many is none.
        (0..=expected.len()).for_each(|_| window.pop(merge));
        assert_eq!(window.state(merge), None);
    }
}
