//! A rule from the list of its parameters.

/// Makes the configuration of a rule and the Burn module that holds its parameters. What is left to write is its equation.
///
/// `pre` or `post` after a parameter are the units that may have a value each. `settings` are not trained. The text before
/// `config` tells where the defaults are from; a function may check more than the ranges.
macro_rules! plasticity_rule {
    (
        $name:literal,
        $(#[$doc:meta])* module $Rule:ident,
        $(#[$default_doc:meta])* config $Config:ident $(checked by $check:ident)?,
        parameters: {
            $($(#[doc = $parameter_doc:literal])+ $parameter:ident = $default:expr, $range:ident, $units:ident;)+
        }
        $(settings: { $($(#[$setting_doc:meta])+ $setting:ident: $Type:ty = $setting_default:expr;)+ })?
    ) => {
        #[doc = concat!("Settings of [`", stringify!($Rule), "`].")]
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $Config {
            $(
                $(#[doc = $parameter_doc])+
                #[cfg_attr(feature = "schema", schemars(transform = $crate::setting::Range::$range))]
                pub $parameter: f64,
            )+
            $($($(#[$setting_doc])+ pub $setting: $Type,)+)?
            /// The settings that training by gradient may change.
            pub trainable: Vec<String>,
        }

        impl Default for $Config {
            $(#[$default_doc])*
            fn default() -> Self {
                Self {
                    $($parameter: $default,)+
                    $($($setting: $setting_default,)+)?
                    trainable: Vec::new(),
                }
            }
        }

        impl $Config {
            fn settings(
                &self,
            ) -> [$crate::setting::Setting<'_>; <[&str]>::len(&[$(stringify!($parameter)),+])] {
                use $crate::setting::{Range, Setting};
                [$(Setting::number(stringify!($parameter), &self.$parameter, Range::$range)),+]
            }

            /// Checks every setting.
            ///
            /// # Errors
            ///
            /// [`DynamicsError::Config`](crate::DynamicsError::Config).
            pub fn validate(&self) -> Result<(), $crate::DynamicsError> {
                $($check(self)?;)?
                $crate::setting::validate($name, &self.settings(), &self.trainable, (1, "unit"))
            }

            /// Makes the rule.
            ///
            /// # Errors
            ///
            /// Those of [`validate`](Self::validate).
            pub fn init(&self, place: &$crate::Place) -> Result<$Rule, $crate::DynamicsError> {
                self.validate()?;
                let [$($parameter),+] =
                    $crate::setting::init($name, self.settings(), &self.trainable, place);
                Ok($Rule {
                    $($parameter: $parameter?,)+
                    $($($setting: self.$setting,)+)?
                })
            }
        }

        $(#[$doc])*
        #[derive(burn::module::Module, Debug)]
        pub struct $Rule {
            $(
                $(#[doc = $parameter_doc])+
                #[doc = concat!("\n\n`[1, 1]` or `[1, ", stringify!($units), "]`.")]
                pub $parameter: $crate::Parameter,
            )+
            $($(#[module(skip)] $setting: $Type,)+)?
        }
    };
}

pub(in crate::plasticity) use plasticity_rule;
