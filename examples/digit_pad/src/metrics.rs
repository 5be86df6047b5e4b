//! What is told of the use of a model, in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use granule::Classifier;
use granule::models::Profile;

/// Upper bounds of the times of answers, seconds.
const BOUNDS: [f64; 14] = [
    1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 5.0,
];

/// Counts since the start.
#[derive(Debug)]
pub struct Metrics {
    classes: Vec<String>,
    /// Of the model file, where it has one.
    trained: Option<Profile>,
    statuses: Mutex<BTreeMap<u16, u64>>,
    /// Answers of at most each bound and more than the one before; the last are those beyond all.
    times: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
    predictions: Vec<AtomicU64>,
    intensities: [AtomicU64; Profile::BINS],
}

impl Metrics {
    /// Of a model that was not used yet.
    pub fn new(classifier: &Classifier) -> Self {
        let classes = classifier.classes().to_vec();
        Self {
            predictions: classes.iter().map(|_| AtomicU64::default()).collect(),
            classes,
            trained: classifier.provenance().profile.clone(),
            statuses: Mutex::default(),
            times: Default::default(),
            nanoseconds: AtomicU64::default(),
            intensities: Default::default(),
        }
    }

    /// Counts an answer.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        *statuses.entry(status.as_u16()).or_default() += 1;
        let seconds = took.as_secs_f64();
        let bin = BOUNDS.partition_point(|bound| *bound < seconds);
        self.times[bin].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts a drawing and what it was taken for.
    pub fn note(&self, pixels: &[u8], probabilities: &[f32]) {
        let mut counts = [0; Profile::BINS];
        for pixel in pixels {
            counts[Profile::bin(*pixel)] += 1;
        }
        for (all, count) in self.intensities.iter().zip(counts) {
            all.fetch_add(count, Ordering::Relaxed);
        }
        let best = probabilities.iter().enumerate();
        let best = best.max_by(|(_, a), (_, b)| a.total_cmp(b));
        if let Some(count) = best.and_then(|(class, _)| self.predictions.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        head(
            out,
            "requests_total",
            "counter",
            "Requests to /predict, by their answer.",
        )?;
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        for (status, count) in statuses.iter() {
            writeln!(out, "granule_requests_total{{status=\"{status}\"}} {count}")?;
        }
        drop(statuses);
        let times = read(&self.times);
        let name = "request_duration_seconds";
        head(out, name, "histogram", "From a request to its answer.")?;
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&times) {
            below += count;
            writeln!(out, "granule_{name}_bucket{{le=\"{bound}\"}} {below}")?;
        }
        let total: u64 = times.iter().sum();
        let seconds = self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        writeln!(out, "granule_{name}_bucket{{le=\"+Inf\"}} {total}")?;
        writeln!(
            out,
            "granule_{name}_sum {seconds}\ngranule_{name}_count {total}"
        )?;
        let name = "request_duration_quantile_seconds";
        head(
            out,
            name,
            "gauge",
            "Quantiles of the same, of the bounds above.",
        )?;
        for share in [0.5, 0.9, 0.99] {
            let value = quantile(&times, share);
            writeln!(out, "granule_{name}{{quantile=\"{share}\"}} {value}")?;
        }
        let predictions = read(&self.predictions);
        head(
            out,
            "predictions_total",
            "counter",
            "Drawings, by the class that they were taken for.",
        )?;
        for (class, count) in self.classes.iter().zip(&predictions) {
            let class = class
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            writeln!(
                out,
                "granule_predictions_total{{class=\"{class}\"}} {count}"
            )?;
        }
        let intensities = read(&self.intensities);
        let trained = self.trained.clone().unwrap_or_default();
        for (name, expected, found, help) in [
            (
                "input_drift",
                &trained.intensities,
                &intensities,
                "Population stability index of pixels beside those of training; above 0.25 they differ.",
            ),
            (
                "prediction_drift",
                &trained.predictions,
                &predictions,
                "The same of predicted classes beside those of the test part.",
            ),
        ] {
            if expected.is_empty() {
                writeln!(
                    out,
                    "# granule_{name} is not there: the model file has no histogram for it."
                )?;
                continue;
            }
            head(out, name, "gauge", help)?;
            let drift = Profile::drift(expected, found);
            writeln!(out, "granule_{name} {}", drift.unwrap_or(f64::NAN))?;
        }
        Ok(())
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(
        out,
        "# HELP granule_{name} {help}\n# TYPE granule_{name} {kind}"
    )
}

fn read(counts: &[AtomicU64]) -> Vec<u64> {
    let counts = counts.iter();
    counts.map(|count| count.load(Ordering::Relaxed)).collect()
}

/// The time that a share of the answers took at most, linear between the bounds.
fn quantile(times: &[u64], share: f64) -> f64 {
    let total: u64 = times.iter().sum();
    let (wanted, mut below, mut from) = (share * total as f64, 0.0, 0.0);
    for (count, bound) in times.iter().zip(BOUNDS) {
        let count = *count as f64;
        if count > 0.0 && below + count >= wanted {
            return from + (bound - from) * (wanted - below) / count;
        }
        (below, from) = (below + count, bound);
    }
    match total {
        0 => f64::NAN,
        _ => from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_bounds() {
        let mut times = [0; BOUNDS.len() + 1];
        assert!(quantile(&times, 0.5).is_nan());
        times[3] = 100;
        assert!((quantile(&times, 0.5) - 7.5e-4).abs() < 1e-12);
        times[BOUNDS.len()] = 900;
        assert_eq!(quantile(&times, 0.99), 5.0);
    }
}
