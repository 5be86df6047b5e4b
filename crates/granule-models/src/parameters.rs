//! Where a new model's parameters come from: drawn on the host from a seed, or taken from a state dictionary.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::module::{Module, Param, ParamId, RunningState};
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, LayerNorm, LayerNormConfig, Linear, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};
use granule_io::budget;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::state::{load_state_dict, parameter_ids};
use crate::{Initialization, ModelError, StateDict};

/// Weights of a new model.
enum WeightSource<'a> {
    Seed(u64),
    State(&'a StateDict),
}

/// The square window of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its side in pixels.
    pub kernel: usize,
    /// How far it moves.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
}

/// How one parameter is drawn.
#[derive(Clone, Copy, Debug)]
pub enum Draw {
    /// All the same.
    Constant(f32),
    /// U(−bound, bound)
    Uniform(f64),
}

/// Hands out the parameters of a new model by their paths, which are the names of [`crate::state`]: drawn on the host from a
/// seed and the path, so that one seed gives one model on every device, or those of a file.
pub struct Parameters<'a> {
    source: WeightSource<'a>,
    device: &'a Device,
    path: Vec<String>,
    /// Paths that were handed out, with the parameter; running statistics are none.
    taken: BTreeMap<String, Option<ParamId>>,
    /// Whether a model named its parameters itself.
    whole: bool,
}

impl<'a> Parameters<'a> {
    /// Parameters drawn from a seed and their paths.
    pub(crate) fn drawn(seed: u64, device: &'a Device) -> Self {
        Self::new(WeightSource::Seed(seed), device)
    }

    /// Parameters taken from a state; [`finish`](Self::finish) tells of those left over.
    pub(crate) fn stored(state: &'a StateDict, device: &'a Device) -> Self {
        Self::new(WeightSource::State(state), device)
    }

    fn new(source: WeightSource<'a>, device: &'a Device) -> Self {
        Self {
            source,
            device,
            path: Vec::new(),
            taken: BTreeMap::new(),
            whole: false,
        }
    }

    /// The device of the model.
    pub fn device(&self) -> &Device {
        self.device
    }

    /// Runs `build` one level deeper in the path: for the fields of a module within the model, by its field's name, and for
    /// the elements of a list, by their index.
    ///
    /// # Errors
    ///
    /// Those of `build`.
    pub fn scope<T>(
        &mut self,
        name: impl std::fmt::Display,
        build: impl FnOnce(&mut Self) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        self.path.push(name.to_string());
        let result = build(self);
        self.path.pop();
        result
    }

    /// Checks that the state held nothing the model does not have.
    pub(crate) fn finish(self) -> Result<(), ModelError> {
        let WeightSource::State(state) = self.source else {
            return Ok(());
        };
        match state.0.keys().find(|name| !self.taken.contains_key(*name)) {
            None => Ok(()),
            Some(name) => Err(ModelError::UnexpectedTensor { name: name.clone() }),
        }
    }

    /// Checks that every parameter was asked for by the path that it has in the model, by which files know it.
    pub(crate) fn check<M: Module>(&self, model: &M) -> Result<(), ModelError> {
        if self.whole {
            return Ok(());
        }
        for (path, id) in parameter_ids(model) {
            if !matches!(self.taken.get(&path), Some(own) if own.is_none_or(|own| own == id)) {
                let asked = self.taken.iter().find(|(_, own)| **own == Some(id));
                return Err(ModelError::ParameterPath {
                    path,
                    asked: asked.map(|(asked, _)| asked.clone()),
                });
            }
        }
        Ok(())
    }

    /// A dense layer: `[inputs, outputs]` weight and a zero bias.
    ///
    /// # Errors
    ///
    /// [`ModelError::Memory`]; [`ModelError::MissingTensor`] and [`ModelError::TensorShape`] where a file has not got them.
    pub fn linear(
        &mut self,
        name: impl std::fmt::Display,
        [inputs, outputs]: [usize; 2],
        initialization: Initialization,
    ) -> Result<Linear, ModelError> {
        self.scope(name, |p| {
            let draw = bound(initialization, inputs, outputs);
            Ok(Linear {
                weight: p.param("weight", [inputs, outputs], draw)?,
                bias: Some(p.param("bias", [outputs], Draw::Constant(0.0))?),
            })
        })
    }

    /// A convolution, `[outputs, inputs, kernel, kernel]` weight and, where asked for, a zero bias.
    ///
    /// # Errors
    ///
    /// As [`linear`](Self::linear).
    pub fn conv(
        &mut self,
        name: impl std::fmt::Display,
        [inputs, outputs]: [usize; 2],
        window: Window,
        with_bias: bool,
        initialization: Initialization,
    ) -> Result<Conv2d, ModelError> {
        let Window {
            kernel,
            stride,
            padding,
        } = window;
        self.scope(name, |p| {
            let area = kernel * kernel;
            let fan = |channels: usize| channels.saturating_mul(area);
            let draw = bound(initialization, fan(inputs), fan(outputs));
            Ok(Conv2d {
                weight: p.param("weight", [outputs, inputs, kernel, kernel], draw)?,
                bias: if with_bias {
                    Some(p.param("bias", [outputs], Draw::Constant(0.0))?)
                } else {
                    None
                },
                stride: [stride; 2],
                kernel_size: [kernel; 2],
                dilation: [1; 2],
                groups: 1,
                padding: PaddingConfig2d::Explicit(padding, padding, padding, padding),
            })
        })
    }

    /// Batch norm: scale 1, shift 0, running mean 0, running variance 1.
    ///
    /// # Errors
    ///
    /// As [`linear`](Self::linear).
    pub fn norm(
        &mut self,
        name: impl std::fmt::Display,
        channels: usize,
    ) -> Result<BatchNorm, ModelError> {
        self.scope(name, |p| {
            let shape = [channels];
            Ok(BatchNorm {
                gamma: p.param("gamma", shape, Draw::Constant(1.0))?,
                beta: p.param("beta", shape, Draw::Constant(0.0))?,
                training: Param::from_bool(true),
                running_mean: RunningState::new(p.tensor(
                    "running_mean",
                    shape,
                    Draw::Constant(0.0),
                )?),
                running_var: RunningState::new(p.tensor(
                    "running_var",
                    shape,
                    Draw::Constant(1.0),
                )?),
                momentum: 0.1,
                epsilon: 1e-5,
            })
        })
    }

    /// A parameter of a module of one's own, by the name of its field: drawn on the host, the same on every device.
    ///
    /// # Errors
    ///
    /// [`ModelError::Memory`]; [`ModelError::MissingTensor`] and [`ModelError::TensorShape`] where a file has not got it.
    pub fn parameter<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        draw: Draw,
    ) -> Result<Param<Tensor<D>>, ModelError> {
        self.param(name, shape, draw)
    }

    /// Layer norm over vectors of so many values: scale 1, shift 0.
    ///
    /// # Errors
    ///
    /// As [`linear`](Self::linear).
    pub fn layer_norm(
        &mut self,
        name: impl std::fmt::Display,
        len: usize,
    ) -> Result<LayerNorm, ModelError> {
        budget::ask_for::<[f32; 2]>(format_args!("the weights of a layer norm"), len)?;
        self.module(name, |device| LayerNormConfig::new(len).init(device))
    }

    /// A module that draws its own parameters, as Burn's do: from the generator of its device, seeded from the model's seed
    /// and the path. One seed gives one module on every device of a kind, not on devices of other kinds.
    ///
    /// # Errors
    ///
    /// [`ModelError::MissingTensor`], [`ModelError::UnexpectedTensor`] and [`ModelError::TensorShape`] where a file has others.
    pub fn module<M: Module>(
        &mut self,
        name: impl std::fmt::Display,
        build: impl FnOnce(&Device) -> M,
    ) -> Result<M, ModelError> {
        self.seeded(name, |seed, device| {
            Ok(match seed {
                Some(seed) => {
                    // The generator is the whole process's: nobody else may seed it, or draw here, until all is drawn.
                    static GENERATOR: Mutex<()> = Mutex::new(());
                    let _drawing = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
                    device.seed(seed);
                    build(device).materialize()
                }
                None => build(device),
            })
        })
    }

    /// A module that draws its own parameters from a seed; stored ones take the place of any that `build` makes without
    /// one.
    pub(crate) fn seeded<M: Module>(
        &mut self,
        name: impl std::fmt::Display,
        build: impl FnOnce(Option<u64>, &Device) -> Result<M, ModelError>,
    ) -> Result<M, ModelError> {
        self.scope(name, |p| {
            let path = p.path.join(".");
            let prefix = format!("{path}.");
            let module = match p.source {
                WeightSource::Seed(seed) => build(Some(seed ^ fnv1a(&path)), p.device)?,
                WeightSource::State(state) => {
                    let own = state.0.iter().filter_map(|(name, value)| {
                        let inner = name.strip_prefix(&prefix)?;
                        Some((inner.to_owned(), value.clone()))
                    });
                    load_state_dict(build(None, p.device)?, &StateDict(own.collect()))?
                }
            };
            let ids = parameter_ids(&module).into_iter();
            p.taken
                .extend(ids.map(|(name, id)| (format!("{prefix}{name}"), Some(id))));
            Ok(module)
        })
    }

    /// A whole model that draws its own parameters from a seed; stored ones take the place of any that `build` makes
    /// without one.
    pub(crate) fn whole<M: Module>(
        &mut self,
        build: impl FnOnce(Option<u64>, &Device) -> Result<M, ModelError>,
    ) -> Result<M, ModelError> {
        self.whole = true;
        match self.source {
            WeightSource::Seed(seed) => build(Some(seed), self.device),
            WeightSource::State(state) => {
                let names = state.0.keys().cloned();
                self.taken.extend(names.map(|name| (name, None)));
                load_state_dict(build(None, self.device)?, state)
            }
        }
    }

    fn param<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        draw: Draw,
    ) -> Result<Param<Tensor<D>>, ModelError> {
        let tensor = self.tensor(name, shape, draw)?;
        let param = Param::from_tensor(tensor);
        self.taken.insert(self.path_of(name), Some(param.id));
        Ok(param)
    }

    fn path_of(&self, name: &str) -> String {
        let mut path = self.path.join(".");
        path.push('.');
        path.push_str(name);
        path
    }

    fn tensor<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        draw: Draw,
    ) -> Result<Tensor<D>, ModelError> {
        let path = self.path_of(name);
        let data = match &self.source {
            WeightSource::Seed(seed) => {
                let len = shape.iter().fold(1, |len: usize, n| len.saturating_mul(*n));
                // Drawn here, then held by the device, which may be this memory as well.
                budget::ask_for::<[f32; 2]>(format_args!("the weights of {path}"), len)?;
                sample(*seed, &path, len, draw)
            }
            WeightSource::State(state) => {
                let stored = state.get(&path, &shape)?;
                budget::ask_for::<[f32; 2]>(format_args!("the weights of {path}"), stored.len())?;
                stored.to_vec()
            }
        };
        self.taken.insert(path, None);
        Ok(Tensor::from_data(TensorData::new(data, shape), self.device))
    }
}

fn bound(initialization: Initialization, fan_in: usize, fan_out: usize) -> Draw {
    let fan = match initialization {
        Initialization::He => fan_in,
        Initialization::Xavier => fan_in.saturating_add(fan_out),
    };
    Draw::Uniform((6.0 / fan as f64).sqrt())
}

/// The values of one parameter. Uniform rather than normal draws keep to arithmetic that every platform rounds alike.
fn sample(seed: u64, path: &str, len: usize, draw: Draw) -> Vec<f32> {
    let bound = match draw {
        Draw::Constant(value) => return vec![value; len],
        Draw::Uniform(bound) => bound,
    };
    let mut key = [0_u8; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, fnv1a(path)]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut random = ChaCha8Rng::from_seed(key);
    let unit = 1.0 / (1_u64 << 32) as f64;
    (0..len)
        .map(|_| {
            let centred = 2.0 * (f64::from(random.next_u32()) + 0.5) * unit - 1.0;
            (centred * bound) as f32
        })
        .collect()
}

/// FNV-1a, 64 bit.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_matches_its_published_vectors() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn uniform_draws_have_the_asked_for_spread() {
        let values = sample(7, "a.weight", 40_000, Draw::Uniform(0.5));
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 40_000.0;
        let variance = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 40_000.0;
        assert!(values.iter().all(|v| v.abs() <= 0.5));
        assert!(mean.abs() < 0.005, "{mean}");
        assert!((variance - 0.25 / 3.0).abs() < 0.001, "{variance}");
    }

    #[test]
    fn seed_and_path_both_matter() {
        let draw = Draw::Uniform(1.0);
        let values = sample(1, "a", 8, draw);
        assert_eq!(values, sample(1, "a", 8, draw));
        assert_ne!(values, sample(2, "a", 8, draw));
        assert_ne!(values, sample(1, "b", 8, draw));
    }
}
