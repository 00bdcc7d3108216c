//! The interactive shell.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::sync::Notify;

use crate::commands;
use crate::editor::{Sql, is_word_for_shell};
use crate::error::{self, Failure, Result};
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
    session.timing = true;
    let rc = dirs::config_dir().map(|directory| directory.join("atlas").join("rc.sql"));
    if let Some(script) = rc.filter(|_| with_rc).and_then(|path| std::fs::read_to_string(path).ok()) {
        let done = tokio::select! {
            done = session.run_script(&script) => done.map(|_| ()),
            () = interrupts.notified() => cancel(&mut session),
        };
        done.unwrap_or_else(|failure| error::report(&failure));
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
            let done = tokio::select! {
                done = run_item(&mut session, item) => done,
                () = interrupts.notified() => cancel(&mut session).map(ControlFlow::Continue),
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
    Ok(())
}

async fn run_item(session: &mut Session, item: Item<'_>) -> Result<ControlFlow<()>> {
    match item {
        Item::Command(command) => commands::run(session, command).await,
        Item::Statement(statement) => {
            let prepared = session.prepare(statement).await?;
            session.run(prepared).await?;
            Ok(ControlFlow::Continue(()))
        }
    }
}

/// Leaves what runs alone.
fn cancel(session: &mut Session) -> Result<()> {
    session.abandon()?;
    Err(Failure::new("cancelled"))
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
