//! A model of layers that a configuration lists.
//!
//! A layer is a file of `layer` and a line in its registry: its settings implement [`LayerSettings`], what they build is a
//! [`Layer`].

mod builder;
mod features;
mod layer;
mod recurrent;
mod site;
mod window;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use granule_io::budget;
use granule_io::words::counted;
use granule_ops::is_on_host;
use serde::{Deserialize, Serialize};

pub use builder::Builder;
pub use features::Features;
pub use layer::*;
pub use recurrent::{Cells, Recurrent};
pub use site::Site;

use crate::layers::{check_size, dense};
use crate::parameters::Parameters;
use crate::{Initialization, InputShape, Mode, Model, ModelError, ModelSettings, Outline};

/// The most levels of layers within layers: files nest no deeper than their readers can follow.
const MOST_LEVELS: usize = 16;

/// The most layers of a model, those within layers included.
const MOST_LAYERS: usize = 256;

/// As many values are taken without asking, which has its time.
const LARGE: usize = 1 << 26;

/// Configuration of [`Sequential`].
///
/// The output layer is not listed: a dense layer, of all the values that the last layer gives, follows by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SequentialConfig {
    /// How the weights of all but the output layer are drawn. Default He.
    pub init: Initialization,
    /// The layers from the input on, 1 to 256; the output layer follows by itself.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerConfig>,
}

/// How many levels of layers within layers there are.
fn depth(layers: &[LayerConfig]) -> usize {
    let within = |layer: &LayerConfig| layer.inner().into_iter().map(depth).max();
    let inner = layers.iter().map(|layer| 1 + within(layer).unwrap_or(0));
    inner.max().unwrap_or(0)
}

/// The layers and those within them.
fn count(layers: &[LayerConfig]) -> usize {
    let within = |layer: &LayerConfig| layer.inner().into_iter().map(count).sum::<usize>();
    layers.iter().map(|layer| 1 + within(layer)).sum()
}

impl ModelSettings for SequentialConfig {
    type Model = Sequential;
    const KIND: &'static str = "sequential";
    const SUMMARY: &'static str = "Layers as a file lists them.";

    fn first_weight(&self) -> Option<String> {
        // Flattened, the input is raw as before.
        let mut layers = self.layers.iter().enumerate();
        match layers.find(|(_, layer)| !matches!(layer, LayerConfig::Flatten(_))) {
            Some((index, layer)) => Some(format!("layers.{index}.{}", layer.weight()?)),
            None => Some("output.weight".to_owned()),
        }
    }

    fn validate(&self, input: &InputShape, outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        if input.is_empty() {
            let allowed = "at least one value in a sample";
            return Err(ModelError::config("input", input, allowed));
        }
        check_size("outputs", outputs)?;
        let layers = count(&self.layers);
        if !(1..=MOST_LAYERS).contains(&layers) {
            let found = counted(layers, "layer");
            let allowed = format!(
                "1 to {MOST_LAYERS} tables [[model.layer]], those within layers included; flatten alone is a linear model"
            );
            return Err(ModelError::config("layer", found, allowed));
        }
        let levels = depth(&self.layers);
        if levels > MOST_LEVELS {
            let found = format!("layers within layers, {levels} levels deep");
            let allowed = format!("at most {MOST_LEVELS} levels");
            return Err(ModelError::config("layer", found, allowed));
        }
        site::given(&self.layers, input).map(drop)
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Sequential, ModelError> {
        let mut builder = Builder::new(self.init, input);
        let layers = p.scope("layers", |p| builder.layers(&self.layers, p))?;
        let (given, mut shapes) = builder.finish();
        let output = p.linear("output", [given.len(), outputs], Initialization::Xavier)?;
        shapes.push(("output".to_owned(), vec![outputs]));
        Ok(Sequential {
            layers,
            output,
            input: *input,
            shapes,
        })
    }
}

/// Layers one after the other, and a dense layer of all the values that the last one gives.
///
/// `[batch, features]` → `[batch, outputs]`.
#[derive(Module, Debug)]
pub struct Sequential {
    /// The layers from the input on.
    pub layers: Vec<AnyLayer>,
    /// The output layer.
    pub output: Linear,
    #[module(skip)]
    input: InputShape,
    #[module(skip)]
    shapes: Vec<(String, Vec<usize>)>,
}

impl Model for Sequential {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        self.ask_for_memory(&x, &mode)?;
        let x = Features::of_input(x, &self.input);
        let x = layer::run(&self.layers, x, &mut mode)?;
        Ok(dense(&self.output, x.flat(), &mode))
    }

    fn outline(&self, outline: &mut Outline<'_>) {
        for layer in &self.layers {
            layer.outline(outline);
        }
        outline.flatten();
        outline.dense(&self.output);
    }

    fn has_bf16(&self) -> bool {
        self.layers.iter().all(Layer::has_bf16)
    }

    fn fixed_count(&self) -> usize {
        self.layers.fixed_count()
    }

    /// Those of all layers: also of those that have no parameters.
    fn layer_shapes(&self, _: &InputShape) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        Ok(self.shapes.clone())
    }
}

impl Sequential {
    /// What all layers give for a batch, in training with its slopes, must fit into the memory of a device on the host.
    fn ask_for_memory(&self, x: &Tensor<2>, mode: &Mode<'_>) -> Result<(), ModelError> {
        let samples = x.dims()[0];
        let values = self.shapes.iter().map(|(_, dims)| dims.iter().product());
        let values = values.fold(0, usize::saturating_add);
        let copies = match mode {
            Mode::Training(_) => 2,
            Mode::Inference | Mode::Tracing(_) => 1,
        };
        let values = values.saturating_mul(samples).saturating_mul(copies);
        if values < LARGE || !is_on_host(x) {
            return Ok(());
        }
        let what = format_args!("{} through the layers", counted(samples, "sample"));
        Ok(budget::ask_for::<f32>(what, values)?)
    }
}
