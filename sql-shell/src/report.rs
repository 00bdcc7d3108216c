//! Formats notices of imports as lines.

use std::collections::BTreeMap;
use std::io::{self, Write};

use atlas_import::{NoticeClass, NoticeSummary};

use crate::output::count;

/// The number of lines of a report that leaves room for other output on a screen.
pub(crate) const SCREEN: usize = 16;

/// Writes one line for each notice, but at most `limit` lines, and shares them between the classes
/// so that no class hides another. Returns the number of omitted notices.
pub(crate) fn write(out: &mut dyn Write, notices: &NoticeSummary, limit: usize) -> io::Result<usize> {
    let mut sizes: BTreeMap<NoticeClass, usize> = BTreeMap::new();
    notices.iter().for_each(|(class, ..)| *sizes.entry(class).or_default() += 1);
    let mut left: BTreeMap<NoticeClass, usize> = sizes.keys().map(|class| (*class, 0)).collect();
    let mut written = 0;
    // Each class in turn gets one more line.
    while written < limit.min(notices.len()) {
        for (class, lines) in &mut left {
            if written < limit && sizes.get(class).is_some_and(|size| *lines < *size) {
                *lines += 1;
                written += 1;
            }
        }
    }
    for (class, subject, detail, notices) in notices.iter() {
        let Some(lines) = left.get_mut(&class).filter(|lines| **lines > 0) else { continue };
        *lines -= 1;
        let (subject, detail) = (printable(subject), printable(detail));
        let example = printable(&notices.example.to_string_lossy());
        let cells = match notices.cells {
            0 => String::new(),
            cells => format!("{} in ", count(usize::try_from(cells).unwrap_or(usize::MAX), "cell")),
        };
        let files = count(notices.files, "file");
        writeln!(out, "{class}: {subject}: {detail} ({cells}{files}, such as {example})")?;
    }
    Ok(notices.len() - written)
}

/// A text from a file, with its control characters escaped.
fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use atlas_import::Notice;

    use super::*;

    fn lines(entries: &[(NoticeClass, usize)], limit: usize) -> (Vec<String>, usize) {
        let mut notices = NoticeSummary::default();
        for &(class, size) in entries {
            for number in 0..size {
                let notice = Notice { class, subject: format!("v{number}"), detail: "why".into(), cells: 2 };
                notices.add(notice, Path::new("a\x1b.nc"));
            }
        }
        let mut out = Vec::new();
        let left = write(&mut out, &notices, limit).unwrap();
        (String::from_utf8(out).unwrap().lines().map(str::to_owned).collect(), left)
    }

    #[test]
    fn no_class_hides_another() {
        let entries =
            [(NoticeClass::LeftOut, 100), (NoticeClass::UnitsDiffer, 1), (NoticeClass::DefaultFill, 3)];
        let (shown, left) = lines(&entries, 6);
        let classes: Vec<_> = shown.iter().map(|line| line.split(':').next().unwrap()).collect();
        let expected = ["left out", "left out", "left out", "never written", "never written", "units differ"];
        assert_eq!((classes, left), (expected.to_vec(), 98));
        let (shown, left) = lines(&entries, usize::MAX);
        assert_eq!((shown.len(), left), (104, 0));
        assert_eq!(shown[0], "left out: v0: why (2 cells in 1 file, such as a\\u{1b}.nc)");
        assert_eq!(lines(&[], 5), (Vec::new(), 0));
    }
}
