//! Functions of numbers that return a number, defined by their result for one row.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Float64Builder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::documentation::About;

/// A function of `N` numbers; `None` if it has no value.
pub type Row<const N: usize> = fn([f64; N]) -> Option<f64>;

/// The SQL function that applies `row` to each row.
pub fn numeric<const N: usize>(about: &About, row: Row<N>) -> ScalarUDF {
    ScalarUDF::new_from_impl(Numeric {
        name: about.name,
        signature: Signature::exact(vec![DataType::Float64; N], Volatility::Immutable),
        documentation: about.documentation(),
        row,
    })
}

#[derive(Debug)]
struct Numeric<const N: usize> {
    name: &'static str,
    signature: Signature,
    documentation: Documentation,
    row: Row<N>,
}

impl<const N: usize> PartialEq for Numeric<N> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<const N: usize> Eq for Numeric<N> {}

impl<const N: usize> Hash for Numeric<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<const N: usize> ScalarUDFImpl for Numeric<N> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = Numbers::<N>::new(&args)?;
        let mut values = Float64Builder::with_capacity(numbers.len);
        for i in 0..numbers.len {
            values.append_option(numbers.row(i).and_then(self.row));
        }
        numbers.finish(values.finish())
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The arguments of a call. Some differ between rows, others are constant.
pub struct Numbers<const N: usize> {
    columns: [Float64Array; N],
    nulls: Option<NullBuffer>,
    /// The number of rows to compute: one if all arguments are constant.
    pub len: usize,
    all_scalar: bool,
}

impl<const N: usize> Numbers<N> {
    /// The first `N` arguments of a call, which must be 64-bit floats.
    pub fn new(args: &ScalarFunctionArgs) -> Result<Self> {
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let len = if all_scalar { 1 } else { args.number_rows };
        let mut columns = std::array::from_fn(|_| Float64Array::new_null(0));
        let mut nulls = None;
        for (column, arg) in columns.iter_mut().zip(&args.args) {
            let array = match arg {
                ColumnarValue::Array(array) => Arc::clone(array),
                ColumnarValue::Scalar(scalar) => scalar.to_array_of_size(1)?,
            };
            *column = array.as_primitive::<Float64Type>().clone();
            match arg {
                ColumnarValue::Array(_) => nulls = NullBuffer::union(nulls.as_ref(), column.nulls()),
                ColumnarValue::Scalar(_) if column.null_count() > 0 => {
                    nulls = Some(NullBuffer::new_null(len))
                }
                ColumnarValue::Scalar(_) => {}
            }
        }
        Ok(Self { columns, nulls, len, all_scalar })
    }

    /// The arguments in a row; `None` if one is NULL.
    pub fn row(&self, i: usize) -> Option<[f64; N]> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            return None;
        }
        // A column of one value is constant.
        let value = |column: &Float64Array| {
            let values = column.values();
            values.get(if values.len() == 1 { 0 } else { i }).copied().unwrap_or(f64::NAN)
        };
        Some(std::array::from_fn(|k| self.columns.get(k).map_or(f64::NAN, value)))
    }

    /// The result of the call, from its rows.
    pub fn finish(&self, values: impl Array + 'static) -> Result<ColumnarValue> {
        columnar(Arc::new(values), self.all_scalar)
    }
}

/// The result of a call: all its values, or a single value if `is_for_all`.
pub fn columnar(values: ArrayRef, is_for_all: bool) -> Result<ColumnarValue> {
    Ok(if is_for_all {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
    } else {
        ColumnarValue::Array(values)
    })
}
