//! The width of the bins in which the rate of cells is shown.

use std::f64::consts::TAU;

/// The most bins of a run, and the spikes that one of them is to have in the mean, so that its rate is known to a fifth.
const BINS: f64 = 200.0;
const IN_A_BIN: f64 = 25.0;

/// The bins in a period of a rhythm, at least, and the spikes in a period from which it is shown.
const IN_A_PERIOD: f64 = 8.0;
const SPIKES_IN_A_PERIOD: f64 = 8.0;

/// The periods of a run that make a rhythm, at least and at most: of more the bins show the mean. And the spikes among which
/// it is looked for.
const PERIODS: [usize; 2] = [4, 400];
const SPIKES: usize = 20_000;

/// How far the power of a rhythm is above that of spikes at random, which is 1, and above what most frequencies have.
const POWER: f64 = 12.0;

/// The width of the bins, ms: 1, 2 or 5 times a power of ten, so that all cells together have enough spikes in one, from a
/// two-hundredth of the run to a tenth; but an eighth of the period of their rhythm at most, where they have one.
pub(super) fn width(times: &[f64], reached: f64) -> f64 {
    let per_spikes = reached * IN_A_BIN / times.len().max(1) as f64;
    let least = per_spikes.clamp(reached / BINS, reached / 10.0);
    let shown = |period: &f64| times.len() as f64 * period >= SPIKES_IN_A_PERIOD * reached;
    match period(times, reached).filter(shown) {
        Some(period) if round_up(least) > period / IN_A_PERIOD => round_down(period / IN_A_PERIOD),
        _ => round_up(least),
    }
}

fn round_up(least: f64) -> f64 {
    let wide = steps(least)
        .into_iter()
        .find(|bin| *bin >= least * (1.0 - 1e-9));
    wide.map_or(least, plain)
}

fn round_down(most: f64) -> f64 {
    let narrow = steps(most)
        .into_iter()
        .rfind(|bin| *bin <= most * (1.0 + 1e-9));
    narrow.map_or(most, plain)
}

fn steps(about: f64) -> [f64; 4] {
    let power = 10.0_f64.powf(about.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power)
}

/// As a person writes it.
fn plain(bin: f64) -> f64 {
    format!("{bin:.6}").parse().unwrap_or(bin)
}

/// The period of the rhythm of all spikes together, ms: the longest one whose power stands out.
fn period(times: &[f64], reached: f64) -> Option<f64> {
    let some: Vec<f64> = times
        .iter()
        .copied()
        .step_by(times.len().div_ceil(SPIKES).max(1))
        .collect();
    let power = |periods: usize| {
        let turn = TAU * periods as f64 / reached;
        let (mut re, mut im) = (0.0, 0.0);
        for time in &some {
            let (sin, cos) = (turn * time).sin_cos();
            re += cos;
            im += sin;
        }
        (re * re + im * im) / some.len().max(1) as f64
    };
    let [least, most] = PERIODS;
    let powers: Vec<f64> = (least..=most).map(power).collect();
    let mut sorted = powers.clone();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied()?;
    let highest = sorted.last().copied()?;
    if highest < POWER * median.max(1.0) {
        return None;
    }
    let first = powers.iter().position(|power| *power >= 0.3 * highest)?;
    // The top of the peak that begins there.
    let top = powers.iter().skip(first).zip(powers.iter().skip(first + 1));
    let top = first + top.take_while(|(own, next)| next > own).count();
    Some(reached / (least + top) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Volleys of a hundred cells every `period` ms, each a little off.
    fn volleys(period: f64, reached: f64) -> Vec<f64> {
        let count = (reached / period) as usize;
        let times = (0..count).flat_map(|n| {
            let scatter = (0..100).map(|i| ((i * 37 % 100) as f64 / 100.0 - 0.5) * 0.3 * period);
            scatter.map(move |off| (n as f64 + 0.5) * period + off)
        });
        times.collect()
    }

    #[test]
    fn bins_are_well_below_the_period_of_a_rhythm() {
        for (period, reached) in [(23.0, 300.0), (23.0, 3000.0), (100.0, 2000.0), (8.0, 400.0)] {
            let bin = width(&volleys(period, reached), reached);
            assert!(bin <= period / 8.0, "{period} ms in {reached} ms: {bin}");
            assert!(bin >= period / 25.0, "{period} ms in {reached} ms: {bin}");
        }
    }

    #[test]
    fn without_a_rhythm_bins_follow_the_number_of_spikes() {
        let even: Vec<f64> = (0..1000).map(|i| i as f64).collect();
        assert_eq!(width(&even, 1000.0), 50.0);
        let mut state = 1u64;
        let random: Vec<f64> = (0..5000)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (state >> 11) as f64 / (1u64 << 53) as f64 * 1000.0
            })
            .collect();
        assert_eq!(width(&random, 1000.0), 5.0);
        assert_eq!(width(&[], 100.0), 10.0);
    }
}
