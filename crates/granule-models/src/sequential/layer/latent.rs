use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::layers::{check_size, dense};
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features, Site};
use crate::{Initialization, InputShape, Mode, ModelError};

/// A latent of independent normal numbers, as in variational auto-encoders (Kingma & Welling 2014): mean and log variance are dense
/// in what the layer takes, at each step of a sequence in those of that step. In training it gives a sample, else the mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LatentLayerConfig {
    /// The numbers of the latent, at each step of a sequence, 1 to 65536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub units: usize,
    /// How much the Kullback–Leibler divergence from the standard normal distribution, in nats, the sum over a sample and
    /// the mean over the batch, adds to the training loss, at least 0. Where that is the mean over so many outputs of a negative
    /// log-likelihood, as of counts, 1 divided by their number makes it the evidence lower bound; 2 divided by it where the loss is
    /// the mean squared error, of outputs with variance 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
    pub kl_weight: f64,
}

/// A latent of independent normal numbers.
#[derive(Module, Debug)]
pub struct Latent {
    /// To the means, `[values, units]`.
    pub mean: Linear,
    /// To the logarithms of the variances, `[values, units]`.
    pub log_variance: Linear,
    #[module(skip)]
    kl_weight: f64,
}

impl LayerSettings for LatentLayerConfig {
    type Layer = Latent;
    const WEIGHT: Option<&'static str> = Some("mean.weight");

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        check_size(site.field("units"), self.units)?;
        if !(self.kl_weight >= 0.0 && self.kl_weight.is_finite()) {
            let allowed = "a finite number, at least 0";
            return Err(ModelError::config(
                site.field("kl_weight"),
                self.kl_weight,
                allowed,
            ));
        }
        match site.input() {
            InputShape::Image { .. } => {
                Err(site.misfit("takes vectors and sequences", "put a flatten between them"))
            }
            other => Ok(other.with_step_len(self.units)),
        }
    }

    fn build(&self, at: &mut Builder, p: &mut Parameters<'_>) -> Result<Latent, ModelError> {
        let extents = [at.input().step_len(), self.units];
        p.scope(at.index(), |p| {
            Ok(Latent {
                mean: p.linear("mean", extents, Initialization::Xavier)?,
                log_variance: p.linear("log_variance", extents, Initialization::Xavier)?,
                kl_weight: self.kl_weight,
            })
        })
    }
}

impl Layer for Latent {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        let x = x.flat();
        let [batch, all] = x.dims();
        let [values, units] = self.mean.weight.dims();
        let rows = batch * all / values.max(1);
        let x = x.reshape([rows, values]);
        let mean = dense(&self.mean, x.clone(), mode);
        let sample = match mode {
            Mode::Inference | Mode::Tracing(_) => mean,
            Mode::Training(_) => {
                let log_variance = dense(&self.log_variance, x, mode);
                let weight = self.kl_weight / batch.max(1) as f64;
                mode.penalize(|| divergence(&mean, &log_variance).mul_scalar(weight));
                mode.add_noise(mean, log_variance.mul_scalar(0.5).exp())
            }
        };
        Ok(Features::Vector(
            sample.reshape([batch, rows / batch.max(1) * units]),
        ))
    }

    fn has_bf16(&self) -> bool {
        true
    }
}

/// The Kullback–Leibler divergence of N(μ, σ²) from N(0, 1), Σ (μ² + σ² − 1 − ln σ²)/2, in nats, `[1]`.
fn divergence(mean: &Tensor<2>, log_variance: &Tensor<2>) -> Tensor<1> {
    let square = mean.clone().square();
    let variance = log_variance.clone().exp();
    let twice = square + variance - log_variance.clone() - 1.0;
    twice.sum().mul_scalar(0.5)
}
