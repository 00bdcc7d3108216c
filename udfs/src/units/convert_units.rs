//! `convert_units`: the same quantity in another unit.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::unit::Unit;
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "convert_units",
    topic: Topic::Units,
    gives: "The same quantity in another unit. Units are written as in the CF conventions: 'm \
            s-1', 'W/m2', 'degC', '1e-3 kg m-3', 'percent'. An unknown unit, or a unit of another \
            quantity, is an error. A temperature alone is a point on its scale (0 degC is 273.15 \
            K); in a product it is a difference ('degC m-1').",
    arguments: &[("x", "the number"), ("from", "its unit"), ("to", "the new unit")],
    source: "UDUNITS 2, as far as the CF conventions use it",
    example: "SELECT convert_units(1, 'knot', 'm s-1')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let arguments = vec![DataType::Float64, DataType::Utf8, DataType::Utf8];
    let signature = Signature::exact(arguments, Volatility::Immutable);
    ScalarUDF::new_from_impl(ConvertUnits(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ConvertUnits(Signature, Box<Documentation>);

impl ScalarUDFImpl for ConvertUnits {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [values, from, to] = args.args.as_slice() else {
            return exec_err!("convert_units takes a number and two units");
        };
        let one = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if one { 1 } else { args.number_rows };
        let values = values.to_array(rows)?;
        let values: &Float64Array = values.as_primitive();
        let (from, to) = (texts(from, rows)?, texts(to, rows)?);
        let mut known: HashMap<(&str, &str), (f64, f64)> = HashMap::new();
        let mut converted = Vec::with_capacity(rows);
        for row in 0..rows {
            if from.is_null(row) || to.is_null(row) {
                converted.push(None);
                continue;
            }
            let units = (from.value(row), to.value(row));
            let (factor, offset) = match known.get(&units) {
                Some(known) => *known,
                None => {
                    let conversion = conversion(units.0, units.1)?;
                    known.insert(units, conversion);
                    conversion
                }
            };
            converted.push(values.is_valid(row).then(|| values.value(row) * factor + offset));
        }
        let converted = Float64Array::from(converted);
        Ok(if one {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?)
        } else {
            ColumnarValue::Array(std::sync::Arc::new(converted))
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

fn conversion(from: &str, to: &str) -> Result<(f64, f64)> {
    let parse = |text: &str| match Unit::parse(text) {
        Ok(unit) => Ok(unit),
        Err(e) => exec_err!("convert_units: {e}"),
    };
    match parse(from)?.to(&parse(to)?) {
        Some(conversion) => Ok(conversion),
        None => exec_err!("convert_units: '{from}' and '{to}' do not measure the same"),
    }
}

fn texts(argument: &ColumnarValue, rows: usize) -> Result<StringArray> {
    Ok(cast(&argument.to_array(rows)?, &DataType::Utf8)?.as_string::<i32>().clone())
}
