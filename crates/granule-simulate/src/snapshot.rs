//! The state in which a run ends, which another goes on from.

use std::path::Path;

use granule_dynamics::{DynamicsError, State, host};
use granule_io::{Bound, ByteSize, DocumentError, FileError, from_json};
use serde::{Deserialize, Serialize};

use crate::config::ExperimentConfig;
use crate::run::Experiment;

/// The version of the format, and the most that is read of a file.
const FORMAT: u32 = 1;
const FILE: Bound = Bound {
    what: "the state of a simulation",
    limit: ByteSize(4 << 30),
};

/// The whole state of an experiment after some of its steps, past of delay lines included. As JSON its numbers are exact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The version of the format.
    granule_state: u32,
    /// The steps done.
    step: usize,
    /// Their length, ms.
    dt: f64,
    variables: Vec<Saved>,
    /// The experiment, for those who look into the file.
    config: ExperimentConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    name: String,
    values: Vec<f64>,
}

/// Why a file is no state of a simulation.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is something else, or damaged.
    #[error("not the state of a simulation: {0}")]
    Content(#[from] DocumentError),
    /// It is of another version of granule.
    #[error(
        "a state of format {0}, and format {FORMAT} is read here: take the granule that wrote it"
    )]
    Format(u32),
}

impl Snapshot {
    /// Reads a file that has a snapshot as JSON.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`].
    pub fn from_file(path: &Path) -> Result<Self, SnapshotError> {
        let text = granule_io::read(path, FILE)?;
        let own: Self = from_json(&text)?;
        match own.granule_state {
            FORMAT => Ok(own),
            other => Err(SnapshotError::Format(other)),
        }
    }

    /// The steps done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The time that they have come to, ms.
    pub fn time(&self) -> f64 {
        self.step as f64 * self.dt
    }
}

impl Experiment {
    /// The state after so many steps.
    pub(crate) fn snapshot(&self, step: usize, state: &State) -> Result<Snapshot, DynamicsError> {
        let variables = self.subject.body.dynamics().variables().iter();
        let variables = variables.zip(state.tensors()).map(|(variable, x)| {
            Ok(Saved {
                name: variable.name.clone(),
                values: host(x.clone())?,
            })
        });
        Ok(Snapshot {
            granule_state: FORMAT,
            step,
            dt: self.config().dt,
            variables: variables.collect::<Result<_, DynamicsError>>()?,
            config: self.config().clone(),
        })
    }

    /// Goes on from where an earlier run of the same model has ended: the run begins after the steps of that, so that its `duration`
    /// ends both. What it comes to is bit for bit what one run would have come to, in double precision on a CPU.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a state of another model, of other steps, or beyond the end of the run.
    pub fn continue_from(&mut self, snapshot: &Snapshot) -> Result<(), DynamicsError> {
        let refused =
            |found: String, allowed: String| DynamicsError::config("state", found, allowed);
        let dt = self.config().dt;
        if snapshot.dt != dt {
            let found = format!("one of steps of {} ms", snapshot.dt);
            return Err(refused(found, format!("one of steps of dt = {dt} ms")));
        }
        let variables = self.subject.body.dynamics().variables();
        let describe = |name: &str, width: usize| format!("{name} of {width}");
        let own: Vec<String> = variables
            .iter()
            .map(|own| describe(&own.name, own.width))
            .collect();
        let saved = snapshot.variables.iter();
        let found: Vec<String> = saved
            .map(|own| describe(&own.name, own.values.len()))
            .collect();
        if let Some(at) = (0..own.len().max(found.len())).find(|at| own.get(*at) != found.get(*at))
        {
            let none = || "no variable".to_owned();
            let found = found.get(at).cloned().unwrap_or_else(none);
            let own = own.get(at).cloned().unwrap_or_else(none);
            return Err(refused(
                format!("that of another model, with {found} in place {at}"),
                format!("one with {own} there"),
            ));
        }
        if snapshot.step > self.steps() {
            let found = format!("one at {} ms", snapshot.time());
            let end = self.config().duration;
            return Err(refused(
                found,
                format!("one up to the end of the run, duration = {end} ms"),
            ));
        }
        let values = snapshot.variables.iter().map(|own| own.values.clone());
        self.begin_at(snapshot.step, values.collect())
    }

    /// What of the model differs from that of a snapshot: the names of tables and keys.
    pub fn differs_from(&self, snapshot: &Snapshot) -> Vec<String> {
        let table = |config: &ExperimentConfig| toml::Table::try_from(config).unwrap_or_default();
        let (own, other) = (table(self.config()), table(&snapshot.config));
        // What is not of the model.
        let aside = ["duration", "record", "figure", "rate_bin"];
        let mut keys: Vec<&String> = own.keys().chain(other.keys()).collect();
        keys.sort();
        keys.dedup();
        let differs =
            |key: &&&String| !aside.contains(&key.as_str()) && own.get(**key) != other.get(**key);
        keys.iter()
            .filter(differs)
            .map(|key| (*key).clone())
            .collect()
    }
}
