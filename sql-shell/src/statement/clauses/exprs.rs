//! Checks clauses of expressions and function calls.

use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArgumentList,
    FunctionArguments, Ident, ObjectNamePart, Value, WindowSpec, WindowType,
};

use super::statements::data_type;
use super::{order_by_expr, refuse, refuse_some};
use crate::error::{Failure, Result};

/// Rejects expressions that the planner does not support, and parts of expressions that it drops.
pub(super) fn expr(state: &SessionState, expr: &Expr) -> Result<()> {
    match expr {
        Expr::Function(function) => call(state, function),
        Expr::Collate { .. } => refuse(expr, "text is compared by its code points"),
        Expr::RLike { .. } => refuse(expr, "regexp_like(text, pattern), or text ~ pattern"),
        Expr::SimilarTo { .. } => refuse(
            "SIMILAR TO",
            "text LIKE pattern, or text ~ 'regular expression', which is what it would be",
        ),
        Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) if takes_more(right) => {
            Err(Failure::new(format!(
                "the parser reads all of `{right}` as the right side of IS DISTINCT FROM: put the comparison in \
                 parentheses"
            )))
        }
        Expr::InUnnest { .. } => refuse(expr, "array_has(list, value)"),
        Expr::Convert { .. } => refuse(expr, "CAST(x AS type)"),
        Expr::IsNormalized { .. }
        | Expr::Prefixed { .. }
        | Expr::MatchAgainst { .. }
        | Expr::OuterJoin(_)
        | Expr::Prior(_)
        | Expr::MemberOf(_) => refuse(expr, ""),
        Expr::Cast { data_type: of, .. } => data_type(of),
        Expr::TypedString(typed) => data_type(&typed.data_type),
        Expr::Value(value) => match &value.value {
            Value::Number(..)
            | Value::SingleQuotedString(_)
            | Value::DoubleQuotedString(_)
            | Value::DollarQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::HexStringLiteral(_)
            | Value::Boolean(_)
            | Value::Null
            | Value::Placeholder(_) => Ok(()),
            other => refuse(other, "a text is in single quotes"),
        },
        Expr::AtTimeZone { timestamp: _, time_zone } if !matches!(**time_zone, Expr::Value(_)) => {
            refuse(expr, "the time zone is a text, such as 'Europe/Oslo'")
        }
        _ => Ok(()),
    }
}

/// Whether the right side of `IS DISTINCT FROM` has operators that bind less than it. The parser
/// takes everything that follows, as if it were in parentheses.
fn takes_more(right: &Expr) -> bool {
    match right {
        Expr::BinaryOp { op, .. } => {
            matches!(op, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor)
        }
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..) => true,
        _ => false,
    }
}

fn call(state: &SessionState, function: &Function) -> Result<()> {
    let Function { name, uses_odbc_syntax: _, parameters, args, filter, null_treatment, over, within_group } =
        function;
    if !matches!(parameters, FunctionArguments::None) {
        return refuse(format!("{name}{parameters}{args}"), "all arguments are in one pair of parentheses");
    }
    within_group.iter().try_for_each(order_by_expr)?;
    if let Some(WindowType::WindowSpec(spec)) = over {
        window_spec(spec)?;
    }
    let (treatment, clauses) = match args {
        FunctionArguments::None => (None, &[][..]),
        FunctionArguments::Subquery(_) => {
            return refuse(format!("{name}{args}"), "put the query in parentheses of its own");
        }
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args: _, clauses }) => {
            (*duplicate_treatment, clauses.as_slice())
        }
    };
    for clause in clauses {
        if let FunctionArgumentClause::OrderBy(order) = clause {
            order.iter().try_for_each(order_by_expr)?;
        }
    }
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return Ok(()) };
    let folded = folded(ident);
    let is_distinct = matches!(treatment, Some(DuplicateTreatment::Distinct));
    let has_nulls = null_treatment.is_some()
        || clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_)));
    if over.is_some() && !state.scalar_functions().contains_key(&folded) {
        let aggregate = state.aggregate_functions().get(&folded);
        let minds_nulls = OF_NULLS.contains(&folded.as_str())
            || aggregate.is_some_and(|function| function.supports_null_handling_clause());
        if has_nulls && !minds_nulls {
            return Err(Failure::new(format!("`{name}` takes no IGNORE or RESPECT NULLS in a window")));
        }
        if is_distinct && aggregate.is_none() {
            return Err(Failure::new(format!("`{name}` takes no DISTINCT: aggregates do")));
        }
    }
    // Scalar functions do not take clauses of aggregates and windows.
    if !state.scalar_functions().contains_key(&folded) {
        return Ok(());
    }
    let clause = if over.is_some() {
        Some("OVER")
    } else if filter.is_some() {
        Some("FILTER")
    } else if !within_group.is_empty() {
        Some("WITHIN GROUP")
    } else if null_treatment.is_some() || !clauses.is_empty() {
        Some("ORDER BY or IGNORE NULLS")
    } else if is_distinct {
        Some("DISTINCT")
    } else {
        None
    };
    match clause {
        None => Ok(()),
        Some(clause) => Err(Failure::new(format!(
            "`{name}` is a function of single rows and takes no {clause}: aggregates do"
        ))),
    }
}

/// Window functions that support IGNORE NULLS.
const OF_NULLS: [&str; 5] = ["lag", "lead", "nth_value", "first_value", "last_value"];

/// A name as the planner resolves it.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

pub(super) fn window_spec(spec: &WindowSpec) -> Result<()> {
    let WindowSpec { window_name, partition_by: _, order_by, window_frame: _ } = spec;
    order_by.iter().try_for_each(order_by_expr)?;
    refuse_some(window_name.as_ref(), "a window that extends", "OVER name, or the whole window")
}
