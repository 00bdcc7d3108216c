//! The `atlas` command, for its binary and for packages that include it. Also its parts: sessions
//! with stores, statements as users type them, and plots of results.

mod cluster;
mod columns;
mod commands;
mod complete;
mod demo;
mod describe;
mod destination;
mod editor;
mod error;
mod files;
mod functions;
mod import;
mod info;
mod interrupts;
mod last;
mod maintain;
mod manage;
mod netcdf;
mod newer;
mod output;
mod pager;
mod paths;
pub mod plot;
mod printable;
mod progress;
mod report;
mod runner;
mod session;
mod shell;
mod size;
mod sql;
mod statement;
mod target;
mod tentative;
mod threads;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::Runtime;

pub use crate::error::Failure;
use crate::error::Result;
pub use crate::runner::plan_statement;
pub use crate::session::new_session;
pub use crate::threads::runtime;

/// Exit codes.
const DONE: u8 = 0;
const FAILED: u8 = 1;

/// The end of the help text.
const BEGIN: &str = "To begin:
  atlas demo                        a small store to look at
  atlas import STORE FILE.nc …      a store of your own files
  atlas sql STORE                   a shell to ask it, with \\? for help";

#[derive(Parser)]
#[command(name = "atlas", version, about, arg_required_else_help = true, after_help = BEGIN)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a small store of synthetic stations and grids, and run three queries on it.
    Demo {
        /// The directory of the store. It is created if it does not exist.
        #[arg(default_value = "atlas-demo")]
        directory: PathBuf,
    },
    /// Import NetCDF files into a store. The store is created if it does not exist.
    Import(import::Arguments),
    /// Query stores: run the given statements, or start a shell.
    Sql(sql::Arguments),
    /// Run parts of queries for `atlas sql --workers` on other machines.
    Worker(cluster::Listen),
    /// Describe a store: its datasets, variables and grids.
    Info {
        /// The store: a directory or a URL.
        store: String,
        /// Instead, list what imports changed or left out: by class and variable, with counts and
        /// an example file.
        #[arg(long)]
        import: bool,
        /// Write one JSON object instead of text.
        #[arg(long, conflicts_with = "import")]
        json: bool,
        /// Instead, list the file from which each dataset was imported, with its size, time and
        /// checksum.
        #[arg(long, conflicts_with_all = ["import", "json"])]
        sources: bool,
    },
    /// List the commits of a store that still exist, newest first.
    Log {
        /// The store: a directory or a URL.
        store: String,
    },
    /// Read a whole store, and check every checksum, statistic and file. If the store is damaged,
    /// the exit code is 1.
    Verify {
        /// The store: a directory or a URL.
        store: String,
    },
    /// Restore a lost, damaged or outdated atlas.json from the newest commit that can be read.
    Repair {
        /// The store: a directory or a URL.
        store: String,
    },
    /// Merge the segments of variables that have many, and drop replaced and deleted values.
    Compact {
        /// The store: a directory or a URL.
        store: String,
        /// The variables. The default is all variables.
        variables: Vec<String>,
    },
    /// Add the datasets of other stores to a store, in one commit. Segments are copied unchanged.
    Merge {
        /// The store: a directory or a URL.
        store: String,
        /// The other stores. They do not change. No two of the stores may have a dataset of the
        /// same name.
        #[arg(required = true)]
        from: Vec<String>,
    },
    /// Delete datasets from a store, in one commit.
    Delete {
        /// The store: a directory or a URL.
        store: String,
        /// The names of the datasets.
        #[arg(required = true, value_name = "NAME")]
        datasets: Vec<String>,
    },
    /// Rename a dataset.
    Rename {
        /// The store: a directory or a URL.
        store: String,
        /// The dataset.
        name: String,
        /// Its new name.
        new: String,
    },
    /// Copy all or some datasets of a store to another store. That store is created if it does not
    /// exist.
    Copy {
        /// The store: a directory or a URL.
        from: String,
        /// The other store. It must not have a dataset of the same name as a copied one.
        to: String,
        /// Copy only the datasets that satisfy this SQL condition on the columns of the table
        /// `_datasets`, such as "dataset LIKE 'R139%' AND platform_number = '13900'".
        #[arg(long = "where", value_name = "CONDITION")]
        condition: Option<String>,
    },
    /// Write a dataset to a NetCDF file that is equal to the one from which it was imported.
    Export {
        /// The store: a directory or a URL.
        store: String,
        /// The dataset.
        #[arg(value_name = "NAME")]
        dataset: String,
        /// The file to write. The default is NAME.nc in the current directory.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Delete old generations, and the files that only they need.
    Vacuum {
        /// The store: a directory or a URL.
        store: String,
        /// Delete generations that are older than this, such as 12h. Choose an age that is longer
        /// than any running import or query takes.
        #[arg(long, value_name = "AGE", default_value = "7days", value_parser = maintain::parse_age)]
        older_than: Duration,
    },
    /// Print a completion script for a shell, as in `atlas completions bash >
    /// /etc/bash_completion.d/atlas`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual, a page for each command, as in `atlas man ~/.local/share/man/man1`.
    Man {
        /// An existing directory.
        directory: PathBuf,
    },
}

/// Runs the command with its arguments, the first of which is its name, and returns its exit code.
/// It takes over the process: it sets the panic hook, and ends the process if the arguments are
/// wrong or ask for help, or if the process is told to end.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("unknown");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error::report(&Failure::new(format!("internal error at {place}: {message}")));
    }));
    let command = Cli::parse_from(arguments).command;
    let done = match threads::spawn(move || run(command)).map(JoinHandle::join) {
        Ok(Ok(done)) => done,
        // The thread panicked, and the hook has reported that.
        Ok(Err(_)) => return FAILED,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => DONE,
        // The reader of our output has closed the pipe.
        Err(failure) if failure.is_broken_pipe() => DONE,
        Err(failure) => {
            error::report(&failure);
            if let Some(stop) = failure.stop() {
                stop.end_process();
            }
            FAILED
        }
    }
}

fn run(command: Command) -> Result<()> {
    let runtime = runtime()?;
    let done = run_on(&runtime, command);
    match &done {
        Err(failure) if failure.stop().is_some() => runtime.shutdown_timeout(interrupts::GRACE),
        // Does not wait for abandoned tasks.
        _ => runtime.shutdown_background(),
    }
    done
}

fn run_on(runtime: &Runtime, command: Command) -> Result<()> {
    match command {
        Command::Demo { directory } => runtime.block_on(demo::run(&directory)),
        Command::Import(arguments) => runtime.block_on(import::run(&arguments)),
        Command::Sql(arguments) => runtime.block_on(sql::run(&arguments)),
        Command::Worker(arguments) => runtime.block_on(cluster::listen(&arguments)),
        Command::Info { store, import: true, .. } => runtime.block_on(info::import_report(&store)),
        Command::Info { store, json: true, .. } => runtime.block_on(info::run_json(&store)),
        Command::Info { store, sources: true, .. } => runtime.block_on(import::sources(&store)),
        Command::Info { store, .. } => runtime.block_on(info::run(&store)),
        Command::Log { store } => runtime.block_on(maintain::log(&store)),
        Command::Verify { store } => runtime.block_on(maintain::verify(&store)),
        Command::Repair { store } => runtime.block_on(maintain::repair(&store)),
        Command::Merge { store, from } => runtime.block_on(maintain::merge(&store, &from)),
        Command::Compact { store, variables } => runtime.block_on(maintain::compact(&store, &variables)),
        Command::Delete { store, datasets } => runtime.block_on(manage::delete(&store, &datasets)),
        Command::Rename { store, name, new } => runtime.block_on(manage::rename(&store, &name, &new)),
        Command::Copy { from, to, condition } => {
            runtime.block_on(manage::copy(&from, &to, condition.as_deref()))
        }
        Command::Export { store, dataset, output } => {
            runtime.block_on(manage::export(&store, &dataset, output.as_deref()))
        }
        Command::Completions { shell } => {
            // The script is generated in memory first, so that a closed output is not an error of
            // the generator.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "atlas", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        Command::Man { directory } => {
            destination::check_path(&directory)?;
            clap_mangen::generate_to(Cli::command(), &directory)
                .map_err(|e| Failure::new(format!("{}: {e}", directory.display())))
        }
        Command::Vacuum { store, older_than } => runtime.block_on(maintain::vacuum(&store, older_than)),
    }
}
