//! `absolute_salinity`: from Practical Salinity.

use datafusion::logical_expr::ScalarUDF;

use super::{known, salinity};
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "absolute_salinity",
    topic: Topic::Ocean,
    gives: "Absolute Salinity in g/kg of seawater of Reference Composition. It does not include \
            the composition anomaly, which depends on the place: the anomaly is below 0.005 g/kg \
            in most of the Atlantic and at most 0.03 g/kg in the open ocean (northern Pacific). \
            Not for the Baltic.",
    arguments: &[("sp", "Practical Salinity (PSS-78), as floats measure it")],
    source: "TEOS-10, Reference Salinity (Millero et al. 2008), by the `gsw` crate",
    example: "SELECT absolute_salinity(35)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[sp]| known([sp], || salinity(sp).map(gsw::conversions::sr_from_sp).ok_or(())))
}
