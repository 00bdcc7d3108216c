//! What shows a text that is higher or wider than the terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use unicode_width::UnicodeWidthStr;

use crate::error::{Failure, Result};

/// The pager that is there where the user names no other: it scrolls to the side too.
const LESS: &str = "less";

/// How `less` shows tables, where the user does not say it in `LESS`: lines are not wrapped, dimmed
/// text is dimmed, and it stays on the screen.
const OPTIONS: &str = "-SRX";

/// A program that shows text, and the size of the terminal without it.
#[derive(Clone, Debug)]
pub(crate) struct Pager {
    command: String,
    width: usize,
    height: usize,
}

impl Pager {
    /// The one of `ATLAS_PAGER` or `PAGER`, else `less` if it is installed; none, where the variable
    /// is empty.
    pub(crate) fn find(width: usize, height: usize) -> Option<Self> {
        let named = std::env::var("ATLAS_PAGER").or_else(|_| std::env::var("PAGER")).ok();
        let command = match named {
            Some(command) => command,
            None if is_installed(LESS) => LESS.to_owned(),
            None => return None,
        };
        (!command.trim().is_empty()).then_some(Self { command, width, height })
    }

    /// Whether a table has room above a prompt: its first line is as wide as the others.
    pub(crate) fn fits(&self, table: &[u8]) -> bool {
        let first = table.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let lines = table.iter().filter(|&&byte| byte == b'\n').count();
        lines < self.height && String::from_utf8_lossy(first).width() <= self.width
    }

    /// Shows a text, until the user has seen enough.
    pub(crate) fn show(&self, text: &[u8]) -> Result<()> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", OPTIONS);
        }
        let failed = |e| Failure::new(format!("the pager `{}` did not start: {e}", self.command));
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who leaves the pager has seen enough.
            let _ = stdin.write_all(text);
        }
        child.wait()?;
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
