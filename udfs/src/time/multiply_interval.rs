//! `multiply_interval`: an interval times a number; `*` and `/` in SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit,
};
use datafusion::common::{DFSchema, Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::documentation::{About, Topic};
use crate::numeric::columnar;

const ABOUT: About = About {
    name: "multiply_interval",
    topic: Topic::Time,
    gives: "An interval, or a difference of two times, multiplied by a number: the meaning of \
            `interval * number`, `number * interval` and `interval / number` in SQL. Fractions of \
            months count as days, 30 a month, and fractions of days as hours, 24 a day. NULL if \
            the result is not finite.",
    arguments: &[
        ("interval", "an interval or a difference of times"),
        ("number", "the factor"),
        ("divisor?", "the divisor"),
    ],
    source: "PostgreSQL, with nanoseconds",
    example: "SELECT INTERVAL '1 month' * 1.5",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::new_from_impl(Multiply(signature, Box::new(ABOUT.documentation())))
}

/// Plans `interval * number`, `number * interval` and `interval / number`, which DataFusion plans
/// as operations on two intervals.
#[derive(Debug)]
pub struct IntervalPlanner;

impl ExprPlanner for IntervalPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let divides = expr.op == BinaryOperator::Divide;
        if !divides && expr.op != BinaryOperator::Multiply {
            return Ok(PlannerResult::Original(expr));
        }
        let (left, right) = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        let arguments =
            match (is_interval(&left) && right.is_numeric(), left.is_numeric() && is_interval(&right)) {
                (true, _) if divides => vec![expr.left, lit(1), expr.right],
                (true, _) => vec![expr.left, expr.right],
                (_, true) if !divides => vec![expr.right, expr.left],
                _ => return Ok(PlannerResult::Original(expr)),
            };
        Ok(PlannerResult::Planned(udf().call(arguments)))
    }
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Multiply(Signature, Box<Documentation>);

impl ScalarUDFImpl for Multiply {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [interval, numbers @ ..] = arguments else {
            return plan_err!("multiply_interval needs an interval");
        };
        if numbers.is_empty() || numbers.len() > 2 {
            return plan_err!("multiply_interval takes an interval, a number and, if wanted, a divisor");
        }
        let interval = match interval {
            DataType::Duration(unit) => DataType::Duration(*unit),
            DataType::Interval(_) | DataType::Null => DataType::Interval(IntervalUnit::MonthDayNano),
            other => return plan_err!("multiply_interval takes an interval, not {other}"),
        };
        // Whole numbers are exact.
        let whole = numbers.len() == 1 && numbers.iter().all(DataType::is_integer);
        let number = if whole { DataType::Int64 } else { DataType::Float64 };
        Ok(std::iter::once(interval).chain(numbers.iter().map(|_| number.clone())).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let [interval, numbers @ ..] = args.args.as_slice() else {
            return exec_err!("multiply_interval needs an interval");
        };
        let interval = interval.to_array(rows)?;
        let factors = Factors::of(numbers, rows)?;
        let found: ArrayRef = match interval.data_type() {
            DataType::Duration(TimeUnit::Second) => durations::<DurationSecondType>(&interval, &factors)?,
            DataType::Duration(TimeUnit::Millisecond) => {
                durations::<DurationMillisecondType>(&interval, &factors)?
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                durations::<DurationMicrosecondType>(&interval, &factors)?
            }
            DataType::Duration(TimeUnit::Nanosecond) => {
                durations::<DurationNanosecondType>(&interval, &factors)?
            }
            _ => each::<IntervalMonthDayNanoType>(&interval, &factors, months_days_nanoseconds)?,
        };
        columnar(found, all_scalar)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

/// The factor of an interval.
#[derive(Clone, Copy)]
enum Factor {
    Whole(i64),
    Ratio(f64, f64),
}

/// The factors of rows.
struct Factors(Vec<Option<Factor>>);

impl Factors {
    fn of(numbers: &[ColumnarValue], rows: usize) -> Result<Self> {
        let mut columns = Vec::with_capacity(numbers.len());
        for number in numbers {
            columns.push(number.to_array(rows)?);
        }
        if let [number] = columns.as_slice()
            && let Some(whole) = number.as_primitive_opt::<Int64Type>()
        {
            return Ok(Self(whole.iter().map(|number| number.map(Factor::Whole)).collect()));
        }
        let mut factors = vec![Some(Factor::Ratio(1.0, 1.0)); rows];
        for (place, column) in columns.iter().enumerate() {
            let numbers = cast(column, &DataType::Float64)?;
            for (factor, number) in factors.iter_mut().zip(numbers.as_primitive::<Float64Type>()) {
                *factor = match (*factor, number) {
                    (Some(Factor::Ratio(_, _)), Some(number)) if place == 0 => {
                        Some(Factor::Ratio(number, 1.0))
                    }
                    (Some(Factor::Ratio(times, _)), Some(number)) => Some(Factor::Ratio(times, number)),
                    _ => None,
                };
            }
        }
        let finite = |factor: &Factor| !matches!(factor, Factor::Ratio(a, b) if !(a / b).is_finite());
        Ok(Self(factors.into_iter().map(|factor| factor.filter(finite)).collect()))
    }
}

/// Multiplies every interval by the factor of its row.
fn each<T: ArrowPrimitiveType>(
    intervals: &ArrayRef,
    Factors(factors): &Factors,
    times: impl Fn(T::Native, Factor) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let intervals = intervals.as_primitive::<T>().iter().zip(factors);
    let found = intervals.map(|(interval, factor)| match interval.zip(*factor) {
        None => Ok(None),
        Some((interval, factor)) => match times(interval, factor) {
            None => Err(exec_datafusion_err!("an interval is out of range after it is multiplied")),
            found => Ok(found),
        },
    });
    Ok(Arc::new(found.collect::<Result<PrimitiveArray<T>>>()?))
}

fn durations<T: ArrowPrimitiveType<Native = i64>>(
    intervals: &ArrayRef,
    factors: &Factors,
) -> Result<ArrayRef> {
    each::<T>(intervals, factors, |interval, factor| match factor {
        Factor::Whole(times) => interval.checked_mul(times),
        Factor::Ratio(times, divisor) => whole(round(interval, times, divisor)),
    })
}

#[allow(clippy::cast_precision_loss)]
fn round(interval: i64, times: f64, divisor: f64) -> f64 {
    (interval as f64 * times / divisor).round()
}

/// A number as an integer; `None` if it is out of range.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn whole(number: f64) -> Option<i64> {
    // -2⁶³ is in range, 2⁶³ is not.
    (number >= i64::MIN as f64 && number < -(i64::MIN as f64)).then_some(number as i64)
}

#[allow(clippy::cast_precision_loss)]
fn months_days_nanoseconds(interval: IntervalMonthDayNano, factor: Factor) -> Option<IntervalMonthDayNano> {
    const DAYS_OF_A_MONTH: f64 = 30.0;
    const MICROSECONDS_OF_A_DAY: f64 = 86_400e6;
    let of = |months: i64, days: i64, nanoseconds: i64| {
        Some(IntervalMonthDayNano::new(months.try_into().ok()?, days.try_into().ok()?, nanoseconds))
    };
    let (times, divisor) = match factor {
        Factor::Whole(times) => {
            return of(
                i64::from(interval.months).checked_mul(times)?,
                i64::from(interval.days).checked_mul(times)?,
                interval.nanoseconds.checked_mul(times)?,
            );
        }
        Factor::Ratio(times, divisor) => (times, divisor),
    };
    // As in PostgreSQL, a fraction of a month is rounded to 10⁻⁶ days, and a fraction of a day to
    // microseconds.
    let months = f64::from(interval.months) * times / divisor;
    let days = f64::from(interval.days) * times / divisor;
    let of_month = (months.fract() * DAYS_OF_A_MONTH * 1e6).round() / 1e6;
    let of_day = ((days.fract() + of_month.fract()) * MICROSECONDS_OF_A_DAY).round();
    let nanoseconds = whole(round(interval.nanoseconds, times, divisor))?
        .checked_add(whole(of_day % MICROSECONDS_OF_A_DAY)? * 1000)?;
    let days = days.trunc() + of_month.trunc() + (of_day / MICROSECONDS_OF_A_DAY).trunc();
    of(whole(months.trunc())?, whole(days)?, nanoseconds)
}
