//! Bytes that lie in several pieces of memory.

use arrow::buffer::Buffer;

/// Consecutive parts of bytes, which are compressed or written without copying them together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts(Vec<Buffer>);

impl Parts {
    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Buffer::len).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Buffer::as_slice)
    }

    /// The bytes in one piece.
    pub(crate) fn concat(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.iter().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }
}

impl Extend<Buffer> for Parts {
    fn extend<I: IntoIterator<Item = Buffer>>(&mut self, parts: I) {
        self.0.extend(parts);
    }
}

impl FromIterator<Buffer> for Parts {
    fn from_iter<I: IntoIterator<Item = Buffer>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl IntoIterator for Parts {
    type Item = Buffer;
    type IntoIter = std::vec::IntoIter<Buffer>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
