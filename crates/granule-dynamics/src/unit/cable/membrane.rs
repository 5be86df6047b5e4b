//! The membrane of a cable.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};

use crate::model::Model;
use crate::unit::{CellField, Cells};
use crate::{DynamicsError, Place, State};

/// Indices on a device.
pub(super) fn indices(values: impl IntoIterator<Item = i64>, place: &Place) -> Tensor<1, Int> {
    let values: Vec<i64> = values.into_iter().collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &place.device)
}

/// Membranes of many compartments, of which those of one region have the same parameters.
#[derive(Module, Debug)]
pub struct Regions {
    /// A cell for each region.
    pub cells: Cells,
    /// The region of each compartment.
    #[module(skip)]
    of_compartments: Arc<[i64]>,
}

impl Regions {
    pub(super) fn new(cells: Cells, of_compartments: Vec<i64>) -> Self {
        Self {
            cells,
            of_compartments: of_compartments.into(),
        }
    }

    fn columns(&self, place: &Place) -> Tensor<1, Int> {
        indices(self.of_compartments.iter().copied(), place)
    }

    /// The equations without the cable.
    pub(super) fn field(&self) -> Result<CellField, DynamicsError> {
        self.cells.field_over(&self.columns(&self.cells.place()))
    }

    /// The same of some of the compartments.
    pub(super) fn field_at(&self, compartments: &[usize]) -> Result<CellField, DynamicsError> {
        let regions = compartments
            .iter()
            .filter_map(|at| self.of_compartments.get(*at).copied());
        self.cells
            .field_over(&indices(regions, &self.cells.place()))
    }

    /// C, µF/cm²: `[1, 1]`, or `[1, compartments]`.
    pub(super) fn capacitance(&self, place: &Place) -> Result<Tensor<2>, DynamicsError> {
        let capacitance = self.cells.capacitance()?;
        Ok(self.spread(place.full(0.0, [1, 1]) + &capacitance))
    }

    /// A parameter of the cable for each compartment, where it has fewer values, `[1, values]`.
    pub(super) fn spread(&self, values: Tensor<2>) -> Tensor<2> {
        match values.dims()[1] {
            1 => values,
            _ => values.select(1, self.columns(&self.cells.place())),
        }
    }

    /// The state at the beginning, a column for each compartment.
    pub(super) fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let columns = self.columns(&self.cells.place());
        let state = self.cells.initial_state(batch)?;
        Ok(state.map(|x| x.select(1, columns.clone())))
    }
}
