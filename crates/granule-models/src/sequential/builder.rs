//! Layers made one after the other.

use burn::module::Module;

use super::layer::{AnyLayer, LayerConfig};
use super::site::Before;
use crate::parameters::Parameters;
use crate::state::layer_of;
use crate::{Initialization, InputShape, ModelError};

/// Builds layers one after the other, and knows of the one being built what its settings do not.
#[derive(Debug)]
pub struct Builder {
    init: Initialization,
    before: Before,
    index: usize,
    path: String,
    shapes: Vec<(String, Vec<usize>)>,
}

impl Builder {
    pub(super) fn new(init: Initialization, input: &InputShape) -> Self {
        Self {
            init,
            before: Before::input(input),
            index: 0,
            path: "layers".to_owned(),
            shapes: Vec::new(),
        }
    }

    /// The shape of one sample that the layer takes.
    pub fn input(&self) -> InputShape {
        self.before.shape
    }

    /// The channels of an image, or the values of a vector.
    pub fn channels(&self) -> usize {
        self.input().dims().first().copied().unwrap_or_default()
    }

    /// How weights are drawn.
    pub fn init(&self) -> Initialization {
        self.init
    }

    /// The layer's place among its neighbours, under which its parameters stand.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Builds layers within this one, in its place.
    ///
    /// # Errors
    ///
    /// Those of the layers.
    pub fn within(
        &mut self,
        layers: &[LayerConfig],
        p: &mut Parameters<'_>,
    ) -> Result<Vec<AnyLayer>, ModelError> {
        p.scope(self.index, |p| self.layers(layers, p))
    }

    /// Builds layers that take `input`, under the path `name` below this layer's own: what they give besides.
    pub(super) fn apart(
        &mut self,
        name: &str,
        input: InputShape,
        layers: &[LayerConfig],
        p: &mut Parameters<'_>,
    ) -> Result<(Vec<AnyLayer>, InputShape), ModelError> {
        let (before, path) = (self.before, self.path.clone());
        self.before = Before::branch(input);
        self.path = format!("{path}.{name}");
        let built = self.layers(layers, p)?;
        let given = self.before.shape;
        (self.before, self.path) = (before, path);
        Ok((built, given))
    }

    pub(super) fn layers(
        &mut self,
        layers: &[LayerConfig],
        p: &mut Parameters<'_>,
    ) -> Result<Vec<AnyLayer>, ModelError> {
        let layers = layers.iter().enumerate();
        layers
            .map(|(index, layer)| self.layer(index, layer, p))
            .collect()
    }

    fn layer(
        &mut self,
        index: usize,
        config: &LayerConfig,
        p: &mut Parameters<'_>,
    ) -> Result<AnyLayer, ModelError> {
        let path = format!("{}.{index}", self.path);
        let given = config.given(path.clone(), self.before)?;
        let around = std::mem::replace(&mut self.path, path.clone());
        self.index = index;
        let layer = config.build(self, p)?;
        let name = match config.weight() {
            Some(weight) => layer_of(&format!("{path}.{weight}")).0.to_owned(),
            None if config.inner().is_empty() && layer.num_params() > 0 => path,
            // In no state there is a layer of this name: it has no parameters of its own.
            None => format!("{path} ({})", config.kind()),
        };
        self.path = around;
        self.shapes.push((name, given.dims()));
        self.before = Before::layer(given);
        Ok(layer)
    }

    /// The shape that the last layer gives, and those of all layers by their names.
    pub(super) fn finish(self) -> (InputShape, Vec<(String, Vec<usize>)>) {
        (self.before.shape, self.shapes)
    }
}
