//! A step of a network of Wilson and Cowan's populations.

use granule_dynamics::population::WilsonCowanNetwork;

use super::shared::{Affine, by_sign, parts, sigmoid, step_of_units, values};
use super::{Intervention, Step, Units};
use crate::ModelError;

/// A step of a [`WilsonCowanNetwork`]; the state is the share of cells that are active.
#[derive(Debug)]
pub(crate) struct WilsonCowanStep {
    /// Of activities and inputs together.
    drive: Affine,
    readout: Affine,
    units: Vec<WilsonCowanUnit>,
    initial: Vec<f32>,
    refractoriness: f32,
    inputs: usize,
    excitatory: Vec<bool>,
}

#[derive(Clone, Copy, Debug)]
struct WilsonCowanUnit {
    slope: f32,
    threshold: f32,
    /// The response without a current, S(0).
    floor: f32,
    /// dt/τ
    share: f32,
}

impl WilsonCowanStep {
    pub(crate) fn new(network: &WilsonCowanNetwork, excitatory: usize) -> Result<Self, ModelError> {
        let [inputs, n] = network.input.weight.dims();
        let mut weight = values(network.recurrent.value())?;
        weight.extend(values(network.input.weight.val())?);
        let bias = match &network.input.bias {
            Some(bias) => values(bias.val())?,
            None => vec![0.0; n],
        };
        let rows = [&network.slope, &network.threshold, &network.time_constant];
        let [slope, threshold, tau] = rows.map(|row| values(row.val()));
        let (slope, threshold, tau) = (slope?, threshold?, tau?);
        let of_unit = |((slope, threshold), tau): ((f32, f32), f32)| WilsonCowanUnit {
            slope,
            threshold,
            floor: sigmoid(-slope * threshold),
            share: (network.dt() / f64::from(tau)) as f32,
        };
        let units = slope.into_iter().zip(threshold).zip(tau).map(of_unit);
        Ok(Self {
            drive: Affine::new(weight, bias),
            readout: Affine::of(&network.readout)?,
            units: units.collect(),
            initial: vec![0.0; n],
            refractoriness: network.refractoriness() as f32,
            inputs,
            excitatory: (0..n).map(|unit| unit < excitatory).collect(),
        })
    }
}

impl Step for WilsonCowanStep {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.readout.bias.len()
    }

    fn initial(&self) -> &[f32] {
        &self.initial
    }

    step_of_units!(WilsonCowanStep);
}

impl Units for WilsonCowanStep {
    fn count(&self) -> usize {
        self.initial.len()
    }

    fn populations(&self) -> Vec<(&'static str, Vec<usize>)> {
        by_sign(&self.excitatory)
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
        let [x, current] = parts(room, [n + self.inputs, n]);
        let (active, inputs) = x.split_at_mut(n);
        intervention.silence(state);
        active.copy_from_slice(state);
        inputs.copy_from_slice(input);
        self.drive.run(x, current);
        intervention.push(current);
        for ((x, current), unit) in state.iter_mut().zip(&*current).zip(&self.units) {
            let response = sigmoid((current - unit.threshold) * unit.slope) - unit.floor;
            let ready = 1.0 - unit.floor - self.refractoriness * *x;
            *x += (ready * response - *x) * unit.share;
        }
        intervention.silence(state);
        self.readout.run(state, outputs);
    }

    fn cut(&mut self, from: &[usize], to: &[usize]) {
        self.drive.cut(from, to.iter().copied());
    }
}
