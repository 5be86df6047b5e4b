//! What the steps of several models are made of.

use burn::nn::Linear;
use burn::tensor::Tensor;
use granule_ops::{Plan, PlanInput, PlanLayer};

use crate::ModelError;

/// A step, whose own `step` is that under no intervention.
macro_rules! step_of_units {
    ($Step:ident) => {
        fn step(&self, input: &[f32], state: &mut [f32], outputs: &mut [f32], room: &mut Vec<f32>) {
            self.step_under(input, state, outputs, Intervention::default(), room);
        }

        fn units(&self) -> Option<&dyn Units> {
            Some(self)
        }

        fn units_mut(&mut self) -> Option<&mut dyn Units> {
            Some(self)
        }
    };
}

pub(super) use step_of_units;

/// The values of a tensor.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    tensor.try_into_vec_as::<f32>().map_err(ModelError::device)
}

/// x W + b.
#[derive(Debug)]
pub(super) struct Affine {
    /// None on processors without vectors that a plan knows.
    plan: Option<Plan>,
    /// `[inputs, outputs]`
    weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Affine {
    pub(super) fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / outputs.max(1);
        let layer = PlanLayer::Dense {
            weight: (&weight).into(),
            bias: Some((&bias).into()),
            outputs,
        };
        let plan = match inputs {
            0 => None,
            _ => Plan::new(PlanInput::Vector(inputs), vec![layer], outputs),
        };
        Self { plan, weight, bias }
    }

    /// Takes the weights from some inputs to some outputs away.
    pub(super) fn cut(&mut self, from: &[usize], to: impl Iterator<Item = usize> + Clone) {
        let width = self.bias.len();
        let places = from
            .iter()
            .flat_map(|row| to.clone().map(move |column| row * width + column));
        for place in places {
            if let Some(weight) = self.weight.get_mut(place) {
                *weight = 0.0;
            }
        }
        let [weight, bias] = [&mut self.weight, &mut self.bias].map(std::mem::take);
        *self = Self::new(weight, bias);
    }

    pub(super) fn of(layer: &Linear) -> Result<Self, ModelError> {
        let [_, outputs] = layer.weight.dims();
        let bias = match &layer.bias {
            Some(bias) => values(bias.val())?,
            None => vec![0.0; outputs],
        };
        Ok(Self::new(values(layer.weight.val())?, bias))
    }

    pub(super) fn run(&self, x: &[f32], out: &mut [f32]) {
        if let Some(plan) = &self.plan {
            return plan.run(x, out);
        }
        out.copy_from_slice(&self.bias);
        for (x, row) in x
            .iter()
            .zip(self.weight.chunks_exact(self.bias.len().max(1)))
        {
            for (out, weight) in out.iter_mut().zip(row) {
                *out += x * weight;
            }
        }
    }
}

/// Parts of some lengths, one after the other, of `room`, which grows to them.
pub(super) fn parts<const N: usize>(room: &mut Vec<f32>, lengths: [usize; N]) -> [&mut [f32]; N] {
    room.resize(lengths.iter().sum(), 0.0);
    let mut rest = &mut room[..];
    lengths.map(|len| {
        let (part, others) = core::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        part
    })
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// The units of either sign.
pub(super) fn by_sign(excitatory: &[bool]) -> Vec<(&'static str, Vec<usize>)> {
    let of = |sign: bool| {
        let units = excitatory.iter().enumerate();
        let units = units.filter(|(_, own)| **own == sign);
        units.map(|(unit, _)| unit).collect()
    };
    vec![("excitatory", of(true)), ("inhibitory", of(false))]
}
