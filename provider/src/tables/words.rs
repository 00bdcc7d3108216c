//! Types in words.

use arrow::datatypes::DataType;

/// A type of Arrow by the name that scientists know it by: `float32`, `text`, `time`.
///
/// ```
/// # use atlas_datafusion::type_in_words;
/// use arrow::datatypes::DataType;
///
/// assert_eq!(type_in_words(&DataType::Utf8View), "text");
/// assert_eq!(type_in_words(&DataType::new_list(DataType::Float64, true)), "list of float64");
/// ```
pub fn type_in_words(data_type: &DataType) -> String {
    let word = match data_type {
        DataType::Null => "null",
        DataType::Boolean => "bool",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary"
        }
        DataType::Timestamp(_, None) => "time",
        DataType::Timestamp(_, Some(zone)) => return format!("time ({zone})"),
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time of day",
        DataType::Duration(_) => "duration",
        DataType::Interval(_) => "interval",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return format!("decimal({precision},{scale})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => return format!("list of {}", type_in_words(item.data_type())),
        DataType::Struct(fields) => {
            let fields =
                fields.iter().map(|field| format!("{} {}", field.name(), type_in_words(field.data_type())));
            return format!("struct({})", fields.collect::<Vec<_>>().join(", "));
        }
        DataType::Map(..) => "map",
        DataType::Union(..) => "union",
        DataType::Dictionary(_, values) => return type_in_words(values),
        DataType::RunEndEncoded(_, values) => return type_in_words(values.data_type()),
        // Numbers, as NumPy calls them.
        number => return number.to_string().to_lowercase(),
    };
    word.to_owned()
}
