//! A step of a GRU or an LSTM.

use granule_dynamics::population::{GatedCell, GatedNetwork};

use super::shared::{Affine, parts, sigmoid, step_of_units};
use super::{Intervention, Step, Units};
use crate::ModelError;

/// A step of a [`GatedNetwork`]; the state is h, and m after it where there is one.
#[derive(Debug)]
pub(crate) struct GatedStep {
    cell: GatedCell,
    input: Affine,
    recurrent: Affine,
    readout: Affine,
    initial: Vec<f32>,
    inputs: usize,
    units: usize,
}

impl GatedStep {
    pub(crate) fn new(network: &GatedNetwork) -> Result<Self, ModelError> {
        let [inputs, _] = network.cells.input.weight.dims();
        let [units, _] = network.cells.recurrent.weight.dims();
        let cell = network.cells.cell();
        let carried = match cell {
            GatedCell::Gru => units,
            GatedCell::Lstm => 2 * units,
        };
        Ok(Self {
            cell,
            input: Affine::of(&network.cells.input)?,
            recurrent: Affine::of(&network.cells.recurrent)?,
            readout: Affine::of(&network.readout)?,
            initial: vec![0.0; carried],
            inputs,
            units,
        })
    }
}

impl Step for GatedStep {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.readout.bias.len()
    }

    fn initial(&self) -> &[f32] {
        &self.initial
    }

    step_of_units!(GatedStep);
}

impl Units for GatedStep {
    fn count(&self) -> usize {
        self.units
    }

    fn populations(&self) -> Vec<(&'static str, Vec<usize>)> {
        Vec::new()
    }

    fn step_under(
        &self,
        input: &[f32],
        state: &mut [f32],
        outputs: &mut [f32],
        intervention: Intervention<'_>,
        room: &mut Vec<f32>,
    ) {
        let n = self.units;
        let width = self.input.bias.len();
        let [p, q] = parts(room, [width, width]);
        let (h, memory) = state.split_at_mut(n);
        intervention.silence(h);
        self.input.run(input, p);
        // That of the new value is the last part.
        intervention.push(&mut p[width - n..]);
        self.recurrent.run(h, q);
        for (j, h) in h.iter_mut().enumerate() {
            let gate = |gate: usize| sigmoid(p[gate * n + j] + q[gate * n + j]);
            match self.cell {
                GatedCell::Gru => {
                    let (r, z) = (gate(0), gate(1));
                    let new = (p[2 * n + j] + r * q[2 * n + j]).tanh();
                    *h = z * (*h - new) + new;
                }
                GatedCell::Lstm => {
                    let (i, f, o) = (gate(0), gate(1), gate(2));
                    let new = (p[3 * n + j] + q[3 * n + j]).tanh();
                    memory[j] = f * memory[j] + i * new;
                    *h = o * memory[j].tanh();
                }
            }
        }
        intervention.silence(h);
        self.readout.run(h, outputs);
    }

    fn cut(&mut self, from: &[usize], to: &[usize]) {
        let (n, width) = (self.units, self.recurrent.bias.len());
        let gates = (0..width).step_by(n.max(1));
        let columns = gates.flat_map(|gate| to.iter().map(move |unit| gate + unit));
        self.recurrent.cut(from, columns);
    }
}
