//! `atlas sql`: a session with stores, and the statements it runs.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use atlas::Atlas;
use atlas_datafusion::{register_store, with_atlas};
use clap::Args;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::{DFParser, Statement};

use crate::error::{Failure, Result};
use crate::output::{self, Format};
use crate::shell;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Stores, each a directory or a URL, and the name it gets in SQL: `atlas` for one without a name.
    #[arg(required = true, value_name = "[NAME=]STORE")]
    stores: Vec<String>,
    /// Run statements and exit. Can be given several times.
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,
    /// Run the statements of a file and exit.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write results to a file.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let session = open(&arguments.stores).await?;
    let mut scripts = arguments.command.clone();
    if let Some(path) = &arguments.file {
        let script = std::fs::read_to_string(path);
        scripts.push(script.map_err(|e| Failure::new(format!("{}: {e}", path.display())))?);
    }
    if scripts.is_empty() && io::stdin().is_terminal() {
        return shell::run(&session, arguments.format, arguments.output.as_deref()).await;
    }
    if scripts.is_empty() {
        let mut script = String::new();
        io::stdin().read_to_string(&mut script)?;
        scripts.push(script);
    }
    let mut out = open_output(arguments.output.as_deref())?;
    for script in scripts {
        for statement in parse(&script)? {
            run_statement(&session, statement, arguments.format, None, &mut out).await?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Where results go: a file, or stdout.
pub(crate) fn open_output(path: Option<&Path>) -> Result<Box<dyn Write + Send>> {
    match path {
        None => Ok(Box::new(BufWriter::new(io::stdout()))),
        Some(path) => {
            let file = File::create(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
            Ok(Box::new(BufWriter::new(file)))
        }
    }
}

/// A session with stores registered.
async fn open(stores: &[String]) -> Result<SessionContext> {
    let session = new_session();
    let mut names = Vec::new();
    for store in stores {
        // A `=` may be in a path too: a name is a word before the first.
        let (name, location) = match store.split_once('=') {
            Some((name, location)) if is_word(name) => (name.to_owned(), location),
            _ if stores.len() == 1 => ("atlas".to_owned(), store.as_str()),
            _ => (name_of(store), store.as_str()),
        };
        if names.contains(&name) {
            return Err(Failure::new(format!("two stores would both be `{name}`: name them, NAME=STORE")));
        }
        register_store(&session, &name, &Atlas::open_url(location).await?)?;
        names.push(name);
    }
    Ok(session)
}

/// A session without stores.
pub(crate) fn new_session() -> SessionContext {
    let config = SessionConfig::new().with_information_schema(true);
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    SessionContext::new_with_state(with_atlas(builder).build())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The name of one of several stores that were given without names: the last part of its address.
fn name_of(store: &str) -> String {
    let last = store.trim_end_matches('/').rsplit('/').next().unwrap_or(store);
    last.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// The statements of a script.
pub(crate) fn parse(script: &str) -> Result<Vec<Statement>> {
    Ok(DFParser::parse_sql(script)?.into())
}

/// Runs a statement and writes its result; returns the number of rows.
pub(crate) async fn run_statement(
    session: &SessionContext,
    statement: Statement,
    format: Format,
    most: Option<usize>,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let plan = session.state().statement_to_plan(statement).await?;
    let rows = session.execute_logical_plan(plan).await?;
    let has_result = !rows.schema().fields().is_empty();
    let plan = rows.create_physical_plan().await?;
    let stream = execute_stream(plan, session.task_ctx())?;
    if has_result {
        return output::write(stream, format, most, out).await;
    }
    // A statement such as CREATE VIEW is done once its empty result is.
    output::write(stream, Format::Ndjson, None, &mut io::sink()).await
}
