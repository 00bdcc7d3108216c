//! Imports files from a web server whose connections break off.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use atlas::{Atlas, StoreConfig};
use atlas_import::{Error, Existing, ImportOptions, Report, import};
use netcdf_writer::{NcFileBuilder, NcWriteOptions};

/// A web server with a few files. It truncates the first `cuts` responses with a body, and then
/// closes the connection.
#[derive(Clone)]
struct Server {
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    cuts: Arc<AtomicUsize>,
    /// Whether it supports range requests.
    ranges: bool,
    address: String,
}

impl Server {
    fn start(files: &[(&str, Vec<u8>)], cuts: usize, ranges: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let files = files.iter().map(|(name, bytes)| (format!("/{name}"), bytes.clone()));
        let server = Self {
            files: Arc::new(Mutex::new(files.collect())),
            cuts: Arc::new(AtomicUsize::new(cuts)),
            ranges,
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        server
    }

    fn url(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}/{name}", self.address))
    }

    /// Answers a request, and closes the connection.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
        let request = lines.next()?;
        let range = lines.take_while(|line| !line.is_empty()).fold(None, |range, line| {
            let (name, value) = line.split_once(':')?;
            let is_range = name.eq_ignore_ascii_case("range");
            if is_range { Some(value.trim().strip_prefix("bytes=")?.to_owned()) } else { range }
        });
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let Some(bytes) = self.files.lock().unwrap().get(path).cloned() else {
            return stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .ok();
        };
        let all = bytes.len();
        let (status, body, more) = match range.filter(|_| self.ranges) {
            Some(range) => {
                let (from, to) = range.split_once('-')?;
                let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
                let body = bytes.get(from..=to.min(all - 1))?.to_vec();
                ("206 Partial Content", body, format!("Content-Range: bytes {from}-{to}/{all}\r\n"))
            }
            None => ("200 OK", bytes, String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}ETag: \"{all}\"\r\n\
             Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        if method == "HEAD" {
            return Some(());
        }
        let cut =
            self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |cuts| cuts.checked_sub(1)).is_ok();
        let sent = if cut { body.get(..body.len() / 2)? } else { &body };
        stream.write_all(sent).ok()
    }
}

fn file(cells: u64) -> Vec<u8> {
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", cells).unwrap();
    let v = file.add_variable::<f64>("v", &[x]).unwrap();
    file.write_variable(v, &(0..cells).map(|cell| cell as f64).collect::<Vec<_>>()).unwrap();
    file.to_vec(NcWriteOptions::classic()).unwrap().1
}

async fn store() -> Atlas {
    let objects = Arc::new(object_store::memory::InMemory::new());
    Atlas::create(objects, "s".into(), StoreConfig::default()).await.unwrap()
}

async fn imported(atlas: &Atlas, url: PathBuf, existing: Existing) -> Result<Report, Error> {
    let options = ImportOptions { existing, ..ImportOptions::default() };
    import(atlas, &[url], &options, &|_| {}).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_off_is_taken_up_again() {
    // A file that takes more than one part.
    let bytes = file(1_200_000);
    for ranges in [true, false] {
        let server = Server::start(&[("dir/a.nc", bytes.clone())], 3, ranges);
        let atlas = store().await;
        let report = imported(&atlas, server.url("dir/a.nc"), Existing::Error).await.unwrap();
        assert_eq!((report.imported, report.bytes), (1, bytes.len() as u64));
        let dataset = atlas.open_dataset("a").await.unwrap();
        let cells = dataset.read_array::<f64>("v", [], []).await.unwrap().unwrap();
        assert!(cells.iter().enumerate().all(|(place, cell)| *cell == place as f64));
        assert_eq!(server.cuts.load(Ordering::SeqCst), 0);
        // The file is unchanged, by its size and time.
        let report = imported(&atlas, server.url("dir/a.nc"), Existing::Update).await.unwrap();
        assert_eq!((report.imported, report.unchanged), (0, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_comes_is_no_dataset() {
    let server = Server::start(&[("a.nc", file(10)), ("b.nc", file(20))], usize::MAX, true);
    let atlas = store().await;
    let failed = imported(&atlas, server.url("a.nc"), Existing::Error).await.unwrap_err();
    assert!(failed.to_string().contains("broke off"), "{failed}");
    assert_eq!(atlas.list_datasets().unwrap(), [""; 0]);
    let missing = imported(&atlas, server.url("c.nc"), Existing::Error).await.unwrap_err();
    assert!(missing.to_string().contains("/c.nc"), "{missing}");
}
