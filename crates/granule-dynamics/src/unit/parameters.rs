//! The parameters of a conductance-based cell, by field and by name.

use std::fmt;
use std::marker::PhantomData;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::Kinetics;
use super::setting::Constant;
use crate::setting::Range;
use crate::{DynamicsError, Values};

/// What a parameter is, for help and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// The name in configuration files, below `parameters`.
    pub name: &'static str,
    /// The unit; `1` where there is none.
    pub unit: &'static str,
    /// The values that make sense.
    pub range: Range,
    /// What it is.
    pub description: &'static str,
}

/// One list of parameters gives the configuration, the published values, the module and the access by name.
macro_rules! parameters {
    ($(#[doc = $doc:literal] $name:ident: $unit:literal, $range:ident;)*) => {
        /// The parameters of a cell of the kind `K`, in a configuration; those left out have their published values.
        #[derive(Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(inline, bound = "K: Kinetics"))]
        #[serde(default, deny_unknown_fields, bound = "K: Kinetics")]
        pub struct CellParameters<K> {
            $(
                #[doc = $doc]
                #[cfg_attr(feature = "schema", schemars(
                    transform = Range::$range.of_unit($unit)
                ))]
                pub $name: Values,
            )*
            #[serde(skip)]
            kind: PhantomData<K>,
        }

        /// A number for every parameter of a cell.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct Published {
            $(#[doc = $doc] pub $name: f64,)*
        }

        /// The parameters of a cell as part of a module.
        #[derive(Module, Debug)]
        pub struct CellConstants {
            $(#[doc = $doc] pub $name: Constant,)*
        }

        /// All parameters of a conductance-based cell, in the order of their fields.
        pub const PARAMETERS: &[ParameterInfo] = &[$(ParameterInfo {
            name: stringify!($name),
            unit: $unit,
            range: Range::$range,
            description: $doc,
        },)*];

        impl<K: Kinetics> Default for CellParameters<K> {
            fn default() -> Self {
                Self {
                    $($name: Values::from(K::PUBLISHED.$name),)*
                    kind: PhantomData,
                }
            }
        }

        impl<K> CellParameters<K> {
            /// Every parameter with what it is and its values.
            pub fn entries(&self) -> impl Iterator<Item = (&'static ParameterInfo, &Values)> {
                PARAMETERS.iter().zip([$(&self.$name),*])
            }

            /// A parameter by its name.
            pub fn get(&self, name: &str) -> Option<&Values> {
                match name {
                    $(stringify!($name) => Some(&self.$name),)*
                    _ => None,
                }
            }

            /// A parameter by its name.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut Values> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }
        }

        impl CellConstants {
            /// Makes every parameter by its name.
            pub(crate) fn build(
                mut make: impl FnMut(&'static str) -> Result<Constant, DynamicsError>,
            ) -> Result<Self, DynamicsError> {
                Ok(Self { $($name: make(stringify!($name))?,)* })
            }

            /// A parameter by its name.
            pub fn get(&self, name: &str) -> Option<&Constant> {
                match name {
                    $(stringify!($name) => Some(&self.$name),)*
                    _ => None,
                }
            }
        }
    };
}

parameters! {
    /// Membrane capacitance C.
    capacitance: "µF/cm²", Positive;
    /// Maximal conductance of sodium g_Na.
    g_na: "mS/cm²", NonNegative;
    /// Maximal conductance of potassium g_K.
    g_k: "mS/cm²", NonNegative;
    /// Conductance of the leak g_L.
    g_l: "mS/cm²", NonNegative;
    /// Reversal potential of sodium E_Na.
    e_na: "mV", Any;
    /// Reversal potential of potassium E_K.
    e_k: "mV", Any;
    /// Reversal potential of the leak E_L.
    e_l: "mV", Any;
    /// Factor φ of the rates of all gates that have dynamics, for temperature.
    temperature_factor: "1", Positive;
    /// Added to the midpoints of all rates (V_T of Traub–Miles).
    v_shift: "mV", Any;
    /// Factor of α_m: opening of sodium activation.
    alpha_m_rate: "1/ms", Positive;
    /// Midpoint of α_m.
    alpha_m_midpoint: "mV", Any;
    /// Slope of α_m.
    alpha_m_slope: "mV", Positive;
    /// Factor of β_m: closing of sodium activation.
    beta_m_rate: "1/ms", Positive;
    /// Midpoint of β_m.
    beta_m_midpoint: "mV", Any;
    /// Slope of β_m.
    beta_m_slope: "mV", Positive;
    /// Factor of α_h: recovery from sodium inactivation.
    alpha_h_rate: "1/ms", Positive;
    /// Midpoint of α_h.
    alpha_h_midpoint: "mV", Any;
    /// Slope of α_h.
    alpha_h_slope: "mV", Positive;
    /// Factor of β_h: sodium inactivation.
    beta_h_rate: "1/ms", Positive;
    /// Midpoint of β_h.
    beta_h_midpoint: "mV", Any;
    /// Slope of β_h.
    beta_h_slope: "mV", Positive;
    /// Factor of α_n: opening of potassium activation.
    alpha_n_rate: "1/ms", Positive;
    /// Midpoint of α_n.
    alpha_n_midpoint: "mV", Any;
    /// Slope of α_n.
    alpha_n_slope: "mV", Positive;
    /// Factor of β_n: closing of potassium activation.
    beta_n_rate: "1/ms", Positive;
    /// Midpoint of β_n.
    beta_n_midpoint: "mV", Any;
    /// Slope of β_n.
    beta_n_slope: "mV", Positive;
}

impl<K> fmt::Debug for CellParameters<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        self.entries().for_each(|(info, values)| {
            map.entry(&info.name, values);
        });
        map.finish()
    }
}
