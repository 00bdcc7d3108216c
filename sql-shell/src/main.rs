//! `atlas`: SQL over thousands of N-dimensional datasets.

use std::process::ExitCode;

/// Planning a query makes thousands of small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(atlas_sql::main(std::env::args_os()))
}
