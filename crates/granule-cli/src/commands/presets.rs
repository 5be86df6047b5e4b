//! `granule presets`.

use granule::simulate::presets::PRESETS;
use granule::train::RUN_PRESETS;
use serde_json::json;

use crate::args;
use crate::config::experiment::unknown;
use crate::output;

pub fn run(args: &args::Presets) -> anyhow::Result<()> {
    let all: Vec<Shown> = Shown::all().collect();
    let chosen: Vec<Shown> = match &args.name {
        None => all,
        Some(name) => {
            let found = all.into_iter().find(|preset| preset.name == name);
            vec![found.ok_or_else(|| unknown(name))?]
        }
    };
    if args.json {
        return chosen.into_iter().try_for_each(|preset| {
            output::json(&json!({
                "name": preset.name,
                "summary": preset.summary,
                "command": preset.command,
                "toml": preset.toml,
            }))
        });
    }
    if args.name.is_some() {
        let texts = chosen.iter().map(|preset| preset.toml.trim_end());
        return texts.into_iter().try_for_each(output::line);
    }
    let rows: Vec<Vec<String>> = chosen
        .iter()
        .map(|preset| {
            vec![
                preset.name.into(),
                preset.command.into(),
                preset.summary.into(),
            ]
        })
        .collect();
    output::line(&output::columns(&rows))
}

/// A preset of either kind.
struct Shown {
    name: &'static str,
    summary: &'static str,
    toml: &'static str,
    /// What it is given to.
    command: &'static str,
}

impl Shown {
    fn all() -> impl Iterator<Item = Self> {
        let simulations = PRESETS.iter().map(|preset| Self {
            name: preset.name,
            summary: preset.summary,
            toml: preset.toml,
            command: "simulate",
        });
        let runs = RUN_PRESETS.iter().map(|preset| Self {
            name: preset.name,
            summary: preset.summary,
            toml: preset.toml,
            command: "train",
        });
        simulations.chain(runs)
    }
}
