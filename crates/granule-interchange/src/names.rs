//! How the tensors of a module are called in PyTorch, and how they lie there.
//!
//! Paths are the same; what differs is the layer's own:
//!
//! | layer | here | in PyTorch |
//! | --- | --- | --- |
//! | dense | `weight` `[inputs, outputs]` | `weight` `[outputs, inputs]` |
//! | batch and layer norm | `gamma`, `beta` | `weight`, `bias` |
//! | gated cells | `input.weight`, `input.bias`, `recurrent.weight`, `recurrent.bias` | `weight_ih_l0`, `bias_ih_l0`, `weight_hh_l0`, `bias_hh_l0`, transposed; of an LSTM the gates i, f, g, o in the place of i, f, o, g |
//!
//! All else, such as the matrices of a rate network, is as it is here. `num_batches_tracked`, which PyTorch counts by itself, is
//! not written, and left out where it is read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use burn::module::Module;
use granule_io::budget;
use granule_models::state::{Located, located};

use crate::InterchangeError;

/// The last part of the name of a counter of batch norm in PyTorch.
pub(crate) const COUNTER: &str = "num_batches_tracked";

/// A tensor of a module, and its name and layout in PyTorch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterpart {
    /// The path in [`granule_models::state`].
    pub own: String,
    /// The name in PyTorch's state dict.
    pub name: String,
    /// The dimensions here.
    pub own_shape: Vec<usize>,
    /// The dimensions in PyTorch.
    pub shape: Vec<usize>,
    /// Whether rows and columns are exchanged.
    transposed: bool,
    /// Whether the third and the fourth quarter of the rows in PyTorch are exchanged.
    swapped: bool,
}

/// Every tensor of a module, rising by its path here.
pub fn counterparts<M: Module>(module: &M) -> Vec<Counterpart> {
    let all = located(module);
    all.iter()
        .map(|(own, tensor)| counterpart(own, tensor, &all))
        .collect()
}

/// `(name, type)` of the field that is `back` before the last one.
fn field(tensor: &Located, back: usize) -> Option<(&str, &str)> {
    let (name, of) = tensor.fields.iter().rev().nth(back)?;
    Some((name, of.strip_prefix("Struct:")?))
}

fn counterpart(own: &str, tensor: &Located, all: &BTreeMap<String, Located>) -> Counterpart {
    let mut found = Counterpart {
        own: own.to_owned(),
        name: own.to_owned(),
        own_shape: tensor.shape.clone(),
        shape: tensor.shape.clone(),
        transposed: false,
        swapped: false,
    };
    match (field(tensor, 0), field(tensor, 1)) {
        (Some((part, "Linear")), layer) => {
            found.transposed = part == "weight";
            if found.transposed {
                found.shape.reverse();
            }
            let Some((layer, "GatedCells")) = layer else {
                return found;
            };
            let suffix = if layer == "input" { "ih_l0" } else { "hh_l0" };
            let cells = own.strip_suffix(&format!("{layer}.{part}")).unwrap_or("");
            found.name = format!("{cells}{part}_{suffix}");
            let recurrent = all.get(&format!("{cells}recurrent.weight"));
            // Four gates of the width of the state.
            found.swapped = recurrent.is_some_and(|weight| {
                matches!(weight.shape[..], [units, gates] if Some(gates) == units.checked_mul(4))
            });
        }
        (Some((part, "BatchNorm" | "LayerNorm")), _) => {
            let renamed = match part {
                "gamma" => "weight",
                "beta" => "bias",
                other => other,
            };
            let module = own.strip_suffix(part).unwrap_or("");
            found.name = format!("{module}{renamed}");
        }
        _ => {}
    }
    found
}

impl Counterpart {
    /// The elements as they lie in PyTorch.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::Memory`].
    pub fn outward<'a>(&self, data: &'a [f32]) -> Result<Cow<'a, [f32]>, InterchangeError> {
        if !self.transposed && !self.swapped {
            return Ok(Cow::Borrowed(data));
        }
        let mut out = self.transpose(data, &self.own_shape)?;
        self.swap(&mut out);
        Ok(Cow::Owned(out))
    }

    /// The elements as they lie here, of those of PyTorch.
    ///
    /// # Errors
    ///
    /// [`InterchangeError::Memory`].
    pub fn inward(&self, mut data: Vec<f32>) -> Result<Vec<f32>, InterchangeError> {
        self.swap(&mut data);
        if self.transposed {
            self.transpose(&data, &self.shape)
        } else {
            Ok(data)
        }
    }

    /// A copy; of a matrix of this shape the transposed one, where they differ in that.
    fn transpose(&self, data: &[f32], shape: &[usize]) -> Result<Vec<f32>, InterchangeError> {
        let mut out = budget::with_capacity(data.len(), format_args!("the tensor {}", self.own))?;
        match *shape {
            [rows, columns] if self.transposed => out.extend(
                (0..columns)
                    .flat_map(|column| (0..rows).map(move |row| row * columns + column))
                    .filter_map(|at| data.get(at)),
            ),
            _ => out.extend_from_slice(data),
        }
        Ok(out)
    }

    fn swap(&self, data: &mut [f32]) {
        if self.swapped
            && let Some(second) = data.get_mut(data.len() / 2..)
        {
            second.rotate_left(second.len() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use granule_device::DeviceSpec;
    use granule_models::{InputShape, ModelConfig};

    use super::*;

    fn names(model: &str) -> BTreeMap<String, (Counterpart, Vec<usize>)> {
        let input = InputShape::Image {
            channels: 1,
            height: 28,
            width: 28,
        };
        let device = DeviceSpec::Cpu.open().unwrap();
        let model = ModelConfig::from_name(model).unwrap();
        let network = model.init(&input, 10, 1, device.burn()).unwrap();
        let all = counterparts(&network).into_iter();
        all.map(|one| (one.name.clone(), (one.clone(), one.shape)))
            .collect()
    }

    #[test]
    fn layers_have_the_names_and_shapes_of_pytorch() {
        let lenet = names("lenet");
        assert_eq!(lenet["fc1.weight"].1, [120, 400]);
        assert_eq!(lenet["conv2.weight"].1, [16, 6, 5, 5]);
        let resnet = names("resnet");
        for part in ["weight", "bias", "running_mean", "running_var"] {
            assert_eq!(resnet[&format!("stem.norm.{part}")].1, [64]);
        }
        for (model, gates) in [("gru", 3), ("lstm", 4)] {
            let gated = names(model);
            let cells = |part: &str| gated[&format!("network.cells.{part}")].1.clone();
            assert_eq!(cells("weight_ih_l0"), [gates * 128, 28]);
            assert_eq!(cells("weight_hh_l0"), [gates * 128, 128]);
            assert_eq!(cells("bias_ih_l0"), [gates * 128]);
            assert_eq!(cells("bias_hh_l0"), [gates * 128]);
            assert_eq!(gated["network.readout.weight"].1, [10, 128]);
        }
    }

    #[test]
    fn gates_of_an_lstm_are_those_of_pytorch_and_come_back() {
        // Two inputs and one unit: the columns i, f, o, g.
        let weight = Counterpart {
            own: "input.weight".into(),
            name: "weight_ih_l0".into(),
            own_shape: vec![2, 4],
            shape: vec![4, 2],
            transposed: true,
            swapped: true,
        };
        let own = [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0];
        let there = weight.outward(&own).unwrap().into_owned();
        // The rows i, f, g, o.
        assert_eq!(there, [1.0, 10.0, 2.0, 20.0, 4.0, 40.0, 3.0, 30.0]);
        assert_eq!(weight.inward(there).unwrap(), own);
        let bias = Counterpart {
            own_shape: vec![4],
            shape: vec![4],
            transposed: false,
            ..weight
        };
        let there = bias.outward(&own[..4]).unwrap().into_owned();
        assert_eq!(there, [1.0, 2.0, 4.0, 3.0]);
        assert_eq!(bias.inward(there).unwrap(), own[..4]);
    }
}
