//! Plain lines, for log files and pipes.

use std::time::{Duration, Instant};

use granule::data::Shape;
use granule::train::{EpochEvent, Event, Keep, Lengthened, Monitor, StartEvent, StepEvent};

use super::View;
use crate::output::{self, Paint, Stream, counted, duration, grouped, note, paint, rate};

/// Time between two lines within one epoch.
const PERIOD: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Lines {
    last: Option<Instant>,
    unit: Unit,
}

/// What is counted.
#[derive(Clone, Copy, Default)]
pub enum Unit {
    #[default]
    Images,
    /// Vectors, whatever they hold.
    Samples,
    Trials,
}

impl Unit {
    /// The unit of a run that has told of this event, if the event says so.
    pub fn of(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Task { .. } | Event::Recording { .. } => Some(Self::Trials),
            Event::Dataset { dataset, .. } => Some(match dataset.train.shape() {
                Shape::Image { .. } => Self::Images,
                Shape::Vector { .. } | Shape::Sequence { .. } => Self::Samples,
            }),
            Event::Objective { .. } => Some(Self::Samples),
            _ => None,
        }
    }

    /// Speed in words, and in fewer letters.
    pub fn speed(self) -> [&'static str; 2] {
        match self {
            Self::Images => ["images/s", "img/s"],
            Self::Samples => ["samples/s", "samples/s"],
            Self::Trials => ["trials/s", "trials/s"],
        }
    }
}

impl View for Lines {
    fn show(&mut self, event: &Event<'_>) {
        self.unit = Unit::of(event).unwrap_or(self.unit);
        match event {
            Event::Start(_) | Event::Epoch(_) => self.last = Some(Instant::now()),
            Event::Step(step)
                if self.last.is_none_or(|last| last.elapsed() >= PERIOD)
                    && step.step_in_epoch < step.steps_per_epoch =>
            {
                self.last = Some(Instant::now());
                note(&within(step, self.unit));
            }
            _ => {}
        }
        if let Some(text) = sentence(event, self.unit) {
            note(&text);
        }
        if matches!(event, Event::Start(_)) {
            note("");
        }
        if let Event::Warning { text } = event {
            output::warn(text);
        }
    }
}

fn within(step: &StepEvent, unit: Unit) -> String {
    format!(
        "epoch {}, step {}/{}  {}  {} left",
        counter(step.epoch, step.epochs),
        step.step_in_epoch,
        step.steps_per_epoch,
        pace(step.mean_loss, step.accuracy, step.images_per_second, unit),
        duration(step.remaining_seconds),
    )
}

/// Loss, accuracy and speed, each in a fixed width.
pub fn pace(loss: f64, accuracy: Option<f64>, per_second: f64, unit: Unit) -> String {
    let [speed, _] = unit.speed();
    format!(
        "{}  {:>7} {speed}",
        scores(loss, accuracy),
        rate(per_second)
    )
}

fn scores(loss: f64, accuracy: Option<f64>) -> String {
    match accuracy {
        Some(accuracy) => format!("loss {}  accuracy {:>6.2} %", shown(loss), accuracy * 100.0),
        None => format!("loss {}", shown(loss)),
    }
}

/// `0.1234`, or `1.2e-4`, as wide.
pub fn shown(loss: f64) -> String {
    if loss.abs() < 1e-3 && loss != 0.0 {
        format!("{loss:.1e}")
    } else {
        format!("{loss:.4}")
    }
}

/// ` 3/10`: as wide for every epoch.
pub fn counter(epoch: usize, epochs: usize) -> String {
    let width = epochs.to_string().len();
    format!("{epoch:>width$}/{epochs}")
}

/// The line that stays on the screen after an event, if it leaves one.
pub fn sentence(event: &Event<'_>, unit: Unit) -> Option<String> {
    match event {
        Event::Device(device) => Some(head(
            "device",
            &match device.reason() {
                Some(reason) => format!("{}\n{:8}{reason}", device.name(), ""),
                None => device.name().to_string(),
            },
        )),
        Event::Dataset {
            dataset,
            train,
            validation,
            test,
        } => {
            let held_out = if *validation > 0 {
                format!(" {} validation,", grouped(*validation))
            } else {
                String::new()
            };
            let targets = match dataset.classes.len() {
                0 => String::new(),
                classes => format!(", {}", counted(classes, "class")),
            };
            Some(head(
                "data",
                &format!(
                    "{}: {} training,{held_out} {} test samples of {}{targets}",
                    output::printable(&dataset.name),
                    grouped(*train),
                    grouped(*test),
                    dataset.train.shape(),
                ),
            ))
        }
        Event::Task {
            task,
            shape,
            dt,
            train,
            validation,
            test,
            ..
        } => Some(head(
            "task",
            &format!(
                "{}: {}\n{:8}{} of {dt} ms; {} trials an epoch, {} validation, {} test; {}, {}",
                task.name,
                task.summary,
                "",
                counted(shape.steps, "step"),
                grouped(*train),
                grouped(*validation),
                grouped(*test),
                counted(shape.inputs, "input"),
                counted(shape.outputs, "output"),
            ),
        )),
        Event::Recording {
            path,
            quantities,
            samples,
            interval,
            trials,
            train,
            validation,
            test,
            ..
        } => {
            let all = quantities.iter();
            let all = all.map(|(name, columns)| format!("{name} ({columns})"));
            let parts = match trials {
                1 => "one trial".to_owned(),
                _ => format!("{train} training, {validation} validation, {test} test trials"),
            };
            Some(head(
                "data",
                &format!(
                    "{}: {}\n{:8}{} at a distance of {interval} ms; {parts}",
                    path.display(),
                    all.collect::<Vec<_>>().join(", "),
                    "",
                    counted(*samples, "instant"),
                ),
            ))
        }
        Event::Note { text } => Some(aside(text)),
        Event::Start(start) => Some(plan(start)),
        Event::Turn {
            turn,
            turns,
            levels,
        } => Some(format!(
            "turn {}: {} learn",
            counter(*turn, *turns),
            levels.join(", ")
        )),
        Event::Epoch(epoch) if is_shown(epoch) => Some(finished(epoch, unit)),
        Event::EarlyStop {
            epoch,
            monitor,
            improved,
            min_delta,
            keep,
            best_epoch,
        } => {
            let monitored = match monitor {
                Monitor::Loss => "the validation loss",
                Monitor::Accuracy => "the validation accuracy",
            };
            let by = match *min_delta {
                0.0 => String::new(),
                least => format!(" by more than {least} (train.early_stopping.min_delta)"),
            };
            let kept = if best_epoch == improved || *keep == Keep::Last {
                String::new()
            } else {
                format!("; epoch {best_epoch} is {keep}, whose weights are kept")
            };
            Some(format!(
                "stopped early after epoch {epoch}: {monitored} has not improved{by} since epoch {improved}{kept}"
            ))
        }
        Event::AlreadyFinished { run_dir } => Some(format!(
            "{} was finished before; nothing is left to train",
            run_dir.display()
        )),
        _ => None,
    }
}

fn plan(start: &StartEvent<'_>) -> String {
    let config = start.config;
    let mut text = head(
        "model",
        &format!(
            "{}, {}",
            config.model.name(),
            counted(start.parameters, "parameter")
        ),
    );
    text.push('\n');
    text.push_str(&head(
        "train",
        &format!(
            "{} of {}, {} in all{}, batch {}{}; {}, learning rate {:?}{}; seed {}",
            counted(config.train.epochs, "epoch"),
            counted(start.steps_per_epoch, "step"),
            grouped(start.total_steps as usize),
            lengthened(start.lengthened),
            config.train.batch_size,
            match config.train.accumulate {
                1 => String::new(),
                batches => format!(" × {batches}"),
            },
            config.optimizer.name(),
            config.optimizer.lr(),
            match config.schedule.name() {
                "constant" => String::new(),
                name => format!(" ({name})"),
            },
            config.seed,
        ),
    ));
    text.push('\n');
    text.push_str(&head("run", &start.run_dir.display().to_string()));
    if start.keep != Keep::Last || config.train.keep == Keep::Last {
        let kept = format!(
            "the weights of {} (train.keep = \"{}\")",
            start.keep,
            start.keep.name()
        );
        text.push('\n');
        text.push_str(&head("keep", &kept));
    }
    if let Some(parent) = start.parent {
        let with = if parent.optimizer {
            format!(
                ", with the state of its optimiser, after {}",
                counted(parent.epochs, "epoch")
            )
        } else {
            ", its weights alone".to_owned()
        };
        text.push('\n');
        text.push_str(&head("from", &format!("{}{with}", parent.file)));
    }
    if let Some(checkpoint) = start.resumed_from {
        text.push('\n');
        text.push_str(&head(
            "resume",
            &format!(
                "at step {} of {}, from {}",
                grouped(start.done_steps as usize),
                grouped(start.total_steps as usize),
                checkpoint.file_name().unwrap_or_default().display()
            ),
        ));
    }
    text
}

/// Why a run is longer than its epochs were set to, in brackets.
pub fn lengthened(reason: Option<Lengthened>) -> String {
    reason.map_or_else(String::new, |Lengthened { epochs, min_steps }| {
        format!(" (train.min_steps = {min_steps} takes more than train.epochs = {epochs})")
    })
}

/// The most epochs of which each has a line.
const LINES: usize = 50;

/// Whether an epoch gets a line: of hundreds some fifty do.
fn is_shown(epoch: &EpochEvent) -> bool {
    let every = epoch.epochs.div_ceil(LINES).max(1);
    epoch.epoch == 1 || epoch.epoch == epoch.epochs || epoch.epoch.is_multiple_of(every)
}

fn finished(epoch: &EpochEvent, unit: Unit) -> String {
    // Of many epochs none takes long: how long they all will take says more.
    let many = epoch.epochs > LINES;
    let time = if many && epoch.epoch < epoch.epochs {
        format!("  {} left", duration(epoch.remaining_seconds))
    } else if !many && epoch.validation_loss.is_none() {
        format!("  {}", duration(epoch.seconds))
    } else {
        String::new()
    };
    let validation = match epoch.validation_loss {
        Some(loss) => format!(
            "\n{:indent$}validation {}{}{time}",
            "",
            scores(loss, epoch.validation_accuracy),
            if epoch.best { "  best" } else { "" },
            indent = "epoch   ".len() + 2 * epoch.epochs.to_string().len(),
        ),
        None => time,
    };
    format!(
        "epoch {}  {}{validation}",
        counter(epoch.epoch, epoch.epochs),
        pace(
            epoch.train_loss,
            epoch.train_accuracy,
            epoch.images_per_second,
            unit,
        ),
    )
}

pub fn head(label: &str, text: &str) -> String {
    format!(
        "{} {text}",
        paint(Paint::Good, &format!("{label:>7}"), Stream::Stderr)
    )
}

/// A line that goes on below one with a [`head`].
pub fn aside(text: &str) -> String {
    format!("{:8}{}", "", output::printable(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_epochs_say_how_long_they_will_take() {
        let mut epoch = EpochEvent {
            epoch: 80,
            epochs: 4000,
            global_step: 80,
            train_loss: 0.5,
            train_accuracy: Some(0.75),
            validation_loss: None,
            validation_accuracy: None,
            learning_rate: 0.1,
            seconds: 0.01,
            images_per_second: 44_115.0,
            remaining_seconds: 725.0,
            best: false,
        };
        let text = finished(&epoch, Unit::Images);
        assert!(
            text.ends_with("12 min 05 s left") && text.chars().count() <= 84,
            "{text}"
        );
        epoch.validation_loss = Some(0.4);
        assert!(finished(&epoch, Unit::Images).ends_with("12 min 05 s left"));
        (epoch.epochs, epoch.validation_loss) = (90, None);
        epoch.epoch = 90;
        assert!(finished(&epoch, Unit::Images).ends_with("images/s"));
        (epoch.epochs, epoch.epoch) = (10, 2);
        assert!(finished(&epoch, Unit::Images).ends_with("images/s  0.0 s"));
    }

    #[test]
    fn an_early_stop_names_what_was_monitored() {
        for (monitor, score) in [(Monitor::Loss, "loss"), (Monitor::Accuracy, "accuracy")] {
            let event = Event::EarlyStop {
                epoch: 7,
                monitor,
                improved: 4,
                min_delta: 0.0,
                keep: Keep::BestScore,
                best_epoch: 4,
            };
            let plain = format!(
                "stopped early after epoch 7: the validation {score} has not improved since epoch 4"
            );
            assert_eq!(sentence(&event, Unit::Images).unwrap(), plain);
            let event = Event::EarlyStop {
                epoch: 7,
                monitor,
                improved: 4,
                min_delta: 0.01,
                keep: Keep::BestLoss,
                best_epoch: 6,
            };
            assert_eq!(
                sentence(&event, Unit::Images).unwrap(),
                format!(
                    "stopped early after epoch 7: the validation {score} has not improved by more than 0.01 \
                     (train.early_stopping.min_delta) since epoch 4; epoch 6 is the epoch with the lowest validation loss, \
                     whose weights are kept"
                )
            );
        }
    }
}
