//! The meaning of a column.

use super::role::{Attributes, Role};

/// What is known about a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meaning {
    /// The column's name in the query, without the names of tables.
    pub name: String,
    /// The units of its values, as files spell them.
    pub units: Option<String>,
    pub role: Option<Role>,
    /// Whether other columns are measured along it. This is the case for dimensions of tables and
    /// grouping keys.
    pub independent: bool,
    /// Whether its values are amounts such as counts and sums, which bars show from zero.
    pub amount: bool,
    /// Whether the sign of its values matters, as for velocities, anomalies and differences.
    pub signed: bool,
    /// The interval that each value represents, if any.
    pub bin: Option<Bin>,
}

/// The interval that a value represents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bin {
    /// The interval of this width that starts at the value; in units of the column, or in seconds.
    From(f64),
    /// The interval of this width around the value.
    Around(f64),
    /// The interval of this many months that starts at the time.
    Months(u32),
}

impl Meaning {
    /// The meaning of a column of which only the name is known.
    pub(crate) fn named(name: &str) -> Self {
        Self::of_variable(name, &Attributes::default(), false)
    }

    /// The meaning of a column with the values of a variable with these attributes.
    pub(super) fn of_variable(name: &str, attributes: &Attributes, independent: bool) -> Self {
        let role = Role::of(name, attributes, independent);
        let units = attributes.units.clone().filter(|units| !units.is_empty() && !units.contains(" since "));
        let signed = is_signed(name, attributes.standard_name.as_deref().unwrap_or_default());
        Self { name: name.to_owned(), units, role, independent, signed, ..Self::default() }
    }

    /// The properties that both meanings share.
    pub(super) fn common(self, other: &Self) -> Self {
        Self {
            units: self.units.filter(|units| other.units.as_ref() == Some(units)),
            role: self.role.filter(|role| other.role == Some(*role)),
            bin: self.bin.filter(|bin| other.bin == Some(*bin)),
            independent: self.independent && other.independent,
            amount: self.amount && other.amount,
            signed: self.signed || other.signed,
            name: self.name,
        }
    }
}

/// Whether the sign of a variable's values matters, according to its standard name, else to its
/// name.
fn is_signed(name: &str, standard_name: &str) -> bool {
    let of = |text: &str, parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if !standard_name.is_empty() {
        let parts = [
            "velocity",
            "eastward_",
            "northward_",
            "upward_",
            "_x_",
            "_y_",
            "anomaly",
            "tendency",
            "stress",
            "vorticity",
            "divergence",
            "difference",
            "residual",
            "flux",
            "_wind_x",
            "omega",
        ];
        return of(standard_name, &parts);
    }
    let name = name.to_ascii_lowercase();
    let names = ["u", "v", "w", "u10", "v10", "ugos", "vgos", "uo", "vo", "wo", "ua", "va", "wa", "sla"];
    names.contains(&name.as_str()) || of(&name, &["anom", "diff", "trend", "bias", "velocity", "residual"])
}
