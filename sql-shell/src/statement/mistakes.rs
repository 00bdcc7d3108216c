//! Explains errors in statements in the words of the statement's author.

use datafusion::common::DataFusionError;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Token;
use unicode_width::UnicodeWidthStr;

use super::limits::too_deep;
use super::names;
use super::tokens::{byte_at, tokens, word};
use crate::error::{Failure, Result, message};
use crate::functions::functions_of;
use crate::printable::printable;

/// The largest width of the part of a line above a caret.
const LINE: usize = 74;

/// Keywords that begin statements or clauses.
const WORDS: [&str; 24] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "UNION",
    "INSERT",
    "CREATE",
    "EXPLAIN",
    "DESCRIBE",
    "SUMMARIZE",
    "SHOW",
    "COPY",
    "DROP",
    "WITH",
    "VALUES",
    "BETWEEN",
    "DISTINCT",
    "USING",
    "SET",
];

/// Functions of other systems that have another name here, and how to write them.
const ELSEWHERE: [(&str, &str); 51] = [
    ("quarter", "date_part('quarter', …)"),
    ("week", "date_part('week', …)"),
    ("dayofmonth", "date_part('day', …)"),
    ("dayofweek", "date_part('dow', …)"),
    ("weekday", "date_part('dow', …)"),
    ("epoch", "date_part('epoch', …)"),
    ("unix_timestamp", "date_part('epoch', …)"),
    ("date", "CAST(… AS DATE)"),
    ("dayname", "to_char(…, '%A')"),
    ("monthname", "to_char(…, '%B')"),
    ("strptime", "to_timestamp(…, '%Y-%m-%d')"),
    ("date_add", "… + INTERVAL '1 day'"),
    ("date_sub", "… - INTERVAL '1 day'"),
    ("dateadd", "… + INTERVAL '1 day'"),
    ("timestampdiff", "date_diff('day', start, end)"),
    ("time_bucket", "date_bin(INTERVAL '1 hour', …)"),
    ("resample", "date_bin(INTERVAL '1 hour', …)"),
    ("format_datetime", "to_char(…, '%Y-%m')"),
    ("getdate", "now()"),
    ("sysdate", "now()"),
    ("percentile", "percentile_cont(x, 0.5)"),
    ("quantile_disc", "percentile_cont(x, 0.5)"),
    ("approx_quantile", "approx_percentile_cont(x, 0.5)"),
    ("first", "first_value(… ORDER BY …)"),
    ("last", "last_value(… ORDER BY …)"),
    ("group_concat", "string_agg(…, ',')"),
    ("listagg", "string_agg(…, ',')"),
    ("list", "array_agg(…)"),
    ("collect_list", "array_agg(…)"),
    ("count_if", "count(*) FILTER (WHERE …)"),
    ("countif", "count(*) FILTER (WHERE …)"),
    ("sum_if", "sum(…) FILTER (WHERE …)"),
    ("avg_if", "avg(…) FILTER (WHERE …)"),
    ("cumsum", "sum(…) OVER (ORDER BY …)"),
    ("diff", "x - lag(x) OVER (ORDER BY …)"),
    ("shift", "lag(…) OVER (ORDER BY …)"),
    ("rolling_mean", "avg(…) OVER (ORDER BY … ROWS BETWEEN 6 PRECEDING AND CURRENT ROW)"),
    ("iff", "CASE WHEN … THEN … ELSE … END"),
    ("iif", "CASE WHEN … THEN … ELSE … END"),
    ("if", "CASE WHEN … THEN … ELSE … END"),
    ("isnull", "… IS NULL"),
    ("notnull", "… IS NOT NULL"),
    ("zeroifnull", "coalesce(…, 0)"),
    ("len", "length(…)"),
    ("ucase", "upper(…)"),
    ("lcase", "lower(…)"),
    ("ceiling", "ceil(…)"),
    ("mod", "x % y"),
    ("pow2", "power(2, …)"),
    ("st_distance", "haversine(lat1, lon1, lat2, lon2)"),
    ("distance", "haversine(lat1, lon1, lat2, lon2)"),
];

/// Explains a syntax error, with the line and a caret below the position.
pub(crate) fn of_parser(text: &str, error: &DataFusionError) -> Failure {
    let DataFusionError::SQL(source, _) = error.find_root() else { return Failure::new(message(error)) };
    if **source == ParserError::RecursionLimitExceeded {
        return Failure::new(too_deep());
    }
    let (ParserError::ParserError(said) | ParserError::TokenizerError(said)) = source.as_ref() else {
        return Failure::new(message(error));
    };
    let (said, place) = placed(said);
    let at = match place {
        Some((line, column)) => byte_at(text, line, column),
        // An error at the end of the text has no position.
        None if said.contains("found: EOF") => text.trim_end().len(),
        None => return Failure::new(in_words(said, text, None)),
    };
    Failure::new(format!("{}\n{}", in_words(said, text, Some(at)), pointed(text, at)))
}

/// A statement with an unclosed parenthesis, and a caret below it.
pub(crate) fn pointed_at_parenthesis(text: &str, failure: Failure) -> Failure {
    let mut open = Vec::new();
    for placed in tokens(text).unwrap_or_default() {
        match placed.token {
            Token::LParen => open.push(placed.at.start),
            Token::RParen => drop(open.pop()),
            _ => {}
        }
    }
    match open.last() {
        Some(&at) if failure.to_string().contains("not closed") => {
            Failure::new(format!("{failure}\n{}", pointed(text, at)))
        }
        _ => failure,
    }
}

/// Rejects numbers with `_` between their digits, which the parser takes for a name behind the
/// number: `1_000` would be 1, called `_000`.
pub(crate) fn check_numbers(text: &str) -> Result<()> {
    let tokens = tokens(text).unwrap_or_default();
    for (number, name) in tokens.iter().zip(tokens.iter().skip(1)) {
        let is_adjacent = matches!(number.token, Token::Number(..)) && number.at.end == name.at.start;
        if let Some((name, false)) = word(&name.token).filter(|_| is_adjacent)
            && name.starts_with('_')
        {
            let number = text.get(number.at.clone()).unwrap_or_default();
            return Err(Failure::new(format!(
                "`{number}{}` is no number: write its digits without `_`",
                printable(name)
            )));
        }
    }
    Ok(())
}

/// Splits a message into its text and the position of ` at Line: 1, Column: 2`.
fn placed(said: &str) -> (&str, Option<(u64, u64)>) {
    let Some((before, place)) = said.rsplit_once(" at Line: ") else { return (said, None) };
    let numbers = place.split_once(", Column: ").and_then(|(line, column)| {
        let column = column.trim_end_matches(|c: char| !c.is_ascii_digit());
        Some((line.parse().ok()?, column.parse().ok()?))
    });
    (before, numbers)
}

/// Converts `Expected: x, found: y` to a sentence.
fn in_words(said: &str, text: &str, at: Option<usize>) -> String {
    let Some((expected, found)) =
        said.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: "))
    else {
        return said.to_owned();
    };
    let expected = expected.trim_end_matches(',').replace("Expected: ", "");
    if found == "EOF" {
        return format!("the statement ends where {expected} should follow");
    }
    // The previous word may be the wrong one, as in `SELECT 1 FORM t`.
    let before = at.and_then(|at| text.get(..at)).and_then(|before| before.split_whitespace().next_back());
    let is_wrong = |word: &&str| !WORDS.contains(&word.to_uppercase().as_str());
    let begins_clause = expected.contains("statement");
    let meant =
        [Some(found), before].into_iter().flatten().filter(|_| begins_clause).filter(is_wrong).find_map(
            |word| {
                let near = names::near(word, WORDS.into_iter());
                let first = near.first().filter(|near| near.len().abs_diff(word.len()) <= 2)?;
                Some(format!(": did you mean `{first}` for `{}`?", printable(word)))
            },
        );
    let meant = match (meant, before) {
        (Some(meant), _) => meant,
        (None, _) if found.eq_ignore_ascii_case("SAMPLE") => {
            ": a sample is `FROM t TABLESAMPLE BERNOULLI (10)`".into()
        }
        (None, Some(before)) if before.ends_with("==") || found == "==" => ": equality is `=`".into(),
        (None, _) => String::new(),
    };
    format!("expected {expected}, found `{}`{meant}", printable(found))
}

/// The line of a text that contains a byte, with a caret below it.
fn pointed(text: &str, at: usize) -> String {
    let (before, after) = text.split_at_checked(at).unwrap_or((text, ""));
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let (mut left, right) =
        (before.get(begin..).unwrap_or_default(), after.lines().next().unwrap_or_default());
    let (mut cut, mut end) = ("", "");
    let mut right = right.to_owned();
    // For a long line, only the part around the position.
    if left.width() + right.width() > LINE {
        let chars = left.chars().count();
        if let Some(skipped) = chars.checked_sub(LINE / 2).filter(|skipped| *skipped > 0) {
            left = left.char_indices().nth(skipped).and_then(|(at, _)| left.get(at..)).unwrap_or_default();
            cut = "…";
        }
        if right.width() > LINE / 2 {
            right = right.chars().take(LINE / 2).collect();
            end = "…";
        }
    }
    let (left, right) =
        (printable(&left.replace('\t', " ")).into_owned(), printable(&right.replace('\t', " ")).into_owned());
    let room = " ".repeat(cut.width() + left.width());
    format!("  {cut}{left}{right}{end}\n  {room}^")
}

/// Explains why the planner rejected a statement.
pub(crate) fn of_planner(context: &SessionContext, text: &str, error: DataFusionError) -> Failure {
    let explained = names::explain_table(context, &error).or_else(|| names::explain(&error));
    if let Some(explained) = explained {
        return Failure::new(explained);
    }
    let said = message(&error);
    let words = unknown_function(context, &said)
        .or_else(|| missing_group(&said))
        .or_else(|| named_twice(&said))
        .or_else(|| without_trees(&said, text));
    words.map_or_else(|| of_engine(error), Failure::new)
}

/// Explains why the optimizer rejected a statement that the planner accepted.
pub(crate) fn of_engine(error: DataFusionError) -> Failure {
    let said = message(&error);
    let words = unchanging(&said)
        .or_else(|| wrong_arguments(&said))
        .or_else(|| not_comparable(&said))
        .or_else(|| correlated(&said))
        .or_else(|| out_of_range(&said));
    words.map_or_else(|| error.into(), Failure::new)
}

fn unknown_function(context: &SessionContext, said: &str) -> Option<String> {
    let name = said.strip_prefix("Invalid function '")?.split('\'').next()?;
    let unknown = format!("there is no function `{}`", printable(name));
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere.eq_ignore_ascii_case(name)) {
        return Some(format!("{unknown}: write `{instead}`"));
    }
    let known = functions_of(context);
    match known.iter().find(|function| function.name == name).map(|function| function.kind) {
        Some("window") => {
            return Some(format!("`{name}` is a function of windows: it needs OVER (ORDER BY …)"));
        }
        Some("table") => return Some(format!("`{name}` gives a table: it stands behind FROM")),
        _ => {}
    }
    let mut names: Vec<&str> = known.iter().map(|function| function.name.as_str()).collect();
    names.dedup();
    let near = names::near(name, names.into_iter());
    let more = if near.is_empty() { ": \\df lists functions" } else { "" };
    Some(format!("{unknown}{}{more}", names::did_you_mean(&near)))
}

/// The statement would change a store.
fn unchanging(said: &str) -> Option<String> {
    let statement =
        ["UPDATE", "DELETE", "TRUNCATE"].into_iter().find(|word| said.starts_with(&format!("{word} not")))?;
    Some(format!("`{statement}` changes no table of this kind: `atlas import` and the API change stores"))
}

/// A column beside aggregates is not a grouping key.
fn missing_group(said: &str) -> Option<String> {
    let rest = said.split_once("column \"")?.1;
    let (column, _) = rest.split_once("\" must appear in the GROUP BY clause")?;
    let is_expression = column.contains(['(', ' ']);
    let name = if is_expression { column } else { column.rsplit('.').next().unwrap_or(column) };
    let clause = match said.split_once(" must be in GROUP BY") {
        Some((before, _)) if before.contains("ORDER BY") => " in ORDER BY",
        Some((before, _)) if before.contains("HAVING") => " in HAVING",
        _ => "",
    };
    Some(format!(
        "`{name}`{clause} has many values for each group: add it to GROUP BY, or aggregate it, as in `max({name})`"
    ))
}

/// A function does not accept these arguments.
fn wrong_arguments(said: &str) -> Option<String> {
    let call = said.split_once("No function matches the given name and argument types '")?.1;
    let (call, _) = call.split_once("'.")?;
    let name = call.split('(').next().unwrap_or(call);
    Some(format!("`{name}` does not take this: {}: \\df {name} shows its arguments", types_in_words(call)))
}

/// Values of these types cannot be compared.
fn not_comparable(said: &str) -> Option<String> {
    let types = said.split_once("Cannot infer common argument type for comparison operation ")?.1;
    let types = types_in_words(types.lines().next().unwrap_or(types));
    let instead = if types.contains("time") {
        "a time is TIMESTAMP '2000-01-01', and date_part('year', time) a number"
    } else {
        "CAST makes one of them the type of the other"
    };
    Some(format!("`{types}` cannot be compared: {instead}"))
}

/// A subquery refers to other tables in a way that cannot be executed.
fn correlated(said: &str) -> Option<String> {
    let rest = said.split_once("does not support logical expression OuterReferenceColumn(")?.1;
    let name = rest.split_once("name: \"")?.1.split('"').next()?;
    Some(format!(
        "a subquery or LATERAL cannot refer to `{}` of an outer query here: join the tables instead",
        printable(name)
    ))
}

/// A time is out of the range of nanoseconds.
fn out_of_range(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("Overflow converting ")?;
    let (time, _) = rest.split_once(" to Nanosecond")?;
    Some(format!(
        "{} is out of range: times have nanoseconds, from 1677-09-21 to 2262-04-11; compare years with year(time)",
        printable(time)
    ))
}

/// Two columns have the same name, also in a subquery, or two aggregates only differ in a cast.
fn named_twice(said: &str) -> Option<String> {
    let begins = [
        "Projections require unique expression names but the expression \"",
        "Schema contains duplicate unqualified field name \"",
        "Schema error: Schema contains duplicate unqualified field name \"",
    ];
    let rest = begins.iter().find_map(|begin| said.strip_prefix(begin))?;
    let name = rest.split("\" at position").next()?.trim_end_matches('"');
    let cast = match name.contains('(') {
        true => "; if they only differ in a cast, write it as arrow_cast(x, 'Float32')",
        false => "",
    };
    Some(format!("two columns would be called `{}`: name one of them with AS{cast}", printable(name)))
}

/// Replaces Arrow's names of types by those shown in results.
fn types_in_words(text: &str) -> String {
    let names = [("LargeUtf8", "text"), ("Utf8View", "text"), ("Utf8", "text"), ("Timestamp(ns)", "time")];
    let text = names.iter().fold(text.to_owned(), |text, (arrow, word)| text.replace(arrow, word));
    ["UInt", "Int", "Float", "Boolean", "Duration", "Date"]
        .iter()
        .fold(text, |text, name| text.replace(name, &name.to_lowercase()))
}

/// What is not supported, without its syntax tree.
fn without_trees(said: &str, text: &str) -> Option<String> {
    let is_tree = |said: &str| said.contains(" { ") || said.contains("([") || said.contains("span:");
    if !is_tree(said) {
        return None;
    }
    let words: Vec<&str> = text.split_whitespace().take(6).collect();
    let what = said.split([':', '{', '(']).next().unwrap_or_default().trim();
    let what = what.trim_start_matches("Unsupported ast node in ").trim();
    Some(format!("a part of this statement is not supported ({what}): {} …", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_is_under_its_place() {
        assert_eq!(pointed("SELEC 1", 0), "  SELEC 1\n  ^");
        assert_eq!(pointed("SELECT 1,\n  größe FORM t", 20), "    größe FORM t\n          ^");
        assert_eq!(pointed("a\tb \x1b[31m", 4), "  a b \\x1b[31m\n      ^");
        let long = format!("SELECT {} x FROM", "1, ".repeat(100));
        for at in [0, 7, 100, long.len()] {
            let shown = pointed(&long, at);
            assert!(shown.lines().all(|line| line.width() < 80), "{shown}");
        }
    }

    /// No hint is about a function that exists here, and every suggested function exists.
    #[test]
    fn functions_of_other_systems_are_written_as_these_are() {
        let (context, _) = crate::session::new_context(None, &Default::default()).unwrap();
        let known: Vec<String> = functions_of(&context)
            .iter()
            .flat_map(|f| f.names().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let is_known = |name: &str| known.iter().any(|known| known == name);
        let wrong: Vec<_> = ELSEWHERE.iter().filter(|(name, _)| is_known(name)).collect();
        assert!(wrong.is_empty(), "{wrong:?} are functions");
        for (name, instead) in ELSEWHERE {
            let call = instead.split_once('(').map(|(call, _)| call.rsplit(' ').next().unwrap_or(call));
            let is_sql = |call: &str| call.is_empty() || call.chars().all(|c| c.is_ascii_uppercase());
            assert!(call.is_none_or(|call| is_sql(call) || is_known(call)), "{name}: {instead}");
        }
    }
}
