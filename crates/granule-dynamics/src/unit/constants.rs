//! The parameters of an integrate-and-fire cell, declared once.

/// One list of parameters, each with unit, range and default, gives the configuration, the module and the access by name.
macro_rules! constants {
    (
        $cell:literal, $config:ident, $constants:ident,
        $(#[doc = $doc:literal] $name:ident: $unit:literal, $range:ident, $default:literal;)*
    ) => {
        #[doc = concat!("The parameters of ", $cell, " in a configuration; those left out have their defaults.")]
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct $config {
            $(
                #[doc = $doc]
                #[doc = concat!("\n\nUnit: ", $unit, "; default: ", stringify!($default), ".")]
                #[cfg_attr(feature = "schema", schemars(
                    transform = crate::unit::Range::$range.of_unit($unit)
                ))]
                pub $name: crate::Values,
            )*
        }

        #[doc = concat!("The parameters of ", $cell, " as part of a module.")]
        #[derive(burn::module::Module, Debug)]
        pub struct $constants {
            $(#[doc = $doc] pub $name: crate::unit::Constant,)*
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $($name: crate::Values::One($default),)* }
            }
        }

        impl $config {
            /// What the parameters are, in the order of the fields.
            pub const INFO: &[crate::unit::ParameterInfo] = &[$(crate::unit::ParameterInfo {
                name: stringify!($name),
                unit: $unit,
                range: crate::unit::Range::$range,
                description: $doc,
            },)*];

            /// Every parameter with what it is and its values.
            pub fn entries(
                &self,
            ) -> impl Iterator<Item = (&'static crate::unit::ParameterInfo, &crate::Values)> {
                Self::INFO.iter().zip([$(&self.$name),*])
            }

            /// A parameter by its name.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut crate::Values> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }

        impl $constants {
            fn build(
                mut make: impl FnMut(
                    &'static str,
                ) -> Result<crate::unit::Constant, crate::DynamicsError>,
            ) -> Result<Self, crate::DynamicsError> {
                Ok(Self { $($name: make(stringify!($name))?,)* })
            }

            /// A parameter by its name.
            pub fn get(&self, name: &str) -> Option<&crate::unit::Constant> {
                match name {
                    $(stringify!($name) => Some(&self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use constants;
