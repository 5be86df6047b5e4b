//! A step of a rate network.

use granule_dynamics::population::{self, Activation, RateNetwork};

use super::shared::{Affine, by_sign, parts, step_of_units, values};
use super::{Intervention, Step, Units};
use crate::ModelError;

/// A step of a [`RateNetwork`]; the state is x.
#[derive(Debug)]
pub(crate) struct RateStep {
    /// Of rates and inputs together.
    drive: Affine,
    readout: Option<Affine>,
    alpha: Vec<f32>,
    initial: Vec<f32>,
    activation: Activation,
    inputs: usize,
    /// Under Dale's law.
    excitatory: Option<Vec<bool>>,
}

impl RateStep {
    pub(crate) fn new(network: &RateNetwork) -> Result<Self, ModelError> {
        let n = network.units();
        let mut weight = values(network.recurrent.value())?;
        if let Some(input) = &network.input {
            weight.extend(values(input.val())?);
        }
        let alpha = network.time_constant.value().recip();
        let alpha = alpha.mul_scalar(network.config().dt).expand([1, n]);
        let readout = |readout: &population::Readout| {
            let bias = values(readout.bias.value())?;
            Ok::<_, ModelError>(Affine::new(values(readout.weights())?, bias))
        };
        Ok(Self {
            drive: Affine::new(weight, values(network.bias.value())?),
            readout: network.readout.as_ref().map(readout).transpose()?,
            alpha: values(alpha)?,
            initial: values(network.initial.value())?,
            activation: network.config().activation,
            inputs: network.inputs(),
            excitatory: network
                .config()
                .dale_ratio
                .map(|_| network.config().excitatory()),
        })
    }

    fn rate(&self, x: f32) -> f32 {
        self.activation.rate_of(f64::from(x)) as f32
    }
}

impl Step for RateStep {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        let readout = self.readout.as_ref();
        readout.map_or(self.initial.len(), |readout| readout.bias.len())
    }

    fn initial(&self) -> &[f32] {
        &self.initial
    }

    step_of_units!(RateStep);
}

impl Units for RateStep {
    fn count(&self) -> usize {
        self.initial.len()
    }

    fn populations(&self) -> Vec<(&'static str, Vec<usize>)> {
        self.excitatory.as_deref().map_or_else(Vec::new, by_sign)
    }

    fn activity(&self, state: &[f32], activity: &mut [f32]) {
        for (rate, state) in activity.iter_mut().zip(state) {
            *rate = self.rate(*state);
        }
    }

    fn step_under(
        &self,
        input: &[f32],
        state: &mut [f32],
        outputs: &mut [f32],
        intervention: Intervention<'_>,
        room: &mut Vec<f32>,
    ) {
        let n = state.len();
        let [x, drive] = parts(room, [n + self.inputs, n]);
        let (rates, inputs) = x.split_at_mut(n);
        inputs.copy_from_slice(input);
        self.activity(state, rates);
        intervention.silence(rates);
        self.drive.run(x, drive);
        intervention.push(drive);
        for ((state, drive), alpha) in state.iter_mut().zip(&*drive).zip(&self.alpha) {
            *state += alpha * (drive - *state);
        }
        let rates = &mut x[..n];
        self.activity(state, rates);
        intervention.silence(rates);
        match &self.readout {
            Some(readout) => readout.run(rates, outputs),
            None => outputs.copy_from_slice(rates),
        }
    }

    fn cut(&mut self, from: &[usize], to: &[usize]) {
        self.drive.cut(from, to.iter().copied());
    }
}
