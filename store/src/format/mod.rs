#![doc = include_str!("../../docs/format.md")]
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub(crate) mod block;
pub(crate) mod catalog;
pub(crate) mod index;
pub(crate) mod manifest;
pub(crate) mod record;
pub(crate) mod rows;
mod table;
pub(crate) mod trailer;

/// The version of the format that this build writes and reads.
pub const VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Encoding;
    use crate::encoding::codec::Codec;
    use crate::model::dtype::DType;

    const TEXT: &str = include_str!("../../docs/format.md");

    /// The rows of the first table after `heading`, without the heading of the table.
    fn table(heading: &str) -> Vec<Vec<&'static str>> {
        let (_, after) = TEXT.split_once(heading).expect("the heading is there");
        after
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect()
    }

    fn bytes(rows: &[Vec<&str>]) -> usize {
        rows.iter().filter_map(|row| row[1].parse::<usize>().ok()).sum()
    }

    #[test]
    fn the_text_gives_headers_the_lengths_they_have() {
        assert_eq!(bytes(&table("### Trailer")), trailer::LENGTH);
        assert_eq!(bytes(&table("### Block")), block::HEADER_LENGTH);
        assert!(
            table("### Trailer").last().unwrap()[0].contains(std::str::from_utf8(&trailer::MAGIC).unwrap())
        );
        assert!(table("### Block")[0][0].contains(std::str::from_utf8(&block::MAGIC).unwrap()));
        assert!(TEXT.starts_with(&format!("# The format of an Atlas store, version {VERSION}\n")));
    }

    #[test]
    fn the_text_gives_types_codecs_and_encodings_their_codes() {
        let types = table("## Types");
        assert_eq!(types.len(), DType::ALL.len());
        for (row, dtype) in types.iter().zip(DType::ALL) {
            assert_eq!(row[0], dtype.code().to_string());
            assert_eq!(row[1], format!("`{dtype}`"));
            let arrow = dtype.arrow().to_string();
            assert!(
                arrow == row[2] || arrow.starts_with("Timestamp(") && row[2] == "Timestamp(ns)",
                "{arrow}"
            );
            let width = dtype.width().map_or("differs".to_owned(), |width| width.to_string());
            assert!(row[3].starts_with(&width), "{row:?}");
        }
        for (codec, meaning) in
            [(Codec::None, "none"), (Codec::Zstd, "a Zstandard frame"), (Codec::Lz4, "an LZ4 block")]
        {
            assert!(TEXT.contains(&format!("| {} | {meaning} |", codec.code())));
        }
        let encodings = table("| 2 | an LZ4 block |");
        assert_eq!(encodings.len(), Encoding::ALL.len());
        for (row, encoding) in encodings.iter().zip(Encoding::ALL) {
            assert_eq!(row[0], encoding.code().to_string());
            assert!(row[1].starts_with(&format!("{encoding:?}:").to_lowercase()), "{row:?}");
        }
    }

    #[test]
    fn the_text_names_the_columns_of_the_table_of_chunks() {
        let named: Vec<_> = table("The table of chunks has a row")
            .iter()
            .flat_map(|row| row[0].split(", ").map(|name| name.trim_matches('`')))
            .collect();
        let schema = index::chunk_schema(DType::F64);
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(named, columns);
    }
}
