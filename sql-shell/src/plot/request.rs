//! The arguments of `\plot`: a kind of plot, a file and a query, all of which are optional.

use std::path::Path;

use crate::error::{Failure, Result};

/// A kind of plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A point for each row, coloured by a third column.
    Points,
    /// Lines through the rows, in the order of a coordinate or of the query.
    Lines,
    /// Bars from zero.
    Bars,
    /// Longitudes and latitudes with coastlines: points, a track, or coloured cells.
    Map,
    /// Coloured cells along a vertical coordinate and another one.
    Section,
    /// The distribution of values.
    Histogram,
    /// Lines along a vertical coordinate.
    Profile,
}

const KINDS: [(&str, Kind); 7] = [
    ("points", Kind::Points),
    ("lines", Kind::Lines),
    ("bars", Kind::Bars),
    ("map", Kind::Map),
    ("section", Kind::Section),
    ("hist", Kind::Histogram),
    ("profile", Kind::Profile),
];

impl Kind {
    /// The kind with a name, as `\plot` takes it.
    ///
    /// # Errors
    /// There is no such kind.
    pub fn named(name: &str) -> Result<Self> {
        Self::find(name).ok_or_else(|| {
            let all: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
            let (last, others) =
                all.split_last().map_or(("", all.as_slice()), |(last, others)| (last, others));
            Failure::new(format!(
                "`{name}` is no kind of picture: there are {} and {last}",
                others.join(", ")
            ))
        })
    }

    fn find(name: &str) -> Option<Self> {
        KINDS.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

/// The format of a file with a plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Svg,
}

impl Format {
    fn of(file: &str) -> Option<Self> {
        match Path::new(file).extension()?.to_ascii_lowercase().to_str()? {
            "png" => Some(Self::Png),
            "svg" => Some(Self::Svg),
            _ => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub kind: Option<Kind>,
    pub file: Option<(&'a str, Format)>,
    pub query: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self> {
        let mut rest = text.trim();
        let mut request = Self { kind: None, file: None, query: None };
        if let (word, after) = first_word(rest)
            && let Some(kind) = Kind::find(word)
        {
            request.kind = Some(kind);
            rest = after;
        }
        if !rest.is_empty() && !begins_query(rest) {
            let (file, after) = first_word(rest);
            let format = Format::of(file).ok_or_else(|| match Path::new(file).extension() {
                Some(_) => Failure::new(format!("{file}: pictures are .png or .svg")),
                None => Kind::named(file).err().unwrap_or_else(|| {
                    Failure::new(format!("`{file}` names the kind of picture a second time"))
                }),
            })?;
            request.file = Some((file, format));
            rest = after;
        }
        if rest.is_empty() {
            return Ok(request);
        }
        if !begins_query(rest) {
            return Err(Failure::new(format!(
                "`{rest}` is no query: \\plot takes a kind, a file and a query, in this order; quote a file \
                 with blanks in its name"
            )));
        }
        Ok(Self { query: Some(rest), ..request })
    }
}

/// Whether the arguments of `\plot` include a query.
pub(crate) fn has_query(arguments: &str) -> bool {
    Request::parse(arguments).is_ok_and(|request| request.query.is_some())
}

fn begins_query(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    // Files such as from.png are not queries.
    let is_word = !rest.starts_with(['.', '/', '-', '_', '\\']);
    let words = ["select", "with", "values", "from", "table"];
    text.starts_with('(') || is_word && words.iter().any(|other| other.eq_ignore_ascii_case(word))
}

/// The first word of a text, which may be quoted, and the rest.
fn first_word(text: &str) -> (&str, &str) {
    let quoted = text.strip_prefix('\'').and_then(|text| text.split_once('\''));
    let (word, rest) = quoted.or_else(|| text.split_once(char::is_whitespace)).unwrap_or((text, ""));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Request<'_> {
        Request::parse(text).unwrap()
    }

    #[test]
    fn each_part_can_be_left_out() {
        let (kind, query) = (Some(Kind::Map), Some("select 1"));
        let file = Some(("a b.PNG", Format::Png));
        assert_eq!(parsed(""), Request { kind: None, file: None, query: None });
        assert_eq!(parsed("map"), Request { kind, file: None, query: None });
        assert_eq!(parsed("MAP 'a b.PNG' select 1"), Request { kind, file, query });
        assert_eq!(parsed("select 1"), Request { kind: None, file: None, query });
        assert_eq!(parsed("map.svg").file, Some(("map.svg", Format::Svg)));
        assert_eq!(parsed("from.png\n(select 1)").query, Some("(select 1)"));
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let error = |text| Request::parse(text).unwrap_err().to_string();
        assert_eq!(error("a.jpeg"), "a.jpeg: pictures are .png or .svg");
        assert!(error("pie").contains("no kind of picture: there are points, lines,"));
        assert!(error("map hist").contains("second time"));
        assert!(error("a.png b.png").contains("`b.png` is no query"));
        assert!(error("my picture.png").contains("no kind"));
    }
}
