//! What is known of a column.

use super::role::{Attributes, Role};

/// What is known of a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::plot) struct Meaning {
    /// The column as a query names it, without the names of tables.
    pub name: String,
    /// The units of its values, as files spell them.
    pub units: Option<String>,
    pub role: Option<Role>,
    /// Whether other columns are measured along it: dimensions of tables and keys of groups.
    pub independent: bool,
    /// Whether its values are amounts, which bars show from zero: counts and sums.
    pub amount: bool,
    /// Whether the sign of its values matters: velocities, anomalies, differences.
    pub signed: bool,
    /// The interval that each of its values stands for, if it stands for one.
    pub bin: Option<Bin>,
}

/// The interval that a value stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::plot) enum Bin {
    /// From the value on, for a width: in the column's units, or in seconds.
    From(f64),
    /// Around the value, of a width.
    Around(f64),
    /// From the time on, for so many months.
    Months(u32),
}

impl Meaning {
    /// A column of which only the name is known.
    pub(in crate::plot) fn named(name: &str) -> Self {
        Self::of_variable(name, &Attributes::default(), false)
    }

    /// A column that shows a variable with these attributes.
    pub(super) fn of_variable(name: &str, attributes: &Attributes, independent: bool) -> Self {
        let role = Role::of(name, attributes, independent);
        let units = attributes.units.clone().filter(|units| !units.is_empty() && !units.contains(" since "));
        let signed = is_signed(name, attributes.standard_name.as_deref().unwrap_or_default());
        Self { name: name.to_owned(), units, role, independent, signed, ..Self::default() }
    }

    /// What holds of columns of both meanings.
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

/// Whether a variable's values have signs that matter, by its standard name, else by its name.
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
