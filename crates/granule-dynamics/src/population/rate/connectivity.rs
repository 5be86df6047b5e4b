//! Which connections there are and how strong they are at the beginning, drawn on the host.

use super::config::{Initialization, RateNetworkConfig, Recurrence};
use crate::DynamicsError;
use crate::linalg::spectral_radius;
use crate::random::NormalNoise;

/// What a random number is for: each purpose is a stream of the network's seed.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Connections,
    Recurrent,
    LowRank,
    Background,
    Input,
    Output,
}

/// Gaussian numbers of standard deviation `scale`.
pub(super) fn draw(seed: u64, purpose: Purpose, count: usize, scale: f64) -> Vec<f64> {
    let values = NormalNoise::new(seed, purpose as u64).values(0, count);
    values.into_iter().map(|x| scale * x).collect()
}

/// 1 where there is a connection, `[pre, post]`; `None` where there are all.
pub(super) fn mask(
    config: &RateNetworkConfig,
    seed: u64,
) -> Result<Option<Vec<f64>>, DynamicsError> {
    let n = config.units;
    let mut mask = match &config.recurrence {
        Recurrence::Full | Recurrence::LowRank { .. } if config.autapses => return Ok(None),
        Recurrence::Full | Recurrence::LowRank { .. } => vec![1.0; n * n],
        Recurrence::Mask(rows) => rows.iter().flatten().map(|x| f64::from(*x)).collect(),
        Recurrence::Sparse { density } => drawn(config, seed, &[n], &[vec![*density]]),
        Recurrence::Blocks { sizes, densities } => drawn(config, seed, sizes, densities),
    };
    if !config.autapses {
        (0..n).for_each(|i| mask[i * (n + 1)] = 0.0);
    }
    for post in 0..n {
        if (0..n).all(|pre| mask[pre * n + post] == 0.0) {
            return Err(DynamicsError::config(
                "recurrence",
                format!("a mask without any input to unit {post}"),
                "at least one recurrent input for every unit",
            ));
        }
    }
    Ok(Some(mask))
}

/// For every unit, from every block, the given share of its possible inputs, at least one where the share is above 0.
fn drawn(
    config: &RateNetworkConfig,
    seed: u64,
    sizes: &[usize],
    densities: &[Vec<f64>],
) -> Vec<f64> {
    let n = config.units;
    let keys = draw(seed, Purpose::Connections, n * n, 1.0);
    let mut mask = vec![0.0; n * n];
    let mut first = 0;
    for (size, row) in sizes.iter().zip(densities) {
        let owners = sizes.iter().zip(row).flat_map(|(size, d)| vec![*d; *size]);
        for (post, density) in owners.enumerate() {
            let mut inputs: Vec<usize> = (first..first + size)
                .filter(|pre| config.autapses || *pre != post)
                .collect();
            let count = (density * inputs.len() as f64).round() as usize;
            inputs.sort_by(|a, b| keys[a * n + post].total_cmp(&keys[b * n + post]));
            inputs.truncate(count.max(usize::from(density > 0.0)));
            inputs.iter().for_each(|pre| mask[pre * n + post] = 1.0);
        }
        first += size;
    }
    mask
}

/// The recurrent weights at the beginning, `[pre, post]`, with their signs.
pub(super) fn weights(
    config: &RateNetworkConfig,
    mask: Option<&[f64]>,
    seed: u64,
) -> Result<Vec<f64>, DynamicsError> {
    let n = config.units;
    let connections = mask.map_or((n * n) as f64, |mask| mask.iter().sum());
    let scale = (n as f64 / connections).sqrt();
    let mut w = draw(seed, Purpose::Recurrent, n * n, scale);
    if let Some(mask) = mask {
        w.iter_mut().zip(mask).for_each(|(w, m)| *w *= m);
    }
    if config.dale_ratio.is_some() {
        let excitatory = config.excitatory();
        let mut sums = [0.0; 2];
        for (row, excitatory) in w.chunks_exact_mut(n).zip(&excitatory) {
            row.iter_mut().for_each(|w| *w = w.abs());
            sums[usize::from(*excitatory)] += row.iter().sum::<f64>();
        }
        let [inhibition, excitation] = sums;
        let balance = |own: f64, other: f64| {
            if own > 0.0 && other > own {
                other / own
            } else {
                1.0
            }
        };
        for (row, excitatory) in w.chunks_exact_mut(n).zip(&excitatory) {
            let scale = if *excitatory {
                balance(excitation, inhibition)
            } else {
                -balance(inhibition, excitation)
            };
            row.iter_mut().for_each(|w| *w *= scale);
        }
    }
    let factor = match config.initialization {
        Initialization::Gaussian(gain) => gain,
        Initialization::SpectralRadius(radius) => {
            radius / nonzero(spectral_radius(&w, n)?, radius)?
        }
    };
    w.iter_mut().for_each(|w| *w *= factor);
    Ok(w)
}

/// m and n of a low-rank network, `[units, rank]` each.
pub(super) fn low_rank(
    config: &RateNetworkConfig,
    rank: usize,
    seed: u64,
) -> Result<[Vec<f64>; 2], DynamicsError> {
    let n = config.units;
    let mut left = draw(seed, Purpose::LowRank, 2 * n * rank, 1.0);
    let mut right = left.split_off(n * rank);
    match config.initialization {
        Initialization::Gaussian(gain) => right.iter_mut().for_each(|x| *x *= gain),
        Initialization::SpectralRadius(radius) => {
            // m nᵀ/N and nᵀm/N have the same eigenvalues but for zeros.
            let mut overlap = vec![0.0; rank * rank];
            for (l, r) in left.chunks_exact(rank).zip(right.chunks_exact(rank)) {
                for (row, r) in overlap.chunks_exact_mut(rank).zip(r) {
                    row.iter_mut()
                        .zip(l)
                        .for_each(|(o, l)| *o += r * l / n as f64);
                }
            }
            let factor = (radius / nonzero(spectral_radius(&overlap, rank)?, radius)?).sqrt();
            left.iter_mut().chain(&mut right).for_each(|x| *x *= factor);
        }
    }
    Ok([left, right])
}

fn nonzero(found: f64, wanted: f64) -> Result<f64, DynamicsError> {
    if found > 0.0 {
        Ok(found)
    } else {
        Err(DynamicsError::config(
            "initialization.spectral_radius",
            wanted,
            "unavailable for weights whose eigenvalues are all 0; use initialization.gaussian",
        ))
    }
}
