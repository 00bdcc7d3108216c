//! Checks clauses that the parser accepts but the planner would drop. Some are rewritten to clauses
//! that the planner supports. All others are rejected, so that no part of a statement is ignored.
//!
//! The structures of the parser are destructured field by field, without `..`. A version of the
//! parser with more clauses therefore fails to compile until someone decides how to treat them.

mod exprs;
mod options;
mod statements;
mod tables;

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToStatement, ResetStatement, Statement};
use datafusion::sql::sqlparser::ast::{
    Cte, CteAsMaterialized, Expr, Fetch, GroupByExpr, LimitClause, NamedWindowExpr, OrderBy, OrderByExpr,
    OrderByKind, Query, Select, SelectFlavor, SelectItem, SetExpr, Statement as Sql, TableFactor, Value,
    VisitMut, VisitorMut, With,
};

use self::exprs::window_spec;
use self::statements::columns_and_constraints;
use self::tables::{table_alias, table_with_joins};
use crate::error::{Failure, Result};

/// Rewrites clauses that have an equivalent which the planner supports, and rejects those that it
/// would drop.
pub(crate) fn settle(context: &SessionContext, statement: &mut Statement) -> Result<()> {
    let mut clauses = Clauses { state: context.state() };
    let done = match statement {
        Statement::Statement(sql) => {
            options::shown(sql)?;
            sql.visit(&mut clauses)
        }
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
        Statement::Reset(ResetStatement::Variable(name)) => {
            if let Some(set) = options::reset(name)? {
                *statement = set;
            }
            ControlFlow::Continue(())
        }
    };
    match done {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(failure) => Err(failure),
    }
}

/// Rejects a clause, and suggests what to write instead.
fn refuse<T>(clause: impl Display, instead: &str) -> Result<T> {
    let instead = if instead.is_empty() { String::new() } else { format!(": {instead}") };
    Err(Failure::new(format!("`{clause}` is not supported{instead}")))
}

/// Rejects a clause if it is present.
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

struct Clauses {
    state: SessionState,
}

impl VisitorMut for Clauses {
    type Break = Failure;

    fn pre_visit_statement(&mut self, statement: &mut Sql) -> ControlFlow<Failure> {
        flow(statements::statement(statement))
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        flow(self.query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Failure> {
        flow(self.select(select))
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Failure> {
        flow(tables::table(table))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        flow(exprs::expr(&self.state, expr))
    }
}

fn flow(done: Result<()>) -> ControlFlow<Failure> {
    match done {
        Ok(()) => ControlFlow::Continue(()),
        Err(failure) => ControlFlow::Break(failure),
    }
}

impl Clauses {
    fn copy(&self, copy: &CopyToStatement) -> Result<()> {
        let Some(format) = &copy.stored_as else { return Ok(()) };
        // For unknown formats, the planner would use the format of the target's ending.
        if self.state.get_file_format_factory(&format.to_lowercase()).is_none() {
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
            // `FROM t` means `SELECT * FROM t`.
            *flavor = SelectFlavor::Standard;
            projection.push(SelectItem::Wildcard(Default::default()));
        }
        Ok(())
    }
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
            ("SELECT a SIMILAR TO 'a%' FROM t", "SIMILAR TO"),
            ("SELECT a IS DISTINCT FROM b AND c FROM t", "right side of IS DISTINCT FROM"),
            ("SELECT a FROM t WHERE a > 1 AND a IS NOT DISTINCT FROM b OR c", "`b OR c`"),
            ("SELECT a IS DISTINCT FROM b IS NULL FROM t", "`b IS NULL`"),
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
        // All other statements stay unchanged.
        for sql in [
            "WITH w AS (SELECT 1) SELECT DISTINCT ON (a) a, sum(b) OVER (ORDER BY c) FROM w, t AS x (a, b) LEFT JOIN u USING(a) WHERE a > 1 GROUP BY ROLLUP (a) HAVING count(*) > 1 QUALIFY rank() OVER () < 3 ORDER BY a NULLS FIRST LIMIT 1 OFFSET 2",
            "CREATE TABLE t (a INT NOT NULL DEFAULT 1)",
            "SELECT first_value(a) IGNORE NULLS OVER (ORDER BY b), lag(a) IGNORE NULLS OVER (ORDER BY b) FROM t",
            "SELECT (a IS DISTINCT FROM b) AND a IS NOT DISTINCT FROM (b AND c) FROM t",
            "SELECT CAST(a AS DECIMAL(5,2)), CAST(b AS TIMESTAMP(3)), count(DISTINCT a) OVER () FROM t",
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FILTER (WHERE a > 1) FROM t",
        ] {
            assert_eq!(settled(sql).unwrap(), sql);
        }
    }
}
