use std::sync::Arc;

use burn::tensor::Tensor;

use super::super::Activation;
use super::super::noise::NetworkNoise;
use super::RateNetwork;
use crate::host_field::HostField;
use crate::model::{Clock, Dynamics, Field, Linear, Model};
use crate::random::NormalNoise;
use crate::solver::{Solver, SolverKind};
use crate::state::host;
use crate::{DynamicsError, Place, State, Variable};

/// The equation of a [`RateNetwork`], for any solver: its only variable is x. Of the noise, solvers for stochastic equations
/// see the private part.
#[derive(Clone, Debug)]
pub struct RateField {
    variables: Vec<Variable>,
    groups: Vec<Vec<usize>>,
    activation: Activation,
    w: Tensor<2>,
    input: Option<Tensor<2>>,
    bias: Tensor<2>,
    tau: Tensor<2>,
    readout: Option<(Tensor<2>, Tensor<2>)>,
    private_noise: f64,
}

impl RateField {
    /// r(x) W + u W_in + b
    fn target(&self, x: &Tensor<2>, input: Option<&Tensor<2>>) -> Tensor<2> {
        let recurrent = self.activation.rate(x.clone()).matmul(self.w.clone());
        let target = recurrent + self.bias.clone();
        match (input, &self.input) {
            (Some(u), Some(weights)) => target + u.clone().matmul(weights.clone()),
            _ => target,
        }
    }
}

impl Field for RateField {
    fn name(&self) -> &str {
        "rate network"
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn check_input(&self, state: &State, input: Option<&Tensor<2>>) -> Result<(), DynamicsError> {
        let width = self.input.as_ref().map_or(0, |weights| weights.dims()[0]);
        super::super::check_input(width, state, input)
    }

    fn derivative(&self, _time: f64, state: &State, input: Option<&Tensor<2>>) -> State {
        let x = state[0].clone();
        State::new(vec![(self.target(&x, input) - x) / self.tau.clone()])
    }

    fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    fn linear(
        &self,
        _group: usize,
        _time: f64,
        state: &State,
        input: Option<&Tensor<2>>,
    ) -> Vec<Linear> {
        vec![Linear {
            decay: self.tau.clone().recip(),
            drive: self.target(&state[0], input) / self.tau.clone(),
        }]
    }

    /// √(2/τ) σ
    fn diffusion(&self, _time: f64, state: &State) -> Option<State> {
        (self.private_noise > 0.0).then(|| {
            let amplitude = self.tau.clone().recip().mul_scalar(2.0).sqrt();
            let amplitude = amplitude.mul_scalar(self.private_noise);
            State::new(vec![amplitude.expand(state[0].dims())])
        })
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        let rates = self.activation.rate(state[0].clone());
        match &self.readout {
            None => rates,
            Some((weights, bias)) => rates.matmul(weights.clone()) + bias.clone(),
        }
    }
}

/// A [`RateNetwork`] that moves by its solver; by Euler's, x ← (1 − α) x + α (r(x) W + u W_in + b) + √(2α) σ ξ with α = dt/τ.
#[derive(Clone, Debug)]
pub struct RateDynamics {
    field: RateField,
    method: Method,
}

#[derive(Clone, Debug)]
enum Method {
    Euler(Option<NetworkNoise>),
    Other(Arc<dyn Solver>),
}

impl Dynamics for RateDynamics {
    fn name(&self) -> &str {
        self.field.name()
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
        let noise = match &self.method {
            Method::Euler(noise) => noise,
            Method::Other(solver) => return solver.step(&self.field, at, state, input),
        };
        let x = state[0].clone();
        let alpha = self.field.tau.clone().recip().mul_scalar(at.dt);
        let keep = alpha.clone().neg().add_scalar(1.0);
        let mut next = x.clone() * keep + self.field.target(&x, input) * alpha.clone();
        if let Some(noise) = noise {
            let [batch, units] = x.dims();
            let xi = noise.at(at.step, batch, units, &Place::of(&x));
            next = next + xi * alpha.mul_scalar(2.0).sqrt();
        }
        Ok(State::new(vec![next]))
    }

    fn observe(&self, state: &State) -> Tensor<2> {
        self.field.observe(state)
    }
}

impl RateNetwork {
    /// The equation with the parameters' values taken.
    pub fn field(&self) -> RateField {
        RateField {
            variables: vec![Variable::new("x", "1", self.units())],
            groups: vec![vec![0]],
            activation: self.config.activation,
            w: self.recurrent.value(),
            input: self.input.as_ref().map(|input| input.val()),
            bias: self.bias.value(),
            tau: self.time_constant.value(),
            readout: self
                .readout
                .as_ref()
                .map(|readout| (readout.weights(), readout.bias.value())),
            private_noise: self.config.private_noise,
        }
    }
}

impl Model for RateNetwork {
    type Dynamics = RateDynamics;

    fn dynamics(&self) -> Result<RateDynamics, DynamicsError> {
        let mut field = self.field();
        let method = match (self.config.solver, self.noise) {
            (SolverKind::Euler, noise) => Method::Euler(self.network_noise(noise)),
            (kind, Some(noise)) => Method::Other(kind.init(noise).into()),
            (kind, None) => {
                field.private_noise = 0.0;
                Method::Other(kind.init(NormalNoise::default()).into())
            }
        };
        Ok(RateDynamics { field, method })
    }

    fn initial_state(&self, batch: usize) -> Result<State, DynamicsError> {
        let x = self.initial.value().expand([batch, self.units()]);
        Ok(State::new(vec![x]))
    }
}

/// The equation of a [`RateNetwork`] on the host, with a constant input and its exact Jacobian.
#[derive(Clone, Debug)]
pub struct RateOnHost {
    activation: Activation,
    /// `[pre, post]`
    w: Vec<f64>,
    /// u W_in + b
    drive: Vec<f64>,
    tau: Vec<f64>,
}

impl RateNetwork {
    /// The equation under a constant input, for an analysis of it ([`HostField`]); times in ms.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for an input of another width, [`DynamicsError::Device`].
    pub fn on_host(&self, input: &[f64]) -> Result<RateOnHost, DynamicsError> {
        if input.len() != self.inputs() {
            return Err(DynamicsError::Shape {
                what: "the constant input".into(),
                expected: vec![self.inputs()],
                found: vec![input.len()],
            });
        }
        let n = self.units();
        let mut drive = self.bias.values()?;
        if let Some(weights) = &self.input {
            let weights = host(weights.val())?;
            for (row, u) in weights.chunks_exact(n).zip(input) {
                drive.iter_mut().zip(row).for_each(|(d, w)| *d += u * w);
            }
        }
        let mut tau = self.time_constant.values()?;
        if let [one] = tau.as_slice() {
            tau = vec![*one; n];
        }
        Ok(RateOnHost {
            activation: self.config.activation,
            w: host(self.recurrent.value())?,
            drive,
            tau,
        })
    }
}

impl RateOnHost {
    /// (−x + y W + `constant`)/τ
    fn relax(&self, x: &[f64], y: impl Iterator<Item = f64>, constant: &[f64]) -> Vec<f64> {
        let mut out = constant.to_vec();
        for (row, y) in self.w.chunks_exact(x.len().max(1)).zip(y) {
            if y != 0.0 {
                out.iter_mut().zip(row).for_each(|(o, w)| *o += y * w);
            }
        }
        let decay = out.iter_mut().zip(x).zip(&self.tau);
        decay.for_each(|((o, x), tau)| *o = (*o - x) / tau);
        out
    }
}

impl HostField for RateOnHost {
    fn dimension(&self) -> usize {
        self.tau.len()
    }

    fn velocity(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        let rates = x.iter().map(|x| self.activation.rate_of(*x));
        Ok(self.relax(x, rates, &self.drive))
    }

    fn jacobian(&self, x: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        let n = x.len();
        let mut jacobian = vec![0.0; n * n];
        for (pre, row) in self.w.chunks_exact(n.max(1)).enumerate() {
            let slope = self.activation.slope_of(x[pre]);
            for (post, w) in row.iter().enumerate() {
                let leak = f64::from(pre == post);
                jacobian[post * n + pre] = (slope * w - leak) / self.tau[post];
            }
        }
        Ok(jacobian)
    }

    fn tangent(&self, x: &[f64], direction: &[f64]) -> Result<Vec<f64>, DynamicsError> {
        let pairs = x.iter().zip(direction);
        let slopes = pairs.map(|(x, d)| self.activation.slope_of(*x) * d);
        Ok(self.relax(direction, slopes, &vec![0.0; x.len()]))
    }
}
