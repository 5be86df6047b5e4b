//! One JSON object a line, for programs.

use std::path::Path;
use std::time::{Duration, Instant};

use granule::train::Event;
use serde_json::{Value, json};

use super::View;
use crate::output;

/// Time between two objects within one epoch.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Json {
    last: Option<Instant>,
}

impl View for Json {
    fn show(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Step(_)) {
            if self.last.is_some_and(|last| last.elapsed() < PERIOD) {
                return;
            }
            self.last = Some(Instant::now());
        }
        if let Some((name, fields)) = object(event) {
            // The result at the end reports a failure to write.
            let _ = output::event(name, fields);
        }
    }
}

/// A path as JSON can hold it: one that is not UTF-8 would not serialise.
fn text(path: &Path) -> String {
    path.display().to_string()
}

fn object(event: &Event<'_>) -> Option<(&'static str, Value)> {
    Some(match event {
        Event::Device(device) => (
            "device",
            json!({"requested": device.requested(),
                "device": device.spec(),
                "name": device.name(),
                "reason": device.reason(),
            }),
        ),
        Event::Dataset {
            dataset,
            train,
            validation,
            test,
        } => (
            "dataset",
            json!({"name": dataset.name,
                "train": train,
                "validation": validation,
                "test": test,
                "classes": dataset.classes,
                "fingerprint": dataset.fingerprint,
            }),
        ),
        Event::Task {
            task,
            shape,
            dt,
            train,
            validation,
            test,
            fingerprint,
        } => (
            "task",
            json!({"name": task.name,
                "train": train,
                "validation": validation,
                "test": test,
                "steps": shape.steps,
                "dt_ms": dt,
                "inputs": task.inputs,
                "outputs": task.outputs,
                "fingerprint": fingerprint,
            }),
        ),
        Event::Recording {
            path,
            quantities,
            samples,
            interval,
            trials,
            train,
            validation,
            test,
            fingerprint,
        } => (
            "recording",
            json!({"path": text(path),
                "trials": trials,
                "train": train,
                "validation": validation,
                "test": test,
                "samples": samples,
                "interval_ms": interval,
                "quantities": quantities.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                "fingerprint": fingerprint,
            }),
        ),
        Event::Start(start) => (
            "start",
            json!({"run_dir": text(start.run_dir),
                "model": start.config.model.name(),
                "parameters": start.parameters,
                "epochs": start.config.train.epochs,
                "steps_per_epoch": start.steps_per_epoch,
                "total_steps": start.total_steps,
                "train_epochs": start.lengthened.map(|reason| reason.epochs),
                "min_steps": start.lengthened.map(|reason| reason.min_steps),
                "done_steps": start.done_steps,
                "resumed_from": start.resumed_from.map(text),
                "parent": start.parent.map(|parent| &parent.file),
                "keep": start.keep.name(),
            }),
        ),
        Event::Step(step) => (
            "step",
            json!({"epoch": step.epoch,
                "step": step.global_step,
                "total_steps": step.total_steps,
                "loss": step.loss,
                "mean_loss": step.mean_loss,
                "accuracy": step.accuracy,
                "learning_rate": step.learning_rate,
                "gradient_norm": step.gradient_norm,
                "images_per_second": step.images_per_second,
                "remaining_seconds": step.remaining_seconds,
            }),
        ),
        Event::Turn {
            turn,
            turns,
            levels,
        } => (
            "turn",
            json!({"turn": turn, "turns": turns, "levels": levels}),
        ),
        Event::Validation(score) => (
            "validation",
            json!({"epoch": score.epoch,
                "loss": score.loss,
                "accuracy": score.accuracy,
                "best": score.best,
            }),
        ),
        Event::Epoch(epoch) => ("epoch", serde_json::to_value(epoch).ok()?),
        Event::Checkpoint { path, step } => {
            ("checkpoint", json!({"path": text(path), "step": step}))
        }
        Event::Note { text } => ("note", json!({"text": text})),
        Event::Warning { text } => ("warning", json!({"text": text})),
        Event::EarlyStop {
            epoch,
            monitor,
            improved,
            min_delta,
            best_epoch,
            ..
        } => (
            "early_stop",
            json!({"epoch": epoch,
                "monitor": monitor.name(),
                "improved": improved,
                "min_delta": min_delta,
                "best_epoch": best_epoch,
            }),
        ),
        Event::Interrupted { step, checkpoint } => (
            "interrupted",
            json!({"step": step, "checkpoint": text(checkpoint)}),
        ),
        Event::AlreadyFinished { run_dir } => {
            ("already_finished", json!({"run_dir": text(run_dir)}))
        }
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_need_not_be_utf_8() {
        let path = Path::new(OsStr::from_bytes(b"run-\xff"));
        let events = [
            Event::Checkpoint { path, step: 1 },
            Event::Interrupted {
                step: 1,
                checkpoint: path,
            },
            Event::AlreadyFinished { run_dir: path },
        ];
        for event in &events {
            let (_, fields) = object(event).unwrap();
            assert!(fields.to_string().contains("run-\u{fffd}"), "{fields}");
        }
    }
}
