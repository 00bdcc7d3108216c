//! Text and bytes, whose values differ in length.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, MAX_INLINE_VIEW_LEN, StringViewArray, make_view,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::Encoding;
use super::packed;
use crate::model::dtype::DType;

/// All lengths, then all bytes.
pub(super) fn encode(values: &ArrayRef) -> Vec<u8> {
    lengths_and_bytes(&slices(values))
}

/// Encodes the number of distinct values, the length of their list, the list as [`encode`] writes
/// it, and the packed position of each value in the list.
pub(super) fn encode_dictionary(values: &ArrayRef) -> Vec<u8> {
    let mut places: HashMap<&[u8], u32> = HashMap::new();
    let mut different = Vec::new();
    let values = slices(values);
    let codes: Vec<u32> = values
        .iter()
        .map(|&value| {
            *places.entry(value).or_insert_with(|| {
                different.push(value);
                // A block has fewer values than u32::MAX.
                u32::try_from(different.len() - 1).unwrap_or(u32::MAX)
            })
        })
        .collect();
    let list = lengths_and_bytes(&different);
    let mut out = Vec::with_capacity(8 + list.len() + codes.len());
    for number in [different.len(), list.len()] {
        out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }
    out.extend(list);
    packed::pack(&codes, &mut out);
    out
}

/// Decodes `count` values and places them in the cells that `validity` marks as not missing.
pub(super) fn decode(
    encoding: Encoding,
    dtype: DType,
    bytes: &Buffer,
    count: usize,
    validity: Option<NullBuffer>,
) -> Result<ArrayRef, String> {
    let short = || format!("{} bytes for {count} values of {dtype}", bytes.len());
    let (mut views, text) = match encoding {
        Encoding::Raw => views(bytes, count).ok_or_else(short)?,
        Encoding::Constant => {
            let (views, text) = views(bytes, count.min(1)).ok_or_else(short)?;
            (views.first().map_or_else(Vec::new, |&view| vec![view; count]), text)
        }
        Encoding::Dictionary => {
            let (&[n0, n1, n2, n3, l0, l1, l2, l3], rest) =
                bytes.split_first_chunk::<8>().ok_or_else(short)?;
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let (list, codes) = rest.split_at_checked(length).ok_or_else(short)?;
            let (different, text) =
                views(list, u32::from_le_bytes([n0, n1, n2, n3]) as usize).ok_or_else(short)?;
            let mut views = Vec::with_capacity(count.min(codes.len().saturating_mul(packed::VECTOR)));
            let mut known = true;
            packed::unpack_all(codes, count, 0..count, |codes: &[u32]| {
                views.extend(codes.iter().map(|&code| {
                    let view = different.get(code as usize);
                    known &= view.is_some();
                    view.copied().unwrap_or_default()
                }));
            })?;
            if !known {
                return Err("a value that its dictionary has not".to_owned());
            }
            (views, text)
        }
        other => return Err(format!("{dtype} cannot be encoded as {other:?}")),
    };
    if let Some(validity) = &validity {
        let mut values = views.into_iter();
        views = validity.iter().map(|valid| valid.then(|| values.next()).flatten().unwrap_or(0)).collect();
    }
    let buffers = if text.is_empty() { Vec::new() } else { vec![Buffer::from(text)] };
    let views = ScalarBuffer::from(views);
    let array: Result<ArrayRef, _> = if dtype == DType::String {
        StringViewArray::try_new(views, buffers, validity).map(|array| Arc::new(array) as _)
    } else {
        BinaryViewArray::try_new(views, buffers, validity).map(|array| Arc::new(array) as _)
    };
    array.map_err(|e| e.to_string())
}

pub(super) fn all_equal(values: &ArrayRef) -> bool {
    let values = slices(values);
    values.first().is_none_or(|first| values.iter().all(|value| value == first))
}

/// Views of `count` values, and the bytes that they look at: none where each value lies in its view.
/// `None` where `bytes` are too few or too many.
fn views(bytes: &[u8], count: usize) -> Option<(Vec<u128>, &[u8])> {
    let (lengths, text) = bytes.split_at_checked(count.checked_mul(4)?)?;
    let mut views = Vec::with_capacity(count);
    let mut rest = text;
    let (mut offset, mut longest) = (0u32, 0);
    for length in lengths.as_chunks::<4>().0 {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(length);
        let (value, after) = rest.split_at_checked(length as usize)?;
        views.push(make_view(value, 0, offset));
        offset = offset.checked_add(length)?;
        rest = after;
    }
    let text = if longest > MAX_INLINE_VIEW_LEN { text } else { &[] };
    rest.is_empty().then_some((views, text))
}

fn slices(values: &ArrayRef) -> Vec<&[u8]> {
    match values.data_type() {
        DataType::Utf8View => values.as_string_view().iter().flatten().map(str::as_bytes).collect(),
        _ => values.as_binary_view().iter().flatten().collect(),
    }
}

fn lengths_and_bytes(values: &[&[u8]]) -> Vec<u8> {
    // The length of a view is a u32 already.
    let lengths =
        values.iter().flat_map(|value| u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
    lengths.chain(values.iter().copied().flatten().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let bytes = Buffer::from_vec(vec![2u8, 0, 0, 0, 0xff, 0xfe]);
        assert!(decode(Encoding::Raw, DType::String, &bytes, 1, None).is_err());
        assert!(decode(Encoding::Raw, DType::Binary, &bytes, 1, None).is_ok());
    }

    #[test]
    fn a_place_that_the_dictionary_has_not_is_refused() {
        let values: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b", "a"]));
        let mut bytes = encode_dictionary(&values);
        // Add one to the least code.
        bytes[8 + 10] = 2;
        let error =
            decode(Encoding::Dictionary, DType::String, &Buffer::from_vec(bytes), 3, None).unwrap_err();
        assert!(error.contains("dictionary"), "{error}");
    }
}
