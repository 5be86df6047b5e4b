//! What training has made of the parameters that have a name.

use serde::Serialize;

use super::{LevelModel, MultiGranularityConfig, MultiGranularityModel, Projection};
use crate::system::System;
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

/// A setting of the configuration that training has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
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
    ) -> Result<Vec<Learnt>, DynamicsError> {
        let mut all = Vec::new();
        let pairs = self
            .settings(config)
            .into_iter()
            .zip(before.settings(config));
        for ((path, held), (_, before)) in pairs {
            if let Some(value) = changed(held, before)? {
                all.push(Learnt { path, value });
            }
        }
        Ok(all)
    }

    /// The settings of the configuration that the module holds, by their paths.
    fn settings(&self, config: &MultiGranularityConfig) -> Vec<(String, Held<'_>)> {
        let mut all = Vec::new();
        for (index, level) in self.levels.iter().enumerate() {
            match &level.model {
                LevelModel::Unit(cells) => {
                    for name in cells.parameter_names() {
                        let table = match name {
                            "current" => "unit",
                            _ => "unit.parameters",
                        };
                        let found = cells.parameter(name).and_then(|found| found.parameter());
                        let path = format!("level.{index}.{table}.{name}");
                        all.extend(found.map(|found| (path, Held::Values(found))));
                    }
                }
                LevelModel::Population(network) => {
                    let path = format!("level.{index}.population.time_constant");
                    all.push((path, Held::Values(&network.time_constant)));
                }
                LevelModel::System(system) => {
                    let own = system.system.settings().into_iter();
                    all.extend(
                        own.map(|(name, held)| (format!("level.{index}.system.{name}"), held)),
                    );
                }
            }
        }
        for (index, (coupler, config)) in self.couplers.iter().zip(&config.couplers).enumerate() {
            let path = |rest: &str| format!("coupler.{index}.projection.{rest}");
            let held = match (&config.projection, &coupler.gain, &coupler.weights) {
                (Projection::Mean { .. }, Some(gain), _) => {
                    Some((path("mean.gain"), Held::Values(gain)))
                }
                (Projection::OneToOne { .. }, Some(gain), _) => {
                    Some((path("one-to-one.gain"), Held::Values(gain)))
                }
                (Projection::Dense { .. }, _, Some(weights)) => {
                    Some((path("dense.weights"), Held::Matrix(weights)))
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
            for parameter in cells.parameter_names() {
                let found = cells.parameter(parameter).and_then(|p| p.parameter());
                if let Some(found) = found.filter(|found| found.raw.is_require_grad()) {
                    let section = match parameter {
                        "current" => "unit",
                        _ => "unit.parameters",
                    };
                    all.push(Trained {
                        name: format!("level.{name}.{section}.{parameter}"),
                        values: found.values()?,
                        bounds: found.bounds(),
                    });
                }
            }
        }
        for (index, (coupler, wire)) in self.couplers.iter().zip(&self.plan.wires).enumerate() {
            if let Some(gain) = coupler.gain.as_ref().filter(|x| x.raw.is_require_grad()) {
                all.push(Trained {
                    name: format!("coupler[{index}].gain ({})", wire.label),
                    values: gain.values()?,
                    bounds: gain.bounds(),
                });
            }
            if let Some(weights) = coupler.weights.as_ref().filter(|x| x.is_require_grad()) {
                all.push(Trained {
                    name: format!("coupler[{index}].weights ({})", wire.label),
                    values: host(wire.strength(weights.val()))?,
                    bounds: Bounds::Free,
                });
            }
        }
        Ok(all)
    }
}

/// What a setting is, where it is another than it was and the configuration can say it.
fn changed(held: Held<'_>, before: Held<'_>) -> Result<Option<LearntValue>, DynamicsError> {
    let same = |now: &[f64], before: &[f64]| {
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= ROUNDING * b.abs() + f64::EPSILON;
        now.len() == before.len() && now.iter().zip(before).all(close)
    };
    match (held, before) {
        (Held::Values(held), Held::Values(before)) => {
            let values = held.values()?;
            let within = values.iter().all(|value| held.bounds().contains(*value));
            if !within || same(&values, &before.values()?) {
                return Ok(None);
            }
            let values = match <[f64; 1]>::try_from(values) {
                Ok([one]) => Values::One(one),
                Err(each) => Values::Each(each),
            };
            Ok(Some(LearntValue::Values(values)))
        }
        (Held::Matrix(held), Held::Matrix(before)) => {
            let columns = held.dims()[1].max(1);
            let values = host(held.val())?;
            if same(&values, &host(before.val())?) {
                return Ok(None);
            }
            let rows = values.chunks(columns).map(<[f64]>::to_vec).collect();
            Ok(Some(LearntValue::Matrix(rows)))
        }
        _ => Ok(None),
    }
}
