//! A circuit as a Burn module.

use burn::module::Module;
use burn::tensor::Tensor;
use granule_io::budget;

use super::CircuitConfig;
use super::gap::{self, GapJunctions};
use super::plan::{Drawn, Kind, LinkKind, Plan};
use super::population::{Cell, PopulationConfig};
use super::projection::{Wired, field, pairs_of};
use super::source::Source;
use super::step::{BoundRates, CircuitDynamics};
use crate::model::{Dynamics, Model};
use crate::plasticity::{
    PlasticConnection, Rule, Rules, ShortTermPlasticity, Signal, plastic_variables,
};
use crate::population::Activation;
use crate::synapse::Weights;
use crate::unit::UnitModel;
use crate::{Bounds, DynamicsError, NormalNoise, Parameter, Place, State, Variable};

/// Units of a rate, τ dx/dt = −x + input, that send r(x).
#[derive(Module, Debug)]
pub struct RateUnits {
    /// τ, ms.
    pub time_constant: Parameter,
    /// The constant part of the input.
    pub current: Parameter,
    /// x at the beginning.
    pub initial: Parameter,
    #[module(skip)]
    transfer: Activation,
}

/// Connections of all pairs whose weights change.
#[derive(Module, Debug)]
pub struct PlasticWeights {
    /// The rules.
    pub rules: Rules,
    /// `[pre, post]` at the beginning; 0 where there is no connection.
    pub weights: Tensor<2>,
    /// 1 where there is a connection, `[1, pre·post]`; none where there is one everywhere.
    pub connected: Option<Tensor<2>>,
}

/// Connections with depression and facilitation.
#[derive(Module, Debug)]
pub struct Facilitating {
    /// What is transmitted.
    pub short_term: ShortTermPlasticity,
    /// The weights.
    pub weights: Weights,
}

/// Populations and projections. See the [module](super).
///
/// Input: the currents into the populations that say `external = true`, `[batch or 1, cells of all of them]`. State: the variables
/// of the populations, as `excitatory.v`, what their synapses have open, weights and traces of plastic projections, then the
/// spikes on their way.
#[derive(Module, Debug)]
pub struct Circuit {
    /// The neurons.
    pub neurons: Vec<UnitModel>,
    /// The units of rates.
    pub rates: Vec<RateUnits>,
    /// The weights, one matrix for each kind of synapse.
    pub matrices: Vec<Weights>,
    /// Weights that change.
    pub plastic: Vec<PlasticWeights>,
    /// Connections with short-term plasticity.
    pub facilitating: Vec<Facilitating>,
    /// Gap junctions.
    pub gaps: Vec<GapJunctions>,
    #[module(skip)]
    pub(super) plan: Plan,
}

impl CircuitConfig {
    /// Draws and places the network for steps of `dt` ms. One seed gives one network on every device.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names what is not allowed or does not fit, [`DynamicsError::Memory`] what does not fit into memory.
    pub fn init(&self, dt: f64, seed: u64, place: &Place) -> Result<Circuit, DynamicsError> {
        self.validate()?;
        let (mut neurons, mut rates, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        for (index, config) in self.populations.iter().enumerate() {
            let cell = config.cell(seed)?;
            let variables = match &cell {
                Cell::Unit(unit) => {
                    if let (Some(solver), Some(steps)) = (config.solver, unit.own_steps()) {
                        return Err(DynamicsError::config(config.field("solver"), solver, steps));
                    }
                    let noise = NormalNoise::new(seed, 1 + index as u64);
                    let solver = config.solver_of(unit).init(noise);
                    let made = unit.init(solver.into(), place);
                    let made = made.map_err(|error| config.named(error))?;
                    let variables = with_spikes(made.dynamics()?.variables(), config.size);
                    neurons.push(made);
                    variables
                }
                Cell::Source(source) => {
                    rates.extend(RateUnits::new(config, source, place)?);
                    source.variables(config.size)
                }
            };
            cells.push((cell, variables));
        }
        let pathways = self.pathways()?;
        let mut own = vec![Vec::new(); pathways.len()];
        let (mut rules, mut short_term) = (Vec::new(), Vec::new());
        for (at, ends) in pathways.iter().copied().enumerate() {
            let (index, name) = (ends.index, self.label(ends));
            let projection = &self.projections[index];
            let [pre, post] = [ends.from, ends.to].map(|at| self.populations[at].size);
            let named = |v: Variable| Variable {
                name: format!("{name}.{}", v.name),
                ..v
            };
            if let Some(plasticity) = &projection.plasticity {
                let made = plasticity.init(place);
                let made = made.map_err(|error| error.under(&field(index, "plasticity")))?;
                if made.signal() == Some(Signal::Rates) {
                    let allowed = "rules of spikes, as homeostasis with signal = \"spikes\" is";
                    let place = field(index, "plasticity.rules");
                    return Err(DynamicsError::config(place, "a rule of rates", allowed));
                }
                match (&projection.reward, made.needs_reward()) {
                    (None, true) => return Err(DynamicsError::missing(field(index, "reward"))),
                    (Some(_), false) => return Err(no_reward(index)),
                    _ => {}
                }
                own[at] = plastic_variables(&made, pre, post)
                    .into_iter()
                    .map(named)
                    .collect();
                rules.push(made);
            } else if projection.reward.is_some() {
                return Err(no_reward(index));
            } else if let Some(config) = &projection.short_term {
                let made = config.init(place);
                let made = made.map_err(|error| error.under(&field(index, "short_term")))?;
                own[at] = made.variables(pre).into_iter().map(named).collect();
                short_term.push(made);
            }
        }
        let (plan, drawn) = Plan::new(self, &cells, &own, (dt, seed))?;
        let Drawn {
            matrices,
            plastic,
            short_term: listed,
            gaps,
        } = drawn;
        gap::check_steps(&plan, &gaps, &neurons, dt)?;
        let gaps = gaps.into_iter().map(|own| GapJunctions::new(own, place));
        let matrices = matrices.into_iter();
        let matrices =
            matrices.map(|(lists, weights)| Weights::listed(&weights, lists, Bounds::Free, place));
        let matrices = matrices.collect::<Result<_, _>>()?;
        let plastic = rules
            .into_iter()
            .zip(plastic)
            .map(|(rules, (ends, wired))| {
                let shape = [ends.from, ends.to].map(|at| self.populations[at].size);
                let own = &field(ends.index, "plasticity");
                PlasticWeights::new(rules, &wired, shape, (own, place))
            });
        let plastic = plastic.collect::<Result<_, _>>()?;
        let facilitating = short_term.into_iter().zip(listed);
        let facilitating = facilitating.map(|(short_term, (lists, weights))| {
            Ok(Facilitating {
                short_term,
                weights: Weights::listed(&weights, lists, Bounds::Free, place)?,
            })
        });
        Ok(Circuit {
            neurons,
            rates,
            matrices,
            plastic,
            facilitating: facilitating.collect::<Result<_, DynamicsError>>()?,
            gaps: gaps.collect::<Result<_, _>>()?,
            plan,
        })
    }
}

fn no_reward(index: usize) -> DynamicsError {
    let allowed = "unset: no rule of its plasticity needs a reward, as reward-stdp does";
    DynamicsError::config(field(index, "reward"), "this", allowed)
}

/// The variables of neurons, with those that count spikes where they do not themselves.
fn with_spikes(own: &[Variable], cells: usize) -> Vec<Variable> {
    let mut all = own.to_vec();
    if all.iter().all(|v| v.name != "spike") {
        let spike = Variable::new("spike", "1", cells);
        all.push(spike.of_kind(crate::QuantityKind::Spikes));
        let since = Variable::new("since_spike", "ms", cells);
        all.push(since.of_kind(crate::QuantityKind::Elapsed));
    }
    all
}

impl RateUnits {
    fn new(
        config: &PopulationConfig,
        source: &Source,
        place: &Place,
    ) -> Result<Option<Self>, DynamicsError> {
        let Source::Rate {
            time_constant,
            current,
            initial,
            transfer,
        } = source
        else {
            return Ok(None);
        };
        let fixed = |name: &str, values: &crate::Values| {
            Parameter::fixed(&config.field(name), values.as_slice(), Bounds::Free, place)
        };
        Ok(Some(Self {
            time_constant: fixed("parameters.time_constant", time_constant)?,
            current: fixed("current", current)?,
            initial: fixed("initial.x", initial)?,
            transfer: *transfer,
        }))
    }

    fn bind(&self) -> BoundRates {
        BoundRates {
            minus_rate: self.time_constant.value().recip().neg(),
            current: self.current.value(),
            transfer: self.transfer,
        }
    }
}

impl PlasticWeights {
    fn new(
        rules: Rules,
        wired: &Wired,
        [pre, post]: [usize; 2],
        (field, place): (&str, &Place),
    ) -> Result<Self, DynamicsError> {
        let zeros = || budget::filled(0.0, pre * post, "weights that change");
        let (mut weights, mut there) = (zeros()?, zeros()?);
        for (at, (from, to)) in pairs_of(&wired.ends, &wired.to).enumerate() {
            let pair = from * post + to;
            if there[pair] == 1.0 {
                let found = format!("on two connections from cell {from} to cell {to}");
                let allowed = "on one connection of each pair of cells at the most";
                return Err(DynamicsError::config(field, found, allowed));
            }
            weights[pair] = wired.weights.at(at);
            there[pair] = 1.0;
        }
        let everywhere = there.iter().all(|there| *there == 1.0);
        Ok(Self {
            rules,
            weights: place.tensor(weights, [pre, post]),
            connected: (!everywhere).then(|| place.tensor(there, [1, pre * post])),
        })
    }

    fn connection(&self) -> PlasticConnection<Rules> {
        PlasticConnection::new(self.rules.clone(), self.weights.clone())
    }
}

impl Circuit {
    /// The populations of neurons: their names, sizes, and where each has the variables `spike`, `since_spike` and `spike_interval`
    /// in the state.
    pub fn groups(&self) -> Vec<CircuitGroup> {
        let mut groups = Vec::new();
        for population in &self.plan.populations {
            if !matches!(population.kind, Kind::Unit(..)) {
                continue;
            }
            let own = &self.plan.variables[population.variables.clone()];
            let find = |name: &str| {
                let suffix = format!(".{name}");
                let at = own.iter().position(|v| v.name.ends_with(&suffix))?;
                Some(population.variables.start + at)
            };
            if let (Some(count), Some(since)) = (find("spike"), find("since_spike")) {
                groups.push(CircuitGroup {
                    name: population.name.clone(),
                    cells: population.size,
                    count,
                    since,
                    interval: find("spike_interval"),
                });
            }
        }
        groups
    }

    /// How many of the state's variables are more than spikes on their way.
    pub fn shown(&self) -> usize {
        self.plan.shown
    }

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.plan.connections
    }

    /// The projections that have no connection, by their names or numbers, with the two populations where they are between several.
    pub fn unconnected(&self) -> &[String] {
        &self.plan.empty
    }

    /// What comes from outside, one for each population that says `external = true`.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for settings of a neuron that contradict each other.
    pub fn inputs(&self) -> Result<Vec<Variable>, DynamicsError> {
        let mut inputs = Vec::new();
        for population in self
            .plan
            .populations
            .iter()
            .filter(|p| p.external.is_some())
        {
            let unit = match population.kind {
                Kind::Unit(index, _) => self.neurons[index].input()?.unit,
                _ => "1",
            };
            inputs.push(Variable::new(
                population.name.as_str(),
                unit,
                population.size,
            ));
        }
        Ok(inputs)
    }
}

/// Neurons of one population, and where their spikes are counted in the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitGroup {
    /// The population's name.
    pub name: String,
    /// The number of its cells.
    pub cells: usize,
    /// The variable that counts the spikes of a step.
    pub count: usize,
    /// The variable that says how long before the end of the step the last one was.
    pub since: usize,
    /// The variable that says how far apart several in one step were.
    pub interval: Option<usize>,
}

impl Model for Circuit {
    type Dynamics = CircuitDynamics;

    fn dynamics(&self) -> Result<CircuitDynamics, DynamicsError> {
        let neurons = self.neurons.iter().map(Model::dynamics);
        let neurons = neurons.collect::<Result<Vec<_>, _>>()?;
        let mut currents = Vec::new();
        for (index, population) in self.plan.populations.iter().enumerate() {
            let Kind::Unit(neuron, _) = population.kind else {
                continue;
            };
            let unit = self.neurons[neuron].input()?.unit;
            let own = neurons[neuron].currents().iter();
            currents.extend(own.map(|current| current.of(&population.name)));
            let variable = |name: String| Variable::new(name, unit, population.size);
            let ports = population.ports.iter().map(|at| &self.plan.ports[*at]);
            let opening = ports.filter(|port| !port.variables.is_empty());
            currents.extend(opening.map(|port| variable(port.current.clone())));
            if self.plan.gaps.iter().any(|gap| gap.to == index) {
                currents.push(variable(format!("{}.I_gap", population.name)));
            }
        }
        Ok(CircuitDynamics {
            neurons,
            currents,
            rates: self.rates.iter().map(RateUnits::bind).collect(),
            matrices: self.matrices.iter().map(Weights::bind).collect(),
            plastic: self
                .plastic
                .iter()
                .map(|own| (own.connection(), own.connected.clone()))
                .collect(),
            facilitating: self
                .facilitating
                .iter()
                .map(|own| (own.short_term.clone(), own.weights.bind()))
                .collect(),
            gaps: self.gaps.iter().map(GapJunctions::bind).collect(),
            plan: self.plan.clone(),
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let plan = &self.plan;
        let numbers = plan
            .variables
            .iter()
            .map(|v| v.width)
            .fold(0, usize::saturating_add);
        budget::ask_for_numbers("the state of the network", &[2, batch, numbers])?;
        let Some(place) = self.place() else {
            return Err(DynamicsError::config(
                "population",
                "sources alone",
                "one of neurons or of rates at least",
            ));
        };
        let mut tensors = Vec::with_capacity(plan.variables.len());
        for population in &plan.populations {
            let zeros = || place.full(0.0, [batch, population.size]);
            match population.kind {
                Kind::Unit(index, threshold) => {
                    tensors.extend(self.neurons[index].initial_state(batch)?.into_tensors());
                    if threshold.is_some() {
                        tensors.extend([zeros(), zeros()]);
                    }
                }
                Kind::Rate(index) => {
                    let own = &self.rates[index];
                    let x = zeros() + own.initial.value();
                    tensors.extend([x.clone(), own.transfer.rate(x)]);
                }
                Kind::Source(_) => tensors.push(zeros()),
            }
        }
        let zeros = |v: &Variable| place.full(0.0, [batch, v.width]);
        let first = tensors.len();
        let end = plan.links.first().map_or(plan.shown, |link| link.own.start);
        tensors.extend(plan.variables[first..end].iter().map(zeros));
        for link in &plan.links {
            let own = match link.kind {
                LinkKind::Direct(_) => continue,
                LinkKind::Plastic(index) => self.plastic[index].connection().initial(batch, false),
                LinkKind::ShortTerm(index) => {
                    let size = plan.populations[link.from].size;
                    self.facilitating[index]
                        .short_term
                        .initial(batch, size, &place)
                }
            };
            tensors.extend(own.into_tensors());
        }
        // Before the beginning all was sent that is sent then: no spikes, and rates as they are.
        let sent = |from: usize| tensors[plan.populations[from].sent].clone();
        let mut past = Vec::with_capacity(plan.variables.len() - plan.shown);
        if !plan.past.is_empty() {
            let all: Vec<Tensor<2>> = plan.senders.iter().map(|from| sent(*from)).collect();
            past.resize(plan.past.len(), Tensor::cat(all, 1));
        }
        for link in &plan.links {
            past.extend(vec![sent(link.from); link.past.len()]);
        }
        tensors.extend(past);
        Ok(State::new(tensors))
    }
}

impl Circuit {
    /// Where it lives.
    fn place(&self) -> Option<Place> {
        let rates = self
            .rates
            .first()
            .map(|own| Place::of(&own.current.value()));
        rates.or_else(|| {
            let first = self.neurons.first()?.initial_state(1).ok()?;
            Some(Place::of(&first[0]))
        })
    }
}
