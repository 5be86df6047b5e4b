//! Where a run starts from when nothing is said: settings that train each model well.

use granule::data::{Augmentation, DatasetSpec};
use granule::models::ModelConfig;
use granule::train::config::{OneCycleConfig, SgdConfig};
use granule::train::{OptimizerConfig, RunConfig, ScheduleConfig};

/// The defaults of a model on a data set. Unknown names are left to the check of the whole.
///
/// Only values that every configuration file spells out may differ here between models: a file that leaves one
/// away, as a run's own config.toml does with what is unset, would get it back.
pub fn of(model: Option<&str>, dataset: Option<&str>) -> RunConfig {
    let mut config = RunConfig::default();
    if let Some(model) = model.and_then(|name| ModelConfig::from_name(name).ok()) {
        config.model = model;
    }
    match config.model {
        ModelConfig::Mlp(_) | ModelConfig::LeNet(_) => {
            config.schedule = ScheduleConfig::Cosine(Default::default());
        }
        ModelConfig::Cnn(_) => {
            config.optimizer = OptimizerConfig::Sgd(SgdConfig {
                lr: 0.01,
                ..Default::default()
            });
            config.schedule = ScheduleConfig::Cosine(Default::default());
        }
        ModelConfig::ResNet(_) => {
            config.train.epochs = 30;
            config.train.batch_size = 128;
            config.train.label_smoothing = 0.1;
            config.optimizer = OptimizerConfig::Sgd(SgdConfig {
                lr: 0.1,
                nesterov: true,
                weight_decay: 5e-4,
                ..Default::default()
            });
            config.schedule = ScheduleConfig::OneCycle(OneCycleConfig::default());
        }
    }
    let photographs = matches!(
        dataset.and_then(|name| name.parse().ok()),
        Some(DatasetSpec::Cifar10 | DatasetSpec::Cifar100)
    );
    if photographs && matches!(config.model, ModelConfig::ResNet(_)) {
        config.data.augmentation = Augmentation {
            pad_crop: 4,
            horizontal_flip: true,
            ..Default::default()
        };
    }
    config
}

/// The table of these defaults for `granule help train`.
pub const DEFAULTS_BY_MODEL: &str = "\
Defaults by model:
  model   optimiser                         schedule   batch  epochs
  mlp     adam, lr 0.001                    cosine        64      10
  lenet   adam, lr 0.001                    cosine        64      10
  cnn     sgd, lr 0.01, momentum 0.9        cosine        64      10
  resnet  sgd, lr 0.1, momentum 0.9,        one-cycle    128      30
          nesterov, weight decay 0.0005;
          label smoothing 0.1; on CIFAR
          random crops and mirror images
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_says_what_the_defaults_are() {
        for name in ModelConfig::NAMES {
            let config = of(Some(name), None);
            config.validate().unwrap();
            let row = DEFAULTS_BY_MODEL
                .lines()
                .find(|line| line.trim_start().starts_with(name))
                .unwrap();
            let expected = [
                config.optimizer.name().to_string(),
                format!("lr {}", config.optimizer.lr()),
                config.schedule.name().to_string(),
                format!(" {} ", config.train.batch_size),
            ];
            for text in expected {
                assert!(row.contains(&text), "{row}: {text}");
            }
            assert!(row.ends_with(&format!(" {}", config.train.epochs)), "{row}");
        }
    }
}
