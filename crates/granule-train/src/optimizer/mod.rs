//! Update rules over the parameters of any Burn module.
//!
//! A rule is written twice: over slices, for devices whose tensors live in host memory, and over tensors, for the
//! others; SGD and Adam also in numbers, of which a GPU makes one launch for each parameter. On the host one fused pass of all threads reads gradient, weight and state once and writes them once; the same rule
//! composed of tensor operations takes a dozen passes, which is a quarter of a training step for a network with a
//! large dense layer. Weight decay applies to every trainable parameter, biases and norms included, as in PyTorch.

mod accumulate;
mod adam;
mod norm;
mod rmsprop;
mod sgd;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use granule_models::TensorView;
#[cfg(test)]
use granule_models::state::TensorValue;
use granule_models::state::{StateDict, is_running_statistic, parameter_ids};
use granule_ops::{UpdateRule, update_on_gpu};

pub use accumulate::Amount;

use crate::config::OptimizerConfig;
use crate::error::TrainError;

/// What an update depends on besides gradient, weight and state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpdateContext {
    /// The number of this update of the parameter, from 1.
    step: u64,
    /// Learning rate.
    lr: f64,
    /// What the gradient is multiplied by first (clipping, on the host).
    gradient_scale: f32,
}

/// One update rule.
pub(crate) trait Rule: Send + Sync {
    /// Names of the state kept per parameter, each of the parameter's size and zero at first.
    fn slots(&self) -> Vec<&'static str>;

    /// Whether a slot has means of squares, which are not negative.
    fn is_of_squares(&self, slot: &str) -> bool {
        let _ = slot;
        false
    }

    /// Updates a parameter from its gradient, and the state.
    fn update(
        &self,
        at: &UpdateContext,
        weight: &mut [f32],
        gradient: &[f32],
        state: &mut [&mut [f32]],
    );

    /// The same in numbers, where there is a kernel for it on GPUs.
    fn on_gpu(&self, at: &UpdateContext) -> Option<UpdateRule> {
        let _ = at;
        None
    }

    /// Updates a whole flattened parameter on the device; ignores [`UpdateContext::gradient_scale`].
    fn update_tensor(
        &self,
        at: &UpdateContext,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        state: &mut [Tensor<1>],
    ) -> Tensor<1>;
}

/// Global L2 norm of a gradient, before clipping.
#[derive(Debug, Clone)]
pub enum GradientNorm {
    /// Computed.
    Host(f64),
    /// Still on the device, `[1]`.
    Device(Box<Tensor<1>>),
}

impl GradientNorm {
    /// The value, read back from the device if need be.
    ///
    /// # Errors
    /// [`TrainError::Backend`] when the device cannot be read.
    pub fn value(self) -> Result<f64, TrainError> {
        match self {
            Self::Host(norm) => Ok(norm),
            Self::Device(norm) => {
                let values = norm.try_into_vec_as::<f32>().map_err(TrainError::backend)?;
                Ok(values.first().copied().map_or(f64::NAN, f64::from))
            }
        }
    }
}

/// Applies an update rule to the parameters of one module and keeps the rule's state.
pub struct Optimizer {
    rule: Box<dyn Rule>,
    clip_norm: Option<f64>,
    host: bool,
    steps: u64,
    parameters: HashMap<ParamId, Parameter>,
}

struct Parameter {
    name: String,
    shape: Vec<usize>,
    /// Updates done: fewer than the optimiser's steps where some had no gradient for it.
    updates: u64,
    state: State,
}

enum State {
    Host(Vec<Vec<f32>>),
    Device(Vec<Tensor<1>>),
}

impl Optimizer {
    /// State of zeros for every trainable parameter of `module`, in host memory when `host`, else on the parameter's
    /// device. With a `clip_norm` above 0 a gradient of a larger global L2 norm is scaled down to it.
    pub fn new<M: Module>(
        config: &OptimizerConfig,
        clip_norm: Option<f64>,
        module: &M,
        host: bool,
    ) -> Self {
        let rule = rule(config);
        let names = parameter_ids(module)
            .into_iter()
            .map(|(name, id)| (id, name));
        let mut builder = Builder {
            names: names.collect(),
            slots: rule.slots().len(),
            host,
            parameters: HashMap::new(),
        };
        module.visit(&mut builder);
        Self {
            clip_norm: clip_norm.filter(|norm| *norm > 0.0),
            host,
            steps: 0,
            parameters: builder.parameters,
            rule,
        }
    }

    /// One update of every parameter that has a gradient. The norm is computed only when clipping asks for it.
    ///
    /// # Errors
    /// [`TrainError::Backend`] when a tensor cannot be read.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        mut gradients: Gradient,
        lr: f64,
    ) -> Result<(M, Option<GradientNorm>), TrainError> {
        self.steps += 1;
        let norm = self.clip_norm.map(|_| gradients.norm());
        let mut clip = Clip::None;
        if let (Some(limit), Some(norm)) = (self.clip_norm, &norm) {
            clip = match norm {
                // PyTorch's clip_grad_norm_ divides by norm + 1e-6 and never scales up.
                GradientNorm::Host(norm) => Clip::Host((limit / (norm + 1e-6)).min(1.0) as f32),
                GradientNorm::Device(norm) => Clip::Device(Box::new(
                    norm.as_ref()
                        .clone()
                        .add_scalar(1e-6)
                        .recip()
                        .mul_scalar(limit)
                        .clamp_max(1.0),
                )),
            };
        }
        let at = UpdateContext {
            step: self.steps,
            lr,
            gradient_scale: match clip {
                Clip::Host(scale) => scale,
                _ => 1.0,
            },
        };
        let mut updater = Updater {
            rule: self.rule.as_ref(),
            at,
            clip,
            gradients: gradients.flat,
            parameters: &mut self.parameters,
            error: None,
        };
        let module = module.map(&mut updater);
        match updater.error {
            Some(error) => Err(error),
            None => Ok((module, norm)),
        }
    }

    #[cfg(test)]
    fn state_dict(&self) -> Result<StateDict, TrainError> {
        let owned = |(name, view): (String, TensorView<'_>)| {
            let value = TensorValue {
                shape: view.shape.to_vec(),
                data: view.data.into_owned(),
            };
            (name, value)
        };
        Ok(StateDict(self.state()?.into_iter().map(owned).collect()))
    }

    /// The state under `slot.parameter`, for example `exp_avg.layers.0.weight`; under `missed.parameter` how many steps had no
    /// gradient for it, where some had none. What is in host memory is not copied.
    ///
    /// # Errors
    /// [`TrainError::Backend`] when the device cannot be read.
    pub fn state(&self) -> Result<BTreeMap<String, TensorView<'_>>, TrainError> {
        let mut dict = BTreeMap::new();
        for parameter in self.parameters.values() {
            for (index, slot) in self.rule.slots().into_iter().enumerate() {
                let data = match &parameter.state {
                    State::Host(state) => {
                        Cow::Borrowed(state.get(index).map_or(&[][..], Vec::as_slice))
                    }
                    State::Device(state) => Cow::Owned(match state.get(index) {
                        Some(tensor) => tensor
                            .clone()
                            .try_into_vec_as::<f32>()
                            .map_err(TrainError::backend)?,
                        None => Vec::new(),
                    }),
                };
                let view = TensorView {
                    shape: &parameter.shape,
                    data,
                };
                dict.insert(format!("{slot}.{}", parameter.name), view);
            }
            let missed = self.steps.saturating_sub(parameter.updates);
            if missed > 0 {
                let view = TensorView {
                    shape: &[2],
                    data: [missed / SPLIT, missed % SPLIT]
                        .map(|x| x as f32)
                        .to_vec()
                        .into(),
                };
                dict.insert(format!("{MISSED}.{}", parameter.name), view);
            }
        }
        Ok(dict)
    }

    /// Gives up the state: no update follows.
    pub(crate) fn release(&mut self) {
        self.parameters = HashMap::new();
    }

    /// Refuses a state that this optimiser cannot have come to.
    ///
    /// # Errors
    /// The first name that is missing, superfluous or of another shape, or of an impossible number, in words.
    pub fn check(&self, state: &StateDict) -> Result<(), String> {
        all_finite(&state.views())?;
        let mut names = BTreeSet::new();
        for parameter in self.parameters.values() {
            for slot in self.rule.slots() {
                let name = format!("{slot}.{}", parameter.name);
                let value = state
                    .0
                    .get(&name)
                    .ok_or_else(|| format!("no tensor {name}"))?;
                if value.shape != parameter.shape {
                    return Err(format!(
                        "{name} has shape {:?}, not {:?}",
                        value.shape, parameter.shape
                    ));
                }
                let negative = value.data.iter().position(|x| *x < 0.0);
                if let (Some(index), true) = (negative, self.rule.is_of_squares(slot)) {
                    return Err(format!("{name} is below 0 at {index}, a mean of squares"));
                }
                names.insert(name);
            }
            let name = format!("{MISSED}.{}", parameter.name);
            if let Some(value) = state.0.get(&name)
                && (value.shape != [2] || value.data.iter().any(|x| *x < 0.0 || x.fract() != 0.0))
            {
                return Err(format!("{name} is no count of steps"));
            }
            names.insert(name);
        }
        match state.0.keys().find(|name| !names.contains(*name)) {
            Some(name) => Err(format!("unknown tensor {name}")),
            None => Ok(()),
        }
    }

    /// Takes up a state that [`state`](Self::state) gave after `steps` updates.
    ///
    /// # Errors
    /// Those of [`check`](Self::check).
    pub fn load_state_dict(
        &mut self,
        mut dict: StateDict,
        steps: u64,
        device: &Device,
    ) -> Result<(), String> {
        self.check(&dict)?;
        for parameter in self.parameters.values_mut() {
            let missed = dict.0.remove(&format!("{MISSED}.{}", parameter.name));
            let missed = missed.map_or(0, |value| match *value.data.as_slice() {
                [high, low] => (high as u64)
                    .saturating_mul(SPLIT)
                    .saturating_add(low as u64),
                _ => 0,
            });
            parameter.updates = steps.saturating_sub(missed);
            let slots = self.rule.slots().into_iter();
            let host =
                slots.filter_map(|slot| dict.0.remove(&format!("{slot}.{}", parameter.name)));
            let host = host.map(|value| value.data);
            parameter.state = if self.host {
                State::Host(host.collect())
            } else {
                let tensor = |data: Vec<f32>| {
                    let len = data.len();
                    Tensor::from_data(TensorData::new(data, [len]), device)
                };
                State::Device(host.map(tensor).collect())
            };
        }
        self.steps = steps;
        Ok(())
    }
}

/// Refuses a state with NaN or infinity in it.
pub(crate) fn all_finite(state: &BTreeMap<String, TensorView<'_>>) -> Result<(), String> {
    for (name, value) in state {
        if let Some(index) = value.data.iter().position(|x| !x.is_finite()) {
            return Err(format!("the optimiser's {name} is not finite at {index}"));
        }
    }
    Ok(())
}

/// Under which a state dictionary has the steps that left a parameter out: two numbers, the first one times [`SPLIT`].
const MISSED: &str = "missed";
/// Whole numbers below it, and many times more, are exact in single precision.
const SPLIT: u64 = 1 << 20;

fn rule(config: &OptimizerConfig) -> Box<dyn Rule> {
    match *config {
        OptimizerConfig::Sgd(config) => Box::new(sgd::Sgd::new(config)),
        OptimizerConfig::Adam(config) => Box::new(adam::Adam::l2(config)),
        OptimizerConfig::AdamW(config) => Box::new(adam::Adam::decoupled(config)),
        OptimizerConfig::RmsProp(config) => Box::new(rmsprop::RmsProp::new(config)),
    }
}

struct Builder {
    names: HashMap<ParamId, String>,
    slots: usize,
    host: bool,
    parameters: HashMap<ParamId, Parameter>,
}

impl ModuleVisitor for Builder {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(name) = self.names.get(&param.id) else {
            return;
        };
        if is_running_statistic(name) || !param.is_require_grad() {
            return;
        }
        let shape = param.lazy_shape().to_vec();
        let len = shape.iter().product();
        let state = if self.host {
            State::Host(vec![vec![0.0; len]; self.slots])
        } else {
            let device = param.lazy_device().without_autodiff();
            State::Device(
                (0..self.slots)
                    .map(|_| Tensor::zeros([len], &device))
                    .collect(),
            )
        };
        let name = name.clone();
        self.parameters.insert(
            param.id,
            Parameter {
                name,
                shape,
                updates: 0,
                state,
            },
        );
    }
}

/// The gradient of every parameter of a module after one backward pass, flattened.
pub struct Gradient {
    /// In the order of the module, so that the norm is one sum in every process: identifiers are random.
    order: Vec<ParamId>,
    flat: HashMap<ParamId, Flat>,
    norm: Option<GradientNorm>,
}

enum Flat {
    Host(TensorData),
    Device(Box<Tensor<1>>),
}

impl Gradient {
    /// Takes the gradients of `module`'s parameters, to host memory when `host`.
    ///
    /// # Errors
    /// [`TrainError::Backend`] when a gradient cannot be read.
    pub fn collect<M: Module>(
        gradients: burn::tensor::Gradients,
        module: &M,
        host: bool,
    ) -> Result<Self, TrainError> {
        Self::of(GradientsParams::from_grads(gradients, module), module, host)
    }

    /// As [`collect`](Self::collect), from gradients that are sorted by parameter already.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub fn of<M: Module>(
        gradients: GradientsParams,
        module: &M,
        host: bool,
    ) -> Result<Self, TrainError> {
        let mut collector = Collector {
            gradients,
            host,
            collected: Self {
                order: Vec::new(),
                flat: HashMap::new(),
                norm: None,
            },
            error: None,
        };
        module.visit(&mut collector);
        match collector.error {
            Some(error) => Err(error),
            None => Ok(collector.collected),
        }
    }

    /// Global L2 norm, computed once.
    pub fn norm(&mut self) -> GradientNorm {
        let norm = match self.norm.take() {
            Some(norm) => norm,
            None => self.compute_norm(),
        };
        self.norm.insert(norm).clone()
    }

    fn compute_norm(&self) -> GradientNorm {
        let mut host = 0.0;
        let mut device: Option<Tensor<1>> = None;
        for flat in self.order.iter().filter_map(|id| self.flat.get(id)) {
            match flat {
                Flat::Host(data) => {
                    host += norm::sum_of_squares(data.as_slice::<f32>().unwrap_or_default());
                }
                Flat::Device(tensor) => {
                    let square = tensor.as_ref().clone().square().sum();
                    device = Some(match device {
                        Some(sum) => sum.add(square),
                        None => square,
                    });
                }
            }
        }
        match device {
            Some(sum) => GradientNorm::Device(Box::new(sum.sqrt())),
            None => GradientNorm::Host(host.sqrt()),
        }
    }
}

struct Collector {
    gradients: GradientsParams,
    host: bool,
    collected: Gradient,
    error: Option<TrainError>,
}

impl ModuleVisitor for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else {
            return;
        };
        let flat = if self.host {
            match gradient.try_into_data() {
                Ok(data) => Flat::Host(data),
                Err(error) => {
                    self.error = Some(TrainError::backend(error));
                    return;
                }
            }
        } else {
            let len = gradient.shape().num_elements();
            Flat::Device(Box::new(gradient.reshape([len])))
        };
        self.collected.order.push(param.id);
        self.collected.flat.insert(param.id, flat);
    }
}

enum Clip {
    None,
    Host(f32),
    Device(Box<Tensor<1>>),
}

struct Updater<'a> {
    rule: &'a dyn Rule,
    at: UpdateContext,
    clip: Clip,
    gradients: HashMap<ParamId, Flat>,
    parameters: &'a mut HashMap<ParamId, Parameter>,
    error: Option<TrainError>,
}

impl Updater<'_> {
    fn update<const D: usize>(
        &mut self,
        parameter: ParamId,
        gradient: Flat,
        weight: Tensor<D>,
    ) -> Result<Tensor<D>, TrainError> {
        let Some(parameter) = self.parameters.get_mut(&parameter) else {
            return Ok(weight);
        };
        let device = weight.device();
        parameter.updates += 1;
        let at = UpdateContext {
            step: parameter.updates,
            ..self.at
        };
        let updated = match (gradient, &mut parameter.state) {
            (Flat::Host(gradient), State::Host(state)) => {
                let mut data = weight
                    .without_autodiff()
                    .try_into_data()
                    .map_err(TrainError::backend)?;
                let weight = data.as_mut_slice::<f32>().map_err(TrainError::backend)?;
                let gradient = gradient
                    .try_into_vec::<f32>()
                    .map_err(TrainError::backend)?;
                let mut state: Vec<_> = state.iter_mut().map(Vec::as_mut_slice).collect();
                self.rule.update(&at, weight, &gradient, &mut state);
                granule_ops::give_back(gradient);
                Tensor::from_data(data, &device)
            }
            (Flat::Device(gradient), State::Device(state)) => {
                let weight = weight.without_autodiff();
                let shape = weight.shape();
                let flat = weight.reshape([shape.num_elements()]);
                let scale = match &self.clip {
                    Clip::Device(scale) => Some(scale.as_ref()),
                    _ => None,
                };
                let rule = self.rule.on_gpu(&at);
                let updated =
                    rule.and_then(|rule| update_on_gpu(&flat, &gradient, scale, state, rule));
                let flat = if let Some((flat, next)) = updated {
                    state.clone_from_slice(&next);
                    flat
                } else {
                    let gradient = match scale {
                        Some(scale) => gradient.mul(scale.clone()),
                        None => *gradient,
                    };
                    self.rule.update_tensor(&at, flat, gradient, state)
                };
                Tensor::from_inner(flat.reshape(shape))
            }
            _ => {
                return Err(TrainError::backend(
                    "gradient and state live in different places",
                ));
            }
        };
        Ok(updated.require_grad())
    }
}

impl ModuleMapper for Updater<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove(&param.id) else {
            return param;
        };
        let (id, weight, mapper) = param.consume();
        let (shape, device) = (weight.shape(), weight.device());
        let weight = match self.update(id, gradient, weight) {
            Ok(weight) => weight,
            Err(error) => {
                self.error = Some(error);
                Tensor::zeros(shape, &device)
            }
        };
        Param::from_mapped_value(id, weight, mapper)
    }
}
