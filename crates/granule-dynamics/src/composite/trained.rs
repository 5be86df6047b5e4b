//! What training has made of the parameters that have a name.

use super::{LevelModel, MultiGranularityModel};
use crate::{Bounds, DynamicsError, host};

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

impl MultiGranularityModel {
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
