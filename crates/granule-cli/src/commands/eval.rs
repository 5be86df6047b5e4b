//! `granule eval`.

use std::time::Instant;

use granule::data::{DatasetSpec, LoadOptions};
use granule::device::DeviceSpec;
use granule::models::ModelFile;
use granule::train::{Observer, evaluate};

use super::result::{ResultLine, fact, pace, show};
use super::target::{Target, open};
use crate::args;
use crate::failure::Usage;
use crate::output;
use crate::progress::{Style, Watcher};

pub fn run(args: &args::Eval) -> anyhow::Result<()> {
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    let config = target.config();
    let spec = match &args.dataset {
        Some(spec) => spec.clone(),
        None => trained_on(&file, config.as_ref().map(|config| &config.data.dataset))?,
    };
    let device = open(args.device.as_ref(), DeviceSpec::Auto)?;

    let mut watcher = Watcher::new(Style::choose(false, args.json), None);
    let mut dataset = granule::data::load(
        &spec,
        &LoadOptions {
            data_dir: args
                .source
                .data_dir
                .clone()
                .or_else(|| config.and_then(|config| config.data.data_dir)),
            offline: args.source.offline,
            seed: file.provenance.seed,
            progress: watcher.progress(),
        },
    )?;
    for warning in &dataset.warnings {
        output::warn(warning);
    }
    if args.dataset.is_none() && dataset.fingerprint != file.provenance.dataset_fingerprint {
        output::warn(
            "the data set is not the one the model was trained on: its fingerprint differs",
        );
    }
    if let Some(limit) = args.limit_test {
        dataset.test = dataset.test.take(limit);
    }

    let started = Instant::now();
    let evaluation = evaluate(&file, &dataset, &device, args.batch_size, &mut watcher)?;
    let seconds = started.elapsed().as_secs_f64();
    drop(watcher);

    let images_per_second = evaluation.samples as f64 / seconds.max(f64::MIN_POSITIVE);
    if args.json {
        return output::json(&ResultLine {
            epochs: file.provenance.epochs,
            images_per_second,
            seconds,
            ..ResultLine::new(
                &evaluation,
                device.name(),
                target.run_dir.as_deref(),
                &target.model,
            )
        });
    }
    show(&evaluation)?;
    fact("data", &format!("{}, test part", dataset.name))?;
    fact(
        "device",
        &format!("{}: {}", device.name(), pace(seconds, images_per_second)),
    )?;
    fact("model", &target.model.display().to_string())
}

fn trained_on(file: &ModelFile, configured: Option<&DatasetSpec>) -> anyhow::Result<DatasetSpec> {
    if let Some(spec) = configured {
        return Ok(spec.clone());
    }
    let name = &file.provenance.dataset;
    name.parse().map_err(|_| {
        Usage::new(format!(
            "the model was trained on {name:?}, which does not say where the data are"
        ))
        .hint("name a data set with --dataset")
        .into()
    })
}
