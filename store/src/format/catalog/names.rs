//! Lookup of names in a schema: datasets may have thousands of arrays and dimensions.

/// The names in a schema.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) arrays: Sorted,
    pub(super) dims: Sorted,
}

/// Positions in a list of names, in the order of the names. Empty for a short list, which is
/// searched linearly.
#[derive(Clone, Debug)]
pub(super) struct Sorted {
    count: usize,
    places: Vec<u32>,
}

/// The length up to which lists are searched linearly.
const FEW: usize = 8;

impl Sorted {
    pub(super) fn of<'a>(count: usize, name: impl Fn(usize) -> Option<&'a str>) -> Self {
        let mut places: Vec<u32> =
            if count > FEW { (0..u32::try_from(count).unwrap_or(u32::MAX)).collect() } else { Vec::new() };
        places.sort_by(|&a, &b| name(a as usize).cmp(&name(b as usize)));
        Self { count, places }
    }

    /// The position of a name.
    pub(super) fn find<'a>(&self, wanted: &str, name: impl Fn(usize) -> Option<&'a str>) -> Option<usize> {
        if self.places.is_empty() {
            return (0..self.count).find(|&place| name(place) == Some(wanted));
        }
        let found = self.places.binary_search_by(|&place| name(place as usize).cmp(&Some(wanted))).ok()?;
        self.places.get(found).map(|&place| place as usize)
    }
}
