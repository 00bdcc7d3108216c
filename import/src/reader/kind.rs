//! Detects the kind of a file by its first bytes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The kinds of files that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// CDF-1, CDF-2 and CDF-5.
    Classic,
    /// NetCDF-4 and other HDF5 files.
    Hdf5,
}

const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The first bytes of other files, and the message about such files.
const OTHERS: [(&[u8], &str); 22] = [
    (b"\x1f\x8b", "it is compressed with gzip: name it .gz, or decompress it with `gunzip`"),
    (b"BZh", "it is compressed with bzip2: name it .bz2, or decompress it with `bunzip2`"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd: name it .zst, or decompress it with `unzstd`"),
    (b"\xfd7zXZ\0", "it is compressed with xz: decompress it first, with `unxz`"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4: decompress it first, with `unlz4`"),
    (b"\x1f\x9d", "it is compressed with compress: decompress it first, with `uncompress`"),
    (b"PK\x03\x04", "it is a zip archive: unpack it first, with `unzip`"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it first, with `7z x`"),
    (b"GRIB", "it is a GRIB file: convert it first, with `grib_to_netcdf` or `cdo -f nc4 copy`"),
    (b"BUFR", "it is a BUFR file, which is not read"),
    (b"\x0e\x03\x13\x01", "it is an HDF4 file: convert it first, with `h4toh5` or `ncdump`"),
    (b"CDF", "it is a classic NetCDF file of a version that is not known"),
    (b"\xcd\xf3\x00\x01", "it is a CDF file of NASA's Common Data Format, which is not NetCDF"),
    (b"\xcd\xf2\x60\x02", "it is a CDF file of NASA's Common Data Format, which is not NetCDF"),
    (b"\x89PNG", "it is a PNG image"),
    (b"\xff\xd8\xff", "it is a JPEG image"),
    (b"II*\0", "it is a TIFF image"),
    (b"MM\0*", "it is a TIFF image"),
    (b"%PDF", "it is a PDF document"),
    (b"PAR1", "it is a Parquet file"),
    (b"SIMPLE  =", "it is a FITS file, which is not read"),
    (b"netcdf ", "it is the text of a NetCDF file (CDL): make a file of it first, with `ncgen`"),
];

/// Opens a file, and detects its kind.
///
/// # Errors
/// The file is not of a supported kind. The message says what it is instead.
pub(super) fn open(path: &Path) -> Result<(File, Kind), String> {
    let found = std::fs::metadata(path).map_err(|e| e.to_string())?;
    // A fifo must not be opened, since that would wait for a writer.
    if !found.is_file() {
        return Err(special(&found.file_type()).to_owned());
    }
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(512).read_to_end(&mut start).map_err(|e| e.to_string())?;
    let kind = match start.as_slice() {
        [b'C', b'D', b'F', 1 | 2 | 5, ..] => Kind::Classic,
        start if start.starts_with(HDF5) => Kind::Hdf5,
        start => {
            // An HDF5 file may start with a user block of 512 bytes, or of 512 times a power of
            // two.
            let places = std::iter::successors(Some(512u64), |place| place.checked_mul(2));
            let mut places = places.take_while(|&place| place + 8 <= found.len());
            if !places.any(|place| is_hdf5_at(&mut file, place)) {
                return Err(other(start));
            }
            Kind::Hdf5
        }
    };
    Ok((file, kind))
}

fn is_hdf5_at(file: &mut File, place: u64) -> bool {
    let mut magic = [0; 8];
    file.seek(SeekFrom::Start(place)).is_ok() && file.read_exact(&mut magic).is_ok() && magic == HDF5
}

/// Describes what is not a regular file.
fn special(found: &std::fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if found.is_fifo() {
            return "it is a fifo, and no file";
        }
        if found.is_socket() {
            return "it is a socket, and no file";
        }
        if found.is_block_device() || found.is_char_device() {
            return "it is a device, and no file";
        }
    }
    if found.is_dir() { "it is a directory, and no file" } else { "it is no file" }
}

/// Describes a file whose first bytes are not those of a NetCDF file.
fn other(start: &[u8]) -> String {
    if start.is_empty() {
        return "it is empty".to_owned();
    }
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return (*what).to_owned();
    }
    if start.get(257..262) == Some(b"ustar") {
        return "it is a tar archive: unpack it first, with `tar -xf`".to_owned();
    }
    if start.iter().all(|&byte| byte == 0) {
        return "it has zeros where a NetCDF file begins: it may be a download that did not end".to_owned();
    }
    // The last character may be truncated.
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        Err(e) if e.error_len().is_none() => {
            start.get(..e.valid_up_to()).and_then(|s| std::str::from_utf8(s).ok())
        }
        Err(_) => None,
    };
    let Some(text) = text.filter(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace())) else {
        return "it is no NetCDF or HDF5 file".to_owned();
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_ascii_lowercase();
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| lower.starts_with(tag)) {
        return "it is a web page (HTML) and no NetCDF file: the download may have failed".to_owned();
    }
    let line: String = text.lines().next().unwrap_or_default().chars().take(60).collect();
    format!("it is text and no NetCDF file; it begins with `{line}`")
}

/// Describes a directory whose name or files identify it as another kind of data.
pub(crate) fn special_directory(path: &Path) -> Option<&'static str> {
    let zarr = [".zgroup", ".zarray", ".zmetadata", "zarr.json"];
    zarr.iter().any(|name| path.join(name).is_file()).then_some("it is a Zarr store, which is not read")
}
