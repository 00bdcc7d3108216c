//! Keeps the last result, so that it can be shown again.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

/// The largest number of bytes of a result that is kept.
const MOST: usize = 64 << 20;

/// The rows of the last result, unless they are too large.
#[derive(Clone, Debug, Default)]
pub(crate) struct Last(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// Whether all rows have been read.
    is_whole: bool,
}

impl Last {
    /// Returns the same rows, and keeps them as they are read.
    pub(crate) fn keep(&self, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = rows.schema();
        let begun = Kept { schema: Arc::clone(&schema), batches: Vec::new(), bytes: 0, is_whole: false };
        self.with(|kept| *kept = Some(begun));
        let last = self.clone();
        let kept = rows.inspect(move |batch| {
            if let Ok(batch) = batch {
                last.with(|kept| push(kept, batch));
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, kept))
    }

    /// Records that all rows have been read.
    pub(crate) fn finish(&self) {
        self.with(|kept| kept.iter_mut().for_each(|kept| kept.is_whole = true));
    }

    /// The rows; `None` if they are too large, or not all have been read.
    pub(crate) fn rows(&self) -> Option<SendableRecordBatchStream> {
        self.with(|kept| {
            let kept = kept.as_ref().filter(|kept| kept.is_whole)?;
            let batches = futures::stream::iter(kept.batches.clone().into_iter().map(Ok));
            Some(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&kept.schema), batches)) as _)
        })
    }

    fn with<T>(&self, of: impl FnOnce(&mut Option<Kept>) -> T) -> T {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn push(kept: &mut Option<Kept>, batch: &RecordBatch) {
    let Some(of) = kept else { return };
    of.bytes += batch.get_array_memory_size();
    if of.bytes > MOST {
        *kept = None;
    } else {
        of.batches.push(batch.clone());
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    async fn taken(last: &Last, batches: usize) -> usize {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1; 1 << 20]));
        let batch = RecordBatch::try_from_iter([("a", values)]).unwrap();
        let rows = futures::stream::iter(vec![batch.clone(); batches].into_iter().map(Ok));
        let rows = last.keep(Box::pin(RecordBatchStreamAdapter::new(batch.schema(), rows)));
        rows.map(|batch| batch.unwrap().num_rows()).collect::<Vec<_>>().await.iter().sum()
    }

    #[tokio::test]
    async fn a_small_result_is_kept_once_it_is_whole() {
        let last = Last::default();
        assert!(last.rows().is_none());
        assert_eq!(taken(&last, 3).await, 3 << 20);
        assert!(last.rows().is_none());
        last.finish();
        assert_eq!(last.rows().unwrap().collect::<Vec<_>>().await.len(), 3);
        // Nine times 8 MB exceed the limit.
        assert_eq!(taken(&last, 9).await, 9 << 20);
        last.finish();
        assert!(last.rows().is_none());
    }
}
