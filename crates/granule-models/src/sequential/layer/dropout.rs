use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSettings};
use crate::layers::check_dropout;
use crate::parameters::Parameters;
use crate::sequential::{Builder, Features, Site};
use crate::{InputShape, Mode, ModelError, Outline};

/// Dropout, in training only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DropoutLayerConfig {
    /// The probability of dropping a value, from 0 up to, but not including, 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0), extend("exclusiveMaximum" = 1)))]
    pub probability: f64,
    /// Drop whole channels, at all steps of a sequence or all pixels of an image (Tompson et al. 2015).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_channels: bool,
}

/// Dropout.
#[derive(Module, Debug)]
pub struct Dropout {
    #[module(skip)]
    probability: f64,
    /// The channels of a sample, where whole ones are dropped.
    #[module(skip)]
    channels: Option<usize>,
}

impl LayerSettings for DropoutLayerConfig {
    type Layer = Dropout;

    fn shape(&self, site: &Site) -> Result<InputShape, ModelError> {
        check_dropout(&site.field("probability"), self.probability)?;
        Ok(site.input())
    }

    fn build(&self, at: &mut Builder, _: &mut Parameters<'_>) -> Result<Dropout, ModelError> {
        let channels = match at.input() {
            InputShape::Image { channels, .. } | InputShape::Sequence { channels, .. } => channels,
            InputShape::Vector { len } => len,
        };
        Ok(Dropout {
            probability: self.probability,
            channels: self.whole_channels.then_some(channels),
        })
    }
}

impl Layer for Dropout {
    fn run(&self, x: Features, mode: &mut Mode<'_>) -> Result<Features, ModelError> {
        let (Some(channels), Mode::Training(_)) = (self.channels, &mode) else {
            return Ok(match x {
                Features::Vector(x) => Features::Vector(mode.dropout(x, self.probability)),
                Features::Image(x) => Features::Image(mode.dropout(x, self.probability)),
            });
        };
        let mut mask = |batch: usize, options: (&Device, DType)| {
            let ones = Tensor::<2>::ones([batch, channels], options);
            mode.dropout(ones, self.probability)
        };
        Ok(match x {
            Features::Vector(x) => {
                let [batch, values] = x.dims();
                let mask = mask(batch, (&x.device(), x.dtype()));
                let steps = x.reshape([batch, values / channels.max(1), channels]);
                let kept = steps.mul(mask.reshape([batch, 1, channels]));
                Features::Vector(kept.reshape([batch, values]))
            }
            Features::Image(x) => {
                let batch = x.dims()[0];
                let mask = mask(batch, (&x.device(), x.dtype()));
                Features::Image(x.mul(mask.reshape([batch, channels, 1, 1])))
            }
        })
    }

    /// At inference there is none.
    fn outline(&self, _: &mut Outline<'_>) {}

    fn has_bf16(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use granule_device::DeviceSpec;

    use super::*;
    use crate::NoiseStream;

    #[test]
    fn whole_channels_are_dropped_at_all_steps_and_pixels() {
        let layer = Dropout {
            probability: 0.5,
            channels: Some(4),
        };
        let device = DeviceSpec::Flex.open().unwrap().burn().clone();
        let ones = TensorData::new(vec![1.0_f32; 2 * 12], [2, 12]);
        let x = Tensor::<2>::from_data(ones, &device);
        let mut kept = Vec::new();
        for step in 0..20 {
            let mut noise = NoiseStream::new(1, step);
            let sequence = layer.run(Features::Vector(x.clone()), &mut Mode::Training(&mut noise));
            let found = sequence.unwrap().flat().try_into_vec_as::<f32>().unwrap();
            for sample in found.chunks(12) {
                let first = &sample[..4];
                assert!(sample.chunks(4).all(|channels| channels == first));
                assert!(first.iter().all(|&x| x == 0.0 || x == 2.0));
                kept.extend_from_slice(first);
            }
            let image = x.clone().reshape([2, 4, 1, 3]);
            let mut noise = NoiseStream::new(1, step);
            let image = layer.run(Features::Image(image), &mut Mode::Training(&mut noise));
            let found = image.unwrap().flat().try_into_vec_as::<f32>().unwrap();
            assert!(
                found
                    .chunks(3)
                    .all(|plane| plane.iter().all(|x| *x == plane[0]))
            );
        }
        let share = kept.iter().filter(|x| **x > 0.0).count() as f64 / kept.len() as f64;
        assert!((0.35..0.65).contains(&share), "{share}");
        let same = layer.run(Features::Vector(x.clone()), &mut Mode::Inference);
        let same = same.unwrap().flat().try_into_vec_as::<f32>().unwrap();
        assert_eq!(same, vec![1.0; 24]);
    }
}
