//! Checks clauses of tables and joins, and rewrites samples of tables.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, Join, JoinConstraint, JoinOperator, ObjectName, SetExpr, TableAlias, TableFactor,
    TableFunctionArgs, TableSample, TableSampleKind, TableSampleMethod, TableSampleQuantity, TableSampleUnit,
    TableWithJoins,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::{refuse, refuse_if, refuse_some};
use crate::error::{Failure, Result};

/// Rewrites a sample of a table, and rejects clauses of tables that the planner drops.
pub(super) fn table(table: &mut TableFactor) -> Result<()> {
    match table {
        TableFactor::Table {
            name: _,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } => {
            table_alias(alias.as_ref())?;
            if let Some(TableFunctionArgs { args, settings }) = args {
                refuse_if(settings.is_some(), "SETTINGS", "")?;
                named_arguments(args)?;
            }
            refuse_some(with_hints.first(), "WITH", "there are no hints for the optimizer")?;
            refuse_some(version.as_ref(), "", "a table shows the generation that was opened")?;
            refuse_if(*with_ordinality, "WITH ORDINALITY", "row_number() OVER ()")?;
            refuse_some(partitions.first(), "PARTITION", "")?;
            refuse_some(json_path.as_ref(), "", "")?;
            refuse_some(index_hints.first(), "", "there are no hints for the optimizer")?;
            if let Some(kind) = sample.take() {
                let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) =
                    kind;
                *table = sampled(table, &sample)?;
            }
            Ok(())
        }
        TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
            table_alias(alias.as_ref())?;
            if let Some(kind) = sample.take() {
                let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) =
                    kind;
                *table = sampled(table, &sample)?;
            }
            Ok(())
        }
        TableFactor::Function { lateral: _, name: _, args, with_ordinality, alias } => {
            table_alias(alias.as_ref())?;
            refuse_if(*with_ordinality, "WITH ORDINALITY", "row_number() OVER ()")?;
            named_arguments(args)
        }
        TableFactor::UNNEST { alias, array_exprs: _, with_offset, with_offset_alias, with_ordinality } => {
            table_alias(alias.as_ref())?;
            let is_counted = *with_offset || with_offset_alias.is_some() || *with_ordinality;
            refuse_if(is_counted, "UNNEST … WITH OFFSET or ORDINALITY", "row_number() OVER ()")
        }
        TableFactor::NestedJoin { table_with_joins: inner, alias } => {
            table_alias(alias.as_ref())?;
            table_with_joins(inner)
        }
        TableFactor::Pivot { .. } => refuse("PIVOT", "an aggregate with FILTER (WHERE …) for each column"),
        TableFactor::Unpivot { .. } => refuse("UNPIVOT", "UNION ALL of a SELECT for each column"),
        other => refuse(other, ""),
    }
}

pub(super) fn table_alias(alias: Option<&TableAlias>) -> Result<()> {
    let Some(TableAlias { explicit: _, name: _, columns, at }) = alias else { return Ok(()) };
    refuse_some(at.as_ref(), "AT", "")?;
    let typed = columns.iter().find(|column| column.data_type.is_some());
    refuse_some(typed, "", "an alias has names only; CAST gives a column a type")
}

pub(super) fn table_with_joins(tables: &TableWithJoins) -> Result<()> {
    let TableWithJoins { relation: _, joins } = tables;
    for Join { relation: _, global, join_operator } in joins {
        refuse_if(*global, "GLOBAL", "")?;
        match join_operator {
            JoinOperator::Join(JoinConstraint::None)
            | JoinOperator::Inner(JoinConstraint::None)
            | JoinOperator::Left(JoinConstraint::None)
            | JoinOperator::LeftOuter(JoinConstraint::None)
            | JoinOperator::Right(JoinConstraint::None)
            | JoinOperator::RightOuter(JoinConstraint::None)
            | JoinOperator::FullOuter(JoinConstraint::None) => {
                return Err(Failure::new(
                    "JOIN needs ON or USING: CROSS JOIN joins each row with every row of the other table",
                ));
            }
            JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::Left(_)
            | JoinOperator::LeftOuter(_)
            | JoinOperator::Right(_)
            | JoinOperator::RightOuter(_)
            | JoinOperator::FullOuter(_)
            | JoinOperator::LeftSemi(_)
            | JoinOperator::RightSemi(_)
            | JoinOperator::LeftAnti(_)
            | JoinOperator::RightAnti(_)
            | JoinOperator::CrossJoin(JoinConstraint::None) => {}
            JoinOperator::CrossJoin(_) => return refuse("CROSS JOIN with ON or USING", "JOIN"),
            JoinOperator::Semi(_) => return refuse("SEMI JOIN", "LEFT SEMI JOIN"),
            JoinOperator::Anti(_) => return refuse("ANTI JOIN", "LEFT ANTI JOIN"),
            JoinOperator::AsOf { .. } => {
                return refuse("ASOF JOIN", "sample_at(table, points, 'nearest') takes the nearest value");
            }
            JoinOperator::CrossApply | JoinOperator::OuterApply => {
                return refuse("APPLY", "CROSS JOIN LATERAL (…)");
            }
            JoinOperator::StraightJoin(_) => return refuse("STRAIGHT_JOIN", "JOIN"),
            JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
                return refuse("ARRAY JOIN", "unnest(list) in SELECT");
            }
        }
    }
    Ok(())
}

/// Rejects named arguments of table functions, since the planner would take them by position.
fn named_arguments(args: &[FunctionArg]) -> Result<()> {
    match args.iter().find(|arg| !matches!(arg, FunctionArg::Unnamed(_))) {
        None => Ok(()),
        Some(named) => refuse(named, "arguments of table functions have no names"),
    }
}

/// A subquery that samples the rows of a table: each with a probability, or a number of them.
fn sampled(table: &TableFactor, sample: &TableSample) -> Result<TableFactor> {
    let TableSample { modifier, name, quantity, seed, bucket, offset } = sample;
    refuse_some(seed.as_ref(), "", "each run takes other rows")?;
    refuse_some(bucket.as_ref(), &modifier.to_string(), "TABLESAMPLE BERNOULLI (10)")?;
    refuse_some(offset.as_ref(), "OFFSET", "")?;
    if let Some(method @ (TableSampleMethod::System | TableSampleMethod::Block)) = name {
        return refuse(
            format!("{modifier} {method}"),
            "BERNOULLI (10) takes each row with a probability of 10 %",
        );
    }
    let Some(TableSampleQuantity { parenthesized: _, value, unit }) = quantity else {
        return refuse(sample, "TABLESAMPLE BERNOULLI (10)");
    };
    let Expr::Value(number) = value else {
        return refuse(sample, "it takes a number, of PERCENT or of ROWS");
    };
    let Ok(amount) = number.to_string().parse::<f64>() else {
        return refuse(sample, "it takes a number, of PERCENT or of ROWS");
    };
    let rows = match (unit, name) {
        (Some(TableSampleUnit::Rows), None) => {
            if amount.fract() != 0.0 {
                return Err(Failure::new("a number of rows is whole"));
            }
            format!("ORDER BY random() LIMIT {number}")
        }
        (Some(TableSampleUnit::Rows), Some(method)) => {
            return refuse(
                format!("{modifier} {method} ({number} ROWS)"),
                &format!("{modifier} ({number} ROWS)"),
            );
        }
        (Some(TableSampleUnit::Percent), _) | (None, Some(_)) => {
            if !(0.0..=100.0).contains(&amount) {
                return Err(Failure::new(format!("a sample of {number} % is none: it takes 0 to 100")));
            }
            format!("WHERE random() * 100 < {number}")
        }
        (None, None) => {
            return Err(Failure::new(format!(
                "{modifier} {number} of what? ({number} PERCENT) or ({number} ROWS)"
            )));
        }
    };
    let (mut of, alias) = (table.clone(), alias_of(table));
    if let TableFactor::Table { alias, .. } = &mut of {
        *alias = None;
    }
    let alias = alias.map(|alias| format!(" AS {alias}")).unwrap_or_default();
    let text = format!("SELECT * FROM (SELECT * FROM {of} {rows}){alias}");
    let parsed =
        Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_query());
    match parsed.map(|query| *query.body) {
        Ok(SetExpr::Select(mut select)) => match select.from.pop() {
            Some(from) => Ok(from.relation),
            None => refuse(sample, ""),
        },
        _ => refuse(sample, ""),
    }
}

/// The name of a table in a query.
fn alias_of(table: &TableFactor) -> Option<String> {
    match table {
        TableFactor::Table { alias: Some(alias), .. } => Some(without_as(alias)),
        TableFactor::Table { name: ObjectName(parts), alias: None, .. } => {
            parts.last().map(ToString::to_string)
        }
        TableFactor::Derived { alias: Some(alias), .. } => Some(alias.name.to_string()),
        _ => None,
    }
}

fn without_as(alias: &TableAlias) -> String {
    alias.to_string().trim_start_matches("AS ").to_owned()
}
