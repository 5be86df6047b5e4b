use burn::module::{Module, Param};
use burn::nn::{GateController, Gru, GruConfig, Linear, Lstm, LstmConfig, LstmState};
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::{SequenceModel, Trajectory, check_sequences};
use crate::random::NormalNoise;
use crate::setting::{ask_for, check_count};
use crate::{DynamicsError, Place};

/// A recurrent network of Burn's gated cells, the baseline that rate networks are compared with.
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

/// A gated recurrent cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GatedCell {
    /// Gated recurrent unit (Cho et al. 2014), with the reset gate after the product with the weights.
    #[default]
    Gru,
    /// Long short-term memory (Hochreiter and Schmidhuber 1997), with forget gates whose biases begin at 1.
    Lstm,
}

/// A GRU or LSTM with a linear readout.
#[derive(Module, Debug)]
pub struct GatedNetwork {
    /// The cells.
    pub cells: GatedCells,
    /// `[units, outputs]`.
    pub readout: Linear,
}

/// Burn's module of the cells.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum GatedCells {
    /// Gated recurrent units.
    Gru(Gru),
    /// Long short-term memory.
    Lstm(Lstm),
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
    /// ones, and every bias 0.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] for a width of 0, or a place in other than single precision, in which Burn's cells keep
    /// their states.
    pub fn init(
        &self,
        inputs: usize,
        outputs: usize,
        seed: u64,
        place: &Place,
    ) -> Result<GatedNetwork, DynamicsError> {
        self.validate()?;
        for (field, width) in [("inputs", inputs), ("outputs", outputs)] {
            check_count(field, width)?;
        }
        let gates = match self.cell {
            GatedCell::Gru => 3,
            GatedCell::Lstm => 4,
        };
        ask_for(
            "the gated cells",
            &[gates * self.units, inputs + self.units],
        )?;
        ask_for("the gated cells' readout", &[self.units, outputs])?;
        if place.dtype != DType::F32 {
            let found = place.dtype.name().to_owned();
            return Err(DynamicsError::config(
                "precision",
                found,
                "f32 for GRU and LSTM",
            ));
        }
        let n = self.units;
        let mut stream = 0;
        let mut linear = |rows: usize, columns: usize, bias: f64| {
            let scale = (3.0 * n as f64).sqrt().recip();
            let values = NormalNoise::new(seed, stream).values(0, rows * columns);
            let values = values.into_iter().map(|x| scale * x).collect();
            stream += 1;
            Linear {
                weight: Param::from_tensor(place.tensor(values, [rows, columns])),
                bias: Some(Param::from_tensor(place.full(bias, [columns]))),
            }
        };
        let mut fill = |gate: &mut GateController, bias: f64| {
            gate.input_transform = linear(inputs, n, bias);
            gate.hidden_transform = linear(n, n, 0.0);
        };
        let cells = match self.cell {
            GatedCell::Gru => {
                let mut gru = GruConfig::new(inputs, n, true).init(&place.device);
                for gate in [&mut gru.update_gate, &mut gru.reset_gate, &mut gru.new_gate] {
                    fill(gate, 0.0);
                }
                GatedCells::Gru(gru)
            }
            GatedCell::Lstm => {
                let mut lstm = LstmConfig::new(inputs, n, true).init(&place.device);
                for gate in [
                    &mut lstm.input_gate,
                    &mut lstm.output_gate,
                    &mut lstm.cell_gate,
                ] {
                    fill(gate, 0.0);
                }
                if let Some(gate) = &mut lstm.forget_gate {
                    fill(gate, 1.0);
                }
                GatedCells::Lstm(lstm)
            }
        };
        Ok(GatedNetwork {
            cells,
            readout: linear(n, outputs, 0.0),
        })
    }
}

impl GatedNetwork {
    fn inputs(&self) -> usize {
        let gate = match &self.cells {
            GatedCells::Gru(gru) => &gru.update_gate,
            GatedCells::Lstm(lstm) => &lstm.input_gate,
        };
        gate.input_transform.weight.dims()[0]
    }
}

impl SequenceModel for GatedNetwork {
    /// There is no noise.
    fn forward(
        &self,
        inputs: Tensor<3>,
        _noise: Option<NormalNoise>,
    ) -> Result<Trajectory, DynamicsError> {
        check_sequences(&inputs, self.inputs())?;
        // Burn writes each step's state into the whole sequence, which on a tape copies it; a sequence of one step does not.
        let states: Vec<Tensor<3>> = match &self.cells {
            GatedCells::Gru(gru) => {
                let mut hidden: Option<Tensor<2>> = None;
                let step = |u: Tensor<3>| {
                    let out = gru.forward(u, hidden.take());
                    hidden = Some(out.clone().squeeze_dim(1));
                    out
                };
                inputs.iter_dim(1).map(step).collect()
            }
            GatedCells::Lstm(lstm) => {
                let mut state: Option<LstmState<2>> = None;
                let step = |u: Tensor<3>| {
                    let (out, next) = lstm.forward(u, state.take());
                    state = Some(next);
                    out
                };
                inputs.iter_dim(1).map(step).collect()
            }
        };
        let states: Tensor<3> = Tensor::cat(states, 1);
        let [batch, steps, units] = states.dims();
        let outputs = self
            .readout
            .forward(states.clone().reshape([batch * steps, units]));
        let channels = outputs.dims()[1];
        Ok(Trajectory {
            rates: states,
            outputs: outputs.reshape([batch, steps, channels]),
        })
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

    /// u W + h V + both biases of a gate, V's part alone multiplied by `factor`.
    fn gate(gate: &GateController, u: &[f64], h: &[f64], factor: &[f64]) -> Vec<f64> {
        let part = |linear: &Linear, x: &[f64], j: usize| {
            let w = host(linear.weight.val()).unwrap();
            let b = host(linear.bias.as_ref().unwrap().val()).unwrap();
            let sum: f64 = x.iter().enumerate().map(|(i, x)| x * w[i * 3 + j]).sum();
            sum + b[j]
        };
        let hidden = |j: usize| factor[j] * part(&gate.hidden_transform, h, j);
        (0..3)
            .map(|j| part(&gate.input_transform, u, j) + hidden(j))
            .collect()
    }

    /// The published equations, on the host.
    fn by_hand(network: &GatedNetwork, inputs: &[[f64; 2]]) -> Vec<f64> {
        let (mut h, mut c) = (vec![0.0; 3], vec![0.0; 3]);
        let one = [1.0; 3];
        let mut all = Vec::new();
        for u in inputs {
            let map = |x: Vec<f64>, f: fn(f64) -> f64| x.into_iter().map(f).collect::<Vec<_>>();
            match &network.cells {
                GatedCells::Gru(gru) => {
                    let z = map(gate(&gru.update_gate, u, &h, &one), sigmoid);
                    let r = map(gate(&gru.reset_gate, u, &h, &one), sigmoid);
                    let n = map(gate(&gru.new_gate, u, &h, &r), f64::tanh);
                    h = (0..3).map(|j| (1.0 - z[j]) * n[j] + z[j] * h[j]).collect();
                }
                GatedCells::Lstm(lstm) => {
                    let i = map(gate(&lstm.input_gate, u, &h, &one), sigmoid);
                    let forget = lstm.forget_gate.as_ref().unwrap();
                    let f = map(gate(forget, u, &h, &one), sigmoid);
                    let o = map(gate(&lstm.output_gate, u, &h, &one), sigmoid);
                    let g = map(gate(&lstm.cell_gate, u, &h, &one), f64::tanh);
                    c = (0..3).map(|j| f[j] * c[j] + i[j] * g[j]).collect();
                    h = (0..3).map(|j| o[j] * c[j].tanh()).collect();
                }
            }
            all.extend(h.clone());
        }
        all
    }

    #[test]
    fn both_cells_follow_their_equations_on_every_device() {
        let inputs = [[0.5, -1.0], [2.0, 0.1], [-0.7, 0.3]];
        for (name, place) in f32_places() {
            for cell in [GatedCell::Gru, GatedCell::Lstm] {
                let network = network(cell, &place);
                let u = place.tensor(inputs.concat(), [1, 3, 2]);
                let found = network.forward(u, None).unwrap();
                assert_eq!(found.outputs.dims(), [1, 3, 1]);
                let expected = by_hand(&network, &inputs);
                for (a, b) in host(found.rates).unwrap().iter().zip(&expected) {
                    assert!((a - b).abs() < 2e-6, "{name} {cell:?}: {a} {b}");
                }
            }
        }
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
            let gates: Vec<&GateController> = match &network.cells {
                GatedCells::Gru(gru) => {
                    vec![&gru.update_gate, &gru.reset_gate, &gru.new_gate]
                }
                GatedCells::Lstm(lstm) => vec![
                    &lstm.input_gate,
                    lstm.forget_gate.as_ref().unwrap(),
                    &lstm.output_gate,
                    &lstm.cell_gate,
                ],
            };
            for gate in gates {
                let slope = gate.hidden_transform.weight.val().grad(&gradients).unwrap();
                assert!(host(slope.abs().sum()).unwrap()[0] > 0.0);
            }
        }
    }

    #[test]
    fn what_cannot_be_built_or_run_is_an_error() {
        let config = GatedNetworkConfig::default();
        assert!(config.init(1, 1, 0, &f64_place()).is_err());
        let place = Place::f32(&host_device("flex"));
        assert!(config.init(0, 1, 0, &place).is_err());
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
