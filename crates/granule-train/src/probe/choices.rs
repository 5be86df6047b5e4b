//! Scores and choices, with and without what is done to the units.

use granule_chart::{Figure, Mark, Panel};
use granule_data::task::{Performance, PsychometricCurve, PsychometricPoint, Score};
use granule_simulate::analysis::{Cell, Findings, Table};
use serde::{Deserialize, Serialize};

use super::intervention::Interventions;
use super::recorded::{Keep, Recorded};
use super::registry::Request;
use crate::TrainError;
use crate::metrics::Logistic;

/// There is nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {}

/// The probe by name.
pub(super) fn run(request: &Request<'_>) -> Result<Findings, TrainError> {
    let Settings {} = request.settings()?;
    let none = Interventions::default();
    let changed = !request.interventions.is_empty();
    let half = if changed { 0.5 } else { 1.0 };
    let mut scores = vec![(
        "intact",
        Recorded::new(request, &none, Keep::Nothing, 0.0..half)?,
    )];
    if changed {
        let other = Recorded::new(request, request.interventions, Keep::Nothing, half..1.0)?;
        scores.push(("changed", other));
    }
    let columns = [
        ("network", "1"),
        ("trials", "1"),
        ("accuracy", "1"),
        ("mean squared error", "1"),
        ("that of constants", "1"),
    ];
    let mut table = Table::new("scores", columns);
    for (name, own) in &scores {
        let score = &own.score;
        table.rows.push(vec![
            (*name).into(),
            (score.trials as usize).into(),
            score.accuracy().unwrap_or(f64::NAN).into(),
            score.mse.into(),
            score.constant_mse.into(),
        ]);
    }
    let mut findings = Findings {
        tables: vec![table],
        notes: vec![scores[0].1.about()],
        ..Findings::default()
    };
    let curves = curves_of(&scores[0].1.score);
    if curves.is_empty() {
        add_intervals(&mut findings, &scores);
        return Ok(findings);
    }
    // Wide, so that every number has a name of its own in an archive.
    let of_network = |(name, _): &(&'static str, Recorded)| {
        [format!("midpoint, {name}"), format!("slope, {name}")]
    };
    let numbers = scores.iter().flat_map(of_network).map(|name| (name, "1"));
    let columns = [("curve".to_owned(), "1")].into_iter().chain(numbers);
    let mut fits = Table::new("curves", columns.chain([("shift".to_owned(), "1")]));
    let shares = scores
        .iter()
        .map(|(name, _)| (format!("share of the second, {name}"), "1"));
    let columns = [("curve", "1"), ("evidence", "1"), ("trials", "1")].into_iter();
    let columns = columns.map(|(name, unit)| (name.to_owned(), unit));
    let mut points = Table::new("points", columns.chain(shares));
    let mut figure = Figure::new("", "evidence for the second choice");
    for (index, curve) in curves.iter().enumerate() {
        let title = format!("{}: {}", request.title, curve.name);
        let mut panel = Panel::new("share of the second choice")
            .y_range(0.0, 1.0)
            .note(title);
        let both: Vec<_> = scores
            .iter()
            .filter_map(|(name, own)| Some((*name, curves_of(&own.score).get(index)?)))
            .collect();
        let evidence = curve.points.iter().map(|point| point.evidence.abs());
        let reach = evidence.fold(0.0, f64::max);
        let mut row: Vec<Cell> = vec![curve.name.clone().into()];
        let mut midpoints = Vec::new();
        for (name, own) in &both {
            let fit = Logistic::fit(&own.points, reach);
            let midpoint = fit
                .and_then(|fit| midpoint(fit, &own.points, reach))
                .unwrap_or(f64::NAN);
            midpoints.push(midpoint);
            row.push(midpoint.into());
            row.push(fit.map_or(f64::NAN, |fit| fit.slope).into());
            let shares = own
                .points
                .iter()
                .map(|point| (point.evidence, point.share()));
            panel = panel.with(Mark::points("", shares.collect()));
            if let Some(fit) = fit {
                let at = |index: i32| reach * f64::from(index) / 100.0;
                let line = (-100..=100).map(|index| (at(index), fit.share(at(index))));
                panel = panel.with(Mark::line(*name, line.collect()));
            }
        }
        let shift = match midpoints.as_slice() {
            [intact, changed] => changed - intact,
            _ => f64::NAN,
        };
        row.push(shift.into());
        fits.rows.push(row);
        for (place, point) in curve.points.iter().enumerate() {
            let mut row: Vec<Cell> = vec![
                curve.name.clone().into(),
                point.evidence.into(),
                (point.trials as usize).into(),
            ];
            let shares = both.iter().map(|(_, own)| own.points.get(place));
            row.extend(
                shares.map(|own| Cell::from(own.map_or(f64::NAN, PsychometricPoint::share))),
            );
            points.rows.push(row);
        }
        figure = figure.with(panel);
    }
    findings.notes.push(
        "curves are logistic, the most likely ones; the midpoint is the evidence at which both choices are alike, and stands where \
         choices follow the evidence"
            .to_owned(),
    );
    findings.tables.extend([fits, points]);
    findings.figure = Some(figure);
    Ok(findings)
}

fn curves_of(score: &Score) -> &[PsychometricCurve] {
    match &score.performance {
        Performance::Choice(choice) => &choice.psychometric,
        _ => &[],
    }
}

/// Intervals produced, of a task that asks for them.
fn add_intervals(findings: &mut Findings, scores: &[(&'static str, Recorded)]) {
    let Performance::Timing(timing) = &scores[0].1.score.performance else {
        return;
    };
    let columns = [("asked for", "ms"), ("trials", "1")].into_iter();
    let mut table = Table::new(
        "intervals",
        columns.chain(scores.iter().map(|(name, _)| (*name, "ms"))),
    );
    let mut lines = vec![Vec::new(); scores.len()];
    for (place, interval) in timing.intervals.iter().enumerate() {
        let mut row: Vec<Cell> = vec![interval.target_ms.into(), (interval.trials as usize).into()];
        for ((_, own), line) in scores.iter().zip(&mut lines) {
            let own = match &own.score.performance {
                Performance::Timing(timing) => timing.intervals.get(place),
                _ => None,
            };
            let mean = own.and_then(|own| own.mean_ms).unwrap_or(f64::NAN);
            line.push((interval.target_ms, mean));
            row.push(mean.into());
        }
        table.rows.push(row);
    }
    let mut panel = Panel::new("interval produced (ms)");
    for ((name, _), line) in scores.iter().zip(lines) {
        panel = panel.with(Mark::line(*name, line));
    }
    findings.tables.push(table);
    findings.figure = Some(Figure::new("", "interval asked for (ms)").with(panel));
}

/// The evidence at which both choices are alike; none where choices do not follow the evidence (a constant share is about as likely: twice
/// the logarithm of how much more likely they are by the curve is below 4, the 95 % of its distribution by chance), and outside of the
/// evidence, up to `reach`, that there was.
fn midpoint(curve: Logistic, points: &[PsychometricPoint], reach: f64) -> Option<f64> {
    let trials: u64 = points.iter().map(|point| point.trials).sum();
    let second: u64 = points.iter().map(|point| point.second).sum();
    let of_choice = |count: u64| match count {
        0 => 0.0,
        _ => count as f64 * (count as f64 / trials as f64).ln(),
    };
    let constant = of_choice(second) + of_choice(trials.saturating_sub(second));
    let midpoint = -curve.bias / curve.slope;
    let ratio = 2.0 * (curve.log_likelihood(points) - constant);
    (curve.slope > 0.0 && ratio > 4.0 && midpoint.abs() <= reach).then_some(midpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_that_do_not_follow_the_evidence_have_no_midpoint() {
        let points = |second: [u64; 4]| -> Vec<PsychometricPoint> {
            let all = [-0.2, -0.1, 0.1, 0.2].into_iter().zip(second);
            let point = |(evidence, second)| PsychometricPoint {
                evidence,
                trials: 20,
                second,
            };
            all.map(point).collect()
        };
        for second in [[20; 4], [10, 11, 9, 10], [20, 15, 5, 0], [20, 19, 20, 20]] {
            let fit = Logistic::fit(&points(second), 0.2).unwrap();
            assert_eq!(
                midpoint(fit, &points(second), 0.2),
                None,
                "{second:?}: {fit:?}"
            );
        }
        // Without a mistake.
        let fit = Logistic::fit(&points([0, 0, 20, 20]), 0.2).unwrap();
        assert!(fit.slope.is_finite() && fit.slope > 20.0, "{fit:?}");
        let found = midpoint(fit, &points([0, 0, 20, 20]), 0.2).unwrap();
        assert!(found.abs() < 0.01, "{fit:?}");
    }
}
