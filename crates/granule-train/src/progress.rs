//! How far a run has come, and what of that cannot be: a file may be whole, with the right checksum, and yet be no state
//! that a run was ever in.

use std::fmt::Display;
use std::ops::RangeInclusive;

use granule_device::DeviceSpec;
use granule_io::words::counted as numbered;
use granule_models::{CheckpointFile, Parent};
use granule_ops::Bf16Arithmetic;
use serde::{Deserialize, Serialize};

use crate::config::{Compute, Keep, RunConfig, TrainConfig};
use crate::settings::Settings;

/// The most epochs and steps that runs before this one can have done: sums of them stay far from an overflow.
const MOST_BEFORE: u64 = 1 << 53;
/// The longest that a run can have taken, in seconds: three centuries.
const LONGEST: f64 = 1e10;

/// How far a run has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// [`CheckpointFile::FORMAT`].
    pub format: u32,
    /// The data set's fingerprint.
    pub fingerprint: String,
    /// The settings the run began with.
    pub settings: Settings,
    /// Optimiser steps done.
    pub global_step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Steps done in the epoch under way.
    pub step_in_epoch: usize,
    /// Sums over the epoch under way.
    pub sums: Sums,
    /// Samples of all steps.
    pub samples: u64,
    /// Seconds spent in all epochs' steps.
    #[serde(with = "exact")]
    pub train_seconds: f64,
    /// Seconds spent, validation included.
    #[serde(with = "exact")]
    pub seconds: f64,
    /// The lowest validation loss.
    pub best: Option<Best>,
    /// What early stopping waits for.
    pub early_stopping: Patience,
    /// What the schedule `plateau` waits for.
    #[serde(default)]
    pub plateau: Patience,
    /// How often the schedule `plateau` has lowered the learning rate.
    #[serde(default)]
    pub falls: u32,
    /// Whether early stopping has ended the run.
    pub stopped_early: bool,
    /// What the run began from.
    #[serde(default)]
    pub before: Before,
    /// The loss of the first step's batch; 0 before it.
    #[serde(default, with = "exact")]
    pub first_loss: f64,
    /// The devices that the run was on, in their order, each with the steps done before.
    #[serde(default)]
    pub devices: Vec<(u64, String)>,
    /// What computed its products in bfloat16, as [`devices`](Self::devices); none where there are none.
    #[serde(default)]
    pub arithmetics: Vec<(u64, String)>,
}

/// What was done before a run that continues another one began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Before {
    /// Epochs; the draws of the run go on after them.
    pub epochs: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Where the weights come from, unless drawn.
    pub parent: Option<Box<Parent>>,
}

/// How long the monitored score has not improved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Patience {
    /// Epochs without improvement.
    stale: usize,
    /// The score to improve upon, with the sign that makes less better.
    #[serde(with = "exact")]
    reference: f64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stale: 0,
            reference: f64::INFINITY,
        }
    }
}

impl Patience {
    /// Takes a score, less being better; whether it is at an end, after `patience` epochs without an improvement by more
    /// than `min_delta`.
    pub fn ends(&mut self, score: f64, min_delta: f64, patience: usize) -> bool {
        if score < self.reference - min_delta {
            self.reference = score;
            self.stale = 0;
        } else {
            self.stale += 1;
        }
        self.stale >= patience
    }

    /// Epochs since the last improvement.
    pub fn stale(&self) -> usize {
        self.stale
    }

    /// Begins to wait anew, for an improvement upon the same score.
    pub fn renew(&mut self) {
        self.stale = 0;
    }
}

/// Sums over the steps of an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    #[serde(with = "exact")]
    pub loss: f64,
    pub correct: u64,
    pub samples: u64,
    #[serde(with = "exact")]
    pub seconds: f64,
}

/// The best epoch so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// From 1.
    pub epoch: usize,
    #[serde(with = "exact")]
    pub loss: f64,
    /// Share of the validation part classified rightly; classes only.
    #[serde(default)]
    pub accuracy: Option<Exact>,
}

impl Best {
    pub fn new(epoch: usize, loss: f64, accuracy: Option<f64>) -> Self {
        Self {
            epoch,
            loss,
            accuracy: accuracy.map(Exact),
        }
    }

    /// Whether another epoch is better by what is kept: the one with the higher accuracy, where there is one and the score
    /// is asked for, and of equal ones that with the lower loss.
    pub fn is_beaten_by(&self, loss: f64, accuracy: Option<f64>, keep: Keep) -> bool {
        match (keep, accuracy, self.accuracy) {
            (Keep::BestScore | Keep::Last, Some(accuracy), Some(Exact(best))) => {
                accuracy > best || accuracy == best && loss < self.loss
            }
            _ => loss < self.loss,
        }
    }
}

/// A double as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exact(#[serde(with = "exact")] pub f64);

impl Progress {
    pub fn new(fingerprint: &str, settings: Settings) -> Self {
        Self {
            format: CheckpointFile::FORMAT,
            fingerprint: fingerprint.to_owned(),
            settings,
            ..Self::default()
        }
    }

    /// Notes what computes the products in bfloat16 from here on; a warning where that is another than before.
    pub fn compute_by(&mut self, arithmetic: &str) -> Option<String> {
        let step = self.global_step;
        let before = self.arithmetics.last().map(|(_, before)| before.clone());
        if before.as_deref() == Some(arithmetic) {
            return None;
        }
        self.arithmetics.push((step, arithmetic.to_owned()));
        let before = before?;
        Some(format!(
            "the products in bf16 were computed by {before}, and are by {arithmetic} after step {step}: the run ends where one on the \
             first processor does within the error of rounding, not bit for bit"
        ))
    }
}

/// What a checkpoint of a run has to fit to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course<'a> {
    pub train: &'a TrainConfig,
    /// Of an epoch.
    pub steps: usize,
    /// Of the training part.
    pub samples: usize,
}

impl<'a> Course<'a> {
    pub fn of(config: &'a RunConfig, samples: usize) -> Self {
        Self {
            train: &config.train,
            steps: config.train.steps_per_epoch(samples),
            samples,
        }
    }
}

/// The first field out of its range, in words.
type Check = Result<(), String>;

fn within<T: PartialOrd + Display>(field: &str, value: T, allowed: RangeInclusive<T>) -> Check {
    if allowed.contains(&value) {
        Ok(())
    } else {
        Err(format!(
            "{field} is {value}, which cannot be; possible: {} to {}",
            allowed.start(),
            allowed.end()
        ))
    }
}

fn finite(field: &str, value: f64) -> Check {
    if value.is_finite() {
        Ok(())
    } else {
        Err(format!("{field} is {value}, not a finite number"))
    }
}

fn agree(field: &str, value: u64, other: &str, expected: u64) -> Check {
    if value == expected {
        Ok(())
    } else {
        Err(format!("{field} is {value}, {other} make it {expected}"))
    }
}

impl Progress {
    /// Refuses what no run can have come to.
    pub fn check(&self) -> Check {
        within("global_step", self.global_step, 0..=MOST_BEFORE)?;
        within("epoch", self.epoch as u64, 0..=self.global_step)?;
        within(
            "step_in_epoch",
            self.step_in_epoch as u64,
            0..=self.global_step,
        )?;
        // Every step has a sample.
        within("samples", self.samples, self.global_step..=u64::MAX >> 1)?;
        within("train_seconds", self.train_seconds, 0.0..=LONGEST)?;
        within("seconds", self.seconds, 0.0..=LONGEST)?;
        finite("first_loss", self.first_loss)?;
        self.sums.check(self)?;
        if let Some(best) = &self.best {
            best.check(self)?;
        }
        // The epoch that ends is not counted yet.
        let epochs = self.epoch + 1;
        self.early_stopping.check("early_stopping", epochs)?;
        self.plateau.check("plateau", epochs)?;
        within("falls", u64::from(self.falls), 0..=epochs as u64)?;
        self.before.check()?;
        self.check_devices()
    }

    /// Refuses what this run cannot have come to.
    pub fn check_in(&self, run: &Course<'_>) -> Check {
        within("epoch", self.epoch, 0..=run.train.epochs)?;
        within("step_in_epoch", self.step_in_epoch, 0..=run.steps)?;
        let whole = (self.epoch as u64).saturating_mul(run.steps as u64);
        let counted = whole.saturating_add(self.step_in_epoch as u64);
        let said = format!(
            "{} of {} and {}",
            numbered(self.epoch, "epoch"),
            numbered(run.steps, "step"),
            numbered(self.step_in_epoch, "step")
        );
        agree("global_step", self.global_step, &said, counted)?;
        let of_step = run
            .train
            .batch_size
            .saturating_mul(run.train.accumulate.max(1));
        let now = self.step_in_epoch.saturating_mul(of_step).min(run.samples) as u64;
        within("sums.samples", self.sums.samples, 0..=now)?;
        let all = (self.epoch as u64)
            .saturating_mul(run.samples as u64)
            .saturating_add(now);
        within("samples", self.samples, 0..=all)?;
        let compute = run.train.compute;
        if (compute == Compute::Bf16) == self.arithmetics.is_empty() {
            let there = if self.arithmetics.is_empty() {
                "has none"
            } else {
                "has some"
            };
            return Err(format!(
                "arithmetics {there}, where train.compute is \"{}\"",
                compute.name()
            ));
        }
        let waited = run.train.early_stopping.map(|early| early.patience);
        if self.stopped_early && waited.is_none_or(|waited| self.early_stopping.stale < waited) {
            Err("stopped_early is true, which early stopping did not lead to".to_owned())
        } else {
            Ok(())
        }
    }

    fn check_devices(&self) -> Check {
        let is_device = |name: &str| name.parse::<DeviceSpec>().is_ok();
        self.check_places("devices", &self.devices, "device", is_device)?;
        let all = [Bf16Arithmetic::Avx512Bf16, Bf16Arithmetic::Emulated];
        let is_one = |name: &str| all.iter().any(|one| one.name() == name);
        self.check_places("arithmetics", &self.arithmetics, "arithmetic", is_one)
    }

    /// Places that the run was at one after the other, the first from its beginning on.
    fn check_places(
        &self,
        field: &str,
        places: &[(u64, String)],
        what: &str,
        is_one: impl Fn(&str) -> bool,
    ) -> Check {
        let mut from = 0;
        for (index, (step, place)) in places.iter().enumerate() {
            let field = format!("{field}.{index}");
            within(&field, *step, from..=self.global_step)?;
            from = *step;
            if !is_one(place) {
                return Err(format!("{field} is no {what}"));
            }
            let before = index.checked_sub(1).and_then(|before| places.get(before));
            let again = before.is_some_and(|(_, before)| before == place);
            if again || index == 0 && *step > 0 {
                return Err(format!(
                    "{field} begins at step {step} where no {what} changed"
                ));
            }
        }
        Ok(())
    }
}

impl Sums {
    fn check(&self, of: &Progress) -> Check {
        finite("sums.loss", self.loss)?;
        within(
            "sums.samples",
            self.samples,
            of.step_in_epoch as u64..=of.samples,
        )?;
        within("sums.correct", self.correct, 0..=self.samples)?;
        within("sums.seconds", self.seconds, 0.0..=LONGEST)
    }
}

impl Best {
    fn check(&self, of: &Progress) -> Check {
        // The best epoch is kept before it is counted.
        within("best.epoch", self.epoch, 1..=of.epoch + 1)?;
        finite("best.loss", self.loss)?;
        match self.accuracy {
            Some(Exact(accuracy)) => within("best.accuracy", accuracy, 0.0..=1.0),
            None => Ok(()),
        }
    }
}

impl Patience {
    fn check(&self, field: &str, epochs: usize) -> Check {
        within(&format!("{field}.stale"), self.stale, 0..=epochs)?;
        // Infinite until there is a score.
        if self.reference.is_nan() || self.reference == f64::NEG_INFINITY {
            Err(format!(
                "{field}.reference is {}, which is no score",
                self.reference
            ))
        } else {
            Ok(())
        }
    }
}

impl Before {
    fn check(&self) -> Check {
        within("before.steps", self.steps, 0..=MOST_BEFORE)?;
        within("before.epochs", self.epochs as u64, 0..=self.steps)?;
        let continued = self.parent.as_ref().filter(|parent| parent.optimizer);
        let epochs = continued.map_or(0, |parent| parent.epochs as u64);
        agree(
            "before.epochs",
            self.epochs as u64,
            "the runs before",
            epochs,
        )
    }
}

/// A double as its bits: decimal JSON numbers need not come back the same.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// In the third epoch of ten, seven steps along.
    fn good() -> Progress {
        Progress {
            global_step: 27,
            epoch: 2,
            step_in_epoch: 7,
            samples: 27 * 8,
            sums: Sums {
                loss: 3.5,
                correct: 40,
                samples: 56,
                seconds: 0.1,
            },
            train_seconds: 0.4,
            seconds: 0.5,
            best: Some(Best::new(2, 0.4, Some(0.75))),
            first_loss: 2.3,
            devices: vec![(0, "flex".to_owned()), (9, "ndarray".to_owned())],
            arithmetics: vec![(0, "emulated".to_owned()), (9, "AVX512-BF16".to_owned())],
            ..Progress::new("f00", Settings::default())
        }
    }

    #[test]
    fn another_arithmetic_is_noted_and_told_of() {
        let mut progress = Progress::new("f00", Settings::default());
        assert_eq!(progress.compute_by("emulated"), None);
        assert_eq!(progress.compute_by("emulated"), None);
        progress.global_step = 7;
        let told = progress.compute_by("AVX512-BF16").unwrap();
        for part in ["emulated", "AVX512-BF16", "step 7", "not bit for bit"] {
            assert!(told.contains(part), "{told}");
        }
        let noted = [(0, "emulated".to_owned()), (7, "AVX512-BF16".to_owned())];
        assert_eq!(progress.arithmetics, noted);
    }

    fn check(progress: &Progress) -> Check {
        let train = TrainConfig {
            epochs: 10,
            batch_size: 8,
            compute: Compute::Bf16,
            ..TrainConfig::default()
        };
        let course = Course {
            train: &train,
            steps: 10,
            samples: 80,
        };
        progress.check()?;
        progress.check_in(&course)
    }

    #[test]
    fn a_run_in_f32_has_no_arithmetic() {
        let train = TrainConfig {
            epochs: 10,
            batch_size: 8,
            ..TrainConfig::default()
        };
        let course = Course {
            train: &train,
            steps: 10,
            samples: 80,
        };
        let reason = good().check_in(&course).unwrap_err();
        assert!(reason.starts_with("arithmetics") && reason.contains("f32"));
        let without = Progress {
            arithmetics: Vec::new(),
            ..good()
        };
        without.check_in(&course).unwrap();
    }

    /// As it is when one field of its JSON has another value.
    fn with(field: &str, value: Value) -> Result<Progress, serde_json::Error> {
        let mut json = serde_json::to_value(good()).unwrap();
        let pointer = format!("/{}", field.replace('.', "/"));
        *json.pointer_mut(&pointer).unwrap() = value;
        serde_json::from_value(json)
    }

    #[test]
    fn the_field_that_cannot_be_is_named() {
        check(&good()).unwrap();
        let bits = |value: f64| json!(value.to_bits());
        let (nan, infinite) = (f64::NAN, f64::INFINITY);
        let wrong = [
            ("global_step", json!(26)),
            ("global_step", json!(u64::MAX)),
            ("epoch", json!(11)),
            ("step_in_epoch", json!(11)),
            ("step_in_epoch", json!(6)),
            ("samples", json!(0)),
            ("samples", json!(u64::MAX)),
            ("samples", json!(217)),
            ("sums.samples", json!(6)),
            ("sums.samples", json!(57)),
            ("sums.correct", json!(57)),
            ("sums.loss", bits(nan)),
            ("sums.seconds", bits(-1.0)),
            ("train_seconds", bits(nan)),
            ("seconds", bits(infinite)),
            ("seconds", json!(u64::MAX)),
            ("best.epoch", json!(0)),
            ("best.epoch", json!(4)),
            ("best.loss", bits(nan)),
            ("best.accuracy", bits(1.5)),
            ("early_stopping.stale", json!(4)),
            ("early_stopping.reference", bits(nan)),
            ("plateau.stale", json!(usize::MAX)),
            ("plateau.reference", bits(-infinite)),
            ("falls", json!(4)),
            ("stopped_early", json!(true)),
            ("first_loss", bits(infinite)),
            ("before.epochs", json!(usize::MAX)),
            ("before.steps", json!(u64::MAX)),
            ("devices.0.0", json!(1)),
            ("devices.1.0", json!(28)),
            ("devices.1.1", json!("flex")),
            ("devices.1.1", json!("\u{1b}[2J")),
            ("arithmetics", json!([])),
            ("arithmetics.1.0", json!(28)),
            ("arithmetics.1.1", json!("emulated")),
            ("arithmetics.1.1", json!("\u{1b}[2J")),
        ];
        for (field, value) in wrong {
            let reason = check(&with(field, value.clone()).unwrap()).unwrap_err();
            let named = field.strip_suffix(".0").unwrap_or(field);
            let named = named
                .strip_suffix(".1")
                .filter(|_| named.matches('.').count() > 1)
                .unwrap_or(named);
            // Of counts that disagree either is the wrong one.
            let other = field == "step_in_epoch" && reason.starts_with("global_step");
            assert!(
                reason.starts_with(named) || other,
                "{field} = {value}: {reason}"
            );
            assert!(reason.len() < 200 && !reason.contains('\u{1b}'), "{reason}");
        }
    }

    proptest! {
        /// Whatever a number becomes, it is refused or within what the rest of the run allows.
        #[test]
        fn no_number_leads_beyond_the_run(index in 0_usize..100, bits in any::<u64>(), small in 0_u64..100, is_small: bool) {
            let mut numbers = Vec::new();
            collect("", &serde_json::to_value(good()).unwrap(), &mut numbers);
            let field = &numbers[index % numbers.len()];
            let value = if is_small { small } else { bits };
            let Ok(progress) = with(field, json!(value)) else { return Ok(()) };
            if check(&progress).is_err() {
                return Ok(());
            }
            let Progress { sums, .. } = progress;
            prop_assert!(progress.epoch <= 10 && progress.step_in_epoch <= 10);
            prop_assert!(sums.correct <= sums.samples && sums.samples <= progress.samples);
            prop_assert!(progress.samples <= 80 * 10 && sums.loss.is_finite());
            prop_assert!(progress.seconds >= 0.0 && progress.first_loss.is_finite());
            prop_assert!(!progress.plateau.reference.is_nan() && progress.plateau.stale <= 10);
            prop_assert!(progress.before.steps.checked_add(progress.global_step).is_some());
        }
    }

    fn collect(name: &str, value: &Value, numbers: &mut Vec<String>) {
        let mut into = |key: &str, value| {
            if name.is_empty() {
                collect(key, value, numbers)
            } else {
                collect(&format!("{name}.{key}"), value, numbers)
            }
        };
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| into(key, value)),
            Value::Array(list) => {
                let list = list.iter().enumerate();
                list.for_each(|(index, value)| into(&index.to_string(), value));
            }
            Value::Number(_) => numbers.push(name.to_owned()),
            _ => {}
        }
    }
}
