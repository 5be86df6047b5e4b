//! Cells of many compartments as a module.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Int, Tensor};

use super::membrane::indices;
use super::site::SiteDistances;
use super::solve::{Cable, CableDynamics};
use crate::model::{Clock, Dynamics, Field, Input, Model, Span};
use crate::quantity::{Constant, Quantity};
use crate::state::is_tracked;
use crate::unit::population::Population;
use crate::unit::{CellField, Observed};
use crate::{DynamicsError, Place, State, Variable};

/// The compartments in which currents enter and which are recorded, with the names of the latter.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) entered: Vec<usize>,
    pub(super) recorded: Vec<usize>,
    pub(super) labels: Arc<[String]>,
    /// How far each of the latter is from all of them; none of several cells.
    pub(super) distances: Vec<SiteDistances>,
}

/// Cells of many compartments with the sites at which currents enter and they are recorded; see
/// [`CableCellConfig`](super::CableCellConfig).
///
/// Input: currents in nA, `[batch, sites]` with a column for each stimulus site, cell after cell; `[batch, 1]`, the same at
/// all; or `[batch, 2·sites]`, where other models act as well: a column for each site, then the current of their synapses at
/// each, which is added. One row does for a whole batch.
#[derive(Module, Debug)]
pub struct CableCell {
    /// The compartments.
    pub cable: Cable,
    /// The constant part of the current at the stimulus sites, nA.
    pub current: Constant,
    #[module(skip)]
    places: Arc<Places>,
}

impl CableCell {
    pub(super) fn new(cable: Cable, current: Constant, places: Places) -> Self {
        Self {
            cable,
            current,
            places: Arc::new(places),
        }
    }

    /// How many compartments all cells have.
    pub fn compartments(&self) -> usize {
        self.cable.geometry.compartments()
    }
}

impl Population for CableCell {
    fn constants(&self) -> Vec<(&'static str, &Constant)> {
        let own = ("axial_resistivity", &self.cable.axial_resistivity);
        let membrane = self.cable.membrane.cells.parameters.iter();
        membrane.chain([own]).collect()
    }

    fn current(&self) -> (&Constant, &'static str) {
        (&self.current, "nA")
    }

    fn initial_values(&self) -> Vec<(&'static str, &Constant)> {
        self.cable.membrane.cells.initial_values()
    }

    fn section(&self) -> &'static str {
        "unit"
    }

    fn observed(&self) -> Observed {
        Observed::Voltage
    }

    fn inputs(&self) -> Option<usize> {
        Some(self.places.entered.len())
    }

    /// Those at the record sites, and not those of every compartment.
    fn shown(&self, all: usize) -> usize {
        all / 2
    }

    fn distances(&self) -> &[SiteDistances] {
        &self.places.distances
    }
}

impl Model for CableCell {
    type Dynamics = CableCellDynamics;

    fn dynamics(&self) -> Result<CableCellDynamics, DynamicsError> {
        let place = self.cable.membrane.cells.place();
        let cable = self.cable.dynamics()?;
        let compartments = self.compartments();
        let inner = cable.variables();
        let shown = inner.iter().map(|variable| {
            let width = self.places.recorded.len();
            let labels = self.places.labels.clone();
            let own = Variable {
                width,
                ..variable.clone()
            };
            own.labelled(labels)
        });
        let all = inner.iter().map(|variable| Variable {
            name: format!("{}_all", variable.name),
            ..variable.clone()
        });
        let variables = shown.chain(all).collect();
        let membrane = self.cable.membrane.field_at(&self.places.recorded)?;
        let currents = membrane.currents().iter().cloned();
        let currents = currents
            .map(|current| current.labelled(self.places.labels.clone()))
            .collect();
        let mut entries = vec![0; compartments];
        let mut densities = vec![0.0; compartments];
        for (entry, compartment) in self.places.entered.iter().enumerate() {
            entries[*compartment] = entry as i64;
            densities[*compartment] = 1e-3 / self.cable.geometry.areas[*compartment];
        }
        let recorded = self.places.recorded.iter().map(|at| *at as i64);
        let on = |place: &Place| Entries {
            of_compartments: indices(entries.iter().copied(), place),
            densities: place.tensor(densities.clone(), [1, compartments]),
        };
        let entries = on(&place);
        let current = self.current.quantity();
        let constant = match &current {
            Quantity::Number(0.0) => None,
            current => Some(entries.density(place.full(0.0, [1, 1]) + current)),
        };
        let plain = Place {
            device: place.device.clone().without_autodiff(),
            dtype: place.dtype,
        };
        Ok(CableCellDynamics {
            shown: inner.len(),
            variables,
            membrane,
            currents,
            recorded: indices(recorded, &place),
            sites: self.places.recorded.clone(),
            plain: on(&plain),
            entries,
            inputs: self.places.entered.len(),
            current,
            constant,
            cable,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let place = self.cable.membrane.cells.place();
        let recorded = self.places.recorded.iter().map(|at| *at as i64);
        let own = self.cable.initial_state(batch)?;
        Ok(with_sites(own, &indices(recorded, &place)))
    }
}

/// The state at the record sites, then that of all compartments.
fn with_sites(own: State, recorded: &Tensor<1, Int>) -> State {
    let sites = own.clone().map(|x| x.select(1, recorded.clone()));
    let all = sites.into_tensors().into_iter();
    State::new(all.chain(own.into_tensors()).collect())
}

/// [`CableCell`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct CableCellDynamics {
    pub(super) cable: CableDynamics,
    variables: Vec<Variable>,
    /// How many of the variables are those at the record sites.
    shown: usize,
    /// At the record sites.
    membrane: CellField,
    currents: Vec<Variable>,
    recorded: Tensor<1, Int>,
    /// The same.
    sites: Vec<usize>,
    entries: Entries,
    /// The same off the tape, for inputs that are off it.
    plain: Entries,
    inputs: usize,
    current: Quantity,
    /// The density of the constant current alone, µA/cm².
    constant: Option<Tensor<2>>,
}

/// Where currents enter.
#[derive(Clone, Debug)]
struct Entries {
    /// The current that enters each compartment, if one does.
    of_compartments: Tensor<1, Int>,
    /// The density that 1 nA is in each compartment that a current enters, µA/cm², and 0 in the others, `[1, compartments]`.
    densities: Tensor<2>,
}

impl Entries {
    /// µA/cm² in every compartment, of nA at every site, or the same at all.
    fn density(&self, current: Tensor<2>) -> Tensor<2> {
        let current = match current.dims()[1] {
            1 => current,
            _ => current.select(1, self.of_compartments.clone()),
        };
        current * self.densities.clone()
    }
}

impl CableCellDynamics {
    /// The current density of every compartment, µA/cm², of an input in nA.
    fn density(
        &self,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<Option<Tensor<2>>, DynamicsError> {
        let Some(input) = input else {
            return Ok(self.constant.clone());
        };
        let [rows, columns] = input.dims();
        let batch = state[0].dims()[0];
        let fits = (rows == 1 || rows == batch)
            && (columns == self.inputs || columns == 2 * self.inputs || columns == 1);
        if !fits {
            return Err(DynamicsError::Shape {
                what: "the input of a cable, nA at each stimulus site (or in one column for all of them, or for each and \
                       then from synapses for each),"
                    .into(),
                expected: vec![batch, self.inputs],
                found: vec![rows, columns],
            });
        }
        let taped = self.current.is_tracked() || is_tracked(input);
        let (input, current, entries) = if taped {
            (input.clone(), self.current.clone(), &self.entries)
        } else {
            let (input, current) = (input.clone(), self.current.without_autodiff());
            (crate::state::plain(input), current, &self.plain)
        };
        let input = if columns == 2 * self.inputs {
            let synaptic = input.clone().narrow(1, self.inputs, self.inputs);
            input.narrow(1, 0, self.inputs) + synaptic
        } else {
            input
        };
        Ok(Some(entries.density(input + &current)))
    }
}

impl Dynamics for CableCellDynamics {
    fn name(&self) -> &str {
        self.cable.name()
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        let density = self.density(state, input)?;
        let all = state.tensors().get(self.shown..).unwrap_or_default();
        let own = State::new(all.to_vec());
        let next = self.cable.step(at, &own, density.as_ref())?;
        Ok(with_sites(next, &self.recorded))
    }

    fn course(
        &self,
        span: &Span,
        state: &State,
        input: &dyn Input,
    ) -> Result<Option<(Tensor<3>, State)>, DynamicsError> {
        let Some(inputs) = span.inputs(input) else {
            return Ok(None);
        };
        let inputs = inputs.iter().map(|input| self.density(state, Some(input)));
        let inputs: Option<Vec<Tensor<2>>> = inputs.collect::<Result<_, _>>()?;
        let all = state.tensors().get(self.shown..).unwrap_or_default();
        let own = State::new(all.to_vec());
        let given = (self.constant.as_ref(), &inputs.unwrap_or_default()[..]);
        let course = self.cable.course_of(span, &own, given, self.sites.clone());
        Ok(course.map(|(seen, last)| (seen, with_sites(last, &self.recorded))))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        state[0].clone()
    }

    /// Those of the membrane at the record sites.
    fn currents(&self) -> &[Variable] {
        &self.currents
    }

    fn currents_of(&self, state: &State) -> Vec<Tensor<2>> {
        let sites = state.tensors().iter().take(self.shown).cloned();
        self.membrane.currents_of(&State::new(sites.collect()))
    }
}
