//! Processes that are killed, or that write to the same store concurrently.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use netcdf_writer::{NcFileBuilder, NcWriteOptions};

fn atlas(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    atlas(directory, arguments).output().unwrap()
}

fn start(directory: &Path, arguments: &[&str]) -> Child {
    atlas(directory, arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The number of datasets of a store. Asserts that the store is not damaged.
fn datasets(directory: &Path) -> usize {
    let verified = run(directory, &["verify", "store"]);
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    // A commit may have been interrupted between writing its two files.
    let damaged =
        told.lines().filter(|line| line.starts_with("problem") && !line.contains("next writer mends it"));
    assert_eq!(damaged.collect::<Vec<_>>(), [""; 0]);
    let counted = run(
        directory,
        &["sql", "store", "--format", "csv", "-c", "SELECT count(dataset), sum(cells) FROM atlas._datasets"],
    );
    let text = String::from_utf8(counted.stdout).unwrap();
    text.lines()
        .nth(1)
        .and_then(|line| line.split(',').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&counted.stderr)))
}

/// Writes directories `a`, `b`, … with some files of a few hundred kB each.
fn files(directory: &Path, names: &[&str], count: usize) {
    for name in names {
        std::fs::create_dir(directory.join(name)).unwrap();
        for number in 0..count {
            let mut file = NcFileBuilder::new();
            let x = file.add_dimension("x", 30_000).unwrap();
            let v = file.add_variable::<f64>("v", &[x]).unwrap();
            let noise = |i: u64| {
                f64::from_bits((i + number as u64 * 7919 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2)
            };
            file.write_variable(v, &(0..30_000).map(noise).collect::<Vec<_>>()).unwrap();
            let bytes = file.to_vec(NcWriteOptions::classic()).unwrap().1;
            std::fs::write(directory.join(name).join(format!("{name}{number}.nc")), bytes).unwrap();
        }
    }
}

/// `ATLAS_RUNS=200` makes a long run.
#[test]
fn a_process_that_is_killed_leaves_the_old_or_the_new_state() {
    let runs = std::env::var("ATLAS_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(12);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory, &["a", "b"], 12);
    assert!(run(directory, &["import", "store", "a"]).status.success());
    let copy = |from: &str, to: &str| {
        assert!(Command::new("cp").args(["-r", from, to]).current_dir(directory).status().unwrap().success());
    };
    copy("store", "old");
    let (mut olds, mut news) = (0, 0);
    for number in 0..runs {
        std::fs::remove_dir_all(directory.join("store")).unwrap();
        copy("old", "store");
        let mut import = start(directory, &["import", "store", "b"]);
        // The delays cover the whole import and some time after it, in a pseudo-random order.
        std::thread::sleep(Duration::from_micros(number * 7919 % runs * 150_000 / runs));
        import.kill().unwrap();
        import.wait().unwrap();
        match datasets(directory) {
            12 => olds += 1,
            24 => news += 1,
            other => panic!("{other} datasets"),
        }
        // The next import completes the interrupted one or starts again, and removes what it left.
        let again = run(directory, &["import", "store", "b"]);
        assert!(again.status.success() || String::from_utf8_lossy(&again.stderr).contains("already"));
        assert_eq!(datasets(directory), 24);
        assert!(run(directory, &["vacuum", "store", "--older-than", "0s"]).status.success());
        let verified = run(directory, &["verify", "store"]);
        let told = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success() && !told.contains("unused"), "{told}");
    }
    assert!(olds > 0, "{olds} old, {news} new");
    println!("{olds} old, {news} new");
}

#[test]
fn of_two_processes_that_write_at_one_time_none_loses_what_it_was_told_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    files(directory, &["a", "b", "c"], 4);
    assert!(run(directory, &["import", "store", "a"]).status.success());
    let both = [start(directory, &["import", "store", "b"]), start(directory, &["import", "store", "c"])];
    let outputs = both.map(|child| child.wait_with_output().unwrap());
    let won = outputs.iter().filter(|output| output.status.success()).count();
    for lost in outputs.iter().filter(|output| !output.status.success()) {
        let told = String::from_utf8_lossy(&lost.stderr);
        assert!(told.contains("conflict") && told.contains("committed by another writer"), "{told}");
    }
    assert!(won >= 1);
    assert_eq!(datasets(directory), 4 + 4 * won);
}

/// A shell in a terminal.
#[cfg(target_os = "linux")]
struct Terminal {
    script: Child,
    shown: std::sync::Arc<std::sync::Mutex<String>>,
}

#[cfg(target_os = "linux")]
impl Terminal {
    fn open(home: &Path) -> Self {
        let mut script = Command::new("script")
            .args(["-qec", concat!(env!("CARGO_BIN_EXE_atlas"), " sql --no-rc"), "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs([("HOME", home.as_os_str()), ("TERM", "xterm".as_ref()), ("SHELL", "/bin/sh".as_ref())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = std::sync::Arc::<std::sync::Mutex<String>>::default();
        let (mut out, all) = (script.stdout.take().unwrap(), std::sync::Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut bytes) {
                all.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { script, shown }
    }

    fn send(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text is shown, and returns all that was shown until then since the last call.
    fn wait_for(&mut self, text: &str) -> String {
        let started = std::time::Instant::now();
        loop {
            let mut shown = self.shown.lock().unwrap();
            if let Some(at) = shown.find(text) {
                return shown.drain(..at + text.len()).collect();
            }
            let has_ended = self.script.try_wait().unwrap().is_some();
            assert!(!has_ended && started.elapsed() < Duration::from_secs(60), "no `{text}`: {shown}");
            drop(shown);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Terminal {
    fn drop(&mut self) {
        // Its terminal ends with it, and the shell with the terminal.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_shell_keeps_what_is_typed_and_outlives_interrupts() {
    let probe = Command::new("script").args(["-qec", "true", "/dev/null"]).stdin(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("nothing was tested: `script` cannot open a terminal here");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(home.path());
    terminal.wait_for("atlas> ");
    // All at once, as if the last two were typed while the first one runs.
    terminal.send("SELECT 1100 + 11;\rSELECT 2200 + 22;\rSELECT 3300 + 33;\r");
    for answer in [" 1111 |", " 2222 |", " 3333 |"] {
        terminal.wait_for(answer);
    }
    for _ in 0..3 {
        terminal.wait_for("atlas> ");
        let endless = "SELECT count(*) FROM generate_series(1, 1000000000000) AS t(x) WHERE x % 7 = 8";
        terminal.send(&format!("{endless};\rSELECT 5500 + 55;\r"));
        // The progress line.
        terminal.wait_for("0s");
        terminal.send("\x03");
        terminal.wait_for("error: cancelled");
    }
    terminal.send("SELECT 4400 + 44;\r");
    let shown = terminal.wait_for(" 4444 |");
    assert!(!shown.contains(" 5555 |"), "what was typed before Ctrl-C runs: {shown}");
}

#[test]
fn a_copy_that_fails_late_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::create_dir(directory.join("many")).unwrap();
    let rows = "SELECT x, 1 / (2000000 - x) AS y FROM generate_series(1, 3000000) AS t(x)";
    for target in ["'a.csv'", "'a.json'", "'a.parquet'", "'a.arrow'", "'many/' STORED AS PARQUET"] {
        for _ in 0..3 {
            let output = run(directory, &["sql", "-c", &format!("COPY ({rows}) TO {target}")]);
            assert!(String::from_utf8_lossy(&output.stderr).contains("Divide by zero"), "{output:?}");
            let left = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
            assert_eq!((left(directory), left(&directory.join("many"))), (1, 0), "{target}");
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let sql = "SELECT x, x AS y FROM generate_series(1, 300000) AS t(x)";
    let formats = ["table", "csv", "tsv", "json", "ndjson", "markdown", "parquet", "arrow"];
    let targets: [&[&str]; 2] = [&[], &["-o", "/dev/stdout"]];
    for (format, target) in formats.iter().flat_map(|format| targets.map(|target| (*format, target))) {
        let arguments = [&["sql", "--format", format, "-c", sql], target].concat();
        let mut command = atlas(directory.path(), &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 4]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{format}: {output:?}");
    }
}

/// A command that heeds interrupts, also if the tests are a job that a script runs in the
/// background.
#[cfg(unix)]
fn interruptible(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_atlas")]);
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

/// Interrupts a process. Asserts that it ends soon.
#[cfg(unix)]
fn interrupt(mut child: Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let interrupted = std::time::Instant::now();
    // The process that started it recognizes that it was interrupted.
    let ended = std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap());
    assert_eq!(ended, Some(2));
    assert!(interrupted.elapsed() < Duration::from_secs(5), "{:?}", interrupted.elapsed());
}

#[test]
#[cfg(unix)]
fn an_interrupted_import_leaves_no_temporary_files() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let temporary = directory.join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // Nothing ever comes of this file.
    let made = Command::new("mkfifo").arg(directory.join("slow.nc.gz")).status().unwrap();
    assert!(made.success());
    let mut import = interruptible(directory, &["import", "store", "slow.nc.gz"]);
    let child = import.env("TMPDIR", &temporary).stdout(Stdio::null()).spawn().unwrap();
    let started = std::time::Instant::now();
    let is_used = || std::fs::read_dir(&temporary).unwrap().count() > 0;
    while !is_used() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    interrupt(child);
    assert!(!is_used());
}

#[test]
#[cfg(unix)]
fn an_interrupt_ends_a_script_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let sql = "SELECT count(*) FROM generate_series(1, 1000000000000) AS t(x) WHERE x % 7 = 8";
    std::fs::write(directory.join("script.sql"), sql).unwrap();
    let script = std::fs::File::open(directory.join("script.sql")).unwrap();
    let endless = "SELECT x, x AS y FROM generate_series(1, 1000000000000) AS t(x)";
    std::fs::write(directory.join("old.arrow"), "old").unwrap();
    let copies = ["copy.csv", "copy.json", "copy.parquet", "copy.arrow", "old.arrow", "copy.nc"]
        .map(|file| format!("COPY ({endless}) TO '{file}'"));
    let results: [&[&str]; 5] = [
        &["sql", "-c", sql],
        &["sql", "-f", "script.sql"],
        &["sql"],
        &["sql", "-o", "rows.csv", "-c", endless],
        &["sql", "-o", "rows.md", "-c", endless],
    ];
    let copies = copies.iter().map(|copy| vec!["sql", "-c", copy]);
    for arguments in &results.iter().map(|result| result.to_vec()).chain(copies).collect::<Vec<_>>() {
        let mut child = interruptible(directory, arguments)
            .stdin(script.try_clone().unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(800));
        assert!(child.try_wait().unwrap().is_none(), "{arguments:?}");
        interrupt(child);
        // Nothing is left of results.
        let left = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name());
        let left: std::collections::BTreeSet<_> = left.collect();
        assert!(left.into_iter().eq(["old.arrow", "script.sql"]), "{arguments:?}");
        assert_eq!(std::fs::read(directory.join("old.arrow")).unwrap(), b"old");
    }
}
