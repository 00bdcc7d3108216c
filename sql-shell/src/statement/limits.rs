//! Rejects statements that are too deep to be planned, based on their tokens.
//!
//! Parsing, planning and evaluating an expression recurse over its tree, and a chain `a + b + …` is
//! as deep as it is long. The stacks of all threads (see `crate::threads`) have room for everything
//! within these limits.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Failure, Result};

/// The largest number of links of a chain: terms with AND and OR, other operators in a row, joins
/// of a query, and queries with UNION, EXCEPT and INTERSECT. Planning time grows with their square.
const MOST_LINKS: usize = 2000;

/// The largest number of links of all nested chains.
const DEEPEST: usize = 2 * MOST_LINKS;

/// The largest number of nested parentheses, functions, CASEs and subqueries, which is the limit of
/// the parser.
const MOST_NESTED: usize = 50;

/// The counts between an opening parenthesis and its end, or a CASE and its end.
#[derive(Default)]
struct Level {
    opened_by: Option<Opening>,
    /// The operators of the current expression.
    operators: usize,
    terms: usize,
    /// The operators of the longest of the previous terms.
    longest: usize,
    /// The depth of the levels that were closed inside this one.
    inner: usize,
    /// The number of BETWEENs whose AND has not been read yet.
    between: usize,
    /// The joins of the current query.
    joins: usize,
    is_in_from: bool,
    /// The number of previous queries.
    unions: usize,
    /// The depth of previous expressions and queries.
    before: usize,
}

impl Level {
    fn begin_expression(&mut self) {
        self.before = self.before.max(self.expression() + self.joins);
        (self.operators, self.terms, self.longest, self.inner, self.between) = (0, 0, 0, 0, 0);
    }

    fn begin_term(&mut self) {
        self.longest = self.longest.max(self.operators);
        self.operators = 0;
        self.terms += 1;
    }

    fn expression(&self) -> usize {
        self.terms + self.longest.max(self.operators) + self.inner
    }

    /// An upper bound of the tree's depth so far.
    fn depth(&self) -> usize {
        self.before.max(self.expression() + self.joins) + self.unions
    }

    fn check(&self) -> Result<()> {
        let too_many =
            |what: &str| Err(Failure::new(format!("the statement has more than {MOST_LINKS} {what}")));
        if self.terms > MOST_LINKS {
            return too_many("terms joined by AND or OR: a list, x IN (…), may have any length");
        }
        if self.operators > MOST_LINKS {
            return too_many("operators in one expression");
        }
        if self.joins > MOST_LINKS {
            return too_many("tables joined in one query");
        }
        if self.unions > MOST_LINKS {
            return too_many("queries joined by UNION, EXCEPT or INTERSECT");
        }
        if self.depth() > DEEPEST {
            return Err(Failure::new(format!(
                "the statement has more than {DEEPEST} operators, terms and joins in each other"
            )));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Parenthesis,
    Bracket,
    Case,
}

/// Rejects statements that exceed the limits or have an unclosed parenthesis. The parser's time to
/// detect either doubles with each parenthesis.
pub(super) fn check(text: &str) -> Result<()> {
    // The parser explains text that cannot be tokenized.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return Ok(()) };
    let mut levels = vec![Level::default()];
    let (mut last, mut joins_operands) = (&Token::EOF, false);
    for token in tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        // After an operator, a keyword is a name.
        let is_operand = joins_operands || *last == Token::Period;
        joins_operands = is_operator(token) && !is_wildcard(token, last);
        match token {
            Token::LParen => open(&mut levels, Opening::Parenthesis)?,
            Token::LBracket | Token::LBrace => {
                count(&mut levels, |level| level.operators += 1)?;
                open(&mut levels, Opening::Bracket)?;
            }
            Token::RParen => close(&mut levels, Opening::Parenthesis)?,
            Token::RBracket | Token::RBrace => close(&mut levels, Opening::Bracket)?,
            Token::Comma => count(&mut levels, |level| {
                level.begin_expression();
                level.joins += usize::from(level.is_in_from);
            })?,
            Token::SemiColon => levels = vec![Level::default()],
            Token::Word(word) => match word.keyword {
                Keyword::CASE => open(&mut levels, Opening::Case)?,
                Keyword::END => close(&mut levels, Opening::Case)?,
                _ if is_operand => {}
                keyword => count(&mut levels, |level| count_word(level, keyword, last))?,
            },
            _ if joins_operands => count(&mut levels, |level| level.operators += 1)?,
            _ => {}
        }
        last = token;
    }
    match levels.iter().filter(|level| level.opened_by == Some(Opening::Parenthesis)).count() {
        0 => Ok(()),
        1 => Err(Failure::new("a parenthesis is not closed")),
        open => Err(Failure::new(format!("{open} parentheses are not closed"))),
    }
}

fn count(levels: &mut [Level], of: impl FnOnce(&mut Level)) -> Result<()> {
    let Some(level) = levels.last_mut() else { return Ok(()) };
    of(level);
    level.check()
}

fn count_word(level: &mut Level, keyword: Keyword, last: &Token) {
    let follows = |wanted: Keyword| matches!(last, Token::Word(word) if word.keyword == wanted);
    match keyword {
        Keyword::AND if level.between > 0 => level.between -= 1,
        Keyword::AND | Keyword::OR | Keyword::XOR => level.begin_term(),
        Keyword::BETWEEN => {
            level.between += 1;
            level.operators += 1;
        }
        Keyword::IS
        | Keyword::IN
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::RLIKE
        | Keyword::REGEXP
        | Keyword::SIMILAR
        | Keyword::DIV
        | Keyword::AT
        | Keyword::NOT
        | Keyword::COLLATE => level.operators += 1,
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => level.unions += 1,
        Keyword::JOIN => {
            level.begin_expression();
            level.joins += 1;
        }
        // `IS DISTINCT FROM` is counted at IS.
        Keyword::FROM if follows(Keyword::DISTINCT) => {}
        Keyword::SELECT | Keyword::FROM => {
            level.begin_expression();
            level.joins = 0;
            level.is_in_from = keyword == Keyword::FROM;
        }
        // `WITHIN GROUP (…)` is part of an expression.
        Keyword::GROUP if follows(Keyword::WITHIN) => {}
        Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER | Keyword::QUALIFY => {
            level.begin_expression();
            level.is_in_from = false;
        }
        Keyword::ON => level.begin_expression(),
        Keyword::WHEN | Keyword::THEN | Keyword::ELSE if level.opened_by == Some(Opening::Case) => {
            level.begin_expression();
        }
        _ => {}
    }
}

fn open(levels: &mut Vec<Level>, opened_by: Opening) -> Result<()> {
    // Some parentheses are part of a type or a name, and the parser does not count these.
    if levels.len() > 2 * MOST_NESTED {
        return Err(Failure::new(too_deep()));
    }
    levels.push(Level { opened_by: Some(opened_by), ..Level::default() });
    Ok(())
}

/// Closes the innermost level that was opened in this way, and all levels inside it.
fn close(levels: &mut Vec<Level>, opened_by: Opening) -> Result<()> {
    let Some(at) = levels.iter().rposition(|level| level.opened_by == Some(opened_by)) else {
        return Ok(());
    };
    let closed: usize = levels.drain(at..).map(|level| level.depth() + 1).sum();
    count(levels, |level| level.inner = level.inner.max(closed))
}

pub(super) fn too_deep() -> String {
    format!(
        "the statement has more than {MOST_NESTED} parentheses, functions, CASEs or subqueries in each other"
    )
}

/// Whether a token is the `*` for all columns.
fn is_wildcard(token: &Token, last: &Token) -> bool {
    let begins = match last {
        Token::Comma | Token::LParen | Token::Period => true,
        Token::Word(word) => matches!(word.keyword, Keyword::SELECT | Keyword::DISTINCT | Keyword::ALL),
        _ => false,
    };
    begins && *token == Token::Mul
}

/// Whether a token joins operands, or precedes one.
fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::EOF
            | Token::Word(_)
            | Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
            | Token::Whitespace(_)
            | Token::Comma
            | Token::Period
            | Token::Colon
            | Token::SemiColon
            | Token::LParen
            | Token::RParen
            | Token::LBracket
            | Token::RBracket
            | Token::LBrace
            | Token::RBrace
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(link: &str, between: &str, links: usize) -> String {
        vec![link; links].join(between)
    }

    #[test]
    fn chains_may_have_so_many_links_and_no_more() {
        let most = MOST_LINKS;
        for (begin, link, between, end, message) in [
            ("SELECT ", "1", " + ", "", "operators"),
            ("SELECT ", "'a'", "||", "", "operators"),
            ("SELECT f(", "x", "::int - ", ")", "operators"),
            ("SELECT 1 WHERE ", "x = 1 + 1", " OR ", "", "AND or OR"),
            ("SELECT 1 WHERE ", "x BETWEEN 1 AND 2", " AND ", "", "AND or OR"),
            ("SELECT ", "x", " IS DISTINCT FROM ", "", "operators"),
            ("SELECT ", "CASE WHEN a THEN b ELSE c END", " + ", "", "operators"),
            ("SELECT ", "sum(x) WITHIN GROUP (ORDER BY x)", " + ", "", "operators"),
            ("SELECT 1 + ", "where", " + ", "", "operators"),
            ("SELECT x", "", "[1]", "", "operators"),
            ("SELECT x", "", " IS NULL", "", "operators"),
            ("", "SELECT 1 + 1", " UNION ALL ", "", "UNION"),
            ("SELECT * FROM ", "t", " JOIN ", "", "joined"),
            ("SELECT * FROM ", "t", ", ", "", "joined"),
        ] {
            // Each `::int -` has two operators, and one pattern starts with another operator.
            let links = if between.starts_with("::") { most / 2 } else { most };
            let links = if begin.ends_with("+ ") { links - 1 } else { links };
            let of = |links| format!("{begin}{}{end}", chain(link, between, links + 1));
            assert!(check(&of(links)).is_ok(), "{between}");
            let refused = check(&of(links + 1));
            let error = refused.err().map_or_else(String::new, |error| error.to_string());
            assert!(error.contains(message) && error.contains("2000"), "{between}: {error}");
        }
    }

    #[test]
    fn chains_in_each_other_add_up() {
        let nested = |begin: &str, link: &str, end: &str| {
            let (begin, end) = (begin.repeat(40), format!("{}{end}", link.repeat(105)).repeat(40));
            check(&format!("SELECT {begin}1{end}"))
        };
        for (begin, link, end) in [
            ("(", " + 1", ")"),
            ("(", " AND true", ")"),
            ("abs(", " || x", ") + 1"),
            ("CASE WHEN ", " = x", " THEN 1 END"),
            ("(SELECT 1 FROM t WHERE ", " OR a", ")"),
            ("(SELECT ", " UNION SELECT 1", ")"),
        ] {
            let error = nested(begin, link, end).unwrap_err().to_string();
            assert!(error.contains("4000") && error.contains("in each other"), "{begin}: {error}");
            assert!(nested(begin, "", end).is_ok(), "{begin}");
            assert!(nested(begin, ", 1", end).is_ok(), "{begin}");
        }
        let right = format!("SELECT {}1{}", format!("{}(", "1 + ".repeat(105)).repeat(40), ")".repeat(40));
        assert!(check(&right).unwrap_err().to_string().contains("4000"));
    }

    #[test]
    fn lists_may_have_any_length() {
        let many = 50_000;
        for statement in [
            format!("SELECT 1 WHERE x IN ({})", chain("-1 + 2", ", ", many)),
            format!("SELECT {}", chain("a * b", ", ", many)),
            format!("VALUES {}", chain("(1 + 1, -2)", ", ", many)),
            format!("SELECT CASE x {} END", chain("WHEN a = 1 AND b THEN c + 1", " ", many)),
            chain("SELECT 1 + 1", ";", many),
            format!("SELECT '{}'", chain("(", "+", many)),
            format!("SELECT 1 -- {}", chain("(", "+", many)),
            format!("SELECT {}", "x".repeat(1_000_000)),
        ] {
            assert!(check(&statement).is_ok(), "{}", &statement[..40]);
        }
    }

    #[test]
    fn open_parentheses_and_deep_ones_are_told() {
        assert_eq!(check("SELECT (1").unwrap_err().to_string(), "a parenthesis is not closed");
        let open = format!("SELECT {}1", "cast(".repeat(60));
        assert_eq!(check(&open).unwrap_err().to_string(), "60 parentheses are not closed");
        let deep = format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200));
        assert_eq!(check(&deep).unwrap_err().to_string(), too_deep());
        let cases = format!("SELECT {}", "case + ".repeat(20_000));
        assert_eq!(check(&cases).unwrap_err().to_string(), too_deep());
        assert!(check("SELECT )((").is_err());
        assert!(check("SELECT ')' + a[1] + {a: [1, 2]} END )").is_ok());
    }
}
