//! A network of one's own: a Burn module that granule trains, resumes, reports, saves and embeds as its own models.
//!
//! `cargo run --release -p granule --example own_model`

use granule::burn;
use granule::burn::module::Module;
use granule::burn::nn::{LayerNorm, LayerNormConfig, Linear};
use granule::burn::tensor::{Tensor, activation::gelu};
use granule::models::{Initialization, Mode, ModelError, ModelSettings, Parameters, register};
use granule::prelude::*;
use granule::train::Quiet;
use serde::{Deserialize, Serialize};

/// What a configuration file says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GatedConfig {
    units: usize,
    dropout: f64,
}

impl Default for GatedConfig {
    fn default() -> Self {
        Self {
            units: 96,
            dropout: 0.1,
        }
    }
}

/// A layer of units that other units gate, after a norm.
#[derive(Module, Debug)]
struct Gated {
    norm: LayerNorm,
    units: Linear,
    gates: Linear,
    output: Linear,
    dropout: f64,
}

impl Model for Gated {
    fn run(&self, x: Tensor<2>, mut mode: Mode<'_>) -> Result<Tensor<2>, ModelError> {
        let x = self.norm.forward(x);
        let x = self.units.forward(x.clone()) * gelu(self.gates.forward(x));
        Ok(self.output.forward(mode.dropout(x, self.dropout)))
    }
}

impl ModelSettings for GatedConfig {
    type Model = Gated;
    const KIND: &'static str = "gated";
    const SUMMARY: &'static str = "A layer of gated units.";

    fn build(
        &self,
        input: &InputShape,
        outputs: usize,
        p: &mut Parameters<'_>,
    ) -> Result<Gated, ModelError> {
        let (features, init) = (input.len(), Initialization::Xavier);
        Ok(Gated {
            norm: p.module("norm", |device| LayerNormConfig::new(features).init(device))?,
            units: p.linear("units", [features, self.units], init)?,
            gates: p.linear("gates", [features, self.units], init)?,
            output: p.linear("output", [self.units, outputs], init)?,
            dropout: self.dropout,
        })
    }
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    register::<GatedConfig>()?;
    let config = RunConfig::from_toml_str(
        r#"
        device = "cpu"
        [model]
        kind = "gated"
        units = 64
        [data]
        dataset = "synthetic-digits"
        [train]
        epochs = 3
        "#,
    )?;
    let outcome = granule::train::train(&config, None, &mut Quiet, &StopFlag::new())?;
    println!(
        "{} holds the run, its report.html and model.granule",
        outcome.run_dir.display()
    );

    let classifier = granule::load(&outcome.run_dir)?;
    let digits = granule::data::synthetic::digits(0)?;
    let image = digits.test.pixels(0).ok_or("the digits are images")?;
    let prediction = classifier.predict(Sample::Pixels(image))?;
    let (class, probability) = prediction.best();
    println!(
        "the first test image is a {class} ({:.1} %)",
        100.0 * probability
    );
    Ok(())
}
