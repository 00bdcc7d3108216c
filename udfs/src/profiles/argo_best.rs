//! `argo_best`: chooses between a raw and an adjusted value.

use arrow::array::BooleanBuilder;
use arrow::compute::kernels::zip::zip;
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::documentation::{About, Topic};
use crate::numeric::columnar;
use crate::texts::Texts;

const ABOUT: About = About {
    name: "argo_best",
    topic: Topic::Profiles,
    gives: "The value of an Argo parameter to use: the raw one in mode 'R', the adjusted one in \
            modes 'A' and 'D', if it is flagged as good (1) or probably good (2); otherwise NULL. \
            A missing adjusted value was found bad, and the raw value does not replace it.",
    arguments: &[
        ("adjusted", "the adjusted value, such as `TEMP_ADJUSTED`"),
        ("raw", "the raw value, such as `TEMP`"),
        ("qc", "the flag of the raw value, such as `TEMP_QC`"),
        ("mode", "the data mode: 'R' (real time), 'A' (adjusted in real time) or 'D' (delayed)"),
        (
            "adjusted_qc?",
            "the flag of the adjusted value, such as `TEMP_ADJUSTED_QC`; without it, `qc` applies to \
             both",
        ),
    ],
    source: "Argo user's manual (reference tables 2 and 5); argopy's standard mode",
    example: "SELECT argo_best(12.31, 12.34, '1', 'D', '1')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::new_from_impl(ArgoBest(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArgoBest(Signature, Box<Documentation>);

impl ScalarUDFImpl for ArgoBest {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let ([adjusted, raw, _, _] | [adjusted, raw, _, _, _]) = arguments else {
            return plan_err!(
                "argo_best takes an adjusted value, a raw one, a flag, a mode and, if wanted, the flag of \
                 the adjusted value, not {} arguments",
                arguments.len()
            );
        };
        let is_number = |value: &DataType| value.is_numeric() || value.is_null();
        if !is_number(adjusted) || !is_number(raw) {
            return plan_err!("argo_best chooses one of two numbers, not of {adjusted} and {raw}");
        }
        // The value keeps the type of the store.
        let single = *adjusted == DataType::Float32 && *raw == DataType::Float32;
        let number = if single { DataType::Float32 } else { DataType::Float64 };
        let texts = arguments.iter().skip(2).map(|_| DataType::Utf8);
        Ok([number.clone(), number].into_iter().chain(texts).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Float64))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let (Some(([adjusted, raw, qc, mode], adjusted_qc)), true) =
            (args.args.split_first_chunk(), args.args.len() <= 5)
        else {
            return exec_err!("argo_best takes four or five arguments");
        };
        let adjusted_qc = Texts::new(adjusted_qc.first().unwrap_or(qc))?;
        let (qc, mode) = (Texts::new(qc)?, Texts::new(mode)?);
        let mut is_adjusted = BooleanBuilder::with_capacity(rows);
        let mut is_bad = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            let adjusted = match mode.word(row) {
                Some("R") => Some(false),
                Some("A" | "D") => Some(true),
                None => None,
                Some(other) => {
                    return exec_err!("argo_best knows the data modes 'R', 'A' and 'D', not '{other}'");
                }
            };
            let flag = if adjusted == Some(true) { &adjusted_qc } else { &qc }.word(row);
            is_adjusted.append_value(adjusted == Some(true));
            is_bad.append_value(adjusted.is_none() || !is_good(flag)?);
        }
        let is_adjusted = is_adjusted.finish();
        let chosen =
            nullif(&zip(&is_adjusted, &adjusted.to_array(rows)?, &raw.to_array(rows)?)?, &is_bad.finish())?;
        columnar(chosen, all_scalar)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

fn is_good(flag: Option<&str>) -> Result<bool> {
    match flag {
        Some("1" | "2") => Ok(true),
        None | Some("0" | "3" | "4" | "5" | "6" | "7" | "8" | "9") => Ok(false),
        Some(other) => exec_err!("argo_best knows the flags 0 to 9, not '{other}'"),
    }
}
