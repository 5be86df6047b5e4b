//! What is done to the units of a network.

use granule_io::ConfigError;
use granule_io::ranges::check_of;
use granule_models::{Stepper, Units};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Some units: a population by its name, or ranges `[first, end]`, counted from 0 and without the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UnitSet {
    /// `"excitatory"`, `"inhibitory"`.
    Population(String),
    /// `[[0, 10], [12, 13]]`
    Ranges(Vec<[usize; 2]>),
}

/// Weights that are taken away: from some units to others, the same as well. None is all units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lesion {
    /// The units that no longer reach the others.
    pub from: Option<UnitSet>,
    /// The units that are no longer reached.
    pub to: Option<UnitSet>,
}

/// What is added to the input of units at each step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Perturbation {
    /// The same for all, in the units of the input.
    pub current: f64,
    /// White noise of each unit, √ms: a step of dt ms gets a normal number of this deviation over √dt, as the inputs of tasks do.
    pub noise: f64,
    /// The units. None: all.
    #[serde(alias = "population")]
    pub units: Option<UnitSet>,
    /// The period of the trial. None: all of it.
    pub period: Option<String>,
}

/// All that is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Interventions {
    /// Units that hand nothing on, in whole trials.
    pub ablate: Vec<UnitSet>,
    /// What is added to inputs.
    pub perturb: Vec<Perturbation>,
    /// Weights that are taken away.
    pub lesion: Vec<Lesion>,
}

impl Interventions {
    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.ablate.is_empty() && self.perturb.is_empty() && self.lesion.is_empty()
    }
}

/// The units of a set, in rising order; all of none.
pub(super) fn units_of(
    set: Option<&UnitSet>,
    units: &dyn Units,
    field: &str,
) -> Result<Vec<usize>, ConfigError> {
    match set {
        None => Ok((0..units.count()).collect()),
        Some(UnitSet::Ranges(ranges)) => {
            check_of(field, ranges, "unit", Some(units.count()))?;
            Ok(ranges.iter().flat_map(|&[first, end]| first..end).collect())
        }
        Some(UnitSet::Population(name)) => {
            let populations = units.populations();
            let found = populations.iter().find(|(own, _)| own == name);
            found.map(|(_, units)| units.clone()).ok_or_else(|| {
                let names: Vec<&str> = populations.iter().map(|(name, _)| *name).collect();
                let allowed = match names.as_slice() {
                    [] => "ranges of units, as [[0, 10]]: this network has no populations".into(),
                    names => format!("{}, or ranges of units, as [[0, 10]]", names.join(", ")),
                };
                ConfigError::new(field, name, allowed)
            })
        }
    }
}

/// What is added at some steps, to which units.
#[derive(Debug)]
pub(super) struct Push {
    pub current: f32,
    pub noise: f64,
    pub units: Vec<usize>,
    pub period: Option<String>,
}

/// Interventions on the units of one network.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// For each unit; empty where none is silent.
    pub silent: Vec<bool>,
    pub pushes: Vec<Push>,
}

impl Applied {
    /// Cuts the weights of `stepper`, and says what is done at its steps.
    pub fn new(interventions: &Interventions, stepper: &mut Stepper) -> Result<Self, TrainError> {
        for lesion in &interventions.lesion {
            let units = stepper.units()?;
            let from = units_of(lesion.from.as_ref(), units, "lesion.from")?;
            let to = units_of(lesion.to.as_ref(), units, "lesion.to")?;
            stepper.cut(&from, &to)?;
        }
        let units = stepper.units()?;
        let mut applied = Self::default();
        for set in &interventions.ablate {
            applied.silent.resize(units.count(), false);
            for unit in units_of(Some(set), units, "ablate.units")? {
                applied.silent[unit] = true;
            }
        }
        for own in &interventions.perturb {
            let finite = [
                ("current", own.current, f64::MIN),
                ("noise", own.noise, 0.0),
            ];
            for (name, value, least) in finite {
                if !(value as f32).is_finite() || value < least {
                    let allowed = if name == "noise" {
                        "a finite number, 0 or more"
                    } else {
                        "a finite number"
                    };
                    return Err(ConfigError::new(format!("perturb.{name}"), value, allowed).into());
                }
            }
            if own.current == 0.0 && own.noise == 0.0 {
                let allowed = "current or noise other than 0";
                return Err(ConfigError::new("perturb", "nothing", allowed).into());
            }
            applied.pushes.push(Push {
                current: own.current as f32,
                noise: own.noise,
                units: units_of(own.units.as_ref(), units, "perturb.units")?,
                period: own.period.clone(),
            });
        }
        Ok(applied)
    }
}
