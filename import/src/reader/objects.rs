//! Reads the objects of an HDF5 file: the contents of their headers, links and attributes, as
//! bytes.
//!
//! The HDF5 crate either reads a whole object or fails, takes names for UTF-8, and follows links in
//! circles. This module therefore parses headers message by message, with the crate's parsers of
//! messages, heaps and trees. Format: [HDF5 File Format Specification
//! 3.0](https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use hdf5_reader::btree_v1::collect_btree_v1_leaves_storage;
use hdf5_reader::btree_v2::{BTreeV2Header, BTreeV2Record, collect_btree_v2_records_storage};
use hdf5_reader::checksum::jenkins_lookup3;
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::global_heap::GlobalHeapCollection;
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::shared::SharedMessage;
use hdf5_reader::messages::{
    MSG_ATTRIBUTE, MSG_ATTRIBUTE_INFO, MSG_CONTINUATION, MSG_DATATYPE, MSG_LINK, MSG_LINK_INFO,
    MSG_SHARED_TABLE, MSG_SYMBOL_TABLE, attribute_info, link_info, shared, shared_table, symbol_table_msg,
};
use hdf5_reader::storage::DynStorage;
use hdf5_reader::superblock::Superblock;
use hdf5_reader::symbol_table::SymbolTableNode;
use hdf5_reader::{Storage, StorageBuffer};

use super::heap::below;

/// The largest header of an object that is read. Headers usually have a few kilobytes: a message
/// has at most 64 KiB, and objects with many attributes keep them elsewhere.
const MAX_HEADER: u64 = 16 * 1024 * 1024;
/// The largest number of parts of a header.
const MAX_PARTS: usize = 1024;
/// The largest number of bytes of cached global heaps.
const MAX_HEAPS: usize = 16 * 1024 * 1024;

/// Describes an error of the HDF5 crate.
pub(super) fn told(error: hdf5_reader::error::Error) -> String {
    use hdf5_reader::error::Error;
    match error {
        Error::Context { source, .. } => told(*source),
        Error::UnexpectedEof { .. } | Error::OffsetOutOfBounds(_) => {
            "it is damaged: it refers to what is not in the file".to_owned()
        }
        Error::ChecksumMismatch { .. } => "it is damaged: a checksum does not match".to_owned(),
        error => error.to_string(),
    }
}

/// A message of an object's header. References to shared messages are already resolved.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub kind: u16,
    pub bytes: Vec<u8>,
}

/// An object: a group, a dataset or a type.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub messages: Vec<Message>,
}

impl Object {
    /// The first message of a kind.
    pub fn message(&self, kind: u16) -> Option<&[u8]> {
        self.messages.iter().find(|message| message.kind == kind).map(|message| message.bytes.as_slice())
    }
}

/// The target of a link.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Object(u64),
    Path(Vec<u8>),
    OtherFile,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    pub name: Vec<u8>,
    pub target: Target,
    order: Option<u64>,
}

/// The parsed message of an attribute, with its value as bytes.
#[derive(Clone, Debug)]
pub(super) struct AttributeBytes {
    pub name: Vec<u8>,
    pub datatype: Vec<u8>,
    pub dataspace: Vec<u8>,
    pub data: Vec<u8>,
}

/// A part of a file, addressed from the start of the part.
struct Part {
    inner: DynStorage,
    start: u64,
}

impl Storage for Part {
    fn len(&self) -> u64 {
        self.inner.len().saturating_sub(self.start)
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        let outside = || hdf5_reader::error::Error::OffsetOutOfBounds(offset);
        self.inner.read_range(offset.checked_add(self.start).ok_or_else(outside)?, len)
    }
}

/// The objects of a file, by address.
pub(super) struct Objects {
    storage: DynStorage,
    pub offset_size: u8,
    pub length_size: u8,
    pub root: u64,
    /// The heaps of shared messages, each with a bit mask of the kinds of messages in it.
    shared: Vec<(u16, u64)>,
    heaps: RefCell<HashMap<u64, Rc<GlobalHeapCollection>>>,
    heap_bytes: RefCell<usize>,
}

impl Objects {
    pub fn open(storage: DynStorage) -> Result<Self, String> {
        let superblock = Superblock::parse_from_storage(storage.as_ref()).map_err(told)?;
        // The HDF5 library also rejects truncated files: the missing part may contain whole groups
        // that nothing else mentions.
        let (length, end) = (storage.len(), superblock.base_address.saturating_add(superblock.eof_address));
        if length < end {
            return Err(format!(
                "it is cut: it has {length} of the {end} bytes that it had when it was written"
            ));
        }
        let storage: DynStorage = match superblock.base_address {
            0 => storage,
            // Addresses count from the end of the user block.
            start => std::sync::Arc::new(Part { inner: storage, start }),
        };
        let mut objects = Self {
            storage,
            offset_size: superblock.offset_size,
            length_size: superblock.length_size,
            root: superblock.root_object_header_address().map_err(told)?,
            shared: Vec::new(),
            heaps: RefCell::default(),
            heap_bytes: RefCell::default(),
        };
        if let Some(extension) = superblock.extension_address {
            objects.shared = objects.shared_heaps(extension).unwrap_or_default();
        }
        Ok(objects)
    }

    /// The file from the origin of its addresses.
    pub fn storage(&self) -> &DynStorage {
        &self.storage
    }

    fn read(&self, address: u64, length: u64) -> Result<StorageBuffer, String> {
        let length = usize::try_from(length).map_err(|e| e.to_string())?;
        self.storage.read_range(address, length).map_err(told)
    }

    /// The object at an address.
    pub fn object(&self, address: u64) -> Result<Object, String> {
        let mut messages = Vec::new();
        for (kind, is_shared, bytes) in self.header(address)? {
            let bytes = match is_shared.then(|| self.shared_message(kind, &bytes)) {
                None => bytes,
                Some(Ok(bytes)) => bytes,
                // Only this attribute is lost: without bytes, it is reported when it is parsed.
                Some(Err(_)) if kind == MSG_ATTRIBUTE => Vec::new(),
                Some(Err(reason)) => return Err(reason),
            };
            messages.push(Message { kind, bytes });
        }
        Ok(Object { messages })
    }

    /// The stored messages of a header in all its parts: the kind, whether the bytes are a
    /// reference to the message, and the bytes.
    fn header(&self, address: u64) -> Result<Vec<(u16, bool, Vec<u8>)>, String> {
        let start = self.read(address, 4)?;
        let (mut parts, second, ordered) = if start.as_ref() == b"OHDR" {
            let (part, ordered) = self.second_header(address)?;
            (vec![part], true, ordered)
        } else {
            let prefix = self.read(address, 16)?;
            let mut cursor = Cursor::new(&prefix);
            if cursor.read_u8().map_err(told)? != 1 {
                return Err("it is damaged: there is no object where one should be".to_owned());
            }
            cursor.skip(7).map_err(told)?;
            let length = u64::from(cursor.read_u32_le().map_err(told)?);
            (vec![(address.saturating_add(16), length)], false, false)
        };
        let (mut messages, mut visited, mut total) = (Vec::new(), HashSet::new(), 0u64);
        while let Some((address, length)) = parts.pop() {
            total = total.saturating_add(length);
            if !visited.insert(address) || visited.len() > MAX_PARTS || total > MAX_HEADER {
                return Err("it is damaged: the parts of its header go in circles or have no end".to_owned());
            }
            let bytes = self.read(address, length)?;
            for (kind, is_shared, body) in split_messages(&bytes, second, ordered)? {
                if kind != MSG_CONTINUATION {
                    messages.push((kind, is_shared, body.to_vec()));
                    continue;
                }
                let mut cursor = Cursor::new(body);
                let next = cursor.read_offset(self.offset_size).map_err(told)?;
                let length = cursor.read_length(self.length_size).map_err(told)?;
                parts.push(if second { self.second_part(next, length)? } else { (next, length) });
            }
        }
        Ok(messages)
    }

    /// The position of the messages of a version 2 header, and whether they are numbered.
    fn second_header(&self, address: u64) -> Result<((u64, u64), bool), String> {
        let flags = self.read(address, 6)?.get(5).copied().unwrap_or_default();
        let width = 1u64 << (flags & 3);
        let times = if flags & 0x20 == 0 { 0 } else { 16 };
        let phases = if flags & 0x10 == 0 { 0 } else { 4 };
        let prefix = 6 + times + phases + width;
        let head = self.read(address, prefix)?;
        let mut cursor = Cursor::new(&head);
        cursor.skip(usize::try_from(prefix - width).unwrap_or_default()).map_err(told)?;
        let length = cursor.read_uvar(usize::try_from(width).unwrap_or_default()).map_err(told)?;
        let whole = prefix.checked_add(length).filter(|&whole| whole <= MAX_HEADER);
        let whole = whole.ok_or("it is damaged: its header has no end")?;
        self.check(address, whole)?;
        Ok(((address + prefix, length), flags & 4 != 0))
    }

    /// The position of the messages in a further part of a version 2 header.
    fn second_part(&self, address: u64, length: u64) -> Result<(u64, u64), String> {
        let damaged = || "it is damaged: a part of its header is not where it should be".to_owned();
        let length = length.checked_sub(8).filter(|&length| length <= MAX_HEADER).ok_or_else(damaged)?;
        if self.read(address, 4)?.as_ref() != b"OCHK" {
            return Err(damaged());
        }
        self.check(address, length + 4)?;
        Ok((address + 4, length))
    }

    /// Checks bytes against the checksum that follows them.
    fn check(&self, address: u64, length: u64) -> Result<(), String> {
        let bytes = self.read(address, length.saturating_add(4))?;
        let (checked, stored) = bytes.split_at(bytes.len().saturating_sub(4));
        match stored.try_into().map(u32::from_le_bytes) {
            Ok(stored) if stored == jenkins_lookup3(checked) => Ok(()),
            _ => Err("it is damaged: a checksum does not match".to_owned()),
        }
    }

    /// The message to which a reference leads.
    fn shared_message(&self, kind: u16, reference: &[u8]) -> Result<Vec<u8>, String> {
        let mut cursor = Cursor::new(reference);
        let size = (self.offset_size, self.length_size);
        match shared::parse(&mut cursor, kind, size.0, size.1, reference.len()).map_err(told)? {
            SharedMessage::SharedInOhdr { address, .. } => {
                let messages = self.header(address)?;
                let found = messages.into_iter().find(|(other, shared, _)| *other == kind && !shared);
                found
                    .map(|(_, _, bytes)| bytes)
                    .ok_or_else(|| "it is damaged: its type is missing".to_owned())
            }
            SharedMessage::SharedInSohm { heap_id, .. } => {
                let of_kind = self.shared.iter().filter(|(kinds, _)| kinds >> kind.min(15) & 1 == 1);
                let mut objects = of_kind.filter_map(|&(_, heap)| {
                    let objects = self.heap_objects(heap, std::slice::from_ref(&heap_id)).ok()?;
                    objects.into_iter().next()?.ok()
                });
                objects.next().ok_or_else(|| "it is damaged: a message that it shares is missing".to_owned())
            }
        }
    }

    /// The heaps of shared messages, as listed in the superblock's extension.
    fn shared_heaps(&self, extension: u64) -> Result<Vec<(u16, u64)>, String> {
        let header = self.header(extension)?;
        let Some((_, _, bytes)) = header.iter().find(|(kind, _, _)| *kind == MSG_SHARED_TABLE) else {
            return Ok(Vec::new());
        };
        let (offset, length) = (self.offset_size, self.length_size);
        let table =
            shared_table::parse(&mut Cursor::new(bytes), offset, length, bytes.len()).map_err(told)?;
        let entry = 16 + 2 * u64::from(offset);
        let entries = u64::from(table.num_indices);
        let bytes = self.read(table.table_address, 4 + entry * entries)?;
        let mut cursor = Cursor::new(&bytes);
        cursor.skip(4).map_err(told)?;
        let mut heaps = Vec::new();
        for _ in 0..entries {
            cursor.skip(2).map_err(told)?;
            let kinds = cursor.read_u16_le().map_err(told)?;
            cursor.skip(12 + usize::from(offset)).map_err(told)?;
            heaps.push((kinds, cursor.read_offset(offset).map_err(told)?));
        }
        Ok(heaps)
    }

    /// Reads objects of a fractal heap.
    pub fn heap_objects(
        &self,
        address: u64,
        ids: &[Vec<u8>],
    ) -> Result<Vec<Result<Vec<u8>, String>>, String> {
        let (storage, offset, length) = (self.storage.as_ref(), self.offset_size, self.length_size);
        let heap = FractalHeap::parse_at_storage(storage, address, offset, length).map_err(told)?;
        let mut cache = FractalHeapDirectBlockCache::default();
        let objects = ids.iter().map(|id| {
            let part = below(&heap, id, storage, (offset, length))?;
            let (heap, id) = part.as_ref().map_or((&heap, id), |(part, id)| (part, id));
            heap.get_object_storage_cached_with_registry(id, storage, offset, length, &mut cache, None)
                .map_err(told)
        });
        Ok(objects.collect())
    }

    fn records(&self, address: u64) -> Result<Vec<BTreeV2Record>, String> {
        let (storage, offset, length) = (self.storage.as_ref(), self.offset_size, self.length_size);
        let tree = BTreeV2Header::parse_at_storage(storage, address, offset, length).map_err(told)?;
        collect_btree_v2_records_storage(storage, &tree, offset, length, None, &[], None).map_err(told)
    }

    /// The links of a group, and why some cannot be read. Links are in creation order if the group
    /// records it, else sorted by name.
    pub fn links(&self, group: &Object) -> (Vec<Link>, Vec<String>) {
        let (mut links, mut failures) = (Vec::new(), Vec::new());
        for message in &group.messages {
            let found = match message.kind {
                MSG_LINK => link(&message.bytes, self.offset_size).map(|link| vec![link]),
                MSG_LINK_INFO => self.dense_links(&message.bytes, &mut failures),
                MSG_SYMBOL_TABLE => self.symbols(&message.bytes),
                _ => continue,
            };
            match found {
                Ok(found) => links.extend(found),
                Err(reason) => failures.push(reason),
            }
        }
        if links.iter().all(|link| link.order.is_some()) {
            links.sort_by_key(|link| link.order);
        } else {
            links.sort_by(|one, other| one.name.cmp(&other.name));
        }
        links.dedup();
        (links, failures)
    }

    fn dense_links(&self, bytes: &[u8], failures: &mut Vec<String>) -> Result<Vec<Link>, String> {
        let (offset, length) = (self.offset_size, self.length_size);
        let info = link_info::parse(&mut Cursor::new(bytes), offset, length, bytes.len()).map_err(told)?;
        if Cursor::is_undefined_offset(info.fractal_heap_address, offset) {
            return Ok(Vec::new());
        }
        let records = self.records(info.btree_name_index_address)?;
        let ids: Vec<_> = records
            .into_iter()
            .filter_map(|record| match record {
                BTreeV2Record::LinkNameHash { heap_id, .. } => Some(heap_id),
                _ => None,
            })
            .collect();
        let mut links = Vec::new();
        for object in self.heap_objects(info.fractal_heap_address, &ids)? {
            match object.and_then(|bytes| link(&bytes, offset)) {
                Ok(link) => links.push(link),
                Err(reason) => failures.push(reason),
            }
        }
        Ok(links)
    }

    /// The links of a group that HDF5 1.6 or earlier wrote.
    fn symbols(&self, bytes: &[u8]) -> Result<Vec<Link>, String> {
        let (storage, offset, length) = (self.storage.as_ref(), self.offset_size, self.length_size);
        let table = symbol_table_msg::parse(&mut Cursor::new(bytes), offset, length, bytes.len());
        let table = table.map_err(told)?;
        let heap = LocalHeap::parse_at_storage(storage, table.heap_address, offset, length).map_err(told)?;
        let nodes =
            collect_btree_v1_leaves_storage(storage, table.btree_address, offset, length, None, &[], None);
        let nodes = nodes.map_err(told)?;
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.read(heap.data_segment_address, heap.data_segment_size)?;
        let name = |at: u64| -> Vec<u8> {
            let rest = usize::try_from(at).ok().and_then(|at| names.get(at..)).unwrap_or_default();
            rest.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
        };
        let mut links = Vec::new();
        for (_, address) in nodes {
            let count = self.read(address, 8)?.get(6..8).and_then(|bytes| bytes.try_into().ok());
            let count = count.map_or(0, u16::from_le_bytes);
            let size = 8 + u64::from(count) * (2 * u64::from(offset) + 24);
            let node = self.read(address, size)?;
            let node = SymbolTableNode::parse(&mut Cursor::new(&node), offset, length).map_err(told)?;
            for entry in node.entries {
                let target = match (entry.cache_type, entry.scratch.first_chunk()) {
                    (2, Some(&at)) => Target::Path(name(u32::from_le_bytes(at).into())),
                    _ => Target::Object(entry.object_header_address),
                };
                links.push(Link { name: name(entry.link_name_offset), target, order: None });
            }
        }
        Ok(links)
    }

    /// The attributes of an object, and why some cannot be read.
    pub fn attributes(&self, object: &Object) -> (Vec<AttributeBytes>, Vec<String>) {
        let (mut attributes, mut failures) = (Vec::new(), Vec::new());
        let mut add = |attribute: Result<AttributeBytes, String>| match attribute {
            Ok(attribute) => attributes.push(attribute),
            Err(reason) => failures.push(reason),
        };
        for message in &object.messages {
            match message.kind {
                MSG_ATTRIBUTE => add(self.attribute(&message.bytes)),
                MSG_ATTRIBUTE_INFO => match self.dense_attributes(&message.bytes) {
                    Ok(found) => found.into_iter().for_each(&mut add),
                    Err(reason) => add(Err(reason)),
                },
                _ => {}
            }
        }
        (attributes, failures)
    }

    fn dense_attributes(&self, bytes: &[u8]) -> Result<Vec<Result<AttributeBytes, String>>, String> {
        let (offset, length) = (self.offset_size, self.length_size);
        let info = attribute_info::parse(&mut Cursor::new(bytes), offset, length, bytes.len());
        let info = info.map_err(told)?;
        if Cursor::is_undefined_offset(info.fractal_heap_address, offset) {
            return Ok(Vec::new());
        }
        let mut records: Vec<_> = self
            .records(info.btree_name_index_address)?
            .into_iter()
            .filter_map(|record| match record {
                BTreeV2Record::AttributeNameHash { flags, creation_order, heap_id, .. } => {
                    Some((creation_order, flags & 2 != 0, heap_id))
                }
                _ => None,
            })
            .collect();
        records.sort_by_key(|(order, _, _)| *order);
        let (shared, own): (Vec<_>, Vec<_>) = records.into_iter().partition(|(_, is_shared, _)| *is_shared);
        let own: Vec<_> = own.into_iter().map(|(_, _, id)| id).collect();
        let mut found: Vec<_> = self.heap_objects(info.fractal_heap_address, &own)?;
        found.extend(shared.into_iter().map(|(_, _, id)| {
            let reference: Vec<u8> = [3, 1].into_iter().chain(id).collect();
            self.shared_message(MSG_ATTRIBUTE, &reference)
        }));
        Ok(found.into_iter().map(|bytes| bytes.and_then(|bytes| self.attribute(&bytes))).collect())
    }

    /// Parses the message of an attribute.
    fn attribute(&self, bytes: &[u8]) -> Result<AttributeBytes, String> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.read_u8().map_err(told)?;
        let flags = cursor.read_u8().map_err(told)?;
        let mut lengths = [0usize; 3];
        for length in &mut lengths {
            *length = cursor.read_u16_le().map_err(told)?.into();
        }
        if version == 3 {
            cursor.skip(1).map_err(told)?;
        }
        let mut part = |length: usize| -> Result<&[u8], String> {
            let part = cursor.read_bytes(length).map_err(told)?;
            if version == 1 {
                cursor.skip(length.next_multiple_of(8) - length).map_err(told)?;
            }
            Ok(part)
        };
        let [name, datatype, dataspace] = lengths;
        let (name, datatype, dataspace) = (part(name)?, part(datatype)?, part(dataspace)?);
        let whole = |kind: u16, shared: bool, bytes: &[u8]| match shared {
            true => self.shared_message(kind, bytes),
            false => Ok(bytes.to_vec()),
        };
        if !(1..=3).contains(&version) {
            return Err(format!("an attribute has the unknown version {version}"));
        }
        let shares = if version == 1 { 0 } else { flags };
        Ok(AttributeBytes {
            name: name.to_vec(),
            datatype: whole(MSG_DATATYPE, shares & 1 != 0, datatype)?,
            dataspace: whole(hdf5_reader::messages::MSG_DATASPACE, shares & 2 != 0, dataspace)?,
            data: bytes
                .get(usize::try_from(cursor.position()).unwrap_or_default()..)
                .unwrap_or_default()
                .to_vec(),
        })
    }

    /// The bytes to which a reference of variable length leads, for elements of `size` bytes.
    pub fn sequence(&self, reference: &[u8], size: usize) -> Result<Vec<u8>, String> {
        let mut cursor = Cursor::new(reference);
        let count = cursor.read_u32_le().map_err(told)? as usize;
        let address = cursor.read_offset(self.offset_size).map_err(told)?;
        let index = cursor.read_u32_le().map_err(told)?;
        if Cursor::is_undefined_offset(address, self.offset_size) || index == 0 || count == 0 {
            return Ok(Vec::new());
        }
        let missing = || "it is damaged: what it refers to is missing".to_owned();
        let heap = self.global_heap(address)?;
        let object =
            u16::try_from(index).ok().and_then(|index| heap.get_object(index)).ok_or_else(missing)?;
        let bytes = count.checked_mul(size).and_then(|length| object.data.get(..length));
        bytes.map(<[u8]>::to_vec).ok_or_else(missing)
    }

    fn global_heap(&self, address: u64) -> Result<Rc<GlobalHeapCollection>, String> {
        if let Some(heap) = self.heaps.borrow().get(&address) {
            return Ok(Rc::clone(heap));
        }
        let (storage, offset, length) = (self.storage.as_ref(), self.offset_size, self.length_size);
        let heap = GlobalHeapCollection::parse_at_storage(storage, address, offset, length).map_err(told)?;
        let heap = Rc::new(heap);
        let bytes: usize = heap.objects.iter().map(|object| object.data.len()).sum();
        if *self.heap_bytes.borrow() > MAX_HEAPS {
            self.heaps.borrow_mut().clear();
            *self.heap_bytes.borrow_mut() = 0;
        }
        *self.heap_bytes.borrow_mut() += bytes;
        self.heaps.borrow_mut().insert(address, Rc::clone(&heap));
        Ok(heap)
    }
}

/// A stored message: its kind, whether its bytes are a reference to the message, and its bytes.
type StoredMessage<'a> = (u16, bool, &'a [u8]);

/// Splits a part of a header into messages: the kind, whether the bytes are a reference, and the
/// bytes.
fn split_messages(bytes: &[u8], second: bool, ordered: bool) -> Result<Vec<StoredMessage<'_>>, String> {
    let envelope = match (second, ordered) {
        (false, _) => 8,
        (true, false) => 4,
        (true, true) => 6,
    };
    let mut messages = Vec::new();
    let mut rest = bytes;
    while rest.len() >= envelope {
        let (head, body) = rest.split_at(envelope);
        let (kind, length, flags) = match *head {
            [kind, length, high, flags, ..] if second => (kind.into(), [length, high], flags),
            [kind, high, length, long, flags, ..] => {
                (u16::from_le_bytes([kind, high]), [length, long], flags)
            }
            _ => break,
        };
        let length = usize::from(u16::from_le_bytes(length));
        let (body, after) = body.split_at_checked(length).ok_or("it is damaged: a message has no end")?;
        if kind != 0 {
            messages.push((kind, flags & 2 != 0, body));
        }
        rest = after;
    }
    Ok(messages)
}

/// Parses the message of a link.
fn link(bytes: &[u8], offset_size: u8) -> Result<Link, String> {
    let mut cursor = Cursor::new(bytes);
    let version = cursor.read_u8().map_err(told)?;
    if version != 1 {
        return Err(format!("a link has the unknown version {version}"));
    }
    let flags = cursor.read_u8().map_err(told)?;
    let kind = if flags & 8 == 0 { 0 } else { cursor.read_u8().map_err(told)? };
    let order = if flags & 4 == 0 { None } else { Some(cursor.read_u64_le().map_err(told)?) };
    if flags & 16 != 0 {
        cursor.skip(1).map_err(told)?;
    }
    let length = cursor.read_uvar(1 << (flags & 3)).map_err(told)?;
    let length = usize::try_from(length).map_err(|e| e.to_string())?;
    let name = cursor.read_bytes(length).map_err(told)?.to_vec();
    let target = match kind {
        0 => Target::Object(cursor.read_offset(offset_size).map_err(told)?),
        1 => {
            let length = cursor.read_u16_le().map_err(told)?.into();
            Target::Path(cursor.read_bytes(length).map_err(told)?.to_vec())
        }
        _ => Target::OtherFile,
    };
    Ok(Link { name, target, order })
}
