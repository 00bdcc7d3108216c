//! What functions tell about themselves.

use datafusion::logical_expr::{DocSection, Documentation};

/// The groups of functions.
#[derive(Clone, Copy, Debug)]
pub enum Topic {
    Geography,
    Time,
    Ocean,
    Atmosphere,
    Units,
    Numbers,
    Statistics,
}

/// What is to be known of a function. Of each argument the name, and what it is with its unit.
#[derive(Debug)]
pub struct About {
    pub name: &'static str,
    pub topic: Topic,
    /// What it gives, with its unit.
    pub gives: &'static str,
    pub arguments: &'static [(&'static str, &'static str)],
    /// Where the definition comes from.
    pub source: &'static str,
    /// A call.
    pub example: &'static str,
}

impl About {
    /// The same as DataFusion keeps it.
    pub fn documentation(&self) -> Documentation {
        let names: Vec<&str> = self.arguments.iter().map(|(name, _)| *name).collect();
        let label = match self.topic {
            Topic::Geography => "Geography",
            Topic::Time => "Time",
            Topic::Ocean => "Ocean",
            Topic::Atmosphere => "Atmosphere",
            Topic::Units => "Units",
            Topic::Numbers => "Numbers",
            Topic::Statistics => "Statistics",
        };
        let section = DocSection { include: true, label, description: None };
        let description = format!("{}\n\nSource: {}", self.gives, self.source);
        let syntax = format!("{}({})", self.name, names.join(", "));
        let documentation =
            Documentation::builder(section, description, syntax).with_sql_example(self.example);
        let with = |all: datafusion::logical_expr::DocumentationBuilder, (name, what): &(&str, &str)| {
            all.with_argument(*name, *what)
        };
        self.arguments.iter().fold(documentation, with).build()
    }
}
