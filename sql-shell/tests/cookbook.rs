//! `docs/cookbook.md` gives the answers that the command gives on real data. `UPDATE_DOCS=1` writes
//! them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

const QUERY: &str = "```sql\n";
const ANSWER: &str = "```text\n";
const END: &str = "```\n";

fn atlas(directory: &Path, arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_atlas")).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A page with the answer of each of its queries behind it, and the number of queries.
fn answered(page: &str, answer: impl Fn(&str) -> String) -> (String, usize) {
    let mut parts = page.split(QUERY);
    let mut out = parts.next().unwrap().to_owned();
    let mut count = 0;
    for part in parts {
        let (query, rest) = part.split_once(END).unwrap();
        // What was the answer.
        let old = rest.trim_start_matches('\n').strip_prefix(ANSWER);
        let rest = old.map_or(rest, |old| old.split_once(END).unwrap().1);
        out.push_str(&format!("{QUERY}{query}{END}\n{ANSWER}{}{END}{rest}", answer(query)));
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
        // Of a build that is not for debugging, and with the start of the command.
        let is_fast = start.elapsed().as_secs_f64() < 0.3;
        assert!(is_fast || cfg!(debug_assertions), "{:?} for {query}", start.elapsed());
        answer
    };
    let (expected, count) = answered(&found, ask);
    assert!(count >= 25, "{count} questions");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(page, expected).unwrap();
    }
    for (found, expected) in found.split("\n## ").zip(expected.split("\n## ")) {
        assert_eq!(found, expected, "UPDATE_DOCS=1 writes it anew");
    }
}
