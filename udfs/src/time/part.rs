//! Parts of a time: DataFusion's `date_part` as a function for each part.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::datetime::date_part;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, lit,
};

use super::instants::timestamps;
use crate::documentation::About;

/// The function of a part, which has the part's name.
pub fn part(about: &About) -> ScalarUDF {
    let (signature, documentation) = (timestamps(&[]), Box::new(about.documentation()));
    ScalarUDF::new_from_impl(Part { name: about.name, signature, documentation })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    name: &'static str,
    signature: Signature,
    documentation: Box<Documentation>,
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, DataType::Int32, nullable)))
    }

    /// The range of times that have a year. `date_part` gives NULL for an end that the type of the
    /// times cannot express; the optimizer would then compare the times with NULL.
    fn preimage(&self, args: &[Expr], value: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        let args: Vec<Expr> = std::iter::once(lit(self.name)).chain(args.iter().cloned()).collect();
        Ok(match date_part().preimage(&args, value, info)? {
            PreimageResult::Range { interval, .. }
                if interval.lower().is_null() || interval.upper().is_null() =>
            {
                PreimageResult::None
            }
            range => range,
        })
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args.insert(0, ColumnarValue::Scalar(ScalarValue::from(self.name)));
        args.arg_fields.insert(0, Arc::new(Field::new("part", DataType::Utf8, false)));
        date_part().invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
