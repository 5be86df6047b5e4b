//! A model that is no part of granule: trained, resumed, saved and loaded as those that are.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::tanh;
use granule_models::{
    Classifier, Initialization, InputShape, Mode, Model, ModelConfig, ModelError, ModelSettings,
    Parameters, register,
};
use granule_train::{RunConfig, StopFlag, TrainError, resume_with, train_with};
use serde::{Deserialize, Serialize};

use crate::common::*;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NormedConfig {
    units: Units,
    dropout: f64,
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Units {
    #[default]
    Few,
    Many(usize),
}

#[derive(Module, Debug)]
struct Normed {
    lift: Linear,
    norm: LayerNorm,
    layers: Vec<Linear>,
    dropout: f64,
}

impl Model for Normed {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let mut x = self.norm.forward(self.lift.forward(x));
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = mode.dropout(tanh(x), self.dropout);
            }
            x = layer.forward(x);
        }
        Ok(x)
    }
}

impl ModelSettings for NormedConfig {
    type Model = Normed;
    const KIND: &'static str = "normed";
    const SUMMARY: &'static str = "Dense layers after a norm.";

    fn validate(&self, input: &InputShape, _outputs: usize) -> Result<(), ModelError> {
        input.validate()?;
        match self.dropout {
            0.0..1.0 => Ok(()),
            _ => Err(ModelError::config(
                "dropout",
                self.dropout,
                "0 to less than 1",
            )),
        }
    }

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Normed, ModelError> {
        let units = match self.units {
            Units::Few => 4,
            Units::Many(units) => units,
        };
        let sizes = [[units, units], [units, outputs]];
        Ok(Normed {
            lift: p.module("lift", |device| {
                LinearConfig::new(input.len(), units).init(device)
            })?,
            norm: p.module("norm", |device| LayerNormConfig::new(units).init(device))?,
            layers: p.scope("layers", |p| {
                let layer = |(i, size)| p.linear(i, size, Initialization::Xavier);
                sizes.into_iter().enumerate().map(layer).collect()
            })?,
            dropout: self.dropout,
        })
    }
}

fn settings() -> ModelConfig {
    NormedConfig {
        units: Units::Many(12),
        dropout: 0.2,
        note: Some("kept".to_owned()),
    }
    .into()
}

#[test]
fn a_model_of_the_programs_own_is_trained_resumed_and_loaded_as_any_other() {
    register::<NormedConfig>().unwrap();
    register::<NormedConfig>().unwrap();
    on_each(&HOSTS, |spec, device| {
        let data = points(96, 30);
        let mut config = config(spec, settings(), 4, 8);
        config.optimizer = adam(0.02);
        config.data.validation = 0.25;
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        let (outcome, witness) = run(&config, &data, &whole).unwrap();
        assert!(
            outcome.evaluation.as_ref().unwrap().loss < 0.5,
            "{outcome:?}"
        );

        let text = RunConfig::of_run(&whole).unwrap();
        assert_eq!(text.model, settings());

        let parts = dir.path().join("parts");
        let stop = StopFlag::new();
        let mut first = Witness {
            stop_after: Some((witness.steps.len() as u64 / 2, stop.clone())),
            ..Default::default()
        };
        let half = train_with(&config, &data, Some(&parts), &mut first, &stop).unwrap();
        assert!(half.interrupted);
        let mut second = Witness::default();
        let resumed = resume_with(&parts, &data, &mut second, &StopFlag::new()).unwrap();
        assert_eq!(model(&resumed).state, model(&outcome).state);

        let classifier = Classifier::from_path(&whole, device.burn()).unwrap();
        let sample = [-1.0, -1.0];
        assert_eq!(classifier.predict_values(&sample).unwrap().best().0, "left");
    });
}

#[test]
fn what_is_wrong_with_a_model_of_the_programs_own_is_said_as_of_any_other() {
    register::<NormedConfig>().unwrap();
    let toml = |model: &str| format!("device = \"flex\"\n[model]\nkind = \"normed\"\n{model}\n");
    let read = |model: &str| {
        RunConfig::from_toml_str(&toml(model))
            .unwrap_err()
            .to_string()
    };
    let text = read("width = 3");
    assert!(
        text.contains("has no key \"width\"; its keys are units, dropout"),
        "{text}"
    );
    let text = read("dropout = \"much\"");
    assert!(
        text.contains("is the text \"much\", not a number"),
        "{text}"
    );
    let config = RunConfig::from_toml_str(&toml("units = { many = 3 }\ndropout = nan")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = run(&config, &points(8, 8), &dir.path().join("run"))
        .err()
        .unwrap();
    assert!(
        matches!(&error, TrainError::Model(ModelError::Config(error)) if error.field == "dropout"),
        "{error:?}"
    );

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Impostor;
    impl ModelSettings for Impostor {
        type Model = Normed;
        const KIND: &'static str = "mlp";
        const SUMMARY: &'static str = "";
        fn build(
            &self,
            input: &InputShape,
            outputs: usize,
            p: &mut Parameters<'_>,
        ) -> Result<Normed, ModelError> {
            NormedConfig::default().build(input, outputs, p)
        }
    }
    let error = register::<Impostor>().unwrap_err();
    assert!(matches!(error, ModelError::KindTaken { kind: "mlp" }));
}

/// Two layers of one shape, each under the other's name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SwappedConfig;

impl ModelSettings for SwappedConfig {
    type Model = Normed;
    const KIND: &'static str = "swapped";
    const SUMMARY: &'static str = "";

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Normed, ModelError> {
        let init = Initialization::Xavier;
        let size = [input.len(), outputs];
        Ok(Normed {
            lift: p.linear("norm", size, init)?,
            norm: p.module("lift", |device| LayerNormConfig::new(2).init(device))?,
            layers: Vec::new(),
            dropout: 0.0,
        })
    }
}

#[test]
fn a_parameter_under_another_name_is_refused_before_the_run() {
    let input = InputShape::Vector { len: 2 };
    let device = granule_device::DeviceSpec::Flex.open().unwrap();
    let error = ModelConfig::new(SwappedConfig)
        .init(&input, 2, 1, device.burn())
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        matches!(&error, ModelError::ParameterPath { path, .. } if path == "lift.bias"),
        "{text}"
    );
    assert!(text.contains("asked for as norm.bias"), "{text}");
}

/// A linear model that adds the mean square of its weights to its loss, so many times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct RidgeConfig {
    weight: f64,
}

#[derive(Module, Debug)]
struct Ridge {
    output: Linear,
    #[module(skip)]
    weight: f64,
}

impl Model for Ridge {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        if self.weight > 0.0 {
            mode.penalize(|| {
                let square = self.output.weight.val().square().mean();
                square.mul_scalar(self.weight)
            });
        }
        Ok(self.output.forward(x))
    }
}

impl ModelSettings for RidgeConfig {
    type Model = Ridge;
    const KIND: &'static str = "ridge";
    const SUMMARY: &'static str = "A linear model with a penalty.";

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Ridge, ModelError> {
        Ok(Ridge {
            output: p.linear("output", [input.len(), outputs], Initialization::He)?,
            weight: self.weight,
        })
    }
}

#[test]
fn what_a_model_adds_to_its_loss_is_learnt_and_not_scored() {
    register::<RidgeConfig>().unwrap();
    let data = plane(32, 12);
    let square = |outcome: &granule_train::Outcome| {
        let weights = &model(outcome).state.0["output.weight"].data;
        weights.iter().map(|w| f64::from(w * w)).sum::<f64>() / weights.len() as f64
    };
    on_each(&BACKENDS, |spec, _| {
        let trained = |weight, lr, batch| {
            let mut config = config(spec, RidgeConfig { weight }.into(), 20, batch);
            config.optimizer = adam(lr);
            let dir = tempfile::tempdir().unwrap();
            let (outcome, witness) = run(&config, &data, dir.path()).unwrap();
            let loss = outcome.evaluation.as_ref().unwrap().loss;
            (square(&outcome), witness.steps[0].loss, loss)
        };
        let (before, plain, tested) = trained(0.0, 1e-12, 32);
        let (_, penalized, same) = trained(0.75, 1e-12, 32);
        assert!((penalized - plain - 0.75 * before).abs() < 1e-5, "{spec}");
        assert!((same - tested).abs() < 1e-6, "{spec}: {same} {tested}");
        let (free, ..) = trained(0.0, 0.1, 8);
        let (small, ..) = trained(50.0, 0.1, 8);
        assert!(small < 0.2 * free, "{spec}: {small} {free}");
    });
}
