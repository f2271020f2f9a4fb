//! Distances on the Earth as it is, a little flatter than a sphere (WGS 84).

/// The radius of the equator, in meters, and how much shorter the axis is.
const EQUATOR_METERS: f64 = 6_378_137.0;
const FLATTENING: f64 = 1.0 / 298.257_223_563;

/// The meters of the shortest way between two places, given as longitude and latitude in degrees, by the formulae of
/// Vincenty. `None` where they do not settle: for places that are nearly opposite each other.
pub fn distance(a: [f64; 2], b: [f64; 2]) -> Option<f64> {
    const ROUNDS_MAX: usize = 200;
    /// Less than a tenth of a millimeter.
    const SETTLED: f64 = 1e-12;
    if a == b {
        return Some(0.0);
    }
    let polar = EQUATOR_METERS * (1.0 - FLATTENING);
    let reduced = |latitude: f64| ((1.0 - FLATTENING) * latitude.to_radians().tan()).atan().sin_cos();
    let ((sin1, cos1), (sin2, cos2)) = (reduced(a[1]), reduced(b[1]));
    let apart = (b[0] - a[0]).to_radians();
    let mut lambda = apart;
    for _ in 0..ROUNDS_MAX {
        let (sin_lambda, cos_lambda) = lambda.sin_cos();
        let sin_sigma = (cos2 * sin_lambda).hypot(cos1 * sin2 - sin1 * cos2 * cos_lambda);
        if sin_sigma == 0.0 {
            return Some(0.0);
        }
        let cos_sigma = sin1 * sin2 + cos1 * cos2 * cos_lambda;
        let sigma = sin_sigma.atan2(cos_sigma);
        let sin_alpha = cos1 * cos2 * sin_lambda / sin_sigma;
        let cos2_alpha = 1.0 - sin_alpha * sin_alpha;
        let middle = if cos2_alpha == 0.0 { 0.0 } else { cos_sigma - 2.0 * sin1 * sin2 / cos2_alpha };
        let c = FLATTENING / 16.0 * cos2_alpha * (4.0 + FLATTENING * (4.0 - 3.0 * cos2_alpha));
        let turned = middle + c * cos_sigma * (2.0 * middle * middle - 1.0);
        let next = apart + (1.0 - c) * FLATTENING * sin_alpha * (sigma + c * sin_sigma * turned);
        if (next - lambda).abs() > SETTLED {
            lambda = next;
            continue;
        }
        let u2 = cos2_alpha * (EQUATOR_METERS * EQUATOR_METERS - polar * polar) / (polar * polar);
        let long = 1.0 + u2 / 16384.0 * (4096.0 + u2 * (-768.0 + u2 * (320.0 - 175.0 * u2)));
        let short = u2 / 1024.0 * (256.0 + u2 * (-128.0 + u2 * (74.0 - 47.0 * u2)));
        let inner = cos_sigma * (2.0 * middle * middle - 1.0)
            - short / 6.0 * middle * (4.0 * sin_sigma * sin_sigma - 3.0) * (4.0 * middle * middle - 3.0);
        let correction = short * sin_sigma * (middle + short / 4.0 * inner);
        return Some(polar * long * (sigma - correction));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn known_distances() {
        // A quarter of a meridian, a degree of the equator, and Vincenty's own line from Flinders Peak to Buninyong.
        for (a, b, meters) in [
            ([0.0, 0.0], [0.0, 90.0], 10_001_965.729),
            ([0.0, 0.0], [1.0, 0.0], 111_319.491),
            ([144.424_867_888_889, -37.951_033_416_667], [143.926_495_527_778, -37.652_821_138_889], 54_972.271),
        ] {
            assert!((distance(a, b).unwrap_or(f64::NAN) - meters).abs() < 1e-2, "{meters}");
        }
        assert_eq!(distance([5.0, 5.0], [5.0, 5.0]), Some(0.0));
    }
}
