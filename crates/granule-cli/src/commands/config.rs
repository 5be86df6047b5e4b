//! `granule config`.

use clap::Parser;
use granule::models::ModelConfig;
use granule::simulate::{ExperimentConfig, Preset, presets::PRESETS};
use granule::train::schema::{Comments, Key, Schema, documented_with};
use granule::train::{RUN_PRESETS, RunConfig, RunPreset};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

use crate::args::{self, Cli, Command};
use crate::config::keys::{self, Rank};
use crate::config::layers::lookup;
use crate::config::{OF_TRAINING, experiment, nearest, resolve_whole};
use crate::failure::Usage;
use crate::output::{self, Paint, Stream, paint};

pub fn run(args: &args::Config) -> anyhow::Result<()> {
    let what = args.what.as_deref().unwrap_or("train");
    let whole = whole(what)?;
    let is_run = matches!(whole, Some(Whole::Run(..)));
    let (schema, values, open) = match whole {
        Some(Whole::Run(values, open)) => (Schema::of_runs(), values, open),
        Some(Whole::Experiment(values)) => (Schema::of_experiments(), values, Open::new()),
        None => return search(what, args.json),
    };
    if args.json {
        return output::json(schema.json());
    }
    if let Some(preset) = Preset::find(what)
        && is_run
    {
        output::line(&format!(
            "# What `granule train` has; `granule presets {0}` prints what `granule simulate {0}` has, whose [composite] is \
             [model] here.",
            preset.name
        ))?;
    }
    let open: Vec<(&str, &str)> = open
        .iter()
        .map(|(key, when)| (key.as_str(), *when))
        .collect();
    let text = documented_with(&schema.root(), &values, Comments::All, &[], &open);
    output::line(text.trim_end())
}

/// Keys that hold only as long as nobody names them, with when that is.
type Open = Vec<(String, &'static str)>;

/// The length of a run goes by epochs alone once a file names them.
const OPEN_LENGTH: [(&str, &str); 2] = [
    (
        "train.epochs",
        "with min_steps below as long as neither is set; set alone it decides",
    ),
    ("train.min_steps", "as long as neither it nor epochs is set"),
];

/// When a key of a recipe that goes by the data holds.
const OF_DATA: &str = "with this data set; unset it follows data.dataset and data.task";

/// The values of a whole configuration.
enum Whole {
    Run(Table, Open),
    Experiment(Table),
}

/// The whole configuration that a word names, if it names one.
fn whole(what: &str) -> anyhow::Result<Option<Whole>> {
    let path = Path::new(what);
    let config_of_run = path.join(granule::train::record::CONFIG_FILE);
    Ok(Some(match what {
        "train" => of_training(&[])?,
        "simulate" => Whole::Experiment(Table::try_from(ExperimentConfig::default())?),
        ModelConfig::MULTI_GRANULARITY => {
            let model = ModelConfig::from_name(what)?;
            let recipe = RunConfig::recipe(model, Default::default());
            Whole::Run(Table::try_from(recipe)?, Open::new())
        }
        _ if ModelConfig::names().contains(&what) => of_training(&[what])?,
        _ if RunPreset::find(what).is_some() => of_training(&[what])?,
        _ if Preset::find(what).is_some() => Whole::Experiment(of_simulation(what)?),
        _ if config_of_run.is_file() => of_training(&[&*config_of_run.to_string_lossy()])?,
        _ if path.is_file() => {
            if is_of_training(path)? {
                of_training(&[what])?
            } else {
                Whole::Experiment(of_simulation(what)?)
            }
        }
        _ if what.ends_with(".toml") => {
            return Err(Usage::new(format!("there is no file {what}")).into());
        }
        _ => return Ok(None),
    }))
}

/// Whether a file has tables that only a configuration of `granule train` has.
fn is_of_training(path: &Path) -> anyhow::Result<bool> {
    let table = crate::config::file(path)?.table;
    Ok(OF_TRAINING.iter().any(|name| table.contains_key(*name)))
}

fn of_training(what: &[&str]) -> anyhow::Result<Whole> {
    let words = ["granule", "train", "--"].iter().chain(what);
    let Command::Train(args) = Cli::try_parse_from(words)?.command else {
        return Ok(Whole::Run(Table::new(), Open::new()));
    };
    let resolved = resolve_whole(&args)?;
    // A model that has its own length all the same has no least number of steps.
    let is_open = resolved.default_length && resolved.config.train.min_steps.is_some();
    let of_length = OPEN_LENGTH.iter().filter(|_| is_open);
    let of_length = of_length.map(|(key, when)| ((*key).to_owned(), *when));
    let of_data = resolved.of_data().into_iter().map(|key| (key, OF_DATA));
    let open = of_length.chain(of_data).collect();
    Ok(Whole::Run(Table::try_from(resolved.config)?, open))
}

/// What `granule train` alone has at a key, where the kinds that the key needs are those of that run.
fn of_plain_run<'v>(values: &'v Table, key: &Key<'_>) -> Option<&'v Value> {
    let has = |(path, word): &(String, String)| {
        lookup(values, path).and_then(Value::as_str) == Some(word.as_str())
    };
    lookup(values, &key.path).filter(|_| key.needs.iter().all(has))
}

fn of_simulation(what: &str) -> anyhow::Result<Table> {
    match Cli::try_parse_from(["granule", "simulate", "--", what])?.command {
        Command::Simulate(args) => Ok(Table::try_from(experiment::resolve(&args)?.config)?),
        _ => Ok(Table::new()),
    }
}

/// Prints the keys that a key, a kind or a word finds.
fn search(word: &str, as_json: bool) -> anyhow::Result<()> {
    let (runs, experiments) = (Schema::of_runs(), Schema::of_experiments());
    let of = [("train", runs.keys()), ("simulate", experiments.keys())];
    let best = of
        .iter()
        .flat_map(|(_, all)| all)
        .filter_map(|key| keys::rank(key, word))
        .min();
    let Some(best) = best else {
        let names = of.iter().flat_map(|(_, all)| all);
        let usage = Usage::new(format!("no key, kind or help has `{word}`"));
        let all = "`granule config train` and `granule config simulate` print all";
        let models = ModelConfig::names().into_iter();
        let presets = PRESETS.iter().map(|preset| preset.name);
        let presets = presets.chain(RUN_PRESETS.iter().map(|preset| preset.name));
        let whole = models.chain(presets);
        let whole = nearest(word, whole).map(str::to_owned);
        let table = keys::table_of(word, names.clone()).map(str::to_owned);
        let near = keys::nearest(word, names).map(|near| near.path.clone());
        // The nearest key of all, unless a table was named that is there.
        let near = match (table, near) {
            (Some(table), Some(near)) if near.starts_with(&format!("{table}.")) => Some(near),
            (table, near) => table.or(near).or(whole),
        };
        return Err(match near {
            Some(near) => usage.hint(format!("did you mean `granule config {near}`? {all}")),
            None => usage.hint(all),
        }
        .into());
    };
    let plain_run = match of_training(&[])? {
        Whole::Run(values, _) | Whole::Experiment(values) => values,
    };
    let plain = |all: &[Key<'_>]| {
        let fits = |key: &Key<'_>| {
            !keys::is_of_levels(key)
                && keys::rank(key, word).is_some_and(|rank| rank.is_as_good_as(best))
        };
        all.iter().any(fits)
    };
    let all_plain: BTreeSet<&str> = of
        .iter()
        .flat_map(|(_, all)| all)
        .filter(|key| !keys::is_of_levels(key))
        .map(|key| key.path.as_str())
        .collect();
    // The same key stands outside levels as well.
    let is_twin = |key: &Key<'_>| keys::in_level(key).is_some_and(|own| all_plain.contains(own));
    let anywhere_plain = of.iter().any(|(_, all)| plain(all));
    for (command, all) in &of {
        let fits =
            |key: &&Key<'_>| keys::rank(key, word).is_some_and(|rank| rank.is_as_good_as(best));
        let found: Vec<_> = all.iter().filter(fits).collect();
        let own: Vec<_> = found.iter().filter(|key| !is_twin(key)).collect();
        let shown: Vec<_> = if own.is_empty() {
            found.iter().collect()
        } else {
            own
        };
        if !as_json && !shown.is_empty() {
            let of_levels = anywhere_plain && shown.iter().all(|key| is_twin(key));
            let title = if of_levels {
                format!(
                    "# granule {command}: the same keys of a level, `model.level.N.` before them"
                )
            } else {
                format!("# granule {command}")
            };
            output::line(&paint(Paint::Dim, &title, Stream::Stdout))?;
            if of_levels {
                continue;
            }
        }
        let shown: Vec<Found<'_>> = if as_json {
            shown.into_iter().map(|key| Found::of(key)).collect()
        } else {
            together(shown.into_iter().copied().collect())
        };
        let many = shown.len() > FEW;
        let (mut meanings, mut in_short) = (Vec::new(), false);
        for Found { key, kinds } in shown {
            let in_run = match *command {
                "train" => of_plain_run(&plain_run, key),
                _ => None,
            };
            let is_meant = best < Rank::Part && keys::rank(key, word) == Some(best);
            if as_json {
                output::json(&object(command, key, in_run))?
            } else if many && !is_meant {
                in_short = true;
                print_in_short(key, in_run)?
            } else {
                print(key, &kinds, in_run)?;
                print_meanings(key, &mut meanings)?
            }
        }
        if in_short {
            let more = "# `granule config KEY` says more of one";
            output::line(&paint(Paint::Dim, more, Stream::Stdout))?;
        }
    }
    Ok(())
}

/// As many keys are printed whole, whatever they were found by.
const FEW: usize = 6;

/// A key, with the words of its last need with which it is the same.
struct Found<'a> {
    key: &'a Key<'a>,
    kinds: Vec<&'a str>,
}

impl<'a> Found<'a> {
    fn of(key: &'a Key<'a>) -> Self {
        let last = key.needs.last().map(|(_, word)| word.as_str());
        Self {
            key,
            kinds: last.into_iter().collect(),
        }
    }
}

/// Keys that several kinds have alike, each once.
fn together<'a>(keys: Vec<&'a Key<'a>>) -> Vec<Found<'a>> {
    let alike = |one: &Key<'_>, other: &Key<'_>| {
        let above = |key: &Key<'_>| {
            let needs = key.needs.split_last();
            needs.map(|((tag, _), above)| (tag.clone(), above.to_vec()))
        };
        one.path == other.path
            && above(one) == above(other)
            && one.node.default() == other.node.default()
            && one.node.describe() == other.node.describe()
            && one.node.help() == other.node.help()
    };
    let mut all: Vec<Found<'a>> = Vec::new();
    for key in keys {
        match all.iter_mut().find(|found| alike(found.key, key)) {
            Some(found) => found.kinds.extend(Found::of(key).kinds),
            None => all.push(Found::of(key)),
        }
    }
    all
}

/// Its value; where a plain run has another than any configuration, that one.
fn value_of(key: &Key<'_>, in_run: Option<&Value>) -> Option<Value> {
    let default = || Value::try_from(key.node.default()?).ok();
    in_run.cloned().or_else(default)
}

/// Prints a key and what it is on one line.
fn print_in_short(key: &Key<'_>, in_run: Option<&Value>) -> anyhow::Result<()> {
    let value = value_of(key, in_run).map_or_else(String::new, |value| format!(" = {value}"));
    let path = paint(Paint::Strong, &key.path, Stream::Stdout);
    output::line(&format!("{path}{value}  # {}", key.node.summary()))
}

/// Prints what each word of a key means; of several keys with the same words where that was `printed`.
fn print_meanings(
    key: &Key<'_>,
    printed: &mut Vec<(String, Vec<(String, String)>)>,
) -> anyhow::Result<()> {
    let letters = |text: &str| -> String {
        let letters = text.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let mut own = key.node.meanings();
    // `Adex` cells. are what the word says already.
    own.retain(|(word, help)| letters(help) != letters(word) + "cells");
    if own.is_empty() {
        return Ok(());
    }
    if let Some((path, _)) = printed.iter().find(|(_, same)| *same == own) {
        return output::line(&format!("    Its words are explained at {path}."));
    }
    for (word, help) in &own {
        let word = paint(Paint::Strong, word, Stream::Stdout);
        output::line(&format!("    {word}: {help}"))?;
    }
    printed.push((key.path.clone(), own));
    Ok(())
}

/// Prints a key; where a plain run has another value than any configuration, that one.
fn print(key: &Key<'_>, kinds: &[&str], in_run: Option<&Value>) -> anyhow::Result<()> {
    let of_model = match in_run {
        Some(_) if in_run != value_of(key, None).as_ref() => {
            "of mlp; `granule config MODEL` has another's"
        }
        _ => "",
    };
    let value = match value_of(key, in_run) {
        Some(value) => format!(" = {value}"),
        None => String::new(),
    };
    let unset = if value.is_empty() { "unset" } else { "" };
    let last = key.needs.len().saturating_sub(1);
    let needs = key.needs.iter().enumerate().map(|(place, (path, word))| {
        let words = if place == last {
            kinds
        } else {
            &[word.as_str()][..]
        };
        let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        format!("with {path} = {}", words.join(" or "))
    });
    let facts = [unset.to_owned(), key.node.describe()]
        .into_iter()
        .chain(needs)
        .chain([of_model.to_owned()]);
    let facts: Vec<String> = facts.filter(|fact| !fact.is_empty()).collect();
    output::line(&format!(
        "{}{value}",
        paint(Paint::Strong, &key.path, Stream::Stdout)
    ))?;
    output::line(&format!("    {}", facts.join("; ")))?;
    output::line(&format!("    {}", key.node.help()))
}

fn object(command: &str, key: &Key<'_>, in_run: Option<&Value>) -> serde_json::Value {
    let needs = key
        .needs
        .iter()
        .map(|(path, word)| (path.clone(), word.clone().into()));
    json!({
        "command": command,
        "key": key.path,
        "type": key.node.form(),
        "default": in_run.map_or_else(|| json!(key.node.default()), |value| json!(value)),
        "range": key.node.range(),
        "unit": key.node.unit(),
        "help": key.node.help(),
        "needs": needs.collect::<serde_json::Map<_, _>>(),
    })
}
