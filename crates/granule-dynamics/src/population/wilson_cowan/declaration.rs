//! Pairs of an excitatory and an inhibitory population from the list of their parameters.

/// Each parameter, its range, and under which names and with which defaults the configuration has it of either population.
/// Makes the configuration, the module of pairs and that of one population, and its values in a run.
macro_rules! pairs_of_populations {
    (
        $(#[$config_doc:meta])* config $Config:ident,
        $(#[$doc:meta])* module $Module:ident,
        parameters: { $(
            $(#[$parameter_doc:meta])+ $parameter:ident, $range:ident: {
                $(#[$excitatory_doc:meta])+ $excitatory:ident = $excitatory_default:expr;
                $(#[$inhibitory_doc:meta])+ $inhibitory:ident = $inhibitory_default:expr;
            }
        )+ }
    ) => {
        $(#[$config_doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $Config {
            /// The number of pairs, each for itself, side by side. Every setting below is one value for all of them or one for
            /// each.
            #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
            pub pairs: usize,
            $(
                $(#[$excitatory_doc])+
                #[cfg_attr(feature = "schema", schemars(transform = $crate::setting::Range::$range))]
                pub $excitatory: $crate::Values,
                $(#[$inhibitory_doc])+
                #[cfg_attr(feature = "schema", schemars(transform = $crate::setting::Range::$range))]
                pub $inhibitory: $crate::Values,
            )+
            /// The names of the settings above that training may move.
            pub trainable: Vec<String>,
        }

        impl Default for $Config {
            fn default() -> Self {
                Self {
                    pairs: 1,
                    $($excitatory: $excitatory_default.into(), $inhibitory: $inhibitory_default.into(),)+
                    trainable: Vec::new(),
                }
            }
        }

        impl $Config {
            /// The settings of the excitatory population, then those of the inhibitory one.
            fn settings(&self) -> [[$crate::setting::Setting<'_>; [$(stringify!($parameter)),+].len()]; 2] {
                use $crate::setting::{Range, Setting};
                [
                    [$(Setting::new(stringify!($excitatory), &self.$excitatory, Range::$range)),+],
                    [$(Setting::new(stringify!($inhibitory), &self.$inhibitory, Range::$range)),+],
                ]
            }

            /// Checks every setting.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`](crate::DynamicsError::Config).
            pub fn validate(&self) -> Result<(), $crate::DynamicsError> {
                $crate::setting::check_count("pairs", self.pairs)?;
                let settings = self.settings().concat();
                $crate::setting::validate("", &settings, &self.trainable, (self.pairs, "pair"))
            }

            /// Makes the model.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(&self, place: &$crate::Place) -> Result<$Module, $crate::DynamicsError> {
                self.validate()?;
                let [excitatory, inhibitory] = self.settings().map(|[$($parameter),+]| -> Result<_, $crate::DynamicsError> {
                    Ok(WilsonCowanPopulation {
                        $($parameter: $parameter.init("", &self.trainable, place)?,)+
                    })
                });
                Ok($Module { excitatory: excitatory?, inhibitory: inhibitory?, pairs: self.pairs })
            }
        }

        $(#[$doc])*
        #[derive(burn::module::Module, Debug)]
        pub struct $Module {
            /// E.
            pub excitatory: WilsonCowanPopulation,
            /// I.
            pub inhibitory: WilsonCowanPopulation,
            #[module(skip)]
            pairs: usize,
        }

        impl $Module {
            /// The parameters of either population by their names in the configuration.
            fn held(&self) -> [Vec<(String, $crate::Held<'_>)>; 2] {
                let held = |name: &str, value| (name.to_owned(), $crate::Held::Values(value));
                let Self { excitatory, inhibitory, .. } = self;
                [
                    vec![$(held(stringify!($excitatory), &excitatory.$parameter)),+],
                    vec![$(held(stringify!($inhibitory), &inhibitory.$parameter)),+],
                ]
            }
        }

        /// One of the two populations of a pair; every parameter is `[1, 1]` or `[1, pairs]`.
        #[derive(burn::module::Module, Debug)]
        pub struct WilsonCowanPopulation {
            $($(#[$parameter_doc])+ pub $parameter: $crate::Parameter,)+
        }

        impl WilsonCowanPopulation {
            fn values(&self) -> PopulationValues {
                PopulationValues {
                    $($parameter: $crate::quantity::Quantity::Tensor(self.$parameter.value()),)+
                }
            }
        }

        /// The values of a population's parameters in a run.
        #[derive(Clone, Debug)]
        struct PopulationValues {
            $($parameter: $crate::quantity::Quantity,)+
        }
    };
}

pub(super) use pairs_of_populations;
