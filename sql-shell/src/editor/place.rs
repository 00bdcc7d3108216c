//! Determines what can be completed at a place in a statement.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// A table in a statement, and the name that qualifies its columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub parts: Vec<String>,
    pub alias: String,
}

impl Table {
    pub(super) fn name(&self) -> String {
        self.parts.join(".")
    }
}

/// What the statement expects at a place.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The tables that the statement names.
    pub tables: Vec<Table>,
    pub wants_table: bool,
    pub wants_column: bool,
}

/// The meaning of a quoted text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    Path,
    Dataset,
}

/// Words that precede a table.
const BEFORE_TABLES: [&str; 8] = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE", "DESC", "SUMMARIZE"];

/// Words that begin a clause, and whether columns follow them.
const CLAUSES: [(&str, bool); 21] = [
    ("SELECT", true),
    ("DISTINCT", true),
    ("WHERE", true),
    ("ON", true),
    ("USING", true),
    ("BY", true),
    ("HAVING", true),
    ("QUALIFY", true),
    ("AND", true),
    ("OR", true),
    ("NOT", true),
    ("EXCLUDE", true),
    ("REPLACE", true),
    ("FILTER", true),
    ("SET", false),
    ("LIMIT", false),
    ("OFFSET", false),
    ("VALUES", false),
    ("CREATE", false),
    ("EXPLAIN", false),
    ("COPY", false),
];

impl Place {
    /// The place at the end of a text, or at the start of a word at a given byte.
    pub(super) fn at(text: &str, word: Option<usize>) -> Self {
        let tables = tables(&tokens(text));
        let front = tokens(text.get(..word.unwrap_or(text.len())).unwrap_or(text));
        let last = front.last();
        // A table may be followed by an alias, and an alias only by a keyword.
        let Some(clause) = clause(&front) else {
            return Self { tables, wants_table: false, wants_column: false };
        };
        let is_of_tables = BEFORE_TABLES.iter().any(|word| is_word(clause, word));
        let follows = last.is_some_and(|last| *last == Token::Comma || std::ptr::eq(last, clause));
        let in_columns = CLAUSES.iter().any(|(word, columns)| *columns && is_word(clause, word));
        Self { tables, wants_table: is_of_tables && follows, wants_column: in_columns }
    }
}

/// The word that begins the clause at the end of a text. Clauses of the innermost parentheses come
/// first.
fn clause(tokens: &[Token]) -> Option<&Token> {
    let mut closed = 0usize;
    for token in tokens.iter().rev() {
        match token {
            Token::RParen => closed += 1,
            Token::LParen => closed = closed.saturating_sub(1),
            Token::SemiColon if closed == 0 => return None,
            Token::Word(_) if closed == 0 => {
                let begins = BEFORE_TABLES.iter().chain(CLAUSES.iter().map(|(word, _)| word));
                if begins.clone().any(|word| is_word(token, word)) {
                    return Some(token);
                }
            }
            _ => {}
        }
    }
    None
}

/// The tables after FROM, JOIN, INTO and so on.
fn tables(tokens: &[Token]) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut rest = tokens;
    let mut in_from = false;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let is_comma = in_from && *first == Token::Comma;
        if !is_comma && !BEFORE_TABLES.iter().any(|word| is_word(first, word)) {
            let ends = CLAUSES.iter().any(|(word, _)| is_word(first, word));
            in_from &= !ends;
            continue;
        }
        in_from = is_comma || is_word(first, "FROM") || is_word(first, "JOIN");
        let mut parts = Vec::new();
        while let Some((Token::Word(word), after)) = rest.split_first() {
            parts.push(word.value.clone());
            rest = after;
            match rest.split_first() {
                Some((Token::Period, after)) => rest = after,
                _ => break,
            }
        }
        // A name before a parenthesis is a function, and not a table.
        let Some(last) = parts.last().filter(|_| rest.first() != Some(&Token::LParen)) else { continue };
        let mut alias = last.clone();
        let named = match rest {
            [word, Token::Word(name), ..] if is_word(word, "AS") => Some(name),
            [Token::Word(name), ..] => Some(name),
            _ => None,
        };
        if let Some(name) = named.filter(|name| name.quote_style.is_some() || is_no_keyword(&name.value)) {
            alias.clone_from(&name.value);
        }
        tables.push(Table { parts, alias });
    }
    tables
}

fn is_no_keyword(word: &str) -> bool {
    let upper = word.to_uppercase();
    !super::KEYWORDS.contains(&upper.as_str()) && upper != "QUALIFY" && upper != "TABLESAMPLE"
}

/// The meaning of a text after `front`, as in `dataset = '` or `FROM '`.
pub(super) fn of_text(front: &str) -> Option<Quoted> {
    let tokens = tokens(front);
    let mut rest = tokens.as_slice();
    // Skips earlier texts of the same list.
    while let [before @ .., Token::SingleQuotedString(_), Token::Comma] = rest {
        rest = before;
    }
    match rest {
        [.., last] if ["FROM", "JOIN", "TO", "LOCATION"].iter().any(|word| is_word(last, word)) => {
            Some(Quoted::Path)
        }
        [.., function, Token::LParen]
            if ["read_atlas", "atlas_datasets", "atlas_chunks"]
                .iter()
                .any(|name| is_word(function, name)) =>
        {
            Some(Quoted::Path)
        }
        [.., name, Token::Eq | Token::Neq] if is_word(name, "dataset") => Some(Quoted::Dataset),
        [.., name, like] if is_word(name, "dataset") && is_word(like, "LIKE") => Some(Quoted::Dataset),
        [.., name, is_in, Token::LParen] if is_word(is_in, "IN") => {
            let is_dataset = is_word(name, "dataset")
                || is_word(name, "NOT") && matches!(rest, [.., of, _, _, _] if is_word(of, "dataset"));
            is_dataset.then_some(Quoted::Dataset)
        }
        _ => None,
    }
}

/// The position of an unclosed quote.
pub(super) fn open_quote(text: &str) -> Option<usize> {
    let mut open: Option<(char, usize)> = None;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match open {
            Some((quote, _)) if c == quote => open = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => open = Some((c, at)),
            None if c == '-' && rest.peek().is_some_and(|(_, c)| *c == '-') => {
                while rest.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            None => {}
        }
    }
    open.filter(|(quote, _)| *quote == '\'').map(|(_, at)| at)
}

/// The tokens of a text without white space, up to the first incomplete one.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    // If tokenizing fails, the tokens before the error remain.
    let _ = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut found);
    let tokens = found.into_iter().map(|located| located.token);
    tokens.filter(|token| !matches!(token, Token::Whitespace(_) | Token::EOF)).collect()
}

fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(wanted))
}
