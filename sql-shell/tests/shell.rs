//! Tests the command as users run it: arguments in; exit code, stdout and stderr out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use netcdf_writer::{NcAttrValue, NcFileBuilder, NcWriteOptions};

/// Runs `atlas` in a directory, and returns its output and exit code without the parts that differ
/// between runs.
fn atlas(directory: &Path, arguments: &[&str], stdin: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(arguments)
        .current_dir(directory)
        .env("COLUMNS", "100")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut told = format!("$ atlas {}\n", arguments.join(" "));
    if !stdin.is_empty() {
        told.push_str(&format!("stdin: {stdin}\n"));
    }
    let directories = [directory.to_owned(), directory.canonicalize().unwrap()];
    for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
        let mut text = String::from_utf8(bytes).unwrap();
        for directory in &directories {
            text = text.replace(&*directory.to_string_lossy(), "DIR");
        }
        if !text.is_empty() {
            told.push_str(&format!("--- {name}\n{}", without_times(&text)));
        }
    }
    told.push_str(&format!("--- exit code {}\n", output.status.code().unwrap()));
    told
}

/// Replaces durations and rates by `…`: the number before ` s` or ` files/s`.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let mut words: Vec<&str> = line.split(' ').collect();
        for i in 1..words.len() {
            let unit = words[i].trim_end_matches(['\n', '.', ',', ';']);
            if ["s", "files/s"].contains(&unit) && words[i - 1].parse::<f64>().is_ok() {
                words[i - 1] = "…";
            }
        }
        out.push_str(&words.join(" "));
    }
    out
}

fn netcdf(path: &Path, values: &[f32]) {
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", values.len() as u64).unwrap();
    file.add_attribute("title", NcAttrValue::Chars("A \"small\" file, with | and ,".into())).unwrap();
    let v = file.add_variable::<f32>("v", &[x]).unwrap();
    file.set_variable_fill_value(v, -1.0f32).unwrap();
    file.add_variable_attribute(v, "units", NcAttrValue::Chars("m".into())).unwrap();
    file.write_variable(v, values).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file.to_vec(NcWriteOptions::classic()).unwrap().1).unwrap();
}

/// Creates a directory with `data/one.nc` and `data/two.nc`, imported into `store`.
fn directory_with_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    netcdf(&directory.path().join("data/one.nc"), &[0.5, 1.5, -1.0]);
    netcdf(&directory.path().join("data/two.nc"), &[10.0, 20.0]);
    assert!(atlas(directory.path(), &["import", "store", "data"], "").ends_with("exit code 0\n"));
    directory
}

fn transcript(directory: &Path, runs: &[&[&str]]) -> String {
    runs.iter().map(|arguments| atlas(directory, arguments, "")).collect::<Vec<_>>().join("\n")
}

#[test]
fn help_says_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let runs: [&[&str]; 4] = [&[], &["sql", "--help"], &["import", "--help"], &["query", "store"]];
    insta::assert_snapshot!(transcript(directory.path(), &runs));
}

#[test]
fn the_demo_answers_three_questions_and_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let runs: [&[&str]; 3] = [
        &["demo", "here"],
        &["demo", "here"],
        &["sql", "here", "-c", "SELECT count(*) FROM atlas._datasets"],
    ];
    insta::assert_snapshot!(transcript(directory.path(), &runs));
}

#[test]
fn every_format_shows_the_same_rows() {
    let directory = directory_with_store();
    let sql = "SELECT * FROM atlas WHERE v IS NULL OR v < 15 ORDER BY dataset, x";
    let runs = ["table", "csv", "tsv", "json", "ndjson", "markdown"]
        .map(|format| atlas(directory.path(), &["sql", "store", "--format", format, "-c", sql], ""));
    let none = ["table", "csv", "json", "ndjson", "markdown"].map(|format| {
        atlas(
            directory.path(),
            &["sql", "store", "--format", format, "-c", "SELECT v FROM atlas WHERE v > 99"],
            "",
        )
    });
    insta::assert_snapshot!([runs.join("\n"), none.join("\n")].join("\n"));
}

#[test]
fn statements_come_from_arguments_files_and_pipes() {
    let directory = directory_with_store();
    std::fs::write(
        directory.path().join("script.sql"),
        "-- two statements\nCREATE VIEW w AS SELECT sum(v) AS total FROM atlas GROUP BY dataset;\nSELECT * FROM w ORDER BY total;",
    )
    .unwrap();
    let told = [
        transcript(
            directory.path(),
            &[
                &["sql", "store", "-c", "SELECT 1 AS a; SELECT 2 AS b", "-c", "SELECT 3 AS c"],
                &["sql", "store", "-f", "script.sql"],
                &["sql", "store", "-o", "out.csv", "--format", "csv", "-c", "SELECT max(v) FROM atlas"],
                &[
                    "sql",
                    "left=store",
                    "right=store",
                    "-c",
                    "SELECT count(*) FROM left JOIN right USING (dataset, x)",
                ],
                &[
                    "sql",
                    "store",
                    "more=./store",
                    "-c",
                    "SELECT count(store.v) FROM store JOIN more USING (dataset, x)",
                ],
                &["sql", "store", "store/", "-c", "SELECT 1"],
            ],
        ),
        format!("out.csv: {}", std::fs::read_to_string(directory.path().join("out.csv")).unwrap()),
        atlas(
            directory.path(),
            &["sql", "store"],
            "SELECT dataset, avg(v)\nFROM atlas GROUP BY 1 ORDER BY 1;\n",
        ),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn errors_go_to_stderr_with_exit_code_1() {
    let directory = directory_with_store();
    std::fs::write(directory.path().join("data/bad.nc"), b"CDF\x01 but no more").unwrap();
    let runs: [&[&str]; 10] = [
        &["sql", "nowhere", "-c", "SELECT 1"],
        &["sql", "data/one.nc", "-c", "SELECT 1"],
        &["sql", "store", "-c", "SELEC 1"],
        &["sql", "store", "-c", "SELECT w FROM atlas"],
        &["sql", "store", "-c", "SELECT * FROM nothing"],
        &["sql", "store", "-f", "nothing.sql"],
        &["info", "nowhere"],
        &["import", "store", "data/one.nc"],
        &["import", "store", "nothing/*.nc"],
        &["import", "other", "data"],
    ];
    insta::assert_snapshot!(transcript(directory.path(), &runs));
}

#[test]
fn an_import_goes_on_past_a_broken_file_when_told_to() {
    let directory = directory_with_store();
    std::fs::write(directory.path().join("data/bad.nc"), b"CDF\x01 but no more").unwrap();
    let runs: [&[&str]; 4] = [
        &["import", "other", "data", "--skip-errors", "--codec", "lz4", "--chunk", "x=2,y=3"],
        &["info", "other"],
        &["import", "other", "data/one.nc", "--name-from", "attr:title"],
        &["import", "third", "data/one.nc", "--codec", "brotli"],
    ];
    insta::assert_snapshot!(transcript(directory.path(), &runs));
}

#[test]
fn what_imports_did_not_take_literally_is_told_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    // Two files with 40 variables, each of which has one unwritten cell; their units differ between
    // the files.
    for (name, units) in [("a.nc", "K"), ("b.nc", "degC")] {
        let mut file = NcFileBuilder::new();
        let x = file.add_dimension("x", 2).unwrap();
        for number in 0..40 {
            let v = file.add_variable::<i32>(format!("v{number:02}"), &[x]).unwrap();
            file.write_variable(v, &[1i32, -2_147_483_647]).unwrap();
            if number == 0 {
                file.add_variable_attribute(v, "units", NcAttrValue::Chars(units.into())).unwrap();
            }
        }
        std::fs::write(directory.join(name), file.to_vec(NcWriteOptions::classic()).unwrap().1).unwrap();
    }
    let nothing = atlas(directory, &["import", "store", "a.nc", "--default-fill", "keep"], "");
    assert!(!nothing.contains("stderr"), "{nothing}");
    let told = atlas(directory, &["info", "store", "--import"], "");
    assert!(told.contains("every import took everything literally"), "{told}");

    let told = atlas(directory, &["import", "store", "b.nc"], "");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.contains(&"never written: v00: made missing (1 cell in 1 file, such as b.nc)"), "{told}");
    assert!(lines.contains(&"units differ: v00: `degC` (1 file, such as b.nc)"), "{told}");
    assert!(lines.contains(&"and 26 more: atlas info store --import"), "{told}");
    assert!(lines.len() < 24, "{told}");

    let told = atlas(directory, &["info", "store", "--import"], "");
    assert_eq!(told.matches("never written: ").count(), 40, "{told}");
    assert!(told.contains("units differ: v00: `K` (1 file, such as a)\n"), "{told}");
    let told = atlas(directory, &["import", "store", "a.nc", "--valid-range", "hide"], "");
    assert!(told.contains("neither keep nor mask") && told.ends_with("exit code 2\n"), "{told}");
}

#[test]
fn a_store_is_looked_after() {
    let directory = directory_with_store();
    let directory = directory.path();
    netcdf(&directory.join("more.nc"), &[5.0, 6.0]);
    let mut told = transcript(
        directory,
        &[
            &["import", "store", "more.nc"],
            &["log", "store"],
            &["verify", "store"],
            &["compact", "store"],
            &["compact", "store"],
            &["vacuum", "store"],
            &["vacuum", "store", "--older-than", "0s"],
            &["log", "store"],
        ],
    );
    std::fs::write(directory.join("store/note.txt"), "mine").unwrap();
    let segment = std::fs::read_dir(directory.join("store/v")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    told += &transcript(
        directory,
        &[
            &["verify", "store"],
            &["compact", "store", "nothing"],
            &["log", "nowhere"],
            &["vacuum", "store", "--older-than", "soon"],
        ],
    );
    // The names of segments and the times are different in each run.
    let file = segment.file_name().unwrap().to_string_lossy().into_owned();
    let told = told.replace(&file, "SEGMENT");
    let times = told.lines().map(|line| match line.split_once("Z  ") {
        Some((before, after)) => format!("{}…  {after}", &before[..before.len() - 19]),
        None if line.contains("checksum is") => {
            line.split(" is damaged").next().unwrap().to_owned() + " is damaged…"
        }
        None => line.to_owned(),
    });
    insta::assert_snapshot!(times.collect::<Vec<_>>().join("\n"));
}

#[test]
fn stores_are_merged_and_repaired() {
    let directory = directory_with_store();
    let directory = directory.path();
    netcdf(&directory.join("other.nc"), &[7.0]);
    assert!(atlas(directory, &["import", "other", "other.nc"], "").ends_with("exit code 0\n"));
    let told = atlas(directory, &["merge", "store", "other"], "");
    assert!(told.contains("1 dataset added, 1 segment (") && told.contains(" B) copied\n"), "{told}");
    let sql = "SELECT count(DISTINCT dataset) AS n, max(v) AS most FROM atlas";
    let told = atlas(directory, &["sql", "store", "--format", "csv", "-c", sql], "");
    assert!(told.contains("n,most\n3,20.0\n"), "{told}");
    let told = atlas(directory, &["merge", "store", "other"], "");
    assert!(told.contains("error: dataset `other` exists already"), "{told}");
    std::fs::write(directory.join("store/atlas.json"), "lost").unwrap();
    assert!(atlas(directory, &["info", "store"], "").ends_with("exit code 1\n"));
    let told = atlas(directory, &["repair", "store"], "");
    assert!(told.contains("atlas.json shows generation 2, with 3 datasets.\n"), "{told}");
    assert!(atlas(directory, &["verify", "store"], "").contains("The store is whole."));
    let told = atlas(directory, &["repair", "nowhere"], "");
    assert!(told.contains("error: no Atlas store at ") && told.ends_with("exit code 1\n"), "{told}");
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let directory = directory_with_store();
    let sql = "SELECT a.v FROM atlas a, atlas b, atlas c, atlas d, atlas e, atlas f, atlas g, atlas h";
    let mut child = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["sql", "store", "--format", "csv", "-c", sql])
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Runs statements and commands from stdin, and returns their output.
fn session(directory: &Path, arguments: &[&str], stdin: &str) -> String {
    atlas(directory, &[&["sql"], arguments].concat(), stdin)
}

#[test]
fn commands_work_in_a_pipe() {
    let directory = directory_with_store();
    let store = directory.path();
    let told = [
        session(store, &["store"], "\\?\n"),
        session(store, &["store"], "\\dt\n\\d atlas\n\\d atlas.v\n\\d nothing\n"),
        session(
            store,
            &["store"],
            "\\ds\n\\attach store as other\n\\ds\nSELECT count(*) FROM other;\n\\detach other\nSELECT * FROM other;",
        ),
        session(store, &["store"], "\\df haver*\n\\df no_such_function\n"),
        session(store, &["store"], "\\x\nSELECT * FROM atlas WHERE v > 1 ORDER BY v;\n\\x\nSELECT 1;"),
        session(store, &["store"], "\\format\n\\format csv\nSELECT 1 AS a;\n\\format xml\n"),
        session(store, &["store"], "\\timing\nSELECT 1 AS a;"),
        session(
            store,
            &["store"],
            "\\set atlas.pruning\n\\set atlas.pruning false\n\\set atlas.pruning\n\\set no.such 1",
        ),
        session(store, &["store"], "\\explain\n"),
        session(store, &["store"], "SELECT count(v) FROM atlas;\n\\explain\n"),
        session(store, &["store"], "\\detach nothing\n"),
        session(store, &["store"], "\\tming\n"),
        session(store, &["store"], "\\q\nSELECT 1;"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn scripts_and_results_are_files() {
    let directory = directory_with_store();
    let store = directory.path();
    std::fs::write(
        store.join("script.sql"),
        "SELECT 1 AS a;\n-- \\q\n\\o out.csv\n\\format csv\nSELECT v FROM atlas ORDER BY v;\n",
    )
    .unwrap();
    let told = [
        session(store, &["store"], "\\i script.sql\n\\o\nSELECT 2 AS b;"),
        session(store, &["store", "--file", "script.sql"], ""),
        session(store, &["store"], "\\i missing.sql"),
        session(store, &["store", "--format", "parquet", "-o", "v.parquet", "-c", "SELECT v FROM atlas"], ""),
        session(store, &["store", "--format", "arrow", "-o", "v.arrow", "-c", "SELECT v FROM atlas"], ""),
        session(store, &["-c", "SELECT count(*), sum(v) FROM 'v.parquet'"], ""),
        session(
            store,
            &[
                "store",
                "-c",
                "COPY (SELECT v FROM atlas) TO 'copy.parquet'",
                "-c",
                "SELECT count(*) FROM 'copy.parquet'",
            ],
            "",
        ),
    ];
    assert_eq!(std::fs::read_to_string(store.join("out.csv")).unwrap().lines().count(), 6);
    let arrow = std::fs::File::open(store.join("v.arrow")).unwrap();
    let rows = arrow::ipc::reader::FileReader::try_new(arrow, None).unwrap();
    assert_eq!(rows.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 5);
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn names_may_have_any_case_and_near_ones_are_suggested() {
    let directory = directory_with_store();
    let store = directory.path();
    let make = "CREATE TABLE \"Casts\" AS SELECT 1 AS \"TEMP\", 2 AS \"Psal\", 3 AS psal;";
    let run = |sql: &str| session(store, &["store"], &format!("{make}\n{sql}"));
    let told = [
        run("SELECT temp FROM casts WHERE Temp = 1 GROUP BY temp ORDER BY temp;"),
        run("SELECT avg(TEMP) AS temp FROM \"Casts\" ORDER BY temp;"),
        run("SELECT c.Temp FROM CASTS c;"),
        run("SELECT psal, \"Psal\" FROM casts;"),
        run("SELECT \"temp\" FROM casts;"),
        run("SELECT tmp FROM casts;"),
        run("SELECT PSSAL FROM casts;"),
        run("SELECT * FROM catss;"),
        run("SELECT * FROM atlas.w;"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

/// Creates a store with two floats, each with two profiles of three levels, in the structure of
/// Argo.
fn directory_with_floats() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::create_dir(path.join("floats")).unwrap();
    for (name, start) in [("5900001", 10.0f32), ("5900002", 20.0)] {
        let mut file = NcFileBuilder::new();
        let profiles = file.add_dimension("N_PROF", 2).unwrap();
        let levels = file.add_dimension("N_LEVELS", 3).unwrap();
        file.add_attribute("title", NcAttrValue::Chars("Argo float vertical profile".into())).unwrap();
        let text = |text: &str| NcAttrValue::Chars(text.into());
        let temp = file.add_variable::<f32>("TEMP", &[profiles, levels]).unwrap();
        file.add_variable_attribute(temp, "units", text("degree_Celsius")).unwrap();
        file.add_variable_attribute(temp, "long_name", text("Sea temperature in-situ")).unwrap();
        file.set_variable_fill_value(temp, 99999.0f32).unwrap();
        let psal = file.add_variable::<f32>("PSAL", &[profiles, levels]).unwrap();
        file.add_variable_attribute(psal, "units", text("psu")).unwrap();
        let mode = file.add_variable::<i32>("CYCLE_NUMBER", &[profiles]).unwrap();
        let pres = file.add_variable::<f32>("PRES", &[profiles, levels]).unwrap();
        file.add_variable_attribute(pres, "units", text("decibar")).unwrap();
        file.add_variable_attribute(pres, "axis", text("Z")).unwrap();
        let juld = file.add_variable::<f64>("JULD", &[profiles]).unwrap();
        file.add_variable_attribute(juld, "units", text("days since 1950-01-01 00:00:00 UTC")).unwrap();
        file.add_variable_attribute(juld, "standard_name", text("time")).unwrap();
        let lat = file.add_variable::<f64>("LATITUDE", &[profiles]).unwrap();
        file.add_variable_attribute(lat, "units", text("degree_north")).unwrap();
        let values = |step: f32| (0..6).map(|i| start + step * i as f32).collect::<Vec<_>>();
        let mut temperatures = values(-0.5);
        temperatures[4] = 99999.0;
        file.write_variable(temp, &temperatures).unwrap();
        file.write_variable(psal, &values(0.01)).unwrap();
        file.write_variable(pres, &[5.0f32, 10.0, 20.0, 5.0, 10.0, 20.0]).unwrap();
        file.write_variable(mode, &[1i32, 2]).unwrap();
        file.write_variable(juld, &[20_000.5f64, 20_010.25 + f64::from(start) / 86_400_000.0]).unwrap();
        file.write_variable(lat, &[f64::from(start), f64::from(start) + 1.5]).unwrap();
        let bytes = file.to_vec(NcWriteOptions::classic()).unwrap().1;
        std::fs::write(path.join("floats").join(format!("{name}.nc")), bytes).unwrap();
    }
    assert!(atlas(path, &["import", "argo", "floats"], "").ends_with("exit code 0\n"));
    directory
}

/// Mistakes of scientists and users of other databases, whose error messages are snapshots.
const MISTAKES: &[&str] = &[
    // Names.
    "SELECT temp FROM argo WHERE temp < 8",
    "SELECT TEMP, avg(PSAL) FROM argo",
    "SELECT temp, avg(psal) FROM argo GROUP BY dataset",
    "SELECT salinity FROM argo",
    "SELECT TMEP FROM argo",
    "SELECT a.temp FROM argo a JOIN argo b USING (dataset, n_prof, n_levels) WHERE b.temp < 8",
    "SELECT b.TEMP FROM argo a",
    "SELECT * EXCLUDE (pres, title) FROM argo WHERE temp < 8",
    "SELECT * REPLACE (round(temp) AS temp) FROM argo WHERE temp < 8",
    "SELECT * REPLACE (1 AS nothing) FROM argo",
    "SELECT rank() OVER (PARTITION BY dataset ORDER BY temp) AS r FROM argo LIMIT 1",
    "SELECT rank(temp) FROM argo",
    "SELECT sum(temp) IGNORE NULLS OVER (ORDER BY temp) FROM argo",
    "SELECT CAST(title AS VARCHAR(4)) FROM argo",
    "SELECT avg(temp) OVER w AS a FROM argo WINDOW w AS (ORDER BY juld) LIMIT 1",
    "SUMMARIZE SELECT temp FROM argo",
    "SELECT * FROM argo.temp WHERE temp < 8",
    "SELECT temp.temp FROM argo.temp WHERE temp.temp < 8",
    "SELECT * FROM agro",
    // Functions.
    "SELECT quarter(JULD) FROM argo",
    "SELECT count_if(TEMP > 10) FROM argo",
    "SELECT year(JULD) FROM argo WHERE TEMP < 8",
    "SELECT strftime(JULD, '%Y') AS y FROM argo LIMIT 1",
    "SELECT quantile(TEMP, 0.5) AS q FROM argo",
    "SELECT arg_max(PRES, TEMP) AS p FROM argo",
    "SELECT haversin(1, 2, 3, 4)",
    "SELECT abs(TEMP) OVER () FROM argo",
    "SELECT avg(title) FROM argo",
    "SELECT TEMP FROM argo WHERE JULD > 2000",
    "SELECT temp, TEMP FROM argo",
    "SELECT read_atlas('argo')",
    // Syntax.
    "SELEC TEMP FROM argo",
    "SELECT TEMP FORM argo",
    "SELECT TEMP FROM argo WHERE TEMP == 10",
    "SELECT TEMP FROM argo WHERE (TEMP > 10",
    "SELECT TEMP,\n  PSAL\nFROM argo\nWHERE TEMP >\nORDER BY 1",
    "SELECT TEMP FROM argo WHERE dataset = '5900001",
    "SELECT TEMP FROM argo ORDER TEMP",
    "SELECT TOP 5 TEMP FROM argo",
    // Clauses.
    "FROM argo.LATITUDE ORDER BY latitude",
    "SELECT count(*) AS n FROM argo TABLESAMPLE SYSTEM (10)",
    "SELECT count(*) <= 12 AS few FROM argo TABLESAMPLE BERNOULLI (50)",
    "SELECT count(*) AS n FROM argo TABLESAMPLE (3 ROWS)",
    "SELECT TEMP FROM argo USING SAMPLE 10%",
    "SELECT TEMP FROM argo FOR UPDATE",
    "SELECT max(TEMP) AS t FROM argo FETCH FIRST 1 ROW WITH TIES",
    "SELECT \"CYCLE_NUMBER\" FROM argo ORDER BY 1 FETCH FIRST 1 ROW ONLY",
    "SELECT TEMP FROM argo ASOF JOIN argo b MATCH_CONDITION (argo.JULD >= b.JULD)",
    "SELECT argo.TEMP FROM argo JOIN argo b",
    "SELECT dataset, avg(TEMP) FROM argo",
    "SELECT avg(TEMP) FROM argo WHERE avg(TEMP) > 3",
    "SELECT TEMP FROM argo PIVOT (avg(TEMP) FOR dataset IN ('a'))",
    "SELECT /*+ fast */ TEMP FROM argo",
    "COPY argo TO 'x.csv' STORED AS PARQET",
    // Statements.
    "CREATE ROLE admin",
    "UPDATE argo SET TEMP = 1",
    "DELETE FROM argo",
    "INSERT INTO argo VALUES (1)",
    "BEGIN",
    "ATTACH 'x.db' AS x",
    "USE argo",
    "PRAGMA table_info('argo')",
    "CREATE TABLE t (a INT PRIMARY KEY)",
    "SET LOCAL a = 1",
    "SELECT 1 WHERE TEMP",
    "SHOW VARIABLES LIKE 'x'",
    "\\tables",
    "\\ds argo",
    ".tabels",
];

#[test]
fn typical_mistakes_get_answers() {
    let directory = directory_with_floats();
    assert!(MISTAKES.len() >= 25);
    let answers = MISTAKES.iter().map(|mistake| atlas(directory.path(), &["sql", "argo=argo"], mistake));
    insta::assert_snapshot!(answers.collect::<Vec<_>>().join("\n"));
}

#[test]
fn results_say_what_they_are() {
    let directory = directory_with_floats();
    let directory = directory.path();
    let run = |sql: &str| session(directory, &["argo=argo"], sql);
    let told = [
        run("SELECT * FROM argo WHERE temp > 19;"),
        run(
            "SELECT Avg(temp), max(temp) - min(temp) AS Span, lat*2 FROM (SELECT TEMP, LATITUDE AS lat FROM argo) GROUP BY lat ORDER BY 1 DESC LIMIT 2;",
        ),
        run(
            "SELECT dataset, juld, juld - lag(juld) OVER (ORDER BY juld, dataset) AS step FROM argo.juld ORDER BY juld, dataset;",
        ),
        run(
            "\\format csv\nSELECT dataset, juld, juld - lag(juld) OVER (ORDER BY juld, dataset) AS step FROM argo.juld ORDER BY juld, dataset;",
        ),
        run(
            "\\limit 4\nSELECT value FROM generate_series(1, 1000000);\n\\x\nSELECT value FROM generate_series(1, 9);\n\\last\n\\limit 0\n",
        ),
        run(
            "SELECT [1.5, 2] AS list, struct(1 AS a, 'x' AS b) AS pair, X'00ff' AS bytes, TIMESTAMP '2020-01-01' AS t, INTERVAL '1 month 2 days' AS i, NULL AS nothing;",
        ),
        run("EXPLAIN ANALYZE SELECT avg(TEMP) FROM argo WHERE dataset = '5900001';")
            .lines()
            .filter(|line| line.contains(" read, "))
            .map(|line| line.rsplit_once(',').unwrap().0.to_owned() + ", …\n")
            .collect(),
        run("SELECT dataset, \"N_PROF\", \"LATITUDE\", \"JULD\" FROM argo.\"_grid_N_PROF\" ORDER BY 1, 2;"),
        run("SELECT dataset, cells FROM argo._datasets; SELECT count(*) FROM argo.\"_grid_N_LEVELS\";"),
        run("\\d argo\n\\d argo._datasets\n\\dt\n\\df haversine\n\\df round_to"),
        transcript(directory, &[&["info", "argo"], &["info", "argo", "--json"]]),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn habits_of_other_shells_are_answered() {
    let directory = directory_with_floats();
    let directory = directory.path();
    let told = [
        session(
            directory,
            &["argo=argo"],
            ".tables\nshow databases;\n.schema argo.temp\nSELECT 1 AS a \\g\n? degrees\n.mode csv\nSELECT 2 AS b;\nquit\nSELECT 3;",
        ),
        session(
            directory,
            &["argo=argo"],
            ".once out.csv\nSELECT dataset FROM argo._datasets;\nSELECT 1 AS a;\n\\! cat out.csv\n\\! exit 3",
        ),
        session(directory, &["argo", "./argo"], "\\ds"),
        session(directory, &[], "\\last"),
    ];
    insta::assert_snapshot!(told.join("\n"));
    std::fs::write(directory.join("editor"), "#!/bin/sh\nsed -i 's/1/2/' \"$1\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["sql", "--format", "csv", "-c", "SELECT 1 AS a", "-c", "\\edit"])
        .current_dir(directory)
        .env("VISUAL", "sh ./editor")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a\n1\nSELECT 2 AS a;\na\n2\n");
}

#[test]
fn a_file_of_one_result_does_not_lose_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for file in ["r.parquet", "r.arrow", "r.json"] {
        let told = atlas(directory, &["sql", "-o", file, "-c", "SELECT 1 AS a", "-c", "SELECT 2 AS a"], "");
        assert!(
            told.contains(&format!("error: {file} has a result")) && told.ends_with("exit code 1\n"),
            "{told}"
        );
        let told =
            atlas(directory, &["sql", "--format", "csv", "-c", &format!("SELECT * FROM '{file}'")], "");
        assert!(told.contains("a\n1\n") || file == "r.json", "{told}");
        let told = session(
            directory,
            &[],
            &format!("\\o {file}\nSELECT 1 AS a;\n\\once x.csv\nSELECT 2;\nSELECT 3;"),
        );
        assert!(told.contains("has a result"), "{told}");
    }
    let told = atlas(
        directory,
        &["sql", "--format", "csv", "-o", "n.csv", "-c", "SELECT 1 AS a", "-c", "SELECT 2 AS a"],
        "",
    );
    assert!(told.ends_with("exit code 0\n"), "{told}");
    assert_eq!(std::fs::read_to_string(directory.join("n.csv")).unwrap(), "a\n1\na\n2\n");
    let output = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["sql", "--format", "parquet", "-c", "SELECT 1 AS a", "-c", "SELECT 2 AS a"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("stdout has a result")
            && output.stdout.ends_with(b"PAR1")
    );
}

/// A result in an open file of the process comes after what the file has.
#[cfg(unix)]
#[test]
fn a_result_in_an_open_file_comes_after_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    std::fs::write(&path, "head\n").unwrap();
    let out = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["sql", "--format", "csv", "-o", "/dev/stdout", "-c", "SELECT 1 AS a", "-c", "SELECT 2 AS a"])
        .stdout(out)
        .status();
    assert!(status.unwrap().success());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\na\n1\na\n2\n");
}

/// Queries that fail after their first rows.
const FAILING: &str = "SELECT 1 / (100000 - value) AS a FROM generate_series(1, 200000)";

#[test]
fn a_query_that_fails_leaves_files_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let files = || {
        let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let run = |arguments: &[&str]| atlas(directory, &[&["sql", "--format", "csv"], arguments].concat(), "");
    for ending in ["csv", "parquet", "arrow", "ndjson", "txt"] {
        let (file, fresh) = (format!("good.{ending}"), format!("new.{ending}"));
        let sql = |arguments: &[&str]| atlas(directory, &[&["sql"], arguments].concat(), "");
        assert!(sql(&["-o", &file, "-c", "SELECT 7 AS a"]).ends_with("exit code 0\n"));
        let good = std::fs::read(directory.join(&file)).unwrap();
        for target in [&file, &fresh] {
            for query in [FAILING, "SELECT nosuch"] {
                assert!(sql(&["-o", target, "-c", query]).ends_with("exit code 1\n"));
                assert_eq!(std::fs::read(directory.join(&file)).unwrap(), good, "{file} {query}");
            }
        }
        std::fs::remove_file(directory.join(&file)).unwrap();
    }
    for ending in ["csv", "parquet", "json", "arrow"] {
        let copied = run(&["-c", &format!("COPY ({FAILING}) TO 'copy.{ending}'")]);
        assert!(copied.contains("Divide by zero") && copied.ends_with("exit code 1\n"), "{copied}");
        assert_eq!(files(), [""; 0], "{ending}");
        let copied = run(&["-c", &format!("COPY (SELECT 1 AS a) TO 'copy.{ending}'")]);
        assert!(copied.ends_with("exit code 0\n"), "{copied}");
        std::fs::remove_file(directory.join(format!("copy.{ending}"))).unwrap();
    }
    // A result is appended to those before, and disappears if it fails.
    let both = run(&["-o", "two.csv", "-c", "SELECT 1 AS a", "-c", FAILING]);
    assert!(both.ends_with("exit code 1\n"), "{both}");
    assert_eq!(std::fs::read_to_string(directory.join("two.csv")).unwrap(), "a\n1\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        symlink("two.csv", directory.join("link.csv")).unwrap();
        std::fs::set_permissions(directory.join("two.csv"), PermissionsExt::from_mode(0o640)).unwrap();
        assert!(run(&["-o", "link.csv", "-c", "SELECT 2 AS a"]).ends_with("exit code 0\n"));
        assert!(directory.join("link.csv").is_symlink());
        assert_eq!(std::fs::read_to_string(directory.join("two.csv")).unwrap(), "a\n2\n");
        assert_eq!(directory.join("two.csv").metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert!(run(&["-o", "/dev/stdout", "-c", "SELECT 3 AS a"]).contains("a\n3\n"));
    }
}

#[test]
fn an_ending_without_a_format_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let run = |arguments: &[&str]| atlas(directory, &[&["sql"], arguments].concat(), "");
    let netcdf = run(&["-o", "x.nc", "-c", "SELECT 1"]);
    assert!(netcdf.contains("error: x.nc would not be a NetCDF file: COPY (SELECT …) TO 'x.nc'"), "{netcdf}");
    assert!(run(&["-o", "x.foo", "-c", "SELECT 1"]).contains("error: no format has the ending of x.foo"));
    assert!(run(&["-c", "\\o x.foo", "-c", "SELECT 1"]).contains("no format has the ending of x.foo"));
    assert!(!directory.join("x.foo").exists());
    for arguments in [
        &["-o", "x", "-c", "SELECT 1"][..],
        &["-o", "x.foo", "--format", "csv", "-c", "SELECT 1"],
        &["-c", "\\format csv", "-c", "\\o y.foo", "-c", "SELECT 1"],
    ] {
        assert!(run(arguments).ends_with("exit code 0\n"), "{arguments:?}");
    }
}

#[test]
fn the_files_that_results_are_written_to_are_tables() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let run = |arguments: &[&str]| atlas(directory, &[&["sql", "--format", "csv"], arguments].concat(), "");
    for file in ["r.csv", "r.tsv", "r.tab", "r.json", "R.JSON", "r.ndjson", "r.jsonl", "r.parquet", "r.arrow"]
    {
        let query = "SELECT 1 AS a, 'x y' AS b UNION ALL SELECT 2, 'z' ORDER BY a";
        assert!(atlas(directory, &["sql", "-o", file, "-c", query], "").ends_with("exit code 0\n"));
        let read = run(&["-c", &format!("FROM '{file}' WHERE a > 0 ORDER BY a")]);
        assert!(read.contains("a,b\n1,x y\n2,z\n"), "{file}: {read}");
    }
    let missing = run(&["-c", "SELECT * FROM 'nosuch.csv'"]);
    assert!(missing.contains("error: there is no file nosuch.csv\n"), "{missing}");
}

#[test]
fn a_store_beside_a_query_is_no_table_of_json() {
    let directory = directory_with_store();
    let directory = directory.path();
    let run = |arguments: &[&str]| atlas(directory, &[&["sql", "--format", "csv"], arguments].concat(), "");
    for sql in [
        "SELECT * FROM store",
        "EXPLAIN SELECT * FROM store",
        "COPY store TO 'x.csv'",
        "COPY (SELECT * FROM store) TO 'x.csv'",
    ] {
        let told = run(&["-c", sql]);
        assert!(told.contains("error: store is a store that is not open here"), "{sql}: {told}");
    }
    let told = run(&["Store=store", "-c", "SELECT count(*) FROM Store"]);
    assert!(told.contains("count(*)\n5\n"), "{told}");
    let told = run(&["store", "-c", "DROP TABLE atlas"]);
    assert!(told.contains("error: `atlas` is a store: \\detach atlas closes it"), "{told}");
    let told =
        run(&["store", "-c", "CREATE EXTERNAL TABLE t STORED AS ATLAS LOCATION 'store'; DROP TABLE t"]);
    assert!(told.ends_with("exit code 0\n"), "{told}");
    let told = run(&["-c", "COPY (SELECT 1) TO 'no/such/x.csv'"]);
    assert!(told.contains("there is no directory") && !directory.join("no").exists(), "{told}");
    let told = run(&["-c", "COPY (SELECT 1 AS a WHERE false) TO 'x.nc' OPTIONS (dimensions 'a')"]);
    assert!(told.contains("error: the result has no rows"), "{told}");
}

#[test]
fn statements_mean_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let run = |sql: &str| {
        let table = "CREATE TABLE t AS SELECT 'a' AS dataset, 1.0 AS temp, 2.0 AS x";
        atlas(directory.path(), &["sql", "--format", "csv", "-c", table, "-c", sql], "")
    };
    for (sql, expected) in [
        ("SELECT 1_000", "error: `1_000` is no number"),
        ("SELECT 'abc' SIMILAR TO 'a%'", "error: `SIMILAR TO` is not supported"),
        ("SELECT 1 IS DISTINCT FROM 1 AND true", "put the comparison in parentheses"),
        ("SELECT x ^ 2 FROM t", "error: `^` is the bitwise exclusive or"),
        ("FROM t WHERE temp > 0", "dataset,temp,x\na,1.0,2.0\n"),
        (
            "SELECT median(x), avg(x), avg(x), x, x::float FROM t GROUP BY x",
            "median(x),avg(x),avg(x),x,x::float\n2.0,2.0,2.0,2.0,2.0\n",
        ),
        (
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t",
            "percentile_cont(0.5) WITHIN GROUP (ORDER BY x)\n2.0\n",
        ),
        (
            "SELECT dataset, avg(temp)-min(temp), concat(dataset,'x') FROM t GROUP BY dataset ORDER BY 2 DESC NULLS LAST, 1 LIMIT 5",
            "dataset,avg(temp)-min(temp),\"concat(dataset,'x')\"\na,0.0,ax\n",
        ),
        (
            "SELECT median(x) AS a, median(x::float) AS b FROM t",
            "if they only differ in a cast, write it as arrow_cast(x, 'Float32')",
        ),
        (
            "SELECT * FROM t, LATERAL (SELECT t.x + 1 AS y LIMIT 1) AS l",
            "error: a subquery or LATERAL cannot refer to `x` of an outer query here",
        ),
        ("SHOW atlas.pruning", "atlas.pruning,true\n"),
        ("SET atlas.pruning = false; RESET atlas.pruning; SHOW atlas.pruning", "atlas.pruning,true\n"),
        ("SET atlas.pruning = false; SHOW atlas.pruning", "atlas.pruning,false\n"),
        ("SHOW ALL", "atlas.workers.timeout,20\n"),
        ("SHOW atlas.colour", "error: there is no option `atlas.colour`"),
        ("RESET atlas.colour", "error: there is no option `atlas.colour`"),
        ("\\set atlas.workers", "atlas.workers.min_bytes,"),
        ("SELECT TIMESTAMP '2000-01-01' < '3000-01-01'", "is out of range: times have nanoseconds"),
    ] {
        let told = run(sql);
        assert!(told.contains(expected), "{sql}: {told}");
    }
}

#[test]
fn tables_are_summarized() {
    let directory = directory_with_store();
    let store = directory.path();
    let told = [
        session(store, &["store"], "SUMMARIZE atlas;"),
        session(store, &["store"], "summarize SELECT v * 2 AS w FROM atlas;"),
        session(
            store,
            &["store"],
            "CREATE TABLE t AS SELECT 1.5 AS x, 'a' AS name, NULL AS nothing; SUMMARIZE T;",
        ),
        session(store, &["store"], "SUMMARIZE nothing;"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn control_characters_reach_no_reader_of_tables_and_errors() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let evil = "a\x1b]0;title\x07\x1b[2J\u{9b}31m\u{202e}b\nc\td\x7f";
    netcdf(&directory.join("data/evil.nc"), &[1.0]);
    let mut file = NcFileBuilder::new();
    let x = file.add_dimension("x", 1).unwrap();
    let v = file.add_variable::<f32>("v", &[x]).unwrap();
    file.add_attribute("title", NcAttrValue::Chars(evil.into())).unwrap();
    file.add_variable_attribute(v, "units", NcAttrValue::Chars(evil.into())).unwrap();
    file.write_variable(v, &[1.0f32]).unwrap();
    std::fs::write(directory.join("data/evil.nc"), file.to_vec(NcWriteOptions::classic()).unwrap().1)
        .unwrap();
    std::fs::write(directory.join("data/\x1b[31mred.nc"), b"CDF\x01 but no more").unwrap();
    let select = "SELECT dataset, title, v FROM atlas";
    let name = format!("SELECT \"{}\" FROM atlas", evil.replace('\n', ""));
    let runs: Vec<Vec<&str>> = vec![
        vec!["import", "store", "data", "--skip-errors", "--name-from", "attr:title"],
        vec!["import", "other", "data/evil.nc"],
        vec!["import", "third", "data/\x1b[31mred.nc"],
        vec!["info", "other"],
        vec!["sql", "other", "-c", select],
        vec!["sql", "other", "--format", "markdown", "-c", select],
        vec!["sql", "other", "-c", "\\x", "-c", select],
        vec!["sql", "other", "-c", "\\d atlas.v"],
        vec!["sql", "other", "-c", &name],
        vec!["sql", "other", "-c", "SELECT v AS \"a\x1b[31m\" FROM atlas"],
        vec!["sql", "other", "-c", "EXPLAIN SELECT v FROM atlas WHERE title = '\x1b[31m'"],
        vec!["sql", "other", "-c", "\\detach \x1b[31m"],
        vec!["sql", "other", "-o", "\x1b[31m/x", "-c", select],
        vec!["sql", "other", "-c", "SELECT v AS \"\x1b[31m\", v FROM atlas", "-c", "\\plot"],
    ];
    for arguments in runs {
        let output = Command::new(env!("CARGO_BIN_EXE_atlas"))
            .args(&arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        for bytes in [output.stdout, output.stderr] {
            let text = String::from_utf8(bytes).unwrap();
            let control = |c: &char| {
                c.is_control() && !['\n', '\t'].contains(c) || matches!(c, '\u{202a}'..='\u{202e}')
            };
            assert_eq!(text.chars().find(control), None, "{arguments:?}: {text:?}");
        }
    }
    let shown = atlas(directory, &["sql", "other", "-c", select], "");
    assert!(shown.contains(r"a\x1b]0;title\x07\x1b[2J\u009b31m\u202eb\nc\td\x7f"), "{shown}");
    // Output that is not shown on a terminal keeps its bytes.
    let csv = atlas(directory, &["sql", "other", "--format", "csv", "-c", select], "");
    assert!(csv.contains(evil), "{csv}");
}

#[test]
#[cfg(unix)]
fn results_do_not_overwrite_stores() {
    let directory = directory_with_store();
    let store = directory.path();
    std::os::unix::fs::symlink("store/v", store.join("link")).unwrap();
    std::fs::create_dir(store.join("beside")).unwrap();
    let before = atlas(store, &["verify", "store"], "");
    let full = store.canonicalize().unwrap().join("store/atlas.json").to_string_lossy().into_owned();
    let url = format!("file://{full}");
    for path in ["store/atlas.json", "store/new.csv", "beside/../store/v/x.csv", "link/x.csv", &full, &url] {
        let mut runs = vec![
            vec!["sql".to_owned(), "-c".to_owned(), format!("COPY (SELECT 1) TO '{path}' STORED AS CSV")],
            vec![
                "sql".to_owned(),
                "-c".to_owned(),
                format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{path}' STORED AS CSV"),
            ],
        ];
        if path != url {
            let new = |arguments: &[&str]| arguments.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
            runs.push(new(&["sql", "-o", path, "-c", "SELECT 1"]));
            runs.push(new(&["sql", "-c", &format!("\\o {path}")]));
            runs.push(new(&["sql", "-c", "SELECT 1 AS a", "-c", &format!("\\plot {path}.svg")]));
        }
        for arguments in runs {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let told = atlas(store, &words, "");
            assert!(told.contains("is in the store") && told.contains("exit code 1"), "{told}");
        }
    }
    let insert =
        "CREATE EXTERNAL TABLE t (a BIGINT) STORED AS CSV LOCATION 'store/v/'; INSERT INTO t VALUES (1);";
    let told = atlas(store, &["sql", "-c", insert], "");
    assert!(told.contains("is in the store"), "{told}");
    assert_eq!(atlas(store, &["verify", "store"], ""), before);
    let told = atlas(store, &["sql", "-c", "COPY (SELECT 1) TO 'beside/x.csv'"], "");
    assert!(told.contains("exit code 0"), "{told}");
}

#[test]
fn statements_that_are_too_deep_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let chain = |link: &str, between: &str, links: usize| vec![link; links].join(between);
    for (sql, message) in [
        (format!("SELECT {}", chain("1", "+", 10_000)), "operators"),
        (format!("SELECT 1 WHERE {}", chain("1 = 2", " OR ", 10_000)), "AND or OR"),
        (chain("SELECT 1", " UNION ALL ", 10_000), "UNION"),
        (format!("SELECT {}1", "cast(".repeat(60)), "60 parentheses are not closed"),
        (format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60)), "in each other"),
        (format!("SELECT {}1", "- ".repeat(60)), "in each other"),
        (format!("SUMMARIZE SELECT {}", chain("1", "+", 10_000)), "operators"),
    ] {
        let told = atlas(directory.path(), &["sql"], &sql);
        assert!(told.contains(message) && told.contains("exit code 1"), "{}", &told[told.len() - 300..]);
    }
    // Deep and long statements within the limits.
    let nested =
        |begin: &str, end: &str, number| format!("SELECT {}1{}", begin.repeat(number), end.repeat(number));
    for sql in [
        format!("SELECT {} AS n", chain("1", "+", 400)),
        format!("SELECT count(*) AS n WHERE {}", chain("1 = 2", " OR ", 600)),
        format!("SELECT count(*) AS n FROM (VALUES (1)) t(x) WHERE {}", chain("x <> 2", " AND ", 600)),
        format!("SELECT count(*) AS n FROM ({})", chain("SELECT 1", " UNION ALL ", 200)),
        format!("SELECT count(*) AS n FROM (VALUES (1)) t(x) WHERE x IN ({})", chain("2, 3", ",", 50_000)),
        nested("(", ")", 40),
        nested("abs(", ")", 40),
        nested("CASE WHEN true THEN ", " END", 40),
        nested("CAST(", " AS INT)", 40),
        nested("[", "]", 40),
    ] {
        let told = atlas(directory.path(), &["sql", "--format", "csv"], &sql);
        assert!(told.contains("exit code 0"), "{}", &told[told.len() - 300..]);
    }
}

#[test]
fn results_are_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let series =
        "SELECT value AS time, sin(value / 10.0) AS \"height of the tide\" FROM generate_series(0, 126);";
    let told = [
        picture(directory.path(), series),
        picture(
            directory.path(),
            "SELECT value AS depth, 20 * exp(value / -50.0) AS temperature, CASE WHEN value % 2 = 0 THEN 'up' ELSE 'down' END
             FROM generate_series(0, 200);",
        ),
        picture(directory.path(), "SELECT value * value AS x FROM generate_series(0, 1000);"),
        picture(directory.path(), "SELECT column1 AS float, column2 AS profiles FROM (VALUES ('a', 140), ('b', 384), ('c', -50));"),
        picture(
            directory.path(),
            "SELECT a.value AS lat, b.value AS lon, a.value + abs(b.value) AS t
             FROM generate_series(-80, 80, 10) a, generate_series(-180, 180, 15) b;",
        ),
        picture(
            directory.path(),
            "SELECT value AS t, date_part('month', value) AS month
             FROM generate_series(timestamp '2000-01-01', timestamp '2001-01-01', interval '6 days');",
        ),
        picture(
            directory.path(),
            "SELECT column1 AS float, timestamp '2020-01-03' - column2 AS age
             FROM (VALUES ('a', timestamp '2020-01-01'), ('b', timestamp '2020-01-02 12:00:00'));",
        ),
        session(directory.path(), &[], "\\plot\n"),
        session(directory.path(), &[], "SELECT 1 AS a;\n\\plot a.jpeg\n"),
        picture(directory.path(), "SELECT 'a' AS a, 'b' AS b;"),
        picture(directory.path(), "SELECT NULL AS a;"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

/// The output of `\plot` after a query whose result is not shown.
fn picture(directory: &Path, query: &str) -> String {
    session(directory, &[], &format!("\\o result\n{query}\n\\plot\n"))
}

#[test]
fn pictures_are_files() {
    let directory = tempfile::tempdir().unwrap();
    let query = "SELECT value AS x, value * 2 AS \"y < 3 & 4\", concat('a', value % 3) AS s FROM generate_series(0, 99);";
    let told = session(directory.path(), &["-c", query, "-c", "\\plot p.svg", "-c", "\\plot 'p.PNG'"], "");
    assert!(told.ends_with("100 rows drawn to p.svg\n100 rows drawn to p.PNG\n--- exit code 0\n"), "{told}");
    let svg = std::fs::read_to_string(directory.path().join("p.svg")).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 3);
    assert!(svg.contains("y &lt; 3 &amp; 4"), "{svg}");
    let png = std::fs::read(directory.path().join("p.PNG")).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000, "{}", png.len());
    let told = session(directory.path(), &["-c", query, "-c", "\\plot no/where.png"], "");
    assert!(told.contains("error: no/where.png: ") && told.ends_with("exit code 1\n"), "{told}");
}

#[test]
fn scripts_draw_queries_without_printing_their_rows() {
    let directory = tempfile::tempdir().unwrap();
    let script = "\\plot bars 'a picture.svg' SELECT column1 AS ocean, column2 AS floats\n\
                  FROM (VALUES ('Atlantic', 3), ('Pacific', 5));\n\
                  \\plot hist SELECT value AS n FROM generate_series(1, 3)\n\
                  \\plot b.png\n\
                  SELECT 1 AS one;\n";
    insta::assert_snapshot!(session(directory.path(), &[], script));
    assert!(std::fs::read(directory.path().join("b.png")).unwrap().starts_with(b"\x89PNG"));
    insta::assert_snapshot!(std::fs::read_to_string(directory.path().join("a picture.svg")).unwrap());
    for (arguments, message) in [
        ("pie SELECT 1 AS a;", "`pie` is no kind of picture: there are points, lines,"),
        ("a.png b.png", "`b.png` is no query"),
        ("map SELECT 1 AS a, 2 AS b;", "a map needs a longitude and a latitude"),
        ("SUMMARIZE t", "`SUMMARIZE` is no kind of picture"),
        ("SELECT nothing FROM nowhere;", "nowhere"),
    ] {
        let told = session(directory.path(), &["-c", &format!("\\plot {arguments}")], "");
        assert!(told.contains(message) && told.ends_with("exit code 1\n"), "{told}");
    }
}

#[test]
fn shells_and_man_are_told_of_the_command() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = atlas(directory.path(), &["completions", shell], "");
        assert!(told.contains("vacuum") && told.ends_with("exit code 0\n"), "{told}");
    }
    assert!(atlas(directory.path(), &["man", "."], "").ends_with("exit code 0\n"));
    for page in ["atlas.1", "atlas-sql.1", "atlas-import.1"] {
        assert!(std::fs::read_to_string(directory.path().join(page)).unwrap().contains(".SH NAME"), "{page}");
    }
    let told = atlas(directory.path(), &["man", "nowhere"], "");
    assert!(told.contains("error: nowhere: ") && told.ends_with("exit code 1\n"), "{told}");
}

#[test]
fn what_needs_more_memory_than_allowed_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let sql = "SELECT count(*) FROM (SELECT DISTINCT value, value % 7 FROM generate_series(1, 3000000))";
    let told = atlas(directory.path(), &["sql", "--memory-limit", "1M", "-c", sql], "");
    assert!(told.contains("exit code 1") && told.contains("error: "), "{told}");
    assert!(told.to_lowercase().contains("memory") || told.contains("Resources exhausted"), "{told}");
}
