//! Finds objects in fractal heaps that have indirect blocks below the first one.
//!
//! The HDF5 crate counts the positions of direct blocks from the innermost indirect block, and the
//! positions of objects from the start of the heap. Therefore it does not find objects beyond the
//! direct blocks of the first indirect block, which in heaps of attributes and links are half a
//! megabyte. This module descends to the innermost indirect block, and gives the crate the part of
//! the heap below it. Format: section III.G of the HDF5 File Format Specification 3.0.

use hdf5_reader::Storage;
use hdf5_reader::fractal_heap::FractalHeap;
use hdf5_reader::io::Cursor;

use super::objects::told;

/// The part of a heap below the innermost indirect block of an object, and the object's identifier
/// in that part. `None` if the object is not below another indirect block.
pub(super) fn below(
    heap: &FractalHeap,
    id: &[u8],
    storage: &dyn Storage,
    (offset_size, length_size): (u8, u8),
) -> Result<Option<(FractalHeap, Vec<u8>)>, String> {
    let mut found: Option<(FractalHeap, Vec<u8>)> = None;
    loop {
        let (heap, id) = found.as_ref().map_or((heap, id), |(heap, id)| (heap, id.as_slice()));
        let Some(child) = Child::of(heap, id, (offset_size, length_size)) else { return Ok(found) };
        let entry = storage.read_range(child.entry, usize::from(offset_size)).map_err(told)?;
        let address = Cursor::new(&entry).read_offset(offset_size).map_err(told)?;
        let part = FractalHeap {
            root_block_address: address,
            current_rows_in_root_indirect: child.rows,
            ..heap.clone()
        };
        found = Some((part, child.id));
    }
}

/// An indirect block below the first one of a heap.
struct Child {
    /// The address of its address.
    entry: u64,
    rows: u16,
    /// The object's identifier in the part of the heap below the block.
    id: Vec<u8>,
}

impl Child {
    /// The indirect block below the first one in which an object is. `None` if there is none, or if
    /// the heap or the identifier is damaged: the crate reports that.
    fn of(heap: &FractalHeap, id: &[u8], (offset_size, length_size): (u8, u8)) -> Option<Self> {
        let width = u64::from(heap.table_width);
        let start = heap.starting_block_size;
        let line = width.checked_mul(start).filter(|&line| line > 0)?;
        // Only managed objects have positions.
        let offset_bytes = usize::from(heap.max_heap_size).div_ceil(8).clamp(1, 8);
        let position =
            id.get(1..=offset_bytes).filter(|_| id.first().is_some_and(|kind| kind & 0xf0 == 0))?;
        let mut bytes = [0; 8];
        bytes.get_mut(..offset_bytes)?.copy_from_slice(position);
        let position = u64::from_le_bytes(bytes);

        // The first two rows have blocks of the starting size, and each later row has blocks of
        // twice the size. The rows before a row together are as large as the row.
        let row = (position / line).checked_ilog2()? + 1;
        let size = start.checked_shl(row - 1).filter(|size| size >> (row - 1) == start)?;
        if size <= heap.max_direct_block_size || row >= u32::from(heap.current_rows_in_root_indirect) {
            return None;
        }
        let in_row = position.checked_sub(size.checked_mul(width)?)?;
        let (column, position) = (in_row / size, in_row % size);
        let direct_rows = u64::from((heap.max_direct_block_size / start).checked_ilog2()?) + 2;
        let filtered = if heap.io_filters_len > 0 { u64::from(length_size) + 4 } else { 0 };
        let direct = direct_rows * width * (u64::from(offset_size) + filtered);
        let indirect = (u64::from(row) - direct_rows) * width + column;
        let head = 5 + u64::from(offset_size) + u64::from(heap.max_heap_size).div_ceil(8);
        let entry = head + direct + indirect * u64::from(offset_size);

        let mut id = id.to_vec();
        id.get_mut(1..=offset_bytes)?.copy_from_slice(position.to_le_bytes().get(..offset_bytes)?);
        Some(Self {
            entry: heap.root_block_address.checked_add(entry)?,
            rows: u16::try_from((size / line).checked_ilog2()? + 1).ok()?,
            id,
        })
    }
}
