use std::io::Write;

use burn::tensor::Device;
use granule_models::{ModelError, ModelFile, Network, StateDict, TensorValue, TensorView};

use crate::names::{Counterpart, counterparts};
use crate::{Format, InterchangeError};

/// A model as formats write it.
#[derive(Debug)]
pub struct Described<'a> {
    /// The model file.
    pub file: &'a ModelFile,
    /// Its network.
    pub network: &'a Network,
    /// Its tensors with their names and layouts in PyTorch, rising by name.
    pub tensors: Vec<(String, TensorView<'a>)>,
}

/// Writes a model in a format. `device` is where the model is built to know its layers.
///
/// # Errors
///
/// [`InterchangeError::ReadOnly`], [`InterchangeError::Inexpressible`], [`InterchangeError::Write`], and
/// [`InterchangeError::Model`] for weights that do not fit their configuration.
pub fn export(
    file: &ModelFile,
    format: &Format,
    device: &Device,
    out: &mut dyn Write,
) -> Result<(), InterchangeError> {
    let write = format.write.ok_or(InterchangeError::ReadOnly {
        format: format.name(),
    })?;
    let network = file.network(device)?;
    let mut counterparts = counterparts(&network);
    counterparts.sort_by(|a, b| a.name.cmp(&b.name));
    write(
        &Described {
            file,
            network: &network,
            tensors: outward(file, &counterparts)?,
        },
        out,
    )
}

/// The tensors of a model with their names and layouts in PyTorch. `device` is where the model is built to know its layers.
///
/// # Errors
///
/// [`InterchangeError::Model`] for weights that do not fit their configuration, [`InterchangeError::Memory`].
pub fn state_dict(file: &ModelFile, device: &Device) -> Result<StateDict, InterchangeError> {
    let counterparts = counterparts(&file.network(device)?);
    let tensors = outward(file, &counterparts)?.into_iter();
    let owned = |view: TensorView<'_>| TensorValue {
        shape: view.shape.to_vec(),
        data: view.data.into_owned(),
    };
    Ok(StateDict(
        tensors.map(|(name, view)| (name, owned(view))).collect(),
    ))
}

fn outward<'a>(
    file: &'a ModelFile,
    counterparts: &'a [Counterpart],
) -> Result<Vec<(String, TensorView<'a>)>, InterchangeError> {
    let mut tensors = Vec::with_capacity(counterparts.len());
    for counterpart in counterparts {
        let value = file.state.0.get(&counterpart.own);
        let value = value.ok_or_else(|| ModelError::MissingTensor {
            name: counterpart.own.clone(),
        })?;
        let view = TensorView {
            shape: &counterpart.shape,
            data: counterpart.outward(&value.data)?,
        };
        tensors.push((counterpart.name.clone(), view));
    }
    Ok(tensors)
}
