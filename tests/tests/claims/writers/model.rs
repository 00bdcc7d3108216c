//! A plain model of a store with several writers. It has every cell in memory, and implements the
//! table of [`Atlas::flush`]. It knows nothing of segments, records or ordinals.

use std::collections::{BTreeMap, BTreeSet};

use atlas::{ArraySchema, Atlas, AttributeValue, Result, Statistics, Value};
use atlas_tests::model::places;

/// Identifies a dataset, whatever its name.
pub type Id = u64;

pub type Attributes = BTreeMap<String, AttributeValue>;

/// An array: its schema without attributes, its shape, and its cells in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub schema: ArraySchema,
    pub shape: Vec<usize>,
    pub cells: Vec<Option<Value>>,
    pub attributes: Attributes,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    pub name: String,
    pub arrays: BTreeMap<String, Array>,
    pub attributes: Attributes,
}

/// A store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub datasets: BTreeMap<Id, Dataset>,
    pub attributes: Attributes,
}

/// The changes of a writer since its base generation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Touched {
    pub datasets: BTreeSet<Id>,
    /// The chunks that were written, by dataset and array.
    pub chunks: BTreeMap<(Id, String), BTreeSet<Vec<usize>>>,
    /// Arrays that were deleted and defined again, so that all their chunks are new.
    pub redefined: BTreeSet<(Id, String)>,
    /// Attributes of the store: set to a value, or increased by a number.
    pub attributes: Vec<(String, Change)>,
}

/// A change of an attribute of the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Set(AttributeValue),
    Add(i64),
}

impl Change {
    pub fn over(&self, value: Option<&AttributeValue>) -> AttributeValue {
        match self {
            Self::Set(value) => value.clone(),
            Self::Add(more) => add(value, *more),
        }
    }
}

/// The value increased by `more`; `more` itself if there is no value or it is not a number.
pub fn add(value: Option<&AttributeValue>, more: i64) -> AttributeValue {
    match value {
        Some(AttributeValue::One(Value::I64(number))) => (number + more).into(),
        _ => more.into(),
    }
}

/// The dataset and the array in which changes meet.
pub type Place = (Option<String>, Option<String>);

/// The outcome of changes that follow those of others.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The conflicts according to the table. Without conflicts, `merged` is the result.
    pub collisions: BTreeSet<Place>,
    /// Cases in which both have changed something, and one of the changes has no visible effect.
    /// The table can be interpreted either way.
    pub doubts: BTreeSet<Place>,
    pub merged: Model,
}

impl Array {
    /// The properties whose change makes it another array, or another shape of it.
    fn form(&self) -> (&ArraySchema, &[usize]) {
        (&self.schema, &self.shape)
    }

    /// The chunks of a region.
    pub fn chunks_of(&self, start: &[usize], size: &[usize]) -> BTreeSet<Vec<usize>> {
        let chunk = self.schema.chunk_shape(&self.shape);
        let mut chunks = BTreeSet::from([Vec::new()]);
        for ((&start, &size), &chunk) in start.iter().zip(size).zip(&chunk) {
            let along = start / chunk..=(start + size - 1) / chunk;
            chunks =
                chunks.iter().flat_map(|c| along.clone().map(|i| [c.as_slice(), &[i]].concat())).collect();
        }
        chunks
    }

    /// The positions of a chunk's cells.
    fn cells_of(&self, chunk: &[usize]) -> Vec<usize> {
        let sizes = self.schema.chunk_shape(&self.shape);
        let start: Vec<_> = chunk.iter().zip(&sizes).map(|(i, size)| i * size).collect();
        let size = start
            .iter()
            .zip(&sizes)
            .zip(&self.shape)
            .map(|((start, size), extent)| (*size).min(extent - start));
        places(&self.shape, &start, &size.collect::<Vec<_>>())
    }
}

impl Model {
    pub fn id(&self, name: &str) -> Option<Id> {
        self.datasets.iter().find(|(_, dataset)| dataset.name == name).map(|(&id, _)| id)
    }

    /// The datasets by name, without properties that the store may choose.
    pub fn shown(&self) -> BTreeMap<String, Dataset> {
        self.datasets.values().map(|dataset| (dataset.name.clone(), dataset.clone())).collect()
    }
}

/// Merges `mine`, which `touched` some of `base`, with `now`, which others have made of `base` with
/// `theirs`.
pub fn merge(base: &Model, mine: &Model, touched: &Touched, now: &Model, theirs: &Touched) -> Outcome {
    let mut outcome = Outcome { merged: now.clone(), ..Outcome::default() };
    outcome.merge_store_attributes(base, touched, now);
    let ids: BTreeSet<Id> = base.datasets.keys().chain(mine.datasets.keys()).copied().collect();
    for id in ids {
        match (base.datasets.get(&id), mine.datasets.get(&id), now.datasets.get(&id)) {
            (None, Some(mine), _) => drop(outcome.merged.datasets.insert(id, mine.clone())),
            (Some(base), Some(mine), Some(now)) => {
                outcome.merge_dataset(id, [base, mine, now], touched, theirs);
            }
            (Some(base), Some(mine), None) => {
                let places = of_dataset(&base.name, &mine.arrays, &base.arrays);
                if base != mine || wrote(touched, id) {
                    outcome.collisions.extend(places);
                } else if touched.datasets.contains(&id) {
                    outcome.doubts.extend(places);
                }
            }
            (Some(base), None, Some(now)) => {
                let places = [(Some(base.name.clone()), None)];
                if base != now || wrote(theirs, id) {
                    outcome.collisions.extend(places);
                } else if theirs.datasets.contains(&id) {
                    outcome.doubts.extend(places);
                }
                outcome.merged.datasets.remove(&id);
            }
            (Some(base), None, None) => drop(outcome.collisions.insert((Some(base.name.clone()), None))),
            (None, None, _) => {}
        }
    }
    let mut names = BTreeSet::new();
    for dataset in outcome.merged.datasets.values() {
        if !names.insert(&dataset.name) {
            outcome.collisions.insert((Some(dataset.name.clone()), None));
        }
    }
    outcome
}

/// True if chunks of a dataset were written.
fn wrote(touched: &Touched, id: Id) -> bool {
    touched.chunks.iter().any(|((of, _), chunks)| *of == id && !chunks.is_empty())
}

/// A dataset, and each of its arrays.
fn of_dataset<'a>(
    name: &'a str,
    mine: &'a BTreeMap<String, Array>,
    base: &'a BTreeMap<String, Array>,
) -> impl Iterator<Item = Place> + 'a {
    let arrays = mine.keys().chain(base.keys()).map(|array| Some(array.clone()));
    [None].into_iter().chain(arrays).map(move |array| (Some(name.to_owned()), array))
}

impl Outcome {
    fn merge_store_attributes(&mut self, base: &Model, touched: &Touched, now: &Model) {
        for (key, change) in &touched.attributes {
            if let Change::Set(value) = change {
                let (was, is) = (base.attributes.get(key), now.attributes.get(key));
                if was == Some(value) {
                    // The dataset was not changed.
                    continue;
                }
                if was != is && is != Some(value) {
                    self.collisions.insert((None, None));
                }
            }
            let value = change.over(self.merged.attributes.get(key));
            self.merged.attributes.insert(key.clone(), value);
        }
    }

    fn merge_dataset(
        &mut self,
        id: Id,
        [base, mine, now]: [&Dataset; 3],
        touched: &Touched,
        theirs: &Touched,
    ) {
        let of = |array: Option<&str>| (Some(base.name.clone()), array.map(str::to_owned));
        let mut merged = now.clone();
        match three(&base.name, &mine.name, &now.name) {
            Some(name) => merged.name.clone_from(name),
            None => drop(self.collisions.insert(of(None))),
        }
        match attributes(&base.attributes, &mine.attributes, &now.attributes) {
            Some(attributes) => merged.attributes = attributes,
            None => drop(self.collisions.insert(of(None))),
        }
        let names: BTreeSet<&String> =
            base.arrays.keys().chain(mine.arrays.keys()).chain(now.arrays.keys()).collect();
        for name in names {
            let key = (id, name.clone());
            let [was, own, other] = [base, mine, now].map(|dataset| dataset.arrays.get(name));
            let [was_form, own_form, other_form] = [was, own, other].map(|array| array.map(Array::form));
            let none = BTreeSet::new();
            let [own_chunks, their_chunks] =
                [touched, theirs].map(|touched| touched.chunks.get(&key).unwrap_or(&none));
            let [own_anew, their_anew] = [touched, theirs].map(|touched| touched.redefined.contains(&key));
            let empty = was.is_none_or(|was| was.cells.iter().all(Option::is_none));
            let collides = match (own_form != was_form, other_form != was_form) {
                (true, true) => true,
                (true, false) => !their_chunks.is_empty(),
                (false, true) => !own_chunks.is_empty(),
                (false, false) => !own_chunks.is_disjoint(their_chunks),
            };
            let touches = |chunks: &BTreeSet<_>, anew, form| anew || !chunks.is_empty() || form != was_form;
            let anew = own_anew && touches(their_chunks, their_anew, other_form)
                || their_anew && touches(own_chunks, own_anew, own_form);
            if collides || anew && !empty {
                self.collisions.insert(of(Some(name)));
                continue;
            }
            if anew {
                self.doubts.insert(of(Some(name)));
            }
            // If one side has deleted an array, the other must not have changed it.
            let changed = |array: Option<&Array>| {
                was.zip(array).is_some_and(|(was, array)| was.attributes != array.attributes)
            };
            let (Some(was), Some(own), Some(other)) = (was, own, other) else {
                if changed(own) || changed(other) {
                    self.collisions.insert(of(Some(name)));
                } else if was.is_none() {
                    merged.arrays.extend(own.or(other).map(|array| (name.clone(), array.clone())));
                } else {
                    merged.arrays.remove(name);
                }
                continue;
            };
            let Some(attributes) = attributes(&was.attributes, &own.attributes, &other.attributes) else {
                self.collisions.insert(of(Some(name)));
                continue;
            };
            if (own_anew && was.attributes != other.attributes)
                || (their_anew && was.attributes != own.attributes)
            {
                self.doubts.insert(of(Some(name)));
            }
            let replaced = own_form != was_form || own_anew && !empty;
            let mut array = if replaced { own.clone() } else { other.clone() };
            if array.form() == own.form() {
                for place in own_chunks.iter().flat_map(|chunk| own.cells_of(chunk)) {
                    array.cells[place] = own.cells[place].clone();
                }
            }
            array.attributes = attributes;
            merged.arrays.insert(name.clone(), array);
        }
        let mut sizes: BTreeMap<&String, BTreeSet<usize>> = BTreeMap::new();
        for array in merged.arrays.values() {
            for (dim, &size) in array.schema.dims.iter().zip(&array.shape) {
                sizes.entry(dim).or_default().insert(size);
            }
        }
        for (name, array) in &merged.arrays {
            if array.schema.dims.iter().any(|dim| sizes[dim].len() > 1) {
                self.collisions.insert(of(Some(name)));
            }
        }
        self.merged.datasets.insert(id, merged);
    }
}

/// Merges `mine` and `now` with their base `was`.
fn three<'a, T: PartialEq + ?Sized>(was: &T, mine: &'a T, now: &'a T) -> Option<&'a T> {
    match (mine == was, now == was) {
        (true, _) => Some(now),
        (_, true) => Some(mine),
        _ => (mine == now).then_some(mine),
    }
}

fn attributes(was: &Attributes, mine: &Attributes, now: &Attributes) -> Option<Attributes> {
    let keys: BTreeSet<&String> = was.keys().chain(mine.keys()).chain(now.keys()).collect();
    let mut merged = Attributes::new();
    for key in keys {
        let [was, mine, now] = [was, mine, now].map(|attributes| attributes.get(key));
        let value = *three(&was, &mine, &now)?;
        merged.extend(value.map(|value| (key.clone(), value.clone())));
    }
    Some(merged)
}

/// Everything that a handle shows. Statistics are compared with the cells.
pub async fn read(atlas: &Atlas) -> Result<(BTreeMap<String, Dataset>, Attributes)> {
    let mut datasets = BTreeMap::new();
    for name in atlas.list_datasets()? {
        let view = atlas.open_dataset(&name).await?;
        let attributes = view.attributes()?.into_iter().collect();
        let mut dataset = Dataset { name: name.clone(), attributes, ..Dataset::default() };
        for mut schema in view.arrays()? {
            let attributes = std::mem::take(&mut schema.attributes).into_iter().collect();
            let shape = view.shape(&schema.name)?;
            let read = view.read_arrow(&schema.name, &vec![0; shape.len()], &shape).await?;
            let found = view.array_stats(&schema.name).await?;
            let expected = Statistics::of(&read, schema.dtype);
            assert!(same(&found, &expected), "{name}/{}: {found:?}, not {expected:?}", schema.name);
            let cells = (0..read.len()).map(|i| schema.dtype.value(&read, i)).collect();
            dataset.arrays.insert(schema.name.clone(), Array { schema, shape, cells, attributes });
        }
        datasets.insert(name, dataset);
    }
    Ok((datasets, atlas.attributes().into_iter().collect()))
}

/// Deviations are summed in another order than that of the cells.
fn same(one: &Statistics, other: &Statistics) -> bool {
    let near = match (one.m2, other.m2) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(1.0),
        (one, other) => one == other,
    };
    let counts = |s: &Statistics| (s.row_count, s.null_count, s.nan_count);
    let bounds = |s: &Statistics| (s.min.clone(), s.max.clone(), s.sum.clone());
    near && counts(one) == counts(other) && bounds(one) == bounds(other)
}
