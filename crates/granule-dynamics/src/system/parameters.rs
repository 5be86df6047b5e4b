//! Parameters of models with many nodes, declared as a table.

use crate::quantity::Quantity;
use crate::setting::{Setting, check_listed};
use crate::{DynamicsError, Parameter, Place, State, Variable};

/// Checks that every name in `trainable` is one of `names`.
pub(crate) fn check_trainable(
    trainable: &[String],
    names: &'static [&'static str],
) -> Result<(), DynamicsError> {
    check_listed(("", "trainable"), trainable, names.iter().copied())
}

/// A noise amplitude as a tensor, or nothing where it is zero everywhere.
pub(crate) fn noise_at(noise: &[f64], place: &Place) -> Option<Quantity> {
    let silent = noise.iter().all(|value| *value == 0.0);
    (!silent).then(|| Quantity::Tensor(place.tensor(noise.to_vec(), [1, noise.len()])))
}

/// Makes the parameters of the variables' initial values, all trainable where the list has `initial`.
pub(crate) fn initial(
    settings: &[Setting<'_>],
    trainable: &[String],
    place: &Place,
) -> Result<Vec<Parameter>, DynamicsError> {
    let trained = trainable.iter().any(|listed| listed == "initial");
    let make = |setting: &Setting<'_>| {
        let bounds = trained.then(|| setting.range.bounds());
        setting.within(bounds, "", place)
    };
    settings.iter().map(make).collect()
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
        parameters: { $($(#[$doc:meta])* $name:ident = $default:expr, $range:expr;)+ }
        variables: { $(
            $variable:ident [$unit:literal $(, $low:literal to $high:literal)?] $(as $kind:ident)? = $initial:expr;
        )+ }
        inputs: { $($channel:literal [$channel_unit:literal];)+ }
    ) => {
        $(#[$config_doc])*
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $Config {
            /// The number of nodes, each a copy of the model.
            #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
            pub nodes: usize,
            $(
                $(#[$doc])*
                #[cfg_attr(feature = "schema", schemars(transform = $range))]
                pub $name: $crate::Values,
            )+
            $(#[$noise_doc])*
            #[cfg_attr(feature = "schema", schemars(
                transform = $crate::setting::Range::NonNegative
            ))]
            pub noise: $crate::Values,
            #[doc = concat!("The initial values of ", $("`", stringify!($variable), "` (", $unit, ") ",)+ "in this order.")]
            pub initial: Vec<$crate::Values>,
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

            fn settings(&self) -> Vec<$crate::setting::Setting<'_>> {
                use $crate::setting::Setting;
                let noise = Setting::new("noise", &self.noise, $crate::setting::Range::NonNegative);
                let parameters = [$(Setting::new(stringify!($name), &self.$name, $range)),+];
                parameters.into_iter().chain([noise]).chain(self.initial_settings()).collect()
            }

            fn initial_settings(&self) -> Vec<$crate::setting::Setting<'_>> {
                let names = [$(concat!("initial.", stringify!($variable))),+];
                let settings = names.into_iter().zip(&self.initial);
                settings.map(|(name, values)| {
                    $crate::setting::Setting::new(name, values, $crate::setting::Range::Any)
                }).collect()
            }

            fn variables(&self) -> Vec<$crate::Variable> {
                vec![$($crate::Variable::new(stringify!($variable), $unit, self.nodes)
                    $(.within($low, $high))?
                    $(.of_kind($crate::QuantityKind::$kind))?),+]
            }

            /// Checks every value.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`](crate::DynamicsError::Config) names the first that is not allowed.
            pub fn validate(&self) -> Result<(), $crate::DynamicsError> {
                use $crate::DynamicsError;
                $crate::setting::check_count("nodes", self.nodes)?;
                let variables = [$(stringify!($variable)),+];
                if self.initial.len() != variables.len() {
                    return Err(DynamicsError::config(
                        "initial",
                        format!("{} entries", self.initial.len()),
                        format!("one for each of {}", variables.join(", ")),
                    ));
                }
                $crate::setting::validate("", &self.settings(), &[], (self.nodes, "node"))?;
                $crate::system::parameters::check_trainable(&self.trainable, Self::PARAMETERS)
            }

            /// The model on a device.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(&self, place: &$crate::Place) -> Result<$Module, $crate::DynamicsError> {
                use $crate::setting::Setting;
                self.validate()?;
                let trained = &self.trainable;
                Ok($Module {
                    $($name: Setting::new(stringify!($name), &self.$name, $range).init("", trained, place)?,)+
                    initial: $crate::system::parameters::initial(&self.initial_settings(), trained, place)?,
                    variables: self.variables(),
                    noise: self.noise.as_slice().to_vec(),
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
            $($name: $crate::quantity::Quantity,)+
            noise: Option<$crate::quantity::Quantity>,
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
                let [$($name),+] = values.map($crate::quantity::Quantity::Tensor);
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

            fn settings(&self) -> Vec<(String, $crate::Held<'_>)> {
                let initial = self.initial.iter().enumerate();
                let initial = initial.map(|(index, value)| (format!("initial.{index}"), value));
                let own = [$((stringify!($name), &self.$name)),+];
                let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
                let all = own.chain(initial);
                all.map(|(name, value)| (name, $crate::Held::Values(value))).collect()
            }
        }
    };
}

pub(crate) use mass_model;
