//! The answers in `docs/cookbook.md` and `docs/years.md` are those of the command on real data.
//! `UPDATE_DOCS=1` writes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use netcdf_writer::{NcAttrValue, NcFileBuilder, NcWriteOptions};

const QUERY: &str = "```sql\n";
const ANSWER: &str = "```text\n";
const END: &str = "```\n";

fn atlas(directory: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_atlas")).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A page with the answer of each of its questions after it, and the number of questions. Questions
/// are the blocks that start with `begin`. An empty answer gets no block.
fn answered(page: &str, begin: &str, answer: impl Fn(&str) -> String) -> (String, usize) {
    let mut parts = page.split(begin);
    let mut out = parts.next().unwrap().to_owned();
    let mut count = 0;
    for part in parts {
        let (query, rest) = part.split_once(END).unwrap();
        // The previous answer.
        let old = rest.trim_start_matches('\n').strip_prefix(ANSWER);
        let rest = old.map_or(rest, |old| old.split_once(END).unwrap().1);
        let answer = match answer(query) {
            nothing if nothing.is_empty() => String::new(),
            answer => format!("\n{ANSWER}{answer}{END}"),
        };
        out.push_str(&format!("{begin}{query}{END}{answer}{rest}"));
        count += 1;
    }
    (out, count)
}

#[test]
fn questions_have_the_answers_that_the_page_gives() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let data = root.join("../shared/data");
    let Ok(data) = data.canonicalize() else {
        return eprintln!("skipped: there is no {}", data.display());
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| data.join(name).to_string_lossy().into_owned();
    atlas(directory.path(), &["import", "argo", &path("argo")]);
    atlas(directory.path(), &["import", "era", &path("eraint_uvz.nc")]);
    let page = root.join("docs/cookbook.md");
    let found = std::fs::read_to_string(&page).unwrap();
    let ask = |query: &str| {
        let start = Instant::now();
        let answer = atlas(directory.path(), &["sql", "argo=argo", "era=era", "-c", query]);
        // Only release builds must be fast. The time includes the start of the command.
        let is_fast = start.elapsed().as_secs_f64() < 0.3;
        assert!(is_fast || cfg!(debug_assertions), "{:?} for {query}", start.elapsed());
        answer
    };
    let (expected, count) = answered(&found, QUERY, ask);
    assert!(count >= 25, "{count} questions");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(page, expected).unwrap();
    }
    for (found, expected) in found.split("\n## ").zip(expected.split("\n## ")) {
        assert_eq!(found, expected, "UPDATE_DOCS=1 writes it anew");
    }
}

/// Writes a file with one day of a model: `sst(time, y)` with four times.
fn day(path: &Path, number: u32) {
    let mut file = NcFileBuilder::new();
    let time = file.add_unlimited_dimension("time").unwrap();
    let y = file.add_dimension("y", 3).unwrap();
    let times = file.add_variable::<f64>("time", &[time]).unwrap();
    let units = NcAttrValue::Chars("days since 2024-01-01".into());
    file.add_variable_attribute(times, "units", units).unwrap();
    let sst = file.add_variable::<f32>("sst", &[time, y]).unwrap();
    let steps =
        |count: u32| (0..count).map(move |step| f64::from(number - 1) + f64::from(step) / f64::from(count));
    file.write_variable(times, &steps(4).collect::<Vec<_>>()).unwrap();
    file.write_variable(sst, &(0..12).map(|cell| (number * 12 + cell) as f32).collect::<Vec<_>>()).unwrap();
    std::fs::write(path, file.to_vec(NcWriteOptions::classic()).unwrap().1).unwrap();
}

/// Runs the lines of a block as a shell does, and returns their output without the parts that
/// differ between runs.
fn run(directory: &Path, script: &str) -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_atlas")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-eo", "pipefail", "-c", &format!("exec 2>&1\n{script}")])
        .current_dir(directory)
        .env("PATH", path)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{script}\n{told}");
    let here = directory.canonicalize().unwrap().to_string_lossy().into_owned();
    let hidden = |line: &str| {
        let line = line.replace(&here, "/data");
        // The duration of an import, and the modification times of files.
        let line = match (line.find(" in "), line.find(" files/s")) {
            (Some(from), Some(_)) if line.contains(" new") => format!("{} in … s, … files/s", &line[..from]),
            _ => line,
        };
        match line.split_once("modified ") {
            Some((before, after)) => {
                format!("{before}modified …{}", &after[after.find("  ").unwrap_or(after.len())..])
            }
            None => line,
        }
    };
    told.lines().map(|line| hidden(line) + "\n").collect()
}

#[cfg(unix)]
#[test]
fn a_store_is_kept_for_years_as_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let data = root.join("../shared/data/argo/13857");
    let Ok(data) = data.canonicalize() else {
        return eprintln!("skipped: there is no {}", data.display());
    };
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for name in ["profiles", "later", "days"] {
        std::fs::create_dir(here.join(name)).unwrap();
    }
    let copy = |from: &str, to: &str| std::fs::copy(data.join(from), here.join(to)).unwrap();
    for number in [1, 2, 3, 5, 6, 7] {
        copy(&format!("R13857_{number:03}.nc"), &format!("profiles/R13857_{number:03}.nc"));
    }
    copy("R13857_010.nc", "later/R13857_001.nc");
    copy("R13857_011.nc", "later/R13857_900.nc");
    for number in [1, 2, 4, 5, 6] {
        day(&here.join(format!("days/ocean_2024-01-0{number}.nc")), number);
    }
    for number in [3, 7] {
        day(&here.join(format!("later/ocean_2024-01-0{number}.nc")), number);
    }
    let page = root.join("docs/years.md");
    let found = std::fs::read_to_string(&page).unwrap();
    let (expected, count) = answered(&found, "```sh\n", |script| run(here, script));
    assert!(count >= 12, "{count} commands");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(page, expected).unwrap();
    }
    for (found, expected) in found.split("\n## ").zip(expected.split("\n## ")) {
        assert_eq!(found, expected, "UPDATE_DOCS=1 writes it anew");
    }
}
