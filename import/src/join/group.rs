//! Determines to which dataset a file belongs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::files::{FoundFile, legal_name};
use crate::{Error, paths};

/// How files are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The dimension along which they are joined. Its coordinate orders the files.
    pub dim: String,
    /// The datasets to which they are joined.
    pub dataset: DatasetFrom,
}

/// How joined datasets are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetFrom {
    /// One dataset with this name.
    Name(String),
    /// After a global attribute of the files.
    Attribute(String),
    /// After a part of the files' paths. The pattern matches the end of a path, such as
    /// `{name}/*.nc` or `{name}_????.nc`. In it, `{name}` is the dataset's name, `*` any text
    /// without a `/`, and `?` any character but a `/`.
    Pattern(String),
}

/// The placeholder of the name in a pattern.
const NAME: &str = "{name}";

impl fmt::Display for DatasetFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::Pattern(text) => f.write_str(text),
            Self::Attribute(key) => write!(f, "attr:{key}"),
        }
    }
}

impl FromStr for DatasetFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(key) = text.strip_prefix("attr:").filter(|key| !key.is_empty()) {
            return Ok(Self::Attribute(key.to_owned()));
        }
        match text.matches(NAME).count() {
            1 => Ok(Self::Pattern(text.to_owned())),
            0 if legal_name(text).as_deref() == Some(text) && !text.contains(['*', '?', '{', ':']) => {
                Ok(Self::Name(text.to_owned()))
            }
            _ => Err(format!(
                "`{text}` is no name of a dataset, no attr:<key>, and no pattern of a path with {NAME} in it once"
            )),
        }
    }
}

impl DatasetFrom {
    /// The name of a file's dataset. Reading the name from the file takes no longer than `limit`.
    pub(super) fn name(&self, file: &FoundFile, limit: Duration) -> Result<String, Error> {
        let found = match self {
            Self::Name(name) => Some(name.clone()),
            Self::Attribute(key) => file.attribute(key, limit)?,
            Self::Pattern(pattern) => captured(pattern, &paths::text(file.path.as_os_str())),
        };
        found.as_deref().and_then(legal_name).ok_or_else(|| {
            let reason = format!("it has nothing that its dataset is named after ({self})");
            Error::File { path: file.path.clone(), reason }
        })
    }
}

/// The text at the placeholder of the name if the pattern matches the end of the path. The shortest
/// match is taken.
fn captured(pattern: &str, path: &str) -> Option<String> {
    let (before, after) = pattern.split_once(NAME)?;
    let (before, after): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let path: Vec<char> = path.chars().collect();
    // The match starts at the start of the path or after a `/`.
    let starts = (0..path.len()).filter(|&start| start == 0 || path.get(start - 1) == Some(&'/'));
    for start in starts {
        for from in start..path.len() {
            if !is_like(&before, path.get(start..from)?) {
                continue;
            }
            for to in from + 1..=path.len() {
                let name = path.get(from..to)?;
                if name.contains(&'/') {
                    break;
                }
                if is_like(&after, path.get(to..)?) {
                    return Some(name.iter().collect());
                }
            }
        }
    }
    None
}

/// True if a text matches a pattern with `*` and `?`.
fn is_like(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    // The position of the last `*`, and the end of the text that it has matched.
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        let character = text.get(place);
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some('?') if character != Some(&'/') => (at, place) = (at + 1, place + 1),
            Some(wanted) if Some(wanted) == character => (at, place) = (at + 1, place + 1),
            _ => match star {
                Some((star_at, taken)) if text.get(taken) != Some(&'/') => {
                    star = Some((star_at, taken + 1));
                    (at, place) = (star_at + 1, taken + 1);
                }
                _ => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|character| *character == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_paths() {
        for (pattern, path, expected) in [
            ("{name}_*.nc", "/data/era5_2024-01-01.nc", Some("era5")),
            ("{name}_????.nc", "era5_land_2024.nc", Some("era5_land")),
            ("{name}/*.nc", "/data/era5/2024.nc", Some("era5")),
            ("{name}/*/*.nc", "/data/era5/2024/x.nc", Some("era5")),
            ("day-{name}.*.nc", "/d/day-a.1.nc", Some("a")),
            ("{name}_*.nc", "/data/era5.nc", None),
            ("{name}_?.nc", "/data_1/a_12.nc", None),
            ("{name}.nc", ".nc", None),
        ] {
            assert_eq!(captured(pattern, path).as_deref(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_dataset_is_named_in_one_of_three_ways() {
        assert_eq!("era5".parse(), Ok(DatasetFrom::Name("era5".into())));
        assert_eq!("attr:model".parse(), Ok(DatasetFrom::Attribute("model".into())));
        assert_eq!("{name}_*.nc".parse(), Ok(DatasetFrom::Pattern("{name}_*.nc".into())));
        for text in ["", "attr:", "*.nc", "{name}{name}", "a/b", "{model}_*"] {
            assert!(text.parse::<DatasetFrom>().is_err(), "{text}");
        }
        for from in ["era5", "attr:model", "{name}_*.nc"] {
            assert_eq!(from.parse::<DatasetFrom>().unwrap().to_string(), from);
        }
    }
}
