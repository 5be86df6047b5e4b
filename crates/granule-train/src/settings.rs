//! The settings that decide a run's weights, as a checkpoint remembers them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use toml::Value;

use crate::config::RunConfig;
use crate::error::TrainError;

/// What may change between two processes of a run: where it computes, where the data are and what is kept on disk. The
/// data themselves are held to their fingerprint.
const FREE: [&str; 7] = [
    "device",
    "data.data_dir",
    "data.offline",
    "data.recording.file",
    "start.weights",
    "train.checkpoint_every_steps",
    "train.keep_checkpoints",
];

/// What settings were in the runs that began before they could be set.
const BEFORE: [(&str, &str); 1] = [("train.compute", "\"f32\"")];

/// Settings by their name in `config.toml`, each as it is written there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub fn of(config: &RunConfig) -> Result<Self, TrainError> {
        let value = Value::try_from(config).map_err(|error| TrainError::ConfigSyntax {
            reason: error.to_string(),
        })?;
        let mut settings = BTreeMap::new();
        flatten(String::new(), &value, &mut settings);
        settings.retain(|name, _| !FREE.contains(&name.as_str()));
        if config.data.task.is_none() {
            settings.retain(|name, _| !name.starts_with("data.trials."));
        }
        let dataset = config.data.dataset.to_string();
        let kind = dataset.split_once(':').map(|(kind, _path)| kind.to_owned());
        settings.insert("data.dataset".to_owned(), kind.unwrap_or(dataset));
        Ok(Self(settings))
    }

    /// A setting as it is written in TOML.
    pub fn get(&self, name: &str) -> Option<&str> {
        let before = BEFORE.iter().find(|(setting, _)| *setting == name);
        let before = before.map(|(_, value)| *value);
        self.0.get(name).map(String::as_str).or(before)
    }

    /// Settings that are not alike in both, by name, with the values of these and of the others.
    pub fn differences<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>, Option<&'a str>)> {
        let names: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        names
            .into_iter()
            .map(|name| (name.as_str(), self.get(name), other.get(name)))
            .filter(|(_, a, b)| a != b)
    }

    /// Refuses settings other than these.
    pub fn check(&self, now: &Self) -> Result<(), TrainError> {
        match self.differences(now).next() {
            None => Ok(()),
            Some((field, began, found)) => {
                let value = |value: Option<&str>| value.unwrap_or("not set").to_owned();
                Err(TrainError::OtherConfig {
                    field: field.to_owned(),
                    expected: value(began),
                    found: value(found),
                })
            }
        }
    }
}

/// The values of a table by their dotted names, each as it is written in TOML.
pub(crate) fn flatten(name: String, value: &Value, settings: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                flatten(name, value, settings);
            }
        }
        value => {
            settings.insert(name, value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::of(&RunConfig::from_toml_str(text).unwrap()).unwrap()
    }

    #[test]
    fn the_first_difference_is_named() {
        let began = settings("[train]\nbatch_size = 32\n[data]\nlimit_train = 100");
        let error = |text: &str| began.check(&settings(text)).unwrap_err().to_string();
        let both = error("[train]\nbatch_size = 16\n[data]\nlimit_train = 50");
        assert!(
            both.starts_with("data.limit_train is 50, the run began with 100;"),
            "{both}"
        );
        let batch = error("[train]\nbatch_size = 16\n[data]\nlimit_train = 100");
        assert!(
            batch.starts_with("train.batch_size is 16, the run began with 32;"),
            "{batch}"
        );
        let limit = error("[train]\nbatch_size = 32");
        assert!(
            limit.starts_with("data.limit_train is not set, the run began with 100;"),
            "{limit}"
        );
    }

    #[test]
    fn a_setting_that_came_later_was_as_it_is_by_default() {
        let mut before = settings("");
        assert!(before.0.remove("train.compute").is_some());
        before.check(&settings("")).unwrap();
        let error = before.check(&settings("[train]\ncompute = \"bf16\""));
        let error = error.unwrap_err().to_string();
        let said = "train.compute is \"bf16\", the run began with \"f32\"";
        assert!(error.starts_with(said), "{error}");
    }

    #[test]
    fn device_paths_and_housekeeping_may_change() {
        let began =
            settings("device = \"flex\"\n[data]\ndataset = \"folder:/a/b\"\ndata_dir = \"/x\"");
        let now = settings(
            "device = \"ndarray\"\n[data]\ndataset = \"folder:/c\"\noffline = true\n\
             [train]\nkeep_checkpoints = 9\ncheckpoint_every_steps = 4",
        );
        began.check(&now).unwrap();
        let arrays = settings("[data]\ndataset = \"arrays:/c.npz\"");
        assert!(began.check(&arrays).is_err());
    }
}
