//! `docs/functions.md` equals the documentation of the functions. `UPDATE_DOCS=1` writes it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::prelude::SessionContext;

const HEAD: &str = "# Functions

This page lists the functions that Atlas adds to those of
[DataFusion](https://datafusion.apache.org/user-guide/sql/scalar_functions.html). It does not list
DataFusion's own functions.

The shell has all of them. Any other DataFusion session gets them by
`atlas_udfs::register_all(&ctx)`, except `sample_at`, which belongs to the crate `atlas-datafusion`
and is registered with the tables of a store. A test writes this page from the functions'
documentation (`UPDATE_DOCS=1 cargo test --workspace --test claims functions`).

Numbers are 64-bit floats, or values that convert to them. A function of a row is NULL if an
argument is NULL, or if it has no value, for example for a latitude of 95 degrees. NaN stays NaN.
Aggregates skip missing values, that is, NULL and NaN; an infinity is a value. All aggregates
except `nanmedian` also work in sliding windows.
";

const SYNONYMS: &str = "
## Synonyms

These are names of other tools for functions of this page and of DataFusion. `std` is the standard
deviation of a population, as in NumPy and xarray; DataFusion's `stddev` is that of a sample.

| name | function |
| --- | --- |
";

/// A recipe, since there is no function for it.
const ANOMALY: &str = "
## Anomalies

The anomaly of a value is its difference from the mean of comparable values, for example of a
January from all Januaries. A window computes it:

```sql
SELECT time, temperature - avg(temperature) OVER (PARTITION BY dataset, date_part('month', time)) AS anomaly
FROM atlas;
```
";

/// A paragraph in lines of at most 100 characters, those after the first behind an indent.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() >= 100 {
            lines.push_str(&format!("{}\n", line.trim_end()));
            line = indent.to_owned();
        }
        line.push_str(&format!("{word} "));
    }
    format!("{lines}{}\n", line.trim_end())
}

fn page() -> String {
    let mut topics: BTreeMap<&str, String> = BTreeMap::new();
    let of_rows = atlas_udfs::documentation().into_iter().map(|(_, documentation)| documentation);
    let of_tables = Arc::new(atlas_datafusion::sample::documentation());
    for documentation in of_rows.chain([of_tables]) {
        let text = topics.entry(documentation.doc_section.label).or_default();
        let (gives, source) = documentation.description.split_once("\n\nSource: ").unwrap();
        text.push_str(&format!("\n### `{}`\n\n{}\n", documentation.syntax_example, wrapped(gives, "")));
        for (name, what) in documentation.arguments.iter().flatten() {
            text.push_str(&wrapped(&format!("- `{name}`: {what}"), "  "));
        }
        let example = documentation.sql_example.as_ref().unwrap();
        text.push_str(&format!("\n```sql\n{example};\n```\n\n"));
        text.push_str(&wrapped(&format!("Source: {source}."), ""));
    }
    let synonyms = atlas_udfs::synonyms::SYNONYMS;
    let synonyms = synonyms.map(|(synonym, name)| format!("| `{synonym}` | `{name}` |\n")).concat();
    let topics = topics.into_iter().map(|(topic, text)| format!("\n## {topic}\n{text}"));
    format!("{HEAD}{}{SYNONYMS}{synonyms}{ANOMALY}", topics.collect::<String>())
}

#[test]
fn the_page_is_what_the_functions_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/functions.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), page(), "UPDATE_DOCS=1 writes it anew");
}

#[tokio::test]
async fn examples_run() {
    let ctx = SessionContext::new();
    atlas_udfs::register_all(&ctx);
    for (name, documentation) in atlas_udfs::documentation() {
        let example = documentation.sql_example.as_ref().unwrap();
        match ctx.sql(example).await.unwrap().collect().await {
            Ok(batches) => {
                assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1, "{name}")
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
