//! The functions of a session, and a help page about each.

use datafusion::logical_expr::Documentation;
use datafusion::prelude::SessionContext;

/// A function of a session.
pub(crate) struct Function {
    pub name: String,
    pub kind: &'static str,
    pub syntax: String,
    documentation: Option<Documentation>,
    aliases: Vec<String>,
}

/// All functions of a session, sorted by name.
pub(crate) fn functions_of(context: &SessionContext) -> Vec<Function> {
    let state = context.state();
    let function = |name: &str, kind, documentation: Option<&Documentation>, aliases: &[String]| Function {
        name: name.to_owned(),
        kind,
        syntax: documentation.map_or_else(|| format!("{name}()"), |known| known.syntax_example.clone()),
        documentation: documentation.cloned(),
        aliases: aliases.to_vec(),
    };
    let mut functions = Vec::new();
    let scalar = state.scalar_functions().values();
    functions.extend(scalar.map(|f| function(f.name(), "scalar", f.documentation(), f.aliases())));
    let aggregate = state.aggregate_functions().values();
    functions.extend(aggregate.map(|f| function(f.name(), "aggregate", f.documentation(), f.aliases())));
    let window = state.window_functions().values();
    functions.extend(window.map(|f| function(f.name(), "window", f.documentation(), f.aliases())));
    functions.extend(state.table_functions().keys().map(|name| function(name, "table", None, &[])));
    let sample_at = atlas_datafusion::sample::documentation();
    functions.push(function(atlas_datafusion::SAMPLE_AT, "table", Some(&sample_at), &[]));
    functions.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    // A function is registered under each of its names.
    functions.dedup_by(|a, b| (&a.name, a.kind) == (&b.name, b.kind));
    functions
}

impl Function {
    /// All names of the function, including aliases.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// The first sentence of its description.
    pub(crate) fn summary(&self) -> Option<String> {
        self.documentation.as_ref().map(|known| first_sentence(&known.description))
    }

    /// The help page about it, as text.
    pub(crate) fn page(&self) -> String {
        let mut page = format!("{} ({} function)\n", self.syntax, self.kind);
        let Some(known) = &self.documentation else { return page };
        page.push('\n');
        page.push_str(&wrapped(&known.description, ""));
        if let Some(arguments) = known.arguments.as_ref().filter(|arguments| !arguments.is_empty()) {
            page.push_str("\nArguments:\n");
            for (name, about) in arguments {
                page.push_str(&wrapped(&format!("{name}: {about}"), "  "));
            }
        }
        if let Some(syntaxes) = known.alternative_syntax.as_ref().filter(|syntaxes| !syntaxes.is_empty()) {
            page.push_str("\nAlso written:\n");
            syntaxes.iter().for_each(|syntax| page.push_str(&format!("  {syntax}\n")));
        }
        if !self.aliases.is_empty() {
            page.push_str(&format!("\nOther names: {}\n", self.aliases.join(", ")));
        }
        if let Some(example) = &known.sql_example {
            let lines = example.lines().filter(|line| !line.trim_start().starts_with("```"));
            page.push_str("\nExample:\n");
            lines.for_each(|line| page.push_str(&format!("  {line}\n")));
        }
        if let Some(related) = known.related_udfs.as_ref().filter(|related| !related.is_empty()) {
            page.push_str(&format!("\nSee also: {}\n", related.join(", ")));
        }
        page
    }
}

fn first_sentence(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => line.split(" Source: ").next().unwrap_or_default().to_owned(),
    }
}

/// Wraps paragraphs at 80 columns, with an indent.
fn wrapped(text: &str, indent: &str) -> String {
    const WIDTH: usize = 80;
    let mut out = String::new();
    for (i, paragraph) in text.trim().split("\n\n").enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let (mut line, mut continued) = (indent.to_owned(), false);
        for word in paragraph.split_whitespace() {
            if continued && line.chars().count() + 1 + word.chars().count() > WIDTH {
                out.push_str(&line);
                out.push('\n');
                line = format!("{indent}{}", if indent.is_empty() { "" } else { "  " });
                continued = false;
            }
            if continued {
                line.push(' ');
            }
            line.push_str(word);
            continued = true;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Whether a name matches a pattern. An empty pattern matches everything. A pattern with `*` must
/// match the whole name, and other patterns a part of it.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return name.contains(&pattern) };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_like_names() {
        for (pattern, name) in
            [("", "a"), ("ave", "Haversine"), ("h*e", "haversine"), ("*", "a"), ("*b*", "abc")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("b", "a"), ("h*x", "haversine"), ("a*", "haversine")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
