//! The state of a model at one instant, and what its parts are called.

use std::ops::Index;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};

use crate::DynamicsError;

/// A quantity of a model's state: its name in errors, files and plots, its unit and its width.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// The name, for example `v`.
    pub name: String,
    /// The unit, for example `mV`; `1` where there is none.
    pub unit: &'static str,
    /// The number of units, that is, columns.
    pub width: usize,
    /// The lowest and the highest value that the equations, or nature, allow. See [`within`](Self::within).
    pub range: (f64, f64),
    /// What it is, for what has no unit to tell by.
    pub kind: QuantityKind,
    /// What its columns are called; empty where they have numbers only.
    pub labels: Arc<[String]>,
}

/// What a quantity is, beside its unit: gates, spikes and rates have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuantityKind {
    /// A variable of a system, or whatever else moves.
    #[default]
    State,
    /// The potential of a membrane.
    Potential,
    /// How many spikes there were in a step.
    Spikes,
    /// The open share of a gate.
    Gate,
    /// A concentration inside a cell.
    Concentration,
    /// A firing rate, or the activity that stands for it.
    Rate,
    /// A time since something happened, or between two such times; recorded only where it is asked for by name.
    Elapsed,
}

impl QuantityKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::State => "a state variable",
            Self::Potential => "a potential",
            Self::Spikes => "a number of spikes",
            Self::Gate => "a gate",
            Self::Concentration => "a concentration",
            Self::Rate => "a rate",
            Self::Elapsed => "a time",
        }
    }
}

/// No potential, current or rate is larger: a kilovolt, a milliampere, a megahertz.
const PHYSICAL: f64 = 1e6;

/// The same for numbers without a unit, whose scale is the model's own.
const NUMERIC: f64 = 1e12;

impl Variable {
    /// A variable of `width` columns, in a range that none leaves but a run that blows up: ±10⁶ in its unit, ±10¹²
    /// without one. It is a potential where the unit is mV, else a state variable.
    pub fn new(name: impl Into<String>, unit: &'static str, width: usize) -> Self {
        let most = match unit {
            "1" => NUMERIC,
            _ => PHYSICAL,
        };
        Self {
            name: name.into(),
            unit,
            width,
            range: (-most, most),
            kind: match unit {
                "mV" => QuantityKind::Potential,
                _ => QuantityKind::State,
            },
            labels: Arc::default(),
        }
    }

    /// States the range that the equations keep a variable in, such as 0 to 1 for a gate. A solver may overshoot it a
    /// little; a value that is further outside than half the range's width comes of a step that is too large, and ends
    /// a run.
    #[must_use]
    pub fn within(mut self, low: f64, high: f64) -> Self {
        self.range = (low, high);
        self
    }

    /// The middle of the values that do not end a run, and how far they may be from it.
    fn plausible(&self) -> (f64, f64) {
        let (low, high) = self.range;
        (0.5 * (low + high), high - low)
    }

    /// Whether every value is finite and none far outside the [range](Self::within).
    pub fn is_plausible(&self, values: &[f64]) -> bool {
        let (middle, reach) = self.plausible();
        values.iter().all(|x| (x - middle).abs() <= reach)
    }

    /// The same variable with names for its columns.
    #[must_use]
    pub fn labelled(self, labels: Arc<[String]>) -> Self {
        Self { labels, ..self }
    }

    /// The same variable as one of a part of a model, as `part.variable`.
    #[must_use]
    pub fn of(&self, part: &str) -> Self {
        Self {
            name: format!("{part}.{}", self.name),
            ..self.clone()
        }
    }

    /// The same variable as what it is.
    pub fn of_kind(self, kind: QuantityKind) -> Self {
        Self { kind, ..self }
    }
}

/// The values of all variables, each `[batch, width]`, in the order of the model's variables.
///
/// A population of N cells is one column range of one tensor, not N objects. A delay line keeps its past as further
/// variables; moving it on moves handles, not numbers.
#[derive(Clone, Debug)]
pub struct State(Vec<Tensor<2>>);

impl State {
    /// A state of these tensors.
    pub fn new(tensors: Vec<Tensor<2>>) -> Self {
        Self(tensors)
    }

    /// The number of variables.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tensors in order.
    pub fn tensors(&self) -> &[Tensor<2>] {
        &self.0
    }

    /// The tensors in order.
    pub fn into_tensors(self) -> Vec<Tensor<2>> {
        self.0
    }

    /// Replaces one variable.
    pub fn replace(&mut self, variable: usize, value: Tensor<2>) {
        self.0[variable] = value;
    }

    /// Applies `f` to every variable.
    pub fn map(self, f: impl FnMut(Tensor<2>) -> Tensor<2>) -> Self {
        Self(self.0.into_iter().map(f).collect())
    }

    /// Applies `f` to every pair of variables; both states have the same variables.
    pub fn zip(self, other: Self, mut f: impl FnMut(Tensor<2>, Tensor<2>) -> Tensor<2>) -> Self {
        let pairs = self.0.into_iter().zip(other.0);
        Self(pairs.map(|(a, b)| f(a, b)).collect())
    }

    /// `self + scale·slope`.
    pub fn add_scaled(&self, slope: &Self, scale: f64) -> Self {
        self.clone()
            .zip(slope.clone(), |x, k| x + k.mul_scalar(scale))
    }

    /// `self + Σ scaleᵢ·slopeᵢ`; zero scales are left out.
    pub fn add_combination<'a>(&self, terms: impl IntoIterator<Item = (f64, &'a Self)>) -> Self {
        terms
            .into_iter()
            .filter(|(scale, _)| *scale != 0.0)
            .fold(self.clone(), |x, (scale, slope)| x.add_scaled(slope, scale))
    }

    /// The same values on the plain device, outside any gradient tape.
    pub fn without_autodiff(self) -> Self {
        self.map(plain)
    }

    /// Checks number and shapes of the variables. One that all rows of the batch share, such as weights that change
    /// during a run, may have one row.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Shape`] names the first variable that does not fit.
    pub fn check(&self, variables: &[Variable]) -> Result<(), DynamicsError> {
        if self.len() != variables.len() {
            return Err(DynamicsError::Shape {
                what: "the state (number of variables)".into(),
                expected: vec![variables.len()],
                found: vec![self.len()],
            });
        }
        let batch = self.0.iter().map(|x| x.dims()[0]).max().unwrap_or(0);
        for (x, variable) in self.0.iter().zip(variables) {
            let expected = [batch, variable.width];
            if x.dims() != expected && x.dims() != [1, variable.width] {
                return Err(DynamicsError::Shape {
                    what: format!("the state variable {}", variable.name),
                    expected: expected.to_vec(),
                    found: x.dims().to_vec(),
                });
            }
        }
        Ok(())
    }

    /// Checks that every value is finite; waits for the device.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::NonFinite`] names the first variable and element that are not, with `time`.
    pub fn check_finite(&self, variables: &[Variable], time: f64) -> Result<(), DynamicsError> {
        for (index, x) in self.0.iter().enumerate() {
            // One number tells whether any element is not finite, for x − x is 0 or NaN.
            let x = plain(x.clone());
            let total = (x.clone() - x.clone()).sum();
            if host(total)?.iter().all(|x| x.is_finite()) {
                continue;
            }
            let width = x.dims()[1].max(1);
            if let Some(at) = host(x)?.iter().position(|x| !x.is_finite()) {
                let name = variables.get(index).map(|v| v.name.clone());
                return Err(DynamicsError::NonFinite {
                    time: readable(time),
                    variable: name.unwrap_or_else(|| format!("variable {index}")),
                    batch: at / width,
                    unit: at % width,
                });
            }
        }
        Ok(())
    }

    /// Checks that every value is finite and none far outside its variable's [range](Variable::range); waits for the
    /// device once.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::NonFinite`] or [`DynamicsError::Runaway`] names the first variable and element that are not,
    /// with `time`.
    pub fn check_plausible(&self, variables: &[Variable], time: f64) -> Result<(), DynamicsError> {
        let filled = || {
            let pairs = self.0.iter().zip(variables);
            pairs.filter(|(x, _)| x.dims().iter().all(|size| *size > 0))
        };
        let measures = filled().flat_map(|(x, variable)| {
            let x = plain(x.clone());
            let (middle, _) = variable.plausible();
            // x − x is 0 or NaN.
            let finite = (x.clone() - x.clone()).sum();
            [finite, x.sub_scalar(middle).abs().max()]
        });
        let measures: Vec<Tensor<1>> = measures.collect();
        if measures.is_empty() {
            return Ok(());
        }
        let measures = host(Tensor::cat(measures, 0))?;
        if measures.iter().any(|measure| !measure.is_finite()) {
            self.check_finite(variables, time)?;
        }
        for ((x, variable), measure) in filled().zip(measures.chunks(2)) {
            let (middle, reach) = variable.plausible();
            if measure.iter().all(|distance| *distance <= reach) {
                continue;
            }
            let values = host(x.clone())?;
            let far = |x: &f64| (x - middle).abs() > reach;
            if let Some((at, value)) = values.iter().enumerate().find(|(_, x)| far(x)) {
                let width = x.dims()[1].max(1);
                return Err(DynamicsError::Runaway {
                    time: readable(time),
                    variable: variable.name.clone(),
                    batch: at / width,
                    unit: at % width,
                    value: *value,
                    low: variable.range.0,
                    high: variable.range.1,
                });
            }
        }
        Ok(())
    }
}

/// A time without what rounding left of a product of steps.
fn readable(time: f64) -> f64 {
    (time * 1e9).round() / 1e9
}

impl Index<usize> for State {
    type Output = Tensor<2>;

    fn index(&self, variable: usize) -> &Tensor<2> {
        &self.0[variable]
    }
}

/// Reads a tensor to the host in row-major order; waits for the device.
///
/// # Errors
///
/// [`DynamicsError::Device`] when it cannot be read.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>, DynamicsError> {
    plain(tensor)
        .try_into_vec_as::<f64>()
        .map_err(DynamicsError::device)
}

/// Where tensors live and how precise they are.
#[derive(Clone, Debug)]
pub struct Place {
    /// The device; with autodiff where gradients are wanted.
    pub device: Device,
    /// [`DType::F32`], or [`DType::F64`] on the CPU backends.
    pub dtype: DType,
}

impl Place {
    /// Single precision on a device.
    pub fn f32(device: &Device) -> Self {
        Self {
            device: device.clone(),
            dtype: DType::F32,
        }
    }

    /// Double precision on a CPU device.
    pub fn f64(device: &Device) -> Self {
        Self {
            device: device.clone(),
            dtype: DType::F64,
        }
    }

    /// Where `tensor` lives.
    pub fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        Self {
            device: tensor.device(),
            dtype: tensor.dtype(),
        }
    }

    /// A tensor of row-major values.
    pub fn tensor<const D: usize>(&self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        let data = burn::tensor::TensorData::new(values, shape);
        Tensor::from_data(data, (&self.device, self.dtype))
    }

    /// A tensor with one value everywhere.
    pub fn full<const D: usize>(&self, value: f64, shape: [usize; D]) -> Tensor<D> {
        Tensor::full(shape, value, (&self.device, self.dtype))
    }
}

/// A tensor outside any gradient tape: of one that is recorded Burn's `without_autodiff` makes none.
pub(crate) fn plain<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "capture")]
    let plain = granule_ops::script::plain(tensor);
    #[cfg(not(feature = "capture"))]
    let plain = tensor.without_autodiff();
    plain
}

/// A tensor that can be on a tape; the same of `autodiff`.
pub(crate) fn taped<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    #[cfg(all(feature = "autodiff", feature = "capture"))]
    let taped = granule_ops::script::taped(tensor);
    #[cfg(not(all(feature = "autodiff", feature = "capture")))]
    let taped = tensor.autodiff();
    taped
}

/// Whether a tensor is on a tape; without the feature `autodiff` there is none.
pub(crate) fn is_tracked<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "autodiff")]
    let tracked = tensor.is_tracked();
    #[cfg(not(feature = "autodiff"))]
    let tracked = {
        let _ = tensor;
        false
    };
    tracked
}
