//! The rows of a sliding window.

use datafusion::common::{Result, internal_err};

/// The error if DataFusion asks a sliding window for states, or gives it states.
pub fn no_states<T>() -> Result<T> {
    internal_err!("a sliding window has rows, and no states to merge")
}

/// The combined state of the rows of a sliding window. Rows leave in the order in which they came.
///
/// States are only merged, never subtracted: the loss of digits that an outlier causes ends when
/// the outlier leaves. The rows are in two stacks, and each row is merged at most three times.
#[derive(Debug)]
pub struct Window<S> {
    /// The rows that leave first, the first on top. Each entry is the merged state of the row and
    /// the rows under it.
    leaving: Vec<S>,
    /// The rows that came after them, the last on top. Each entry is the state of one row.
    entered: Vec<S>,
    /// The merged state of all of `entered`.
    total: Option<S>,
}

impl<S> Default for Window<S> {
    fn default() -> Self {
        Self { leaving: Vec::new(), entered: Vec::new(), total: None }
    }
}

impl<S: Clone> Window<S> {
    /// Adds a row after all others.
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

    /// The state of all rows; `None` if there are none.
    pub fn state(&self, merge: impl Fn(&S, &S) -> S) -> Option<S> {
        match (self.leaving.last(), &self.total) {
            (Some(first), Some(last)) => Some(merge(first, last)),
            (first, last) => first.or(last.as_ref()).cloned(),
        }
    }

    /// The number of states that fit in the allocated memory: at most two for each row.
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
        // Removing one row too many does nothing.
        (0..=expected.len()).for_each(|_| window.pop(merge));
        assert_eq!(window.state(merge), None);
    }
}
