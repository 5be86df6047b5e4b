//! The step of a cable: gates first, then all potentials at once.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};
use granule_ops::{CableStep, ImplicitScheme, Tree, tree_solve};

use super::geometry::{Geometry, Node};
use super::membrane::Regions;
use super::scheme::CableScheme;
use crate::model::{Clock, Dynamics, Field, Input, Linear, Model, Span};
use crate::quantity::{Constant, Quantity};
use crate::solver::linear::update_groups;
use crate::unit::CellField;
use crate::{DynamicsError, Place, State, Variable};

pub(super) const NAME: &str = "cable";

/// Cells of many compartments, joined to trees: C dv/dt = I_membrane + u + Σ_j g_ij(v_j − v_i)/A_i, where g_ij is the
/// conductance between the middles of two cylinders and A_i the area of the membrane; ends are sealed. Sections of a
/// [`CableCellConfig`](super::CableCellConfig) meet in points, which have no membrane.
///
/// The step is that of cell simulators: gates by the exponential update, then all potentials at once by an implicit step,
/// one linear system on a tree (Hines 1984), in time linear in the number of compartments.
///
/// Input: current density, µA/cm², a column for each compartment; [`density`](Self::density) makes one of a current at a
/// point. State: that of the membrane, a column for each compartment.
#[derive(Module, Debug)]
pub struct Cable {
    /// The membrane of each compartment.
    pub membrane: Regions,
    /// R_i, Ωcm.
    pub axial_resistivity: Constant,
    /// Where the module lives; it follows the module to other devices and off the tape.
    pub(super) origin: Tensor<2>,
    #[module(skip)]
    pub(super) geometry: Arc<Geometry>,
    #[module(skip)]
    scheme: CableScheme,
}

/// One value for all compartments, or one for each, with a 1 for each point.
fn with_points(values: Tensor<2>, geometry: &Geometry, place: &Place) -> Tensor<2> {
    match geometry.points() {
        0 => values,
        points => {
            let values = values.expand([1, geometry.compartments()]);
            Tensor::cat(vec![values, place.full(1.0, [1, points])], 1)
        }
    }
}

impl Cable {
    pub(super) fn new(
        membrane: Regions,
        axial_resistivity: Constant,
        (geometry, scheme): (Geometry, CableScheme),
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let field = membrane.field()?;
        if field.groups().last().map(Vec::as_slice) != Some(&[0]) {
            return Err(DynamicsError::Unsupported {
                solver: NAME.into(),
                needed:
                    "a membrane with its potential, the first variable, in a last group of its own"
                        .into(),
                model: field.name().into(),
                instead: "another membrane".into(),
            });
        }
        Ok(Self {
            membrane,
            axial_resistivity,
            origin: place.full(0.0, [1, 1]),
            geometry: Arc::new(geometry),
            scheme,
        })
    }

    /// The current density, µA/cm², `[1, compartments]`, of a current in nA that enters one compartment.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] where there are fewer compartments.
    pub fn density(&self, compartment: usize, current: f64) -> Result<Tensor<2>, DynamicsError> {
        let compartments = self.geometry.compartments();
        let Some(area) = self.geometry.areas.get(compartment) else {
            let allowed = format!("below {compartments}");
            return Err(DynamicsError::config("compartment", compartment, allowed));
        };
        let mut density = vec![0.0; compartments];
        density[compartment] = current * 1e-3 / area;
        Ok(Place::of(&self.origin).tensor(density, [1, compartments]))
    }

    /// The couplings of every node, 1/ms: of the node to its parent, of the parent to the node, and the sum of all of each node.
    fn couplings(&self, tree: &Tree, place: &Place) -> Result<[Tensor<2>; 3], DynamicsError> {
        let geometry = &self.geometry;
        let nodes = geometry.nodes.len();
        let row = |values: Vec<f64>| place.tensor::<2>(values, [1, nodes]);
        let indices = (0..nodes).map(|node| tree.parent(node) as i64).collect();
        let parents = TensorData::new(indices, [nodes]);
        let parents = Tensor::<1, Int>::from_data(parents, &place.device);

        let capacitance = self.membrane.capacitance(place)?;
        let capacitance = with_points(capacitance, geometry, place);
        let of_parent = match capacitance.dims()[1] {
            1 => capacitance.clone(),
            _ => capacitance.clone().select(1, parents.clone()),
        };
        let resistivity = match self.axial_resistivity.quantity() {
            Quantity::Tensor(values) => Quantity::Tensor(self.membrane.spread(values)),
            number => number,
        };

        let weights = geometry.weights();
        let above = |node: usize| weights[tree.parent(node)];
        let uniform = match &resistivity {
            Quantity::Tensor(values) => values.dims()[1] == 1,
            Quantity::Number(_) => true,
        };
        if uniform {
            let conductances = geometry.nodes.iter().map(|node| node.conductance());
            let conductances: Vec<f64> = conductances.collect();
            let each = conductances.iter().enumerate();
            let from_parent: Vec<f64> = each.clone().map(|(i, g)| g / weights[i]).collect();
            let from_child: Vec<f64> = each.map(|(i, g)| g / above(i)).collect();
            let mut total = from_parent.clone();
            for (index, node) in geometry.nodes.iter().enumerate() {
                if let Some(parent) = node.parent {
                    total[parent] += from_child[index];
                }
            }
            let per_resistivity = resistivity.reciprocal();
            let rate = |coupling: Vec<f64>, capacitance: Tensor<2>| {
                row(coupling) / capacitance * &per_resistivity
            };
            return Ok([
                rate(from_parent, capacitance.clone()),
                rate(from_child, of_parent),
                rate(total, capacitance),
            ]);
        }
        let resistivity = place.full(0.0, [1, 1]) + &resistivity;
        let resistivity = with_points(resistivity, geometry, place);
        let beyond = resistivity.clone().select(1, parents.clone());
        let joined = |node: &Node| f64::from(u8::from(node.parent.is_some()));
        let of_nodes =
            |value: &dyn Fn(&Node) -> f64| row(geometry.nodes.iter().map(value).collect());
        let resistance = resistivity * of_nodes(&|node| node.own)
            + beyond * of_nodes(&|node| node.beyond)
            + of_nodes(&|node| 1.0 - joined(node));
        let conductance = of_nodes(&|node| 1e3 * joined(node)) / resistance;
        let above = row((0..nodes).map(above).collect());
        let from_parent = conductance.clone() / (row(weights.clone()) * capacitance);
        let from_child = conductance / (above * of_parent);
        let total = from_parent.clone().expand([1, nodes]).select_assign(
            1,
            parents,
            from_child.clone(),
            IndexingUpdateOp::Add,
        );
        Ok([from_parent, from_child, total])
    }
}

impl Model for Cable {
    type Dynamics = CableDynamics;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        let place = Place::of(&self.origin);
        let tree = self.geometry.tree().ok_or_else(|| {
            let allowed = "each joined to another, and not in a circle";
            DynamicsError::config("cable.compartments", "parents", allowed)
        })?;
        let couplings = Tensor::cat(self.couplings(&tree, &place)?.to_vec(), 0);
        let field = self.membrane.field()?;
        let compartments = self.geometry.compartments();
        let scheme = match self.scheme {
            CableScheme::BackwardEuler => ImplicitScheme::BackwardEuler,
            CableScheme::CrankNicolson => ImplicitScheme::CrankNicolson,
        };
        let joint = (&tree, &couplings);
        Ok(CableDynamics {
            fused: CableStep::new(compartments, &field.membrane(), joint, scheme),
            field,
            couplings,
            tree,
            compartments,
            scheme: self.scheme,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        self.membrane.initial_state(batch)
    }
}

/// [`Cable`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct CableDynamics {
    /// The membrane.
    field: CellField,
    /// A whole step as one operation, where there is one.
    pub(super) fused: Option<CableStep>,
    tree: Tree,
    /// g/(A·C), 1/ms, for the parent in a node's equation and for the node in its parent's, and Σg/(A·C), `[3, n]`.
    couplings: Tensor<2>,
    /// The first nodes; the others are points.
    compartments: usize,
    scheme: CableScheme,
}

impl CableDynamics {
    /// The potentials after `dt`, those of the membrane's linear form and of the cable at the end of the step:
    /// (1 + dt(decay + Σg/AC)) v′ᵢ − dt Σ g/AC v′ⱼ = v + dt·drive, and Σ g (v′ₚ − v′ⱼ) = 0 at a point.
    fn implicit(&self, linear: &Linear, v: Tensor<2>, dt: f64) -> Tensor<2> {
        let own = self.compartments;
        let points = self.tree.len() - own;
        let edges = self.couplings.clone().narrow(0, 0, 2) * -dt;
        let total = self.couplings.clone().narrow(0, 2, 1);
        let known = v + linear.drive.clone() * dt;
        let dims = known.dims();
        if points == 0 {
            let diagonal = (linear.decay.clone() + total) * dt + 1.0;
            return tree_solve(diagonal.expand(dims), edges, known, &self.tree);
        }
        let meeting = total.clone().narrow(1, own, points) * dt;
        let total = total.narrow(1, 0, own);
        let diagonal = (linear.decay.clone() + total) * dt + 1.0;
        let meeting = meeting.expand([dims[0], points]);
        let nothing = meeting.zeros_like();
        let diagonal = Tensor::cat(vec![diagonal.expand(dims), meeting], 1);
        let known = Tensor::cat(vec![known, nothing], 1);
        tree_solve(diagonal, edges, known, &self.tree).narrow(1, 0, own)
    }
}

impl CableDynamics {
    /// The fused operation, if it takes this state: a variable that the rows of the batch share is broadcast by the composed
    /// step.
    fn fused(&self, state: &State) -> Option<&CableStep> {
        let dims = state[0].dims();
        let alike = state.tensors().iter().all(|x| x.dims() == dims);
        self.fused.as_ref().filter(|_| alike)
    }

    /// The potentials of some compartments where something is seen, and the last state, as
    /// [`course`](Dynamics::course) gives them; the input is that of all steps, or that of each.
    pub(super) fn course_of(
        &self,
        span: &Span,
        state: &State,
        (constant, inputs): (Option<&Tensor<2>>, &[Tensor<2>]),
        columns: Vec<usize>,
    ) -> Option<(Tensor<3>, State)> {
        let fused = self.fused(state)?;
        let inflows = inputs.iter().map(|input| self.field.inflow(Some(input)));
        let course = span.course(columns, inflows.collect::<Option<_>>()?, None)?;
        let ran = fused.course(state.tensors(), self.field.inflow(constant), course)?;
        Some((ran.seen, State::new(ran.state)))
    }
}

impl Dynamics for CableDynamics {
    fn name(&self) -> &str {
        NAME
    }

    fn variables(&self) -> &[Variable] {
        self.field.variables()
    }

    fn step(
        &self,
        at: Clock,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Result<State, DynamicsError> {
        self.field.check_input(state, input)?;
        if let Some(fused) = self.fused(state) {
            let next = fused.step(state.tensors(), self.field.inflow(input), at.dt);
            return Ok(State::new(next));
        }
        let moved = |linear: &Linear, v: Tensor<2>| match self.scheme {
            CableScheme::BackwardEuler => self.implicit(linear, v, at.dt),
            // Half a step, and as much again.
            CableScheme::CrankNicolson => self.implicit(linear, v.clone(), 0.5 * at.dt) * 2.0 - v,
        };
        let end = at.time + at.dt;
        let update = |last: bool, linear: &Linear, x: Tensor<2>| {
            if last {
                moved(linear, x)
            } else {
                linear.relax(x, at.dt)
            }
        };
        let next = update_groups(NAME, &self.field, at, state, input, update)?;
        Ok(self.field.after_step(end, state, next))
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
        for input in &inputs {
            self.field.check_input(state, Some(input))?;
        }
        let columns = (0..self.compartments).collect();
        Ok(self.course_of(span, state, (None, &inputs), columns))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.field.observe(state)
    }
}
