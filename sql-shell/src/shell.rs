//! The interactive shell.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::commands;
use crate::editor::{Sql, is_word_for_shell};
use crate::error::{self, Failure, Result};
use crate::progress::Watch;
use crate::script::{self, Item};
use crate::session::Session;

pub(crate) async fn run(mut session: Session, with_rc: bool) -> Result<()> {
    let failed = |e: ReadlineError| Failure::new(e.to_string());
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Sql, FileHistory> = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Sql::new(session.context.clone())));
    let history = directory(dirs::data_dir()).map(|directory| directory.join("history.txt"));
    if let Some(path) = &history {
        // There is none before the first session.
        let _ = editor.load_history(path);
    }
    let interrupts = interrupts()?;
    // Statements have threads of their own, so that none can keep the shell from hearing Ctrl-C.
    let mut workers = Runtime::new()?;
    session.timing = true;
    let rc = dirs::config_dir().map(|directory| directory.join("atlas").join("rc.sql"));
    if let Some(script) = rc.filter(|_| with_rc).and_then(|path| std::fs::read_to_string(path).ok())
        && let Err(failure) = session.run_script(&script).await
    {
        error::report(&failure);
    }
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
        let line =
            if is_word_for_shell(&line) { format!("\\{}", line.trim().to_ascii_lowercase()) } else { line };
        let line = line.replace("\\exit", "\\quit");
        for item in script::items(&line).0 {
            // What is done with the session itself takes no time, or is a script that Ctrl-C ends between its statements.
            let done = match item {
                Item::Command(command) => {
                    tokio::select! {
                        done = commands::run(&mut session, command) => done.map(|flow| flow.is_break()),
                        () = interrupts.notified() => Err(Failure::new("cancelled")),
                    }
                }
                Item::Statement(statement) => {
                    tokio::select! {
                        done = statement_in(&mut session, statement, &workers) => done.map(|()| false),
                        () = interrupts.notified() => {
                            // What does not stop at once is left alone with its threads.
                            std::mem::replace(&mut workers, Runtime::new()?).shutdown_background();
                            Err(Failure::new("cancelled"))
                        }
                    }
                }
            };
            match done {
                Ok(false) => {}
                Ok(true) => {
                    workers.shutdown_background();
                    return Ok(());
                }
                Err(failure) => {
                    error::report(&failure);
                    break;
                }
            }
        }
    }
    workers.shutdown_background();
    Ok(())
}

/// Runs a statement on the threads of `workers`; dropped, it is cancelled.
async fn statement_in(session: &mut Session, statement: &str, workers: &Runtime) -> Result<()> {
    let prepared = session.prepare(statement).await?;
    let runner = session.runner();
    let watch = runner.watch.clone();
    let task = workers.spawn(async move { runner.run(prepared).await });
    let mut running = Running { task, watch };
    // Where it panicked, the hook has told what happened.
    (&mut running.task).await.unwrap_or(Ok(()))
}

/// A task that ends with whoever waits for it, and what is shown of it too.
struct Running<T> {
    task: tokio::task::JoinHandle<T>,
    watch: Watch,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
        self.watch.hide();
    }
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

/// A directory of Atlas in one of the user's.
fn directory(parent: Option<PathBuf>) -> Option<PathBuf> {
    let directory = parent?.join("atlas");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}
