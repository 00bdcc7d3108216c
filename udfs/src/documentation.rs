//! The documentation of functions.

use datafusion::logical_expr::{DocSection, Documentation};

/// The groups of functions.
#[derive(Clone, Copy, Debug)]
pub enum Topic {
    Geography,
    Time,
    Ocean,
    Profiles,
    Atmosphere,
    Units,
    Numbers,
    Statistics,
}

/// The description of a function. Each argument has its name, and its meaning with its unit. The
/// name of an optional argument ends in `?`.
#[derive(Debug)]
pub struct About {
    pub name: &'static str,
    pub topic: Topic,
    /// The result of the function, with its unit.
    pub gives: &'static str,
    pub arguments: &'static [(&'static str, &'static str)],
    /// The source of the definition.
    pub source: &'static str,
    /// A call.
    pub example: &'static str,
}

impl About {
    /// The same as DataFusion's documentation.
    pub fn documentation(&self) -> Documentation {
        let mut names = String::new();
        for (place, (name, _)) in self.arguments.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            names += &match name.strip_suffix('?') {
                Some(name) => format!("[{comma}{name}]"),
                None => format!("{comma}{name}"),
            };
        }
        let label = match self.topic {
            Topic::Geography => "Geography",
            Topic::Time => "Time",
            Topic::Ocean => "Ocean",
            Topic::Profiles => "Profiles",
            Topic::Atmosphere => "Atmosphere",
            Topic::Units => "Units",
            Topic::Numbers => "Numbers",
            Topic::Statistics => "Statistics",
        };
        let section = DocSection { include: true, label, description: None };
        let description = format!("{}\n\nSource: {}", self.gives, self.source);
        let syntax = format!("{}({})", self.name, names.replace("][", ""));
        let documentation =
            Documentation::builder(section, description, syntax).with_sql_example(self.example);
        let with = |all: datafusion::logical_expr::DocumentationBuilder, (name, what): &(&str, &str)| {
            all.with_argument(name.trim_end_matches('?'), *what)
        };
        self.arguments.iter().fold(documentation, with).build()
    }
}
