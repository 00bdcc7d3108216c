//! `SHOW` and `RESET` for the options of Atlas, which DataFusion only does for its own.

use atlas_datafusion::AtlasOptions;
use datafusion::common::config::{ConfigEntry, ExtensionOptions};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Statement as Sql};

use crate::error::{Failure, Result};

/// The names of all options. DataFusion lists those of extensions, which are Atlas's, without their
/// prefix.
const ALL: &str = "SELECT CASE WHEN name LIKE 'datafusion.%' THEN name ELSE 'atlas.' || name END AS name, value \
                   FROM information_schema.df_settings ORDER BY name";

/// Replaces `SHOW ALL` and `SHOW atlas.option` by queries.
pub(super) fn shown(statement: &mut Sql) -> Result<()> {
    let Sql::ShowVariable { variable } = statement else { return Ok(()) };
    let names: Vec<String> = variable.iter().map(folded).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let query = match names.as_slice() {
        ["all"] => ALL.to_owned(),
        ["atlas", rest @ ..] => {
            let option = option(&rest.join("."))?.key;
            format!("SELECT * FROM ({ALL}) WHERE name = 'atlas.{option}'")
        }
        _ => return Ok(()),
    };
    if let Statement::Statement(query) = parsed(&query)? {
        *statement = *query;
    }
    Ok(())
}

/// The statement that sets an option of Atlas to its default; `None` for options of DataFusion.
pub(super) fn reset(name: &ObjectName) -> Result<Option<Statement>> {
    let names: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
    let [first, rest @ ..] = names.as_slice() else { return Ok(None) };
    if first != "atlas" {
        return Ok(None);
    }
    let ConfigEntry { key, value, .. } = option(&rest.join("."))?;
    parsed(&format!("SET atlas.{key} = '{}'", value.unwrap_or_default())).map(Some)
}

/// An option of Atlas, with its default.
fn option(name: &str) -> Result<ConfigEntry> {
    let known = AtlasOptions::default().entries();
    let found = known.into_iter().find(|option| option.key == name);
    found.ok_or_else(|| Failure::new(format!("there is no option `atlas.{name}`: \\set atlas lists them")))
}

fn parsed(sql: &str) -> Result<Statement> {
    let statement = DFParser::parse_sql(sql)?.pop_front();
    statement.ok_or_else(|| Failure::new("there is nothing to run"))
}

fn folded(ident: &Ident) -> String {
    ident.value.to_lowercase()
}
