//! Reads the rows of results.

use arrow::array::RecordBatch;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::cells::{Between, Looks, has_times};
use crate::error::Result;

/// The number of bytes of rows that are examined before the first row is written.
const LOOK_AHEAD: usize = 64 << 20;

/// Calls a function for every batch of a result, and returns the number of rows.
pub(super) async fn each(
    mut rows: SendableRecordBatchStream,
    mut of: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<usize> {
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        of(&batch)?;
        // Rows that are always ready leave no other moment to cancel the statement.
        tokio::task::yield_now().await;
    }
    Ok(count)
}

/// The format of a result's columns, and its rows. If the result is small, columns are formatted as
/// the values need; otherwise as their types allow.
pub(super) async fn look(
    mut rows: SendableRecordBatchStream,
    between: Between,
) -> Result<(Looks, SendableRecordBatchStream)> {
    let schema = rows.schema();
    if !schema.fields().iter().any(|field| has_times(field.data_type())) {
        return Ok((Looks::of(&schema, &[], between), rows));
    }
    let (mut first, mut bytes) = (Vec::new(), 0);
    let looks = loop {
        match rows.next().await.transpose()? {
            None => break Looks::of(&schema, &first, between),
            Some(batch) => {
                bytes += batch.get_array_memory_size();
                first.push(batch);
                if bytes > LOOK_AHEAD {
                    break Looks::widest(&schema, between);
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let all = futures::stream::iter(first.into_iter().map(Ok)).chain(rows);
    Ok((looks, Box::pin(RecordBatchStreamAdapter::new(schema, all))))
}
