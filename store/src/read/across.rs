//! One array of many datasets, read at once.

use std::sync::Arc;
use std::thread::available_parallelism;

use arrow::array::ArrayRef;
use ndarray::ArrayD;

use crate::error::{Error, Result};
use crate::model::dtype::Element;
use crate::model::grid::Region;
use crate::read::snapshot::{ArrayRead, Snapshot, check_region};
use crate::storage::files::ReadMetrics;
use crate::store::Atlas;

/// The place of a dataset in the answer, what to read of it, and what stands for its missing cells.
type Wanted<T> = (usize, ArrayRead, T);

impl Atlas {
    /// The region of `shape` that starts at `start` of one array in each of several datasets, in the order of `names`.
    /// A missing cell is the array's fill value there, or zero or empty where it has none. The datasets are shared
    /// out over the processor's cores, where the runtime has several threads.
    ///
    /// # Errors
    /// Those of [`read_array`](crate::dataset::DatasetView::read_array), for the first dataset that cannot be read.
    pub async fn read_array_across<T: Element>(
        &self,
        array: &str,
        names: &[impl AsRef<str>],
        start: &[usize],
        shape: &[usize],
    ) -> Result<Vec<ArrayD<T>>> {
        let wanted = self.wanted(array, names, &Region::new(start, shape)).await?;
        let mut read: Vec<Option<ArrayD<T>>> = vec![None; names.len()];
        self.read_shares(array, wanted, |place, cells| {
            let cells = ArrayD::from_shape_vec(shape, cells).map_err(|e| e.to_string())?;
            read.get_mut(place).into_iter().zip([cells]).for_each(|(place, cells)| *place = Some(cells));
            Ok(())
        })
        .await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// The same as one array, whose first dimension is the datasets in the order of `names`.
    ///
    /// # Errors
    /// Those of [`read_array_across`](Self::read_array_across).
    pub async fn read_array_stacked<T: Element>(
        &self,
        array: &str,
        names: &[impl AsRef<str>],
        start: &[usize],
        shape: &[usize],
    ) -> Result<ArrayD<T>> {
        let region = Region::new(start, shape);
        let wanted = self.wanted(array, names, &region).await?;
        let cells = if names.is_empty() { 0 } else { region.cells() };
        let mut stacked = vec![T::default(); names.len().saturating_mul(cells)];
        self.read_shares(array, wanted, |place, read| {
            let to = stacked.get_mut(place * cells..(place + 1) * cells);
            let to = to.filter(|to| to.len() == read.len()).ok_or("other cells than were asked for")?;
            to.iter_mut().zip(read).for_each(|(to, cell)| *to = cell);
            Ok(())
        })
        .await?;
        let shape = [&[names.len()], shape].concat();
        ArrayD::from_shape_vec(shape, stacked).map_err(|e| Error::corrupt(array, e.to_string()))
    }

    /// What to read of each dataset: all of them have it.
    async fn wanted<T: Element>(
        &self,
        array: &str,
        names: &[impl AsRef<str>],
        region: &Region,
    ) -> Result<Vec<Wanted<T>>> {
        let snapshot = self.snapshot();
        let catalog = snapshot.catalog();
        let mut wanted = Vec::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            let (ordinal, dataset) = self.committed(catalog, name.as_ref()).await?;
            let schema = catalog
                .array(&dataset, array)
                .ok_or_else(|| Error::NoArray { dataset: dataset.name.clone(), array: array.to_owned() })?;
            schema.check_type::<T>(&dataset.name)?;
            check_region(&dataset.name, array, region, &catalog.shape(&dataset, schema))?;
            let missing = schema.fill.as_ref().and_then(T::from_value).unwrap_or_default();
            wanted.push((place, ArrayRead { dataset: ordinal, region: region.clone() }, missing));
        }
        // Neighbours in the store share blocks.
        wanted.sort_by_key(|(_, read, _)| read.dataset);
        Ok(wanted)
    }

    async fn read_shares<T: Element>(
        &self,
        array: &str,
        mut wanted: Vec<Wanted<T>>,
        mut take: impl FnMut(usize, Vec<T>) -> Result<(), String>,
    ) -> Result<()> {
        let snapshot = self.snapshot();
        let share = wanted.len().div_ceil(available_parallelism().map_or(1, usize::from)).max(1);
        let mut shares = Vec::new();
        while !wanted.is_empty() {
            let rest = wanted.split_off(share.min(wanted.len()));
            let now = std::mem::replace(&mut wanted, rest);
            shares.push(tokio::spawn(read_share(Arc::clone(&snapshot), array.to_owned(), now)));
        }
        for share in shares {
            let read = share.await.map_err(|e| Error::corrupt(array, e.to_string()))??;
            for (place, cells, missing) in read {
                take(place, T::from_arrow(&cells, &missing))
                    .map_err(|reason| Error::corrupt(array, reason))?;
            }
        }
        Ok(())
    }
}

async fn read_share<T: Element>(
    snapshot: Arc<Snapshot>,
    array: String,
    wanted: Vec<Wanted<T>>,
) -> Result<Vec<(usize, ArrayRef, T)>> {
    let reads: Vec<_> = wanted.iter().map(|(_, read, _)| read.clone()).collect();
    let cells = snapshot.read(&array, &reads, &ReadMetrics::default()).await?;
    Ok(wanted.into_iter().zip(cells).map(|((place, _, missing), cells)| (place, cells, missing)).collect())
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
            // Those with odd numbers are larger, and have a fill value.
            let (size, fill) = if number % 2 == 1 { (5, Some(-1)) } else { (4, None) };
            dataset.define_array::<i32>("t", &["x", "y"], &[size, 3], Some(&[2, 3]), fill).await.unwrap();
            let values = Array2::from_shape_fn((2, 3), |(i, j)| number * 100 + (i * 10 + j) as i32);
            dataset.write_array("t", &[1, 0], values.view().into_dyn()).await.unwrap();
        }
        atlas.flush().await.unwrap();
        let names: Vec<String> = names.into_iter().rev().collect();
        let (start, shape) = ([2, 1], [2, 2]);
        let stacked = atlas.read_array_stacked::<i32>("t", &names, &start, &shape).await.unwrap();
        let each = atlas.read_array_across::<i32>("t", &names, &start, &shape).await.unwrap();
        assert_eq!(stacked.shape(), [25, 2, 2]);
        for ((name, slice), array) in names.iter().zip(stacked.axis_iter(Axis(0))).zip(&each) {
            let dataset = atlas.open_dataset(name).await.unwrap();
            let expected = dataset.read_array::<i32>("t", &start, &shape).await.unwrap();
            assert_eq!((slice, array), (expected.view(), &expected));
        }
        assert_eq!(each[0].first(), Some(&2411));
        assert_eq!((each[0].last(), each[1].last()), (Some(&0), Some(&-1)));

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
