//! Decodes the text of files to Unicode.
//!
//! NetCDF requires UTF-8, and lets files declare another encoding of their characters in the
//! attribute `_Encoding` (NUG, "Conventions"). Many files are older, and in practice Latin-1 or
//! Windows-1252. Text that declares no encoding and is not valid UTF-8 is therefore decoded as
//! Windows-1252, which has a character for each byte.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// How bytes of text are decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TextEncoding {
    declared: &'static Encoding,
}

impl Default for TextEncoding {
    fn default() -> Self {
        Self { declared: UTF_8 }
    }
}

impl TextEncoding {
    /// The encoding that an attribute `_Encoding` declares, by any label of the WHATWG Encoding
    /// Standard. There, ISO 8859-1 and ASCII are labels of Windows-1252.
    pub fn declared(label: &str) -> Option<Self> {
        Encoding::for_label(label.trim().trim_end_matches('\0').as_bytes()).map(|declared| Self { declared })
    }

    /// Decodes `bytes`, and tells whether they violate the declared encoding. In that case they are
    /// decoded as Windows-1252.
    pub fn decode(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        match self.declared.decode_without_bom_handling_and_without_replacement(bytes) {
            Some(text) => (text, false),
            None => (WINDOWS_1252.decode_without_bom_handling(bytes).0, true),
        }
    }

    /// Encodes a text as declared, if that encoding has all its characters.
    pub fn encode(self, text: &str) -> Cow<'_, [u8]> {
        match self.declared.encode(text) {
            (bytes, _, false) => bytes,
            _ => Cow::Borrowed(text.as_bytes()),
        }
    }

    /// Decodes a name or an attribute. `_Encoding` is about values, and writers that declare it
    /// still write names and attributes as UTF-8. Valid UTF-8 is therefore decoded as such.
    pub fn decode_metadata(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        match std::str::from_utf8(bytes) {
            Ok(text) => (Cow::Borrowed(text), false),
            Err(_) if self.declared == UTF_8 => (WINDOWS_1252.decode_without_bom_handling(bytes).0, true),
            Err(_) => self.decode(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf_8_is_windows_1252() {
        let utf8 = TextEncoding::default();
        assert_eq!(utf8.decode("°C".as_bytes()), ("°C".into(), false));
        assert_eq!(utf8.decode(b"\xb0C"), ("°C".into(), true));
        assert_eq!(utf8.decode(b"\x80\x93x\x94"), ("€“x”".into(), true));
        // Each byte has a character, and none is U+FFFD.
        let bytes: Vec<u8> = (0..=255).collect();
        let (text, other) = utf8.decode(&bytes);
        assert!(other && text.chars().count() == 256 && !text.contains('\u{fffd}'));
    }

    #[test]
    fn a_declared_encoding_is_respected() {
        let latin1 = TextEncoding::declared(" ISO-8859-1\0").unwrap();
        assert_eq!(latin1.decode(b"\xc3\xa9"), ("Ã©".into(), false));
        assert_eq!(latin1.decode_metadata(b"\xc3\xa9"), ("é".into(), false));
        assert_eq!(latin1.decode_metadata(b"\xe9"), ("é".into(), false));
        let latin2 = TextEncoding::declared("iso8859-2").unwrap();
        assert_eq!(latin2.decode(b"\xb1"), ("ą".into(), false));
        assert_eq!(
            (latin2.encode("ą").as_ref(), latin2.encode("€").as_ref()),
            (&b"\xb1"[..], "€".as_bytes())
        );
        assert_eq!(TextEncoding::declared("utf-8").unwrap().decode(b"\xb1"), ("±".into(), true));
        assert_eq!(TextEncoding::declared("klingon"), None);
    }
}
