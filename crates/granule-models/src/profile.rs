//! What a model saw in training, to compare with what it is given later.

use granule_io::words::counted;
use serde::{Deserialize, Serialize};

use crate::{ModelError, Task};

/// Histograms of a run, in the model file's [`Provenance`](crate::Provenance): whether the samples of a running program are like
/// those of training, and the answers like those of the test, is told by [`drift`](Self::drift).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Intensities of the training images, in [`BINS`](Self::BINS) equal parts from black to white; empty of what are no images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intensities: Vec<u64>,
    /// How often each class was predicted on the test part; empty where none was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<u64>,
}

impl Profile {
    /// The parts of the range of intensities.
    pub const BINS: usize = 16;

    /// Checks that its counts are of as many parts, and of as many classes, as there are.
    pub(crate) fn validate(&self, task: &Task) -> Result<(), ModelError> {
        let classes = match task {
            Task::Classification { classes } => classes.len(),
            _ => 0,
        };
        for (field, found, expected) in [
            ("intensities", self.intensities.len(), Self::BINS),
            ("predictions", self.predictions.len(), classes),
        ] {
            if found != 0 && found != expected {
                let field = format!("provenance.profile.{field}");
                let allowed = format!("{}, or none", counted(expected, "count"));
                return Err(ModelError::config(field, counted(found, "count"), allowed));
            }
        }
        Ok(())
    }

    /// The part that a pixel from 0 to 255 is in.
    pub fn bin(pixel: u8) -> usize {
        usize::from(pixel) * Self::BINS / 256
    }

    /// The population stability index of counts beside those that were expected, Σ (f − e) ln(f/e) over the shares f and e
    /// (Kullback & Leibler 1951's divergence, doi:10.1214/aoms/1177729694, both ways together). Half a count is added to each, so
    /// that nothing is divided by 0. By custom below 0.1 they are alike, above 0.25 they are not.
    ///
    /// None without counts, or where the histograms have different parts.
    pub fn drift(expected: &[u64], found: &[u64]) -> Option<f64> {
        let total = |counts: &[u64]| counts.iter().map(|count| *count as f64).sum::<f64>();
        let (of_expected, of_found) = (total(expected), total(found));
        if expected.len() != found.len() || of_expected == 0.0 || of_found == 0.0 {
            return None;
        }
        let added = 0.5 * expected.len() as f64;
        let share = |count: u64, total: f64| (count as f64 + 0.5) / (total + added);
        let parts = expected.iter().zip(found).map(|(expected, found)| {
            let (e, f) = (share(*expected, of_expected), share(*found, of_found));
            (f - e) * (f / e).ln()
        });
        Some(parts.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_grows_with_the_difference() {
        assert_eq!(Profile::drift(&[10, 30], &[10, 30]), Some(0.0));
        // Shares of 0.5 and 0.75, as those of many.
        let expected = 0.25 * 1.5_f64.ln() - 0.25 * 0.5_f64.ln();
        let many = Profile::drift(&[500_000; 2], &[750_000, 250_000]).unwrap();
        assert!((many - expected).abs() < 1e-5, "{many} {expected}");
        let far = Profile::drift(&[100, 0], &[0, 100]).unwrap();
        assert!(far.is_finite() && far > many);
        assert_eq!(Profile::drift(&[1, 2], &[1]), None);
        assert_eq!(Profile::drift(&[1, 2], &[0, 0]), None);
        assert_eq!(Profile::drift(&[], &[]), None);
    }

    #[test]
    fn every_pixel_has_a_part() {
        assert_eq!([0, 15, 16, 255].map(Profile::bin), [0, 0, 1, 15]);
    }
}
