//! The interactive shell.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use datafusion::prelude::SessionContext;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Editor, Helper};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::error::{self, Failure, Result};
use crate::output::{Format, count};
use crate::session::{open_output, parse, run_statement};

/// Rows of a result that are shown; the rest is counted.
const MOST_ROWS: usize = 1000;

const HELP: &str = "\
Statements end with `;` and may take several lines. Commands stand alone on a line:
  \\?  help     this text
  \\q  quit     leave (so does Ctrl-D)
Ctrl-C ends the statement being typed or run, and not the shell.
The tables of a store: SELECT table_schema, table_name FROM information_schema.tables;";

pub(crate) async fn run(session: &SessionContext, format: Format, output: Option<&Path>) -> Result<()> {
    let failed = |e: ReadlineError| Failure::new(e.to_string());
    let mut editor: Editor<Statements, FileHistory> = Editor::new().map_err(failed)?;
    editor.set_helper(Some(Statements));
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first session.
        let _ = editor.load_history(path);
    }
    // Results of all statements go to one file: it is made now, and added to.
    drop(open_output(output)?);
    let interrupts = interrupts()?;
    // Statements have threads of their own, so that none can keep the shell from hearing Ctrl-C.
    let mut workers = Runtime::new()?;
    writeln!(io::stdout(), "Atlas {}. Type \\? for help.", env!("CARGO_PKG_VERSION"))?;
    loop {
        // The editor waits for keys on a thread of its own, so that nothing else waits with it.
        let (returned, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline("atlas> ");
            (editor, line)
        })
        .await
        .map_err(|e| Failure::new(e.to_string()))?;
        editor = returned;
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(failed(e)),
        };
        if line.trim().is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(line.as_str());
        if let Some(path) = &history {
            let _ = editor.save_history(path);
        }
        match command(&line) {
            Some(Command::Quit) => break,
            Some(Command::Help) => writeln!(io::stdout(), "{HELP}")?,
            Some(Command::Unknown) => {
                error::report(&Failure::new(format!("`{}` is no command: type \\? for help", line.trim())));
            }
            None => {
                let output = output.map(Path::to_owned);
                let mut task = workers.spawn(run_line(session.clone(), line, format, output));
                tokio::select! {
                    done = &mut task => match done {
                        Ok(Ok(())) => {}
                        Ok(Err(failure)) => error::report(&failure),
                        // The hook has told what happened.
                        Err(_) => {}
                    },
                    () = interrupts.notified() => {
                        task.abort();
                        // What does not stop at once is left alone with its threads.
                        std::mem::replace(&mut workers, Runtime::new()?).shutdown_background();
                        writeln!(io::stderr(), "cancelled")?;
                    }
                }
            }
        }
    }
    workers.shutdown_background();
    Ok(())
}

async fn run_line(
    session: SessionContext,
    line: String,
    format: Format,
    output: Option<PathBuf>,
) -> Result<()> {
    for statement in parse(&line)? {
        let started = Instant::now();
        let (mut out, most) = match &output {
            None => (open_output(None)?, Some(MOST_ROWS)),
            Some(path) => {
                let file = OpenOptions::new().append(true).open(path)?;
                (Box::new(BufWriter::new(file)) as Box<dyn Write + Send>, None)
            }
        };
        let rows = run_statement(&session, statement, format, most, &mut out).await?;
        out.flush()?;
        let seconds = started.elapsed().as_secs_f64();
        writeln!(io::stdout(), "{} in {seconds:.3} s", count(rows, "row"))?;
    }
    Ok(())
}

/// Hears Ctrl-C while a statement runs (the editor hears it as a key).
///
/// It listens on a thread of its own, which is never busy.
fn interrupts() -> Result<Arc<Notify>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let heard = Arc::new(Notify::new());
    let tell = Arc::clone(&heard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                tell.notify_waiters();
            }
        });
    });
    Ok(heard)
}

/// The file with what was typed before, in the user's directory for data.
fn history_file() -> Option<PathBuf> {
    let directory = dirs::data_dir()?.join("atlas");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history.txt"))
}

enum Command {
    Help,
    Quit,
    Unknown,
}

/// The command that a line is, if it is one.
fn command(line: &str) -> Option<Command> {
    match line.trim().trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
        "\\q" | "quit" | "exit" => Some(Command::Quit),
        "\\?" | "help" => Some(Command::Help),
        other if other.starts_with('\\') => Some(Command::Unknown),
        _ => None,
    }
}

/// Tells the editor where a statement ends.
struct Statements;

impl Validator for Statements {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        if input.trim().is_empty() || command(input).is_some() || is_complete(input) {
            return Ok(ValidationResult::Valid(None));
        }
        Ok(ValidationResult::Incomplete)
    }
}

impl Helper for Statements {}
impl Highlighter for Statements {}
impl Hinter for Statements {
    type Hint = String;
}
impl Completer for Statements {
    type Candidate = String;
}

/// True where the last statement of `input` ends with a `;` that is in no text, name or comment.
fn is_complete(input: &str) -> bool {
    let mut rest = input.chars().peekable();
    let mut complete = false;
    while let Some(c) = rest.next() {
        match c {
            ';' => complete = true,
            '\'' | '"' => {
                complete = false;
                // A doubled quote ends one text and begins the next.
                if !rest.by_ref().any(|other| other == c) {
                    return false;
                }
            }
            '-' if rest.peek() == Some(&'-') => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut last = ' ';
                if !rest.by_ref().any(|c| std::mem::replace(&mut last, c) == '*' && c == '/') {
                    return false;
                }
            }
            c if c.is_whitespace() => {}
            _ => complete = false,
        }
    }
    complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_text_and_comments() {
        for complete in [
            "SELECT 1;",
            "SELECT ';';",
            "SELECT 1; -- done; really",
            "SELECT 'it''s';\n",
            "SELECT 1 /* ; */ ; ",
        ] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in
            ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT \"a;", "SELECT 1 /* ;", "SELECT 1; SELECT", ""]
        {
            assert!(!is_complete(open), "{open}");
        }
    }
}
