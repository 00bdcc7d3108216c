//! `FROM t WHERE …` without a SELECT.

use std::borrow::Cow;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::tokens::{edited, is_keyword, tokens};

/// Keywords before a query that begins with FROM, beside those that combine queries.
const BEFORE: [&str; 4] = ["AS", "EXPLAIN", "ANALYZE", "VERBOSE"];

/// Keywords that combine queries.
const SETS: [&str; 3] = ["UNION", "EXCEPT", "INTERSECT"];

/// Clauses that the parser only accepts after a SELECT.
const CLAUSES: [&str; 5] = ["WHERE", "GROUP", "HAVING", "QUALIFY", "WINDOW"];

/// What was read of the query at one depth of parentheses.
#[derive(Clone, Copy, Default)]
struct Query {
    has_select: bool,
    /// The byte of the FROM that begins the query.
    from: Option<usize>,
}

/// The text with `SELECT *` in front of queries that begin with FROM, have no SELECT, and have a
/// clause that the parser only accepts after one.
pub(super) fn completed(text: &str) -> Cow<'_, str> {
    let Some(tokens) = tokens(text) else { return Cow::Borrowed(text) };
    let (mut outer, mut query) = (Vec::new(), Query::default());
    let mut edits = Vec::new();
    let (mut before, mut before_that): (Option<&Token>, Option<&Token>) = (None, None);
    for placed in &tokens {
        let token = &placed.token;
        let is = |keyword: &str| is_keyword(token, keyword);
        match token {
            Token::LParen => outer.push(std::mem::take(&mut query)),
            Token::RParen => query = outer.pop().unwrap_or_default(),
            Token::Period => {}
            // A name behind a period is no keyword.
            _ if before == Some(&Token::Period) => {}
            // Statements that change rows may have a FROM of their own.
            _ if ["SELECT", "UPDATE", "DELETE", "MERGE"].into_iter().any(is) => {
                query = Query { has_select: true, from: None };
            }
            _ if SETS.into_iter().any(is) => query = Query::default(),
            _ if is("FROM") && !query.has_select && query.from.is_none() => {
                let is_any = |token: &Token, of: &[&str]| of.iter().any(|keyword| is_keyword(token, keyword));
                let begins = before.is_none_or(|before| {
                    matches!(before, Token::LParen | Token::RParen)
                        || is_any(before, &BEFORE)
                        || is_any(before, &SETS)
                        || is_any(before, &["ALL", "DISTINCT"])
                            && before_that.is_some_and(|before| is_any(before, &SETS))
                });
                query.from = begins.then_some(placed.at.start);
            }
            _ if CLAUSES.into_iter().any(is)
                && !before.is_some_and(|before| is_keyword(before, "WITHIN")) =>
            {
                edits.extend(query.from.take().map(|from| (from..from, "SELECT * ".to_owned())));
            }
            _ => {}
        }
        (before_that, before) = (before, Some(token));
    }
    if edits.is_empty() {
        return Cow::Borrowed(text);
    }
    edits.sort_by_key(|(at, _)| at.start);
    Cow::Owned(edited(text, &edits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_without_select_are_completed() {
        for (text, expected) in [
            ("FROM t WHERE a > 1", "SELECT * FROM t WHERE a > 1"),
            ("from t Where a IN (FROM u WHERE b)", "SELECT * from t Where a IN (SELECT * FROM u WHERE b)"),
            ("EXPLAIN FROM t WHERE a", "EXPLAIN SELECT * FROM t WHERE a"),
            ("WITH w AS (SELECT 1 AS a) FROM w WHERE a", "WITH w AS (SELECT 1 AS a) SELECT * FROM w WHERE a"),
            ("SELECT 1 UNION FROM t WHERE a", "SELECT 1 UNION SELECT * FROM t WHERE a"),
            ("SELECT 1 UNION ALL FROM t WHERE a", "SELECT 1 UNION ALL SELECT * FROM t WHERE a"),
            ("CREATE VIEW v AS FROM t WHERE a", "CREATE VIEW v AS SELECT * FROM t WHERE a"),
            ("FROM (FROM t WHERE a) HAVING b", "SELECT * FROM (SELECT * FROM t WHERE a) HAVING b"),
        ] {
            assert_eq!(completed(text), expected);
        }
        for text in [
            "FROM t",
            "FROM t SELECT a WHERE b",
            "SELECT a FROM t WHERE b",
            "SELECT (SELECT 1) FROM t WHERE extract(year FROM a) > 1",
            "SELECT a IS DISTINCT FROM b WHERE c",
            "DELETE FROM t WHERE a",
            "UPDATE t SET a = b IS DISTINCT FROM c WHERE d",
            "UPDATE t SET a = (1 + 2) FROM u WHERE b",
            "VALUES (a IS DISTINCT FROM b, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) > 1)",
            "SELECT t.from, x.where FROM t",
            "SHOW COLUMNS FROM t WHERE a",
        ] {
            assert_eq!(completed(text), text);
        }
    }
}
