//! Potential temperature, computed from the entropy of seawater.
//!
//! The Gibbs function of seawater (Feistel 2008, IAPWS R13-08) is a polynomial in x, the root of a
//! reduced salinity, and in reduced temperature and pressure. Its derivative by temperature is
//! minus the entropy. Terms that depend only on salinity are equal at all temperatures and
//! pressures, and are left out.

/// The derivative by reduced temperature: the powers of the three variables, and a coefficient in
/// J/kg.
const TERMS: [(usize, usize, usize, f64); 71] = [
    (0, 0, 1, -270.983805184062),
    (0, 0, 2, 776.153611613101),
    (0, 0, 3, -196.51255088122),
    (0, 0, 4, 28.9796526294175),
    (0, 0, 5, -2.13290083518327),
    (0, 1, 0, -24715.571866078),
    (0, 1, 1, 2910.0729080936),
    (0, 1, 2, -1513.116771538718),
    (0, 1, 3, 546.959324647056),
    (0, 1, 4, -111.1208127634436),
    (0, 1, 5, 8.68841343834394),
    (0, 2, 0, 2210.2236124548363),
    (0, 2, 1, -2017.52334943521),
    (0, 2, 2, 1498.081172457456),
    (0, 2, 3, -718.6359919632359),
    (0, 2, 4, 146.4037555781616),
    (0, 2, 5, -4.9892131862671505),
    (0, 3, 0, -592.743745734632),
    (0, 3, 1, 1591.873781627888),
    (0, 3, 2, -1207.261522487504),
    (0, 3, 3, 608.785486935364),
    (0, 3, 4, -105.4993508931208),
    (0, 4, 0, 290.12956292128547),
    (0, 4, 1, -973.091553087975),
    (0, 4, 2, 602.603274510125),
    (0, 4, 3, -276.361526170076),
    (0, 4, 4, 32.40953340386105),
    (0, 5, 0, -113.90630790850321),
    (0, 5, 1, 381.06836198507096),
    (0, 5, 2, -133.7383902842754),
    (0, 5, 3, 49.023632509086724),
    (0, 6, 0, 21.35571525415769),
    (0, 6, 1, -67.41756835751434),
    (2, 0, 1, 729.116529735046),
    (2, 0, 2, -343.956902961561),
    (2, 0, 3, 124.687671116248),
    (2, 0, 4, -31.656964386073),
    (2, 0, 5, 7.04658803315449),
    (2, 1, 0, 1760.062705994408),
    (2, 1, 1, -1721.528607567954),
    (2, 1, 2, 674.819060538734),
    (2, 1, 3, -356.629112415276),
    (2, 1, 4, 88.4080716616),
    (2, 1, 5, -15.84003094423364),
    (2, 2, 0, -675.802947790203),
    (2, 2, 1, 2082.7344423998043),
    (2, 2, 2, -614.668925894709),
    (2, 2, 3, 340.685093521782),
    (2, 2, 4, -33.3848202979239),
    (2, 3, 0, 365.7041791005036),
    (2, 3, 1, -1190.914967948748),
    (2, 3, 2, 298.904564555024),
    (2, 3, 3, -145.9491676006352),
    (2, 4, 0, -108.30162043765552),
    (2, 5, 0, 12.78101825083098),
    (3, 0, 1, -175.292041186547),
    (3, 0, 2, 83.1923927801819),
    (3, 0, 3, -29.483064349429),
    (3, 1, 0, -86.1329351956084),
    (3, 1, 1, 766.116132004952),
    (3, 1, 2, -108.3834525034224),
    (3, 1, 3, 51.2796974779828),
    (3, 2, 0, -30.0682112585625),
    (3, 2, 1, -1380.9597954037708),
    (3, 3, 0, 3.50240264723578),
    (3, 3, 1, 938.26075044542),
    (4, 0, 1, -22.6683558512829),
    (4, 1, 0, -137.1145018408982),
    (4, 2, 0, 148.10030845687618),
    (4, 3, 0, -68.5590309679152),
    (4, 4, 0, 12.4848504784754),
];

/// kg/g: makes a salinity of 40 g/kg (times 35.16504/35) one.
const REDUCED_SALINITY: f64 = 0.024_882_667_558_461_5;

/// Entropy without the terms that depend only on salinity, and its derivative by temperature.
#[allow(clippy::cast_precision_loss)]
fn entropy(sa: f64, t: f64, p: f64) -> (f64, f64) {
    let x = powers((REDUCED_SALINITY * sa).sqrt());
    let (y, z) = (powers(t / 40.0), powers(p * 1e-4));
    let (mut sum, mut slope) = (0.0, 0.0);
    for &(i, j, k, coefficient) in &TERMS {
        let rest = coefficient * x[i] * z[k];
        sum += rest * y[j];
        if j > 0 {
            slope += rest * j as f64 * y[j - 1];
        }
    }
    (-sum / 40.0, -slope / 1600.0)
}

/// The powers of a number from zero on, as many as the terms need.
fn powers(x: f64) -> [f64; 7] {
    let mut powers = [1.0; 7];
    for i in 1..powers.len() {
        powers[i] = powers[i - 1] * x;
    }
    powers
}

/// The temperature that seawater would have at the surface, with the entropy that it has at a given
/// temperature and pressure.
pub fn potential_temperature(sa: f64, t: f64, p: f64) -> f64 {
    let (wanted, _) = entropy(sa, t, p);
    let mut surface = t;
    // Newton's method. Three steps have an error below 1e-12 degrees.
    for _ in 0..4 {
        let (found, slope) = entropy(sa, surface, 0.0);
        surface -= (found - wanted) / slope;
    }
    surface
}
