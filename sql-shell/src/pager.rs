//! Shows text that is higher or wider than the terminal in a pager.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use unicode_width::UnicodeWidthStr;

use crate::error::{Failure, Result};

/// The default pager, which can also scroll sideways.
const LESS: &str = "less";

/// The options of `less`, unless the user sets `LESS`: do not wrap lines, show dimmed text as such,
/// and leave the text on the screen.
const OPTIONS: &str = "-SRX";

/// Whether a pager is open.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// True while a pager is open. It gets Ctrl-C too, for which it has its own use.
pub(crate) fn is_open() -> bool {
    IS_OPEN.load(Ordering::Relaxed)
}

/// A program that shows text, and the size of the terminal.
#[derive(Clone, Debug)]
pub(crate) struct Pager {
    command: String,
    width: usize,
    height: usize,
}

impl Pager {
    /// The pager of `ATLAS_PAGER` or `PAGER`, else `less` if it is installed. `None` if the
    /// variable is empty.
    pub(crate) fn find(width: usize, height: usize) -> Option<Self> {
        let named = std::env::var("ATLAS_PAGER").or_else(|_| std::env::var("PAGER")).ok();
        let command = match named {
            Some(command) => command,
            None if is_installed(LESS) => LESS.to_owned(),
            None => return None,
        };
        (!command.trim().is_empty()).then_some(Self { command, width, height })
    }

    /// Whether a table fits above a prompt. All its lines have the width of the first one.
    pub(crate) fn fits(&self, table: &[u8]) -> bool {
        let first = table.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let lines = table.iter().filter(|&&byte| byte == b'\n').count();
        lines < self.height && String::from_utf8_lossy(first).width() <= self.width
    }

    /// Shows a text, until the user leaves the pager.
    pub(crate) fn show(&self, text: &[u8]) -> Result<()> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", OPTIONS);
        }
        let failed = |e| Failure::new(format!("the pager `{}` did not start: {e}", self.command));
        let mut child = command.spawn().map_err(failed)?;
        IS_OPEN.store(true, Ordering::Relaxed);
        if let Some(mut stdin) = child.stdin.take() {
            // Writing fails if the user leaves the pager early.
            let _ = stdin.write_all(text);
        }
        let left = child.wait();
        IS_OPEN.store(false, Ordering::Relaxed);
        left?;
        Ok(())
    }
}

fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_high_or_too_wide_is_paged() {
        let pager = Pager { command: "less".to_owned(), width: 5, height: 3 };
        for (text, fits) in [("ab\nc\n", true), ("a\nb\nc\n", false), ("größe\n", true), ("größer\n", false)]
        {
            assert_eq!(pager.fits(text.as_bytes()), fits, "{text}");
        }
    }
}
