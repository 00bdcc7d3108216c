//! One array of many datasets, read at once.

use std::sync::Arc;
use std::thread::available_parallelism;

use arrow::array::ArrayRef;
use ndarray::ArrayD;

use crate::error::{Error, Result};
use crate::model::dtype::Element;
use crate::model::grid::Region;
use crate::read::snapshot::{ArrayRead, Snapshot, check_region};
use crate::storage::requests::ReadMetrics;
use crate::store::Atlas;
use crate::write::pending::PendingRead;

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
        let mut read: Vec<Option<ArrayD<T>>> = vec![None; names.len()];
        let shapes = self.read_all(array, names, start, shape, true, |place, region, cells| {
            let cells = ArrayD::from_shape_vec(region.shape.clone(), cells).map_err(|e| e.to_string())?;
            read.get_mut(place).into_iter().zip([cells]).for_each(|(place, cells)| *place = Some(cells));
            Ok(())
        });
        shapes.await?;
        Ok(read)
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
        let mut parts: Vec<(Vec<usize>, Vec<T>)> = Vec::new();
        parts.resize_with(names.len(), Default::default);
        let taken = self.read_all(array, names, start, shape, false, |place, region, cells| {
            let part = parts.get_mut(place).ok_or("more datasets than were asked for")?;
            *part = (region.shape.clone(), cells);
            Ok(())
        });
        taken.await?;
        let each = parts.first().map_or_else(|| shape.to_vec(), |(shape, _)| shape.clone());
        if let Some(place) = parts.iter().position(|(shape, _)| *shape != each) {
            let dataset = names.get(place).map(|name| name.as_ref().to_owned()).unwrap_or_default();
            let found = parts.get(place).map(|(shape, _)| shape.clone()).unwrap_or_default();
            let reason = format!("its shape {found:?} is not {each:?}, that of the first dataset");
            return Err(Error::Shape { dataset, array: array.to_owned(), reason });
        }
        let mut stacked = Vec::with_capacity(parts.iter().map(|(_, cells)| cells.len()).sum());
        parts.iter_mut().for_each(|(_, cells)| stacked.append(cells));
        let shape = [&[names.len()], each.as_slice()].concat();
        ArrayD::from_shape_vec(shape, stacked).map_err(|e| Error::corrupt(array, e.to_string()))
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
        mut take: impl FnMut(usize, &Region, Vec<T>) -> Result<(), String>,
    ) -> Result<()> {
        let mut wrong = |place, region: &Region, cells| {
            take(place, region, cells).map_err(|reason| Error::corrupt(array, reason))
        };
        loop {
            let base = self.snapshot();
            base.load().await?;
            let Some(wanted) = self.wanted::<T>(&base, array, names, start, shape, optional)? else {
                continue;
            };
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
                wrong(wanted.place, &wanted.region, T::from_arrow(&cells, &wanted.missing))?;
            }
            return read_shares(&base, array, committed, wrong).await;
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

async fn read_shares<T: Element>(
    snapshot: &Arc<Snapshot>,
    array: &str,
    mut wanted: Vec<Wanted<T>>,
    mut take: impl FnMut(usize, &Region, Vec<T>) -> Result<()>,
) -> Result<()> {
    let share = wanted.len().div_ceil(available_parallelism().map_or(1, usize::from)).max(1);
    let mut shares = Vec::new();
    while !wanted.is_empty() {
        let rest = wanted.split_off(share.min(wanted.len()));
        let now = std::mem::replace(&mut wanted, rest);
        shares.push(tokio::spawn(read_share(Arc::clone(snapshot), array.to_owned(), now)));
    }
    for share in shares {
        let read = share.await.map_err(|e| Error::corrupt(array, e.to_string()))??;
        for (wanted, cells) in read {
            take(wanted.place, &wanted.region, T::from_arrow(&cells, &wanted.missing))?;
        }
    }
    Ok(())
}

async fn read_share<T: Element>(
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
