//! Predicates that compare numbers with literals, decided 64 rows at a time.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Schema, TimeUnit, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr,
};

use crate::bits::bits;

/// The greatest number of literals in a list. For more, a hash set is faster.
const LIST: usize = 8;

/// A predicate that consists of comparisons of columns with literals.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Compares a column, given by its position, with a literal of its type that is neither NULL
    /// nor NaN.
    Compare(usize, Operator, ScalarValue),
    /// True if the column is one of the literals.
    OneOf(usize, Vec<ScalarValue>),
    IsNull(usize),
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
}

impl Test {
    /// The predicate, over columns with `schema`, if it consists of comparisons only. With
    /// `no_nan`, floats in these columns are never NaN; without it, floats are not supported.
    pub fn new(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, no_nan: bool) -> Option<Self> {
        let test = |expr| Self::new(expr, schema, no_nan);
        let column = |expr: &Arc<dyn PhysicalExpr>| {
            let place = expr.downcast_ref::<Column>()?.index();
            let of = schema.fields().get(place)?.data_type();
            (is_compared(of) && (no_nan || !of.is_floating())).then_some((place, of))
        };
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
            let (left, op, right) = (binary.left(), *binary.op(), binary.right());
            return match op {
                Operator::And => Some(Self::And(vec![test(left)?, test(right)?])),
                Operator::Or => Some(Self::Or(vec![test(left)?, test(right)?])),
                Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq => match column(left) {
                    Some((place, of)) => Self::compare(place, op, literal(right, of)?),
                    None => {
                        let (place, of) = column(right)?;
                        Self::compare(place, op.swap()?, literal(left, of)?)
                    }
                },
                _ => None,
            };
        }
        if let Some(not) = expr.downcast_ref::<NotExpr>() {
            return Some(Self::Not(Box::new(test(not.arg())?)));
        }
        if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
            return Some(Self::IsNull(column(null.arg())?.0));
        }
        if let Some(value) = expr.downcast_ref::<IsNotNullExpr>() {
            return Some(Self::Not(Box::new(Self::IsNull(column(value.arg())?.0))));
        }
        let list = expr.downcast_ref::<InListExpr>().filter(|list| list.list().len() <= LIST)?;
        let (place, of) = column(list.expr())?;
        let literals = list.list().iter().map(|member| literal(member, of)).collect::<Option<_>>()?;
        let one_of = Self::OneOf(place, literals);
        Some(if list.negated() { Self::Not(Box::new(one_of)) } else { one_of })
    }

    fn compare(place: usize, op: Operator, literal: ScalarValue) -> Option<Self> {
        // Views tell whether texts are equal, not which is less.
        let is_known = matches!(op, Operator::Eq | Operator::NotEq) || literal.try_as_str().is_none();
        is_known.then_some(Self::Compare(place, op, literal))
    }

    /// The rows for which it is true; `None` if this test does not support the columns.
    pub fn evaluate(&self, columns: &[ArrayRef]) -> Option<BooleanBuffer> {
        self.rows(columns, true)
    }

    /// The rows for which it is true, or those for which it is false. For some rows it is neither.
    fn rows(&self, columns: &[ArrayRef], wanted: bool) -> Option<BooleanBuffer> {
        match self {
            Self::Not(test) => test.rows(columns, !wanted),
            Self::And(tests) => all_or_any(tests, columns, wanted, wanted),
            Self::Or(tests) => all_or_any(tests, columns, wanted, !wanted),
            Self::IsNull(place) => {
                let column = columns.get(*place)?;
                Some(match (column.nulls(), wanted) {
                    (Some(nulls), true) => !nulls.inner(),
                    (Some(nulls), false) => nulls.inner().clone(),
                    (None, true) => BooleanBuffer::new_unset(column.len()),
                    (None, false) => BooleanBuffer::new_set(column.len()),
                })
            }
            Self::Compare(place, op, literal) => {
                let op = if wanted { *op } else { op.negate()? };
                known(columns.get(*place)?, compared(columns.get(*place)?, op, literal)?)
            }
            Self::OneOf(place, literals) => {
                let column = columns.get(*place)?;
                let (op, first) = if wanted {
                    (Operator::Eq, BooleanBuffer::new_unset(column.len()))
                } else {
                    (Operator::NotEq, BooleanBuffer::new_set(column.len()))
                };
                let rows = literals.iter().try_fold(first, |rows, literal| {
                    let own = compared(column, op, literal)?;
                    Some(if wanted { &rows | &own } else { &rows & &own })
                });
                known(column, rows?)
            }
        }
    }
}

/// The rows for which all tests, or any test, are `wanted`.
fn all_or_any(tests: &[Test], columns: &[ArrayRef], wanted: bool, all: bool) -> Option<BooleanBuffer> {
    let mut rows = tests.iter().map(|test| test.rows(columns, wanted));
    let first = rows.next()??;
    rows.try_fold(first, |a, b| Some(if all { &a & &b? } else { &a | &b? }))
}

/// The rows of `rows` in which the column is not NULL.
fn known(column: &ArrayRef, rows: BooleanBuffer) -> Option<BooleanBuffer> {
    Some(match column.nulls() {
        Some(nulls) => &rows & nulls.inner(),
        None => rows,
    })
}

fn is_compared(of: &DataType) -> bool {
    let is_other = matches!(of, DataType::Float32 | DataType::Float64 | DataType::Utf8View);
    of.is_integer() || is_other || *of == nanoseconds()
}

fn nanoseconds() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

/// A literal of a type, neither NULL nor NaN.
fn literal(expr: &Arc<dyn PhysicalExpr>, of: &DataType) -> Option<ScalarValue> {
    let value = expr.downcast_ref::<Literal>()?.value();
    let is_nan = match value {
        ScalarValue::Float32(Some(value)) => value.is_nan(),
        ScalarValue::Float64(Some(value)) => value.is_nan(),
        _ => false,
    };
    // Only short text is contained in the views of an array.
    let is_long = value.try_as_str().flatten().is_some_and(|text| inline(text).is_none());
    (value.data_type() == *of && !value.is_null() && !is_nan && !is_long).then(|| value.clone())
}

/// The view of a text that is short enough for it.
fn inline(text: &str) -> Option<u128> {
    let length = u32::try_from(text.len()).ok()?;
    let mut view = [0u8; 16];
    let (head, rest) = view.split_first_chunk_mut::<4>()?;
    *head = length.to_le_bytes();
    rest.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(u128::from_le_bytes(view))
}

fn compared(column: &ArrayRef, op: Operator, literal: &ScalarValue) -> Option<BooleanBuffer> {
    if let (DataType::Utf8View, Some(Some(text))) = (column.data_type(), literal.try_as_str()) {
        let (views, text) = (column.as_string_view().views(), inline(text)?);
        return match op {
            Operator::Eq => Some(bits(views, |view| view == text)),
            Operator::NotEq => Some(bits(views, |view| view != text)),
            _ => None,
        };
    }
    macro_rules! compared {
        ($($kind:pat, $arrow:ty, $scalar:pat => $value:expr;)*) => {
            match (column.data_type(), literal) {
                $(($kind, $scalar) => compare(column.as_primitive::<$arrow>(), op, $value),)*
                _ => None,
            }
        };
    }
    compared! {
        DataType::Float32, Float32Type, ScalarValue::Float32(Some(value)) => *value;
        DataType::Float64, Float64Type, ScalarValue::Float64(Some(value)) => *value;
        DataType::Int8, Int8Type, ScalarValue::Int8(Some(value)) => *value;
        DataType::Int16, Int16Type, ScalarValue::Int16(Some(value)) => *value;
        DataType::Int32, Int32Type, ScalarValue::Int32(Some(value)) => *value;
        DataType::Int64, Int64Type, ScalarValue::Int64(Some(value)) => *value;
        DataType::UInt8, UInt8Type, ScalarValue::UInt8(Some(value)) => *value;
        DataType::UInt16, UInt16Type, ScalarValue::UInt16(Some(value)) => *value;
        DataType::UInt32, UInt32Type, ScalarValue::UInt32(Some(value)) => *value;
        DataType::UInt64, UInt64Type, ScalarValue::UInt64(Some(value)) => *value;
        DataType::Timestamp(TimeUnit::Nanosecond, None), TimestampNanosecondType,
            ScalarValue::TimestampNanosecond(Some(value), None) => *value;
    }
}

fn compare<T: ArrowPrimitiveType>(
    column: &PrimitiveArray<T>,
    op: Operator,
    literal: T::Native,
) -> Option<BooleanBuffer> {
    let values: &[T::Native] = column.values();
    Some(match op {
        Operator::Eq => bits(values, |value| value == literal),
        Operator::NotEq => bits(values, |value| value != literal),
        Operator::Lt => bits(values, |value| value < literal),
        Operator::LtEq => bits(values, |value| value <= literal),
        Operator::Gt => bits(values, |value| value > literal),
        Operator::GtEq => bits(values, |value| value >= literal),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int16Array, RecordBatch, StringViewArray, TimestampNanosecondArray};
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::in_list;
    use proptest::prelude::*;

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("f", DataType::Float32, true),
            Field::new("i", DataType::Int16, true),
            Field::new("t", nanoseconds(), true),
            Field::new("s", DataType::Utf8View, true),
        ])
    }

    fn scalar(column: usize, value: i16) -> ScalarValue {
        match column {
            0 if value == 0 => ScalarValue::Float32(Some(-0.0)),
            0 => ScalarValue::Float32(Some(f32::from(value) / 2.0)),
            1 => ScalarValue::Int16(Some(value)),
            3 => ScalarValue::Utf8View(Some(text(value))),
            _ => ScalarValue::TimestampNanosecond(Some(i64::from(value)), None),
        }
    }

    /// Texts with a common prefix. One is empty, and two are as long as fits a view, or longer.
    fn text(value: i16) -> String {
        "same begin, and more".chars().take(usize::try_from(value.clamp(0, 3)).unwrap() * 6).collect()
    }

    fn predicate() -> impl Strategy<Value = Arc<dyn PhysicalExpr>> {
        let column = |place: usize| {
            Arc::new(Column::new(schema().field(place).name(), place)) as Arc<dyn PhysicalExpr>
        };
        let of = move |place: usize, value: i16| {
            (column(place), Arc::new(Literal::new(scalar(place, value))) as Arc<dyn PhysicalExpr>)
        };
        let ops = [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];
        let leaf = (0usize..4, -3i16..4, 0usize..10, prop::collection::vec(-3i16..4, 1..4), any::<bool>())
            .prop_map(move |(place, value, kind, list, flag)| -> Arc<dyn PhysicalExpr> {
                // Of text, only short values are compared, and only for equality.
                let (value, list) = if place == 3 {
                    (value.min(2), list.into_iter().map(|value| value.min(2)).collect())
                } else {
                    (value, list)
                };
                let kind = if place == 3 && kind < 6 { kind % 2 } else { kind };
                let (column, literal) = of(place, value);
                match kind {
                    0..6 if flag => Arc::new(BinaryExpr::new(column, ops[kind], literal)),
                    0..6 => Arc::new(BinaryExpr::new(literal, ops[kind], column)),
                    6 => Arc::new(IsNullExpr::new(column)),
                    7 => Arc::new(IsNotNullExpr::new(column)),
                    _ => {
                        // Lists compare bits, so they contain both zeros, as filters do.
                        let mut list: Vec<_> = list.into_iter().map(|value| of(place, value).1).collect();
                        if place == 0 {
                            list.extend([0.0, -0.0].map(|zero: f32| {
                                Arc::new(Literal::new(ScalarValue::Float32(Some(zero))))
                                    as Arc<dyn PhysicalExpr>
                            }));
                        }
                        in_list(column, list, &flag, &schema()).unwrap()
                    }
                }
            });
        leaf.prop_recursive(3, 12, 2, |inner| {
            (inner.clone(), inner, 0usize..3).prop_map(|(a, b, kind)| -> Arc<dyn PhysicalExpr> {
                match kind {
                    0 => Arc::new(BinaryExpr::new(a, Operator::And, b)),
                    1 => Arc::new(BinaryExpr::new(a, Operator::Or, b)),
                    _ => Arc::new(NotExpr::new(a)),
                }
            })
        })
    }

    proptest! {
        /// Tests select the rows that DataFusion selects.
        #[test]
        fn tests_hold_where_the_predicate_holds(
            predicate in predicate(),
            values in prop::collection::vec((prop::option::of(-3i16..4), prop::option::of(-3i16..4), any::<bool>()), 0..200),
            offset in 0usize..70,
        ) {
            let float = |&(value, _, flag): &(Option<i16>, Option<i16>, bool)| {
                value.map(|value| if value == 0 && flag { -0.0 } else { f32::from(value) / 2.0 })
            };
            let columns: Vec<ArrayRef> = vec![
                Arc::new(values.iter().map(float).collect::<Float32Array>()),
                Arc::new(values.iter().map(|(_, value, _)| *value).collect::<Int16Array>()),
                Arc::new(values.iter().map(|(value, ..)| value.map(i64::from)).collect::<TimestampNanosecondArray>()),
                Arc::new(values.iter().map(|(_, value, _)| value.map(text)).collect::<StringViewArray>()),
            ];
            let start = offset.min(values.len());
            let columns: Vec<_> = columns.iter().map(|column| column.slice(start, values.len() - start)).collect();
            let test = Test::new(&predicate, &schema(), true).unwrap();
            let selected = test.evaluate(&columns).unwrap();
            let batch = RecordBatch::try_new(Arc::new(schema()), columns).unwrap();
            let expected = predicate.evaluate(&batch).unwrap().into_array(batch.num_rows()).unwrap();
            let expected: Vec<bool> = expected.as_boolean().iter().map(|row| row == Some(true)).collect();
            prop_assert_eq!(selected.iter().collect::<Vec<_>>(), expected, "{}", predicate);
            // If floats may be NaN, they are not supported.
            let with_nan = Test::new(&predicate, &schema(), false).map(|test| format!("{test:?}"));
            prop_assert!(with_nan.is_none_or(|test| !test.contains("Float32")));
        }
    }
}
