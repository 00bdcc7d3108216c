//! `bin`: the bin of a number, for bins of equal width.

use datafusion::logical_expr::ScalarUDF;

use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "bin",
    topic: Topic::Numbers,
    gives: "The lower border of the bin that contains a number. Bins have equal widths, and one \
            begins at zero. NULL if the width is not positive. Use `date_bin` for times.",
    arguments: &[("x", "the number"), ("width", "the width of the bins")],
    source: "arithmetic",
    example: "SELECT bin(12.3, 5)",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[x, width]| {
        // (Not the negated comparison, which NaN would pass.)
        if width <= 0.0 { None } else { Some((x / width).floor() * width) }
    })
}
