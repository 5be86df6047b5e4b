//! What models of sequences share: how a sample becomes steps, and which steps' outputs count.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::layers::check_size;
use crate::{InputShape, ModelError};

/// Which steps' outputs are those of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Readout {
    /// The last step's for an image, all steps' for a sequence.
    #[default]
    Auto,
    /// The last step's.
    Last,
    /// The mean over the steps.
    Mean,
    /// All steps', one after the other.
    Sequence,
}

impl Readout {
    /// What auto stands for.
    pub fn of(self, input: &InputShape) -> Self {
        match (self, input) {
            (Self::Auto, InputShape::Sequence { .. }) => Self::Sequence,
            (Self::Auto, _) => Self::Last,
            (chosen, _) => chosen,
        }
    }

    /// The outputs of one step of a model that has `outputs` of them in all.
    pub(crate) fn width(self, input: &InputShape, outputs: usize) -> Result<usize, ModelError> {
        let (steps, _) = extents(input)?;
        let width = match self.of(input) {
            Self::Sequence if !outputs.is_multiple_of(steps) => {
                return Err(ModelError::config(
                    "readout",
                    "sequence",
                    format!(
                        "last or mean for {outputs} outputs, which are not so many for each of {steps} steps"
                    ),
                ));
            }
            Self::Sequence => outputs / steps,
            _ => outputs,
        };
        check_size("outputs", width)?;
        Ok(width)
    }

    /// Inputs and outputs of one step of a model that has `outputs` in all, and what auto stands for.
    pub(crate) fn of_steps(
        self,
        input: &InputShape,
        outputs: usize,
    ) -> Result<([usize; 2], Self), ModelError> {
        let (_, inputs) = extents(input)?;
        Ok(([inputs, self.width(input, outputs)?], self.of(input)))
    }

    /// Checks that each step has an answer of its own, as a [`Stepper`](crate::Stepper) needs it.
    pub(crate) fn check_step(self) -> Result<(), ModelError> {
        match self {
            Self::Auto | Self::Last | Self::Sequence => Ok(()),
            Self::Mean => Err(ModelError::config(
                "readout",
                "mean",
                "last or sequence, to take the model one step at a time: a mean is of all steps",
            )),
        }
    }

    /// `[batch, steps, width]` → `[batch, width]`, or `[batch, steps · width]` of all steps.
    pub(crate) fn take(self, outputs: Tensor<3>) -> Tensor<2> {
        let [batch, steps, width] = outputs.dims();
        match self {
            Self::Auto | Self::Last => outputs.narrow(1, steps - 1, 1).reshape([batch, width]),
            Self::Mean => outputs.mean_dim(1).reshape([batch, width]),
            Self::Sequence => outputs.reshape([batch, steps * width]),
        }
    }
}

/// Steps and inputs of a step.
pub(crate) fn extents(input: &InputShape) -> Result<(usize, usize), ModelError> {
    match *input {
        InputShape::Image {
            channels,
            height,
            width,
        } => Ok((height, channels * width)),
        InputShape::Sequence { steps, channels } => Ok((steps, channels)),
        InputShape::Vector { .. } => Err(ModelError::config(
            "input",
            input,
            "images, whose rows are steps, or sequences; use mlp for feature vectors",
        )),
    }
}

/// Checks that every step has inputs.
pub(crate) fn check_inputs(input: &InputShape) -> Result<(), ModelError> {
    match extents(input)? {
        (_, 0) => {
            let allowed =
                "steps of at least one value; use rate for a network that moves by itself";
            Err(ModelError::config("input", input, allowed))
        }
        _ => Ok(()),
    }
}

/// `[batch, features]` → `[batch, steps, inputs]`. An image is shown from top to bottom, one row a step: the inputs of a
/// step are the pixels of that row, of all channels one after the other.
pub(crate) fn to_steps(x: Tensor<2>, input: &InputShape) -> Tensor<3> {
    let [batch, _] = x.dims();
    match *input {
        InputShape::Image {
            channels,
            height,
            width,
        } => x
            .reshape([batch, channels, height, width])
            .swap_dims(1, 2)
            .reshape([batch, height, channels * width]),
        InputShape::Sequence { steps, channels } => x.reshape([batch, steps, channels]),
        InputShape::Vector { len } => x.reshape([batch, 1, len]),
    }
}
