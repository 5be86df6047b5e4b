//! The analyses by name. One more is a file and a line here.

use std::ops::ControlFlow;

use granule_dynamics::{DynamicsError, Place};
use granule_io::ConfigError;
use serde::de::DeserializeOwned;
use toml::Table as Settings;

use super::findings::Findings;
use super::{
    components, connectivity, continuation, eeg, exponent, fit, points, scan, spectrum, spikes,
};
use crate::config::ExperimentConfig;
use crate::outcome::Outcome;
use crate::samples::ReadSamples;

/// What is analysed, and how.
pub struct Request<'a> {
    /// The experiment.
    pub config: &'a ExperimentConfig,
    /// Where it is computed, in double precision.
    pub place: &'a Place,
    /// The analysis' own settings, those that differ from its defaults.
    pub settings: &'a Settings,
    /// What the experiment is called.
    pub title: &'a str,
    /// Reads the files that settings name.
    pub reader: &'a dyn ReadSamples,
    /// Hears of the share that is done; breaking ends the analysis with [`DynamicsError::Stopped`].
    pub progress: &'a dyn Fn(f64) -> ControlFlow<()>,
}

impl Request<'_> {
    /// The settings of an analysis.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a setting that it does not have, or of another type.
    pub(super) fn settings<T: DeserializeOwned>(&self) -> Result<T, DynamicsError> {
        Ok(settings_of(self.settings)?)
    }

    /// Says how much is done.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Stopped`] where it is to end.
    pub(super) fn done(&self, share: f64) -> Result<(), DynamicsError> {
        go_on((self.progress)(share))
    }

    /// What becomes of an experiment.
    ///
    /// # Errors
    ///
    /// Those of its run, and [`DynamicsError::Stopped`].
    pub(super) fn run(&self, config: &ExperimentConfig) -> Result<Outcome, DynamicsError> {
        let experiment = config.init(self.place)?;
        let steps = experiment.steps().max(1) as f64;
        let outcome = experiment.run(|step, _| (self.progress)(step as f64 / steps))?;
        if outcome.complete {
            Ok(outcome)
        } else {
            Err(DynamicsError::Stopped)
        }
    }
}

/// Settings of a name in a registry from those that differ from its defaults.
///
/// # Errors
///
/// [`ConfigError`] for a setting that it does not have, or of another type.
pub fn settings_of<T: DeserializeOwned>(settings: &Settings) -> Result<T, ConfigError> {
    let read = T::deserialize(toml::Value::from(settings.clone()));
    read.map_err(|error: toml::de::Error| {
        let found = settings.to_string().trim_end().replace('\n', ", ");
        ConfigError::new("settings", found, error.message())
    })
}

/// Goes on, or ends with [`DynamicsError::Stopped`].
///
/// # Errors
///
/// [`DynamicsError::Stopped`] on a break.
pub fn go_on(heard: ControlFlow<()>) -> Result<(), DynamicsError> {
    match heard {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(DynamicsError::Stopped),
    }
}

/// A way to look at an experiment.
pub struct Analysis {
    /// Its name.
    pub name: &'static str,
    /// One line on what it tells.
    pub summary: &'static str,
    /// Its settings with their defaults.
    pub defaults: fn() -> Result<Settings, toml::ser::Error>,
    /// Its settings with their help.
    #[cfg(feature = "schema")]
    pub schema: fn() -> schemars::Schema,
    run: fn(&Request<'_>) -> Result<Findings, DynamicsError>,
}

impl Analysis {
    /// An analysis by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ANALYSES.iter().find(|analysis| analysis.name == name)
    }

    /// Looks at an experiment.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for settings that are wrong and for models that it is not for, and what a run returns.
    pub fn run(&self, request: &Request<'_>) -> Result<Findings, DynamicsError> {
        (self.run)(request)
    }
}

macro_rules! analyses {
    ($($name:literal: $summary:literal, $settings:ty, $run:path;)+) => {
        /// All of them: of the equations, then of what was recorded.
        pub const ANALYSES: &[Analysis] = &[$(Analysis {
            name: $name,
            summary: $summary,
            defaults: || Settings::try_from(<$settings>::default()),
            #[cfg(feature = "schema")]
            schema: || schemars::schema_for!($settings),
            run: $run,
        }),+];
    };
}

analyses! {
    "fixed-points": "states that do not change, with their stability; nullclines and arrows of two variables",
        points::Settings, points::run;
    "continuation": "fixed points and cycles over a parameter: folds, Hopf points, branch points",
        continuation::Settings, continuation::run;
    "lyapunov": "how fast neighbouring trajectories part",
        exponent::Settings, exponent::run;
    "spectrum": "power of the recorded variables over frequency",
        spectrum::Settings, spectrum::run;
    "pca": "principal components of the recorded variables",
        components::Settings, components::run;
    "fc": "functional connectivity: correlations between nodes, Fisher's z, and how they change over time",
        connectivity::Settings, connectivity::run;
    "eeg": "what electrodes see of the sources by a lead field, with the frequency of each",
        eeg::Settings, eeg::run;
    "spikes": "rates, irregularity, correlation and synchrony of spikes",
        spikes::Settings, spikes::run;
    "scan": "runs over one or two numbers of the configuration, and what is told of each",
        scan::Settings, scan::run;
    "fit": "parameters fitted to a recording, how well they are known, and which combinations are not; profiles",
        fit::Settings, fit::run;
}
