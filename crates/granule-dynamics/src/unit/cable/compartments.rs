//! Cables whose compartments a program lists.

use std::collections::BTreeMap;
use std::f64::consts::{FRAC_PI_4, PI};

use serde::{Deserialize, Serialize};

use super::geometry::{Geometry, Node};
use super::solve::{Cable, Membrane};
use crate::model::Field;
use crate::setting::Range;
use crate::setting::Settings;
use crate::{Bounds, DynamicsError, Place, Values};

/// A cylinder of a dendrite, axon or soma.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Compartment {
    /// The compartment that it is joined to, an earlier one; a root has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<usize>,
    /// µm.
    pub length: f64,
    /// µm.
    pub diameter: f64,
}

impl Compartment {
    /// The area of the membrane, cm²: π·d·l, without the ends.
    pub fn area(&self) -> f64 {
        PI * self.diameter * self.length * 1e-8
    }

    /// From the middle to an end, per Ωcm of axial resistivity: l/(2·πd²/4), 1/cm.
    fn half(&self) -> f64 {
        self.length / (2.0 * FRAC_PI_4 * self.diameter * self.diameter) * 1e4
    }
}

/// How the potential is moved; both are stable at any dt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CableScheme {
    /// Order 1, and damped: what is faster than dt is at rest.
    #[default]
    BackwardEuler,
    /// Order 2 in the cable; what is faster than dt rings.
    CrankNicolson,
}

impl CableScheme {
    /// The name in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::BackwardEuler => "backward-euler",
            Self::CrankNicolson => "crank-nicolson",
        }
    }
}

/// Settings of [`Cable`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CableConfig {
    /// The compartments, each after the one that it is joined to. Several roots are several cells.
    pub compartments: Vec<Compartment>,
    /// Axial resistivity R_i, Ωcm; one value.
    pub axial_resistivity: Values,
    /// How the potential is moved.
    pub scheme: CableScheme,
    /// The parameters that training may change, besides those of the membrane: `axial_resistivity`.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
}

impl Default for CableConfig {
    fn default() -> Self {
        Self {
            axial_resistivity: Values::One(150.0),
            ..Self::cylinder(300.0, 1.0, 30)
        }
    }
}

impl CableConfig {
    /// An unbranched cable of `length` and `diameter` in µm, in compartments of the same length.
    pub fn cylinder(length: f64, diameter: f64, compartments: usize) -> Self {
        let compartment = |index: usize| Compartment {
            parent: index.checked_sub(1),
            length: length / compartments as f64,
            diameter,
        };
        Self {
            compartments: (0..compartments).map(compartment).collect(),
            axial_resistivity: Values::One(150.0),
            scheme: CableScheme::default(),
            trainable: Vec::new(),
            bounds: BTreeMap::new(),
        }
    }

    fn settings(&self) -> Settings<'_> {
        let mut all = Settings::new("cable", &self.trainable, &self.bounds);
        let resistivity = ("cable", "axial_resistivity");
        all.add(resistivity, &self.axial_resistivity, Range::Positive);
        all
    }

    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `cable.compartments[3].diameter`.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        if self.compartments.is_empty() {
            let allowed = "at least one";
            return Err(DynamicsError::config("cable.compartments", "[]", allowed));
        }
        for (index, compartment) in self.compartments.iter().enumerate() {
            let at = |field: &str| format!("cable.compartments[{index}].{field}");
            let Compartment {
                parent,
                length,
                diameter,
            } = *compartment;
            if let Some(parent) = parent.filter(|parent| *parent >= index) {
                let allowed = "an earlier compartment";
                return Err(DynamicsError::config(at("parent"), parent, allowed));
            }
            for (field, value) in [("length", length), ("diameter", diameter)] {
                Range::Positive.check(at(field), value)?;
            }
        }
        self.settings().check(1)
    }

    fn geometry(&self) -> Geometry {
        let node = |compartment: &Compartment| {
            let parent = compartment.parent.and_then(|at| self.compartments.get(at));
            Node {
                parent: compartment.parent,
                own: compartment.half(),
                beyond: parent.map_or(0.0, Compartment::half),
            }
        };
        Geometry {
            areas: self.compartments.iter().map(Compartment::area).collect(),
            nodes: self.compartments.iter().map(node).collect(),
        }
    }

    /// Makes the cable, its compartments behind the membranes of `membrane`, one for each.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate); a membrane of another number of compartments, or one whose potential is
    /// not the last that a semi-implicit step moves.
    pub fn init<M: Membrane>(&self, membrane: M, place: &Place) -> Result<Cable<M>, DynamicsError> {
        self.validate()?;
        let field = membrane.field();
        let compartments = self.compartments.len();
        let width = field.variables().first().map_or(0, |v| v.width);
        if width != compartments {
            return Err(DynamicsError::Shape {
                what: "the membrane of a cable (number of compartments)".into(),
                expected: vec![compartments],
                found: vec![width],
            });
        }
        let axial_resistivity = self.settings().init("axial_resistivity", 1, place)?;
        Cable::new(
            membrane,
            axial_resistivity,
            (self.geometry(), self.scheme),
            place,
        )
    }
}
