//! Decodes attributes.

use netcdf_reader::{NcAttrValue, NcAttribute};

use super::Contents;
use crate::encoding::TextEncoding;
use crate::notice::NoticeClass;

/// An attribute whose text is not decoded yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawAttribute {
    pub name: Vec<u8>,
    pub value: RawValue,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum RawValue {
    /// Characters.
    Text(Vec<u8>),
    /// Strings.
    Strings(Vec<Vec<u8>>),
    /// Anything else.
    Other(NcAttrValue),
}

impl RawAttribute {
    fn is(&self, name: &str) -> bool {
        self.name == name.as_bytes()
    }
}

/// Removes the NULs that pad a text.
pub(super) fn without_padding(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Decodes a name, and tells whether it is invalid UTF-8. The name ends at its first NUL, since
/// some writers pad names with NULs.
pub(super) fn name(bytes: &[u8]) -> (String, bool) {
    let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let (name, other) = TextEncoding::default().decode_metadata(bytes);
    (name.into_owned(), other)
}

/// Decodes the attributes of `subject` (a variable, or empty for a group), and returns the encoding
/// of the variable's text.
pub(super) fn decode(
    raw: Vec<RawAttribute>,
    subject: &str,
    contents: &mut Contents,
) -> (Vec<NcAttribute>, TextEncoding) {
    let label =
        raw.iter().find(|attribute| attribute.is("_Encoding")).and_then(|attribute| match &attribute.value {
            RawValue::Text(bytes) => Some(bytes.as_slice()),
            RawValue::Strings(strings) => strings.first().map(Vec::as_slice),
            RawValue::Other(_) => None,
        });
    let declared = label.map(|label| TextEncoding::declared(&String::from_utf8_lossy(label)));
    let encoding = declared.flatten().unwrap_or_default();
    if declared == Some(None) {
        let label = String::from_utf8_lossy(label.unwrap_or_default()).into_owned();
        let detail = format!("its _Encoding `{label}` is unknown: taken as UTF-8, or else as Windows-1252");
        contents.notice(NoticeClass::TextDecoded, of("text", subject), detail);
    }

    let mut other = false;
    let mut text = |bytes: &[u8]| -> String {
        let (text, reinterpreted) = encoding.decode_metadata(bytes);
        other |= reinterpreted;
        text.into_owned()
    };
    let mut attributes: Vec<NcAttribute> = Vec::with_capacity(raw.len());
    for attribute in raw {
        let name = text(attribute.name.split(|&byte| byte == 0).next().unwrap_or_default());
        let value = match attribute.value {
            RawValue::Text(bytes) => NcAttrValue::Chars(text(without_padding(&bytes))),
            RawValue::Strings(strings) => {
                NcAttrValue::Strings(strings.iter().map(|bytes| text(bytes)).collect())
            }
            RawValue::Other(value) => value,
        };
        attributes.push(NcAttribute { name, value });
    }
    if other {
        contents.notice(NoticeClass::TextDecoded, of("attributes", subject), super::NOT_UTF_8);
    }
    (attributes, encoding)
}

fn of(what: &str, subject: &str) -> String {
    if subject.is_empty() { format!("{what} of the dataset") } else { format!("{what} of {subject}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &[u8], value: &[u8]) -> RawAttribute {
        RawAttribute { name: name.to_vec(), value: RawValue::Text(value.to_vec()) }
    }

    #[test]
    fn text_is_decoded_and_told() {
        let mut contents = Contents::default();
        let (attributes, _) = decode(vec![raw(b"units\0\0", b"\xb0C\0")], "t", &mut contents);
        assert_eq!(attributes[0].name, "units");
        assert_eq!(attributes[0].value, NcAttrValue::Chars("°C".into()));
        assert_eq!(contents.notices.len(), 1);
        assert_eq!(contents.notices[0].subject, "attributes of t");

        let declared = vec![raw(b"_Encoding", b"ISO-8859-1"), raw(b"long_name", b"Caf\xe9")];
        let mut contents = Contents::default();
        let (attributes, encoding) = decode(declared, "t", &mut contents);
        assert_eq!(attributes[1].value, NcAttrValue::Chars("Café".into()));
        assert_eq!(encoding, TextEncoding::declared("latin1").unwrap());
        assert!(contents.notices.is_empty());

        let mut contents = Contents::default();
        decode(vec![raw(b"_Encoding", b"klingon")], "t", &mut contents);
        assert!(contents.notices[0].detail.contains("klingon"));
    }
}
