//! The end of a run: scores, model file, report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use granule_data::task::Part;
use granule_io::words::counted;
use granule_io::{Bound, read, write_atomic};
use granule_models::folder::{MODEL_FILE, RESULT_FILE, checkpoints};
use granule_models::state::state_dict;
use granule_models::{ModelFile, Profile, Provenance, StateDict};

use crate::checkpoint::{Checkpoint, Store, weights_fit};
use crate::config::{Keep, RunConfig};
use crate::engine::dataset::image;
use crate::engine::session::Session;
use crate::engine::source::Trained;
use crate::error::TrainError;
use crate::event::{Event, Observer};
use crate::outcome::{Evaluation, Outcome, Scores};
use crate::progress::Best;
use crate::record::{
    DATA_FINGERPRINT, Fact, Measured, RecordError, ReportData, RunSummary, TestResult,
    first_layer_filters, write_data, write_report,
};

impl Session<'_> {
    /// Scores the weights that are the result and writes what a run leaves behind.
    pub fn finish(mut self) -> Result<Outcome, TrainError> {
        // Neither is wanted any more, and a large model has them many times.
        self.optimizer.release();
        let (state, model_epoch) = self.chosen()?;
        self.network = None;
        let problem = self.problem;
        let trained = Trained {
            model: &self.config.model,
            input: &problem.input,
            task: &problem.task,
            state: &state,
            device: self.device.burn(),
            batch: self.config.train.batch_size.max(64),
        };
        let (evaluation, test) = match problem.source.evaluate(trained, self.observer) {
            Ok(found) => found,
            Err(error) => return Err(self.after_training(error)),
        };

        let file = ModelFile {
            model: self.config.model.clone(),
            input: problem.input.clone(),
            task: problem.task.clone(),
            provenance: self.provenance(Some(&evaluation), model_epoch),
            state,
        };
        self.lock.check()?;
        let model_path = self.run_dir.join(MODEL_FILE);
        file.save(&model_path)?;
        self.recorder.sync()?;
        self.check_files(&model_path)?;

        let outcome = Outcome {
            model_path: Some(model_path),
            evaluation: Some(evaluation.clone()),
            model_epoch: Some(model_epoch),
            kept: Some(self.keep()),
            ..self.outcome(false)
        };
        self.recorder.finish(&summary(&outcome, &evaluation))?;
        let report = self.report(&outcome, test, Some(&file.state), file.provenance)?;
        // It was measured of another model.
        Measured::forget(self.run_dir)?;
        write_report(self.run_dir, &report)?;
        let json = serde_json::to_vec_pretty(&outcome).map_err(|e| RecordError::Render {
            reason: e.to_string(),
        })?;
        write_atomic(&self.run_dir.join(RESULT_FILE), &json)?;
        Ok(tell(outcome, self.observer))
    }

    /// Writes the report of a run that was interrupted: curves and filters, no scores.
    pub fn suspend(self) -> Result<Outcome, TrainError> {
        let outcome = self.outcome(true);
        let state = state_dict(self.network()?)?;
        write_report(self.run_dir, &self.unfinished(&outcome, Some(&state))?)?;
        Ok(tell(outcome, self.observer))
    }

    /// Leaves what a report needs besides the metrics, should this process end before its time.
    pub fn begin_report(&self) -> Result<(), TrainError> {
        let report = self.unfinished(&self.outcome(true), None)?;
        write_data(self.run_dir, &report)?;
        Ok(())
    }

    /// Writes the report of a run that failed. Its error counts, not what goes wrong here.
    pub fn give_up(mut self, error: &TrainError) {
        // Nothing is written into a folder that is another's now.
        if matches!(
            error,
            TrainError::FolderLost { .. } | TrainError::LockLost { .. }
        ) {
            return;
        }
        let _ = self.recorder.sync();
        self.warnings
            .push(format!("The run ended in an error: {error}."));
        if let Ok(report) = self.unfinished(&self.outcome(true), None) {
            let _ = write_report(self.run_dir, &report);
        }
    }

    fn unfinished(
        &self,
        outcome: &Outcome,
        state: Option<&StateDict>,
    ) -> Result<ReportData, TrainError> {
        let provenance = Provenance {
            epochs: self.progress.epoch,
            ..Provenance::now()
        };
        self.report(outcome, None, state, provenance)
    }

    /// The weights that are the run's result, and their epoch from 1.
    fn chosen(&mut self) -> Result<(StateDict, usize), TrainError> {
        let last = self.progress.epoch;
        if let (Keep::BestLoss | Keep::BestScore, Some(best)) = (self.keep(), self.progress.best) {
            match self.store.load_best() {
                Ok(found) if found.progress.best == Some(best) => {
                    let state = found.model.state;
                    match weights_fit(self.network()?, &state) {
                        Ok(()) => return Ok((state, best.epoch)),
                        Err(reason) => self.warn(format!(
                            "checkpoints/best.ckpt: {reason}; taking the last weights"
                        )),
                    }
                }
                Ok(_) => self.warn(format!(
                    "checkpoints/best.ckpt is not of epoch {}, the best one; taking the last weights",
                    best.epoch
                )),
                Err(error) => self.warn(format!("{error}; taking the last weights")),
            }
        }
        Ok((state_dict(self.network()?)?, last))
    }

    /// Where the weights after so many epochs come from.
    pub(super) fn provenance(&self, evaluation: Option<&Evaluation>, epoch: usize) -> Provenance {
        Provenance {
            dataset: self.problem.source.name(),
            dataset_fingerprint: self.problem.source.fingerprint().to_owned(),
            seed: self.config.seed,
            data_seed: self.config.data.seed,
            device: self.computed_on(),
            epochs: epoch,
            scores: scores(evaluation, self.progress.best),
            parent: self.progress.before.parent.clone(),
            profile: profile(self.problem.source.intensities(), evaluation),
            ..Provenance::now()
        }
    }

    /// What the report says of where the model comes from.
    fn facts(&self, weights_of: usize) -> Vec<Fact> {
        let fact = |name: &str, value: String| Fact {
            name: name.to_owned(),
            value,
        };
        let mut facts = vec![
            fact(
                DATA_FINGERPRINT,
                self.problem.source.fingerprint().to_owned(),
            ),
            fact("Run folder", self.run_dir.display().to_string()),
            fact("Weights of epoch", weights_of.to_string()),
        ];
        if let Some(parent) = &self.progress.before.parent {
            facts.push(if parent.optimizer {
                fact(
                    "Continues",
                    format!("{}, after {}", parent.file, counted(parent.epochs, "epoch")),
                )
            } else {
                fact("Weights from", parent.file.clone())
            });
        }
        if self.progress.devices.len() > 1 {
            let all = self.progress.devices.iter();
            let all = all.map(|(step, device)| format!("{device} from step {step}"));
            facts.push(fact("Devices", all.collect::<Vec<_>>().join(", ")));
        }
        if self.progress.arithmetics.len() > 1 {
            let all = self.progress.arithmetics.iter();
            let all = all.map(|(step, arithmetic)| format!("{arithmetic} from step {step}"));
            facts.push(fact("Products in bf16", all.collect::<Vec<_>>().join(", ")));
        }
        facts
    }

    fn report(
        &self,
        outcome: &Outcome,
        test: Option<TestResult>,
        state: Option<&StateDict>,
        provenance: Provenance,
    ) -> Result<ReportData, TrainError> {
        let problem = self.problem;
        let first = self.config.model.first_weight();
        let filters = state.and_then(|state| state.0.get(&first?));
        Ok(ReportData {
            model: self.config.model.name().to_owned(),
            parameters: self.parameters as u64,
            dataset: problem.source.name(),
            train_samples: problem.source.len(Part::Train) as u64,
            validation_samples: problem.source.len(Part::Validation) as u64,
            test_samples: problem.source.len(Part::Test) as u64,
            device: self.computed_on(),
            seed: self.config.seed,
            version: provenance.granule_version,
            created: provenance.created,
            seconds: outcome.seconds,
            images_per_second: outcome.images_per_second,
            interrupted: outcome.interrupted,
            best_epoch: self.progress.best.map(|best| best.epoch as u64),
            epochs: self.recorder.epochs().to_vec(),
            steps: self.recorder.steps().to_vec(),
            test,
            filters: filters.map_or_else(Vec::new, |filters| {
                first_layer_filters(&filters.shape, &filters.data, image(&problem.input.shape))
            }),
            config_toml: self.config.to_toml()?,
            provenance: self.facts(provenance.epochs),
            notes: problem.source.notes().to_vec(),
            warnings: self.warnings.clone(),
        })
    }
}

/// What the run saw, and what the model answered; none where neither is of a kind that is counted.
fn profile(intensities: &[u64], evaluation: Option<&Evaluation>) -> Option<Profile> {
    let predictions = match evaluation.map(|evaluation| &evaluation.scores) {
        Some(Scores::Classification(scores)) => scores.confusion.predicted(),
        _ => Vec::new(),
    };
    let profile = Profile {
        intensities: intensities.to_vec(),
        predictions,
    };
    (profile != Profile::default()).then_some(profile)
}

/// Scores by name, as a model file has them.
fn scores(evaluation: Option<&Evaluation>, best: Option<Best>) -> BTreeMap<String, f64> {
    let mut scores = BTreeMap::new();
    if let Some(evaluation) = evaluation {
        scores.insert("test_loss".to_owned(), evaluation.loss);
    }
    match evaluation.map(|evaluation| &evaluation.scores) {
        None => {}
        Some(Scores::Classification(classes)) => {
            scores.insert("test_accuracy".to_owned(), classes.accuracy);
            scores.insert("macro_f1".to_owned(), classes.macro_f1);
        }
        Some(Scores::Named(named)) => {
            let named = named.iter();
            scores.extend(named.map(|(name, score)| (format!("test_{name}"), *score)));
        }
        Some(Scores::Regression(values)) => {
            scores.insert("test_r2".to_owned(), values.mean.r2);
            scores.extend(
                values
                    .bits_per_spike
                    .map(|bits| ("test_bits_per_spike".to_owned(), bits)),
            );
            scores.insert("test_mae".to_owned(), values.mean.mae);
            scores.insert("test_correlation".to_owned(), values.mean.correlation);
        }
        Some(Scores::Recording(recording)) => {
            scores.extend(recording.r2().map(|r2| ("test_r2".to_owned(), r2)));
        }
        Some(Scores::Trials(trials)) => {
            let all = [
                ("test_accuracy", trials.score.accuracy()),
                ("constant_mse", Some(trials.score.constant_mse)),
                ("ideal_mse", Some(trials.ideal.mse)),
                ("ideal_accuracy", trials.ideal.accuracy()),
            ];
            let present = all
                .into_iter()
                .filter_map(|(name, score)| Some((name.to_owned(), score?)));
            scores.extend(present);
        }
    }
    if let Some(best) = best {
        scores.insert("validation_loss".to_owned(), best.loss);
        let accuracy = best.accuracy.map(|accuracy| accuracy.0);
        scores.extend(accuracy.map(|accuracy| ("validation_accuracy".to_owned(), accuracy)));
    }
    scores.retain(|_, score| score.is_finite());
    scores
}

fn summary(outcome: &Outcome, evaluation: &Evaluation) -> RunSummary {
    RunSummary {
        test_accuracy: evaluation.accuracy(),
        test_loss: evaluation.loss,
        macro_f1: evaluation.macro_f1(),
        r2: evaluation.r2(),
        epochs: outcome.epochs as u64,
        steps: outcome.steps,
        images_per_second: outcome.images_per_second,
        seconds: outcome.seconds,
        device: outcome.device.clone(),
        run_dir: outcome.run_dir.display().to_string(),
        model: path_text(&outcome.model_path),
    }
}

fn path_text(path: &Option<PathBuf>) -> String {
    path.as_ref()
        .map_or_else(String::new, |path| path.display().to_string())
}

/// How an earlier process finished the run; none when it did not.
pub(crate) fn earlier_outcome(run_dir: &Path) -> Result<Option<Outcome>, TrainError> {
    let path = run_dir.join(RESULT_FILE);
    let text = match read(&path, Bound::RECORD) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut outcome: Outcome =
        granule_io::from_json(&text).map_err(|error| RecordError::Damaged {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    // The folder may have been moved.
    outcome.run_dir = run_dir.to_owned();
    outcome.model_path = Some(run_dir.join(MODEL_FILE));
    Ok(Some(outcome))
}

/// The configuration of a finished run as it was at its end, where its report still says.
pub(crate) fn finished_config(run_dir: &Path) -> Option<RunConfig> {
    let report = ReportData::load(run_dir).ok()?;
    RunConfig::from_toml_str(&report.config_toml).ok()
}

/// Writes the model file of a finished run again, from the checkpoint that has its weights: that checkpoint.
pub(crate) fn restore_model(run_dir: &Path, outcome: &Outcome) -> Result<PathBuf, TrainError> {
    let epoch = outcome.model_epoch.unwrap_or(outcome.epochs);
    let store = Store::new(run_dir, 1);
    let best = store.best_path();
    let all = checkpoints(run_dir).into_iter().rev();
    for path in std::iter::once(best.clone()).chain(all) {
        let Ok(checkpoint) = Checkpoint::read(&path) else {
            continue;
        };
        let Checkpoint {
            progress,
            model: mut file,
            ..
        } = checkpoint;
        // Between two epochs, or the best one at the end of its epoch.
        let whole = path == best || progress.step_in_epoch == 0;
        if whole && file.provenance.epochs == epoch {
            file.provenance.scores = scores(outcome.evaluation.as_ref(), progress.best);
            let seen = file.provenance.profile.take().unwrap_or_default();
            file.provenance.profile = profile(&seen.intensities, outcome.evaluation.as_ref());
            file.save(run_dir.join(MODEL_FILE))?;
            return Ok(path);
        }
    }
    Err(TrainError::NoCheckpoint {
        path: run_dir.to_owned(),
        reason: format!("{MODEL_FILE} is gone, and none has the weights of epoch {epoch}"),
    })
}

/// Tells of the result and passes it on.
pub(crate) fn tell(outcome: Outcome, observer: &mut dyn Observer) -> Outcome {
    observer.event(&Event::Result(&outcome));
    outcome
}
