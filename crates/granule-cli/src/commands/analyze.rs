//! `granule analyze`.

use std::process::ExitCode;

use granule::FilesFrom;
use granule::device::DeviceSpec;
use granule::dynamics::{DynamicsError, Place};
use granule::simulate::analysis::{Analysis, Request};
use serde_json::json;

use super::findings::{Heard, Sinks};
use super::simulate::replay;
use super::target::{on, open};
use crate::args;
use crate::config::experiment::{Described, resolve};
use crate::config::layers::{Layer, Origin, lookup, read_set};
use crate::failure::{INTERRUPTED, Usage};
use crate::interrupt::Interrupt;
use crate::output::{self, note};
use crate::progress::Style;

pub fn run(args: &args::Analyze) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let own = &args.simulate;
    let analysis = Analysis::find(&args.analysis)
        .ok_or_else(|| Usage::new(format!("there is no analysis {}", args.analysis)))?;
    if own.from_state.is_some() || own.save_state.is_some() {
        let hint = "set unit.initial or record.from; `granule simulate` goes on from a state";
        return Err(Usage::new("an analysis takes and leaves no state of a run")
            .hint(hint)
            .into());
    }
    let sinks = Sinks::new(own.out.as_deref(), &own.drawing)?;
    let mut settings = Layer::new(Origin::With);
    for text in &args.with {
        read_set(&mut settings, text)?;
    }
    let mut described = resolve(own)?;
    if let Some(unsaid) = described.without_setting().first() {
        let hint = "granule simulate RUN runs it; the equations of one of its levels can be analysed as a file of their own";
        let text = format!(
            "the model has learnt what no setting says, such as {unsaid}: an analysis is of a configuration"
        );
        return Err(Usage::new(text).hint(hint).into());
    }
    by_the_run(&described, analysis, &mut settings.table);
    for text in &described.notes {
        if !own.quiet {
            note(&format!("note: {}", output::printable(text)));
        }
    }
    if let Some(args::Precision::F32) = own.precision {
        return Err(Usage::new("--precision f32: analyses are in double precision").into());
    }
    let device = open(own.device.as_ref(), DeviceSpec::Cpu)?;
    if !device.is_host() {
        return Err(Usage::new(format!(
            "{} computes in single precision only",
            device.spec()
        ))
        .hint("analyses are in double precision: take --device cpu")
        .into());
    }
    sinks.check_unread()?;
    on(&device, || {
        let place = Place::f64(device.burn());
        replay::take_up(&mut described, &place, own.quiet);
        analyse(
            args,
            analysis,
            &described,
            (&settings, &place),
            sinks,
            &interrupt,
        )
    })
}

fn analyse(
    args: &args::Analyze,
    analysis: &Analysis,
    described: &Described,
    (settings, place): (&Layer, &Place),
    sinks: Sinks,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    let own = &args.simulate;
    let style = Style::choose(own.json, own.quiet);
    let heard = Heard::new(analysis.name, style, interrupt);
    let result = analysis.run(&Request {
        config: &described.config,
        place,
        settings: &settings.table,
        title: &described.title,
        reader: &FilesFrom::default(),
        progress: &|share| heard.share(share),
    });
    heard.clear();
    let findings = match result {
        Ok(findings) => findings,
        Err(DynamicsError::Stopped) => {
            note("interrupted; an analysis that is not whole says nothing");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(DynamicsError::Config(error)) if is_own(&error.field, analysis) => {
            let error = format!("--with {error}");
            return Err(Usage::new(error)
                .hint(format!(
                    "`granule help analyze` has the settings of {}",
                    analysis.name
                ))
                .into());
        }
        Err(other) => return Err(described.explain(other)),
    };
    let about = json!({
        "analysis": analysis.name,
        "experiment": described.title,
        "config": described.config,
    });
    sinks.finish(analysis.name, &findings, about, own.json, own.quiet)
}

/// Of a run that was fitted to a recording, what it learnt, what it observed and the recording are what is not set of a fit.
fn by_the_run(described: &Described, analysis: &Analysis, settings: &mut toml::Table) {
    let fits = (analysis.defaults)().is_ok_and(|all| all.contains_key("parameters"));
    let (Some(weights), true) = (&described.weights, fits) else {
        return;
    };
    let whole = toml::Value::try_from(&described.config).ok();
    let learnt = weights.learnt.iter().flat_map(|path| {
        let whole = whole.as_ref().and_then(|whole| whole.as_table());
        match whole.and_then(|whole| lookup(whole, path)) {
            Some(toml::Value::Array(list)) => (0..list.len())
                .map(|place| format!("{path}.{place}"))
                .collect(),
            _ => vec![path.clone()],
        }
    });
    let texts = |all: Vec<String>| toml::Value::Array(all.into_iter().map(Into::into).collect());
    let own = [
        ("parameters", Some(texts(learnt.collect()))),
        ("observe", Some(texts(weights.described.observe.clone()))),
        (
            "recording",
            weights
                .fitted_to
                .as_ref()
                .map(|file| file.display().to_string().into()),
        ),
    ];
    for (key, value) in own {
        if let Some(value) = value.filter(|_| !settings.contains_key(key)) {
            settings.insert(key.to_owned(), value);
        }
    }
}

/// Whether a field is a setting of the analysis and not of the experiment.
fn is_own(field: &str, analysis: &Analysis) -> bool {
    let known = [
        "settings",
        "parameter",
        "from",
        "to",
        "at",
        "variable",
        "window",
        "transient",
        "recording",
        "noise",
    ];
    let defaults = (analysis.defaults)().unwrap_or_default();
    known.contains(&field) || (defaults.contains_key(field) && field != "seed")
}
