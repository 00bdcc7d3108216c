//! `relative_humidity`: the ratio to saturation.

use datafusion::logical_expr::ScalarUDF;

use super::{kelvins, saturation};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "relative_humidity",
    topic: Topic::Atmosphere,
    gives: "The relative humidity over liquid water, as a fraction of one.",
    arguments: &[("t", "temperature in K"), ("td", "dewpoint in K")],
    source: "the ratio of vapour pressures (Ambaum 2020, equation 13)",
    example: "SELECT relative_humidity(293.15, 283.15)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[t, td]| Some(saturation(kelvins(td)?) / saturation(kelvins(t)?)))
}
