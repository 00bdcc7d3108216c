//! Names the variables and dimensions of a file in the dataset.

use std::collections::{HashMap, HashSet};

use crate::notice::{Notice, NoticeClass};

/// The largest number of bytes of a name in a path of the store. File systems allow 255.
const MAX_ENCODED: usize = 200;

/// Names in the dataset, by group and name in the file.
pub(crate) struct Names<'a> {
    given: HashMap<(&'a [String], &'a str), String>,
    /// Notices about names that differ from those in the file.
    pub notices: Vec<Notice>,
}

impl<'a> Names<'a> {
    /// Chooses names in the dataset for names of a file. Names in groups below the root become
    /// `group.name`. Legal names of the root group stay unchanged. Other names get a suffix if they
    /// are already taken: `_2`, `_3`, and so on.
    pub fn choose(wanted: impl Iterator<Item = (&'a [String], &'a str)>) -> Self {
        let mut seen = HashSet::new();
        let wanted: Vec<_> = wanted.filter(|name| seen.insert(*name)).collect();
        let full = |(group, name): (&[String], &str)| -> String {
            group.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
        };
        let (mut given, mut notices) = (HashMap::new(), Vec::new());
        let mut taken: HashSet<String> = HashSet::new();
        let (stay, change): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|name| name.0.is_empty() && legal(name.1) == name.1);
        for name in stay.into_iter().chain(change) {
            let original = full(name);
            let free = free_name(legal(&original), &mut taken);
            if free != original {
                notices.push(Notice {
                    class: NoticeClass::Renamed,
                    subject: free.clone(),
                    detail: format!("it is named `{original}` in the file"),
                    cells: 0,
                });
            }
            given.insert(name, free);
        }
        Self { given, notices }
    }

    /// The name in the dataset of a name in the file.
    pub fn get(&self, group: &[String], name: &str) -> String {
        self.given.get(&(group, name)).cloned().unwrap_or_else(|| legal(name))
    }
}

/// Takes the name `wanted`. If it is already taken, takes it with the first number from 2 that
/// makes it free.
pub(crate) fn free_name(wanted: String, taken: &mut HashSet<String>) -> String {
    if taken.insert(wanted.clone()) { wanted } else { numbered(&wanted, 2, taken) }
}

/// Takes the name `wanted` with the first number from `first` that makes it free.
pub(crate) fn numbered(wanted: &str, first: usize, taken: &mut HashSet<String>) -> String {
    let mut number = first;
    loop {
        let name = format!("{wanted}_{number}");
        if taken.insert(name.clone()) {
            return name;
        }
        number += 1;
    }
}

/// Converts a NetCDF name to a legal name in a store: it does not start with `_`, has no `/` and no
/// NUL, and is short enough for the directory of an array.
fn legal(name: &str) -> String {
    let name = name.trim_start_matches('_').replace(['/', '\0'], ":");
    match name.as_str() {
        "" | "." | ".." => "unnamed".to_owned(),
        "atlas.json" => "atlas_json".to_owned(),
        _ => shortened(name),
    }
}

/// Shortens a name that is too long to its beginning and a fingerprint of the whole name.
fn shortened(name: String) -> String {
    if name.chars().map(encoded).sum::<usize>() <= MAX_ENCODED {
        return name;
    }
    let mark = format!("~{:032x}", fingerprint(&name));
    let mut room = MAX_ENCODED - mark.len();
    let start = name.chars().take_while(|&character| {
        let fits = room.checked_sub(encoded(character));
        room = fits.unwrap_or(0);
        fits.is_some()
    });
    start.chain(mark.chars()).collect()
}

/// The number of bytes of a character in a path of the store, which writes most characters other
/// than letters as `%XX`.
fn encoded(character: char) -> usize {
    let plain = character.is_ascii_alphanumeric() || " -_.,:;()+=@!&'$".contains(character);
    if plain { 1 } else { 3 * character.len_utf8() }
}

/// FNV-1a with 128 bits: a name has the same fingerprint in all files.
fn fingerprint(name: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    name.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_gets_one_of_its_own() {
        let root: &[String] = &[];
        let g = ["g".to_owned()];
        let wanted = [(root, "_x"), (root, "x"), (root, "g.v"), (&g[..], "v"), (root, "__x"), (root, "x_2")];
        let names = Names::choose(wanted.into_iter().chain([(root, "x")]));
        let given = wanted.map(|(group, name)| names.get(group, name));
        assert_eq!(given, ["x_3", "x", "g.v", "g.v_2", "x_4", "x_2"]);
        assert_eq!(names.notices.len(), 3);
        assert_eq!(names.notices[0].detail, "it is named `_x` in the file");
        for (name, expected) in
            [("", "unnamed"), ("..", "unnamed"), ("a/b", "a:b"), ("atlas.json", "atlas_json")]
        {
            assert_eq!(Names::choose([(root, name)].into_iter()).get(root, name), expected);
        }
    }

    #[test]
    fn long_names_are_shortened_to_names_that_differ() {
        let root: &[String] = &[];
        let long = "n".repeat(250);
        let (one, other) = (format!("{long}1"), format!("{long}2"));
        let names = Names::choose([(root, one.as_str()), (root, other.as_str())].into_iter());
        let (one, other) = (names.get(root, &one), names.get(root, &other));
        assert!(one != other && one.len() == MAX_ENCODED && one.starts_with("nnnn"));
        let accents = "é".repeat(100);
        let short = Names::choose([(root, accents.as_str())].into_iter()).get(root, &accents);
        assert!(short.chars().map(encoded).sum::<usize>() <= MAX_ENCODED && short.starts_with('é'));
        assert_eq!(fingerprint("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
