//! `granule train`.

use std::path::Path;
use std::process::ExitCode;

use granule::data::{DataError, DatasetSpec};
use granule::models::ModelError;
use granule::train::{
    Evaluation, Keep, Outcome, Plan, RunConfig, Scores, StartConfig, TrainError, plan, resume_as,
    train,
};
use serde_json::json;
use toml::Table;

use super::result::{ResultLine, fact, pace, show};
use super::series::{self, Over, Varied};
use crate::args;
use crate::config::sweep::Sweep;
use crate::config::{defaults, of_run, resolve};
use crate::failure::{Hinted, INTERRUPTED, Usage};
use crate::interrupt::Interrupt;
use crate::output::{self, Paint, Stream, note, paint};
use crate::progress::lines::lengthened;
use crate::progress::{Style, Watcher};
use crate::verbose;

pub fn run(args: &args::Train) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let seeds = args.seeds.map(Varied::Seeds);
    let varied = seeds.or(args.folds.map(Varied::Folds));
    if let Some(text) = &args.sweep {
        let sweep = Sweep::new(args, text)?;
        if let Some((_, first)) = sweep.points.first() {
            tell_settings(first)?;
        }
        return series::run(args, Over::Values(sweep), varied, &interrupt);
    }
    let config = match (&args.resume, &args.continue_run) {
        (Some(run), _) => of_run(args, run)?,
        (None, Some(run)) => RunConfig {
            start: Some(StartConfig {
                weights: run.clone(),
                optimizer: true,
            }),
            ..of_run(args, run)?
        },
        (None, None) => resolve(args)?,
    };
    tell_settings(&config)?;
    if args.dry_run {
        let mut watcher = Watcher::new(Style::choose(args.json, args.quiet), None);
        let plan = plan(&config, &mut watcher);
        drop(watcher);
        show_plan(&config, &plan.map_err(in_configuration)?, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if varied.is_some() {
        return series::run(args, Over::One(Box::new(config)), varied, &interrupt);
    }
    let style = Style::choose(args.json, args.quiet);
    let mut watcher = Watcher::new(style, Some(&interrupt));
    let outcome = match &args.resume {
        Some(run) => resume_as(run, &config, &mut watcher, &interrupt.stop),
        None => train(
            &config,
            args.run_dir.as_deref(),
            &mut watcher,
            &interrupt.stop,
        ),
    };
    drop(watcher);
    if matches!(style, Style::Bar | Style::Lines) && outcome.is_ok() {
        note("");
    }
    let outcome = outcome.map_err(|error| match (&args.resume, &error) {
        (Some(run), TrainError::Device(_)) => Hinted::new(
            error.to_string(),
            format!(
                "`granule train --resume {} --device cpu` goes on with it elsewhere",
                output::quoted(run)
            ),
        )
        .into(),
        _ => in_configuration(error),
    })?;
    if outcome.interrupted {
        return Ok(interrupted(&outcome));
    }
    finish(&config, &outcome, args.json)?;
    Ok(ExitCode::SUCCESS)
}

fn tell_settings(config: &RunConfig) -> anyhow::Result<()> {
    verbose::settings(|| {
        let of_kind = Table::try_from(defaults(config))?;
        Ok((Table::try_from(config)?, of_kind))
    })
}

/// Says how to go on.
pub(super) fn interrupted(outcome: &Outcome) -> ExitCode {
    note(&format!(
        "interrupted after {}; nothing is lost, continue with",
        output::counted(outcome.steps as usize, "step")
    ));
    note(&format!(
        "  granule train --resume {}",
        output::quoted(&outcome.run_dir)
    ));
    ExitCode::from(INTERRUPTED)
}

/// Writes the result as one object.
pub(super) fn result_line(outcome: &Outcome) -> anyhow::Result<()> {
    let (evaluation, model) = finished(outcome)?;
    output::json(&ResultLine {
        epochs: outcome.epochs,
        images_per_second: outcome.images_per_second,
        seconds: outcome.seconds,
        model_epoch: outcome.model_epoch,
        parent: outcome.parent.as_deref(),
        ..ResultLine::new(evaluation, &outcome.device, Some(&outcome.run_dir), model)
    })
}

fn finished(outcome: &Outcome) -> anyhow::Result<(&Evaluation, &Path)> {
    match (&outcome.evaluation, &outcome.model_path) {
        (Some(evaluation), Some(model)) => Ok((evaluation, model)),
        _ => anyhow::bail!(
            "the run in {} ended without a model",
            outcome.run_dir.display()
        ),
    }
}

/// The layers of the model, one a line.
fn show_plan(config: &RunConfig, plan: &Plan, json: bool) -> anyhow::Result<()> {
    let (input, outputs) = (&plan.input.shape, plan.task.outputs());
    let auxiliary = plan.task.learnt_outputs() - outputs;
    if json {
        let layers = plan.layers.iter().map(|layer| {
            let tensors = layer.tensors.iter();
            let tensors = tensors.map(|(name, shape)| (name.clone(), json!(shape)));
            json!({
                "name": layer.name,
                "output": layer.output,
                "tensors": tensors.collect::<serde_json::Map<_, _>>(),
                "parameters": layer.parameters,
            })
        });
        let fields = json!({
            "model": config.model.name(),
            "input": input.to_string(),
            "outputs": outputs,
            "auxiliary": auxiliary,
            "layers": layers.collect::<Vec<_>>(),
            "parameters": plan.parameters,
            "epochs": plan.epochs,
            "steps_per_epoch": plan.steps_per_epoch,
        });
        return output::event("plan", fields);
    }
    let mut rows = vec![
        ["LAYER", "OUTPUT", "WEIGHTS", "PARAMETERS"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for layer in &plan.layers {
        let shape = |shape: &[usize]| {
            let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
            sides.join("×")
        };
        let tensors = layer.tensors.iter();
        let tensors = tensors.map(|(name, dimensions)| format!("{name} {}", shape(dimensions)));
        rows.push(vec![
            layer.name.clone(),
            layer.output.as_deref().map(shape).unwrap_or_default(),
            tensors.collect::<Vec<_>>().join(", "),
            output::grouped(layer.parameters),
        ]);
    }
    output::line(&output::columns(&rows))?;
    output::line("")?;
    fact(
        "model",
        &format!(
            "{}: {} → {}{}, {}",
            config.model.name(),
            input,
            output::counted(outputs, "output"),
            match auxiliary {
                0 => String::new(),
                beside => format!(" and {beside} learnt beside"),
            },
            output::counted(plan.parameters, "parameter")
        ),
    )?;
    fact(
        "train",
        &format!(
            "{} of {}{}, batch {}; nothing was written",
            output::counted(plan.epochs, "epoch"),
            output::counted(plan.steps_per_epoch, "step"),
            lengthened(plan.lengthened),
            config.train.batch_size
        ),
    )
}

/// A file of the kind that a model of this data set answers.
fn like(set: &DatasetSpec) -> &'static str {
    match set {
        DatasetSpec::Arrays { y: None, .. } => "NEW.npz",
        DatasetSpec::Arrays { .. } | DatasetSpec::InMemory(_) => "NEW.npy",
        DatasetSpec::Recording(_) => "recording:NEW",
        _ => "IMAGE.png",
    }
}

fn finish(config: &RunConfig, outcome: &Outcome, json: bool) -> anyhow::Result<()> {
    if json {
        return result_line(outcome);
    }
    let (evaluation, model) = finished(outcome)?;
    let images = !matches!(
        config.data.dataset,
        DatasetSpec::Arrays { .. } | DatasetSpec::Recording(_)
    );
    show(evaluation)?;
    fact(
        "trained",
        &format!(
            "{} in {} on {}",
            output::counted(outcome.epochs, "epoch"),
            pace(
                evaluation,
                images,
                outcome.seconds,
                outcome.images_per_second
            ),
            outcome.device
        ),
    )?;
    if let (Some(keep @ (Keep::BestLoss | Keep::BestScore)), Some(epoch)) =
        (outcome.kept, outcome.model_epoch)
    {
        fact(
            "weights",
            &format!("those of epoch {epoch} of {}, {keep}", outcome.epochs),
        )?;
    }
    fact("run", &outcome.run_dir.display().to_string())?;
    fact("model", &model.display().to_string())?;
    fact(
        "report",
        &outcome
            .run_dir
            .join(granule::train::record::REPORT_HTML)
            .display()
            .to_string(),
    )?;
    let run = output::quoted(&outcome.run_dir);
    let next = match &evaluation.scores {
        Scores::Trials(_) => format!("granule eval {run}"),
        Scores::Recording(_) => format!("granule simulate {run} --plot model.svg"),
        _ => format!("granule predict {run} {}", like(&config.data.dataset)),
    };
    fact("next", &paint(Paint::Strong, &next, Stream::Stdout))
}

/// Settings that only the data can judge are wrong usage as well.
pub(super) fn in_configuration(error: TrainError) -> anyhow::Error {
    match &error {
        TrainError::Config(error) => Usage::new(error.to_string()).into(),
        TrainError::Data(DataError::Config(error)) if error.field.starts_with("data.") => {
            Usage::new(error.to_string()).into()
        }
        TrainError::Model(ModelError::Config(error)) => {
            Usage::new(error.clone().under("model").to_string()).into()
        }
        TrainError::Model(error @ ModelError::Layer { .. }) => {
            Usage::new(format!("model.{error}")).into()
        }
        _ => error.into(),
    }
}
