//! Cables of a list of compartments, for tests.

use std::f64::consts::{FRAC_PI_4, PI};
use std::sync::Arc;

use super::super::geometry::{Geometry, Node};
use super::super::membrane::Regions;
use super::{Cable, CableScheme};
use crate::quantity::Constant;
use crate::setting::{Range, Setting};
use crate::solver::BackwardEuler;
use crate::unit::Cells;
use crate::unit::channel::{ChannelTable, ConductanceConfig, TableParameters};
use crate::{Bounds, Place, Values};

/// A cylinder.
#[derive(Clone, Copy)]
pub struct Compartment {
    /// An earlier one.
    pub parent: Option<usize>,
    /// µm.
    pub length: f64,
    /// µm.
    pub diameter: f64,
}

impl Compartment {
    /// cm², without the ends.
    pub fn area(&self) -> f64 {
        PI * self.diameter * self.length * 1e-8
    }

    /// From the middle to an end, per Ωcm of axial resistivity, 1/cm.
    fn half(&self) -> f64 {
        self.length / (2.0 * FRAC_PI_4 * self.diameter * self.diameter) * 1e4
    }
}

#[derive(Clone)]
pub struct Compartments {
    pub all: Vec<Compartment>,
    /// Ωcm.
    pub axial_resistivity: f64,
    pub scheme: CableScheme,
    /// Whether the resistivity is.
    pub trainable: bool,
}

impl Compartments {
    pub fn new(all: Vec<Compartment>) -> Self {
        Self {
            all,
            axial_resistivity: 150.0,
            scheme: CableScheme::default(),
            trainable: false,
        }
    }

    pub fn cylinder(length: f64, diameter: f64, compartments: usize) -> Self {
        let compartment = |index: usize| Compartment {
            parent: index.checked_sub(1),
            length: length / compartments as f64,
            diameter,
        };
        Self::new((0..compartments).map(compartment).collect())
    }

    /// The cable, with a cell for each compartment.
    pub fn cable(&self, cells: Cells, place: &Place) -> Cable {
        let node = |compartment: &Compartment| {
            let parent = compartment.parent.and_then(|at| self.all.get(at));
            Node {
                parent: compartment.parent,
                own: compartment.half(),
                beyond: parent.map_or(0.0, Compartment::half),
            }
        };
        let geometry = Geometry {
            areas: self.all.iter().map(Compartment::area).collect(),
            nodes: self.all.iter().map(node).collect(),
        };
        let resistivity = if self.trainable {
            let values = [self.axial_resistivity];
            let name = "axial_resistivity";
            let setting = Setting {
                name,
                values: &values,
                range: Range::Positive,
            };
            let bounds = Some(Bounds::Above(0.0));
            Constant::Parameter(setting.within(bounds, "cable", place).unwrap())
        } else {
            Constant::Number(self.axial_resistivity)
        };
        let membrane = Regions::new(cells, (0..self.all.len() as i64).collect());
        Cable::new(membrane, resistivity, (geometry, self.scheme), place).unwrap()
    }
}

/// Membranes with a leak alone, 1 µF/cm², 0.1 mS/cm² and −70 mV unless changed.
pub fn passive(cells: usize, place: &Place, change: impl FnOnce(&mut ConductanceConfig)) -> Cells {
    let mut config = ConductanceConfig {
        cells,
        parameters: TableParameters(ChannelTable::new(1.0, (0.1, -70.0), [])),
        ..Default::default()
    };
    config.initial.insert("v".into(), Values::One(-70.0));
    change(&mut config);
    config.init(Arc::new(BackwardEuler), place).unwrap()
}
