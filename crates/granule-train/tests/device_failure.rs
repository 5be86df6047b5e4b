//! A run whose GPU fails, on the software adapter. What is lost stays lost for the process: everything is in one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use granule_data::LoadOptions;
use granule_device::{DeviceError, DeviceSpec, OpenDevice, fault};
use granule_models::{ModelError, ModelFile, Predictor, Sample};
use granule_train::{
    Event, Observer, Quiet, RunConfig, StopFlag, TrainError, evaluate, resume, resume_as, train,
};

const GPU: &str = "wgpu:software";

/// Loses the device after the first checkpoint.
struct Loser<'a>(&'a OpenDevice);

impl Observer for Loser<'_> {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Checkpoint { .. } = event {
            assert!(fault::lose(self.0));
        }
    }
}

fn config(device: &str, widths: &str) -> RunConfig {
    let text = format!(
        "device = \"{device}\"\n\
         [model]\nkind = \"mlp\"\nwidths = {widths}\n\
         [data]\ndataset = \"synthetic-digits\"\nlimit_train = 64\nlimit_test = 16\n\
         [train]\nepochs = 4\nbatch_size = 16\n"
    );
    RunConfig::from_toml_str(&text).unwrap()
}

fn is_of_run(error: &TrainError, run: &Path, expected: fn(&DeviceError) -> bool) -> bool {
    matches!(error, TrainError::DeviceStopped { source, path } if expected(source) && path == run)
}

fn is_lost(error: &DeviceError) -> bool {
    matches!(error, DeviceError::Lost { .. })
}

#[test]
fn a_failing_device_ends_a_run_with_how_to_go_on() {
    let device = match GPU.parse::<DeviceSpec>().unwrap().open() {
        Ok(device) => device,
        Err(error) => {
            let required =
                std::env::var_os("GRANULE_REQUIRE_WGPU").is_some_and(|value| value == "1");
            assert!(!required, "GRANULE_REQUIRE_WGPU=1, but {error}");
            println!("skipped: {error}");
            return;
        }
    };
    let stop = StopFlag::new();
    let dir = tempfile::tempdir().unwrap();

    // Weights of 160 MB, more than llvmpipe lets a kernel bind at once.
    let run = dir.path().join("large");
    let error = train(&config(GPU, "[6400, 6400]"), Some(&run), &mut Quiet, &stop).unwrap_err();
    let full = |error: &DeviceError| matches!(error, DeviceError::OutOfMemory { .. });
    assert!(is_of_run(&error, &run, full), "{error:?}");
    assert!(error.to_string().contains("smaller batch"), "{error}");

    let run = dir.path().join("run");
    let error = train(&config(GPU, "[8]"), Some(&run), &mut Loser(&device), &stop).unwrap_err();
    assert!(is_of_run(&error, &run, is_lost), "{error:?}");
    let text = error.to_string();
    let again = format!("granule train --resume {}", run.display());
    assert!(text.contains(&again) && text.contains("--device"), "{text}");

    // On the lost device nothing is possible any more, and nothing panics.
    let error = resume(&run, &mut Quiet, &stop).unwrap_err();
    assert!(is_of_run(&error, &run, is_lost), "{error:?}");

    // Elsewhere the run goes on from the checkpoint of its first epoch, of four steps.
    let elsewhere = RunConfig {
        device: DeviceSpec::Flex,
        ..RunConfig::of_run(&run).unwrap()
    };
    let outcome = resume_as(&run, &elsewhere, &mut Quiet, &stop).unwrap();
    assert_eq!(outcome.steps, 16);

    let file = ModelFile::load(outcome.model_path.unwrap()).unwrap();
    let data = granule_data::load(&elsewhere.data.dataset, &LoadOptions::default()).unwrap();
    let error = evaluate(&file, &data, &device, 64, &mut Quiet).unwrap_err();
    assert!(
        matches!(&error, TrainError::Device(source) if is_lost(source)),
        "{error:?}"
    );
    let sample = vec![0; file.input.shape.len()];
    let predictor = Predictor::from_file(&file, device.burn()).unwrap();
    let error = predictor.outputs(Sample::Pixels(&sample)).unwrap_err();
    assert!(matches!(error, ModelError::Device { .. }), "{error:?}");
}
