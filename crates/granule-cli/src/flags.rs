//! A flag that does not exist, but is a key of the configuration.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use granule::train::schema::{Key, Schema};

use crate::config::keys;
use crate::failure::Usage;

/// What a person meant who wrote a key as a flag; `args` are the words of the command line after the program.
pub fn explain(error: &clap::Error, args: &[OsString]) -> Option<Usage> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    // A flag that is misspelt is not a key.
    if let Some(ContextValue::String(near)) = error.get(ContextKind::SuggestedArg)
        && strsim::jaro_winkler(flag, near) > 0.95
    {
        return None;
    }
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    let schema = match *words.first()? {
        "train" => Schema::of_runs(),
        "simulate" => Schema::of_experiments(),
        _ => return None,
    };
    let name = flag.strip_prefix("--")?.split('=').next()?;
    let value = value(flag, name, &words);
    if let Some((_, meant, why)) = elsewhere(&words, name, value) {
        return Some(Usage::new(format!("there is no flag `--{name}`: {why}")).hint(meant));
    }
    let all = schema.keys();
    let named = |key: &&Key<'_>| keys::rank(key, name).is_some_and(|rank| rank <= keys::Rank::Name);
    let is_value = |key: &&Key<'_>| key.path == name || !key.path.starts_with(&format!("{name}."));
    let mut found: Vec<&Key<'_>> = all.iter().filter(named).filter(is_value).collect();
    // A key that is always there before one that another key's word brings, and before those of elements of a list.
    found.sort_by_key(|key| {
        let depth = key.path.split('.').count();
        let is_of_list = key.path.contains(".N.");
        (keys::is_of_levels(key), is_of_list, key.needs.len(), depth)
    });
    found.dedup_by(|one, other| one.path == other.path);
    let clap_knows = error.get(ContextKind::SuggestedArg).is_some();
    let (first, others) = match found.split_first() {
        Some((first, others)) => (*first, others),
        None if clap_knows => return None,
        None => (keys::nearest(name, all.iter())?, &[][..]),
    };
    let exact = !found.is_empty();
    let value = value.map_or_else(|| "VALUE".to_owned(), str::to_owned);
    let meant = format!("--set {}={value}", first.path);
    let usage = Usage::new(if exact {
        format!("`--{name}` is not a flag but a key: `{meant}`")
    } else {
        format!("there is no flag `--{name}`; did you mean the key `{meant}`?")
    });
    let others: Vec<String> = others
        .iter()
        .filter(|key| !keys::is_of_levels(key))
        .take(3)
        .map(|key| format!("`{}`", key.path))
        .collect();
    let more = format!("`granule config {}` says more", first.path);
    Some(usage.hint(match others.as_slice() {
        [] => more,
        others => format!("{more}; of the same name: {}", others.join(", ")),
    }))
}

/// Flags of other programs: the command, their names, what to write here, and why.
type Elsewhere = (&'static [&'static str], &'static str, &'static str);

const OF_TRAINING: &[Elsewhere] = &[
    (
        &[
            "output",
            "output-dir",
            "out",
            "out-dir",
            "save",
            "save-dir",
            "log-dir",
            "name",
            "project",
        ],
        "`--run-dir DIR`; without it a new folder below runs/",
        "a run is one folder",
    ),
    (
        &[
            "augment",
            "augmentation",
            "augmentations",
            "aug",
            "transforms",
            "data-augmentation",
        ],
        "`--set data.augmentation.horizontal_flip=true` and the like; `granule config data.augmentation` lists them",
        "images are distorted by keys of their own",
    ),
    (
        &[
            "img-size",
            "image-size",
            "imgsz",
            "input-size",
            "width",
            "height",
            "size",
            "resize",
        ],
        "`--set data.size=64` or `--set data.size=[48,64]`; data.resize says how: stretch, crop or pad",
        "the size of images in folders is a key",
    ),
    (
        &[
            "data",
            "data-path",
            "data-root",
            "dataset-dir",
            "train-dir",
            "train-data",
            "input",
            "images",
        ],
        "`--dataset folder:DIR` for images, `--dataset arrays:FILE.npz` for arrays",
        "the data are named with their form",
    ),
    (
        &["learning-rate"],
        "`--lr`",
        "the learning rate has a short name",
    ),
    (
        &["bs", "batch"],
        "`--batch-size N`",
        "the samples of a batch have another name",
    ),
    (
        &["model", "arch", "network"],
        "`granule train lenet` and the like",
        "the model is a word without a flag",
    ),
    (
        &["weights", "pretrained", "checkpoint", "init-from"],
        "`--from FILE` begins with the weights of a model file, a run or a checkpoint; `--resume RUN` goes on with a run",
        "where weights come from has another name",
    ),
    (
        &["gpu", "cuda", "cpu", "no-cuda"],
        "`--device gpu`, `--device cpu`; `granule devices` lists them",
        "the device is named",
    ),
    (
        &["val-split", "validation-split", "val", "val-fraction"],
        "`--validation 0.1`",
        "the part that is held out has another name",
    ),
    (
        &[
            "precision",
            "mixed-precision",
            "amp",
            "bf16",
            "fp16",
            "half",
            "dtype",
            "autocast",
        ],
        "`--set train.compute=bf16`",
        "what products are computed from is a key",
    ),
    (
        &["config", "cfg"],
        "`granule train FILE.toml`",
        "a configuration is a word without a flag",
    ),
];

const OF_SIMULATIONS: &[Elsewhere] = &[
    (
        &["output", "output-file", "save"],
        "`--out FILE.npz` for numbers, `--plot FILE.svg` for a picture",
        "what is kept has other names",
    ),
    (
        &["figure-file", "png", "svg", "fig"],
        "`--plot FILE.svg` or `.png`",
        "a picture has another name",
    ),
    (
        &["time", "tstop", "t-stop", "length", "steps"],
        "`--duration MS`",
        "the time of a run has another name",
    ),
    (
        &["config", "cfg"],
        "`granule simulate FILE.toml`",
        "a configuration is a word without a flag",
    ),
];

/// What is called otherwise here. `--resize crop` is a key; `--resize 32` means another.
fn elsewhere(words: &[&str], name: &str, value: Option<&str>) -> Option<Elsewhere> {
    let table = match *words.first()? {
        "train" => OF_TRAINING,
        "simulate" => OF_SIMULATIONS,
        _ => return None,
    };
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '[');
    let plain = name.to_lowercase().replace('_', "-");
    let found = table
        .iter()
        .find(|(names, ..)| names.contains(&plain.as_str()))?;
    (plain != "resize" || value.is_some_and(is_number)).then_some(*found)
}

/// The value that was written with a flag, after it or behind `=`.
fn value<'a>(flag: &'a str, name: &str, words: &[&'a str]) -> Option<&'a str> {
    let behind = format!("--{name}=");
    if let Some(value) = words.iter().find_map(|word| word.strip_prefix(&behind)) {
        return Some(value);
    }
    let place = words.iter().position(|word| *word == flag)?;
    let next = words.get(place + 1)?;
    (!next.starts_with("--")).then_some(*next)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn explained(line: &str) -> Option<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let all = [OsString::from("granule")].into_iter().chain(words.clone());
        let usage = explain(&Cli::try_parse_from(all).unwrap_err(), &words)?;
        Some(format!("{usage} {}", usage.hint_text().unwrap_or_default()))
    }

    #[test]
    fn a_key_that_is_written_as_a_flag_is_named() {
        for (line, meant) in [
            (
                "train --patience 3",
                "--set train.early_stopping.patience=3",
            ),
            (
                "train --patience=3",
                "--set train.early_stopping.patience=3",
            ),
            ("train lenet --clip-norm 1.5", "--set train.clip_norm=1.5"),
            (
                "train --weight-decay 1e-4",
                "--set optimizer.weight_decay=1e-4",
            ),
            ("train mlp --widths [64,64]", "--set model.widths=[64,64]"),
            (
                "train --rotation-degrees 5",
                "--set data.augmentation.rotation_degrees=5",
            ),
            (
                "train --checkpoint-every-step 9",
                "--set train.checkpoint_every_steps=9",
            ),
            ("simulate lif --cells 4", "--set unit.cells=4"),
            ("simulate lif --onset 4", "--set stimulus.onset=4"),
            (
                "simulate hodgkin-huxley --g_na 100",
                "--set unit.parameters.g_na=100",
            ),
            (
                "simulate hodgkin-huxley --unit.current 9",
                "--set unit.current=9",
            ),
            ("simulate lif --rtol", "--set rtol=VALUE"),
            ("train --resize=crop", "--set data.resize=crop"),
            ("train --resize 32", "--set data.size="),
            ("train --resize [32,48]", "--set data.size="),
            ("train --image-size 32", "--set data.size="),
            ("train --augment", "data.augmentation"),
            ("train --output here", "--run-dir"),
            ("train --bs 3", "--batch-size"),
            ("train --learning_rate 3", "--lr"),
            ("simulate lif --output x.npz", "--out"),
        ] {
            let text = explained(line).unwrap_or_else(|| panic!("{line}"));
            assert!(text.contains(meant), "{line}: {text}");
        }
        for line in [
            "train --epoch 3",
            "train --batchsize 3",
            "train --xyzzy 3",
            "eval run --patience 3",
        ] {
            assert_eq!(explained(line), None, "{line}");
        }
    }
}
