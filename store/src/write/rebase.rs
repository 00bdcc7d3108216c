//! Decides whether changes conflict with the commits of others. No other module decides it. The
//! table in the documentation of [`Atlas::flush`](crate::Atlas::flush) describes the same rules.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::format::catalog::Catalog;
use crate::format::record::{Recorded, Written};
use crate::model::schema::{ArraySchema, Attributes};
use crate::model::value::AttributeValue;
use crate::write::changes::{Changed, Changes, StoreAttribute};

/// The commits of others since the generation that the changes are based on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Theirs {
    written: BTreeMap<String, Written>,
    writers: HashSet<String>,
}

impl Theirs {
    /// Adds the commits that followed these.
    pub(crate) fn extend(&mut self, more: &Self) {
        self.writers.extend(more.writers.iter().cloned());
        self.add_written(&more.written);
    }

    /// True if a commit with this token is among them.
    pub(crate) fn have(&self, writer: &str) -> bool {
        self.writers.contains(writer)
    }

    /// Adds the changes of a record.
    pub(crate) fn add(&mut self, recorded: &Recorded) {
        self.writers.insert(recorded.writer.clone());
        self.add_written(&recorded.written);
    }

    fn add_written(&mut self, more: &BTreeMap<String, Written>) {
        for (variable, written) in more {
            self.written.entry(variable.clone()).or_default().extend(written);
        }
    }
}

/// A conflict between two changes: its object and the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collision {
    pub(crate) dataset: Option<String>,
    pub(crate) array: Option<String>,
    pub(crate) reason: String,
}

impl Collision {
    fn of_dataset(dataset: &str, reason: impl Into<String>) -> Self {
        Self { dataset: Some(dataset.to_owned()), array: None, reason: reason.into() }
    }

    fn of_array(dataset: &str, array: &str, reason: impl Into<String>) -> Self {
        Self { dataset: Some(dataset.to_owned()), array: Some(array.to_owned()), reason: reason.into() }
    }
}

/// Rebases the changes `mine`, made to `base`, onto `newest`, which contains `theirs`. Segments
/// stay unchanged; only their descriptions in the catalog change.
///
/// # Errors
/// What both have changed.
pub(crate) fn rebase(
    mine: &Changes,
    base: &Catalog,
    newest: &Catalog,
    theirs: &Theirs,
) -> Result<Changes, Collision> {
    let mut rebased = mine.clone();
    store_attributes(&mut rebased, base, newest)?;
    for (&ordinal, changed) in &mine.changed {
        let name = name_of(base, ordinal);
        let was = base.dataset(ordinal).map(|dataset| Changed::of(base, dataset));
        let now = newest.dataset(ordinal).map(|dataset| Changed::of(newest, dataset));
        let (Some(was), Some(now)) = (was, now) else {
            return Err(Collision::of_dataset(&name, "it was deleted"));
        };
        let Some(changed) = changed else {
            let written = theirs.written.values().any(|written| written.touches(ordinal));
            if was != now || written {
                return Err(Collision::of_dataset(&name, "it was changed, and was to be deleted"));
            }
            continue;
        };
        let merged = merge(ordinal, &was, changed, &now, mine, theirs)?;
        rebased.changed.insert(ordinal, Some(merged));
    }
    for (variable, written) in &mine.written {
        for ordinal in written.datasets().filter(|ordinal| !mine.changed.contains_key(ordinal)) {
            is_same_array(base, newest, ordinal, variable)?;
        }
        if let Some(dataset) = theirs.written.get(variable).and_then(|theirs| written.collision(theirs)) {
            let name = name_of(base, dataset);
            return Err(Collision::of_array(&name, variable, "both have written the same chunk"));
        }
    }
    check_names(&rebased, newest)?;
    Ok(rebased)
}

fn name_of(base: &Catalog, ordinal: u32) -> String {
    base.dataset(ordinal).map_or_else(|| format!("#{ordinal}"), |dataset| dataset.name().to_owned())
}

/// Written chunks fit an array only if it is unchanged.
fn is_same_array(base: &Catalog, newest: &Catalog, ordinal: u32, variable: &str) -> Result<(), Collision> {
    let array = |catalog: &Catalog| {
        let dataset = catalog.dataset(ordinal)?;
        let array = catalog.array(dataset, variable)?;
        Some((without_attributes(array), catalog.shape(dataset, array)))
    };
    let (was, now) = (array(base), array(newest));
    // Neither has the array if it was defined and deleted again before the commit.
    if was != now {
        let reason = "it was defined otherwise, extended or deleted, and was to be written";
        return Err(Collision::of_array(&name_of(base, ordinal), variable, reason));
    }
    Ok(())
}

/// Removes updates that set an attribute of the store to the value that it had in the base.
fn store_attributes(rebased: &mut Changes, base: &Catalog, newest: &Catalog) -> Result<(), Collision> {
    let of = |attributes: &Attributes, key: &str| {
        attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let is_change = |key: &str, value: &AttributeValue| of(&base.attributes, key).as_ref() != Some(value);
    rebased.attributes.retain(|(key, value)| match value {
        StoreAttribute::Set(value) => is_change(key, value),
        StoreAttribute::Update(_) => true,
    });
    for (key, value) in &rebased.attributes {
        let StoreAttribute::Set(value) = value else { continue };
        let (was, now) = (of(&base.attributes, key), of(&newest.attributes, key));
        if was != now && now.as_ref() != Some(value) {
            let reason = format!("both have set the attribute `{key}` of the store");
            return Err(Collision { reason, ..Collision::default() });
        }
    }
    Ok(())
}

/// Merges both changes of a dataset.
fn merge(
    ordinal: u32,
    was: &Changed,
    mine: &Changed,
    now: &Changed,
    changes: &Changes,
    theirs: &Theirs,
) -> Result<Changed, Collision> {
    let both = |what: String| Collision::of_dataset(&was.name, format!("both have changed {what}"));
    let name = three_ways(&was.name, &mine.name, &now.name).ok_or_else(|| both("its name".to_owned()))?;
    let attributes = merge_attributes(&was.attributes, &mine.attributes, &now.attributes)
        .map_err(|key| both(format!("its attribute `{key}`")))?;
    let mut arrays = Vec::new();
    let by_name = |changed: &Changed| -> HashMap<String, (Arc<ArraySchema>, Vec<usize>)> {
        changed
            .arrays
            .iter()
            .map(|(array, shape)| (array.name.clone(), (Arc::clone(array), shape.clone())))
            .collect()
    };
    let (were, are, mines) = (by_name(was), by_name(now), by_name(mine));
    // Arrays of the others keep their positions, and new ones of mine come after them.
    let mut seen = HashSet::new();
    let named = now.arrays.iter().chain(&mine.arrays).chain(&was.arrays).map(|(array, _)| &array.name);
    for array in named.filter(|name| seen.insert(name.as_str())) {
        let (was_array, my_array, their_array) = (were.get(array), mines.get(array), are.get(array));
        let shape_of = |array: Option<&(Arc<ArraySchema>, Vec<usize>)>| {
            array.map(|(schema, shape)| (without_attributes(schema), shape.clone()))
        };
        let (old, own, other) = (shape_of(was_array), shape_of(my_array), shape_of(their_array));
        let collision = |reason: &str| Collision::of_array(&was.name, array, reason);
        let touched = |written: &BTreeMap<String, Written>| {
            written.get(array).is_some_and(|written| written.touches(ordinal))
        };
        match (old == own, old == other) {
            (false, false) => return Err(collision("both have defined, extended or deleted it")),
            (false, true) if touched(&theirs.written) => {
                return Err(collision("it was written, and was to be defined, extended or deleted"));
            }
            (true, false) if touched(&changes.written) => {
                return Err(collision(
                    "it was defined otherwise, extended or deleted, and was to be written",
                ));
            }
            _ => {}
        }
        let chosen = if old == own { their_array } else { my_array };
        let Some((schema, shape)) = chosen else {
            // One side has deleted an array, and the other has set an attribute of it.
            let changed = |array: Option<&(Arc<ArraySchema>, Vec<usize>)>| {
                array.is_some_and(|(schema, _)| {
                    was_array.is_none_or(|(was, _)| was.attributes != schema.attributes)
                })
            };
            if changed(my_array) || changed(their_array) {
                return Err(collision("one has deleted it, and the other changed an attribute of it"));
            }
            continue;
        };
        let attributes = match (was_array, my_array, their_array) {
            (Some((was, _)), Some((mine, _)), Some((theirs, _))) => {
                merge_attributes(&was.attributes, &mine.attributes, &theirs.attributes)
                    .map_err(|key| collision(&format!("both have changed its attribute `{key}`")))?
            }
            _ => schema.attributes.clone(),
        };
        let schema = if attributes == schema.attributes {
            Arc::clone(schema)
        } else {
            Arc::new(ArraySchema { attributes, ..ArraySchema::clone(schema) })
        };
        arrays.push((schema, shape.clone()));
    }
    let mut sizes: HashMap<&str, usize> = HashMap::new();
    for (array, shape) in &arrays {
        for (dim, &size) in array.dims.iter().zip(shape) {
            if *sizes.entry(dim).or_insert(size) != size {
                let reason = format!("both have given dimension `{dim}` a size");
                return Err(Collision::of_array(&was.name, &array.name, reason));
            }
        }
    }
    Ok(Changed { name, arrays, attributes })
}

fn without_attributes(array: &ArraySchema) -> ArraySchema {
    ArraySchema {
        name: array.name.clone(),
        dtype: array.dtype,
        dims: array.dims.clone(),
        chunk: array.chunk.clone(),
        fill: array.fill.clone(),
        attributes: Attributes::new(),
    }
}

/// Merges `mine` and `now` with their base `was`; `None` if both have changed it, to different
/// values.
fn three_ways<T: PartialEq + Clone>(was: &T, mine: &T, now: &T) -> Option<T> {
    if mine == was || mine == now { Some(now.clone()) } else { (now == was).then(|| mine.clone()) }
}

/// Merges the attributes, or returns the name of an attribute that both have changed.
fn merge_attributes(was: &Attributes, mine: &Attributes, now: &Attributes) -> Result<Attributes, String> {
    let of = |attributes: &Attributes, key: &str| -> Option<AttributeValue> {
        attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    };
    let mut seen = HashSet::new();
    let mut merged = Attributes::new();
    for (key, _) in now.iter().chain(mine).chain(was).filter(|(key, _)| seen.insert(key.as_str())) {
        let value = three_ways(&of(was, key), &of(mine, key), &of(now, key)).ok_or_else(|| key.clone())?;
        merged.extend(value.map(|value| (key.clone(), value)));
    }
    Ok(merged)
}

/// Checks that no two datasets have one name.
fn check_names(rebased: &Changes, newest: &Catalog) -> Result<(), Collision> {
    let added = &rebased.added.rows;
    let added = (0..added.len()).filter_map(|row| added.name(row).map(|name| (None, name)));
    let changed = rebased.changed.iter();
    let changed =
        changed.filter_map(|(&ordinal, changed)| Some((Some(ordinal), changed.as_ref()?.name.as_str())));
    let mut names: HashSet<&str> = HashSet::new();
    for (own, name) in added.chain(changed) {
        let other = newest.ordinal(name).filter(|&ordinal| Some(ordinal) != own);
        // If another dataset gives the name up, or is to be deleted, the name is free.
        let taken = other.is_some_and(|other| match rebased.changed.get(&other) {
            Some(Some(changed)) => changed.name == name,
            Some(None) => false,
            None => true,
        });
        if taken || !names.insert(name) {
            return Err(Collision::of_dataset(name, "both have given a dataset this name"));
        }
    }
    Ok(())
}
