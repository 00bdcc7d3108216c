//! `bin`: the bin of a number, for bins of equal width.

use datafusion::logical_expr::ScalarUDF;

use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "bin",
    topic: Topic::Numbers,
    gives: "The lower border of the bin that a number is in, of bins of one width of which one begins at zero. NULL for a width that is not above zero. \
            For times there is `date_bin`.",
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
