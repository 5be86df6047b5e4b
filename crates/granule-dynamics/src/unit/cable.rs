use std::collections::BTreeMap;
use std::f64::consts::{FRAC_PI_4, PI};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Int, Tensor, TensorData};
use granule_ops::{Tree, tree_solve};
use serde::{Deserialize, Serialize};

use super::setting::{Constant, Settings};
use super::{Cells, Passive};
use crate::model::{Clock, Dynamics, Field, Linear, Model};
use crate::setting::Range;
use crate::solver::linear::update_groups;
use crate::{Bounds, DynamicsError, Place, State, Values, Variable};

const NAME: &str = "cable";

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
        let axial_resistivity = self.settings().init("axial_resistivity", 1, place)?;
        Ok(Cable {
            membrane,
            axial_resistivity,
            origin: place.full(0.0, [1, 1]),
            compartments: self.compartments.clone(),
            scheme: self.scheme,
        })
    }
}

/// A membrane that a cable can be made of: [`Passive`], or any of the conductance-based [`Cells`], with as many cells as
/// the cable has compartments.
pub trait Membrane: Model + ModuleDisplay {
    /// The equations without the cable.
    type Field: Field;

    /// Takes the parameters' values.
    fn field(&self) -> Self::Field;

    /// C, µF/cm²: `[1, 1]`, or `[1, compartments]`.
    fn capacitance(&self, place: &Place) -> Tensor<2>;
}

impl Membrane for Passive {
    type Field = super::PassiveField;

    fn field(&self) -> Self::Field {
        self.field()
    }

    fn capacitance(&self, place: &Place) -> Tensor<2> {
        let capacitance = self.parameters.capacitance.quantity();
        capacitance.shift(place.full(0.0, [1, 1]))
    }
}

impl Membrane for Cells {
    type Field = super::CellField;

    fn field(&self) -> Self::Field {
        self.field()
    }

    fn capacitance(&self, place: &Place) -> Tensor<2> {
        self.capacitance().shift(place.full(0.0, [1, 1]))
    }
}

/// Cells of many compartments, joined to trees: C dv/dt = I_membrane + u + Σ_j g_ij(v_j − v_i)/A_i, where g_ij is the
/// conductance between the middles of two cylinders and A_i the area of the membrane. What hangs on one compartment
/// is joined to its middle by half a cylinder on either side; ends are sealed.
///
/// The step is that of cell simulators: gates by the exponential update, then all potentials at once by an implicit step,
/// one linear system on a tree (Hines 1984), in time linear in the number of compartments.
///
/// Input: current density, µA/cm², as the membrane takes it; [`density`](Self::density) makes one of a current at a
/// point. State: that of the membrane, a column for each compartment.
#[derive(Module, Debug)]
pub struct Cable<M: Module> {
    /// The membrane of each compartment.
    pub membrane: M,
    /// R_i, Ωcm.
    pub axial_resistivity: Constant,
    /// Where the module lives; it follows the module to other devices and off the tape.
    origin: Tensor<2>,
    #[module(skip)]
    compartments: Vec<Compartment>,
    #[module(skip)]
    scheme: CableScheme,
}

impl<M: Membrane> Cable<M> {
    /// The current density, µA/cm², `[1, compartments]`, of a current in nA that enters one compartment.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a compartment that there is not.
    pub fn density(&self, compartment: usize, current: f64) -> Result<Tensor<2>, DynamicsError> {
        let Some(cylinder) = self.compartments.get(compartment) else {
            let allowed = format!("below {}", self.compartments.len());
            return Err(DynamicsError::config("compartment", compartment, allowed));
        };
        let mut density = vec![0.0; self.compartments.len()];
        density[compartment] = current * 1e-3 / cylinder.area();
        Ok(Place::of(&self.origin).tensor(density, [1, self.compartments.len()]))
    }

    /// Between a compartment and its parent, times the resistivity over the areas of either, mS/cm²·Ωcm: what the
    /// compartment takes from its parent, and what the parent takes from it. 0 for a root.
    fn couplings(&self) -> (Vec<f64>, Vec<f64>) {
        let coupling = |compartment: &Compartment| match compartment.parent {
            Some(parent) => {
                let parent = &self.compartments[parent];
                let conductance = 1e3 / (compartment.half() + parent.half());
                (
                    conductance / compartment.area(),
                    conductance / parent.area(),
                )
            }
            None => (0.0, 0.0),
        };
        self.compartments.iter().map(coupling).unzip()
    }
}

impl<M: Membrane> Model for Cable<M> {
    type Dynamics = CableDynamics<M::Field>;

    fn dynamics(&self) -> Result<Self::Dynamics, DynamicsError> {
        let place = Place::of(&self.origin);
        let nodes = self.compartments.len();
        let parents: Vec<Option<usize>> = self.compartments.iter().map(|c| c.parent).collect();
        let tree = Tree::new(&parents).ok_or_else(|| {
            let allowed = "each after the one that it is joined to";
            DynamicsError::config("cable.compartments", "parents", allowed)
        })?;
        let (from_parent, from_child) = self.couplings();
        let mut total = from_parent.clone();
        for (child, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                total[*parent] += from_child[child];
            }
        }
        let capacitance = self.membrane.capacitance(&place);
        let of_parent = match capacitance.dims()[1] {
            1 => capacitance.clone(),
            _ => {
                let parents = (0..nodes).map(|node| tree.parent(node) as i64);
                let parents = TensorData::new(parents.collect(), [nodes]);
                let device = &place.device;
                let parents = Tensor::<1, Int>::from_data(parents, device);
                capacitance.clone().select(1, parents)
            }
        };
        let per_resistivity = self.axial_resistivity.quantity().reciprocal();
        let rate = |coupling: Vec<f64>, capacitance: Tensor<2>| {
            let coupling = place.tensor::<2>(coupling, [1, nodes]);
            per_resistivity.scale(coupling / capacitance)
        };
        let edges = vec![
            rate(from_parent, capacitance.clone()),
            rate(from_child, of_parent),
        ];
        Ok(CableDynamics {
            field: self.membrane.field(),
            edges: Tensor::cat(edges, 0).neg(),
            total: rate(total, capacitance),
            tree,
            scheme: self.scheme,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        self.membrane.initial_state(batch)
    }
}

/// [`Cable`] with its parameters' values.
#[derive(Clone, Debug)]
pub struct CableDynamics<F> {
    /// The membrane.
    field: F,
    tree: Tree,
    /// −g/(A·C), 1/ms, for the parent in a compartment's equation and for the compartment in its parent's, `[2, n]`.
    edges: Tensor<2>,
    /// Σg/(A·C), 1/ms, `[1, n]`.
    total: Tensor<2>,
    scheme: CableScheme,
}

impl<F: Field> CableDynamics<F> {
    /// The potentials after `dt`, those of the membrane's linear form and of the cable at the end of the step:
    /// (1 + dt(decay + Σg/AC)) v′ᵢ − dt Σ g/AC v′ⱼ = v + dt·drive.
    fn implicit(&self, linear: &Linear, v: Tensor<2>, dt: f64) -> Tensor<2> {
        let diagonal = (linear.decay.clone() + self.total.clone()) * dt + 1.0;
        let known = v + linear.drive.clone() * dt;
        let dims = known.dims();
        tree_solve(
            diagonal.expand(dims),
            self.edges.clone() * dt,
            known,
            &self.tree,
        )
    }
}

impl<F: Field> Dynamics for CableDynamics<F> {
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
        let update = |last: bool, linear: &Linear, x: Tensor<2>| match (last, self.scheme) {
            (false, _) => linear.relax(x, at.dt),
            (true, CableScheme::BackwardEuler) => self.implicit(linear, x, at.dt),
            // Half a step, and as much again.
            (true, CableScheme::CrankNicolson) => {
                self.implicit(linear, x.clone(), 0.5 * at.dt) * 2.0 - x
            }
        };
        let next = update_groups(NAME, &self.field, at, state, input, update)?;
        Ok(self.field.settle(at.time + at.dt, state, next))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.field.observe(state)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::differences::assert_gradient;
    use crate::host;
    use crate::model;
    use crate::simulate::{Grid, record};
    use crate::solver::{BackwardEuler, Stepped};
    use crate::testing::{assert_close, f32_places, f64_autodiff, f64_places};
    use crate::unit::{HodgkinHuxleyConfig, PassiveConfig, PassiveInitial, PassiveParameters};

    /// Reference numbers, section 5: d = 1 µm, L = 300 µm, R_i = 150 Ωcm, g_L = 1e-4 S/cm².
    fn finite(compartments: usize, place: &Place) -> Cable<Passive> {
        let membrane = PassiveConfig {
            cells: compartments,
            ..Default::default()
        };
        let membrane = membrane.init(Arc::new(BackwardEuler), place).unwrap();
        let cable = CableConfig::cylinder(300.0, 1.0, compartments);
        cable.init(membrane, place).unwrap()
    }

    fn run<M: Membrane>(
        cable: &Cable<M>,
        density: Tensor<2>,
        (dt, steps): (f64, usize),
    ) -> Vec<f64> {
        let grid = Grid::Uniform {
            start: 0.0,
            dt,
            steps,
        };
        let initial = cable.initial_state(1).unwrap();
        let dynamics = cable.dynamics().unwrap();
        let input = model::Constant(density);
        let (seen, _) = record(&dynamics, initial, &input, &grid).unwrap();
        host(seen).unwrap()
    }

    #[test]
    fn a_finite_cable_has_its_steady_profile_to_a_microvolt() {
        let compartments = 200;
        let (length, lambda) = (300.0, 408.2483);
        for (_, place) in f64_places() {
            let cable = finite(compartments, &place);
            // One implicit step without end is the steady state.
            let density = cable.density(0, 0.02).unwrap();
            let seen = run(&cable, density, (1e9, 1));
            let rise: Vec<f64> = seen[compartments..].iter().map(|v| v + 70.0).collect();
            for (index, rise) in rise.iter().enumerate() {
                let x = (index as f64 + 0.5) * length / compartments as f64;
                let shape = ((length - x) / lambda).cosh() / (length / lambda).cosh();
                assert_close(*rise, 24.909578 * shape, 1e-3 / 24.9);
            }
            // From the middle of the first compartment to its end the current meets r·h/2 = 150 Ωcm·h/2/(πd²/4).
            let half = 0.02 * 150.0 * 0.75 / FRAC_PI_4 * 1e-2;
            let [first, last] = [rise[0] + half, rise[compartments - 1]];
            assert!((first - 24.909578).abs() < 1e-3, "{first}");
            assert!((last - 19.424629).abs() < 1e-3, "{last}");
        }
    }

    #[test]
    fn single_precision_has_the_profile_too() {
        let exact = finite(12, &f64_places().swap_remove(0).1);
        let expected = run(&exact, exact.density(0, 0.02).unwrap(), (0.5, 6));
        for (name, place) in f32_places() {
            let cable = finite(12, &place);
            let found = run(&cable, cable.density(0, 0.02).unwrap(), (0.5, 6));
            for (found, expected) in found.into_iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-3,
                    "{name}: {found} {expected}"
                );
            }
        }
    }

    /// A root with two different branches, one of which branches again, and a cell apart.
    fn branched() -> CableConfig {
        let cylinder = |parent, length, diameter| Compartment {
            parent,
            length,
            diameter,
        };
        CableConfig {
            compartments: vec![
                cylinder(None, 20.0, 15.0),
                cylinder(Some(0), 60.0, 3.0),
                cylinder(Some(1), 80.0, 2.0),
                cylinder(Some(1), 50.0, 1.0),
                cylinder(Some(0), 100.0, 4.0),
                cylinder(None, 30.0, 10.0),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn what_enters_a_tree_leaves_through_its_membrane() {
        let place = f64_places().swap_remove(0).1;
        let config = branched();
        let membrane = PassiveConfig {
            cells: 6,
            parameters: PassiveParameters {
                capacitance: vec![1.0, 2.0, 0.5, 1.5, 1.0, 3.0].into(),
                g_l: vec![0.1, 0.2, 0.3, 0.1, 0.05, 0.1].into(),
                ..Default::default()
            },
            ..Default::default()
        };
        let g_l = membrane.parameters.g_l.clone();
        let membrane = membrane.init(Arc::new(BackwardEuler), &place).unwrap();
        let cable = config.init(membrane, &place).unwrap();
        let seen = run(&cable, cable.density(3, 0.1).unwrap(), (1e9, 1));
        let leaks: Vec<f64> = (0..6)
            .map(|i| {
                let area = config.compartments[i].area();
                g_l.as_slice()[i] * area * (seen[6 + i] + 70.0) * 1e3
            })
            .collect();
        assert_close(leaks.iter().sum(), 0.1, 1e-8);
        assert!(leaks[..5].iter().all(|leak| *leak > 1e-4), "{leaks:?}");
        assert!(leaks[5].abs() < 1e-9, "nothing reaches the other cell");
    }

    /// RK4 on the host with the couplings written out, in steps so small that it is exact to the digits compared.
    fn by_hand(config: &CableConfig, density: &[f64], until: f64) -> Vec<f64> {
        let cylinders = &config.compartments;
        let half = |c: &Compartment| c.length * 0.5e-4 / (PI / 4.0 * (c.diameter * 1e-4).powi(2));
        let slope = |v: &[f64]| {
            let leak = v.iter().zip(density).map(|(v, u)| 0.1 * (-70.0 - v) + u);
            let mut slope: Vec<f64> = leak.collect();
            for (i, child) in cylinders.iter().enumerate() {
                let Some(p) = child.parent else { continue };
                let current = 1e3 * (v[p] - v[i]) / (150.0 * (half(child) + half(&cylinders[p])));
                slope[i] += current / child.area();
                slope[p] -= current / cylinders[p].area();
            }
            slope
        };
        let add = |v: &[f64], k: &[f64], h: f64| -> Vec<f64> {
            v.iter().zip(k).map(|(v, k)| v + h * k).collect()
        };
        let steps = 8000;
        let h = until / f64::from(steps);
        let mut v = vec![-70.0; cylinders.len()];
        for _ in 0..steps {
            let k1 = slope(&v);
            let k2 = slope(&add(&v, &k1, h / 2.0));
            let k3 = slope(&add(&v, &k2, h / 2.0));
            let k4 = slope(&add(&v, &k3, h));
            for (k, weight) in [(k1, 1.0), (k2, 2.0), (k3, 2.0), (k4, 1.0)] {
                v = add(&v, &k, weight * h / 6.0);
            }
        }
        v
    }

    #[test]
    fn the_time_course_converges_in_the_order_of_the_scheme() {
        let place = f64_places().swap_remove(0).1;
        let schemes = [
            (CableScheme::BackwardEuler, 1.0),
            (CableScheme::CrankNicolson, 2.0),
        ];
        for (scheme, order) in schemes {
            let config = CableConfig {
                scheme,
                ..branched()
            };
            let membrane = PassiveConfig {
                cells: 6,
                ..Default::default()
            };
            let membrane = membrane.init(Arc::new(BackwardEuler), &place).unwrap();
            let cable = config.init(membrane, &place).unwrap();
            let density = cable.density(0, 0.5).unwrap();
            let expected = by_hand(&config, &host(density.clone()).unwrap(), 4.0);
            let error = |steps: usize| {
                let seen = run(&cable, density.clone(), (4.0 / steps as f64, steps));
                let last = seen[6 * steps..].iter().zip(&expected);
                last.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
            };
            let found = (error(320) / error(640)).log2();
            assert!((found - order).abs() < 0.15, "{scheme:?}: order {found}");
        }
    }

    #[test]
    fn one_compartment_is_a_cell() {
        let place = f64_places().swap_remove(0).1;
        let config = HodgkinHuxleyConfig {
            current: 10.0.into(),
            ..Default::default()
        };
        let cells = config.init(Arc::new(BackwardEuler), &place).unwrap();
        let cable = CableConfig::cylinder(10.0, 2.0, 1)
            .init(cells.clone(), &place)
            .unwrap();
        let grid = Grid::Uniform {
            start: 0.0,
            dt: 0.025,
            steps: 200,
        };
        let stepped: Stepped<_, _> = cells.dynamics().unwrap();
        let run = |dynamics: &dyn Dynamics| {
            let initial = cells.initial_state(1).unwrap();
            host(record(dynamics, initial, &crate::NoInput, &grid).unwrap().0).unwrap()
        };
        let (cell, cable) = (run(&stepped), run(&cable.dynamics().unwrap()));
        assert!(cell.iter().copied().fold(f64::MIN, f64::max) > 30.0);
        for (a, b) in cable.into_iter().zip(cell) {
            assert_close(a, b, 1e-12);
        }
    }

    #[test]
    fn a_spike_travels_along_an_axon() {
        let place = f64_places().swap_remove(0).1;
        let compartments = 30;
        let membrane = HodgkinHuxleyConfig {
            cells: compartments,
            ..Default::default()
        };
        let membrane = membrane.init(Arc::new(BackwardEuler), &place).unwrap();
        let cable = CableConfig {
            axial_resistivity: 35.4.into(),
            ..CableConfig::cylinder(30_000.0, 476.0, compartments)
        };
        let cable = cable.init(membrane, &place).unwrap();
        let density = cable.density(0, 10_000.0).unwrap();
        let seen = run(&cable, density, (0.02, 250));
        let arrival = |compartment: usize| {
            let mut rows = seen.chunks(compartments);
            rows.position(|v| v[compartment] > 0.0).unwrap() as f64 * 0.02
        };
        let times: Vec<f64> = (0..compartments).map(arrival).collect();
        assert!(times.windows(2).all(|pair| pair[1] >= pair[0]), "{times:?}");
        // The squid's giant axon of Hodgkin & Huxley (1952), 476 µm thick with R_i = 35.4 Ωcm, conducts at 18.8 m/s at
        // 18.5 °C and, with rates 3.8 times slower, at about 12 m/s at 6.3 °C.
        let speed = 10.0 / (times[20] - times[10]);
        assert!((10.0..15.0).contains(&speed), "{speed} m/s");
    }

    #[test]
    fn gradients_agree_with_differences() {
        let place = f64_autodiff();
        for scheme in [CableScheme::BackwardEuler, CableScheme::CrankNicolson] {
            let membrane = PassiveConfig {
                cells: 6,
                initial: PassiveInitial {
                    v: Some((-60.0).into()),
                },
                trainable: ["capacitance", "g_l", "e_l", "current", "v"]
                    .map(String::from)
                    .to_vec(),
                parameters: PassiveParameters {
                    capacitance: vec![1.0, 2.0, 0.5, 1.5, 1.0, 3.0].into(),
                    ..Default::default()
                },
                ..Default::default()
            };
            let membrane = membrane.init(Arc::new(BackwardEuler), &place).unwrap();
            let config = CableConfig {
                scheme,
                trainable: vec!["axial_resistivity".into()],
                ..branched()
            };
            let cable = config.init(membrane, &place).unwrap();
            let input = model::Constant(cable.density(2, 0.2).unwrap());
            let loss = |seen: Tensor<3>| (seen * 0.3).cos().mean();
            assert_gradient(&cable, &input, (0.3, 12), loss, 1e-5, 1e-6);
        }
    }

    #[test]
    fn settings_without_sense_are_refused() {
        let refused = |change: fn(&mut CableConfig)| {
            let mut config = branched();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        let error = refused(|c| c.compartments[2].parent = Some(2));
        assert!(
            error.contains("cable.compartments[2].parent = 2"),
            "{error}"
        );
        assert!(refused(|c| c.compartments[1].length = 0.0).contains("compartments[1].length = 0"));
        assert!(refused(|c| c.compartments[4].diameter = -1.0).contains("[4].diameter = -1"));
        assert!(refused(|c| c.compartments.clear()).contains("compartments"));
        assert!(refused(|c| c.axial_resistivity = 0.0.into()).contains("axial_resistivity = 0"));
        assert!(refused(|c| c.axial_resistivity = vec![1.0; 6].into()).contains("[6 values]"));
        assert!(refused(|c| c.trainable = vec!["radius".into()]).contains("trainable = radius"));

        let place = f64_places().swap_remove(0).1;
        let membrane = |cells| PassiveConfig {
            cells,
            ..Default::default()
        };
        let five = membrane(5).init(Arc::new(BackwardEuler), &place).unwrap();
        let error = branched().init(five, &place).unwrap_err().to_string();
        assert!(error.contains("expected [6]"), "{error}");
        let six = membrane(6).init(Arc::new(BackwardEuler), &place).unwrap();
        let cable = branched().init(six, &place).unwrap();
        assert!(
            cable
                .density(6, 1.0)
                .unwrap_err()
                .to_string()
                .contains("compartment = 6")
        );
        let mut negative = membrane(6);
        negative.parameters.capacitance = (-1.0).into();
        assert!(
            negative
                .validate()
                .unwrap_err()
                .to_string()
                .contains("capacitance = -1")
        );
    }
}
