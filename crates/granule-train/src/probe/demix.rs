//! Demixed principal components (Kobak, Brendel, Constantinidis, Feierstein, Kepecs, Mainen, Qi, Romo, Uchida & Machens 2016, eLife
//! 5:e10989, doi:10.7554/eLife.10989).

use granule_dynamics::DynamicsError;
use granule_dynamics::linalg::{Cholesky, symmetric_eigen};

/// Activity averaged over trials, taken apart into what goes with time alone, with each variable of the task, and with several
/// together; and directions along which each part is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Demixed {
    /// The share of all variance that each part has: time, each variable (with time), the rest. They add up to 1.
    pub parts: Vec<f64>,
    /// Of all parts, the components with the largest variance first.
    pub components: Vec<Component>,
}

/// A direction along which one part is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Which of [`Demixed::parts`] it was made for.
    pub part: usize,
    /// What is taken of each unit, d.
    pub decoder: Vec<f64>,
    /// What is given back to each unit, f, a unit vector.
    pub encoder: Vec<f64>,
    /// The activity along it, d · x, `[combinations, steps]`.
    pub projection: Vec<f64>,
    /// The share of all variance that f (d · x) explains.
    pub explained: f64,
    /// What of the variance of the projection is of each part.
    pub shares: Vec<f64>,
}

/// Takes `data`, `[units, combinations, steps]`, apart by variables with `levels` values each, whose combinations stand with the last
/// variable changing first, and gives at most `components` directions of each part.
///
/// A part X_φ holds means over all other variables, less those of smaller parts. Its directions make ‖X_φ − F D X‖² + λ ‖F D‖² least for a
/// given number of them: regression of X_φ on X with the penalty, then its principal components. λ is `ridge` times ‖X‖². Means over
/// trials are taken as they are: there is no covariance of noise in the regression, and what trials differ in by chance is counted with
/// the parts. `done` hears of the share that is done, and may end it.
///
/// # Errors
///
/// [`DynamicsError::Config`] for data of another extent, not finite, or without any variance, and a `ridge` that is not above 0;
/// [`DynamicsError::NotConverged`].
pub fn demix(
    data: &[f64],
    units: usize,
    levels: &[usize],
    components: usize,
    ridge: f64,
    done: &dyn Fn(f64) -> Result<(), DynamicsError>,
) -> Result<Demixed, DynamicsError> {
    let combinations: usize = levels.iter().product();
    let places = data.len() / units.max(1);
    let steps = places / combinations.max(1);
    if units == 0 || steps == 0 || units * combinations * steps != data.len() {
        let allowed = format!("{units} units × {combinations} combinations × steps");
        return Err(DynamicsError::config("data", data.len(), allowed));
    }
    if let Some(bad) = data.iter().find(|x| !x.is_finite()) {
        return Err(DynamicsError::config("data", bad, "finite numbers"));
    }
    if !(ridge > 0.0 && ridge.is_finite()) {
        return Err(DynamicsError::config("ridge", ridge, "a number above 0"));
    }
    let mut x = data.to_vec();
    for row in x.chunks_exact_mut(places) {
        let mean = row.iter().sum::<f64>() / places as f64;
        row.iter_mut().for_each(|x| *x -= mean);
    }
    let total: f64 = x.iter().map(|x| x * x).sum();
    if total == 0.0 {
        return Err(DynamicsError::config(
            "activity",
            "constant",
            "activity that varies",
        ));
    }
    let parts = marginals(&x, places, steps, levels);
    let square = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
    let shares = parts.iter().map(|part| square(part) / total).collect();

    let mut gram = product(&x, &x, places);
    for unit in 0..units {
        gram[unit * (units + 1)] += ridge * total;
    }
    let not_definite = || DynamicsError::config("ridge", ridge, "a larger number");
    let gram = Cholesky::new(gram, units).ok_or_else(not_definite)?;
    let mut found = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        // Rounding is no part.
        if square(part) <= 1e-12 * total {
            continue;
        }
        // The regression X_φ Xᵀ (X Xᵀ + λ)⁻¹, row by row.
        let together = product(part, &x, places);
        let mut regression = together.clone();
        regression
            .chunks_exact_mut(units)
            .for_each(|row| gram.solve(row));
        done((index as f64 + 0.3) / parts.len() as f64)?;
        // Of rank-reduced ridge regression: B X X_φᵀ, which is symmetric.
        let predicted = product(&regression, &together, units);
        let (values, vectors) = symmetric_eigen(&predicted, units)?;
        done((index as f64 + 0.9) / parts.len() as f64)?;
        let directions = vectors.chunks_exact(units).zip(values).take(components);
        for (encoder, value) in directions {
            if value <= 1e-12 * total {
                break;
            }
            let decoder = times(encoder, &regression, units, units);
            let projection = times(&decoder, &x, units, places);
            let along = times(encoder, &x, units, places);
            let both: f64 = projection.iter().zip(&along).map(|(z, x)| z * x).sum();
            let power = square(&projection);
            let of_part = |part: &Vec<f64>| square(&times(&decoder, part, units, places)) / power;
            found.push(Component {
                part: index,
                explained: (2.0 * both - power) / total,
                shares: parts.iter().map(of_part).collect(),
                encoder: encoder.to_vec(),
                decoder,
                projection,
            });
        }
    }
    found.sort_by(|a, b| b.explained.total_cmp(&a.explained));
    Ok(Demixed {
        parts: shares,
        components: found,
    })
}

/// X taken apart: time, each variable, the rest, which is of two variables or more.
fn marginals(x: &[f64], places: usize, steps: usize, levels: &[usize]) -> Vec<Vec<f64>> {
    let combinations = places / steps;
    let mut rest = x.to_vec();
    let mut parts = Vec::new();
    // The level of a variable in a combination; all are of one level of none.
    let mut stride = combinations;
    let of_time: (usize, usize) = (1, combinations);
    let of_variables = levels.iter().map(|&count| {
        stride /= count.max(1);
        (count, stride)
    });
    let variables: Vec<(usize, usize)> = of_variables.collect();
    for (count, stride) in [of_time].into_iter().chain(variables) {
        let mut part = vec![0.0; x.len()];
        let share = count as f64 / combinations as f64;
        let mut means = vec![0.0; count * steps];
        for (from, to) in rest.chunks_exact(places).zip(part.chunks_exact_mut(places)) {
            means.fill(0.0);
            let level = |combination: usize| combination / stride % count;
            for (combination, row) in from.chunks_exact(steps).enumerate() {
                let own = &mut means[level(combination) * steps..][..steps];
                own.iter_mut()
                    .zip(row)
                    .for_each(|(mean, x)| *mean += share * x);
            }
            for (combination, row) in to.chunks_exact_mut(steps).enumerate() {
                row.copy_from_slice(&means[level(combination) * steps..][..steps]);
            }
        }
        rest.iter_mut()
            .zip(&part)
            .for_each(|(rest, part)| *rest -= part);
        parts.push(part);
    }
    parts.push(rest);
    parts
}

/// A Bᵀ of rows of the same length.
fn product(a: &[f64], b: &[f64], length: usize) -> Vec<f64> {
    let rows = a.chunks_exact(length);
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum();
    rows.flat_map(|row| b.chunks_exact(length).map(move |other| dot(row, other)))
        .collect()
}

/// A B, of rows of A that have `inner` elements and rows of B that have `length`.
fn times(a: &[f64], b: &[f64], inner: usize, length: usize) -> Vec<f64> {
    let mut all = vec![0.0; a.len() / inner * length];
    for (row, out) in a.chunks_exact(inner).zip(all.chunks_exact_mut(length)) {
        for (x, other) in row.iter().zip(b.chunks_exact(length)) {
            out.iter_mut().zip(other).for_each(|(out, y)| *out += x * y);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: usize = 30;
    const FREE: &dyn Fn(f64) -> Result<(), DynamicsError> = &|_| Ok(());

    /// Five units: time along (1, 1, 1, 1, 1), a first variable along (1, −1, 0, 0, 0.5), a second along (0, 0.5, 1, −1, 0).
    fn mixed(interaction: f64) -> Vec<f64> {
        let axes = [
            [1.0; 5],
            [1.0, -1.0, 0.0, 0.0, 0.5],
            [0.0, 0.5, 1.0, -1.0, 0.0],
        ];
        let mut data = Vec::new();
        for unit in 0..5 {
            for first in [-1.0, 0.0, 1.0] {
                for second in [-1.0, 1.0] {
                    for step in 0..STEPS {
                        let time = step as f64 / STEPS as f64;
                        let parts = [(6.0 * time).sin(), first * time, second * time * time];
                        let sum: f64 = axes
                            .iter()
                            .zip(parts)
                            .map(|(axis, part)| axis[unit] * part)
                            .sum();
                        data.push(3.0 + sum + interaction * first * second * axes[1][unit]);
                    }
                }
            }
        }
        data
    }

    #[test]
    fn parts_add_up_and_each_is_seen_alone() {
        let found = demix(&mixed(0.0), 5, &[3, 2], 2, 1e-9, FREE).unwrap();
        assert_eq!(found.parts.len(), 4);
        assert!((found.parts.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(found.parts[3] < 1e-12, "{:?}", found.parts);
        // One direction is all that each part has, and along it there is nothing else.
        let of = |part: usize| found.components.iter().filter(move |own| own.part == part);
        for part in 0..3 {
            assert_eq!(of(part).count(), 1, "{part}");
            let own = of(part).next().unwrap();
            assert!(own.shares[part] > 0.999_99, "{part}: {:?}", own.shares);
            let length: f64 = own.encoder.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-9);
        }
        let first = of(1).next().unwrap();
        let ratio = first.encoder[0] / first.encoder[1];
        assert!(
            (ratio + 1.0).abs() < 1e-4 && first.encoder[3].abs() < 1e-4,
            "{first:?}"
        );
        // The projection is the variable times time, to a factor.
        let at = |combination: usize, step: usize| first.projection[combination * STEPS + step];
        assert!((at(0, 20) + at(4, 20)).abs() < 1e-3 * at(0, 20).abs());
        assert!((at(0, 10) / at(0, 20) - 0.5).abs() < 0.05);
    }

    #[test]
    fn directions_make_the_penalised_error_least() {
        // ‖X_φ − F D X‖² + λ ‖F D‖² of the first variable, beside directions nearby.
        let (data, ridge) = (mixed(1.0), 0.05);
        let found = demix(&data, 5, &[3, 2], 1, ridge, FREE).unwrap();
        let own = found.components.iter().find(|own| own.part == 1).unwrap();
        let places = 6 * STEPS;
        let mut x = data;
        for row in x.chunks_exact_mut(places) {
            let mean = row.iter().sum::<f64>() / places as f64;
            row.iter_mut().for_each(|x| *x -= mean);
        }
        let part = &marginals(&x, places, STEPS, &[3, 2])[1];
        let penalty = ridge * x.iter().map(|x| x * x).sum::<f64>();
        let error = |encoder: &[f64], decoder: &[f64]| {
            let along = times(decoder, &x, 5, places);
            let mut sum = 0.0;
            for (unit, f) in encoder.iter().enumerate() {
                let row = &part[unit * places..][..places];
                sum += row
                    .iter()
                    .zip(&along)
                    .map(|(y, z)| (y - f * z).powi(2))
                    .sum::<f64>();
                sum += penalty * decoder.iter().map(|d| (f * d).powi(2)).sum::<f64>();
            }
            sum
        };
        let least = error(&own.encoder, &own.decoder);
        for unit in 0..5 {
            for by in [-1e-3, 1e-3] {
                let (mut encoder, mut decoder) = (own.encoder.clone(), own.decoder.clone());
                encoder[unit] += by;
                assert!(error(&encoder, &own.decoder) > least);
                decoder[unit] += by;
                assert!(error(&own.encoder, &decoder) > least);
            }
        }
    }

    #[test]
    fn what_goes_with_both_is_the_rest() {
        let found = demix(&mixed(2.0), 5, &[3, 2], 3, 1e-9, FREE).unwrap();
        assert!(found.parts[3] > 0.3, "{:?}", found.parts);
        assert!(found.components.iter().any(|own| own.part == 3));
        assert!((found.parts.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        for own in &found.components {
            assert!((own.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn what_cannot_be_taken_apart_is_an_error() {
        assert!(demix(&[1.0; 12], 3, &[2], 1, 1e-6, FREE).is_err());
        assert!(demix(&[], 0, &[2], 1, 1e-6, FREE).is_err());
        assert!(demix(&mixed(0.0)[..7], 5, &[3, 2], 1, 1e-6, FREE).is_err());
        assert!(demix(&mixed(0.0), 5, &[3, 2], 1, 0.0, FREE).is_err());
        let mut broken = mixed(0.0);
        broken[3] = f64::NAN;
        assert!(demix(&broken, 5, &[3, 2], 1, 1e-6, FREE).is_err());
    }
}
