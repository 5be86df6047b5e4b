//! What training has made of the parameters that have a name.

use serde::Serialize;

use super::{LevelModel, MultiGranularityConfig, MultiGranularityModel, Projection};
use crate::system::System;
use crate::unit::{Places, Region};
use crate::{Bounds, DynamicsError, Held, Values, host};

/// A trainable parameter and its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// For example `coupler[0].gain (cells.v → population)` or `level.cells.unit.parameters.g_na`.
    pub name: String,
    /// One, or one for each cell or connection.
    pub values: Vec<f64>,
    /// Where training keeps it.
    pub bounds: Bounds,
}

/// What training has made of the settings of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learnt {
    /// Those that it has changed.
    pub settings: Vec<LearntSetting>,
    /// What it has changed and no setting can say, such as `level.0.unit.capacitance`.
    pub without_setting: Vec<String>,
}

/// A setting of the configuration that training has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct LearntSetting {
    /// Its path in a [`MultiGranularityConfig`], with the places of levels and couplers, such as
    /// `coupler.0.projection.mean.gain`.
    pub path: String,
    /// What it is now.
    pub value: LearntValue,
}

/// The value of a setting, as the configuration writes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LearntValue {
    /// One value, or one for each unit.
    Values(Values),
    /// Rows and columns.
    Matrix(Vec<Vec<f64>>),
}

/// Training is in single precision: what differs by less is the same.
const ROUNDING: f64 = 1e-6;

/// A parameter of a model and where its values stand in the configuration.
struct Setting<'a> {
    /// As messages name it.
    name: String,
    places: Places,
    held: Held<'a>,
}

impl<'a> Setting<'a> {
    fn at(path: String, held: Held<'a>) -> Self {
        Self {
            name: path.clone(),
            places: Places::Whole(path),
            held,
        }
    }
}

impl MultiGranularityModel {
    /// What training has made of the settings of `config`, of which `before` is the model: of every setting that is a
    /// number, a list or a matrix there. What is drawn, as the weights of a population are, has no setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] when the device cannot be read.
    pub fn learnt(
        &self,
        config: &MultiGranularityConfig,
        before: &Self,
    ) -> Result<Learnt, DynamicsError> {
        let mut learnt = Learnt::default();
        let pairs = self
            .settings(config)
            .into_iter()
            .zip(before.settings(config));
        for (setting, before) in pairs {
            match settings(&setting, before.held)? {
                Some(own) => learnt.settings.extend(own),
                None => learnt.without_setting.push(setting.name),
            }
        }
        Ok(learnt)
    }

    /// The parameters that the configuration has settings for.
    fn settings(&self, config: &MultiGranularityConfig) -> Vec<Setting<'_>> {
        let mut all = Vec::new();
        for (index, (level, config)) in self.levels.iter().zip(&config.levels).enumerate() {
            match (&level.model, &config.unit) {
                (LevelModel::Unit(cells), Some(config)) => {
                    for (name, constant) in cells.constants() {
                        let Some(parameter) = constant.parameter() else {
                            continue;
                        };
                        all.push(Setting {
                            name: format!("level.{index}.{}", cells.full_name(&name)),
                            places: config.places(&name).below(&format!("level.{index}")),
                            held: Held::Values(parameter),
                        });
                    }
                }
                (LevelModel::Unit(_), None) => {}
                (LevelModel::Population(network), _) => {
                    let path = format!("level.{index}.population.time_constant");
                    all.push(Setting::at(path, Held::Values(&network.time_constant)));
                }
                (LevelModel::System(system), _) => {
                    let own = system.system.settings().into_iter();
                    all.extend(own.map(|(name, held)| {
                        Setting::at(format!("level.{index}.system.{name}"), held)
                    }));
                }
            }
        }
        for (index, (coupler, config)) in self.couplers.iter().zip(&config.couplers).enumerate() {
            let path = |rest: &str| format!("coupler.{index}.projection.{rest}");
            let held = match (&config.projection, &coupler.gain, &coupler.weights) {
                (Projection::Mean { .. }, Some(gain), _) => {
                    Some(Setting::at(path("mean.gain"), Held::Values(gain)))
                }
                (Projection::OneToOne { .. }, Some(gain), _) => {
                    Some(Setting::at(path("one-to-one.gain"), Held::Values(gain)))
                }
                (Projection::Dense { .. }, _, Some(weights)) => {
                    Some(Setting::at(path("dense.weights"), Held::Matrix(weights)))
                }
                _ => None,
            };
            all.extend(held);
        }
        all
    }

    /// The trainable parameters of couplers and cells with their values, in the order of the configuration, of a model on a
    /// device with autodiff; elsewhere nothing is marked as trainable. Weights of populations and parameters of systems are
    /// in the module itself.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Device`] when the device cannot be read.
    pub fn trained(&self) -> Result<Vec<Trained>, DynamicsError> {
        let mut all = Vec::new();
        for (name, level) in self.level_names().iter().zip(&self.levels) {
            let LevelModel::Unit(cells) = &level.model else {
                continue;
            };
            for (parameter, constant) in cells.constants() {
                let found = constant.parameter();
                if let Some(found) = found.filter(|found| found.raw.is_require_grad()) {
                    all.push(Trained {
                        name: format!("level.{name}.{}", cells.full_name(&parameter)),
                        values: found.values()?,
                        bounds: found.bounds(),
                    });
                }
            }
        }
        for (index, (coupler, plan)) in self.couplers.iter().zip(&self.plan.couplers).enumerate() {
            if let Some(gain) = coupler.gain.as_ref().filter(|x| x.raw.is_require_grad()) {
                all.push(Trained {
                    name: format!("coupler[{index}].gain ({})", plan.label),
                    values: gain.values()?,
                    bounds: gain.bounds(),
                });
            }
            if let Some(weights) = coupler.weights.as_ref().filter(|x| x.is_require_grad()) {
                all.push(Trained {
                    name: format!("coupler[{index}].weights ({})", plan.label),
                    values: host(plan.strength(weights.val()))?,
                    bounds: Bounds::Free,
                });
            }
        }
        Ok(all)
    }
}

impl Places {
    /// As they are in a table above.
    fn below(self, table: &str) -> Self {
        let path = |path: String| format!("{table}.{path}");
        match self {
            Self::Whole(own) => Self::Whole(path(own)),
            Self::Regions { shared, each } => Self::Regions {
                shared: shared.into_iter().map(path).collect(),
                each: each
                    .into_iter()
                    .map(|region| match region {
                        Region::At(own) => Region::At(path(own)),
                        other => other,
                    })
                    .collect(),
            },
            Self::Nowhere => Self::Nowhere,
        }
    }
}

/// The settings that say a parameter where it is another than it was; `None` where the configuration cannot say it.
fn settings(
    setting: &Setting<'_>,
    before: Held<'_>,
) -> Result<Option<Vec<LearntSetting>>, DynamicsError> {
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= ROUNDING * b.abs() + f64::EPSILON;
    let same = |now: &[f64], before: &[f64]| {
        now.len() == before.len() && now.iter().zip(before).all(close)
    };
    let one = |path: &String, value: f64| LearntSetting {
        path: path.clone(),
        value: LearntValue::Values(Values::One(value)),
    };
    match (&setting.held, before) {
        (Held::Values(held), Held::Values(before)) => {
            let (values, before) = (held.values()?, before.values()?);
            if same(&values, &before) {
                return Ok(Some(Vec::new()));
            }
            if !values.iter().all(|value| held.bounds().contains(*value)) {
                return Ok(None);
            }
            Ok(match (&setting.places, values.as_slice()) {
                (Places::Nowhere, _) => None,
                (Places::Whole(path), [value]) => Some(vec![one(path, *value)]),
                (Places::Whole(path), _) => Some(vec![LearntSetting {
                    path: path.clone(),
                    value: LearntValue::Values(Values::Each(values)),
                }]),
                (Places::Regions { shared, .. }, [value]) => {
                    Some(shared.iter().map(|path| one(path, *value)).collect())
                }
                (Places::Regions { each, .. }, _) => {
                    let both = values.iter().zip(&before);
                    let changed = each.iter().zip(both).filter(|(_, pair)| !close(*pair));
                    let place = |(region, (value, _)): (&Region, (&f64, _))| match region {
                        Region::At(path) => Some(Some(one(path, *value))),
                        Region::Without => Some(None),
                        Region::Nowhere => None,
                    };
                    let all: Option<Vec<_>> = changed.map(place).collect();
                    all.map(|all| all.into_iter().flatten().collect())
                }
            })
        }
        (Held::Matrix(held), Held::Matrix(before)) => {
            let columns = held.dims()[1].max(1);
            let values = host(held.val())?;
            if same(&values, &host(before.val())?) {
                return Ok(Some(Vec::new()));
            }
            let Places::Whole(path) = &setting.places else {
                return Ok(None);
            };
            let rows = values.chunks(columns).map(<[f64]>::to_vec).collect();
            Ok(Some(vec![LearntSetting {
                path: path.clone(),
                value: LearntValue::Matrix(rows),
            }]))
        }
        _ => Ok(Some(Vec::new())),
    }
}
