//! Clauses that the parser takes and the planner would drop. Some are rewritten to what the planner
//! knows, all others are refused, so that no part of a statement is ignored.
//!
//! The structures of the parser are taken apart field by field, without `..`: a version of the
//! parser that knows more clauses does not compile before somebody has decided on them.

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToStatement, Statement};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, ColumnDef, ColumnOption, CreateTable, CreateView, Cte, CteAsMaterialized, DataType,
    DuplicateTreatment, ExactNumberInfo, Expr, Fetch, Function, FunctionArg, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator,
    LimitClause, NamedWindowExpr, ObjectName, ObjectNamePart, OrderBy, OrderByExpr, OrderByKind, Query,
    Select, SelectFlavor, SelectItem, Set, SetExpr, Statement as Sql, TableAlias, TableConstraint,
    TableFactor, TableFunctionArgs, TableSample, TableSampleKind, TableSampleMethod, TableSampleQuantity,
    TableSampleUnit, TableWithJoins, Value, VisitMut, VisitorMut, WindowSpec, WindowType, With,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Failure, Result};

/// Rewrites what the planner does not know and can be said otherwise, and refuses what it would
/// drop.
pub(crate) fn settle(context: &SessionContext, statement: &mut Statement) -> Result<()> {
    let mut clauses = Clauses { context };
    let done = match statement {
        Statement::Statement(sql) => sql.visit(&mut clauses),
        Statement::Explain(explain) => return settle(context, &mut explain.statement),
        Statement::CopyTo(copy) => {
            use datafusion::sql::parser::CopyToSource;
            clauses.copy(copy)?;
            match &mut copy.source {
                CopyToSource::Query(query) => query.visit(&mut clauses),
                CopyToSource::Relation(_) => ControlFlow::Continue(()),
            }
        }
        Statement::CreateExternalTable(table) => {
            columns_and_constraints(&table.columns, &table.constraints)?;
            ControlFlow::Continue(())
        }
        Statement::Reset(_) => ControlFlow::Continue(()),
    };
    match done {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

/// Refuses a clause, and says what to write instead.
fn refuse<T>(clause: impl Display, instead: &str) -> Result<T> {
    let instead = if instead.is_empty() { String::new() } else { format!(": {instead}") };
    Err(Failure::new(format!("`{clause}` is not supported{instead}")))
}

/// Refuses a clause that is there.
fn refuse_some<T: Display>(clause: Option<&T>, name: &str, instead: &str) -> Result<()> {
    match clause {
        None => Ok(()),
        Some(clause) if name.is_empty() => refuse(clause, instead),
        Some(clause) => refuse(format!("{name} {clause}"), instead),
    }
}

fn refuse_if(there: bool, clause: &str, instead: &str) -> Result<()> {
    if there { refuse(clause, instead) } else { Ok(()) }
}

struct Clauses<'a> {
    context: &'a SessionContext,
}

impl VisitorMut for Clauses<'_> {
    type Break = Failure;

    fn pre_visit_statement(&mut self, statement: &mut Sql) -> ControlFlow<Failure> {
        flow(self.statement(statement))
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        flow(self.query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Failure> {
        flow(self.select(select))
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Failure> {
        flow(self.table(table))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        flow(self.expr(expr))
    }
}

fn flow(done: Result<()>) -> ControlFlow<Failure> {
    match done {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    }
}

impl Clauses<'_> {
    fn statement(&self, statement: &Sql) -> Result<()> {
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
            Sql::StartTransaction { .. }
            | Sql::Commit { .. }
            | Sql::Rollback { .. }
            | Sql::Savepoint { .. } => {
                Err(Failure::new("there are no transactions: a statement is done when it returns"))
            }
            other => Err(unsupported(other)),
        }
    }

    fn copy(&self, copy: &CopyToStatement) -> Result<()> {
        let Some(format) = &copy.stored_as else { return Ok(()) };
        let state = self.context.state();
        // The planner would take the format of the target's ending.
        if state.get_file_format_factory(&format.to_lowercase()).is_none() {
            return Err(Failure::new(format!(
                "`{format}` is no format: STORED AS takes PARQUET, CSV, JSON or ARROW"
            )));
        }
        Ok(())
    }

    fn query(&self, query: &mut Query) -> Result<()> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators: _,
        } = query;
        refuse_some(locks.first(), "", "a query locks nothing")?;
        refuse_some(for_clause.as_ref(), "", "\\format json writes JSON")?;
        refuse_if(settings.is_some(), "SETTINGS", "SET option = value is a statement")?;
        refuse_some(format_clause.as_ref(), "", "\\format chooses a format")?;
        if let Some(With { with_token: _, recursive: _, cte_tables }) = with {
            cte_tables.iter().try_for_each(cte)?;
        }
        if let Some(order) = order_by {
            let is_select = matches!(**body, SetExpr::Select(_));
            check_order(order, is_select)?;
        }
        if let Some(Fetch { with_ties, percent, quantity }) = fetch.take() {
            refuse_if(with_ties, "WITH TIES", "FETCH FIRST n ROWS ONLY, or rank() in a subquery")?;
            refuse_if(percent, "FETCH … PERCENT", "LIMIT takes a number of rows")?;
            let first = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
            match limit_clause {
                None => {
                    *limit_clause =
                        Some(LimitClause::LimitOffset { limit: Some(first), offset: None, limit_by: vec![] });
                }
                Some(LimitClause::LimitOffset { limit: limit @ None, offset: _, limit_by: _ }) => {
                    *limit = Some(first);
                }
                Some(_) => return refuse("FETCH beside LIMIT", "one of them is enough"),
            }
        }
        set_expr(body)
    }

    fn select(&self, select: &mut Select) -> Result<()> {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct: _,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into: _,
            from,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        refuse_some(optimizer_hints.first(), "", "there are no hints for the optimizer")?;
        refuse_some(select_modifiers.as_ref(), "", "")?;
        refuse_some(top.as_ref(), "", "LIMIT n at the end")?;
        refuse_some(exclude.as_ref(), "", "SELECT * EXCLUDE (…)")?;
        refuse_if(!lateral_views.is_empty(), "LATERAL VIEW", "unnest(list) in SELECT")?;
        refuse_if(prewhere.is_some(), "PREWHERE", "WHERE")?;
        refuse_if(!connect_by.is_empty(), "CONNECT BY", "WITH RECURSIVE")?;
        refuse_if(!cluster_by.is_empty(), "CLUSTER BY", "ORDER BY")?;
        refuse_if(!distribute_by.is_empty(), "DISTRIBUTE BY", "rows are spread over threads anyway")?;
        refuse_if(!sort_by.is_empty(), "SORT BY", "ORDER BY")?;
        refuse_some(value_table_mode.as_ref(), "SELECT", "")?;
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = group_by;
        refuse_some(modifiers.first(), "GROUP BY …", "GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS (…)")?;
        for window in named_window.iter() {
            if let NamedWindowExpr::WindowSpec(spec) = &window.1 {
                window_spec(spec)?;
            }
        }
        from.iter().try_for_each(table_with_joins)?;
        if projection.is_empty() {
            if *flavor != SelectFlavor::FromFirstNoSelect {
                return Err(Failure::new("SELECT names no columns: `SELECT *` is all of them"));
            }
            // `FROM t` is `SELECT * FROM t`.
            *flavor = SelectFlavor::Standard;
            projection.push(SelectItem::Wildcard(Default::default()));
        }
        Ok(())
    }

    fn table(&self, table: &mut TableFactor) -> Result<()> {
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
                    let (TableSampleKind::BeforeTableAlias(sample)
                    | TableSampleKind::AfterTableAlias(sample)) = kind;
                    *table = sampled(table, &sample)?;
                }
                Ok(())
            }
            TableFactor::Derived { lateral: _, subquery: _, alias, sample } => {
                table_alias(alias.as_ref())?;
                if let Some(kind) = sample.take() {
                    let (TableSampleKind::BeforeTableAlias(sample)
                    | TableSampleKind::AfterTableAlias(sample)) = kind;
                    *table = sampled(table, &sample)?;
                }
                Ok(())
            }
            TableFactor::Function { lateral: _, name: _, args, with_ordinality, alias } => {
                table_alias(alias.as_ref())?;
                refuse_if(*with_ordinality, "WITH ORDINALITY", "row_number() OVER ()")?;
                named_arguments(args)
            }
            TableFactor::UNNEST {
                alias,
                array_exprs: _,
                with_offset,
                with_offset_alias,
                with_ordinality,
            } => {
                table_alias(alias.as_ref())?;
                let is_counted = *with_offset || with_offset_alias.is_some() || *with_ordinality;
                refuse_if(is_counted, "UNNEST … WITH OFFSET or ORDINALITY", "row_number() OVER ()")
            }
            TableFactor::NestedJoin { table_with_joins: inner, alias } => {
                table_alias(alias.as_ref())?;
                table_with_joins(inner)
            }
            TableFactor::Pivot { .. } => {
                refuse("PIVOT", "an aggregate with FILTER (WHERE …) for each column")
            }
            TableFactor::Unpivot { .. } => refuse("UNPIVOT", "UNION ALL of a SELECT for each column"),
            other => refuse(other, ""),
        }
    }

    fn expr(&self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Collate { .. } => refuse(expr, "text is compared by its code points"),
            Expr::RLike { .. } => refuse(expr, "regexp_like(text, pattern), or text ~ pattern"),
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

    fn function(&self, function: &Function) -> Result<()> {
        let Function {
            name,
            uses_odbc_syntax: _,
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = function;
        if !matches!(parameters, FunctionArguments::None) {
            return refuse(
                format!("{name}{parameters}{args}"),
                "all arguments are in one pair of parentheses",
            );
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
        let (folded, state) = (folded(ident), self.context.state());
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
        // Clauses of aggregates and windows behind a function of single rows.
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
}

/// Window functions that mind IGNORE NULLS.
const OF_NULLS: [&str; 5] = ["lag", "lead", "nth_value", "first_value", "last_value"];

/// Refuses the parts of a type that the planner drops.
fn data_type(of: &DataType) -> Result<()> {
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

/// A name as the planner takes it.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A statement of a kind that no session runs, named by its first words.
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

/// Refuses what a table keeps no watch over, and would have to be believed.
fn columns_and_constraints(columns: &[ColumnDef], constraints: &[TableConstraint]) -> Result<()> {
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

fn cte(cte: &Cte) -> Result<()> {
    let Cte { alias, query: _, from, materialized, closing_paren_token: _ } = cte;
    table_alias(Some(alias))?;
    refuse_some(from.as_ref(), "FROM", "")?;
    let is_kept = matches!(materialized, Some(CteAsMaterialized::Materialized));
    refuse_if(is_kept, "MATERIALIZED", "CREATE TABLE … AS keeps rows")
}

fn set_expr(body: &SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => Ok(()),
        SetExpr::SetOperation { left, op: _, set_quantifier: _, right } => {
            set_expr(left)?;
            set_expr(right)
        }
        SetExpr::Table(table) => refuse(table, "SELECT * FROM …"),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            Err(Failure::new(
                "a query in another changes nothing: INSERT, UPDATE, DELETE and MERGE are statements",
            ))
        }
    }
}

fn check_order(order: &OrderBy, is_select: bool) -> Result<()> {
    let OrderBy { kind, interpolate } = order;
    refuse_if(interpolate.is_some(), "INTERPOLATE", "")?;
    match kind {
        OrderByKind::Expressions(exprs) => exprs.iter().try_for_each(order_by_expr),
        OrderByKind::All(_) => refuse_if(!is_select, "ORDER BY ALL behind UNION", "name the columns"),
    }
}

fn order_by_expr(order: &OrderByExpr) -> Result<()> {
    let OrderByExpr { expr: _, options: _, with_fill } = order;
    refuse_if(with_fill.is_some(), "WITH FILL", "join a generate_series")
}

fn window_spec(spec: &WindowSpec) -> Result<()> {
    let WindowSpec { window_name, partition_by: _, order_by, window_frame: _ } = spec;
    order_by.iter().try_for_each(order_by_expr)?;
    refuse_some(window_name.as_ref(), "a window that extends", "OVER name, or the whole window")
}

fn table_alias(alias: Option<&TableAlias>) -> Result<()> {
    let Some(TableAlias { explicit: _, name: _, columns, at }) = alias else { return Ok(()) };
    refuse_some(at.as_ref(), "AT", "")?;
    let typed = columns.iter().find(|column| column.data_type.is_some());
    refuse_some(typed, "", "an alias has names only; CAST gives a column a type")
}

fn table_with_joins(tables: &TableWithJoins) -> Result<()> {
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

/// The planner would take named arguments of table functions in their order.
fn named_arguments(args: &[FunctionArg]) -> Result<()> {
    match args.iter().find(|arg| !matches!(arg, FunctionArg::Unnamed(_))) {
        None => Ok(()),
        Some(named) => refuse(named, "arguments of table functions have no names"),
    }
}

/// A subquery that takes some rows of a table: each with a probability, or a number of them.
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

/// The name that a table has in a query.
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

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn settled(sql: &str) -> Result<String> {
        let mut statement = DFParser::parse_sql(sql)?.pop_front().unwrap();
        settle(&SessionContext::new(), &mut statement)?;
        Ok(statement.to_string())
    }

    #[test]
    fn what_the_planner_would_drop_is_refused() {
        let mut wrong = Vec::new();
        for (sql, named) in [
            // Queries.
            ("SELECT a FROM t FOR UPDATE", "FOR UPDATE"),
            ("SELECT a FROM t FOR SHARE NOWAIT", "FOR SHARE"),
            ("SELECT a FROM t FETCH FIRST 1 ROW WITH TIES", "WITH TIES"),
            ("SELECT a FROM t FETCH FIRST 10 PERCENT ROWS ONLY", "PERCENT"),
            ("SELECT a FROM t LIMIT 3 FETCH FIRST 1 ROW ONLY", "FETCH beside LIMIT"),
            ("SELECT a FROM t WHERE a SETTINGS max_threads = 1", "SETTINGS"),
            ("SELECT a FROM t FORMAT JSONCompact", "FORMAT JSONCompact"),
            ("SELECT a FROM t ORDER BY a WITH FILL", "WITH FILL"),
            ("SELECT a FROM t ORDER BY a INTERPOLATE", "INTERPOLATE"),
            // SELECT.
            ("SELECT /*+ fast */ a FROM t", "/*+ fast */"),
            ("SELECT TOP 3 a FROM t", "TOP 3"),
            ("SELECT FROM t", "SELECT names no columns"),
            ("SELECT a FROM t PREWHERE a = 1", "PREWHERE"),
            ("SELECT a FROM t CONNECT BY a = 1", "CONNECT BY"),
            ("SELECT a FROM t GROUP BY a WITH ROLLUP", "WITH ROLLUP"),
            ("SELECT a FROM t GROUP BY ALL WITH TOTALS", "WITH TOTALS"),
            ("SELECT a FROM t SORT BY a", "SORT BY"),
            ("SELECT a FROM t CLUSTER BY a", "CLUSTER BY"),
            ("SELECT a FROM t DISTRIBUTE BY a", "DISTRIBUTE BY"),
            ("SELECT a FROM t LATERAL VIEW explode(b) x AS y", "LATERAL VIEW"),
            // Tables.
            ("SELECT a FROM t WITH (NOLOCK)", "NOLOCK"),
            ("SELECT a FROM t AS x (a INT)", "a INT"),
            ("SELECT a FROM f(1) WITH ORDINALITY", "WITH ORDINALITY"),
            ("SELECT a FROM f(x => 1)", "x => 1"),
            ("SELECT a FROM t, LATERAL f(x => 1)", "x => 1"),
            ("SELECT a FROM t TABLESAMPLE SYSTEM (10)", "TABLESAMPLE SYSTEM"),
            ("SELECT a FROM t TABLESAMPLE (10)", "(10 PERCENT) or (10 ROWS)"),
            ("SELECT a FROM t TABLESAMPLE BERNOULLI (10) REPEATABLE (1)", "REPEATABLE (1)"),
            ("SELECT a FROM t TABLESAMPLE BERNOULLI (200)", "200 %"),
            ("SELECT a FROM t TABLESAMPLE (2.5 ROWS)", "whole"),
            ("SELECT a FROM t TABLESAMPLE (BUCKET 1 OUT OF 2)", "BUCKET"),
            ("SELECT a FROM t PIVOT (sum(a) FOR b IN ('x'))", "PIVOT"),
            ("SELECT a FROM t UNPIVOT (v FOR n IN (a, b))", "UNPIVOT"),
            ("SELECT a FROM UNNEST([1]) WITH OFFSET", "WITH OFFSET"),
            // Joins.
            ("SELECT a FROM t JOIN u", "JOIN needs ON or USING"),
            ("SELECT a FROM t LEFT JOIN u", "JOIN needs ON or USING"),
            ("SELECT a FROM t GLOBAL JOIN u ON true", "GLOBAL"),
            ("SELECT a FROM t ASOF JOIN u MATCH_CONDITION (t.a > u.a)", "ASOF JOIN"),
            ("SELECT a FROM t CROSS APPLY u", "APPLY"),
            ("SELECT a FROM (t JOIN u)", "JOIN needs ON or USING"),
            ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u JOIN v)", "JOIN needs ON or USING"),
            // Expressions.
            ("SELECT abs(a) OVER () FROM t", "takes no OVER"),
            ("SELECT abs(DISTINCT a) FROM t", "takes no DISTINCT"),
            ("SELECT abs(a) FILTER (WHERE a > 1) FROM t", "takes no FILTER"),
            ("SELECT abs(a) WITHIN GROUP (ORDER BY a) FROM t", "takes no WITHIN GROUP"),
            ("SELECT abs(a ORDER BY a) FROM t", "takes no ORDER BY"),
            ("SELECT f(1)(a) FROM t", "one pair of parentheses"),
            ("SELECT sum(a) OVER (w ORDER BY a) FROM t WINDOW w AS (PARTITION BY a)", "extends w"),
            ("SELECT rank() IGNORE NULLS OVER (ORDER BY a) FROM t", "NULLS in a window"),
            ("SELECT sum(a) RESPECT NULLS OVER (ORDER BY a) FROM t", "NULLS in a window"),
            ("SELECT lag(DISTINCT a) OVER (ORDER BY a) FROM t", "takes no DISTINCT"),
            ("SELECT CAST(a AS VARCHAR(2)) FROM t", "VARCHAR(2)"),
            ("SELECT a::CHAR(2) FROM t", "CHAR(2)"),
            ("SELECT CAST(a AS FLOAT(53)) FROM t", "FLOAT(53)"),
            ("SELECT CAST(a AS INT(11)) FROM t", "INT(11)"),
            ("CREATE TABLE t (a VARCHAR(2))", "VARCHAR(2)"),
            ("PREPARE p (VARCHAR(2)) AS SELECT $1", "VARCHAR(2)"),
            ("SELECT N'a'", "N'a'"),
            ("SELECT a COLLATE de FROM t", "COLLATE"),
            ("SELECT a IN UNNEST(b) FROM t", "IN UNNEST"),
            ("SELECT a AT TIME ZONE b FROM t", "AT TIME ZONE"),
            // Statements.
            ("CREATE TABLE t (a INT UNIQUE)", "UNIQUE"),
            ("CREATE TABLE t (a INT, CHECK (a > 1))", "CHECK"),
            ("CREATE TABLE t (a INT COMMENT 'x')", "COMMENT"),
            ("DROP TABLE t CASCADE", "CASCADE"),
            ("DROP TABLE t RESTRICT", "RESTRICT"),
            ("DESCRIBE EXTENDED t", "EXTENDED"),
            ("BEGIN", "no transactions"),
            ("COMMIT", "no transactions"),
            ("GRANT SELECT ON t TO u", "GRANT SELECT"),
            ("CREATE INDEX i ON t (a)", "CREATE INDEX"),
            ("CREATE DATABASE d", "CREATE DATABASE"),
            ("SHOW DATABASES", "SHOW DATABASES"),
            ("COPY t TO 'x.csv' STORED AS PARQET", "PARQET"),
            ("CREATE EXTERNAL TABLE t (a INT PRIMARY KEY) STORED AS CSV LOCATION 'x'", "PRIMARY KEY"),
            ("EXPLAIN SELECT a FROM t FOR UPDATE", "FOR UPDATE"),
            ("COPY (SELECT a FROM t FOR UPDATE) TO 'x.csv'", "FOR UPDATE"),
            ("CREATE VIEW v AS SELECT a FROM t FOR UPDATE", "FOR UPDATE"),
            ("INSERT INTO t SELECT a FROM t FOR UPDATE", "FOR UPDATE"),
        ] {
            let refused = settled(sql).err().map(|failure| failure.to_string()).unwrap_or_default();
            if !refused.contains(named) || refused.contains("parser error") {
                wrong.push(format!("{sql}: {refused}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_can_be_said_otherwise_is_rewritten() {
        for (sql, expected) in [
            ("FROM t", "SELECT * FROM t"),
            ("FROM t SELECT a", "FROM t SELECT a"),
            ("SELECT a FROM t FETCH FIRST ROW ONLY", "SELECT a FROM t LIMIT 1"),
            ("SELECT a FROM t OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY", "SELECT a FROM t LIMIT 3 OFFSET 2 ROWS"),
            (
                "SELECT x.a FROM s.\"T\" AS x TABLESAMPLE BERNOULLI (10)",
                "SELECT x.a FROM (SELECT * FROM s.\"T\" WHERE random() * 100 < 10) AS x",
            ),
            (
                "SELECT a FROM s.t TABLESAMPLE (5 ROWS)",
                "SELECT a FROM (SELECT * FROM s.t ORDER BY random() LIMIT 5) AS t",
            ),
            (
                "SELECT a FROM (SELECT 1 AS a) AS d TABLESAMPLE (5 PERCENT)",
                "SELECT a FROM (SELECT * FROM (SELECT 1 AS a) AS d WHERE random() * 100 < 5) AS d",
            ),
        ] {
            assert_eq!(settled(sql).unwrap(), expected, "{sql}");
        }
        // Nothing else is changed.
        for sql in [
            "WITH w AS (SELECT 1) SELECT DISTINCT ON (a) a, sum(b) OVER (ORDER BY c) FROM w, t AS x (a, b) LEFT JOIN u USING(a) WHERE a > 1 GROUP BY ROLLUP (a) HAVING count(*) > 1 QUALIFY rank() OVER () < 3 ORDER BY a NULLS FIRST LIMIT 1 OFFSET 2",
            "CREATE TABLE t (a INT NOT NULL DEFAULT 1)",
            "SELECT first_value(a) IGNORE NULLS OVER (ORDER BY b), lag(a) IGNORE NULLS OVER (ORDER BY b) FROM t",
            "SELECT CAST(a AS DECIMAL(5,2)), CAST(b AS TIMESTAMP(3)), count(DISTINCT a) OVER () FROM t",
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FILTER (WHERE a > 1) FROM t",
        ] {
            assert_eq!(settled(sql).unwrap(), sql);
        }
    }
}
