//! Where a layer stands, and what does not fit there.

use std::fmt::{self, Display};

use super::layer::LayerConfig;
use crate::input::MAX_LEN;
use crate::{InputShape, ModelError};

/// Where a layer stands: what it takes, and how messages name it.
#[derive(Clone, Debug)]
pub struct Site {
    place: String,
    kind: &'static str,
    before: Before,
}

impl Site {
    /// The shape of one sample that the layer takes.
    pub fn input(&self) -> InputShape {
        self.before.shape
    }

    /// Its place in the configuration, as `layer[2]`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The place of one of its settings, as `layer[2].units`, for [`ModelError::config`].
    pub fn field(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    /// The error of a layer that does not fit what it takes, whose shape stands between `problem` and `hint`: `layer[2] (dense)
    /// takes vectors, the layer before gives 16×5×5; put a flatten between them`.
    pub fn misfit(&self, problem: impl Display, hint: impl Display) -> ModelError {
        self.refused(format_args!("{problem}, {}; {hint}", self.before))
    }

    /// What the layer before gives, in words: `the layer before gives 16×5×5`.
    pub(super) fn before(&self) -> impl Display {
        self.before
    }

    pub(super) fn refused(&self, problem: impl Display) -> ModelError {
        ModelError::Layer {
            layer: format!("{} ({})", self.place, self.kind),
            problem: problem.to_string(),
        }
    }

    /// The shape that `layers` within this one give, when they take what it takes.
    ///
    /// # Errors
    ///
    /// Those of the layers, with their places.
    pub fn through(&self, layers: &[LayerConfig]) -> Result<InputShape, ModelError> {
        through(layers, self.before, |i| {
            format!("{}.layer[{i}]", self.place)
        })
    }

    /// The shape that the layers of the branch at `place` give, when they take `input`.
    pub(super) fn through_branch(
        place: &str,
        input: InputShape,
        layers: &[LayerConfig],
    ) -> Result<InputShape, ModelError> {
        through(layers, Before::branch(input), |i| {
            format!("{place}.layer[{i}]")
        })
    }
}

/// The shape that layers give when they take `input`.
pub(super) fn given(layers: &[LayerConfig], input: &InputShape) -> Result<InputShape, ModelError> {
    through(layers, Before::input(input), |i| format!("layer[{i}]"))
}

fn through(
    layers: &[LayerConfig],
    mut before: Before,
    place: impl Fn(usize) -> String,
) -> Result<InputShape, ModelError> {
    for (i, layer) in layers.iter().enumerate() {
        before = Before::layer(layer.given(place(i), before)?);
    }
    Ok(before.shape)
}

impl LayerConfig {
    /// The shape that the layer at `place` gives.
    pub(super) fn given(&self, place: String, before: Before) -> Result<InputShape, ModelError> {
        let site = Site {
            place,
            kind: self.kind(),
            before,
        };
        let shape = self.shape(&site)?;
        match shape.len() {
            1..=MAX_LEN => Ok(shape),
            _ => Err(site.misfit(
                format_args!("would give {}", Shown(shape)),
                "a sample may have at most 2^26 values",
            )),
        }
    }
}

/// What a layer takes, and where it is from, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    pub(super) shape: InputShape,
    origin: &'static str,
}

impl Before {
    pub(super) fn input(input: &InputShape) -> Self {
        Self {
            shape: *input,
            origin: "the input is",
        }
    }

    pub(super) fn branch(shape: InputShape) -> Self {
        Self {
            shape,
            origin: "the branch takes",
        }
    }

    pub(super) fn layer(shape: InputShape) -> Self {
        Self {
            shape,
            origin: "the layer before gives",
        }
    }
}

impl Display for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.origin, Shown(self.shape))
    }
}

/// The shape of one sample between two layers, in words.
pub(super) struct Shown(pub(super) InputShape);

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            InputShape::Image {
                channels,
                height,
                width,
            } => write!(f, "{channels}×{height}×{width}"),
            InputShape::Vector { len } => write!(f, "a vector of {len}"),
            InputShape::Sequence { .. } => self.0.fmt(f),
        }
    }
}
