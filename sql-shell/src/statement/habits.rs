//! Translates commands of other shells to those of this one: dot commands of DuckDB and SQLite, and
//! statements of MySQL.

/// Dot commands, and the commands of this shell with the same meaning.
const DOTS: [(&str, &str); 24] = [
    ("tables", "dt"),
    ("schema", "d"),
    ("describe", "d"),
    ("databases", "ds"),
    ("functions", "df"),
    ("help", "?"),
    ("quit", "q"),
    ("exit", "q"),
    ("q", "q"),
    ("read", "i"),
    ("output", "o"),
    ("out", "o"),
    ("once", "once"),
    ("open", "attach"),
    ("timer", "timing"),
    ("maxrows", "limit"),
    ("limit", "limit"),
    ("last", "last"),
    ("edit", "edit"),
    ("shell", "!"),
    ("system", "!"),
    ("pager", "pager"),
    ("mode", "format"),
    ("plot", "plot"),
];

/// The command of this shell that an unknown command is similar to.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    let name = name.trim_start_matches('.');
    let near = super::names::near(name, DOTS.iter().map(|(dot, _)| *dot));
    let (_, command) = DOTS.iter().find(|(dot, _)| near.first() == Some(dot))?;
    Some(command)
}

/// Translates a line to a command.
pub(super) fn line(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(command) = statement(line.trim_end_matches(';')) {
        return Some(command.to_owned());
    }
    if let Some(name) = line.strip_prefix('?') {
        let name = name.trim_matches([' ', ';', '?']);
        return Some(if name.is_empty() { "?".to_owned() } else { format!("df {name}") });
    }
    let command = line.strip_prefix('.')?.trim_end_matches(';');
    if !command.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = match (name, rest.trim()) {
        ("mode", "box" | "duckbox" | "column" | "ascii") => "table",
        ("mode", "tabs") => "tsv",
        ("mode", "jsonlines") => "ndjson",
        ("mode", "line") => return Some("x on".to_owned()),
        (_, rest) => rest,
    };
    match DOTS.iter().find(|(dot, _)| *dot == name) {
        Some((_, command)) => Some(format!("{command} {rest}").trim_end().to_owned()),
        // The commands report that it is unknown.
        None => Some(format!(".{command}")),
    }
}

/// Translates a statement to a command.
pub(super) fn statement(text: &str) -> Option<&'static str> {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["help"] => Some("?"),
        ["quit" | "exit"] => Some("q"),
        ["show", "databases" | "stores" | "schemas"] => Some("ds"),
        _ => None,
    }
}
