//! Damaged, hostile and unusual files, which the tests construct.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_reader::messages::{
    MSG_ATTRIBUTE, MSG_DATA_LAYOUT, MSG_DATASPACE, MSG_DATATYPE, MSG_FILTER_PIPELINE, MSG_LINK, MSG_NIL,
    MSG_SYMBOL_TABLE,
};
use hdf5_reader::{BytesStorage, Storage};
use netcdf_reader::NcAttrValue as Value;
use netcdf_writer::{NcAttrValue, NcFileBuilder, NcWriteFormat, NcWriteOptions};

use super::*;
use crate::netcdf::read_file;
use crate::piece::Piece;
use crate::{Error, ImportOptions, thread};
use datasets::Overlay;
use objects::Message;

/// Builds a file of HDF5 objects, which `build` adds one after the other. Its messages become the
/// root group, which is the last object.
fn hdf5(build: impl FnOnce(&mut Overlay) -> Vec<Message>) -> Vec<u8> {
    let empty = Arc::new(BytesStorage::new(vec![0; 48]));
    let mut file = Overlay::new(empty, 8, 8);
    let root = build(&mut file);
    file.finish(&root);
    let length = usize::try_from(file.len()).unwrap();
    file.read_range(0, length).unwrap().to_vec()
}

fn link(name: &[u8], address: u64) -> Message {
    let mut bytes = vec![1, 0, u8::try_from(name.len()).unwrap()];
    bytes.extend(name);
    bytes.extend(address.to_le_bytes());
    Message { kind: MSG_LINK, bytes }
}

fn soft_link(name: &str, path: &str) -> Message {
    let mut bytes = vec![1, 8, 1, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes.extend(u16::try_from(path.len()).unwrap().to_le_bytes());
    bytes.extend(path.as_bytes());
    Message { kind: MSG_LINK, bytes }
}

/// A scalar attribute of characters.
fn attribute(name: &[u8], value: &[u8]) -> Message {
    let size = u32::try_from(value.len()).unwrap().to_le_bytes();
    let mut bytes = vec![3, 0];
    for length in [name.len(), 8, 4] {
        bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
    }
    bytes.push(0);
    bytes.extend(name);
    bytes.extend([0x13, 0, 0, 0]);
    bytes.extend(size);
    bytes.extend([2, 0, 0, 0]);
    bytes.extend(value);
    Message { kind: MSG_ATTRIBUTE, bytes }
}

fn saved(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.nc");
    std::fs::write(&path, bytes).unwrap();

    (directory, path)
}

fn opened(bytes: &[u8]) -> Result<File, String> {
    File::open(&saved(bytes).1)
}

fn written(file: &NcFileBuilder, format: NcWriteFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.write(&mut bytes, NcWriteOptions { format }).unwrap();
    bytes
}

/// Replaces bytes, which occur at least once.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(to);
    }
    bytes
}

/// The pieces of a file as text, and the result of reading it.
fn pieces(path: &Path, options: &ImportOptions) -> (Vec<String>, Result<(), Error>) {
    let (path, options) = (path.to_owned(), options.clone());
    let (sender, receiver) = std::sync::mpsc::channel();
    let done = thread::start(&path.clone(), move || {
        read_file(&path, &path, &options, &mut |piece| {
            let text = match piece {
                Piece::Attribute(key, value) => format!("attribute {key} = {value}"),
                Piece::Array(schema, shape) => format!("array {} {shape:?}", schema.name),
                Piece::Cells { array, start, .. } => format!("cells {array} {start:?}"),
                Piece::ArrayAttribute(array, key, _) => format!("attribute {key} of {array}"),
                Piece::KeptCells(array, cells) => format!("kept {array} {cells:?}"),
                Piece::Waiting => "waiting".to_owned(),
                Piece::Drop(array) => format!("drop {array}"),
                Piece::Notice(notice) => format!("{}: {}: {}", notice.class, notice.subject, notice.detail),
            };
            sender.send(text).is_ok()
        })
    });
    let read = done.blocking_recv().unwrap();
    (receiver.try_iter().collect(), read)
}

#[test]
fn groups_in_circles_are_read_once() {
    let bytes = hdf5(|file| {
        // The group contains links to itself and to its parent, and soft links that lead to each
        // other.
        let here = file.next_address();
        let own = link(b"loop", here);
        let group = file.add(&[own, soft_link("up", "/g"), soft_link("a", "b"), soft_link("b", "a")]);
        vec![link(b"g", group), link(b"h", group), attribute(b"title", b"x")]
    });
    let file = opened(&bytes).unwrap();
    let contents = file.contents();
    assert_eq!(contents.attributes.len(), 2);
    let told: Vec<_> = contents.notices.iter().map(|notice| notice.subject.as_str()).collect();
    assert_eq!(told, ["g.a", "g.b", "g.loop", "g.up", "h"]);
}

#[test]
fn groups_are_followed_to_a_depth() {
    let bytes = hdf5(|file| {
        let mut group = file.add(&[attribute(b"deepest", b"x")]);
        for _ in 0..5_000 {
            let inner = link(b"g", group);
            group = file.add(&[inner]);
        }
        vec![link(b"g", group)]
    });
    let file = opened(&bytes).unwrap();
    assert!(file.contents().notices.iter().any(|notice| notice.detail.contains("in 100 others")));
}

#[test]
fn what_is_wrong_with_an_attribute_or_a_link_is_its_own() {
    let bytes = hdf5(|_| {
        let mut damaged = attribute(b"damaged", b"xxxx");
        damaged.bytes.truncate(20);
        let far = link(b"far", 1 << 60);
        vec![far, damaged, attribute(b"units", b"\xb0C\0\0"), attribute(b"n\xe4me\0\0", b"v")]
    });
    let file = opened(&bytes).unwrap();
    let contents = file.contents();
    let attributes: Vec<_> =
        contents.attributes[0].attributes.iter().map(|a| (a.name.as_str(), &a.value)).collect();
    assert_eq!(attributes, [("units", &Value::Chars("°C".into())), ("näme", &Value::Chars("v".into()))]);
    let told: Vec<_> = contents.notices.iter().map(|notice| notice.subject.as_str()).collect();
    assert_eq!(told, ["an attribute", "attributes of the dataset", "far"]);
    assert_eq!(contents.unreadable, 1);
}

#[test]
fn failures_of_one_kind_are_counted() {
    let bytes = hdf5(|_| {
        let mut damaged = attribute(b"damaged", b"xxxx");
        damaged.bytes.truncate(20);
        vec![damaged.clone(), attribute(b"units", b"K"), damaged.clone(), damaged]
    });
    let told = opened(&bytes).unwrap().contents().notices.clone();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].subject, "3 attributes");
}

/// Appends the checksum of the bytes since `start`.
fn seal(bytes: &mut Vec<u8>, start: usize) {
    let checksum = hdf5_reader::checksum::jenkins_lookup3(&bytes[start..]);
    bytes.extend(checksum.to_le_bytes());
}

/// Heaps of attributes and links have such indirect blocks from half a megabyte on.
#[test]
fn objects_below_several_indirect_blocks_of_a_heap_are_found() {
    // Rows of 2 blocks of 64, 64, 128, 256, 512, 1024 and 2048 bytes, the first three direct. The
    // object is in the second block of 2048 bytes, there in the first block of 512 bytes, and there
    // in the second block of 128 bytes.
    let (width, start, most, undefined) = (2u64, 64u64, 128u64, u64::MAX);
    let position = 2 * 2048 + 2048 + 2 * 512 + 2 * 128 + 128 + 40;
    let object = b"an object";
    let bytes = hdf5(|file| {
        let mut direct = vec![0; 128];
        direct[..5].copy_from_slice(b"FHDB\0");
        direct[40..40 + object.len()].copy_from_slice(object);
        let mut block = add_bytes(file, direct);
        // The innermost block first: the number of its entry among those of its indirect block.
        for (entry, entries) in [(2 * 2 + 1, 6), (4 * 2, 10), (6 * 2 + 1, 14)] {
            let mut indirect = b"FHIB\0".to_vec();
            indirect.extend([0; 8 + 4]);
            for number in 0..entries {
                indirect.extend(if number == entry { block } else { undefined }.to_le_bytes());
            }
            seal(&mut indirect, 0);
            block = add_bytes(file, indirect);
        }
        let mut heap = b"FRHP\0".to_vec();
        heap.extend([8, 0, 0, 0, 0]);
        heap.extend(100u32.to_le_bytes());
        for number in [0, undefined, 0, undefined, 0, 0, 0, 1, 0, 0, 0, 0] {
            heap.extend(number.to_le_bytes());
        }
        heap.extend((width as u16).to_le_bytes());
        heap.extend(start.to_le_bytes());
        heap.extend(most.to_le_bytes());
        heap.extend([32, 0, 0, 0]);
        heap.extend(block.to_le_bytes());
        heap.extend(7u16.to_le_bytes());
        seal(&mut heap, 0);
        let heap = add_bytes(file, heap);
        vec![link(b"heap", heap)]
    });
    let objects = objects::Objects::open(Arc::new(BytesStorage::new(bytes))).unwrap();
    let root = objects.object(objects.root).unwrap();
    let objects::Target::Object(heap) = objects.links(&root).0[0].target else { panic!() };
    let id = |position: u64| {
        let mut id = vec![0];
        id.extend((position as u32).to_le_bytes());
        id.extend([object.len() as u8, 0, 0]);
        id
    };
    let found = objects.heap_objects(heap, &[id(position), id(position + 64), id(0), id(1 << 20)]).unwrap();
    assert_eq!(found[0].as_deref(), Ok(&object[..]));
    assert_eq!(found[1].as_ref().map(Vec::len), Ok(object.len()));
    assert!(found[2].is_err() && found[3].is_err());
}

/// The messages of a variable of 8-bit numbers, without those that locate its cells.
fn bytes_of(count: usize) -> Vec<Message> {
    let mut space = vec![1, 1, 0, 0, 0, 0, 0, 0];
    space.extend((count as u64).to_le_bytes());
    let dtype = vec![0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0];
    vec![Message { kind: MSG_DATASPACE, bytes: space }, Message { kind: MSG_DATATYPE, bytes: dtype }]
}

/// A variable whose numbers are in its header.
fn compact(cells: &[u8], more: Vec<Message>) -> Vec<Message> {
    let mut layout = vec![3, 0];
    layout.extend(u16::try_from(cells.len()).unwrap().to_le_bytes());
    layout.extend(cells);
    let mut messages = bytes_of(cells.len());
    messages.push(Message { kind: MSG_DATA_LAYOUT, bytes: layout });
    messages.extend(more);
    messages
}

/// Adds bytes that are not an object.
fn add_bytes(file: &mut Overlay, bytes: Vec<u8>) -> u64 {
    // The bytes follow the 16 bytes of the header and the 8 bytes of the message's own header.
    file.add(&[Message { kind: MSG_NIL, bytes }]) + 24
}

/// A variable with one chunk that was encoded by a filter.
fn filtered(file: &mut Overlay, count: usize, filter: u16, chunk: Vec<u8>) -> u64 {
    let mut layout = vec![4, 2, 2, 2, 4];
    layout.extend(u32::try_from(count).unwrap().to_le_bytes());
    layout.extend([1, 0, 0, 0, 1]);
    layout.extend((chunk.len() as u64).to_le_bytes());
    layout.extend([0; 4]);
    layout.extend(add_bytes(file, chunk).to_le_bytes());
    let mut pipeline = vec![2, 1];
    pipeline.extend(filter.to_le_bytes());
    pipeline.extend([0; 6]);
    let mut messages = bytes_of(count);
    messages.push(Message { kind: MSG_DATA_LAYOUT, bytes: layout });
    messages.push(Message { kind: MSG_FILTER_PIPELINE, bytes: pipeline });
    file.add(&messages)
}

#[test]
fn chunks_of_the_filters_in_use_are_read_and_those_of_others_are_left_out() {
    use std::io::Write;
    let cells: Vec<u8> = (0..1000).map(|i| (i / 7) as u8).collect();
    let zstd = zstd::encode_all(cells.as_slice(), 3).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&cells).unwrap();
    let bzip2 = bzip2.finish().unwrap();
    // Runs of literal bytes.
    let lzf: Vec<u8> = cells.chunks(32).flat_map(|run| [&[run.len() as u8 - 1], run].concat()).collect();
    let mut damaged = zstd.clone();
    damaged.truncate(zstd.len() / 2);
    let bytes = hdf5(|file| {
        let chunks =
            [("zstd", 32015, zstd), ("bzip2", 307, bzip2), ("lzf", 32000, lzf), ("damaged", 32015, damaged)];
        let mut links = Vec::new();
        for (name, filter, chunk) in chunks.into_iter().chain([("blosc", 32001, vec![0; 32])]) {
            let variable = filtered(file, cells.len(), filter, chunk);
            links.push(link(name.as_bytes(), variable));
        }
        // A type that NetCDF supports, but a store does not.
        let mut opaque = compact(&cells[..8], Vec::new());
        opaque[0].bytes[8..].copy_from_slice(&1u64.to_le_bytes());
        opaque[1].bytes = vec![0x15, 8, 0, 0, 8, 0, 0, 0, b'a', 0, 0, 0, 0, 0, 0, 0];
        links.push(link(b"opaque", file.add(&opaque)));
        links
    });
    let (_directory, path) = saved(&bytes);
    let file = File::open(&path).unwrap();
    let names: Vec<_> = file.contents().variables.iter().map(|variable| variable.name.as_str()).collect();
    for name in ["zstd", "bzip2", "lzf"] {
        let id = names.iter().position(|found| *found == name).unwrap();
        assert_eq!(file.read::<u8>(id, 0..cells.len()).unwrap(), cells, "{name}");
    }
    let (told, read) = pieces(&path, &ImportOptions::default());
    read.unwrap();
    for name in ["zstd", "bzip2", "lzf"] {
        assert!(told.contains(&format!("array {name} [1000]")), "{told:?}");
    }
    let left_out = |of: &str| {
        let mut told = told.iter().filter_map(|piece| piece.strip_prefix(&format!("left out: {of}: ")));
        told.next().unwrap_or_else(|| panic!("{of} in {told:?}")).to_owned()
    };
    let unknown = "it is compressed with a filter that is not known here (Blosc, number 32001)";
    assert_eq!(left_out("blosc"), unknown);
    assert!(left_out("damaged").contains("zstd"), "{told:?}");
    assert!(!left_out("opaque").is_empty());
    assert!(!told.iter().any(|piece| piece.starts_with("cells damaged")), "{told:?}");
    let (_, strict) = pieces(&path, &ImportOptions { strict: true, ..ImportOptions::default() });
    let error = strict.unwrap_err().to_string();
    assert!(error.contains(unknown) || error.contains("damaged") || error.contains("opaque"), "{error}");
}

#[test]
fn attributes_of_types_with_names_and_scales_without_names_are_read() {
    let bytes = hdf5(|file| {
        let named = file.add(&[Message { kind: MSG_DATATYPE, bytes: vec![0x13, 0, 0, 0, 2, 0, 0, 0] }]);
        // The type is shared: bit 0 of the flags is set, and a reference replaces it.
        let mut units = vec![3, 1];
        [6, 10, 4].into_iter().for_each(|length: u16| units.extend(length.to_le_bytes()));
        units.extend(b"\0units\0");
        units.extend([3, 2]);
        units.extend(named.to_le_bytes());
        units.extend([2, 0, 0, 0]);
        units.extend(b"mm");
        let units = Message { kind: MSG_ATTRIBUTE, bytes: units };

        // A scale has a CLASS, and need not have a NAME.
        let x = compact(&[5, 7], vec![attribute(b"CLASS\0", b"DIMENSION_SCALE\0")]);
        let x = file.add(&x);
        // One sequence, of a reference to the scale, in a heap.
        let mut heap = b"GCOL\x01\0\0\0".to_vec();
        heap.extend(56u64.to_le_bytes());
        heap.extend([1, 0, 1, 0, 0, 0, 0, 0]);
        heap.extend(8u64.to_le_bytes());
        heap.extend(x.to_le_bytes());
        heap.resize(4096, 0);
        let heap = add_bytes(file, heap);
        let reference = [0x17, 0, 0, 0, 8, 0, 0, 0];
        let sequence = [0x19, 0, 0, 0, 16, 0, 0, 0];
        let mut list = vec![3, 0];
        [15, 16, 16].into_iter().for_each(|length: u16| list.extend(length.to_le_bytes()));
        list.extend(b"\0DIMENSION_LIST\0");
        list.extend(sequence);
        list.extend(reference);
        list.extend([1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        list.extend(1u32.to_le_bytes());
        list.extend(heap.to_le_bytes());
        list.extend(1u32.to_le_bytes());
        let list = Message { kind: MSG_ATTRIBUTE, bytes: list };
        let v = file.add(&compact(&[1, 2], vec![units, list]));
        vec![link(b"v", v), link(b"x", x)]
    });
    let file = opened(&bytes).unwrap();
    let contents = file.contents();
    assert_eq!(contents.notices, []);
    let dims: Vec<_> = contents.dims.iter().map(|dim| (dim.name.as_str(), dim.size)).collect();
    assert_eq!(dims, [("x", 2)]);
    let names: Vec<_> = contents.variables.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["v", "x"]);
    assert_eq!(contents.variables[0].dims, [0]);
    let units = &contents.variables[0].attributes[0];
    assert_eq!((units.name.as_str(), &units.value), ("units", &Value::Chars("mm".into())));
    assert_eq!(file.read::<u8>(1, 0..2).unwrap(), [5, 7]);
}

#[test]
fn groups_of_old_files_are_read() {
    let bytes = hdf5(|file| {
        let mut old = attribute(b"units\0\0\0", b"m\0\0\0\0\0\0\0");
        // Version 1 pads its parts, and has no encoding.
        old.bytes.splice(..9, [1, 0, 6, 0, 8, 0, 4, 0]);
        old.bytes.splice(28..28, [0; 4]);
        let v = file.add(&compact(&[1, 2, 3], vec![old]));
        let mut names = vec![0; 8];
        names.extend(b"temp\0\0\0\0w\0\0\0\0\0\0\0");
        let length = names.len() as u64;
        let names = add_bytes(file, names);
        let mut heap = b"HEAP\0\0\0\0".to_vec();
        [length, 1, names].into_iter().for_each(|number| heap.extend(number.to_le_bytes()));
        let heap = add_bytes(file, heap);
        let mut node = b"SNOD\x01\0\x02\0".to_vec();
        for (name, kind, scratch) in [(8u64, 0u32, 0u64), (16, 2, 8)] {
            node.extend(name.to_le_bytes());
            node.extend((if kind == 2 { u64::MAX } else { v }).to_le_bytes());
            node.extend(kind.to_le_bytes());
            node.extend([0; 4]);
            node.extend(scratch.to_le_bytes());
            node.extend([0; 8]);
        }
        let node = add_bytes(file, node);
        let mut tree = b"TREE\0\0\x01\0".to_vec();
        [u64::MAX, u64::MAX, 0, node, 16].into_iter().for_each(|number| tree.extend(number.to_le_bytes()));
        tree.resize(1024, 0);
        let tree = add_bytes(file, tree);
        let symbols = [tree.to_le_bytes(), heap.to_le_bytes()].concat();
        vec![Message { kind: MSG_SYMBOL_TABLE, bytes: symbols }]
    });
    let file = opened(&bytes).unwrap();
    let contents = file.contents();
    assert_eq!(contents.notices, []);
    // A variable, and a link to it.
    let names: Vec<_> = contents.variables.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, ["temp", "w"]);
    let units = &contents.variables[0].attributes[0];
    assert_eq!((units.name.as_str(), &units.value), ("units", &Value::Chars("m".into())));
    assert_eq!(file.read::<u8>(0, 0..3).unwrap(), [1, 2, 3]);
}

/// HDF5 wrote layouts of version 1, and of version 2 where cells came later, before 1.6.3.
#[test]
fn cells_of_old_files_are_read() {
    let cells = [1, 2, 3];
    let bytes = hdf5(|file| {
        let contiguous = add_bytes(file, cells.to_vec());
        let mut tree = b"TREE\x01\0\x01\0".to_vec();
        tree.extend([0xff; 16]);
        for (size, index, address) in [(3u64, 0u64, Some(contiguous)), (0, 3, None)] {
            [size, index, 0].into_iter().for_each(|number| tree.extend(number.to_le_bytes()));
            address.into_iter().for_each(|address| tree.extend(address.to_le_bytes()));
        }
        tree.resize(1024, 0);
        let chunked = add_bytes(file, tree);
        let mut links = Vec::new();
        for version in [1, 2] {
            for (name, class, address) in
                [("compact", 0, None), ("contiguous", 1, Some(contiguous)), ("chunked", 2, Some(chunked))]
            {
                let mut layout = vec![version, 2, class, 0, 0, 0, 0, 0];
                address.into_iter().for_each(|address| layout.extend(address.to_le_bytes()));
                // The size of the axis, or of chunks along it, and the size of a cell.
                [3u32, 1].into_iter().for_each(|size| layout.extend(size.to_le_bytes()));
                if class == 0 {
                    layout.extend(3u32.to_le_bytes());
                    layout.extend(cells);
                }
                let mut messages = bytes_of(cells.len());
                messages.push(Message { kind: MSG_DATA_LAYOUT, bytes: layout });
                let variable = file.add(&messages);
                links.push(link(format!("{name}{version}").as_bytes(), variable));
            }
        }
        links
    });
    let file = opened(&bytes).unwrap();
    let contents = file.contents();
    assert_eq!((contents.notices.as_slice(), contents.variables.len()), (&[][..], 6));
    for (id, variable) in contents.variables.iter().enumerate() {
        assert_eq!(file.read::<u8>(id, 0..3), Ok(cells.to_vec()), "{}", variable.name);
    }
}

/// A file with numbers and text in all formats.
fn small(nc4: bool) -> NcFileBuilder {
    let mut file = NcFileBuilder::new();
    let time = file.add_unlimited_dimension("time").unwrap();
    let x = file.add_dimension("x", 3).unwrap();
    let length = file.add_dimension("length", 4).unwrap();
    file.add_attribute("title", NcAttrValue::Chars("Gr#sse".into())).unwrap();
    let v = file.add_variable::<f64>("x", &[x]).unwrap();
    file.write_variable(v, &[1.0f64, 2.0, 3.0]).unwrap();
    let v = file.add_variable::<i16>("v", &[time, x]).unwrap();
    file.add_variable_attribute(v, "units", NcAttrValue::Chars("#C".into())).unwrap();
    file.write_variable(v, &[1i16, 2, 3, 4, 5, 6]).unwrap();
    let v = file.add_variable::<f32>("w#", &[time]).unwrap();
    file.write_variable(v, &[7.0f32, 8.0]).unwrap();
    let v = file.add_char_variable("name", &[x, length]).unwrap();
    file.write_char_variable(v, b"Ab#\0#\xc3\xa9\0    ").unwrap();
    if nc4 {
        let v = file.add_string_variable("label", &[x]).unwrap();
        file.write_string_variable(v, &["a#", "", "c"]).unwrap();
    }
    file
}

#[test]
fn text_of_all_formats_is_decoded() {
    let formats = [NcWriteFormat::Classic, NcWriteFormat::Offset64, NcWriteFormat::Cdf5, NcWriteFormat::Nc4];
    for format in formats {
        // No writer writes Latin-1. Names in NetCDF-4 are not changed, since their checksums would
        // not match.
        let nc4 = format == NcWriteFormat::Nc4;
        let bytes = written(&small(nc4), format);
        let bytes = if nc4 { bytes } else { replaced(&bytes, b"#", b"\xb0") };
        let file = opened(&bytes).unwrap();
        let sign = if nc4 { "#" } else { "°" };
        let contents = file.contents();
        let id = |name: &str| contents.variables.iter().position(|variable| variable.name == name).unwrap();
        let attributes = &contents.variables[id("v")].attributes;
        let units = attributes.iter().find(|attribute| attribute.name == "units").unwrap();
        assert_eq!(units.value.as_string().unwrap(), format!("{sign}C"));
        assert_eq!(file.read::<i16>(id("v"), 0..2).unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(file.read::<i16>(id("v"), 1..2).unwrap(), [4, 5, 6]);
        assert_eq!(file.read::<f32>(id(&format!("w{sign}")), 0..2).unwrap(), [7.0, 8.0]);
        assert_eq!(file.read::<u8>(id("name"), 1..2).unwrap()[1..3], *b"\xc3\xa9");
        if nc4 {
            let label = file.read_strings(id("label"), 0..3).unwrap();
            assert_eq!(label, [b"a#".to_vec(), vec![], b"c".to_vec()]);
        }
    }
}

#[test]
fn a_file_that_ends_early_gives_what_it_has() {
    let bytes = written(&small(false), NcWriteFormat::Classic);
    let (directory, path) = saved(&bytes[..bytes.len() - 8]);
    let (told, read) = pieces(&path, &ImportOptions::default());
    read.unwrap();
    assert!(told.contains(&"array x [3]".to_owned()), "{told:?}");
    assert!(told.contains(&"drop v".to_owned()));
    assert!(told.contains(&"left out: v: the file ends before its values".to_owned()), "{told:?}");
    let (_, strict) = pieces(&path, &ImportOptions { strict: true, ..ImportOptions::default() });
    assert!(strict.unwrap_err().to_string().contains("the file ends before its values"));
    // If no part of a file can be read, nothing of it remains.
    std::fs::write(&path, &bytes[..100]).unwrap();
    assert!(
        pieces(&path, &ImportOptions::default()).1.unwrap_err().to_string().contains("within its header")
    );
    drop(directory);
}

#[test]
fn claims_of_size_are_not_believed() {
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", 7).unwrap();
    let v = file.add_variable::<f64>("v", &[x]).unwrap();
    file.write_variable(v, &[0.0f64; 7]).unwrap();
    let bytes = written(&file, NcWriteFormat::Cdf5);
    let bytes = replaced(&bytes, &7u64.to_be_bytes(), &(1u64 << 60).to_be_bytes());
    let error = pieces(&saved(&bytes).1, &ImportOptions::default()).1.unwrap_err().to_string();
    assert!(error.contains("claims more than a file of this size can hold"), "{error}");
}

#[test]
fn what_a_file_is_instead_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.nc");
    let mut tar = vec![b'x'; 300];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"\x1f\x8b\x08\0", "with `gunzip`"),
        (b"PK\x03\x04", "with `unzip`"),
        (b"GRIB\0\0\0\x01", "GRIB"),
        (b"\x0e\x03\x13\x01", "HDF4"),
        (b"CDF\x07", "of a version that is not known"),
        (b"  <!DOCTYPE html><html>", "web page"),
        (b"station,temp\n1,2\n", "it begins with `station,temp`"),
        (b"\x01\x02\x03\x04\x05", "it is no NetCDF or HDF5 file"),
        (&[0; 100], "zeros"),
        (&tar, "tar -xf"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let reason = File::open(&path).err().unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(File::open(directory.path()).err().unwrap(), "it is a directory, and no file");
}

/// Pseudo-random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn no_bytes_make_it_fail_otherwise_than_with_an_error() {
    let groups = hdf5(|file| {
        let inner = file.add(&[attribute(b"units", b"m")]);
        vec![link(b"g", inner), soft_link("s", "/g"), attribute(b"title", b"x")]
    });
    let files = [
        written(&small(false), NcWriteFormat::Classic),
        written(&small(false), NcWriteFormat::Cdf5),
        written(&small(true), NcWriteFormat::Nc4),
        groups,
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.nc");
    let mut random = Random(7);
    let interesting = [0, 1, 2, 4, 8, 16, 127, 128, 255];
    for round in 0..1_500 {
        let mut bytes = files[round % files.len()].clone();
        for _ in 0..=random.below(3) {
            // Edits in the first bytes affect more code than edits in cells.
            let limit = if random.below(2) == 0 { bytes.len() } else { bytes.len().min(400) };
            let at = random.below(limit);
            bytes[at] =
                if random.below(2) == 0 { interesting[random.below(9)] } else { random.below(256) as u8 };
        }
        if random.below(10) == 0 {
            bytes.truncate(random.below(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        let (told, read) = pieces(&path, &ImportOptions::default());
        let failed = |text: &str| text.contains("the reader failed on it");
        let panicked =
            told.iter().any(|text| failed(text)) || read.err().is_some_and(|e| failed(&e.to_string()));
        assert!(!panicked, "round {round}");
    }
}
