//! One signal seen at several granularities.
//!
//! The same recording says different things at different resolutions: single bins carry timing, long windows carry rate.
//! [`MultiResolution`] averages the signal over windows of each granularity, fits a sub-model to each view and fuses their
//! predictions with non-negative weights that sum to one, found on samples the sub-models have not seen.

mod fusion;
mod ridge;

pub use ridge::{Ridge, RidgeModel};

use crate::DynamicsError;

/// Row-major values, one row for each instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    width: usize,
    values: Vec<f64>,
}

impl Rows {
    /// Rows of `width` values.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] when the values do not fill whole rows.
    pub fn new(width: usize, values: Vec<f64>) -> Result<Self, DynamicsError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(DynamicsError::Shape {
                what: "rows (values, width)".into(),
                expected: vec![values.len().next_multiple_of(width.max(1)), width.max(1)],
                found: vec![values.len(), width],
            });
        }
        Ok(Self { width, values })
    }

    /// The values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.width.max(1))
    }

    fn range(&self, rows: std::ops::Range<usize>) -> Self {
        let values = self.values[rows.start * self.width..rows.end * self.width].to_vec();
        Self {
            width: self.width,
            values,
        }
    }

    fn check_finite(&self, what: &str) -> Result<(), DynamicsError> {
        match self.values.iter().position(|x| !x.is_finite()) {
            None => Ok(()),
            Some(at) => Err(DynamicsError::config(
                format!("{what}[{}][{}]", at / self.width, at % self.width),
                self.values[at],
                "finite numbers",
            )),
        }
    }
}

/// A regression that [`MultiResolution`] fits to each granularity: rows of features → rows of targets.
pub trait SubModel {
    /// What fitting gives.
    type Fitted: FittedSubModel;

    /// Fits the model.
    ///
    /// # Errors
    ///
    /// Whatever makes the fit impossible.
    fn fit(&self, features: &Rows, targets: &Rows) -> Result<Self::Fitted, DynamicsError>;
}

/// A fitted regression.
pub trait FittedSubModel {
    /// One row of predictions for each row of features.
    fn predict(&self, features: &Rows) -> Rows;
}

/// The granularities and what is fitted to them.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiResolutionConfig<S> {
    /// The windows, in samples; the finest is usually 1. Default 1, 5, 10.
    pub windows: Vec<usize>,
    /// How many windows, one after another and ending with the present sample, a prediction sees. Default 3.
    pub history: usize,
    /// The share of the samples, taken from the end, that the weights of the fusion are found on. Default 0.25.
    pub held_out: f64,
    /// What is fitted to each granularity.
    pub sub_model: S,
}

impl Default for MultiResolutionConfig<Ridge> {
    fn default() -> Self {
        Self {
            windows: vec![1, 5, 10],
            history: 3,
            held_out: 0.25,
            sub_model: Ridge::default(),
        }
    }
}

/// Sub-models of all granularities with the weights of their fusion.
#[derive(Clone, Debug, PartialEq)]
pub struct MultiResolution<F> {
    windows: Vec<usize>,
    history: usize,
    channels: usize,
    /// Of the targets that were fitted to.
    means: Vec<f64>,
    models: Vec<F>,
    /// Granularity by output.
    weights: Vec<Vec<f64>>,
}

/// What all granularities and their fusion predict.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The first sample predicted: the longest view must lie within the signal.
    pub first: usize,
    /// By the granularities, in the order of the windows.
    pub by_window: Vec<Rows>,
    /// By all together.
    pub fused: Rows,
}

/// Coefficients of determination, R² = 1 − Σ(y − ŷ)²/Σ(y − ȳ)², averaged uniformly over the outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Each window with its score.
    pub by_window: Vec<(usize, f64)>,
    /// All together.
    pub fused: f64,
    /// Of a flat forecast, the mean of the targets that were fitted to: what a model must beat. At most 0, and 0 only where
    /// the mean is the same.
    pub flat: f64,
}

impl<S: SubModel> MultiResolutionConfig<S> {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the setting, its value and the values allowed.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        if self.windows.is_empty() || self.windows.contains(&0) {
            let found = format!("{:?}", self.windows);
            return Err(DynamicsError::config(
                "windows",
                found,
                "at least one window, each of at least 1 sample",
            ));
        }
        crate::setting::check_count("history", self.history)?;
        if self.held_out > 0.0 && self.held_out < 1.0 {
            Ok(())
        } else {
            Err(DynamicsError::config(
                "held_out",
                self.held_out,
                "between 0 and 1, both excluded",
            ))
        }
    }

    /// Fits a sub-model to every granularity of `signal` (`[samples, channels]`) and the weights of their fusion, towards
    /// `targets` (`[samples, outputs]`); row t of the targets is predicted from the signal up to and with row t.
    ///
    /// The weights are found on the last part, which the sub-models are not fitted to at first; then these are fitted
    /// again to everything.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate); [`DynamicsError::Shape`] for too few samples or numbers of rows that differ;
    /// [`DynamicsError::Config`] for values that are not finite.
    pub fn fit(
        &self,
        signal: &Rows,
        targets: &Rows,
    ) -> Result<MultiResolution<S::Fitted>, DynamicsError> {
        self.validate()?;
        check_rows(signal, targets)?;
        let first = first(&self.windows, self.history);
        let usable = signal.len().saturating_sub(first);
        let held_out = (usable as f64 * self.held_out).round() as usize;
        if held_out == 0 || held_out >= usable {
            return Err(DynamicsError::Shape {
                what: format!(
                    "the signal (samples; {first} are needed before the first prediction)"
                ),
                expected: vec![first + (2.0 / self.held_out).ceil() as usize],
                found: vec![signal.len()],
            });
        }
        let kept = usable - held_out;
        let all = targets.range(first..targets.len());
        let (early, late) = (all.range(0..kept), all.range(kept..usable));
        let mut predictions = Vec::with_capacity(self.windows.len());
        let mut models = Vec::with_capacity(self.windows.len());
        for window in &self.windows {
            let features = features(signal, *window, self.history, first);
            let trial = self.sub_model.fit(&features.range(0..kept), &early)?;
            predictions.push(trial.predict(&features.range(kept..usable)));
            models.push(self.sub_model.fit(&features, &all)?);
        }
        Ok(MultiResolution {
            windows: self.windows.clone(),
            history: self.history,
            channels: signal.width(),
            means: means(&all),
            models,
            weights: fusion::weights(&predictions, &late),
        })
    }
}

impl<F: FittedSubModel> MultiResolution<F> {
    /// The share of each window in each output's fused prediction, `[windows][outputs]`; they sum to one over the windows.
    pub fn weights(&self) -> &[Vec<f64>] {
        &self.weights
    }

    /// Predicts every sample from [`Prediction::first`] on.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for a signal of another number of channels, or one too short.
    pub fn predict(&self, signal: &Rows) -> Result<Prediction, DynamicsError> {
        let first = first(&self.windows, self.history);
        if signal.width() != self.channels || signal.len() <= first {
            return Err(DynamicsError::Shape {
                what: "the signal (samples, channels)".into(),
                expected: vec![signal.len().max(first + 1), self.channels],
                found: vec![signal.len(), signal.width()],
            });
        }
        signal.check_finite("signal")?;
        let views = self.windows.iter().zip(&self.models);
        let by_window: Vec<Rows> = views
            .map(|(window, model)| model.predict(&features(signal, *window, self.history, first)))
            .collect();
        let fused = fusion::fuse(&by_window, &self.weights);
        Ok(Prediction {
            first,
            by_window,
            fused,
        })
    }

    /// Scores every granularity and the fusion on data with known targets.
    ///
    /// # Errors
    ///
    /// Those of [`predict`](Self::predict); [`DynamicsError::Shape`] when the numbers of rows differ, or the targets have
    /// another width than those that were fitted to.
    pub fn score(&self, signal: &Rows, targets: &Rows) -> Result<Scores, DynamicsError> {
        check_rows(signal, targets)?;
        if targets.width != self.means.len() {
            return Err(DynamicsError::Shape {
                what: "the targets (samples, outputs)".into(),
                expected: vec![signal.len(), self.means.len()],
                found: vec![targets.len(), targets.width],
            });
        }
        let prediction = self.predict(signal)?;
        let truth = targets.range(prediction.first..targets.len());
        let flat = Rows {
            width: truth.width,
            values: truth.iter().flat_map(|_| self.means.clone()).collect(),
        };
        let by_window = self.windows.iter().copied().zip(&prediction.by_window);
        Ok(Scores {
            by_window: by_window
                .map(|(window, rows)| (window, r_squared(rows, &truth)))
                .collect(),
            fused: r_squared(&prediction.fused, &truth),
            flat: r_squared(&flat, &truth),
        })
    }
}

fn check_rows(signal: &Rows, targets: &Rows) -> Result<(), DynamicsError> {
    signal.check_finite("signal")?;
    targets.check_finite("targets")?;
    if signal.len() == targets.len() {
        Ok(())
    } else {
        Err(DynamicsError::Shape {
            what: "the targets (samples)".into(),
            expected: vec![signal.len()],
            found: vec![targets.len()],
        })
    }
}

/// The first sample whose longest view lies within the signal.
fn first(windows: &[usize], history: usize) -> usize {
    windows
        .iter()
        .max()
        .map_or(0, |window| window * history - 1)
}

/// The means of `history` windows that end with each sample from `first` on, nearest first, all channels of each.
fn features(signal: &Rows, window: usize, history: usize, first: usize) -> Rows {
    let channels = signal.width();
    // Sums from the beginning: a window's mean is a difference of two.
    let mut sums = vec![0.0; (signal.len() + 1) * channels];
    for (t, row) in signal.iter().enumerate() {
        for (c, x) in row.iter().enumerate() {
            sums[(t + 1) * channels + c] = sums[t * channels + c] + x;
        }
    }
    let mut values = Vec::with_capacity((signal.len() - first) * history * channels);
    for t in first..signal.len() {
        for lag in 0..history {
            let end = t + 1 - lag * window;
            let begin = end - window;
            for c in 0..channels {
                let sum = sums[end * channels + c] - sums[begin * channels + c];
                values.push(sum / window as f64);
            }
        }
    }
    Rows {
        width: history * channels,
        values,
    }
}

fn means(rows: &Rows) -> Vec<f64> {
    let mut sums = vec![0.0; rows.width];
    for row in rows.iter() {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
    sums.iter()
        .map(|sum| sum / rows.len().max(1) as f64)
        .collect()
}

fn r_squared(prediction: &Rows, truth: &Rows) -> f64 {
    let means = means(truth);
    let mut residual = vec![0.0; truth.width];
    let mut total = vec![0.0; truth.width];
    for (row, predicted) in truth.iter().zip(prediction.iter()) {
        for (i, (y, p)) in row.iter().zip(predicted).enumerate() {
            residual[i] += (y - p) * (y - p);
            total[i] += (y - means[i]) * (y - means[i]);
        }
    }
    let scores = residual.iter().zip(&total).map(|(r, t)| {
        if *t > 0.0 {
            1.0 - r / t
        } else if *r == 0.0 {
            // A constant output: predicted exactly or not at all.
            1.0
        } else {
            f64::NEG_INFINITY
        }
    });
    scores.sum::<f64>() / truth.width as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    fn noise(seed: u64, len: usize) -> Vec<f64> {
        crate::random::NormalNoise::new(seed, 0).values(0, len)
    }

    /// A target that depends on the present sample and on the mean of the last ten.
    fn mixed(seed: u64, samples: usize) -> (Rows, Rows) {
        let x = noise(seed, samples);
        let e = noise(seed + 1000, samples);
        let y = (0..samples).map(|t| {
            let mean = x[t.saturating_sub(9)..=t].iter().sum::<f64>() / 10.0;
            x[t] + 4.0 * mean + 0.1 * e[t]
        });
        let y = y.collect();
        (Rows::new(1, x).unwrap(), Rows::new(1, y).unwrap())
    }

    #[test]
    fn the_fusion_beats_every_granularity_where_each_sees_a_part() {
        let (signal, targets) = mixed(1, 2000);
        let config = MultiResolutionConfig {
            history: 1,
            ..Default::default()
        };
        let model = config.fit(&signal, &targets).unwrap();
        let (signal, targets) = mixed(2, 2000);
        let scores = model.score(&signal, &targets).unwrap();
        let best = scores
            .by_window
            .iter()
            .map(|(_, r2)| *r2)
            .fold(f64::MIN, f64::max);
        assert!(scores.fused > best + 0.05, "{scores:?}");
        assert!(scores.flat < 0.0 && scores.flat > -0.1, "{scores:?}");
        let total: f64 = model.weights().iter().map(|w| w[0]).sum();
        assert_close(total, 1.0, 1e-9);
    }

    #[test]
    fn the_flat_forecast_is_the_mean_of_what_was_fitted_to() {
        let (signal, mut targets) = mixed(6, 400);
        let config = MultiResolutionConfig {
            windows: vec![1],
            history: 1,
            ..Default::default()
        };
        let model = config.fit(&signal, &targets).unwrap();
        let fitted = targets.values.iter().sum::<f64>() / 400.0;
        assert_close(model.score(&signal, &targets).unwrap().flat, 0.0, 1e-12);
        // Three above its mean, R² is −n·3²/Σ(y − ȳ)².
        let total: f64 = targets.values.iter().map(|y| (y - fitted).powi(2)).sum();
        targets.values.iter_mut().for_each(|y| *y += 3.0);
        let flat = model.score(&signal, &targets).unwrap().flat;
        assert_close(flat, -400.0 * 9.0 / total, 1e-12);
        let wide = Rows::new(2, vec![0.0; 800]).unwrap();
        let error = model.score(&signal, &wide).unwrap_err().to_string();
        assert!(error.contains("outputs"), "{error}");
    }

    #[test]
    fn one_granularity_that_knows_all_gets_all_the_weight() {
        let x = noise(3, 1500);
        let y = (0..1500_usize).map(|t| x[t.saturating_sub(4)..=t].iter().sum::<f64>() / 5.0);
        let (signal, targets) = (
            Rows::new(1, x.clone()).unwrap(),
            Rows::new(1, y.collect()).unwrap(),
        );
        let config = MultiResolutionConfig {
            history: 1,
            ..Default::default()
        };
        let model = config.fit(&signal, &targets).unwrap();
        let scores = model.score(&signal, &targets).unwrap();
        assert!(model.weights()[1][0] > 0.99, "{:?}", model.weights());
        assert!(scores.fused > 0.999, "{scores:?}");
    }

    #[test]
    fn features_are_means_of_windows_that_end_with_the_sample() {
        let signal = Rows::new(2, (0..12).map(f64::from).collect()).unwrap();
        let rows = features(&signal, 2, 2, 3);
        assert_eq!(rows.width(), 4);
        // Samples 2, 3 and 0, 1 of channels (0, 2, 4, …) and (1, 3, 5, …).
        assert_eq!(rows.iter().next().unwrap(), [5.0, 6.0, 1.0, 2.0]);
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn nothing_after_a_sample_is_used_for_it() {
        let (signal, targets) = mixed(4, 400);
        let model = MultiResolutionConfig::default()
            .fit(&signal, &targets)
            .unwrap();
        let whole = model.predict(&signal).unwrap();
        let part = model.predict(&signal.range(0..200)).unwrap();
        for (a, b) in part.fused.values().iter().zip(whole.fused.values()) {
            assert_close(*a, *b, 1e-12);
        }
    }

    #[test]
    fn bad_input_is_named() {
        let (signal, targets) = mixed(5, 100);
        let fit = |config: MultiResolutionConfig<Ridge>, signal: &Rows, targets: &Rows| {
            config.fit(signal, targets).unwrap_err().to_string()
        };
        let config = MultiResolutionConfig::default;
        assert!(
            fit(
                MultiResolutionConfig {
                    windows: vec![1, 0],
                    ..config()
                },
                &signal,
                &targets
            )
            .contains("windows")
        );
        assert!(
            fit(
                MultiResolutionConfig {
                    history: 0,
                    ..config()
                },
                &signal,
                &targets
            )
            .contains("history")
        );
        assert!(
            fit(
                MultiResolutionConfig {
                    held_out: 1.0,
                    ..config()
                },
                &signal,
                &targets
            )
            .contains("held_out")
        );
        assert!(fit(config(), &signal.range(0..20), &targets.range(0..20)).contains("the signal"));
        assert!(fit(config(), &signal, &targets.range(0..99)).contains("the targets"));
        let mut broken = signal.clone();
        broken.values[7] = f64::NAN;
        assert!(fit(config(), &broken, &targets).contains("signal[7][0]"));
        let model = config().fit(&signal, &targets).unwrap();
        let wide = Rows::new(2, vec![0.0; 200]).unwrap();
        assert!(
            model
                .predict(&wide)
                .unwrap_err()
                .to_string()
                .contains("channels")
        );
        assert!(Rows::new(3, vec![0.0; 4]).is_err());
    }
}
