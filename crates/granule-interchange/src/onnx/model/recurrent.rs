//! Networks along the steps of a sequence, or the rows of an image. Steps come first in the graph: `[steps, batch, values]`.

use granule_dynamics::population::{
    Activation, GatedCell, RateNetworkConfig, Rectifier, Recurrence,
};
use granule_models::{GruConfig, InputShape, LstmConfig, RateConfig, Readout, WilsonCowanConfig};

use super::super::field;
use super::super::graph::{Attribute, Extent, Graph, Value, value_info};
use super::super::wire::Message;
use crate::Described;

pub(super) fn gru(graph: &mut Graph, model: &Described<'_>, x: Value) -> Option<Value> {
    let config: &GruConfig = model.file.model.get()?;
    Some(graph.gated_network(&x, model, GatedCell::Gru, config.units, config.readout))
}

pub(super) fn lstm(graph: &mut Graph, model: &Described<'_>, x: Value) -> Option<Value> {
    let config: &LstmConfig = model.file.model.get()?;
    Some(graph.gated_network(&x, model, GatedCell::Lstm, config.units, config.readout))
}

pub(super) fn rate(graph: &mut Graph, model: &Described<'_>, x: Value) -> Option<Value> {
    let config: &RateConfig = model.file.model.get()?;
    let input = &model.file.input.shape;
    let steps = graph.steps_of(&x, input);
    let rates = graph.rates(&steps, model, &config.network(), "network");
    let mut weight = "network.readout.raw".to_owned();
    if config.excitatory_output {
        weight = graph.mul(&weight, "network.readout.units");
    }
    let outputs = graph.matmul(&rates, &weight);
    let outputs = graph.add(&outputs, "network.readout.bias.raw");
    let taken = graph.taken(&outputs, config.readout.of(input));
    Some(graph.flatten(&taken))
}

/// r ← r + (Δt/τ) ((S(∞) − ρ r) S(W r + u) − r), with S(x) = σ(a (x − θ)) − σ(−a θ).
pub(super) fn wilson_cowan(graph: &mut Graph, model: &Described<'_>, x: Value) -> Option<Value> {
    let config: &WilsonCowanConfig = model.file.model.get()?;
    let input = &model.file.input.shape;
    let steps = graph.steps_of(&x, input);
    let drive = graph.dense_along(&steps, "network.input");
    let weights = graph.signed_weights(model, Some(Rectifier::Abs), "network.recurrent");
    let [slope, threshold] = ["network.slope", "network.threshold"];
    let product = graph.mul(slope, threshold);
    let negative = graph.node("Neg", &[&product], &[]);
    let floor = graph.sigmoid(&negative);
    let one = graph.float(1.0);
    let largest = graph.sub(&one, &floor);
    let dt = graph.float(config.dt as f32);
    let share = graph.div(&dt, "network.time_constant");
    let zeros = graph.floats(&[1, config.units], &vec![0.0; config.units]);
    let initial = graph.for_all_samples(&zeros, &drive);
    let rates = graph.scan(&initial, &drive, config.units, |body, x, drive| {
        let recurrent = body.matmul(x, &weights);
        let current = body.add(drive, &recurrent);
        let above = body.sub(&current, threshold);
        let scaled = body.mul(&above, slope);
        let response = body.sigmoid(&scaled);
        let response = body.sub(&response, &floor);
        let refractoriness = body.float(config.refractoriness as f32);
        let refractory = body.mul(x, &refractoriness);
        let ready = body.sub(&largest, &refractory);
        let driven = body.mul(&ready, &response);
        let change = body.sub(&driven, x);
        let change = body.mul(&change, &share);
        let next = body.add(x, &change);
        (next.clone(), next)
    });
    let outputs = graph.dense_along(&rates, "network.readout");
    let taken = graph.taken(&outputs, config.readout.of(input));
    Some(graph.flatten(&taken))
}

impl Graph {
    /// Of an image `[batch, channels, rows, columns]` the rows, of a sequence `[batch, steps, values]` the steps.
    pub(super) fn steps_of(&mut self, x: &str, input: &InputShape) -> Value {
        match input {
            InputShape::Image { .. } => {
                let rows = self.transpose(x, &[2, 0, 1, 3]);
                self.reshape(&rows, &[0, 0, -1])
            }
            InputShape::Sequence { .. } | InputShape::Vector { .. } => {
                self.transpose(x, &[1, 0, 2])
            }
        }
    }

    /// `[batch, values]` of one step or the mean; `[batch, steps, values]` of all.
    pub(super) fn taken(&mut self, steps: &str, readout: Readout) -> Value {
        match readout {
            Readout::Auto | Readout::Last => {
                let last = self.ints(&[-1]);
                let last = self.node("Gather", &[steps, &last], &[("axis", Attribute::Int(0))]);
                self.squeeze(&last, 0)
            }
            Readout::Mean => self.node(
                "ReduceMean",
                &[steps],
                &[
                    ("axes", Attribute::Ints(&[0])),
                    ("keepdims", Attribute::Int(0)),
                ],
            ),
            Readout::Sequence => self.transpose(steps, &[1, 0, 2]),
        }
    }

    fn gated_network(
        &mut self,
        x: &str,
        model: &Described<'_>,
        cell: GatedCell,
        units: usize,
        readout: Readout,
    ) -> Value {
        let input = &model.file.input.shape;
        let steps = self.steps_of(x, input);
        let states = self.gated(&steps, cell, units, "network.cells");
        let outputs = self.dense_along(&states, "network.readout");
        let taken = self.taken(&outputs, readout.of(input));
        self.flatten(&taken)
    }

    /// The hidden states after every step.
    pub(super) fn gated(
        &mut self,
        steps: &str,
        cell: GatedCell,
        units: usize,
        path: &str,
    ) -> Value {
        // The gates of PyTorch by the order of ONNX: of a GRU z, r, n, of an LSTM i, o, f, g.
        let (operator, order): (_, &[usize]) = match cell {
            GatedCell::Gru => ("GRU", &[1, 0, 2]),
            GatedCell::Lstm => ("LSTM", &[0, 3, 1, 2]),
        };
        let mut ordered = |part: &str| {
            let name = format!("{path}.{part}_l0");
            let gates = self.nodes(
                "Split",
                &[&name],
                &[("axis", Attribute::Int(0))],
                order.len(),
            );
            let gates: Vec<&str> = order
                .iter()
                .filter_map(|gate| gates.get(*gate).map(String::as_str))
                .collect();
            self.concat(&gates, 0)
        };
        let [input, recurrent] = ["weight_ih", "weight_hh"].map(&mut ordered);
        let [first, second] = ["bias_ih", "bias_hh"].map(ordered);
        let bias = self.concat(&[&first, &second], 0);
        // There is one direction.
        let [input, recurrent, bias] =
            [input, recurrent, bias].map(|weights| self.unsqueeze(&weights, 0));
        let width = ("hidden_size", Attribute::Int(units as i64));
        let inputs = [steps, &input, &recurrent, &bias];
        let states = match cell {
            GatedCell::Gru => {
                let reset = ("linear_before_reset", Attribute::Int(1));
                self.node(operator, &inputs, &[width, reset])
            }
            GatedCell::Lstm => self.node(operator, &inputs, &[width]),
        };
        self.squeeze(&states, 1)
    }

    /// The rates of a rate network after every step: x ← (1 − α) x + α (r(x) W + u), with α = Δt/τ.
    pub(super) fn rates(
        &mut self,
        steps: &str,
        model: &Described<'_>,
        config: &RateNetworkConfig,
        path: &str,
    ) -> Value {
        let driven = self.matmul(steps, &format!("{path}.input"));
        let drive = self.add(&driven, &format!("{path}.bias.raw"));
        let rectifier = config.dale_ratio.map(|_| config.rectifier);
        let recurrent = format!("{path}.recurrent");
        let weights = match config.recurrence {
            Recurrence::LowRank { .. } => {
                let left = self.transpose(&format!("{recurrent}.left"), &[1, 0]);
                let product = self.matmul(&format!("{recurrent}.right"), &left);
                let units = self.float(config.units as f32);
                let structure = self.div(&product, &units);
                let background = format!("{recurrent}.background");
                if has(model, &background) {
                    self.add(&structure, &background)
                } else {
                    structure
                }
            }
            _ => self.signed_weights(model, rectifier, &recurrent),
        };
        let raw = format!("{path}.time_constant.raw");
        let time_constant = match config.time_constant_bounds {
            None => raw,
            Some([low, high]) => {
                let share = self.sigmoid(&raw);
                let width = self.float((high - low) as f32);
                let above = self.mul(&share, &width);
                let low = self.float(low as f32);
                self.add(&above, &low)
            }
        };
        let dt = self.float(config.dt as f32);
        let alpha = self.div(&dt, &time_constant);
        let one = self.float(1.0);
        let kept = self.sub(&one, &alpha);
        let initial = self.for_all_samples(&format!("{path}.initial.raw"), &drive);
        self.scan(&initial, &drive, config.units, |body, x, drive| {
            let rates = body.rate(x, config.activation);
            let recurrent = body.matmul(&rates, &weights);
            let current = body.add(&recurrent, drive);
            let [stays, comes] = [body.mul(x, &kept), body.mul(&current, &alpha)];
            let next = body.add(&stays, &comes);
            let rates = body.rate(&next, config.activation);
            (next, rates)
        })
    }

    /// `size(raw) ∘ pattern`
    fn signed_weights(
        &mut self,
        model: &Described<'_>,
        rectifier: Option<Rectifier>,
        path: &str,
    ) -> Value {
        let raw = format!("{path}.raw");
        let size = match rectifier {
            None => raw,
            Some(Rectifier::Abs) => self.node("Abs", &[&raw], &[]),
            Some(Rectifier::Relu) => self.relu(&raw),
            Some(Rectifier::Softplus) => self.node("Softplus", &[&raw], &[]),
        };
        let pattern = format!("{path}.pattern");
        if has(model, &pattern) {
            self.mul(&size, &pattern)
        } else {
            size
        }
    }

    fn rate(&mut self, x: &str, activation: Activation) -> Value {
        match activation {
            Activation::Tanh => self.node("Tanh", &[x], &[]),
            Activation::Relu => self.relu(x),
            Activation::Softplus => self.node("Softplus", &[x], &[]),
            Activation::Sigmoid => self.sigmoid(x),
            Activation::Linear => self.node("Identity", &[x], &[]),
            Activation::PowerLaw { gain, exponent } => {
                let above = self.relu(x);
                let exponent = self.float(exponent as f32);
                let power = self.node("Pow", &[&above, &exponent], &[]);
                let gain = self.float(gain as f32);
                self.mul(&power, &gain)
            }
        }
    }

    /// `[1, units]` → `[batch, units]`, with the batch of `[steps, batch, units]`.
    fn for_all_samples(&mut self, row: &str, steps: &str) -> Value {
        let shape = self.node("Shape", &[steps], &[]);
        let shape = self.slice(&shape, 0, 1, 3);
        self.node("Expand", &[row, &shape], &[])
    }

    /// Runs `step` along the steps: of the state and the input of a step the next state, and what is gathered, `[steps, batch,
    /// units]`.
    fn scan(
        &mut self,
        initial: &str,
        drive: &str,
        units: usize,
        step: impl FnOnce(&mut Self, &str, &str) -> (Value, Value),
    ) -> Value {
        let mut body = Self::within("step.");
        let (state, input) = ("step.state", "step.input");
        let (next, gathered) = step(&mut body, state, input);
        // What is given twice has a name for each.
        let gathered = body.node("Identity", &[&gathered], &[]);
        let extents = [Extent::Batch, Extent::Of(units)];
        let info = |name: &str| value_info(name, &extents);
        let values = Message::default()
            .text(field::graph::NAME, "step")
            .message(field::graph::INPUT, &info(state))
            .message(field::graph::INPUT, &info(input))
            .message(field::graph::OUTPUT, &info(&next))
            .message(field::graph::OUTPUT, &info(&gathered));
        let body = body.finish().with(&values);
        let attributes = [
            ("body", Attribute::Graph(body)),
            ("num_scan_inputs", Attribute::Int(1)),
        ];
        let given = self.nodes("Scan", &[initial, drive], &attributes, 2);
        given.into_iter().nth(1).unwrap_or_default()
    }
}

fn has(model: &Described<'_>, name: &str) -> bool {
    model.tensors.iter().any(|(own, _)| own == name)
}
