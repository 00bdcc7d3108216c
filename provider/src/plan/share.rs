//! Divides scans of stores into shares, for engines that divide plans into tasks.

use std::ops::Range;
use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use crate::plan::aggregate_source::AggregateSource;
use crate::plan::source::{AtlasSource, of_tiles, tiles};

/// The number of ranges for each partition, so that an idle partition can take over ranges of
/// others.
pub const PARTS: u64 = 2;

/// A scan of a store in a plan. It emits rows or aggregates.
///
/// An engine that divides a scan among tasks must use [`shares`](Self::shares). It must not divide
/// the ranges of the scan's files itself: they count tiles, not bytes, and a scan that emits final
/// values of aggregates needs all tiles of a dataset in one range.
pub struct StoreScan<'a> {
    config: &'a FileScanConfig,
    scan: &'a AtlasSource,
    aggregate: Option<&'a AggregateSource>,
}

impl<'a> StoreScan<'a> {
    /// The scan at a node of a plan; `None` if the node is not a scan of a store.
    pub fn of(plan: &'a dyn ExecutionPlan) -> Option<Self> {
        let node = plan.downcast_ref::<DataSourceExec>()?;
        if let Some((config, scan)) = node.downcast_to_file_source::<AtlasSource>() {
            return Some(Self { config, scan, aggregate: None });
        }
        let (config, source) = node.downcast_to_file_source::<AggregateSource>()?;
        Some(Self { config, scan: source.scan(), aggregate: Some(source) })
    }

    /// The address of the store, without credentials; `None` if other processes cannot open it.
    pub fn address(&self) -> Option<&str> {
        self.scan.table().snapshot.storage().address()
    }

    /// An estimate of the bytes of the values that it reads, before pruning.
    pub fn bytes(&self) -> u64 {
        match self.aggregate {
            Some(source) => source.bytes(),
            None => self.scan.bytes_of(&self.scan.request().shown_columns()),
        }
    }

    /// True if statistics answer it, so that it reads hardly any values.
    pub fn is_of_statistics(&self) -> bool {
        self.aggregate.is_some_and(AggregateSource::is_of_statistics)
    }

    /// The number of rows after which it can stop.
    pub fn limit(&self) -> Option<usize> {
        self.config.limit
    }

    /// The scan without the filters that other operators fill while a query runs.
    pub fn without_dynamic_filters(&self) -> Arc<dyn ExecutionPlan> {
        let source: Arc<dyn FileSource> = match self.aggregate {
            Some(source) => Arc::new(source.without_dynamic_filters()),
            None => Arc::new(self.scan.without_dynamic_filters()),
        };
        let config = FileScanConfigBuilder::from(self.config.clone()).with_source(source);
        DataSourceExec::from_data_source(config.build())
    }

    /// Divides the scan into `count` shares of about the same number of tiles, each with as many
    /// partitions as the scan. Together, the shares emit what the scan emits. Each share has
    /// consecutive datasets.
    pub fn shares(&self, count: usize) -> Vec<Arc<dyn ExecutionPlan>> {
        let files: Vec<&PartitionedFile> =
            self.config.file_groups.iter().flat_map(|group| group.iter()).collect();
        let mut ranges: Vec<Range<u64>> = files.iter().filter_map(|file| tiles(file)).collect();
        ranges.sort_by_key(|range| range.start);
        let partitions = self.config.file_groups.len().max(1);
        let all = count.max(1).saturating_mul(partitions) as u64 * PARTS;
        let whole = |tile: u64| match self.aggregate.is_some_and(AggregateSource::is_finished) {
            true => self.scan.table().layout.whole_datasets(&(0..tile)).end,
            false => tile,
        };
        let mut parts = cut(&ranges, all, whole).into_iter();
        let shares = (0..count.max(1)).map(|_| {
            let groups = (0..partitions).map(|_| {
                let parts = parts.by_ref().take(PARTS as usize).flatten();
                let file = |range| files.first().map(|file| of_tiles(PartitionedFile::clone(file), range));
                FileGroup::new(parts.filter_map(file).collect())
            });
            let config = FileScanConfigBuilder::from(self.config.clone()).with_file_groups(groups.collect());
            DataSourceExec::from_data_source(config.build()) as Arc<dyn ExecutionPlan>
        });
        shares.collect()
    }
}

/// Divides ascending ranges of tiles into `count` parts of about the same number of tiles. A range is
/// cut only at tiles that `whole` returns; it moves a tile up to the next allowed cut.
fn cut(ranges: &[Range<u64>], count: u64, whole: impl Fn(u64) -> u64) -> Vec<Vec<Range<u64>>> {
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let mut parts: Vec<Vec<Range<u64>>> = Vec::new();
    let (mut ranges, mut done) = (ranges.iter().cloned(), 0u64);
    let mut rest = ranges.next();
    for part in 1..=count {
        // The number of tiles of this part and all parts before it.
        let end = u64::try_from(u128::from(total) * u128::from(part) / u128::from(count)).unwrap_or(total);
        let mut own: Vec<Range<u64>> = Vec::new();
        while let Some(range) = rest.take_if(|_| done < end) {
            let length = range.end - range.start;
            let cut = whole(range.start + length.min(end - done)).min(range.end);
            done += cut - range.start;
            own.push(range.start..cut);
            rest = if cut < range.end { Some(cut..range.end) } else { ranges.next() };
        }
        parts.push(own);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each tile is in one part, in ascending order, and finished aggregations get whole datasets.
        #[test]
        fn parts_have_all_tiles_and_whole_datasets(
            sizes in prop::collection::vec(1u64..9, 1..20),
            taken in prop::collection::vec(any::<bool>(), 20),
            count in 1u64..9,
            finished: bool,
        ) {
            let mut ends: Vec<u64> = Vec::new();
            sizes.iter().for_each(|size| ends.push(ends.last().copied().unwrap_or(0) + size));
            let starts = std::iter::once(0).chain(ends.iter().copied());
            let datasets: Vec<Range<u64>> = starts.zip(&ends).map(|(start, &end)| start..end).collect();
            let mut ranges: Vec<Range<u64>> = Vec::new();
            for (dataset, _) in datasets.iter().zip(&taken).filter(|(_, taken)| **taken) {
                match ranges.last_mut() {
                    Some(last) if last.end == dataset.start => last.end = dataset.end,
                    _ => ranges.push(dataset.clone()),
                }
            }
            let whole = |tile: u64| match finished {
                true => ends.iter().copied().find(|&end| end >= tile).unwrap_or(tile),
                false => tile,
            };
            let parts = cut(&ranges, count, whole);
            prop_assert_eq!(parts.len() as u64, count);
            let tiles = |ranges: &[Range<u64>]| ranges.iter().cloned().flatten().collect::<Vec<u64>>();
            let all: Vec<u64> = parts.iter().flat_map(|part| tiles(part)).collect();
            prop_assert_eq!(&all, &tiles(&ranges));
            let total = all.len() as u64;
            for part in &parts {
                let (own, largest) = (tiles(part), sizes.iter().copied().max().unwrap_or(1));
                let slack = if finished { largest } else { 1 };
                prop_assert!(own.len() as u64 <= total / count + slack);
                if finished {
                    for dataset in datasets.iter().filter(|dataset| own.contains(&dataset.start)) {
                        prop_assert!(dataset.clone().all(|tile| own.contains(&tile)));
                    }
                }
            }
        }
    }
}
