//! Cells that fire by a reset: one declaration makes the configuration, the module and the names; a file of a cell adds its
//! equations.

mod adex;
mod firing;
mod izhikevich;
mod lif;
mod qif;
#[cfg(test)]
mod tests;

pub use adex::{Adex, AdexConfig, AdexConstants, AdexField, AdexInitial, AdexParameters};
pub use firing::{Coordinates, Firing, Resetting, Upstroke};
pub use izhikevich::{
    Izhikevich, IzhikevichConfig, IzhikevichConstants, IzhikevichField, IzhikevichInitial,
    IzhikevichParameters,
};
pub use lif::{Lif, LifConfig, LifConstants, LifDynamics, LifInitial, LifParameters};
pub use qif::{Qif, QifConfig, QifConstants, QifDynamics, QifInitial, QifParameters};

use crate::DynamicsError;
use crate::setting::Settings;

/// How the settings of a cell bind each other, beyond the range that each has by itself.
trait ParameterRules {
    /// Narrows where training keeps parameters.
    fn keep(&self, _: &mut Settings<'_>) {}

    /// Checks what must be above what.
    fn check(&self, _: &Settings<'_>) -> Result<(), DynamicsError> {
        Ok(())
    }

    /// About the shortest time constant that a solver has to resolve, ms; none for cells whose step is exact.
    fn shortest_time_constant(&self) -> Option<f64> {
        None
    }
}

/// Declares a cell: its configuration, the state at the beginning, the parameters, the module that holds them, and their
/// values in a run.
///
/// `current` gives the unit of the input; `settings` are numbers that are not trained; of the state at the beginning, the
/// variables of `initial` have defaults, and those that are `balanced` follow from them where they are not given. Cells
/// `moved by` a solver take one when they are made.
macro_rules! integrate_and_fire {
    (
        $(#[$config_doc:meta])* config $Config:ident,
        $(#[$doc:meta])* module $Module:ident $(moved by $solver:ident)?,
        $cell:literal ($Parameters:ident, $Constants:ident, $Values:ident),
        $(#[$current_doc:meta])* current: $current:literal;
        settings: { $($(#[$setting_doc:meta])* $setting:ident = $setting_default:expr, $setting_range:ident;)* }
        $(#[$trainable_doc:meta])* trainable;
        parameters: {
            $(#[doc = $parameter_doc:literal] $parameter:ident: $unit:literal, $range:ident, $default:literal;)+
        }
        $(#[$initial_doc:meta])* initial $Initial:ident: {
            $(#[doc = $start_doc:literal] $start:ident = $start_default:literal;)+
        }
        balanced: { $(#[doc = $balanced_doc:literal] $balanced:ident;)* }
    ) => {
        $crate::unit::constants::constants! {
            $cell, $Parameters, $Constants,
            $(#[doc = $parameter_doc] $parameter: $unit, $range, $default;)+
        }

        $(#[$config_doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $Config {
            /// How many cells.
            #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
            pub cells: usize,
            $(#[$current_doc])*
            pub current: $crate::Values,
            $(
                $(#[$setting_doc])*
                #[cfg_attr(feature = "schema", schemars(transform = $crate::setting::Range::$setting_range))]
                pub $setting: f64,
            )*
            $(#[$trainable_doc])*
            pub trainable: Vec<String>,
            /// Where training keeps a parameter, by name.
            pub bounds: std::collections::BTreeMap<String, $crate::Bounds>,
            /// The parameters.
            pub parameters: $Parameters,
            /// The state at the beginning.
            pub initial: $Initial,
            /// The gradient of a spike.
            pub surrogate: $crate::unit::Surrogate,
            /// What is recorded.
            pub observed: $crate::unit::Observed,
        }

        $(#[$initial_doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $Initial {
            $(#[doc = $start_doc] pub $start: $crate::Values,)+
            $(
                #[doc = $balanced_doc]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $balanced: Option<$crate::Values>,
            )*
        }

        impl Default for $Initial {
            fn default() -> Self {
                Self {
                    $($start: $crate::Values::One($start_default),)+
                    $($balanced: None,)*
                }
            }
        }

        impl Default for $Config {
            fn default() -> Self {
                Self {
                    cells: 1,
                    current: $crate::Values::One(0.0),
                    $($setting: $setting_default,)*
                    trainable: Vec::new(),
                    bounds: Default::default(),
                    parameters: Default::default(),
                    initial: Default::default(),
                    surrogate: Default::default(),
                    observed: Default::default(),
                }
            }
        }

        impl $Config {
            fn settings(&self) -> $crate::setting::Settings<'_> {
                let mut all = $crate::setting::Settings::of_cells(
                    self.parameters.entries(),
                    &self.current,
                    &self.trainable,
                    &self.bounds,
                );
                let (section, any) = ("unit.initial", $crate::setting::Range::Any);
                $(all.add((section, stringify!($start)), &self.initial.$start, any);)+
                $(if let Some(values) = &self.initial.$balanced {
                    all.add((section, stringify!($balanced)), values, any);
                })*
                $crate::unit::integrate_and_fire::ParameterRules::keep(self, &mut all);
                all
            }

            /// Checks every setting.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`](crate::DynamicsError::Config) names the first that is not allowed, as
            /// `unit.parameters.threshold`.
            pub fn validate(&self) -> Result<(), $crate::DynamicsError> {
                $crate::setting::check_count("unit.cells", self.cells)?;
                $($crate::setting::Range::$setting_range
                    .check(concat!("unit.", stringify!($setting)), self.$setting)?;)*
                let settings = self.settings();
                settings.check(self.cells)?;
                $crate::unit::integrate_and_fire::ParameterRules::check(self, &settings)?;
                self.surrogate.validate()
            }

            #[doc = concat!("Makes the population", $(", to be moved by `", stringify!($solver), "`",)? ".")]
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(
                &self,
                $($solver: std::sync::Arc<dyn $crate::solver::Solver>,)?
                place: &$crate::Place,
            ) -> Result<$Module, $crate::DynamicsError> {
                self.validate()?;
                let settings = self.settings();
                let make = |name: &str| settings.init(name, self.cells, place);
                Ok($Module {
                    parameters: $Constants::build(make)?,
                    current: make("current")?,
                    $($start: make(stringify!($start))?,)+
                    $($balanced: settings.find(stringify!($balanced), self.cells, place)?,)*
                    origin: place.full(0.0, [1, 1]),
                    cells: self.cells,
                    $($setting: self.$setting,)*
                    surrogate: self.surrogate,
                    observed: self.observed,
                    $($solver,)?
                })
            }
        }

        $(#[$doc])*
        #[derive(burn::module::Module, Debug)]
        pub struct $Module {
            /// The parameters.
            pub parameters: $Constants,
            $(#[$current_doc])*
            pub current: $crate::unit::Constant,
            $(#[doc = $start_doc] pub $start: $crate::unit::Constant,)+
            $(#[doc = $balanced_doc] pub $balanced: Option<$crate::unit::Constant>,)*
            /// Where the module lives; it follows the module to other devices and off the tape.
            origin: burn::tensor::Tensor<2>,
            #[module(skip)]
            cells: usize,
            $(#[module(skip)] $setting: f64,)*
            #[module(skip)]
            surrogate: $crate::unit::Surrogate,
            #[module(skip)]
            observed: $crate::unit::Observed,
            $(#[module(skip)] $solver: std::sync::Arc<dyn $crate::solver::Solver>,)?
        }

        /// The values of the parameters in a run.
        #[derive(Clone, Debug)]
        struct $Values {
            $($parameter: $crate::quantity::Quantity,)+
        }

        impl $Module {
            fn values(&self) -> $Values {
                $Values { $($parameter: self.parameters.$parameter.quantity(),)+ }
            }

            /// Zeros, `[batch, cells]`.
            fn zeros(&self, batch: usize) -> burn::tensor::Tensor<2> {
                $crate::Place::of(&self.origin).full(0.0, [batch, self.cells])
            }
        }

        impl $crate::unit::population::Unit for $Config {
            type Model = $Module;

            const CURRENT: &'static str = $current;
            const EXACT: bool = <[&str]>::is_empty(&[$(stringify!($solver),)?]);

            fn shortest_time_constant(&self) -> Option<f64> {
                $crate::unit::integrate_and_fire::ParameterRules::shortest_time_constant(self)
            }

            fn build(
                &self,
                _solver: std::sync::Arc<dyn $crate::solver::Solver>,
                place: &$crate::Place,
            ) -> Result<$Module, $crate::DynamicsError> {
                $(let $solver = _solver;)?
                self.init($($solver,)? place)
            }
        }

        impl $crate::unit::population::Population for $Module {
            fn constants(&self) -> Vec<(&'static str, &$crate::unit::Constant)> {
                vec![$((stringify!($parameter), &self.parameters.$parameter),)+]
            }

            fn current(&self) -> (&$crate::unit::Constant, &'static str) {
                (&self.current, $current)
            }

            fn initial_values(&self) -> Vec<(&'static str, &$crate::unit::Constant)> {
                let given = [$((stringify!($start), Some(&self.$start)),)+];
                let balanced: &[_] = &[$((stringify!($balanced), self.$balanced.as_ref()),)*];
                let all = given.iter().chain(balanced);
                all.filter_map(|(name, constant)| Some((*name, (*constant)?))).collect()
            }

            fn observed(&self) -> $crate::unit::Observed {
                self.observed
            }
        }
    };
}

use integrate_and_fire;
