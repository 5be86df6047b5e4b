use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use granule_io::held::{Held, HeldError};
use granule_io::ranges;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::residual::inner_layers;
use super::{AnyLayer, Layer, LayerConfig, LayerSettings, run};
use crate::layers::dense;
use crate::parameters::Parameters;
use crate::sequential::site::Shown;
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError};

/// The most branches of a layer.
const MOST_BRANCHES: usize = 64;

/// Lists of layers side by side, whose results are joined: several populations, or one signal at several granularities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BranchesLayerConfig {
    /// How the results of the branches become one. Default concatenate.
    #[serde(default)]
    pub join: Join,
    /// The branches, 1 to 64.
    #[serde(rename = "branch", deserialize_with = "branches")]
    pub branches: Vec<BranchConfig>,
}

/// How the results of branches become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// Side by side: the values of vectors, the channels at each step of sequences and of images. Early fusion: what follows
    /// sees them together.
    #[default]
    Concatenate,
    /// Their mean: late fusion, of results of one shape.
    Mean,
    /// Their sum, weighted for each sample by the softmax of a dense layer of all that the branches give; of one shape.
    Gated,
}

/// One branch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BranchConfig {
    /// The channels that the branch takes, of a vector the values: rising ranges from the first to the end, which is left out, as
    /// `[[0, 36]]`. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<[usize; 2]>>,
    /// The layers, of any kind; without one the branch gives what it takes.
    #[serde(
        rename = "layer",
        deserialize_with = "inner_layers",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "super::residual::any_layers")
    )]
    pub layers: Vec<LayerConfig>,
}

/// Branches, read so that what is wrong with one is said with its place.
fn branches<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<BranchConfig>, D::Error> {
    let branches = Deserialize::deserialize(Held::deserialize(deserializer)?);
    branches.map_err(|error: HeldError| D::Error::custom(error.below("branch")))
}

impl BranchConfig {
    /// The shape that the branch takes of `input`.
    fn seen(&self, place: &str, input: InputShape) -> Result<InputShape, ModelError> {
        let Some(ranges) = &self.channels else {
            return Ok(input);
        };
        let field = format!("{place}.channels");
        ranges::check(field, ranges, Some(input.step_len()))?;
        Ok(input.with_step_len(ranges::count(ranges)))
    }
}

impl Join {
    /// The shape of results of these shapes; none where they do not go together.
    fn shape(self, parts: &[InputShape]) -> Option<InputShape> {
        let (first, others) = parts.split_first()?;
        if self != Self::Concatenate {
            return others.iter().all(|other| other == first).then_some(*first);
        }
        others.iter().try_fold(*first, |sum, other| {
            let alike = other.with_step_len(sum.step_len()) == sum;
            let len = sum.step_len().checked_add(other.step_len())?;
            alike.then(|| sum.with_step_len(len))
        })
    }
}

impl LayerSettings for BranchesLayerConfig {
    type Layer = Branches;

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        let count = self.branches.len();
        if !(1..=MOST_BRANCHES).contains(&count) {
            let allowed = format!("1 to {MOST_BRANCHES} tables [[model.layer.branch]]");
            return Err(ModelError::config(site.field("branch"), count, allowed));
        }
        let mut parts = Vec::with_capacity(count);
        for (index, branch) in self.branches.iter().enumerate() {
            let place = site.field(&format!("branch[{index}]"));
            let seen = branch.seen(&place, site.input())?;
            parts.push(Site::through_branch(&place, seen, &branch.layers)?);
        }
        if let Some(shape) = self.join.shape(&parts) {
            return Ok(shape);
        }
        let first = parts.first().copied();
        let odd =
            (1..=count).find(|&n| self.join.shape(parts.get(..n).unwrap_or(&parts)).is_none());
        let odd = odd.unwrap_or(count) - 1;
        let shown = |shape: Option<InputShape>| match shape {
            Some(shape) => Shown(shape).to_string(),
            None => "nothing".to_owned(),
        };
        let (verb, hint) = match self.join {
            Join::Concatenate => (
                "joins",
                "let them all give vectors, or sequences of as many steps, or images of one size",
            ),
            Join::Mean => (
                "averages",
                "let them give one shape, or join = \"concatenate\"",
            ),
            Join::Gated => (
                "weights",
                "let them give one shape, or join = \"concatenate\"",
            ),
        };
        Err(site.refused(format_args!(
            "{verb} what its branches give, but branch[0] gives {} and branch[{odd}] gives {}; {hint}",
            shown(first),
            shown(parts.get(odd).copied()),
        )))
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Branches, ModelError> {
        let (index, input, init) = (at.index(), at.input(), at.init());
        p.scope(index, |p| {
            let (mut branches, mut parts) = (Vec::new(), Vec::new());
            p.scope("branches", |p| {
                for (number, branch) in self.branches.iter().enumerate() {
                    let name = format!("branches.{number}.layers");
                    let seen = branch.seen(&name, input)?;
                    let (layers, given) = p.scope(number, |p| {
                        p.scope("layers", |p| at.apart(&name, seen, &branch.layers, p))
                    })?;
                    parts.push(given);
                    branches.push(Branch {
                        layers,
                        channels: branch.channels.clone(),
                        input,
                    });
                }
                Ok(())
            })?;
            let values = parts.iter().map(InputShape::len);
            let values = values.fold(0, usize::saturating_add);
            let gate = match self.join {
                Join::Gated => Some(p.linear("gate", [values, branches.len()], init)?),
                Join::Concatenate | Join::Mean => None,
            };
            Ok(Branches {
                branches,
                gate,
                join: self.join,
                parts,
            })
        })
    }

    fn inner(&self) -> Vec<&[LayerConfig]> {
        let lists = self.branches.iter().map(|branch| &*branch.layers);
        lists.collect()
    }
}

/// Layers side by side.
#[derive(Module, Debug)]
pub struct Branches {
    /// The branches.
    pub branches: Vec<Branch>,
    /// The dense layer that weighs them, of `join = "gated"`.
    pub gate: Option<Linear>,
    #[module(skip)]
    join: Join,
    /// What each branch gives of a sample.
    #[module(skip)]
    parts: Vec<InputShape>,
}

/// Layers that take some of the channels.
#[derive(Module, Debug)]
pub struct Branch {
    /// The layers, one after the other.
    pub layers: Vec<AnyLayer>,
    #[module(skip)]
    channels: Option<Vec<[usize; 2]>>,
    /// The shape of what the channels are taken of.
    #[module(skip)]
    input: InputShape,
}

impl Branch {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        let x = match &self.channels {
            Some(ranges) => taken(x, &self.input, ranges),
            None => x,
        };
        run(&self.layers, x, mode)
    }
}

/// The channels in `ranges` of features of the shape `input`.
fn taken(x: Features, input: &InputShape, ranges: &[[usize; 2]]) -> Features {
    fn of<const D: usize>(x: &Tensor<D>, axis: usize, ranges: &[[usize; 2]]) -> Tensor<D> {
        let part = |&[first, end]: &[usize; 2]| x.clone().narrow(axis, first, end - first);
        let mut parts: Vec<Tensor<D>> = ranges.iter().map(part).collect();
        match parts.len() {
            1 => parts.swap_remove(0),
            _ => Tensor::cat(parts, axis),
        }
    }
    match x {
        Features::Image(x) => Features::Image(of(&x, 1, ranges)),
        Features::Vector(x) => {
            let steps = of(&by_step(x, input), 2, ranges);
            Features::Vector(steps.flatten(1, 2))
        }
    }
}

/// `[batch, values]` → `[batch, steps, channels]`; a vector is one step.
fn by_step(x: Tensor<2>, shape: &InputShape) -> Tensor<3> {
    let [batch, values] = x.dims();
    let steps = match *shape {
        InputShape::Sequence { steps, .. } => steps,
        _ => 1,
    };
    x.reshape([batch, steps, values / steps.max(1)])
}

impl Layer for Branches {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        let results = self.branches.iter();
        let results = results.map(|branch| branch.run(x.clone(), mode));
        let results = results.collect::<Result<Vec<Features>, _>>()?;
        let flat = |results: &[Features]| -> Vec<Tensor<2>> {
            results.iter().map(|result| result.clone().flat()).collect()
        };
        match (self.join, &self.gate) {
            (Join::Concatenate, _) => Ok(side_by_side(results, &self.parts)),
            (Join::Gated, Some(gate)) => {
                let weights = dense(gate, Tensor::cat(flat(&results), 1), mode);
                let weights = softmax(weights, 1);
                let weighted = results.into_iter().enumerate().map(|(at, result)| {
                    let weight = weights.clone().narrow(1, at, 1);
                    match result {
                        Features::Vector(x) => Features::Vector(x.mul(weight)),
                        Features::Image(x) => {
                            let batch = x.dims()[0];
                            Features::Image(x.mul(weight.reshape([batch, 1, 1, 1])))
                        }
                    }
                });
                Ok(weighted.reduce(Features::add).unwrap_or(x))
            }
            (Join::Mean | Join::Gated, _) => {
                let count = results.len() as f32;
                Ok(match results.into_iter().reduce(Features::add) {
                    Some(Features::Vector(sum)) => Features::Vector(sum.div_scalar(count)),
                    Some(Features::Image(sum)) => Features::Image(sum.div_scalar(count)),
                    None => x,
                })
            }
        }
    }

    fn has_bf16(&self) -> bool {
        let mut layers = self.branches.iter().flat_map(|branch| &branch.layers);
        layers.all(Layer::has_bf16)
    }

    fn fixed_count(&self) -> usize {
        let layers = self.branches.iter().flat_map(|branch| &branch.layers);
        layers.map(Layer::fixed_count).sum()
    }
}

fn side_by_side(results: Vec<Features>, shapes: &[InputShape]) -> Features {
    let (mut images, mut steps) = (Vec::new(), Vec::new());
    for (result, shape) in results.into_iter().zip(shapes) {
        match result {
            Features::Image(x) => images.push(x),
            Features::Vector(x) => steps.push(by_step(x, shape)),
        }
    }
    if steps.is_empty() {
        return Features::Image(Tensor::cat(images, 1));
    }
    Features::Vector(Tensor::cat(steps, 2).flatten(1, 2))
}
