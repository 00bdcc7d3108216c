//! `histogram`: the distribution of values.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, Schema};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, Signature, Volatility,
};

use super::not_distinct;
use crate::documentation::{About, Topic};

/// The greatest number of bins: no picture has more.
const MOST: i64 = 1_000_000;

const ABOUT: About = About {
    name: "histogram",
    topic: Topic::Statistics,
    gives: "The numbers of values in `n` bins of equal width from `lo` to `hi`, as a list. A bin \
            includes its lower border; the last bin includes both borders. Values outside are not \
            counted.",
    arguments: &[
        ("x", "the values"),
        ("lo", "the lower border of the first bin, a constant"),
        ("hi", "the upper border of the last bin, a constant"),
        ("n", "the number of bins, a constant"),
    ],
    source: "counting; NumPy's `histogram`",
    example: "SELECT histogram(x, 0, 10, 5) FROM (VALUES (1), (2), (10)) AS t(x)",
};

/// The function.
pub(super) fn udaf() -> AggregateUDF {
    let float = DataType::Float64;
    let arguments = vec![float.clone(), float.clone(), float, DataType::Int64];
    let signature = Signature::exact(arguments, Volatility::Immutable);
    AggregateUDF::new_from_impl(Histogram(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Histogram(Signature, Box<Documentation>);

impl AggregateUDFImpl for Histogram {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::new_list(DataType::Int64, true))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        not_distinct(ABOUT.name, &args)?;
        let constant = |place: usize, data_type: &DataType| -> Result<ScalarValue> {
            // A batch without columns: an expression with a column is not a constant.
            let one = RecordBatchOptions::new().with_row_count(Some(1));
            let nothing = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one)?;
            match args.exprs.get(place).map(|expr| expr.evaluate(&nothing)) {
                Some(Ok(ColumnarValue::Scalar(value))) => value.cast_to(data_type),
                _ => exec_err!("the bins of a histogram must be constants"),
            }
        };
        let bins = (
            constant(1, &DataType::Float64)?,
            constant(2, &DataType::Float64)?,
            constant(3, &DataType::Int64)?,
        );
        let (ScalarValue::Float64(Some(lo)), ScalarValue::Float64(Some(hi)), ScalarValue::Int64(Some(n))) =
            bins
        else {
            return exec_err!("the bins of a histogram must not be NULL");
        };
        if !(lo < hi && (hi - lo).is_finite() && (1..=MOST).contains(&n)) {
            return exec_err!("a histogram needs lo < hi and from 1 to {MOST} bins, not {lo}, {hi} and {n}");
        }
        let counts = vec![0; usize::try_from(n).unwrap_or(0)];
        Ok(Box::new(Counts { lo, hi, counts }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "counts");
        Ok(vec![Arc::new(Field::new_list(name, Field::new_list_field(DataType::Int64, true), true))])
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

#[derive(Debug)]
struct Counts {
    lo: f64,
    hi: f64,
    counts: Vec<i64>,
}

impl Counts {
    fn add(&mut self, values: &[ArrayRef], count: i64) -> Result<()> {
        let Some(values) = values.first() else { return Ok(()) };
        let values = cast(values, &DataType::Float64)?;
        for value in values.as_primitive::<Float64Type>().iter().flatten() {
            if let Some(bin) = self.bin(value).and_then(|bin| self.counts.get_mut(bin)) {
                *bin += count;
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn bin(&self, value: f64) -> Option<usize> {
        if !(self.lo..=self.hi).contains(&value) {
            return None;
        }
        let n = self.counts.len();
        let border = |bin: usize| self.lo + bin as f64 / n as f64 * (self.hi - self.lo);
        let mut bin = (((value - self.lo) / (self.hi - self.lo) * n as f64) as usize).min(n - 1);
        // Rounding must not move a border into the bin below, or a value below it into the bin
        // above.
        if value < border(bin) {
            bin = bin.saturating_sub(1);
        } else if bin + 1 < n && value >= border(bin + 1) {
            bin += 1;
        }
        Some(bin)
    }

    fn list(&self) -> ScalarValue {
        let counts: Vec<_> = self.counts.iter().map(|&count| ScalarValue::from(count)).collect();
        ScalarValue::List(ScalarValue::new_list_nullable(&counts, &DataType::Int64))
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states.iter().flat_map(|states| states.as_list::<i32>().iter().flatten()) {
            let more = state.as_primitive::<Int64Type>().values().iter();
            self.counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.list()])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.list())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<i64>()
    }
}
