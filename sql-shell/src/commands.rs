//! Runs statements, and commands that begin with a backslash.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::describe;
use crate::error::{Failure, Result};
use crate::newer;
use crate::output::Format;
use crate::plot;
use crate::printable::Printable;
use crate::session::{LIMIT, Limit, Session};
use crate::statement::script::{self, Item};
use crate::statement::{habits, names};
use crate::target::Target;

/// All commands: their usage, and what they do.
const COMMANDS: [(&str, &str); 26] = [
    ("\\?", "this text"),
    ("\\q", "leave (so does Ctrl-D)"),
    ("\\dt [NAME]", "list tables; those like NAME, where * is any text"),
    ("\\d TABLE", "list the columns of a table: types, dimensions, coordinates, units"),
    ("\\ds", "list stores"),
    ("\\df [NAME]", "show the page of a function; or list those like NAME, where * is any text"),
    ("\\attach PATH [AS NAME]", "open another store"),
    ("\\detach NAME", "close a store"),
    ("\\refresh", "show what others have committed to the stores since"),
    ("\\i FILE", "run the statements and commands of a file"),
    ("\\edit [FILE]", "edit the last statement, or a file, in $EDITOR, and run it"),
    ("\\o [FILE]", "write results to a file, in the format of its ending, or to the terminal again"),
    ("\\once FILE", "write the next result to a file"),
    ("\\last", "show all rows and columns of the last result"),
    ("\\format [FORMAT]", "table, csv, tsv, json, ndjson, markdown, parquet or arrow"),
    ("\\limit [ROWS]", "show so many rows of a result, its first and its last; or all, or default"),
    ("\\x [on|off]", "show each row as a block, a column a line; or no longer"),
    ("\\pager [on|off]", "show what is higher than the terminal in a pager; or no longer"),
    ("\\timing [on|off]", "tell how long statements take; or no longer"),
    ("\\set [NAME [VALUE]]", "list or set options of the session"),
    ("\\explain", "show how the last query is executed"),
    (
        "\\plot [KIND] [FILE] [SQL;]",
        "draw a query: points, lines, bars, map, section, hist, profile; to .png or .svg",
    ),
    ("\\! COMMAND", "run a command of the system's shell"),
    ("SUMMARIZE TABLE", "bounds, mean and missing values of each column, from statistics"),
    ("SHOW TABLES, DESCRIBE TABLE", "as in other shells"),
    (".tables, .schema, .mode …", "commands of DuckDB mean those above"),
];

/// The names of commands, for completion.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let commands = COMMANDS.iter().filter_map(|(usage, _)| usage.split(' ').next());
    commands.filter(|name| name.starts_with('\\'))
}

/// Runs the statements and commands of a text, until one of them ends the session.
pub(crate) async fn run_script(session: &mut Session, text: &str) -> Result<ControlFlow<()>> {
    for item in script::items(text).0 {
        if Box::pin(run_item(session, item)).await?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Runs a statement or a command, and returns whether to continue.
pub(crate) async fn run_item(session: &mut Session, item: Item<'_>) -> Result<ControlFlow<()>> {
    match item {
        Item::Command(command) => run(session, &command).await,
        Item::Statement(statement) => {
            session.last_statement = Some(statement.trim().to_owned());
            let prepared = session.prepare(statement).await?;
            session.run(prepared).await?;
            Ok(ControlFlow::Continue(()))
        }
    }
}

/// Runs a command, given without its backslash, and returns whether to continue.
async fn run(session: &mut Session, command: &str) -> Result<ControlFlow<()>> {
    if let Some(command) = command.strip_prefix('!') {
        system(command.trim())?;
        return Ok(ControlFlow::Continue(()));
    }
    let command = command.trim_end_matches(';').trim();
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    if ["q", "quit", "exit", "?", "h", "help", "ds", "l", "explain", "last"].contains(&name)
        && !rest.is_empty()
    {
        return Err(Failure::new(format!("\\{name} takes nothing behind it: what is `{rest}`?")));
    }
    match name {
        "q" | "quit" | "exit" => return Ok(ControlFlow::Break(())),
        "?" | "h" | "help" => help()?,
        "d" if !rest.is_empty() => describe::columns(session, rest).await?,
        "dt" | "d" => describe::tables(session, rest).await?,
        "ds" | "l" => describe::stores(session).await?,
        "df" => {
            if let Some(page) = describe::functions(session, rest).await? {
                tell(page.trim_end())?;
            }
        }
        "attach" => attach(session, rest).await?,
        "detach" => detach(session, rest)?,
        "refresh" => newer::refresh(session).await?,
        "i" => {
            let path = wanted(rest, "\\i needs a file")?;
            let script = std::fs::read_to_string(path).map_err(|e| Failure::new(format!("{path}: {e}")))?;
            return run_script(session, &script).await;
        }
        "edit" | "e" => {
            let script = edit(session, unquoted(rest))?;
            tell(script.trim_end())?;
            return run_script(session, &script).await;
        }
        "o" if rest.is_empty() => session.output = None,
        "o" => session.output = Some(Target::new(Path::new(unquoted(rest)), None, session.format)?),
        "once" => {
            let path = wanted(rest, "\\once needs a file")?;
            session.once = Some(Target::new(Path::new(path), None, session.format)?);
        }
        "last" => session.show_last().await?,
        "format" if rest.is_empty() => tell(&format!("format is {}", name_of_format(session.format)))?,
        "format" => {
            session.format = Format::from_str(rest, true).map_err(|_| {
                let all: Vec<_> =
                    Format::value_variants().iter().map(|format| name_of_format(*format)).collect();
                Failure::new(format!("`{rest}` is no format: there are {}", all.join(", ")))
            })?;
        }
        "limit" => limit(session, rest)?,
        "x" => {
            session.expanded = switched(session.expanded, rest)?;
            tell(if session.expanded { "rows are shown as blocks" } else { "rows are shown in a table" })?;
        }
        "pager" => {
            session.pager = switched(session.pager, rest)?;
            tell(if session.pager { "the pager is on" } else { "the pager is off" })?;
        }
        "timing" => {
            session.timing = switched(session.timing, rest)?;
            tell(if session.timing { "timing is on" } else { "timing is off" })?;
        }
        "set" => set(session, rest).await?,
        "explain" => {
            let query =
                session.last_query.clone().ok_or_else(|| Failure::new("there is no query to explain yet"))?;
            let plan = session.prepare(&format!("EXPLAIN {query}")).await?;
            session.run(plan).await?;
        }
        "plot" => plot::plot(session, rest).await?,
        _ => {
            let typed = if name.starts_with('.') { name.to_owned() } else { format!("\\{name}") };
            let known: Vec<&str> = names().collect();
            let mut near = names::near(&format!("\\{}", name.trim_start_matches('.')), known.into_iter());
            let meant = habits::meant(name).map(|command| format!("\\{command}"));
            if near.is_empty() {
                near.extend(meant.as_deref());
            }
            let hint = names::did_you_mean(&near);
            return Err(Failure::new(format!("`{typed}` is no command{hint} (\\? lists them)")));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn help() -> Result<()> {
    let widest = COMMANDS.iter().map(|(usage, _)| usage.len()).max().unwrap_or(0);
    let mut text =
        String::from("Statements end with `;` and may take several lines. Commands stand alone on a line:\n");
    for (usage, what) in COMMANDS {
        text.push_str(&format!("  {usage:widest$}  {what}\n"));
    }
    text.push_str("Tab completes names, Ctrl-R searches what was typed before, Ctrl-C ends a statement and not the shell.");
    tell(&text)
}

/// Prints text that is not a result.
fn tell(text: &str) -> Result<()> {
    Ok(writeln!(Printable::new(std::io::stdout()), "{text}")?)
}

fn wanted<'a>(text: &'a str, otherwise: &str) -> Result<&'a str> {
    if text.is_empty() { Err(Failure::new(otherwise)) } else { Ok(unquoted(text)) }
}

/// The new state of a switch: `on` or `off` sets it, and an empty argument inverts it.
fn switched(is_on: bool, to: &str) -> Result<bool> {
    match to.to_ascii_lowercase().as_str() {
        "" => Ok(!is_on),
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err(Failure::new(format!("`{to}` is neither on nor off"))),
    }
}

fn limit(session: &mut Session, rows: &str) -> Result<()> {
    session.limit = match rows.to_ascii_lowercase().replace([',', '_'], "").as_str() {
        "" => session.limit,
        "all" | "none" | "off" => Limit::All,
        "default" => Limit::Default,
        number => match number.parse() {
            Ok(rows) if rows > 0 => Limit::Rows(rows),
            _ => {
                return Err(Failure::new(format!(
                    "`{rows}` is no number of rows: \\limit takes one, all or default"
                )));
            }
        },
    };
    tell(&match session.limit {
        Limit::Default => format!("a terminal shows {LIMIT} rows of a result"),
        Limit::Rows(rows) => format!("{} of a result are shown", crate::output::count(rows, "row")),
        Limit::All => "all rows of a result are shown".to_owned(),
    })
}

/// Runs a command in the system's shell, which shares the terminal.
fn system(command: &str) -> Result<()> {
    if command.is_empty() {
        return Err(Failure::new("\\! needs a command"));
    }
    std::io::stdout().flush()?;
    let status = Command::new("sh").arg("-c").arg(command).status();
    let status = status.map_err(|e| Failure::new(format!("sh: {e}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::new(format!("`{command}` ended with exit code {code}"))),
        None => Err(Failure::new(format!("`{command}` was killed"))),
    }
}

/// Opens the last statement, or a file, in the user's editor, and returns the edited text.
fn edit(session: &Session, file: &str) -> Result<String> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|e| !e.trim().is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let (path, is_own) = match file {
        "" => {
            let path = std::env::temp_dir().join(format!("atlas-{}.sql", std::process::id()));
            let text = session.last_statement.as_deref().map(|text| format!("{text};\n")).unwrap_or_default();
            write_private(&path, &text)?;
            (path, true)
        }
        file => (Path::new(file).to_owned(), false),
    };
    std::io::stdout().flush()?;
    // The editor may have its own arguments. The path is always a single argument, whatever it
    // contains.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&path).status();
    let text = match status {
        Ok(status) if status.success() => {
            std::fs::read_to_string(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
        }
        Ok(_) => Err(Failure::new(format!("the editor `{editor}` failed: nothing is run"))),
        Err(e) => Err(Failure::new(format!("the editor `{editor}` did not start: {e}"))),
    };
    if is_own {
        // The temporary file is not needed any more.
        let _ = std::fs::remove_file(&path);
    }
    text
}

/// Writes a new file that only this user can read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let _ = std::fs::remove_file(path);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let file = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    file.map_err(|e| Failure::new(format!("{}: {e}", path.display())))
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    inner.unwrap_or(text)
}

fn name_of_format(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

async fn attach(session: &mut Session, rest: &str) -> Result<()> {
    let rest = wanted(rest, "\\attach needs the directory or URL of a store")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (location, name) = match words.as_slice() {
        [location @ .., word, name] if word.eq_ignore_ascii_case("as") => {
            (location.join(" "), (*name).to_owned())
        }
        _ => (rest.to_owned(), session.free_name(unquoted(rest))),
    };
    session.attach(&name, unquoted(&location)).await?;
    tell(&format!("{} is `{name}`", unquoted(&location)))
}

fn detach(session: &mut Session, name: &str) -> Result<()> {
    if session.detach(name)? {
        return Ok(());
    }
    let near = names::near(name, session.stores.iter().map(|store| store.name.as_str()));
    Err(Failure::new(format!("there is no store `{name}`{}", names::did_you_mean(&near))))
}

async fn set(session: &mut Session, rest: &str) -> Result<()> {
    let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let sql = if value.is_empty() {
        let like = name.replace('\'', "''");
        // Options of extensions, all of which belong to Atlas here, are listed without their
        // prefix.
        format!(
            "SELECT * FROM (SELECT CASE WHEN name LIKE 'datafusion.%' THEN name ELSE 'atlas.' || name END AS name, value \
             FROM information_schema.df_settings) WHERE name LIKE '%{like}%' ORDER BY name"
        )
    } else {
        let value = unquoted(value.trim().trim_start_matches('=').trim()).replace('\'', "''");
        format!("SET {name} = '{value}'")
    };
    let statement = session.prepare(&sql).await?;
    session.run(statement).await
}
