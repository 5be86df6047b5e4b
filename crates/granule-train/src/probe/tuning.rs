//! What each unit does for each value of what a trial shows.

use granule_chart::{Figure, Mark, Panel};
use granule_io::words::counted;
use granule_simulate::analysis::{Array, Findings, Table};
use serde::{Deserialize, Serialize};

use super::recorded::{Keep, Recorded, levels};
use super::registry::Request;
use crate::{ConfigError, TrainError};

/// The units that are drawn.
const DRAWN: usize = 6;

/// What tuning is to, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What differs between trials: coherence, sample, choice, … Default: the first that the task has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The period of the trial over which activity is averaged: stimulus, delay, … Default: the whole trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
}

/// The curve of a unit.
#[derive(Debug)]
struct Curve {
    unit: usize,
    mean: f64,
    /// The mean for each value.
    means: Vec<f64>,
    /// The share of the variance of trials that is one between values, less what as many values have by chance: 1 − (SS within / (n − k)) /
    /// (SS / (n − 1)) of n trials and k values.
    share: f64,
    /// Pearson's correlation with the value.
    correlation: f64,
}

/// The probe by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, TrainError> {
    let settings: Settings = request.settings()?;
    let keep = Keep::Activity { most: usize::MAX };
    let all = Recorded::new(request, request.interventions, keep, 0.0..1.0)?;
    let name = match settings.variable {
        Some(name) => name,
        None => {
            let first = all.variables().first().copied();
            let nothing = || ConfigError::new("variable", "none", "a task whose trials differ");
            first.ok_or_else(nothing)?.to_owned()
        }
    };
    let shown = all.variable(&name)?;
    let during = all.during(settings.period.as_deref())?;
    let trials = (0..shown.len()).filter(|&trial| !during[trial].is_empty());
    let trials: Vec<usize> = trials.collect();
    let shown: Vec<f64> = trials.iter().map(|&trial| shown[trial]).collect();
    let (values, places) = levels(&shown);
    if values.len() < 2 || shown.len() < 2 * values.len() {
        let found = format!(
            "{name}, {} of {}",
            counted(shown.len(), "trial"),
            counted(values.len(), "value")
        );
        let allowed = "two values, and two trials of each on average: take more trials";
        return Err(ConfigError::new("variable", found, allowed).into());
    }
    let of_unit = |unit: usize| {
        let mean_of = |&trial: &usize| {
            let steps = &during[trial];
            let sum: f64 = steps.iter().map(|&step| all.at(trial, step, unit)).sum();
            sum / steps.len() as f64
        };
        let activity: Vec<f64> = trials.iter().map(mean_of).collect();
        curve(unit, &activity, &shown, &places, values.len())
    };
    let mut curves: Vec<Curve> = (0..all.units).map(of_unit).collect();
    let tuned: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.means.clone())
        .collect();
    curves.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.unit.cmp(&b.unit)));
    let columns = [
        ("unit", "1"),
        ("population", "1"),
        ("mean", "1"),
        ("preferred", "1"),
        ("depth", "1"),
        ("share of the variance", "1"),
        ("correlation", "1"),
    ];
    let mut table = Table::new("units", columns);
    for curve in &curves {
        let best = (0..values.len()).max_by(|a, b| curve.means[*a].total_cmp(&curve.means[*b]));
        let least = curve.means.iter().copied().fold(f64::INFINITY, f64::min);
        let most = curve
            .means
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let preferred = match best {
            Some(best) if most > least => values[best],
            _ => f64::NAN,
        };
        table.rows.push(vec![
            curve.unit.into(),
            all.population_of(curve.unit).into(),
            curve.mean.into(),
            preferred.into(),
            (most - least).into(),
            curve.share.into(),
            curve.correlation.into(),
        ]);
    }
    let when = settings.period.as_deref().unwrap_or("whole trials");
    let drawn = curves.iter().filter(|curve| curve.share > 0.0).take(DRAWN);
    let mut panel = Panel::new("mean activity").note(format!("{}: {when}", request.title));
    for curve in drawn {
        let points = values.iter().copied().zip(curve.means.iter().copied());
        panel = panel.with(Mark::line(format!("unit {}", curve.unit), points.collect()));
    }
    let tuned_units = curves.iter().filter(|curve| curve.share > 0.5).count();
    let note = format!(
        "{name} explains more than half of the variance between trials of {tuned_units} of {} units ({when}, {} trials), beyond what chance does",
        all.units,
        trials.len()
    );
    Ok(Findings {
        tables: vec![table],
        arrays: vec![
            Array::new("tuning", vec![all.units, values.len()], tuned),
            Array::new("values", vec![values.len()], values),
        ],
        notes: vec![all.about(), note],
        figure: Some(Figure::new("", name).with(panel)),
    })
}

fn curve(unit: usize, activity: &[f64], shown: &[f64], places: &[usize], values: usize) -> Curve {
    let count = activity.len() as f64;
    let mean = activity.iter().sum::<f64>() / count;
    let (mut sums, mut counts) = (vec![0.0; values], vec![0.0; values]);
    for (x, place) in activity.iter().zip(places) {
        sums[*place] += x;
        counts[*place] += 1.0;
    }
    let means: Vec<f64> = sums
        .iter()
        .zip(&counts)
        .map(|(sum, count)| sum / count)
        .collect();
    let square = |x: f64| x * x;
    let total: f64 = activity.iter().map(|x| square(x - mean)).sum();
    let between = means.iter().zip(&counts);
    let between: f64 = between.map(|(own, count)| count * square(own - mean)).sum();
    let centre = shown.iter().sum::<f64>() / count;
    let spread: f64 = shown.iter().map(|x| square(x - centre)).sum();
    let both = activity.iter().zip(shown);
    let together: f64 = both.map(|(x, y)| (x - mean) * (y - centre)).sum();
    // What does not differ but by rounding is tuned to nothing.
    let varies = total > count * square(1e-6 * mean.abs());
    Curve {
        unit,
        mean,
        means,
        share: if varies {
            1.0 - (total - between) / (count - values as f64) * (count - 1.0) / total
        } else {
            0.0
        },
        correlation: if varies {
            together / (total * spread).sqrt()
        } else {
            0.0
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_shares_and_correlations_of_the_formulas() {
        // Two trials of each of three values; numpy: means 1.5, 3, 5.5; total 18.8333, between 17.3333.
        let activity = [1.0, 2.0, 2.5, 3.5, 5.0, 6.0];
        let shown = [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0];
        let (values, places) = levels(&shown);
        assert_eq!((values.len(), places), (3, vec![0, 0, 1, 1, 2, 2]));
        let curve = curve(3, &activity, &shown, &levels(&shown).1, 3);
        assert_eq!(curve.means, [1.5, 3.0, 5.5]);
        let mean = 20.0 / 6.0;
        let total: f64 = activity.iter().map(|x: &f64| (x - mean).powi(2)).sum();
        let between = 2.0
            * [1.5, 3.0, 5.5]
                .map(|x: f64| (x - mean).powi(2))
                .iter()
                .sum::<f64>();
        let share = 1.0 - (total - between) / 3.0 * 5.0 / total;
        assert!((curve.share - share).abs() < 1e-12);
        assert!((curve.correlation - 8.0 / (4.0 * total).sqrt()).abs() < 1e-12);
        let still = super::curve(0, &[0.5; 6], &shown, &[0, 0, 1, 1, 2, 2], 3);
        assert_eq!((still.share, still.correlation), (0.0, 0.0));
    }
}
