//! Single neurons, populations and whole systems in one differentiable model.
//!
//! A [`MultiGranularityConfig`], which one TOML file can hold, names levels, each with its own model, step and solver,
//! and couplers between them, each of which says what becomes of the units on the way, or which conductance it opens in
//! cells. [`MultiGranularityConfig::init`] makes a Burn module of it; one call of its [`Dynamics`](crate::Dynamics)
//! steps all levels, and one [`gradient`](mod@crate::gradient) reaches every parameter of every level and coupler.
//!
//! ```
//! use granule_dynamics::composite::MultiGranularityConfig;
//!
//! let text = r#"{
//!     "dt": 0.5,
//!     "level": [
//!         {"name": "cells", "dt": 0.05, "solver": "exponential-euler",
//!          "unit": {"kind": "hodgkin-huxley", "cells": 10, "current": 10.0}},
//!         {"name": "population", "inputs": 1, "population": {"units": 8, "time_constant": [20.0], "dt": 0.5}}
//!     ],
//!     "coupler": [
//!         {"from": "cells.v", "to": "population", "time_constant": 5.0, "conversion": {"kind": "voltage-to-rate"}}
//!     ],
//!     "observe": ["population.x"]
//! }"#;
//! let config: MultiGranularityConfig = serde_json::from_str(text)?;
//! config.validate()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod coupler;
mod level;
mod plan;
mod plastic;
mod step;
#[cfg(test)]
mod tests;
mod trained;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use granule_io::budget;

pub use config::{COUPLERS, LevelConfig, MultiGranularityConfig};
pub use coupler::{Conversion, Coupler, CouplerConfig, Projection};
pub use level::{Level, LevelModel};
pub use step::Composite;
pub use trained::{Learnt, LearntSetting, LearntValue, Trained};

use self::plan::Plan;
use self::step::BoundLevel;
use crate::model::Model;
use crate::{DynamicsError, Place, State, Variable};

/// Levels and couplers as one Burn module. See [`MultiGranularityConfig`].
#[derive(Module, Debug)]
pub struct MultiGranularityModel {
    /// The levels, in the order of the configuration.
    pub levels: Vec<Level>,
    /// The couplers, in the order of the configuration.
    pub couplers: Vec<Coupler>,
    #[module(skip)]
    plan: Plan,
}

impl MultiGranularityConfig {
    /// Draws and places the model. One seed gives one model on every device.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`], [`DynamicsError::Units`] and [`DynamicsError::Shape`] name what does not fit,
    /// [`DynamicsError::Memory`] what does not fit into memory.
    pub fn init(&self, place: &Place) -> Result<MultiGranularityModel, DynamicsError> {
        self.validate()?;
        let levels = self
            .levels
            .iter()
            .enumerate()
            .map(|(index, level)| level.init(self.seed, index, self.dt, place))
            .collect::<Result<Vec<_>, _>>()?;
        let rules = self.couplers.iter().enumerate().map(|(index, coupler)| {
            let made = coupler.plasticity.as_ref().map(|rules| rules.init(place));
            let field = format!("coupler[{index}].plasticity");
            made.transpose().map_err(|error| error.under(&field))
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let plan = Plan::new(self, &levels, &rules)?;
        let parts = self.couplers.iter().zip(&plan.couplers).zip(rules);
        let couplers = parts
            .enumerate()
            .map(|(index, ((config, plan), rules))| {
                Coupler::new(&format!("coupler[{index}]"), config, plan, rules, place)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(MultiGranularityModel {
            levels,
            couplers,
            plan,
        })
    }
}

impl MultiGranularityModel {
    /// Stops training everything but the named levels; `couplers` names all couplers. Nothing that was fixed becomes
    /// trainable. Level by level is one call after another on clones, jointly is no call at all.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a name that is neither a level nor `couplers`.
    pub fn train_only(self, names: &[&str]) -> Result<Self, DynamicsError> {
        let known: Vec<&str> = self.plan.names.iter().map(String::as_str).collect();
        if let Some(name) = names.iter().find(|n| **n != COUPLERS && !known.contains(n)) {
            return Err(DynamicsError::config(
                "level",
                name,
                format!("{}, {COUPLERS}", known.join(", ")),
            ));
        }
        let keep: Vec<bool> = known.iter().map(|name| names.contains(name)).collect();
        let levels = self.levels.into_iter().zip(keep);
        let levels = levels.map(|(level, keep)| if keep { level } else { level.no_grad() });
        let couplers = if names.contains(&COUPLERS) {
            self.couplers
        } else {
            self.couplers.into_iter().map(Module::no_grad).collect()
        };
        Ok(Self {
            levels: levels.collect(),
            couplers,
            plan: self.plan,
        })
    }

    /// The numbers that training may change, of a model on a device with autodiff; elsewhere nothing is marked as trainable.
    pub fn trainable(&self) -> usize {
        struct Count(usize);
        impl ModuleVisitor for Count {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0 += usize::from(param.is_require_grad()) * param.lazy_shape().num_elements();
            }
        }
        let mut count = Count(0);
        self.visit(&mut count);
        count.0
    }

    /// Counts spikes that are observed as `level.spikes` over so many steps of the whole, from one sample to the next; over
    /// each step unless told otherwise. [`record_every`](crate::record_every()) and [`gradient`](crate::gradient::gradient) refuse
    /// another `every`.
    #[must_use]
    pub fn counting(mut self, every: usize) -> Self {
        self.plan.every = every.max(1);
        self
    }

    /// The step of the whole, ms.
    pub fn dt(&self) -> f64 {
        self.plan.dt
    }

    /// The names of the levels.
    pub fn level_names(&self) -> &[String] {
        &self.plan.names
    }

    /// What is observed, in the order of the columns of [`Dynamics::observe`](crate::Dynamics::observe).
    pub fn outputs(&self) -> &[Variable] {
        &self.plan.outputs
    }

    /// The channels of the whole's input in the order of its columns: `level`, or `level.channel` of a level with
    /// several.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for settings of a level that contradict each other.
    pub fn inputs(&self) -> Result<Vec<Variable>, DynamicsError> {
        let mut inputs = Vec::new();
        let levels = self.levels.iter().zip(&self.plan.levels);
        for ((level, plan), name) in levels.zip(&self.plan.names) {
            if plan.external.is_none() {
                continue;
            }
            let mut channels = level.inputs()?;
            channels.retain(|channel| channel.width > 0);
            let several = channels.len() > 1;
            inputs.extend(channels.into_iter().map(|channel| Variable {
                name: if several {
                    format!("{name}.{}", channel.name)
                } else {
                    name.clone()
                },
                ..channel
            }));
        }
        Ok(inputs)
    }

    /// Where the input of a level from outside lies in the columns of the whole's input: first column and width.
    pub fn input_columns(&self, level: &str) -> Option<(usize, usize)> {
        let index = self.plan.names.iter().position(|name| name == level)?;
        self.plan.levels.get(index)?.external
    }
}

impl Model for MultiGranularityModel {
    type Dynamics = Composite;

    fn dynamics(&self) -> Result<Composite, DynamicsError> {
        let levels = self
            .levels
            .iter()
            .zip(&self.plan.levels)
            .map(|(level, plan)| {
                Ok(BoundLevel {
                    dynamics: level.dynamics()?,
                    plan: plan.clone(),
                })
            });
        let levels = levels.collect::<Result<Vec<BoundLevel>, DynamicsError>>()?;
        let named = self.plan.names.iter().zip(&levels);
        let currents = named.flat_map(|(name, level)| {
            let own = level.dynamics.currents().iter();
            own.map(move |current| current.of(name))
        });
        let currents = currents.collect();
        let couplers = self.couplers.iter().zip(&self.plan.couplers);
        Ok(Composite {
            currents,
            dt: self.plan.dt,
            variables: self.plan.variables.clone(),
            shown: self.plan.shown,
            levels,
            couplers: couplers.map(|(coupler, plan)| coupler.bind(plan)).collect(),
            observed: self.plan.observed.clone(),
            inputs: self.plan.inputs,
            every: self.plan.every,
        })
    }

    /// The levels' own states; the weights of plastic couplers as they are in the module, once for each row; counts, filters
    /// and delays at 0.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Memory`] names a plastic coupler whose weights do not fit; those of the levels.
    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        for (index, plan) in self.plan.couplers.iter().enumerate() {
            if let Some(plastic) = &plan.plastic {
                let own = &self.plan.variables[plastic.variables.clone()];
                let numbers = own.iter().map(|variable| variable.width).sum();
                let what = format!("the weights of coupler[{index}], some for each row of a batch");
                // Those before a step and those after it.
                budget::ask_for_numbers(what, &[2, batch, numbers])?;
            }
        }
        let mut tensors = Vec::with_capacity(self.plan.variables.len());
        for level in &self.levels {
            tensors.extend(level.initial_state(batch)?.into_tensors());
        }
        let place = tensors.first().map(Place::of);
        for (coupler, plan) in self.couplers.iter().zip(&self.plan.couplers) {
            let plastic = coupler.plastic(plan);
            tensors.extend(
                plastic
                    .into_iter()
                    .flat_map(|own| own.initial(batch).into_tensors()),
            );
        }
        for total in self.plan.levels.iter().filter_map(|level| level.total) {
            tensors.extend(
                place
                    .as_ref()
                    .map(|place| place.full(0.0, [batch, total.1])),
            );
        }
        for plan in &self.plan.couplers {
            let Some(place) = &place else { break };
            let zeros = || place.full(0.0, [batch, plan.senders]);
            tensors.extend(std::iter::repeat_with(zeros).take(plan.own_variables()));
        }
        Ok(State::new(tensors))
    }
}
