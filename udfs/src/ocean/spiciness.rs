//! `spiciness`: how warm and salty seawater is for its density.

use datafusion::logical_expr::ScalarUDF;

use super::salinity;
use crate::documentation::{About, Topic};
use crate::numeric::numeric;

const ABOUT: About = About {
    name: "spiciness",
    topic: Topic::Ocean,
    gives: "The spiciness in kg/m³ at the surface: greater in warm and salty water than in cold and fresh \
            water of the same density, and 0 for 35.16504 g/kg at 0 degrees.",
    arguments: &[("sa", "Absolute Salinity in g/kg"), ("ct", "Conservative Temperature in degrees Celsius")],
    source: "McDougall and Krzysik (2015), `spiciness0` of the `gsw` toolboxes",
    example: "SELECT spiciness(34.7, 28.8)",
};

/// For each power of the root of reduced salinity, the coefficients of the powers of reduced
/// temperature.
const COEFFICIENTS: [[f64; 7]; 7] = [
    [
        -92.2982898371678,
        -13.5727873628866,
        18.735365099401,
        -16.1360047373455,
        37.6112762286425,
        -42.7086671461257,
        20.0820111041594,
    ],
    [
        287.969717584045,
        11.3747111959674,
        60.737719299068,
        -73.7514033570187,
        -75.1171878953574,
        163.310989721504,
        -88.3222751638095,
    ],
    [
        -641.725302237048,
        27.9732530789261,
        -249.466901993728,
        326.691295035416,
        26.6389243708181,
        -293.170905757579,
        176.053907144524,
    ],
    [
        827.634318120224,
        -70.2156220126926,
        382.973336590803,
        -506.206828083959,
        66.9626565169529,
        302.851235050766,
        -196.345285604621,
    ],
    [
        -574.040806713526,
        70.3285905478333,
        -297.870298879716,
        388.340373735118,
        -82.9188936089122,
        -187.602137195354,
        127.096944425793,
    ],
    [
        211.671167892147,
        -31.5140919876285,
        116.458864953602,
        -150.029730802344,
        37.6293848660589,
        64.72474243732,
        -44.7159994408867,
    ],
    [
        -32.3533339449055,
        5.30648562097667,
        -18.2051249177948,
        23.3184351090495,
        -6.22909903460368,
        -9.55975464301446,
        6.61877073960113,
    ],
];

/// kg/g: makes a salinity of 40 g/kg (times 35.16504/35) one.
const REDUCED_SALINITY: f64 = 1.0 / (40.0 * (35.16504 / 35.0));

/// An offset added to salinity in g/kg, so that the root has a slope at zero.
const OFFSET: f64 = 24.0;

/// The function.
pub(super) fn udf() -> ScalarUDF {
    numeric(&ABOUT, |[sa, ct]| {
        let x = ((salinity(sa)? + OFFSET) * REDUCED_SALINITY).sqrt();
        let polynomial = |x: f64, coefficients: &mut dyn DoubleEndedIterator<Item = f64>| {
            coefficients.rfold(0.0, |sum, coefficient| sum * x + coefficient)
        };
        let in_temperature = |row: &[f64; 7]| polynomial(ct / 40.0, &mut row.iter().copied());
        Some(polynomial(x, &mut COEFFICIENTS.iter().map(in_temperature)))
    })
}
