//! The interactive shell.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use crate::commands::{run_item, run_script};
use crate::describe;
use crate::editor::Sql;
use crate::error::{self, Failure, Result};
use crate::interrupts::interrupts;
use crate::newer::Newer;
use crate::printable::Printable;
use crate::session::Session;
use crate::statement::script;

/// The prompt for a statement.
const PROMPT: &str = "atlas> ";

/// The prompt for further lines of a statement.
const CONTINUED: &str = "  ...> ";

pub(crate) async fn run(mut session: Session, with_rc: bool) -> Result<()> {
    let done = converse(&mut session, with_rc).await;
    session.end().await;
    done
}

async fn converse(session: &mut Session, with_rc: bool) -> Result<()> {
    let mut editor = new_editor(session, FileHistory::default())?;
    let history = directory(dirs::data_dir()).map(|directory| directory.join("history.txt"));
    if let Some(path) = &history {
        // The history does not exist before the first session.
        let _ = editor.load_history(path);
    }
    let interrupts = interrupts()?;
    session.timing = true;
    let rc = dirs::config_dir().map(|directory| directory.join("atlas").join("rc.sql"));
    if let Some(path) = rc.filter(|path| with_rc && path.exists()) {
        let done = match std::fs::read_to_string(&path) {
            Ok(script) => tokio::select! {
                done = run_script(session, &script) => done.map(|_| ()),
                () = interrupts.notified() => cancel(session),
            },
            Err(e) => Err(Failure::new(format!("{}: {e}", path.display()))),
        };
        done.unwrap_or_else(|failure| error::report(&failure));
    }
    let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    write!(Printable::new(io::stdout()), "{}", describe::banner(session, width).await?)?;
    // The lines of a statement that is not complete yet.
    let mut text = String::new();
    let mut newer = Newer::default();
    loop {
        // The editor blocks while it waits for keys, so it has its own thread.
        let prompt = if text.is_empty() { PROMPT } else { CONTINUED };
        let (returned, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline(prompt);
            (editor, line)
        })
        .await
        .map_err(|e| Failure::new(e.to_string()))?;
        editor = returned;
        match line {
            Ok(line) if text.is_empty() => text = line,
            Ok(line) => {
                text.push('\n');
                text.push_str(&line);
            }
            Err(ReadlineError::Interrupted) => text.clear(),
            Err(ReadlineError::Eof) => break,
            Err(e) => return Err(Failure::new(e.to_string())),
        }
        let (items, is_complete) = script::items(&text);
        if !text.trim().is_empty() && is_complete {
            let _ = editor.add_history_entry(text.as_str());
            if let Some(path) = &history {
                let _ = editor.save_history(path);
            }
            for remark in newer.look(session).await {
                writeln!(Printable::new(io::stderr()), "{remark}")?;
            }
            for item in items {
                let done = tokio::select! {
                    done = run_item(session, item) => done,
                    () = interrupts.notified() => {
                        // Nothing that was typed before Ctrl-C runs after it.
                        editor = new_editor(session, std::mem::take(editor.history_mut()))?;
                        cancel(session).map(ControlFlow::Continue)
                    }
                };
                match done {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(()),
                    Err(failure) => {
                        error::report(&failure);
                        break;
                    }
                }
            }
        }
        if is_complete {
            text.clear();
        }
        if let Some(sql) = editor.helper_mut() {
            sql.begin_line_after(&text);
        }
    }
    Ok(())
}

/// An editor of statements, which has read nothing yet.
fn new_editor(session: &Session, history: FileHistory) -> Result<Editor<Sql, FileHistory>> {
    let config = Config::builder().completion_type(CompletionType::List).build();
    let editor = Editor::with_history(config, history);
    let mut editor = editor.map_err(|e: ReadlineError| Failure::new(e.to_string()))?;
    editor.set_helper(Some(Sql::new(session.context.clone())));
    Ok(editor)
}

/// Abandons the running statement.
fn cancel(session: &mut Session) -> Result<()> {
    session.abandon()?;
    Err(Failure::new("cancelled"))
}

/// The directory of Atlas in one of the user's directories.
fn directory(parent: Option<PathBuf>) -> Option<PathBuf> {
    let directory = parent?.join("atlas");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}
