//! `granule probe`.

use std::process::ExitCode;

use granule::data::DataError;
use granule::dynamics::DynamicsError;
use granule::models::{ModelError, ModelFile, Task};
use granule::train::TrainError;
use granule::train::probe::{Interventions, Probe, Request, UnitSet};
use serde::de::DeserializeOwned;
use serde_json::json;
use toml::{Table, Value};

use super::findings::{Heard, Sinks};
use super::target::Target;
use crate::args;
use crate::config::layers::{Layer, Origin, read_set};
use crate::failure::{INTERRUPTED, Usage};
use crate::interrupt::Interrupt;
use crate::output::note;
use crate::progress::Style;

pub fn run(args: &args::Probe) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let probe = Probe::find(&args.probe)
        .ok_or_else(|| Usage::new(format!("there is no probe {}", args.probe)))?;
    let sinks = Sinks::new(args.out.as_deref(), &args.drawing)?;
    let mut settings = Layer::new(Origin::With);
    for text in &args.with {
        read_set(&mut settings, text)?;
    }
    let interventions = interventions(args)?;
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    sinks.check_unread()?;
    let title = args.model.file_stem().unwrap_or_default();
    let title = title.to_string_lossy();
    let style = Style::choose(args.json, args.quiet);
    let heard = Heard::new(probe.name, style, &interrupt);
    let result = probe.run(&Request {
        file: &file,
        title: &title,
        trials: args.trials,
        seed: args.seed,
        interventions: &interventions,
        settings: &settings.table,
        progress: &|share| heard.share(share),
    });
    heard.clear();
    let findings = match result {
        Ok(findings) => findings,
        Err(TrainError::Dynamics(error)) if matches!(*error, DynamicsError::Stopped) => {
            note("interrupted; what is not whole says nothing");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(error) => return Err(explained(error, probe, args, &file)),
    };
    let about = json!({
        "probe": probe.name,
        "model": target.model,
        "interventions": interventions,
    });
    sinks.finish(probe.name, &findings, about, args.json, args.quiet)
}

/// What is wrong with a setting under the name of its flag; every other error as it is.
fn explained(
    error: TrainError,
    probe: &Probe,
    args: &args::Probe,
    file: &ModelFile,
) -> anyhow::Error {
    let mut error = match error {
        TrainError::Config(error)
        | TrainError::Model(ModelError::Config(error))
        | TrainError::Data(DataError::Config(error)) => error,
        TrainError::Model(ModelError::NonFiniteOutput) if !args.perturb.is_empty() => {
            return Usage::new("--perturb: the network gives values that are not finite under it")
                .hint("take less current or noise")
                .into();
        }
        TrainError::Mismatch { .. } if !matches!(file.task, Task::Trials { .. }) => {
            let model = crate::output::quoted(&args.model);
            return Usage::new(format!("{model} was not trained on a task"))
                .hint("`granule train rate --task perceptual-decision` trains a network that can be looked into")
                .into();
        }
        TrainError::Model(error @ ModelError::NotRecurrent) => {
            return Usage::new(error.to_string())
                .hint("`granule train rate --task perceptual-decision` trains one")
                .into();
        }
        error => return error.into(),
    };
    let defaults = (probe.defaults)().unwrap_or_default();
    if error.field == "readout" {
        let hint =
            "a network with model.readout = \"sequence\", as tasks train it, can be looked into";
        return Usage::new(error.to_string()).hint(hint).into();
    }
    let own = ["settings", "variable", "variables", "period"].contains(&error.field.as_str())
        || defaults.contains_key(&error.field);
    let flags = ["ablate", "perturb", "lesion", "trials"];
    if own {
        let hint = format!("`granule help probe` has the settings of {}", probe.name);
        return Usage::new(format!("--with {error}")).hint(hint).into();
    }
    if flags.iter().any(|flag| error.field.starts_with(flag)) {
        error.field = format!("--{}", error.field.replacen('.', " ", 1));
    }
    Usage::new(error.to_string()).into()
}

/// What the flags do to the units.
fn interventions(args: &args::Probe) -> Result<Interventions, Usage> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ablation {
        #[serde(alias = "population")]
        units: UnitSet,
    }
    let ablate = args.ablate.iter();
    let perturb = args.perturb.iter();
    let lesion = args.lesion.iter();
    Ok(Interventions {
        ablate: ablate
            .map(|text| {
                Ok(
                    fields::<Ablation>(
                        "--ablate",
                        text,
                        "units=[[0,10]] or population=inhibitory",
                    )?
                    .units,
                )
            })
            .collect::<Result<_, Usage>>()?,
        perturb: perturb
            .map(|text| {
                fields(
                    "--perturb",
                    text,
                    "current=0.5,units=[[0,10]],period=stimulus",
                )
            })
            .collect::<Result<_, _>>()?,
        lesion: lesion
            .map(|text| fields("--lesion", text, "from=inhibitory,to=excitatory"))
            .collect::<Result<_, _>>()?,
    })
}

/// Reads `KEY=VALUE,KEY=VALUE`: values as TOML, bare words as texts.
fn fields<T: DeserializeOwned>(flag: &str, text: &str, example: &str) -> Result<T, Usage> {
    let wrong = |reason: String| {
        Usage::new(format!("{flag} {text}: {reason}")).hint(format!("for example {flag} {example}"))
    };
    let mut table = Table::new();
    let mut depth = 0;
    let parts = text.split(|letter: char| {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    for part in parts {
        let pair = part
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()));
        let Some((key, value)) = pair.filter(|(key, value)| !key.is_empty() && !value.is_empty())
        else {
            return Err(wrong(format!("`{part}` is not of the form KEY=VALUE")));
        };
        let read = format!("value = {value}").parse::<Table>().ok();
        let read = read.and_then(|mut table| table.remove("value"));
        let value = read.unwrap_or_else(|| Value::from(value));
        if table.insert(key.to_owned(), value).is_some() {
            return Err(wrong(format!("`{key}` is given twice")));
        }
    }
    T::deserialize(Value::Table(table)).map_err(|error| wrong(error.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use granule::train::probe::Perturbation;

    use super::*;

    #[test]
    fn what_is_done_to_units_is_read_from_one_text() {
        let read = |text: &str| fields::<Perturbation>("--perturb", text, "current=0.5");
        let own = read("current=-0.5, units=[[0,10],[12,13]], period=stimulus").unwrap();
        assert_eq!(own.current, -0.5);
        assert_eq!(own.units, Some(UnitSet::Ranges(vec![[0, 10], [12, 13]])));
        assert_eq!(own.period.as_deref(), Some("stimulus"));
        let named = read("noise=1,population=excitatory").unwrap();
        assert_eq!(named.units, Some(UnitSet::Population("excitatory".into())));
        for wrong in [
            "",
            "current",
            "current=",
            "=1",
            "current=a",
            "curent=1",
            "current=1,current=2",
            "units=[0,10]",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.starts_with("--perturb"), "{wrong}: {error}");
        }
    }
}
