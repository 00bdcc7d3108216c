//! Rejects statements that sessions do not support, and parts of others that the planner drops.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, ColumnDef, ColumnOption, CreateTable, CreateView, DataType, ExactNumberInfo, Set,
    Statement as Sql, TableConstraint,
};

use super::{refuse, refuse_if, refuse_some};
use crate::error::{Failure, Result};

/// Rejects statements of kinds that sessions do not support, and clauses of others.
pub(super) fn statement(statement: &Sql) -> Result<()> {
    match statement {
        Sql::Query(_)
        | Sql::Insert(_)
        | Sql::Update(_)
        | Sql::Delete(_)
        | Sql::Truncate(_)
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowVariable { .. }
        | Sql::ShowCreate { .. }
        | Sql::ShowFunctions { filter: _ }
        | Sql::Execute { .. }
        | Sql::Deallocate { .. }
        | Sql::Set(Set::SingleAssignment { .. }) => Ok(()),
        Sql::Prepare { name: _, data_types, statement: _ } => data_types.iter().try_for_each(data_type),
        Sql::ExplainTable { describe_alias, hive_format, has_table_keyword: _, table_name: _ } => {
            refuse_some(hive_format.as_ref(), &describe_alias.to_string(), "")
        }
        Sql::Explain {
            describe_alias: _,
            analyze: _,
            verbose: _,
            query_plan,
            estimate,
            statement: _,
            format: _,
            options,
        } => {
            refuse_if(*query_plan, "QUERY PLAN", "EXPLAIN shows it")?;
            refuse_if(*estimate, "ESTIMATE", "")?;
            refuse_if(options.is_some(), "options of EXPLAIN", "")
        }
        Sql::CreateTable(CreateTable { columns, constraints, .. }) => {
            columns_and_constraints(columns, constraints)
        }
        Sql::CreateView(CreateView { or_alter, secure, params, columns, .. }) => {
            refuse_if(*or_alter, "OR ALTER", "CREATE OR REPLACE VIEW")?;
            refuse_if(*secure, "SECURE", "")?;
            refuse_if(params.is_some(), "a view's ALGORITHM, DEFINER and SQL SECURITY", "")?;
            let typed = columns.iter().find(|column| column.data_type.is_some());
            refuse_some(typed, "", "CAST in its query gives a column a type")
        }
        Sql::CreateSchema {
            schema_name: _,
            if_not_exists: _,
            with,
            options,
            default_collate_spec,
            clone,
        } => {
            let more = with.is_some() || options.is_some() || default_collate_spec.is_some();
            refuse_if(more || clone.is_some(), "an option of CREATE SCHEMA", "")
        }
        Sql::Drop { object_type, if_exists: _, names: _, cascade, restrict, purge, temporary, table } => {
            let of_schema = object_type.to_string() == "SCHEMA";
            refuse_if(*cascade && !of_schema, "CASCADE", "nothing depends on a table or view")?;
            refuse_if(*restrict, "RESTRICT", "")?;
            refuse_if(*purge, "PURGE", "")?;
            refuse_if(*temporary, "TEMPORARY", "")?;
            refuse_some(table.as_ref(), "ON", "")
        }
        Sql::StartTransaction { .. } | Sql::Commit { .. } | Sql::Rollback { .. } | Sql::Savepoint { .. } => {
            Err(Failure::new("there are no transactions: a statement is done when it returns"))
        }
        other => Err(unsupported(other)),
    }
}

/// The error for a statement of a kind that sessions do not support; it names the first words.
fn unsupported(statement: &Sql) -> Failure {
    let text = statement.to_string();
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let words: Vec<&str> = text.split_whitespace().take_while(is_word).take(2).collect();
    let instead = match words.first().copied() {
        Some("ATTACH") => "\\attach PATH AS NAME opens a store",
        Some("DETACH") => "\\detach NAME closes a store",
        Some("USE") => "write the store in front of the table: store.table",
        Some("PRAGMA") => "\\set lists and sets options",
        Some("SHOW") => "\\dt lists tables, \\ds stores, \\df functions",
        Some("ANALYZE" | "VACUUM") => "`atlas compact` and `atlas vacuum` look after stores",
        Some("SET") => "SET option = value sets one option",
        Some("CREATE") => "there are CREATE TABLE, VIEW, SCHEMA and EXTERNAL TABLE",
        _ => "",
    };
    let kind =
        if words.is_empty() { text.split_whitespace().next().unwrap_or_default() } else { &words.join(" ") };
    refuse::<()>(kind, instead).err().unwrap_or_else(|| Failure::new("not supported"))
}

/// Rejects constraints that a table does not enforce.
pub(super) fn columns_and_constraints(columns: &[ColumnDef], constraints: &[TableConstraint]) -> Result<()> {
    refuse_some(constraints.first(), "", "nothing would check it")?;
    columns.iter().try_for_each(|column| data_type(&column.data_type))?;
    for option in columns.iter().flat_map(|column| &column.options) {
        match &option.option {
            ColumnOption::Null | ColumnOption::NotNull | ColumnOption::Default(_) => {}
            other => return refuse(other, "nothing would check or keep it"),
        }
    }
    Ok(())
}

/// Rejects the parts of a type that the planner drops.
pub(super) fn data_type(of: &DataType) -> Result<()> {
    match of {
        DataType::Varchar(Some(_)) | DataType::Char(Some(_)) | DataType::String(Some(_)) => {
            refuse(of, "VARCHAR has any length, and left(text, n) cuts text")
        }
        DataType::Float(ExactNumberInfo::Precision(_) | ExactNumberInfo::PrecisionAndScale(..)) => {
            refuse(of, "FLOAT has 32 bits, and DOUBLE 64")
        }
        DataType::TinyInt(Some(_))
        | DataType::SmallInt(Some(_))
        | DataType::Int2(Some(_))
        | DataType::Int(Some(_))
        | DataType::Integer(Some(_))
        | DataType::Int4(Some(_))
        | DataType::BigInt(Some(_))
        | DataType::Int8(Some(_))
        | DataType::TinyIntUnsigned(Some(_))
        | DataType::SmallIntUnsigned(Some(_))
        | DataType::Int2Unsigned(Some(_))
        | DataType::IntUnsigned(Some(_))
        | DataType::IntegerUnsigned(Some(_))
        | DataType::Int4Unsigned(Some(_))
        | DataType::BigIntUnsigned(Some(_))
        | DataType::Int8Unsigned(Some(_)) => refuse(of, "the type without a width"),
        DataType::Array(
            ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::SquareBracket(inner, _)
            | ArrayElemTypeDef::Parenthesis(inner),
        ) => data_type(inner),
        _ => Ok(()),
    }
}
