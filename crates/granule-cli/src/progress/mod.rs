//! What is shown while a command works.

mod bar;
mod json;
pub mod lines;
mod loading;

use std::io::{self, IsTerminal};

use granule::train::{Event, Observer};

use crate::interrupt::Interrupt;
use crate::{output, verbose};
pub use lines::{aside, shown};
pub use loading::Loading;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A bar on a terminal.
    Bar,
    /// Plain lines on standard error.
    Lines,
    /// One JSON object a line on standard output.
    Json,
    /// Nothing.
    Quiet,
}

impl Style {
    pub fn choose(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (_, true) => Self::Quiet,
            (true, _) => Self::Json,
            // A bar and lines between do not go together.
            _ if !verbose::is_on(1)
                && io::stderr().is_terminal()
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb") =>
            {
                Self::Bar
            }
            _ => Self::Lines,
        }
    }
}

/// One way to show the events of a run.
trait View {
    fn show(&mut self, event: &Event<'_>);

    /// Takes the bar off the screen, so that other text can follow.
    fn clear(&mut self) {}
}

/// Nothing but warnings.
struct Silent;

impl View for Silent {
    fn show(&mut self, event: &Event<'_>) {
        if let Event::Warning { text } = event {
            output::warn(text);
        }
    }
}

/// Shows a run, and hands Ctrl-C on to it.
pub struct Watcher<'a> {
    interrupt: Option<&'a Interrupt>,
    stopping: &'static str,
    loading: Loading,
    view: Box<dyn View>,
}

impl<'a> Watcher<'a> {
    pub fn new(style: Style, interrupt: Option<&'a Interrupt>) -> Self {
        let view: Box<dyn View> = match style {
            Style::Bar => Box::new(bar::Bar::default()),
            Style::Lines => Box::new(lines::Lines::default()),
            Style::Json => Box::new(json::Json::default()),
            Style::Quiet => Box::new(Silent),
        };
        Self {
            interrupt,
            stopping: "stopping after this step to save a checkpoint",
            loading: Loading::new(style),
            view,
        }
    }

    /// With other words for what a first Ctrl-C leads to.
    pub fn stopping(self, stopping: &'static str) -> Self {
        Self { stopping, ..self }
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if let Some(interrupt) = self.interrupt {
            if matches!(event, Event::Start(_)) {
                interrupt.be_gentle();
            }
            if interrupt.pass_on() {
                self.view.clear();
                output::note(&format!("{}; Ctrl-C again stops at once", self.stopping));
            }
        }
        self.view.show(event);
        verbose::event(event);
    }

    fn progress(&self) -> Option<&dyn granule::data::Progress> {
        Some(&self.loading)
    }

    fn is_impatient(&self) -> bool {
        self.interrupt.is_some_and(Interrupt::is_asked)
    }
}
