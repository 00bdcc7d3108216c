//! `atlas sql`.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;

use crate::commands::run_script;
use crate::error::{Failure, Result};
use crate::interrupts::{GRACE, first_request};
use crate::output::Format;
use crate::session::Session;
use crate::size::parse_size;
use crate::target::Target;
use crate::{cluster, shell};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Stores: directories or URLs, each with its name in SQL. By default, a single store is
    /// `atlas`, and several have the last parts of their locations as names.
    #[arg(value_name = "[NAME=]STORE")]
    stores: Vec<String>,
    /// Run statements and commands, and exit. This option can be repeated.
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,
    /// Run the statements and commands of a file, and exit.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// The format of results. The default is a table, or the format that the extension of --output
    /// names.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write results to a file. Its extension determines the format, unless --format is given.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The memory that queries may use, such as 2G or 500M. Sorts and aggregations that need more
    /// use the disk. Other operators fail.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<usize>,
    /// Do not run the commands of the rc file when the shell starts.
    #[arg(long)]
    no_rc: bool,
    #[command(flatten)]
    cluster: cluster::Options,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let mut session = Session::new(arguments.memory_limit, &arguments.cluster)?;
    session.attach_all(&arguments.stores).await?;
    session.format = arguments.format.unwrap_or_default();
    if let Some(path) = &arguments.output {
        session.output = Some(Target::new(path, arguments.format, session.format)?);
    }
    let mut scripts = arguments.command.clone();
    if let Some(path) = &arguments.file {
        let script = std::fs::read_to_string(path);
        scripts.push(script.map_err(|e| Failure::new(format!("{}: {e}", path.display())))?);
    }
    if scripts.is_empty() && io::stdin().is_terminal() {
        return shell::run(session, !arguments.no_rc).await;
    }
    if scripts.is_empty() {
        let mut script = String::new();
        io::stdin().read_to_string(&mut script)?;
        scripts.push(script);
    }
    let done = tokio::select! {
        biased;
        done = run_all(&mut session, &scripts) => done,
        // The ends of the session and of the runtime take up to [`GRACE`] each.
        stop = first_request(Some(GRACE * 5 / 2))? => Err(Failure::stopped(stop)),
    };
    if done.is_err() {
        session.end().await;
    }
    done
}

/// Runs texts, until one of them ends the session.
async fn run_all(session: &mut Session, texts: &[String]) -> Result<()> {
    for text in texts {
        if run_script(session, text).await?.is_break() {
            break;
        }
    }
    Ok(())
}
