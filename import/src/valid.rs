//! The valid range of a variable: `valid_min`, `valid_max`, `valid_range`.
//!
//! The NetCDF User Guide (Appendix A, Attribute Conventions) defines these attributes, and section
//! 2.5.1 of the CF conventions refers to it.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray};
use arrow::datatypes::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use atlas::DType;
use netcdf_reader::NcAttrValue;

use crate::cf::{Number, Numbers, Packing};

/// The range of numbers that a variable declares to be valid; both bounds are included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ValidRange {
    min: Option<Number>,
    max: Option<Number>,
    /// The packing of the values, if the bounds are unpacked values.
    packing: Option<Packing>,
}

impl ValidRange {
    /// The range that the attributes of a variable of type `stored` declare. `valid_range` takes
    /// precedence over `valid_min` and `valid_max`. Errors in the attributes are added to `bad`.
    pub(crate) fn of<'a>(
        attribute: impl Fn(&str) -> Option<&'a NcAttrValue>,
        stored: DType,
        packing: Option<&Packing>,
        bad: &mut Vec<String>,
    ) -> Option<Self> {
        let mut read = |name: &str, expected: usize| -> Option<Numbers> {
            let numbers = Numbers::read(name, attribute(name)?, bad)?;
            if numbers.values.len() != expected {
                bad.push(format!("`{name}` has not {expected} value(s): it is ignored"));
                return None;
            }
            if numbers.values.iter().any(|number| number.as_f64().is_nan()) {
                bad.push(format!("`{name}` has a NaN: it is ignored"));
                return None;
            }
            Some(numbers)
        };
        let range = read("valid_range", 2);
        let (min, max) = match &range {
            Some(_) => (None, None),
            None => (read("valid_min", 1), read("valid_max", 1)),
        };
        // One of the attributes decides for all whether the bounds are packed.
        let declared = [&range, &min, &max].into_iter().find_map(Option::as_ref)?;
        let packing = packing.filter(|packing| is_unpacked(declared, stored, packing)).copied();
        let dtype = packing.map_or(stored, |packing| packing.dtype);
        let mut range = range.iter().flat_map(|numbers| numbers.as_stored(dtype));
        let first = |numbers: Option<Numbers>| numbers.and_then(|numbers| numbers.as_stored(dtype).next());
        let found = Self { min: first(min).or(range.next()), max: first(max).or(range.next()), packing };
        if let (Some(min), Some(max)) = (found.min, found.max)
            && less(max, min)
        {
            bad.push("its valid range ends before it begins: it is ignored".to_owned());
            return None;
        }
        Some(found)
    }

    /// True for stored numbers outside the range, and null for missing cells. NaN is not outside.
    pub(crate) fn outside(&self, stored: DType, cells: &ArrayRef) -> BooleanArray {
        match stored {
            DType::I8 => self.cells::<Int8Type>(cells, |value| Number::Int(value.into())),
            DType::I16 => self.cells::<Int16Type>(cells, |value| Number::Int(value.into())),
            DType::I32 => self.cells::<Int32Type>(cells, |value| Number::Int(value.into())),
            DType::I64 => self.cells::<Int64Type>(cells, |value| Number::Int(value.into())),
            DType::U8 => self.cells::<UInt8Type>(cells, |value| Number::Int(value.into())),
            DType::U16 => self.cells::<UInt16Type>(cells, |value| Number::Int(value.into())),
            DType::U32 => self.cells::<UInt32Type>(cells, |value| Number::Int(value.into())),
            DType::U64 => self.cells::<UInt64Type>(cells, |value| Number::Int(value.into())),
            DType::F32 => self.cells::<Float32Type>(cells, |value| Number::Float(value.into())),
            DType::F64 => self.cells::<Float64Type>(cells, Number::Float),
            _ => BooleanArray::from(vec![false; cells.len()]),
        }
    }

    fn cells<T: ArrowPrimitiveType>(
        &self,
        cells: &ArrayRef,
        number: impl Fn(T::Native) -> Number,
    ) -> BooleanArray {
        BooleanArray::from_unary(cells.as_primitive::<T>(), |value| self.excludes(number(value)))
    }

    #[allow(clippy::cast_possible_truncation)]
    fn excludes(&self, number: Number) -> bool {
        let number = match &self.packing {
            None => number,
            Some(packing) => Number::Float(match (packing.unpack(number.as_f64()), packing.dtype) {
                (value, DType::F32) => f64::from(value as f32),
                (value, _) => value,
            }),
        };
        self.min.is_some_and(|min| less(number, min)) || self.max.is_some_and(|max| less(max, number))
    }
}

fn less(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a < b,
        _ => a.as_f64() < b.as_f64(),
    }
}

/// True if bounds refer to the unpacked values, and not to the packed ones. Their type decides.
/// Bounds of the type of the packed values refer to those. Bounds of the type of `scale_factor` and
/// `add_offset`, if that is wider, refer to the unpacked values. Bounds of another type refer to
/// the packed values if these can represent them.
fn is_unpacked(bounds: &Numbers, stored: DType, packing: &Packing) -> bool {
    let Some(dtype) = bounds.dtype else { return !representable(bounds, stored) };
    // The bounds have the same kind of type as the packed values, and are no wider.
    if dtype.is_float() == stored.is_float() && dtype.width() <= stored.width() {
        return false;
    }
    dtype == packing.declared || dtype == packing.dtype || !representable(bounds, stored)
}

fn representable(numbers: &Numbers, dtype: DType) -> bool {
    dtype.is_float() || numbers.as_stored(dtype).all(|number| number.element(dtype).is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use atlas::Element;

    use super::*;

    fn range(
        attributes: &[(&str, NcAttrValue)],
        stored: DType,
        packing: Option<Packing>,
    ) -> (Option<ValidRange>, Vec<String>) {
        let attributes: HashMap<_, _> = attributes.iter().map(|(name, value)| (*name, value)).collect();
        let mut bad = Vec::new();
        let of = ValidRange::of(|name| attributes.get(name).copied(), stored, packing.as_ref(), &mut bad);
        (of, bad)
    }

    fn outside<T: Element>(range: &ValidRange, values: &[T]) -> Vec<bool> {
        let cells = T::to_arrow(values.iter().cloned());
        range.outside(T::DTYPE, &cells).iter().map(Option::unwrap_or_default).collect()
    }

    fn packing(dtype: DType, scale: f64) -> Packing {
        Packing { scale, offset: 0.0, declared: dtype, dtype }
    }

    #[test]
    fn bounds_are_compared_with_values_of_their_type() {
        let shorts = NcAttrValue::Shorts(vec![-18000, 18000]);
        let hundredths = packing(DType::F32, f64::from(0.01f32));
        let (packed, bad) = range(&[("valid_range", shorts)], DType::I16, Some(hundredths));
        assert_eq!(
            outside(&packed.unwrap(), &[-18001i16, -18000, 0, 18000, 18001]),
            [true, false, false, false, true]
        );
        assert!(bad.is_empty());

        let floats = NcAttrValue::Floats(vec![-180.0, 0.3]);
        let (unpacked, _) = range(&[("valid_range", floats)], DType::I16, Some(hundredths));
        // 30 hundredths are exactly 0.3 as an f32.
        assert_eq!(outside(&unpacked.unwrap(), &[-18001i16, -18000, 30, 31]), [true, false, false, true]);

        // The bounds have neither the type of the packed values nor that of the unpacked ones.
        let whole = NcAttrValue::Doubles(vec![-18000.0, 18000.0]);
        let (whole, _) = range(&[("valid_range", whole)], DType::I16, Some(hundredths));
        assert_eq!(outside(&whole.unwrap(), &[18000i16, 18001]), [false, true]);
        let broken = NcAttrValue::Doubles(vec![1.5]);
        let (broken, _) = range(&[("valid_max", broken)], DType::I16, Some(hundredths));
        assert_eq!(outside(&broken.unwrap(), &[150i16, 151]), [false, true]);
    }

    #[test]
    fn unsigned_ranges_may_be_declared_with_signed_types() {
        let (found, bad) = range(&[("valid_range", NcAttrValue::Bytes(vec![0, -56]))], DType::U8, None);
        assert_eq!(outside(&found.unwrap(), &[0u8, 127, 200, 201, 255]), [false, false, false, true, true]);
        assert!(bad.is_empty());
        let (wider, _) = range(&[("valid_max", NcAttrValue::Shorts(vec![300]))], DType::U8, None);
        assert_eq!(outside(&wider.unwrap(), &[255u8]), [false]);
        let (large, _) = range(&[("valid_max", NcAttrValue::UInt64s(vec![u64::MAX - 1]))], DType::U64, None);
        assert_eq!(outside(&large.unwrap(), &[u64::MAX - 1, u64::MAX]), [false, true]);
    }

    #[test]
    fn bounds_belong_to_the_range_and_nan_is_no_number() {
        let bounds =
            [("valid_min", NcAttrValue::Floats(vec![0.0])), ("valid_max", NcAttrValue::Doubles(vec![0.1]))];
        let (found, _) = range(&bounds, DType::F32, None);
        let found = found.unwrap();
        assert_eq!(
            outside(&found, &[-0.0f32, 0.1, f32::NAN, 0.2, f32::NEG_INFINITY]),
            [false, false, false, true, true]
        );
        let (found, _) = range(&bounds[..1], DType::F64, None);
        assert_eq!(outside(&found.unwrap(), &[f64::INFINITY, -1e-300]), [false, true]);
    }

    #[test]
    fn what_is_malformed_is_told_and_ignored() {
        for attributes in [
            vec![("valid_range", NcAttrValue::Floats(vec![0.0]))],
            vec![("valid_min", NcAttrValue::Floats(vec![0.0, 1.0]))],
            vec![("valid_min", NcAttrValue::Floats(vec![]))],
            vec![("valid_max", NcAttrValue::Chars("as measured".into()))],
            vec![("valid_max", NcAttrValue::Doubles(vec![f64::NAN]))],
            vec![("valid_range", NcAttrValue::Doubles(vec![1.0, 0.0]))],
        ] {
            let (found, bad) = range(&attributes, DType::F32, None);
            assert_eq!((found, bad.len()), (None, 1), "{attributes:?}");
        }
        // Text with numbers is parsed, and reported.
        let (found, bad) = range(&[("valid_range", NcAttrValue::Chars("0 100".into()))], DType::I32, None);
        assert_eq!((outside(&found.unwrap(), &[-1i32, 100]), bad.len()), (vec![true, false], 1));
        // valid_min and valid_max still count where valid_range is malformed.
        let both = [("valid_range", NcAttrValue::Ints(vec![1])), ("valid_max", NcAttrValue::Ints(vec![5]))];
        let (found, bad) = range(&both, DType::I32, None);
        assert_eq!((outside(&found.unwrap(), &[6i32]), bad.len()), (vec![true], 1));
    }
}
