use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use granule_io::budget;
use granule_ops::{GatedUnit, GatedWeights, gated_sequence};
use serde::{Deserialize, Serialize};

use super::{SequenceModel, Trajectory, check_sequences};
use crate::random::NormalNoise;
use crate::setting::check_count;
use crate::{DynamicsError, Place};

/// A recurrent network of gated cells with a linear readout, the baseline that rate networks are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct GatedNetworkConfig {
    /// The cell.
    pub cell: GatedCell,
    /// The width of the hidden state.
    pub units: usize,
}

impl Default for GatedNetworkConfig {
    fn default() -> Self {
        Self {
            cell: GatedCell::Gru,
            units: 128,
        }
    }
}

/// A gated recurrent cell. σ is the logistic function, ⊙ the product of elements, h begins at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GatedCell {
    /// Gated recurrent unit (Cho et al. 2014), with the reset gate after the product with the weights:
    ///
    /// r, z = σ(u W + b + h V + c), n = tanh(u W + b + r ⊙ (h V + c)), h ← (1 − z) ⊙ n + z ⊙ h
    #[default]
    Gru,
    /// Long short-term memory (Hochreiter and Schmidhuber 1997), with forget gates (Gers et al. 2000) whose biases begin
    /// at 1:
    ///
    /// i, f, o = σ(u W + b + h V + c), g = tanh(u W + b + h V + c), m ← f ⊙ m + i ⊙ g, h ← o ⊙ tanh(m)
    Lstm,
}

impl GatedCell {
    fn unit(self) -> GatedUnit {
        match self {
            Self::Gru => GatedUnit::Gru,
            Self::Lstm => GatedUnit::Lstm,
        }
    }
}

/// A GRU or LSTM with a linear readout.
#[derive(Module, Debug)]
pub struct GatedNetwork {
    /// The cells.
    pub cells: GatedCells,
    /// `[units, outputs]`.
    pub readout: Linear,
}

/// Gated cells, the weights of whose gates stand side by side.
#[derive(Module, Debug)]
pub struct GatedCells {
    /// W and b: `[inputs, 3 or 4 · units]`.
    pub input: Linear,
    /// V and c: `[units, 3 or 4 · units]`.
    pub recurrent: Linear,
    #[module(skip)]
    cell: GatedCell,
}

impl GatedNetworkConfig {
    /// Checks the width.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`].
    pub fn validate(&self) -> Result<(), DynamicsError> {
        check_count("units", self.units)
    }

    /// Draws a network, on the host: every weight Gaussian of variance 1/(3·`units`), which is that of PyTorch's uniform
    /// ones, and every bias 0 but that of forget gates.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a width of 0.
    pub fn init(
        &self,
        inputs: usize,
        outputs: usize,
        seed: u64,
        place: &Place,
    ) -> Result<GatedNetwork, DynamicsError> {
        check_count("outputs", outputs)?;
        let cells = self.cells(inputs, seed, place)?;
        budget::ask_for_numbers("the gated cells' readout", &[2, self.units, outputs])?;
        Ok(GatedNetwork {
            cells,
            readout: self.linear([self.units, outputs], seed, 2, place),
        })
    }

    /// Draws the cells of such a network alone.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a width of 0.
    pub fn cells(
        &self,
        inputs: usize,
        seed: u64,
        place: &Place,
    ) -> Result<GatedCells, DynamicsError> {
        self.validate()?;
        check_count("inputs", inputs)?;
        let n = self.units;
        let width = self.cell.unit().gates() * n;
        for rows in [inputs, n] {
            budget::ask_for_numbers("the gated cells", &[2, rows, width])?;
        }
        let mut input = self.linear([inputs, width], seed, 0, place);
        if let GatedCell::Lstm = self.cell {
            let forget = |j: usize| if (n..2 * n).contains(&j) { 1.0 } else { 0.0 };
            let bias = place.tensor((0..width).map(forget).collect(), [width]);
            input.bias = Some(Param::from_tensor(bias));
        }
        Ok(GatedCells {
            input,
            recurrent: self.linear([n, width], seed, 1, place),
            cell: self.cell,
        })
    }

    fn linear(&self, shape: [usize; 2], seed: u64, stream: u64, place: &Place) -> Linear {
        let [rows, columns] = shape;
        let scale = (3.0 * self.units as f64).sqrt().recip();
        let values = NormalNoise::new(seed, stream).values(0, rows * columns);
        let values = values.into_iter().map(|x| scale * x).collect();
        Linear {
            weight: Param::from_tensor(place.tensor(values, shape)),
            bias: Some(Param::from_tensor(place.full(0.0, [columns]))),
        }
    }
}

impl GatedCells {
    /// The cell.
    pub fn cell(&self) -> GatedCell {
        self.cell
    }

    /// The hidden states after every step of `inputs`, `[batch, steps, inputs]` → `[batch, steps, units]`.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] for inputs of another width, or without steps.
    pub fn states(&self, inputs: Tensor<3>) -> Result<Tensor<3>, DynamicsError> {
        Ok(self.run(inputs)?.swap_dims(0, 1))
    }

    /// The same as `[steps, batch, units]`, as they lie in memory.
    fn run(&self, inputs: Tensor<3>) -> Result<Tensor<3>, DynamicsError> {
        let [width, _] = self.input.weight.dims();
        check_sequences(&inputs, width)?;
        let bias = |layer: &Linear| match &layer.bias {
            Some(bias) => bias.val(),
            None => {
                let [_, columns] = layer.weight.dims();
                Tensor::zeros([columns], (&inputs.device(), inputs.dtype()))
            }
        };
        let weights = GatedWeights {
            input: self.input.weight.val(),
            input_bias: bias(&self.input),
            recurrent: self.recurrent.weight.val(),
            recurrent_bias: bias(&self.recurrent),
        };
        let inputs = inputs.swap_dims(0, 1);
        Ok(gated_sequence(inputs, weights, self.cell.unit()))
    }
}

impl SequenceModel for GatedNetwork {
    /// There is no noise.
    fn forward(
        &self,
        inputs: Tensor<3>,
        _noise: Option<NormalNoise>,
    ) -> Result<Trajectory, DynamicsError> {
        let states = self.cells.run(inputs)?;
        Ok(Trajectory::read_out(states, &self.readout).swapped())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::host;
    use crate::testing::{f32_places, f64_place, host_device};

    fn network(cell: GatedCell, place: &Place) -> GatedNetwork {
        let config = GatedNetworkConfig { cell, units: 3 };
        config.init(2, 1, 5, place).unwrap()
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// x W + b, of all gates.
    fn linear(layer: &Linear, x: &[f64]) -> Vec<f64> {
        let w = host(layer.weight.val()).unwrap();
        let b = host(layer.bias.as_ref().unwrap().val()).unwrap();
        let sum = |j: usize| -> f64 {
            let terms = x.iter().enumerate();
            terms.map(|(i, x)| x * w[i * b.len() + j]).sum()
        };
        (0..b.len()).map(|j| sum(j) + b[j]).collect()
    }

    /// The published equations, on the host.
    fn by_hand(cells: &GatedCells, inputs: &[[f64; 2]]) -> Vec<f64> {
        let (mut h, mut memory) = (vec![0.0; 3], [0.0; 3]);
        let mut all = Vec::new();
        for u in inputs {
            let (u, v) = (linear(&cells.input, u), linear(&cells.recurrent, &h));
            let gate = |gate: usize, j: usize| sigmoid(u[3 * gate + j] + v[3 * gate + j]);
            for j in 0..3 {
                h[j] = match cells.cell {
                    GatedCell::Gru => {
                        let (r, z) = (gate(0, j), gate(1, j));
                        let new = (u[6 + j] + r * v[6 + j]).tanh();
                        (1.0 - z) * new + z * h[j]
                    }
                    GatedCell::Lstm => {
                        let (i, f, o) = (gate(0, j), gate(1, j), gate(2, j));
                        memory[j] = f * memory[j] + i * (u[9 + j] + v[9 + j]).tanh();
                        o * memory[j].tanh()
                    }
                };
            }
            all.extend(h.clone());
        }
        all
    }

    #[test]
    fn both_cells_follow_their_equations_on_every_device_in_both_precisions() {
        let inputs = [[0.5, -1.0], [2.0, 0.1], [-0.7, 0.3]];
        let singles = f32_places()
            .into_iter()
            .map(|(name, place)| (name, place, 2e-6));
        let doubles = [("f64", f64_place(), 1e-14)];
        for (name, place, tolerance) in singles.chain(doubles) {
            for cell in [GatedCell::Gru, GatedCell::Lstm] {
                let network = network(cell, &place);
                let u = place.tensor(inputs.concat(), [1, 3, 2]);
                let found = network.forward(u, None).unwrap();
                assert_eq!(found.outputs.dims(), [1, 3, 1]);
                let expected = by_hand(&network.cells, &inputs);
                for (a, b) in host(found.rates).unwrap().iter().zip(&expected) {
                    assert!((a - b).abs() < tolerance, "{name} {cell:?}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn forget_gates_begin_open() {
        let cells = network(GatedCell::Lstm, &f64_place()).cells;
        let biases = host(cells.input.bias.unwrap().val()).unwrap();
        let expected = [[0.0; 3], [1.0; 3], [0.0; 3], [0.0; 3]];
        assert_eq!(biases, expected.concat());
    }

    #[test]
    fn one_seed_is_one_network_and_every_weight_gets_a_gradient() {
        let place = Place::f32(&host_device("flex").autodiff());
        for cell in [GatedCell::Gru, GatedCell::Lstm] {
            let u = place.full(0.3, [2, 4, 2]);
            let run = |seed| {
                let config = GatedNetworkConfig { cell, units: 3 };
                let network = config.init(2, 1, seed, &place).unwrap();
                let out = network.forward(u.clone(), None).unwrap();
                (host(out.outputs.clone()).unwrap(), out, network)
            };
            let (first, out, network) = run(1);
            assert_eq!(first, run(1).0);
            assert_ne!(first, run(2).0);
            let gradients = out.outputs.powi_scalar(2).sum().backward();
            for layer in [&network.cells.input, &network.cells.recurrent] {
                let slope = layer.weight.val().grad(&gradients).unwrap();
                assert!(host(slope).unwrap().iter().all(|slope| *slope != 0.0));
            }
        }
    }

    #[test]
    fn what_cannot_be_built_or_run_is_an_error() {
        let config = GatedNetworkConfig::default();
        let place = Place::f32(&host_device("flex"));
        assert!(config.init(0, 1, 0, &place).is_err());
        assert!(config.init(1, 0, 0, &place).is_err());
        let empty = GatedNetworkConfig {
            units: 0,
            ..config.clone()
        };
        assert!(empty.init(1, 1, 0, &place).is_err());
        let network = network(GatedCell::Gru, &place);
        for shape in [[1, 3, 1], [1, 0, 2]] {
            let refused = network.forward(place.full(0.0, shape), None);
            assert!(matches!(refused, Err(DynamicsError::Shape { .. })));
        }
    }
}
