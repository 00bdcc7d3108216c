"""Reads golden stores by `store/docs/format.md` alone, and compares them with their expected content.

    pip install pyarrow zstandard lz4
    python tests/golden/read.py tests/golden/v2

It uses pyarrow only for the tables of an index and of a manifest, and zstandard and lz4 for codecs.
"""

import json
import math
import struct
import sys
import urllib.parse
from pathlib import Path

import lz4.block
import pyarrow as pa
import zstandard

DTYPES = "bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 timestamp string binary".split()
RAW = dict(zip(DTYPES, "B b h i q B H I Q f d q".split()))
LANE = {1: "B", 2: "H", 4: "I", 8: "Q"}
ORDER = [0, 4, 2, 6, 1, 5, 3, 7]


def make_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = list(make_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def decompress(codec, data, length):
    if codec == 0:
        raw = data
    elif codec == 1:
        raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=max(length, 1)) if length else b""
    else:
        raw = lz4.block.decompress(data, uncompressed_size=length) if length else b""
    assert len(raw) == length, (len(raw), length)
    return raw


def numbers(code, data):
    return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))


def packed(width, data, count):
    """Packed integers of `width` bytes, and the bytes after them."""
    vectors, lanes, mask = -(-count // 1024), 1024 // (8 * width), (1 << 8 * width) - 1
    references, data = numbers(LANE[width], data[: vectors * width]), data[vectors * width :]
    widths, data = data[:vectors], data[vectors:]
    (outliers,), data = struct.unpack("<I", data[:4]), data[4:]
    values = []
    for reference, bits in zip(references, widths):
        words, data = numbers(LANE[width], data[: 128 * bits]), data[128 * bits :]
        vector = [0] * 1024
        for lane in range(lanes):
            string = sum(word << 8 * width * i for i, word in enumerate(words[lane::lanes]))
            for row in range(8 * width):
                difference = string >> row * bits & (1 << bits) - 1
                vector[ORDER[row // 8] * 16 + row % 8 * 128 + lane] = reference + difference & mask
        values += vector
    values = values[:count]
    places, data = numbers("I", data[: 4 * outliers]), data[4 * outliers :]
    for place, value in zip(places, numbers(LANE[width], data[: width * outliers])):
        values[place] = value
    return values, data[width * outliers :]


def stepped(width, data, count):
    base, step = numbers(LANE[width], data[: 2 * width])
    values, rest = packed(width, data[2 * width :], count)
    assert not rest
    return [base + step * value & (1 << 8 * width) - 1 for value in values]


def cast(width, values, code):
    """Unsigned integers as the values with the same bytes."""
    return numbers(code, struct.pack(f"<{len(values)}{LANE[width]}", *values))


def decimal(width, data, count, code):
    e, f, how, _, exceptions = struct.unpack("<BBBBI", data[:8])
    integers, data = packed(width, data[8:], count)
    half, size = 1 << 8 * width - 1, 1 << 8 * width
    if how == 1:
        last = 0
        for i, difference in enumerate(integers):
            integers[i] = last = (last + (difference ^ half)) % size
    values = []
    for integer in integers:
        signed = (integer ^ half) - size if (integer ^ half) >= half else integer ^ half
        value = float(signed) * 10.0**f * float(f"1e-{e}")
        values.append(struct.unpack("<f", struct.pack("<f", value))[0] if code == "f" else value)
    places = numbers("I", data[: 4 * exceptions])
    for place, value in zip(places, numbers(code, data[4 * exceptions :])):
        values[place] = value
    return values


def strings(data, count):
    lengths, data, values = numbers("I", data[: 4 * count]), data[4 * count :], []
    for length in lengths:
        values.append(data[:length])
        data = data[length:]
    assert not data
    return values


def decode_values(dtype, encoding, data, count):
    if dtype in ("string", "binary"):
        if encoding == 0:
            values = strings(data, count)
        elif encoding == 2:
            values = strings(data, min(count, 1)) * count
        else:
            assert encoding == 6
            different, length = struct.unpack("<II", data[:8])
            listed = strings(data[8 : 8 + length], different)
            codes, rest = packed(4, data[8 + length :], count)
            assert not rest
            values = [listed[code] for code in codes]
        return [value.decode() for value in values] if dtype == "string" else [list(value) for value in values]
    code = RAW[dtype]
    width = struct.calcsize(code)
    if encoding == 0:
        values = numbers(code, data)
    elif encoding == 1:
        values = numbers(code, b"".join(data[i::count] for i in range(count)))
    elif encoding == 2:
        values = numbers(code, data) * count
    elif encoding == 3:
        values = cast(width, stepped(width, data, count), code)
    elif encoding == 4:
        value, values = numbers(LANE[width], data[:width])[0], []
        for difference in [0] + stepped(width, data[width:], max(count - 1, 0)):
            value = value + difference & (1 << 8 * width) - 1
            values.append(value)
        values = cast(width, values[:count], code)
    else:
        assert encoding == 5
        values = decimal(width, data, count, code)
    assert len(values) == count
    return [bool(value) for value in values] if dtype == "bool" else values


def decode_block(block, dtype, cells):
    magic, code, encoding, codec, validity = struct.unpack("<4sBBBB", block[:8])
    found, count, encoded, stored, bitmap, checksum = struct.unpack("<6I", block[8:32])
    assert magic == b"ATLB" and DTYPES[code] == dtype and found == cells
    assert crc32c(block[:28] + block[32:]) == checksum and len(block) % 8 == 0
    values = decode_values(dtype, encoding, decompress(codec, block[32 : 32 + stored], encoded), count)
    if validity == 0:
        return values
    bits = decompress(validity - 1, block[32 + stored : 32 + stored + bitmap], -(-cells // 8))
    values = iter(values)
    return [next(values) if bits[i // 8] >> i % 8 & 1 else None for i in range(cells)]


def read_segment(path, entry):
    """Rows of the index, with the cells of their chunks."""
    data = path.read_bytes()
    assert len(data) == entry["size"]
    trailer = data[-44:]
    offset, length, raw, checksum, version, dtype, codec, own = struct.unpack("<QQQIHBBI", trailer[:36])
    assert trailer[36:] == b"ATLAS.AF" and crc32c(trailer[:32]) == own and version == 2
    assert DTYPES[dtype] == entry["dtype"] and offset == entry["index"]
    index = data[offset : offset + length]
    assert crc32c(index) == checksum and offset + length + 44 == len(data)
    index = decompress(codec, index, raw)
    (length,) = struct.unpack("<Q", index[:8])
    blocks = pa.ipc.open_stream(index[8 : 8 + length]).read_all().to_pylist()
    chunks = pa.ipc.open_stream(index[8 + length :]).read_all().to_pylist()
    cells = [
        decode_block(data[b["offset"] : b["offset"] + b["length"]], entry["dtype"], b["cells"]) for b in blocks
    ]
    for row in chunks:
        row["dataset"] += entry.get("first", 0)
        if row["chunk"] is not None:
            row["cells"] = cells[row["block"]][row["offset"] : row["offset"] + row["row_count"]]
            assert len(row["cells"]) == row["row_count"]
            assert sum(cell is None for cell in row["cells"]) == row["null_count"]
            if row.get("m2") is not None:
                numbers = [cell for cell in row["cells"] if cell is not None and cell == cell]
                mean = math.fsum(numbers) / len(numbers)
                length = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers))
                assert math.isclose(math.sqrt(row["m2"]), length, rel_tol=1e-6, abs_tol=1e-9 * abs(mean))
    return chunks


def read_manifest(path, entry):
    """The rows of a manifest by ordinal, in the form of the root's rows."""
    data = (path / "_datasets" / entry["file"]).read_bytes()
    assert len(data) == entry["size"] and crc32c(data) == entry["crc32c"]
    raw = decompress(["none", "zstd", "lz4"].index(entry["codec"]), data, entry["raw"])
    (length,) = struct.unpack("<Q", raw[:8])
    attributes = json.loads(raw[8 : 8 + length])
    table = pa.ipc.open_stream(raw[8 + length + -length % 8 :]).read_all()
    columns = [column.to_pylist() for column in table.columns]
    assert len(columns) == 4 + len(attributes) and table.num_rows == entry["rows"]
    names = [name.encode() for name in columns[1] if name is not None]
    assert [min(names).decode(), max(names).decode()] == entry["names"]
    for ordinal, name, schema, sizes, *values in zip(*columns):
        given = {a[0]: value for a, value in zip(attributes, values) if value is not None}
        row = None if name is None else (name, entry["schemas"][schema], sizes, given)
        yield entry["first"] + ordinal, row


def read_rows(path, catalog):
    """Every dataset's name, schema, sizes and attributes, by ordinal."""
    rows = {}
    for entry in catalog.get("manifests", []):
        rows.update(read_manifest(path, entry))
    for ordinal, *row in catalog["datasets"]:
        if row:
            keys = catalog["schemas"][row[1]]["attributes"]
            row = (*row[:3], dict(zip(keys, row[3])))
        rows[ordinal] = row or None
    rows = {ordinal: row for ordinal, row in rows.items() if row is not None}
    assert len(rows) == catalog["count"] and all(ordinal < catalog["next"] for ordinal in rows)
    return rows


def read_store(path):
    document = (path / "atlas.json").read_bytes()
    catalog = json.loads(document)
    assert document.startswith(b'{"format":"atlas","version":2,"crc32c":"')
    sealed = document.replace(catalog["crc32c"].encode(), b"00000000", 1)
    assert f"{crc32c(sealed):08x}" == catalog["crc32c"]
    chunks = {}
    for variable, segments in catalog["variables"].items():
        for entry in segments:
            directory = path / urllib.parse.quote(entry.get("directory", variable), safe=" ")
            for row in read_segment(directory / entry["file"], entry):
                if row["chunk"] is None:
                    stale = [key for key in chunks if key[:2] == (variable, row["dataset"])]
                    for key in stale:
                        del chunks[key]
                else:
                    chunks[variable, row["dataset"], tuple(row["chunk"])] = row["cells"]
    datasets = {}
    cells_of_all = 0
    for ordinal, (name, schema, sizes, attributes) in read_rows(path, catalog).items():
        schema = catalog["schemas"][schema]
        sizes = dict(zip(schema["dims"], sizes))
        arrays = datasets.setdefault(name, {"attributes": {}, "arrays": {}})
        assert list(attributes) == schema["attributes"]
        arrays["attributes"] = attributes
        arrays = arrays["arrays"]
        for number in schema["arrays"]:
            array = catalog["arrays"][number]
            shape = [sizes[dim] for dim in array.get("dims", [])]
            chunk = [c or n for c, n in zip(array.get("chunk", []), shape)]
            values = [None] * math.prod(shape)
            for (variable, owner, coordinate), cells in chunks.items():
                if (variable, owner) == (array["name"], ordinal):
                    place(values, shape, chunk, coordinate, cells)
            arrays[array["name"]] = {"dtype": array["dtype"], "shape": shape, "values": values}
            cells_of_all += len(values)
    assert cells_of_all == catalog["cells"]
    return datasets


def place(values, shape, chunk, coordinate, cells):
    ranges = [range(i * c, min((i + 1) * c, n)) for i, c, n in zip(coordinate, chunk, shape)]
    places = [0]
    for extent, indices in zip(shape, ranges):
        places = [start * extent + i for start in places for i in indices]
    assert len(places) == len(cells)
    for at, cell in zip(places, cells):
        values[at] = cell


def same(found, expected):
    if isinstance(expected, str) and isinstance(found, float):
        return str(found) == expected.lower()
    if isinstance(found, float):
        return struct.pack("<d", found) == struct.pack("<d", expected)
    return found == expected


def main(golden):
    expected = json.loads((golden / "expected.json").read_text())
    for codec in ("zstd", "lz4", "none"):
        store = read_store(golden / codec)
        assert store.keys() == expected.keys(), codec
        for name, dataset in store.items():
            arrays = dataset["arrays"]
            assert dataset["attributes"]["title"] == 'a "golden" store'
            assert arrays.keys() == expected[name].keys(), (codec, name)
            for array, found in arrays.items():
                wanted = expected[name][array]
                assert (found["dtype"], found["shape"]) == (wanted["dtype"], wanted["shape"]), (name, array)
                for i, (a, b) in enumerate(zip(found["values"], wanted["values"], strict=True)):
                    assert same(a, b), (codec, name, array, i, a, b)
        count = sum(len(dataset["arrays"]) for dataset in store.values())
        print(f"{golden / codec}: {count} arrays of {len(store)} datasets are as expected")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
