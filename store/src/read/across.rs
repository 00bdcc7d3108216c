//! One array of many datasets, read at once.

use std::sync::Arc;
use std::thread::available_parallelism;

use arrow::array::{Array, ArrayRef};
use futures::{StreamExt, stream};
use ndarray::ArrayD;

use crate::error::{Error, Result};
use crate::model::dtype::Element;
use crate::model::grid::Region;
use crate::read::snapshot::{ArrayRead, Snapshot, check_region, check_room};
use crate::storage::requests::ReadMetrics;
use crate::store::Atlas;
use crate::write::pending::PendingRead;

/// The most bytes of cells that are decoded by one task, unless one dataset has more. What is
/// decoded is copied and dropped while the next cells are decoded, so that little more memory is
/// needed than the result has.
const GROUP_BYTES: usize = 4 << 20;

/// What to read of one dataset.
struct Wanted<T> {
    /// The dataset's position in the result.
    place: usize,
    dataset: String,
    region: Region,
    /// The value for its missing cells.
    missing: T,
    /// Its ordinal, if nothing of the array is pending.
    committed: Option<u32>,
}

/// What the arrays of many datasets are read into.
trait Target<T> {
    /// Prepares for what will be read.
    fn begin(&mut self, array: &str, wanted: &[Wanted<T>]) -> Result<()>;

    /// Takes the cells of one dataset.
    fn take(&mut self, wanted: &Wanted<T>, cells: &ArrayRef) -> Result<(), String>;
}

/// One array for each dataset that has it.
struct Each<T>(Vec<Option<ArrayD<T>>>);

impl<T: Element> Target<T> for Each<T> {
    fn begin(&mut self, _: &str, _: &[Wanted<T>]) -> Result<()> {
        Ok(())
    }

    fn take(&mut self, wanted: &Wanted<T>, cells: &ArrayRef) -> Result<(), String> {
        let values = T::from_arrow(cells, &wanted.missing);
        let array = ArrayD::from_shape_vec(wanted.region.shape.clone(), values).map_err(|e| e.to_string())?;
        let place = self.0.get_mut(wanted.place).ok_or("more datasets than were asked for")?;
        *place = Some(array);
        Ok(())
    }
}

/// The arrays of all datasets, one after the other.
struct Stacked<T> {
    datasets: usize,
    /// The shape of each.
    shape: Vec<usize>,
    cells: Vec<T>,
}

impl<T: Element> Target<T> for Stacked<T> {
    fn begin(&mut self, array: &str, wanted: &[Wanted<T>]) -> Result<()> {
        let wrong = |wanted: &Wanted<T>, reason| {
            let dataset = wanted.dataset.clone();
            Err(Error::Shape { dataset, array: array.to_owned(), reason })
        };
        let Some(first) = wanted.iter().min_by_key(|wanted| wanted.place) else { return Ok(()) };
        self.shape = first.region.shape.clone();
        let others = wanted.iter().filter(|wanted| wanted.region.shape != self.shape);
        if let Some(other) = others.min_by_key(|wanted| wanted.place) {
            let (found, each) = (&other.region.shape, &self.shape);
            return wrong(other, format!("its shape {found:?} is not {each:?}, that of the first dataset"));
        }
        let cells = first.region.cells().saturating_mul(self.datasets);
        if let Err(reason) = check_room(T::DTYPE, cells) {
            return wrong(first, reason);
        }
        self.cells = vec![T::default(); cells];
        Ok(())
    }

    fn take(&mut self, wanted: &Wanted<T>, cells: &ArrayRef) -> Result<(), String> {
        let start = wanted.place * cells.len();
        let place = self.cells.get_mut(start..start + cells.len()).ok_or("more cells than were asked for")?;
        T::copy_arrow(cells, &wanted.missing, place);
        Ok(())
    }
}

impl Atlas {
    /// Reads one array of several datasets: the region of `shape` that starts at `start`, or the
    /// whole array if both are empty. Results are in the order of `names`; `None` for datasets
    /// without the array. A missing cell is read as the fill value of the dataset's array, or as
    /// zero or empty if the array has none. All datasets are read at the same generation, with
    /// pending changes. If the runtime has several threads, the work is distributed over the
    /// processor's cores.
    ///
    /// # Errors
    /// Those of [`read_array`](crate::DatasetView::read_array) except [`Error::NoArray`], for the
    /// first dataset that cannot be read.
    pub async fn read_array_across<T: Element>(
        &self,
        array: &str,
        names: &[impl AsRef<str>],
        start: &[usize],
        shape: &[usize],
    ) -> Result<Vec<Option<ArrayD<T>>>> {
        let mut read = Each(vec![None; names.len()]);
        self.read_all(array, names, start, shape, true, &mut read).await?;
        Ok(read.0)
    }

    /// The same as a single array, whose first dimension is the datasets in the order of `names`.
    /// All datasets must have the array.
    ///
    /// # Errors
    /// Those of [`read_array_across`](Self::read_array_across), [`Error::NoArray`], and
    /// [`Error::Shape`] if whole arrays differ in shape.
    pub async fn read_array_stacked<T: Element>(
        &self,
        array: &str,
        names: &[impl AsRef<str>],
        start: &[usize],
        shape: &[usize],
    ) -> Result<ArrayD<T>> {
        let mut stacked = Stacked { datasets: names.len(), shape: shape.to_vec(), cells: Vec::new() };
        self.read_all(array, names, start, shape, false, &mut stacked).await?;
        let shape = [&[stacked.datasets], stacked.shape.as_slice()].concat();
        ArrayD::from_shape_vec(shape, stacked.cells).map_err(|e| Error::corrupt(array, e.to_string()))
    }

    /// [`read_array_stacked`](Self::read_array_stacked) by another name.
    ///
    /// # Errors
    /// Those of `read_array_stacked`.
    pub async fn read_array_across_stacked<T: Element>(
        &self,
        array: &str,
        names: &[impl AsRef<str>],
        start: &[usize],
        shape: &[usize],
    ) -> Result<ArrayD<T>> {
        self.read_array_stacked(array, names, start, shape).await
    }

    async fn read_all<T: Element>(
        &self,
        array: &str,
        names: &[impl AsRef<str>],
        start: &[usize],
        shape: &[usize],
        optional: bool,
        target: &mut impl Target<T>,
    ) -> Result<()> {
        loop {
            let base = self.snapshot();
            base.load().await?;
            let Some(wanted) = self.wanted::<T>(&base, array, names, start, shape, optional)? else {
                continue;
            };
            target.begin(array, &wanted)?;
            let (committed, pending): (Vec<_>, Vec<_>) =
                wanted.into_iter().partition(|wanted| wanted.committed.is_some());
            let mut read = Vec::with_capacity(pending.len());
            for wanted in &pending {
                read.push(self.cells(&wanted.dataset, array, wanted.region.clone()).await?);
            }
            // Another task has committed the pending changes, which are now in another generation.
            if !pending.is_empty() && !Arc::ptr_eq(&base, &self.snapshot()) {
                continue;
            }
            for (wanted, cells) in pending.iter().zip(read) {
                target.take(wanted, &cells).map_err(|reason| Error::corrupt(array, reason))?;
            }
            return read_committed(&base, array, committed, target).await;
        }
    }

    /// What to read of each dataset, provided that this handle is still at `base`.
    fn wanted<T: Element>(
        &self,
        base: &Arc<Snapshot>,
        array: &str,
        names: &[impl AsRef<str>],
        start: &[usize],
        shape: &[usize],
        optional: bool,
    ) -> Result<Option<Vec<Wanted<T>>>> {
        let pending = self.pending();
        if !Arc::ptr_eq(base, pending.base()) {
            return Ok(None);
        }
        let mut wanted = Vec::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            let dataset = name.as_ref().to_owned();
            let (schema, whole) = match pending.array(&dataset, array) {
                Err(Error::NoArray { .. }) if optional => continue,
                found => found?,
            };
            schema.check_type::<T>(&dataset)?;
            let region = if start.is_empty() && shape.is_empty() {
                Region::all(&whole)
            } else {
                Region::new(start, shape)
            };
            check_region(&dataset, array, &region, &whole)?;
            let missing = schema.fill.as_ref().and_then(T::from_value).unwrap_or_default();
            let committed = match pending.reading(&dataset, array, Some(&region))? {
                PendingRead::Committed(ordinal) => Some(ordinal),
                PendingRead::Chunks(_) => None,
            };
            wanted.push(Wanted { place, dataset, region, missing, committed });
        }
        // Datasets that are neighbours in the store share blocks.
        wanted.sort_by_key(|wanted| wanted.committed);
        Ok(Some(wanted))
    }
}

/// Reads datasets in groups, several at a time.
async fn read_committed<T: Element>(
    snapshot: &Arc<Snapshot>,
    array: &str,
    mut wanted: Vec<Wanted<T>>,
    target: &mut impl Target<T>,
) -> Result<()> {
    let threads = available_parallelism().map_or(1, usize::from);
    let bytes = wanted.iter().map(|wanted| wanted.region.cells() * T::DTYPE.memory_width()).max();
    let of_bytes = GROUP_BYTES / bytes.unwrap_or(1).max(1);
    let size = of_bytes.min(wanted.len().div_ceil(threads)).max(1);
    let mut groups = Vec::with_capacity(wanted.len().div_ceil(size));
    while !wanted.is_empty() {
        let rest = wanted.split_off(size.min(wanted.len()));
        groups.push(std::mem::replace(&mut wanted, rest));
    }
    let reading = stream::iter(groups)
        .map(|group| tokio::spawn(read_group(Arc::clone(snapshot), array.to_owned(), group)));
    // While cells are copied, each thread has a group to decode.
    let mut reading = reading.buffered(threads * 2);
    while let Some(read) = reading.next().await {
        for (wanted, cells) in read.map_err(|e| Error::corrupt(array, e.to_string()))?? {
            target.take(&wanted, &cells).map_err(|reason| Error::corrupt(array, reason))?;
        }
    }
    Ok(())
}

async fn read_group<T: Element>(
    snapshot: Arc<Snapshot>,
    array: String,
    wanted: Vec<Wanted<T>>,
) -> Result<Vec<(Wanted<T>, ArrayRef)>> {
    let reads: Vec<_> = wanted
        .iter()
        .filter_map(|wanted| Some(ArrayRead { dataset: wanted.committed?, region: wanted.region.clone() }))
        .collect();
    let cells = snapshot.read(&array, &reads, &ReadMetrics::default()).await?;
    Ok(wanted.into_iter().zip(cells).collect())
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};

    use super::*;
    use crate::store::StoreConfig;

    #[tokio::test]
    async fn many_datasets_are_read_as_one_array_or_as_one_each() {
        let atlas = Atlas::create_url("memory:///across", StoreConfig::default()).await.unwrap();
        let names: Vec<String> = (0..25).map(|number| format!("d{number}")).collect();
        for (number, name) in (0i32..).zip(&names) {
            let dataset = atlas.create_dataset(name).await.unwrap();
            // Datasets with odd numbers are larger, and have a fill value.
            let (size, fill) = if number % 2 == 1 { (5, Some(-1)) } else { (4, None) };
            dataset.define_array::<i32>("t", &["x", "y"], &[size, 3], Some(vec![2, 3]), fill).unwrap();
            let values = Array2::from_shape_fn((2, 3), |(i, j)| number * 100 + (i * 10 + j) as i32);
            dataset.write_array("t", &[1, 0], values.view().into_dyn()).await.unwrap();
        }
        atlas.flush().await.unwrap();
        let names: Vec<String> = names.into_iter().rev().collect();
        let (start, shape) = ([2, 1], [2, 2]);
        let stacked = atlas.read_array_stacked::<i32>("t", &names, &start, &shape).await.unwrap();
        let each = atlas.read_array_across::<i32>("t", &names, &start, &shape).await.unwrap();
        assert_eq!(stacked.shape(), [25, 2, 2]);
        for ((name, slice), array) in names.iter().zip(stacked.axis_iter(Axis(0))).zip(each.iter().flatten())
        {
            let dataset = atlas.open_dataset(name).await.unwrap();
            let expected = dataset.read_array::<i32>("t", &start, &shape).await.unwrap().unwrap();
            assert_eq!((slice, array), (expected.view(), &expected));
        }
        assert_eq!(each[0].as_ref().unwrap().first(), Some(&2411));
        assert_eq!(
            (each[0].as_ref().unwrap().last(), each[1].as_ref().unwrap().last()),
            (Some(&0), Some(&-1))
        );

        let none: [&str; 0] = [];
        assert_eq!(
            atlas.read_array_stacked::<i32>("t", &none, &[0, 0], &[9, 9]).await.unwrap().shape(),
            [0, 9, 9]
        );
        for (names, start, shape) in [
            (["d0", "d1"], [3, 0], [2, 3]),
            (["d0", "nobody"], [0, 0], [1, 1]),
            (["d0", "d1"], [0, 0], [usize::MAX, usize::MAX]),
        ] {
            assert!(atlas.read_array_stacked::<i32>("t", &names, &start, &shape).await.is_err());
        }
        assert!(matches!(
            atlas.read_array_across::<i64>("t", &["d0"], &[0, 0], &[1, 1]).await,
            Err(Error::WrongType { .. })
        ));
    }
}
