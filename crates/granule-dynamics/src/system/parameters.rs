//! Parameters of models with many nodes, declared as a table.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::parameter::check;
use crate::{Bounds, DynamicsError, Parameter, Place, State, Variable};

/// One value for all nodes, or one for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerNode {
    /// The same everywhere.
    All(f64),
    /// In the nodes' order.
    Each(Vec<f64>),
}

impl PerNode {
    /// One value, or as many as there are nodes.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::All(value) => std::slice::from_ref(value),
            Self::Each(values) => values,
        }
    }
}

impl From<f64> for PerNode {
    fn from(value: f64) -> Self {
        Self::All(value)
    }
}

impl From<Vec<f64>> for PerNode {
    fn from(values: Vec<f64>) -> Self {
        Self::Each(values)
    }
}

/// A row of a model's table.
pub(crate) struct Entry<'a> {
    pub name: String,
    pub values: &'a PerNode,
    pub bounds: Bounds,
}

impl Entry<'_> {
    pub(crate) fn validate(&self, nodes: usize) -> Result<(), DynamicsError> {
        let values = self.values.values();
        if !matches!(self.values, PerNode::All(_)) && values.len() != nodes {
            let allowed = format!("one value, or one for each of {nodes} nodes");
            let found = format!("{} values", values.len());
            return Err(DynamicsError::config(&self.name, found, allowed));
        }
        check(&self.name, values, self.bounds)
    }

    pub(crate) fn init(&self, trainable: bool, place: &Place) -> Result<Parameter, DynamicsError> {
        let values = self.values.values();
        match trainable {
            true => Parameter::trainable(&self.name, values, self.bounds, place),
            false => Parameter::fixed(&self.name, values, self.bounds, place),
        }
    }
}

/// Checks that every name in `trainable` is one of `names`.
pub(crate) fn check_trainable(trainable: &[String], names: &[&str]) -> Result<(), DynamicsError> {
    match trainable
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        Some(name) => Err(DynamicsError::config(
            "trainable",
            name,
            format!("names among {}", names.join(", ")),
        )),
        None => Ok(()),
    }
}

/// Checks a noise amplitude.
pub(crate) fn check_noise(noise: &PerNode, nodes: usize) -> Result<(), DynamicsError> {
    let entry = Entry {
        name: "noise".into(),
        values: noise,
        bounds: Bounds::Free,
    };
    entry.validate(nodes)?;
    match noise.values().iter().find(|value| **value < 0.0) {
        Some(value) => Err(DynamicsError::config("noise", value, "at least 0")),
        None => Ok(()),
    }
}

/// A noise amplitude as a tensor, or nothing where it is zero everywhere.
pub(crate) fn noise_at(noise: &[f64], place: &Place) -> Option<Tensor<2>> {
    let silent = noise.iter().all(|value| *value == 0.0);
    (!silent).then(|| place.tensor(noise.to_vec(), [1, noise.len()]))
}

/// Parameters of the variables' initial values as a state.
pub(crate) fn initial_state(
    initial: &[Parameter],
    variables: &[Variable],
    batch: usize,
) -> Result<State, DynamicsError> {
    if batch == 0 {
        return Err(DynamicsError::config("batch", 0, "at least 1"));
    }
    let values = initial.iter().zip(variables);
    let tensors = values.map(|(value, variable)| value.value().expand([batch, variable.width]));
    Ok(State::new(tensors.collect()))
}

/// A mass model of `nodes` areas from the table of its parameters: the configuration, the Burn module and the field
/// that holds the parameters' values. What is left to write is the field's equations.
///
/// `noise` states what white noise drives; its amplitude is not trained.
macro_rules! mass_model {
    (
        $(#[$config_doc:meta])*
        config $Config:ident,
        $(#[$module_doc:meta])*
        module $Module:ident,
        $(#[$field_doc:meta])*
        field $Field:ident,
        noise: { $(#[$noise_doc:meta])* amplitude = $noise:expr; }
        parameters: { $($(#[$doc:meta])* $name:ident = $default:expr, $bounds:expr;)+ }
        variables: { $($variable:ident [$unit:literal] = $initial:expr;)+ }
        inputs: { $($channel:literal [$channel_unit:literal];)+ }
    ) => {
        $(#[$config_doc])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Config {
            /// The number of nodes, each a copy of the model.
            pub nodes: usize,
            $($(#[$doc])* pub $name: $crate::system::PerNode,)+
            $(#[$noise_doc])*
            pub noise: $crate::system::PerNode,
            #[doc = concat!("The initial values of ", $("`", stringify!($variable), "` (", $unit, ") ",)+ "in this order.")]
            pub initial: Vec<$crate::system::PerNode>,
            /// The names of the parameters that training may move, each within its bounds; `initial` among them.
            pub trainable: Vec<String>,
        }

        impl Default for $Config {
            fn default() -> Self {
                Self {
                    nodes: 1,
                    $($name: $default.into(),)+
                    noise: $noise.into(),
                    initial: vec![$($initial.into()),+],
                    trainable: Vec::new(),
                }
            }
        }

        impl $Config {
            /// The names that `trainable` may hold.
            pub const PARAMETERS: &'static [&'static str] = &[$(stringify!($name),)+ "initial"];

            fn entries(&self) -> Vec<$crate::system::parameters::Entry<'_>> {
                vec![$($crate::system::parameters::Entry {
                    name: stringify!($name).into(),
                    values: &self.$name,
                    bounds: $bounds,
                }),+]
            }

            fn initial_entries(&self) -> Vec<$crate::system::parameters::Entry<'_>> {
                let names = [$(stringify!($variable)),+];
                let values = names.iter().zip(&self.initial);
                values.map(|(name, values)| $crate::system::parameters::Entry {
                    name: format!("initial.{name}"),
                    values,
                    bounds: $crate::Bounds::Free,
                }).collect()
            }

            fn variables(&self) -> Vec<$crate::Variable> {
                vec![$($crate::Variable::new(stringify!($variable), $unit, self.nodes)),+]
            }

            /// Checks every value.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`](crate::DynamicsError::Config) names the first that is not allowed.
            pub fn validate(&self) -> Result<(), $crate::DynamicsError> {
                use $crate::DynamicsError;
                if self.nodes == 0 {
                    return Err(DynamicsError::config("nodes", 0, "at least 1"));
                }
                let variables = [$(stringify!($variable)),+];
                if self.initial.len() != variables.len() {
                    return Err(DynamicsError::config(
                        "initial",
                        format!("{} entries", self.initial.len()),
                        format!("one for each of {}", variables.join(", ")),
                    ));
                }
                for entry in self.entries().iter().chain(&self.initial_entries()) {
                    entry.validate(self.nodes)?;
                }
                $crate::system::parameters::check_noise(&self.noise, self.nodes)?;
                $crate::system::parameters::check_trainable(&self.trainable, Self::PARAMETERS)
            }

            /// The model on a device.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(&self, place: &$crate::Place) -> Result<$Module, $crate::DynamicsError> {
                self.validate()?;
                let trained = |name: &str| self.trainable.iter().any(|other| other == name);
                let initial = self.initial_entries();
                let initial = initial.iter().map(|entry| entry.init(trained("initial"), place));
                Ok($Module {
                    $($name: $crate::system::parameters::Entry {
                        name: stringify!($name).into(),
                        values: &self.$name,
                        bounds: $bounds,
                    }
                    .init(trained(stringify!($name)), place)?,)+
                    initial: initial.collect::<Result<_, _>>()?,
                    variables: self.variables(),
                    noise: self.noise.values().to_vec(),
                })
            }
        }

        $(#[$module_doc])*
        #[derive(::burn::module::Module, Debug)]
        pub struct $Module {
            $($(#[$doc])* pub $name: $crate::Parameter,)+
            /// The initial value of every variable.
            pub initial: Vec<$crate::Parameter>,
            #[module(skip)]
            variables: Vec<$crate::Variable>,
            #[module(skip)]
            noise: Vec<f64>,
        }

        $(#[$field_doc])*
        #[derive(Clone, Debug)]
        pub struct $Field {
            $($name: ::burn::tensor::Tensor<2>,)+
            noise: Option<::burn::tensor::Tensor<2>>,
            variables: Vec<$crate::Variable>,
            inputs: Vec<$crate::Variable>,
        }

        impl $Field {
            /// The number of nodes.
            pub fn nodes(&self) -> usize {
                self.variables[0].width
            }

            fn channel(
                &self,
                index: usize,
                input: Option<&::burn::tensor::Tensor<2>>,
            ) -> Option<::burn::tensor::Tensor<2>> {
                $crate::system::channel(&self.inputs, index, input)
            }
        }

        impl $crate::system::System for $Module {
            type Field = $Field;

            fn field(&self) -> Result<Self::Field, $crate::DynamicsError> {
                let nodes = self.variables[0].width;
                let values = [$(self.$name.value()),+];
                let place = $crate::Place::of(&values[0]);
                let [$($name),+] = values;
                Ok($Field {
                    $($name,)+
                    noise: $crate::system::parameters::noise_at(&self.noise, &place),
                    variables: self.variables.clone(),
                    inputs: vec![$($crate::Variable::new($channel, $channel_unit, nodes)),+],
                })
            }

            fn initial_state(&self, batch: usize) -> Result<$crate::State, $crate::DynamicsError> {
                $crate::system::parameters::initial_state(&self.initial, &self.variables, batch)
            }
        }
    };
}

pub(crate) use mass_model;
