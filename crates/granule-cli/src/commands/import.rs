//! `granule import`.

use std::io::Write as _;
use std::path::Path;

use granule::device::DeviceSpec;
use granule::interchange::{Imported, Template, import};
use granule::models::{InputSpec, ModelConfig, ModelFile, Task};
use granule::train::{Quiet, plan};

use super::exchange::{described, fields, format};
use super::result::fact;
use super::target::on;
use crate::args;
use crate::config::resolve;
use crate::failure::Usage;
use crate::output;
use crate::written::OutFile;

pub fn run(args: &args::Import) -> anyhow::Result<()> {
    let format = format(args.format.as_deref(), &args.file)?;
    let out = OutFile::new(&args.out, "--out")?;
    let (template, source) = template(args)?;
    let device = DeviceSpec::Cpu.open()?;
    let imported = on(&device, || {
        Ok(import(&args.file, Some(format), &template, device.burn())?)
    })?;
    let Imported { file, mut notes } = imported;
    let bytes = file.to_bytes()?;
    out.write(|handle| handle.write_all(&bytes))?;
    notes.extend(source);
    if args.json {
        let mut fields = fields(&file, format, &args.out);
        fields["notes"] = notes.into();
        return output::event("import", fields);
    }
    for note in &notes {
        output::note(&format!("note: {note}"));
    }
    fact("model", &described(&file))?;
    fact(
        "from",
        &format!("{} ({})", args.file.display(), format.summary()),
    )?;
    fact("file", &args.out.display().to_string())
}

/// What the weights do not say, and from where it is taken.
fn template(args: &args::Import) -> anyhow::Result<(Template, Vec<String>)> {
    let (mut template, from) = match of_model_file(args)? {
        Some(found) => found,
        None => of_configuration(args)?,
    };
    if !args.mean.is_empty() {
        template.input.mean.clone_from(&args.mean);
    }
    if !args.std.is_empty() {
        template.input.std.clone_from(&args.std);
    }
    if !args.classes.is_empty() {
        template.task = Some(Task::Classification {
            classes: args.classes.clone(),
        });
    }
    if let Some(outputs) = args.outputs {
        template.task = Some(Task::regression(outputs));
    }
    template.input.validate()?;
    let flags = [
        (!args.mean.is_empty(), "--mean"),
        (!args.std.is_empty(), "--std"),
        (!args.classes.is_empty(), "--classes"),
        (args.outputs.is_some(), "--outputs"),
    ];
    let given = flags.into_iter().filter(|(given, _)| *given);
    let given: Vec<&str> = given.map(|(_, flag)| flag).collect();
    let mut notes = vec![from];
    if !given.is_empty() {
        notes.push(format!("{} as given", given.join(", ")));
    }
    Ok((template, notes))
}

fn is_name(model: &str) -> bool {
    ModelConfig::names().contains(&model)
}

/// Refuses the first of these flags that is given.
fn refuse(flags: &[(bool, &str)], with: &str, hint: &str) -> Result<(), Usage> {
    match flags.iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(Usage::new(format!("{flag} does not go with {with}")).hint(hint)),
        None => Ok(()),
    }
}

/// That of a run or model file, where one is named.
fn of_model_file(args: &args::Import) -> anyhow::Result<Option<(Template, String)>> {
    let path = Path::new(&args.model);
    let is_toml = path.extension().is_some_and(|ending| ending == "toml");
    // A name of a model is one, whatever lies beside.
    if is_name(&args.model) || is_toml || !path.exists() {
        return Ok(None);
    }
    let file = ModelFile::load(path)?;
    let flags = [
        (args.input.is_some(), "--input"),
        (args.dataset.is_some(), "--dataset"),
        (!args.set.is_empty(), "--set"),
        (args.data_dir.is_some(), "--data-dir"),
        (args.offline, "--offline"),
    ];
    let with = format!("--model {}, which says it", args.model);
    refuse(&flags, &with, "name the kind of the model or a TOML file")?;
    let template = Template {
        model: file.model,
        input: file.input,
        task: Some(file.task),
    };
    let note = format!(
        "settings, classes and normalisation are those of {}",
        output::quoted(path)
    );
    Ok(Some((template, note)))
}

/// That of a configuration as `granule train` takes it, and of its data set unless --input says what stands for it.
fn of_configuration(args: &args::Import) -> anyhow::Result<(Template, String)> {
    if is_name(&args.model) && args.dataset.is_none() && args.input.is_none() {
        return Err(Usage::new(format!(
            "--model {} says no input, on which its weights depend",
            args.model
        ))
        .hint("add --dataset NAME, or --input 1x28x28; or name a run: --model runs/RUN")
        .into());
    }
    if args.input.is_some() {
        let of_sets = [
            (args.data_dir.is_some(), "--data-dir"),
            (args.offline, "--offline"),
        ];
        let with = "--input, which takes no data set";
        refuse(&of_sets, with, "name a data set by --dataset in its place")?;
    }
    let mut config = resolve(&args::Train {
        what: Some(args.model.clone()),
        dataset: args.dataset.clone(),
        data_dir: args.data_dir.clone(),
        offline: args.offline,
        set: args.set.clone(),
        ..args::Train::default()
    })?;
    if let Some(shape) = args.input {
        let note =
            "the input is normalised by --mean and --std alone; pixels are taken from 0 to 1";
        let template = Template {
            model: config.model,
            input: InputSpec::new(shape),
            task: None,
        };
        return Ok((template, note.to_owned()));
    }
    config.device = DeviceSpec::Cpu;
    let plan = plan(&config, &mut Quiet)?;
    let note = format!(
        "classes and normalisation are those of {}",
        config.data.dataset
    );
    let template = Template {
        model: config.model,
        input: plan.input,
        task: Some(plan.task),
    };
    Ok((template, note))
}
