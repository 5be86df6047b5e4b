use burn::module::{Module, Param};
use burn::tensor::Tensor;
use granule_io::budget;
use serde::{Deserialize, Serialize};

use super::config::RulesConfig;
use super::connection::{PlasticConnection, check_unrewarded};
use super::rule::{Activity, Signal};
use super::rules::Rules;
use super::short_term::{ShortTermConfig, ShortTermPlasticity};
use crate::model::{Clock, Dynamics, Model};
use crate::population::Activation;
use crate::setting::{self, Range, Setting};
use crate::{DynamicsError, NormalNoise, Parameter, Place, State, Variable};

/// Settings of a [`PlasticNetwork`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PlasticNetworkConfig {
    /// The number of inputs; 0 for none.
    pub inputs: usize,
    /// The number of units, N; at least 1.
    pub units: usize,
    /// r(x).
    pub transfer: Activation,
    /// τ above 0, in ms.
    pub time_constant: f64,
    /// The recurrent weights begin Gaussian with standard deviation `gain`/√N; at least 0.
    pub gain: f64,
    /// Whether all rows of a batch share one set of recurrent weights; otherwise each has its own, which begins anew with
    /// every run.
    pub shared: bool,
    /// How the recurrent weights change during a run.
    pub plasticity: RulesConfig,
    /// What the units' outgoing synapses do at short term.
    pub short_term: Option<ShortTermConfig>,
    /// `time_constant`, if training by gradient may change it. Input weights, bias and the recurrent weights at the
    /// beginning are always trained, and what the rules say of themselves.
    pub trainable: Vec<String>,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for PlasticNetworkConfig {
    fn default() -> Self {
        Self {
            inputs: 1,
            units: 64,
            transfer: Activation::Tanh,
            time_constant: 100.0,
            gain: 1.0,
            shared: false,
            plasticity: RulesConfig::default(),
            short_term: None,
            trainable: Vec::new(),
            seed: 0,
        }
    }
}

impl PlasticNetworkConfig {
    fn settings(&self) -> [Setting<'_>; 1] {
        [Setting::number(
            "time_constant",
            &self.time_constant,
            Range::Positive,
        )]
    }

    /// Checks every setting, and settings against each other.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        crate::setting::check_count("units", self.units)?;
        crate::setting::check_within("inputs", self.inputs, 0)?;
        budget::ask_for_numbers(
            "the network's weights",
            &[self.units, self.inputs + self.units],
        )?;
        if !(self.gain.is_finite() && self.gain >= 0.0) {
            let allowed = "a finite number of at least 0";
            return Err(DynamicsError::config("gain", self.gain, allowed));
        }
        self.transfer.validate()?;
        setting::validate(
            "plastic-network",
            &self.settings(),
            &self.trainable,
            (1, "unit"),
        )?;
        self.plasticity.validate()?;
        let Some(short_term) = &self.short_term else {
            return Ok(());
        };
        short_term.validate()?;
        if short_term.signal == Signal::Spikes {
            let allowed = "rates, for the units of this network have rates";
            return Err(DynamicsError::config(
                "short_term.signal",
                "spikes",
                allowed,
            ));
        }
        let allowed = "one without negative rates beside short_term, for they use up no resources";
        match self.transfer {
            Activation::Tanh => Err(DynamicsError::config("transfer", "tanh", allowed)),
            Activation::Linear => Err(DynamicsError::config("transfer", "linear", allowed)),
            _ => Ok(()),
        }
    }

    /// Makes the network.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate).
    pub fn init(&self, place: &Place) -> Result<PlasticNetwork, DynamicsError> {
        self.validate()?;
        let gaussian = |stream: u64, shape: [usize; 2], deviation: f64| {
            let noise = NormalNoise::new(self.seed, stream).at(0, shape, place);
            Param::from_tensor(noise * deviation)
        };
        let n = self.units;
        let recurrent = self.gain / (n as f64).sqrt();
        let input = (self.inputs.max(1) as f64).sqrt().recip();
        let [time_constant] =
            setting::init("plastic-network", self.settings(), &self.trainable, place);
        let rules = self.plasticity.init(place)?;
        check_unrewarded("plasticity", &rules)?;
        let short_term = self.short_term.as_ref();
        Ok(PlasticNetwork {
            recurrent: gaussian(0, [n, n], recurrent),
            input: (self.inputs > 0).then(|| gaussian(1, [self.inputs, n], input)),
            bias: Param::from_tensor(place.full(0.0, [1, n])),
            time_constant: time_constant?,
            rules,
            short_term: short_term.map(|config| config.init(place)).transpose()?,
            transfer: self.transfer,
            shared: self.shared,
        })
    }
}

/// A rate network whose recurrent weights change while it runs: τ dx/dt = −x + (e ∘ r(x)) W + u W_in + b, dW/dt by
/// [`Rules`] of r(x) before and after a step, with the efficacy e of short-term plasticity where there is any.
///
/// W is part of the state. Its beginning, the rules' parameters and all other weights are trained by gradient through the
/// run: plasticity that is itself learned (Miconi, Clune and Stanley 2018). A step solves the leak exactly with the current
/// held constant.
///
/// ```
/// use granule_device::DeviceSpec;
/// use granule_dynamics::gradient::{Memory, Run, gradient};
/// use granule_dynamics::plasticity::{
///     AnyRule, DecayConfig, HebbConfig, PlasticNetworkConfig, RuleConfig, RulesConfig,
/// };
/// use granule_dynamics::{ConstantInput, Grid, Place, host};
///
/// let place = Place::f32(&DeviceSpec::Cpu.open()?.burn().clone().autodiff());
/// let hebb = HebbConfig { rate: 1e-3, trainable: vec!["rate".into()] };
/// let decay = DecayConfig { rate: 1e-3, ..Default::default() };
/// let network = PlasticNetworkConfig {
///     units: 8,
///     plasticity: RulesConfig {
///         rules: vec![RuleConfig::Hebb(hebb), RuleConfig::Decay(decay)],
///         ..Default::default()
///     },
///     ..Default::default()
/// }
/// .init(&place)?;
///
/// let input = ConstantInput(place.full(1.0, [2, 1]));
/// let run = Run {
///     initial: None,
///     batch: 2,
///     input: &input,
///     grid: &Grid::over(400.0, 10.0)?,
///     every: 1,
///     memory: &Memory::Segments(6),
/// };
/// let mut result = gradient(&network, &run, |rates| rates.powi_scalar(2).mean())?;
/// // How the loss changes with the rule's own rate of learning.
/// let AnyRule::Hebb(hebb) = &network.rules.rules[0] else { unreachable!() };
/// let slope = result.parameters.remove::<2>(hebb.rate.raw.id).ok_or("no gradient")?;
/// assert!(host(slope)?[0] != 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct PlasticNetwork {
    /// W at the beginning of a run, `[units, units]`.
    pub recurrent: Param<Tensor<2>>,
    /// W_in, `[inputs, units]`.
    pub input: Option<Param<Tensor<2>>>,
    /// b, `[1, units]`.
    pub bias: Param<Tensor<2>>,
    /// τ in ms.
    pub time_constant: Parameter,
    /// How W changes.
    pub rules: Rules,
    /// e.
    pub short_term: Option<ShortTermPlasticity>,
    #[module(skip)]
    transfer: Activation,
    #[module(skip)]
    shared: bool,
}

impl PlasticNetwork {
    fn connection(&self) -> PlasticConnection<Rules> {
        PlasticConnection::new(self.rules.clone(), self.recurrent.val())
    }
}

impl Model for PlasticNetwork {
    type Dynamics = PlasticDynamics;

    fn dynamics(&self) -> Result<PlasticDynamics, DynamicsError> {
        let connection = self.connection();
        let units = self.bias.dims()[1];
        let mut variables = vec![Variable::new("x", "1", units)];
        if let Some(short_term) = &self.short_term {
            variables.extend(short_term.variables(units));
        }
        let plastic = variables.len();
        variables.extend_from_slice(connection.variables());
        Ok(PlasticDynamics {
            variables,
            plastic,
            connection,
            short_term: self.short_term.clone(),
            input: self.input.as_ref().map(Param::val),
            bias: self.bias.val(),
            time_constant: self.time_constant.value(),
            transfer: self.transfer,
        })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let units = self.bias.dims()[1];
        let place = Place::of(&self.bias.val());
        let mut state = vec![place.full(0.0, [batch, units])];
        if let Some(short_term) = &self.short_term {
            state.extend(short_term.initial(batch, units, &place).into_tensors());
        }
        let plastic = self.connection().initial(batch, self.shared);
        state.extend(plastic.into_tensors());
        Ok(State::new(state))
    }
}

/// [`PlasticNetwork`] with its parameters' values taken. What is observed is the rates, `[batch, units]`.
#[derive(Clone, Debug)]
pub struct PlasticDynamics {
    variables: Vec<Variable>,
    /// The index of the weights among the variables.
    plastic: usize,
    connection: PlasticConnection<Rules>,
    short_term: Option<ShortTermPlasticity>,
    input: Option<Tensor<2>>,
    bias: Tensor<2>,
    time_constant: Tensor<2>,
    transfer: Activation,
}

impl PlasticDynamics {
    /// The recurrent weights in a state, `[1 or batch, units, units]`.
    pub fn weights(&self, state: &State) -> Tensor<3> {
        self.connection.weights(&self.plastic_part(state))
    }

    fn plastic_part(&self, state: &State) -> State {
        State::new(state.tensors()[self.plastic..].to_vec())
    }

    fn drive(&self, input: Option<&Tensor<2>>) -> Result<Tensor<2>, DynamicsError> {
        match (&self.input, input) {
            (Some(weights), Some(input)) => {
                let [channels, _] = weights.dims();
                match input.dims() {
                    [_, found] if found == channels => {
                        Ok(input.clone().matmul(weights.clone()) + self.bias.clone())
                    }
                    found => Err(DynamicsError::Shape {
                        what: "the input".into(),
                        expected: vec![found[0], channels],
                        found: found.to_vec(),
                    }),
                }
            }
            _ => Ok(self.bias.clone()),
        }
    }
}

impl Dynamics for PlasticDynamics {
    fn name(&self) -> &str {
        "plastic-network"
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
        let x = state[0].clone();
        let before = self.transfer.rate(x.clone());
        let mut next = Vec::with_capacity(state.len());
        let transmitted = match &self.short_term {
            Some(short_term) => {
                let synapses = State::new(state.tensors()[1..3].to_vec());
                let (efficacy, synapses) = short_term.step(&before, at.dt, &synapses);
                next.extend(synapses.into_tensors());
                before.clone() * efficacy
            }
            None => before.clone(),
        };
        let plastic = self.plastic_part(state);
        let steady = self.connection.transmit(&plastic, transmitted) + self.drive(input)?;
        let left = self.time_constant.clone().recip().mul_scalar(-at.dt).exp();
        let x = steady.clone() + (x - steady) * left;
        let activity = Activity {
            pre: before,
            post: self.transfer.rate(x.clone()),
            dt: at.dt,
            reward: None,
        };
        next.insert(0, x);
        next.extend(self.connection.learn(&plastic, &activity)?.into_tensors());
        Ok(State::new(next))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.transfer.rate(state[0].clone())
    }
}
