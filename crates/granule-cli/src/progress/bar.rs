//! A bar below the lines that stay.

use std::time::{Duration, Instant};

use granule::train::{Event, StartEvent, StepEvent};
use indicatif::{ProgressBar, ProgressStyle};

use super::View;
use super::lines::{counter, sentence};
use crate::output::{self, Stream, coloured, grouped, note};

/// A thin bar with a rounded tip.
pub const CHARS: &str = "━╸ ";

/// Time between two changes of the text beside the bar.
const PERIOD: Duration = Duration::from_millis(100);

#[derive(Default)]
pub struct Bar {
    bar: Option<ProgressBar>,
    changed: Option<Instant>,
}

impl View for Bar {
    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Start(start) => {
                self.above(&sentence(event).unwrap_or_default());
                self.begin(start);
            }
            Event::Step(step) => self.step(step),
            Event::Evaluated { done, total } => self.evaluated(*done, *total),
            Event::Warning { text } => match &self.bar {
                Some(bar) => bar.suspend(|| output::warn(text)),
                None => output::warn(text),
            },
            Event::Interrupted { .. } | Event::Result(_) => self.clear(),
            _ => {
                if let Some(text) = sentence(event) {
                    self.above(&text);
                }
            }
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Bar {
    fn above(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn begin(&mut self, start: &StartEvent<'_>) {
        self.bar = Some(fresh(
            start.total_steps,
            "{prefix} {wide_bar} {percent:>3} %{msg}",
        ));
        self.position(start.done_steps);
    }

    fn position(&self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    fn step(&mut self, step: &StepEvent) {
        let Some(bar) = &self.bar else { return };
        if self
            .changed
            .is_none_or(|changed| changed.elapsed() >= PERIOD)
        {
            self.changed = Some(Instant::now());
            let accuracy = step
                .accuracy
                .map(|accuracy| format!("  accuracy {:.1} %", accuracy * 100.0));
            bar.set_prefix(format!("epoch {}", counter(step.epoch, step.epochs)));
            bar.set_message(format!(
                "  loss {:.4}{}  {} images/s  {} left",
                step.mean_loss,
                accuracy.unwrap_or_default(),
                grouped(step.images_per_second.round() as usize),
                clock(step.remaining_seconds),
            ));
            bar.set_position(step.global_step);
        }
    }

    fn evaluated(&mut self, done: usize, total: usize) {
        let length = total as u64;
        if self.bar.as_ref().is_none_or(|bar| bar.prefix() != "test") {
            self.clear();
            let bar = fresh(length, "{prefix} {wide_bar} {percent:>3} %{msg}");
            bar.set_prefix("test");
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_message(format!("  {} of {} samples", grouped(done), grouped(total)));
        }
        self.position(done as u64);
        if done >= total {
            self.clear();
        }
    }
}

fn fresh(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let template = match coloured(Stream::Stderr) {
        true => template.replace("{wide_bar}", "{wide_bar:.cyan/dim}"),
        false => template.to_string(),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars(CHARS));
    }
    bar
}

/// Remaining time in a width that does not jump: 0:07, 12:30, 1:02:03.
fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).ceil() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_time_is_a_clock() {
        assert_eq!(clock(0.2), "0:01");
        assert_eq!(clock(750.0), "12:30");
        assert_eq!(clock(3723.0), "1:02:03");
        assert_eq!(clock(f64::NAN), "0:00");
    }
}
