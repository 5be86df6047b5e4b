//! `granule presets`.

use granule::dynamics::experiment::{Preset, presets::PRESETS};
use serde_json::json;

use crate::args;
use crate::config::experiment::unknown;
use crate::output;

pub fn run(args: &args::Presets) -> anyhow::Result<()> {
    let chosen: Vec<&Preset> = match &args.name {
        None => PRESETS.iter().collect(),
        Some(name) => vec![Preset::find(name).ok_or_else(|| unknown(name))?],
    };
    if args.json {
        return chosen.into_iter().try_for_each(|preset| {
            output::json(&json!({
                "name": preset.name,
                "summary": preset.summary,
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
        .map(|preset| vec![preset.name.into(), preset.summary.into()])
        .collect();
    output::line(&output::columns(&rows))
}
