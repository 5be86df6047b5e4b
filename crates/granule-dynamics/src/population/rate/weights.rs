use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

use super::config::{RateNetworkConfig, Rectifier, Recurrence};
use super::connectivity::{self, Purpose};
use crate::{DynamicsError, Place};

/// Recurrent weights in a form in which every value keeps the network's constraints.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum RecurrentWeights {
    /// Weights that are trained one by one.
    Dense(DenseWeights),
    /// A product of thin matrices.
    LowRank(LowRankWeights),
}

/// W = size(raw) ∘ pattern.
#[derive(Module, Debug)]
pub struct DenseWeights {
    /// What an optimiser sees, `[units, units]`, rows presynaptic.
    pub raw: Param<Tensor<2>>,
    /// 0 where there is no connection, else the sign under Dale's law or 1; fixed. `None` for 1 everywhere.
    pub pattern: Option<Param<Tensor<2>>>,
    #[module(skip)]
    rectifier: Option<Rectifier>,
}

/// W = background + n mᵀ/N.
#[derive(Module, Debug)]
pub struct LowRankWeights {
    /// m, what the units receive, `[units, rank]`.
    pub left: Param<Tensor<2>>,
    /// n, what the units select, `[units, rank]`.
    pub right: Param<Tensor<2>>,
    /// `[units, units]`, fixed.
    pub background: Option<Param<Tensor<2>>>,
}

impl RecurrentWeights {
    pub(in crate::population) fn new(
        config: &RateNetworkConfig,
        seed: u64,
        place: &Place,
    ) -> Result<Self, DynamicsError> {
        let n = config.units;
        let fixed = |values: Vec<f64>| {
            Param::from_tensor(place.tensor(values, [n, n])).set_require_grad(false)
        };
        if let Recurrence::LowRank { rank, background } = config.recurrence {
            let parts = connectivity::low_rank(config, rank, seed)?;
            let [left, right] = parts.map(|x| Param::from_tensor(place.tensor(x, [n, rank])));
            let scale = background / (n as f64).sqrt();
            let chi = || connectivity::draw(seed, Purpose::Background, n * n, scale);
            return Ok(Self::LowRank(LowRankWeights {
                left,
                right,
                background: (background > 0.0).then(|| fixed(chi())),
            }));
        }
        let mask = connectivity::mask(config, seed)?;
        let mut weights = connectivity::weights(config, mask.as_deref(), seed)?;
        let rectifier = config.dale_ratio.map(|_| config.rectifier);
        let mut pattern = mask;
        if let Some(rectifier) = rectifier {
            let signs = pattern.get_or_insert_with(|| vec![1.0; n * n]);
            for (row, excitatory) in signs.chunks_exact_mut(n).zip(config.excitatory()) {
                let sign = if excitatory { 1.0 } else { -1.0 };
                row.iter_mut().for_each(|x| *x *= sign);
            }
            weights.iter_mut().for_each(|w| *w = rectifier.raw(w.abs()));
        }
        Ok(Self::Dense(DenseWeights {
            raw: Param::from_tensor(place.tensor(weights, [n, n])),
            pattern: pattern.map(fixed),
            rectifier,
        }))
    }

    /// What no training changes, `[units, units]`: the pattern of connections, or the background.
    pub fn fixed(&self) -> Option<&Param<Tensor<2>>> {
        match self {
            Self::Dense(dense) => dense.pattern.as_ref(),
            Self::LowRank(low_rank) => low_rank.background.as_ref(),
        }
    }

    /// W, `[units, units]`, rows presynaptic; differentiable.
    pub fn value(&self) -> Tensor<2> {
        match self {
            Self::Dense(dense) => {
                let raw = dense.raw.val();
                let size = match dense.rectifier {
                    None => raw,
                    Some(rectifier) => rectifier.size(raw),
                };
                match &dense.pattern {
                    None => size,
                    Some(pattern) => size * pattern.val(),
                }
            }
            Self::LowRank(LowRankWeights {
                left,
                right,
                background,
            }) => {
                let [units, _] = left.dims();
                let structure = right.val().matmul(left.val().transpose());
                let structure = structure.div_scalar(units as f64);
                match background {
                    None => structure,
                    Some(background) => structure + background.val(),
                }
            }
        }
    }
}

impl Rectifier {
    fn size(self, raw: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Abs => raw.abs(),
            Self::Relu => activation::relu(raw),
            Self::Softplus => activation::softplus(raw, 1.0),
        }
    }

    /// The number whose size is `size`. Softplus reaches no zero; what has no connection is masked anyway.
    fn raw(self, size: f64) -> f64 {
        match self {
            Self::Abs | Self::Relu => size,
            Self::Softplus if size > 0.0 => size + (-(-size).exp_m1()).ln(),
            Self::Softplus => -1.0,
        }
    }
}
