//! Downloads and long loads.

use std::sync::Mutex;
use std::time::Duration;

use granule::data::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Style;
use super::lines::head;
use crate::output::{self, note};

pub struct Loading {
    style: Style,
    bar: Mutex<Option<ProgressBar>>,
}

impl Loading {
    pub fn new(style: Style) -> Self {
        Self {
            style,
            bar: Mutex::new(None),
        }
    }

    fn with_bar(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        if let Ok(mut bar) = self.bar.lock() {
            act(&mut bar);
        }
    }
}

impl Progress for Loading {
    fn start(&self, what: &str, total: Option<u64>) {
        match self.style {
            Style::Bar => {
                let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
                let template = match total {
                    Some(_) => "{msg} {wide_bar} {percent:>3} %  {eta} left",
                    None => "{msg} {spinner}",
                };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("━━ "));
                }
                bar.set_message(head("load", what));
                bar.enable_steady_tick(Duration::from_millis(100));
                self.with_bar(|shown| {
                    if let Some(before) = shown.replace(bar) {
                        before.finish_and_clear();
                    }
                });
            }
            Style::Lines => note(&head("load", what)),
            Style::Json => {
                let _ = output::event("loading", json!({"what": what, "total": total}));
            }
            Style::Quiet => {}
        }
    }

    fn advance(&self, n: u64) {
        self.with_bar(|bar| {
            if let Some(bar) = bar {
                bar.inc(n);
            }
        });
    }

    fn finish(&self) {
        self.with_bar(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
        });
    }

    fn warn(&self, text: &str) {
        match self.style {
            Style::Json => {
                let _ = output::event("warning", json!({"text": text}));
            }
            _ => self.with_bar(|bar| match bar {
                Some(bar) => bar.suspend(|| output::warn(text)),
                None => output::warn(text),
            }),
        }
    }
}
