//! Ready-made runs, as TOML text.

/// A ready-made run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPreset {
    /// Its name.
    pub name: &'static str,
    /// One line on what it learns.
    pub summary: &'static str,
    /// The configuration, a [`RunConfig`](crate::RunConfig) in TOML.
    pub toml: &'static str,
}

macro_rules! presets {
    ($($name:literal: $summary:literal;)+) => {
        /// All of them.
        pub const RUN_PRESETS: &[RunPreset] = &[$(RunPreset {
            name: $name,
            summary: $summary,
            toml: include_str!(concat!("presets/", $name, ".toml")),
        }),+];
    };
}

presets! {
    "decode-kinematics": "movement from spike counts, bin by bin and causal";
    "detect-anomalies": "how unusual activity is, by a model that reconstructs usual one";
    "fuse-populations": "movement from the spike counts of two populations, each seen by units of its own";
    "adapt-decoder": "a decoder of another session, adapted to this one with few bins";
    "identify-objects": "what is seen, from the spike counts of a trial";
    "predict-activity": "spike counts of some neurons from those of the others, bin by bin";
    "infer-dynamics": "spike counts of some neurons from those of the others, by way of a latent";
}

impl RunPreset {
    /// A preset by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        RUN_PRESETS.iter().find(|preset| preset.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunConfig;

    #[test]
    fn every_preset_is_a_run() {
        for preset in RUN_PRESETS {
            let config = RunConfig::from_toml_str(preset.toml).unwrap();
            config.validate().unwrap();
            let again = RunConfig::from_toml_str(&config.to_toml().unwrap()).unwrap();
            assert_eq!(again, config, "{}", preset.name);
        }
    }
}
