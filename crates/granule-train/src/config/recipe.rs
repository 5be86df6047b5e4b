use granule_data::task::{TaskConfig, TaskKind};
use granule_data::{Augmentation, DatasetSpec};
use granule_models::{CnnConfig, ModelConfig, RateConfig, RecurrentInitialization};

use super::{
    AdamConfig, AdamWConfig, Loss, OneCycleConfig, OptimizerConfig, RunConfig, ScheduleConfig,
    SgdConfig,
};

impl RunConfig {
    /// Settings that train this model well on this data set; they are where `granule train` starts from.
    ///
    /// ```
    /// # use granule_data::DatasetSpec;
    /// # use granule_models::ModelConfig;
    /// # use granule_train::RunConfig;
    /// let config = RunConfig::recipe(ModelConfig::from_name("resnet")?, DatasetSpec::Cifar10);
    /// assert_eq!(config.optimizer.name(), "sgd");
    /// assert!(config.data.augmentation.horizontal_flip);
    /// # Ok::<(), granule_models::ModelError>(())
    /// ```
    // Only values that every configuration file spells out may differ here between models: a file that leaves one
    // away, as a run's own config.toml does with what is unset, would get it back. Clipping for recurrent networks, whose
    // gradients may explode, is the exception: a run goes without it by `clip_norm = 0`.
    pub fn recipe(model: ModelConfig, dataset: DatasetSpec) -> Self {
        let mut config = Self::default();
        match model.name() {
            "mlp" | "lenet" => {
                config.schedule = ScheduleConfig::Cosine(Default::default());
                let own = dataset.has_encoded_images()
                    || matches!(
                        dataset,
                        DatasetSpec::Arrays { .. } | DatasetSpec::Recording(_)
                    );
                // People's own vectors are often a few hundred noisy samples.
                if own && model.name() == "mlp" {
                    config.optimizer = OptimizerConfig::AdamW(AdamWConfig {
                        weight_decay: 1.0,
                        ..Default::default()
                    });
                }
            }
            "cnn" => {
                config.optimizer = OptimizerConfig::Sgd(SgdConfig {
                    lr: 0.01,
                    ..Default::default()
                });
                config.schedule = ScheduleConfig::Cosine(Default::default());
            }
            "rate" | "gru" | "lstm" | "wilson-cowan" => {
                config.train.clip_norm = Some(1.0);
                config.optimizer = OptimizerConfig::Adam(AdamConfig {
                    lr: 3e-3,
                    ..Default::default()
                });
                config.schedule = ScheduleConfig::Cosine(Default::default());
            }
            ModelConfig::MULTI_GRANULARITY => {
                config.train.loss = Loss::Mse;
                config.train.epochs = 400;
                config.train.clip_norm = Some(1.0);
                config.optimizer = OptimizerConfig::Adam(AdamConfig {
                    lr: 0.01,
                    ..Default::default()
                });
                config.schedule = ScheduleConfig::Cosine(Default::default());
            }
            "resnet" => {
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
                if matches!(dataset, DatasetSpec::Cifar10 | DatasetSpec::Cifar100) {
                    config.data.augmentation = Augmentation {
                        pad_crop: 4,
                        horizontal_flip: true,
                        ..Default::default()
                    };
                }
            }
            _ => config.schedule = ScheduleConfig::Cosine(Default::default()),
        }
        config.model = model;
        config.data.dataset = dataset;
        config
    }

    /// Settings for data of which nothing else is named. The images of a folder or of Parquet files, of any size, few or many, get a small
    /// convolutional network; other data the default model.
    ///
    /// On 40, 200 and 1000 digits of MNIST in folders it has 75, 88 and 94 % of 500 others right in 500 steps, where `mlp`
    /// has 64, 83 and 90 % in 4,000.
    pub fn of_data(dataset: DatasetSpec) -> Self {
        if !dataset.has_encoded_images() {
            return Self::recipe(ModelConfig::default(), dataset);
        }
        let model = CnnConfig {
            channels: vec![16, 32],
            hidden: 64,
            ..Default::default()
        };
        Self {
            optimizer: OptimizerConfig::Adam(AdamConfig::default()),
            ..Self::recipe(model.into(), dataset)
        }
    }

    /// Settings that train this model well on this task.
    ///
    /// Delayed match to sample begins with a spectral radius of 1.5, as in the software of Song, Yang and Wang (2016),
    /// unless the model has another than the default: from 1, networks under Dale's law may stay at chance for long.
    pub fn task_recipe(mut model: ModelConfig, task: TaskConfig) -> Self {
        if let (Some(rate), TaskKind::DelayedMatch) = (model.get_mut::<RateConfig>(), task.kind())
            && rate.initialization == RateConfig::default().initialization
        {
            rate.initialization = RecurrentInitialization::SpectralRadius(1.5);
        }
        let mut config = Self::recipe(model, DatasetSpec::default());
        config.train.loss = Loss::Mse;
        config.data.task = Some(task);
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_in_folders_get_a_small_convolutional_network() {
        let of = |dataset: &str| RunConfig::of_data(dataset.parse().unwrap()).of_default_length();
        let images = of("folder:cells");
        assert_eq!(images.model.name(), "cnn");
        assert_eq!(images.optimizer.name(), "adam");
        assert_eq!(images.train.min_steps, Some(500));
        for other in ["mnist", "arrays:own.npz", "synthetic-digits"] {
            assert_eq!(of(other).model.name(), "mlp");
        }
        let named = RunConfig::recipe(CnnConfig::default().into(), "folder:cells".parse().unwrap());
        assert_eq!(named.model, CnnConfig::default().into());
    }

    #[test]
    fn delayed_match_begins_with_more_recurrence_unless_the_model_says_otherwise() {
        let begins = |rate: RateConfig, task: TaskKind| {
            let config = RunConfig::task_recipe(rate.into(), task.config());
            config.model.get::<RateConfig>().unwrap().initialization
        };
        let radius = RecurrentInitialization::SpectralRadius;
        for task in TaskKind::ALL {
            let expected = match task {
                TaskKind::DelayedMatch => radius(1.5),
                _ => RateConfig::default().initialization,
            };
            assert_eq!(begins(RateConfig::default(), task), expected, "{task}");
        }
        let chosen = RateConfig {
            initialization: radius(0.9),
            ..Default::default()
        };
        assert_eq!(begins(chosen, TaskKind::DelayedMatch), radius(0.9));
    }
}
