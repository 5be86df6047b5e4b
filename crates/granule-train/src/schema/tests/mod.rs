mod fault;
mod ranges;
mod small;

use toml::Table;

use super::*;
use crate::{OptimizerConfig, ScheduleConfig};
use granule_models::ModelConfig;
use granule_simulate::presets::PRESETS;

fn recipes() -> Vec<RunConfig> {
    let models = ModelConfig::names().into_iter();
    let models = models.map(|name| ModelConfig::from_name(name).unwrap());
    let mut all: Vec<_> = models
        .map(|model| RunConfig::recipe(model, Default::default()))
        .collect();
    for (optimizer, schedule) in OptimizerConfig::NAMES.iter().zip(ScheduleConfig::NAMES) {
        all.push(RunConfig {
            optimizer: OptimizerConfig::from_name(optimizer).unwrap(),
            schedule: ScheduleConfig::from_name(schedule).unwrap(),
            ..Default::default()
        });
    }
    all
}

#[test]
fn what_is_written_with_its_help_reads_back_to_the_same() {
    let schema = Schema::of_runs();
    for config in recipes() {
        let values = Table::try_from(&config).unwrap();
        for comments in [Comments::All, Comments::Unset] {
            let text = documented(&schema.root(), &values, comments, &[]);
            assert_eq!(RunConfig::from_toml_str(&text).unwrap(), config, "{text}");
            for key in [
                "# clip_norm =",
                "limit_train =",
                "early_stopping",
                "data_dir =",
            ] {
                assert!(
                    config.train.clip_norm.is_some() || text.contains(key),
                    "{key}: {text}"
                );
            }
        }
    }
    let schema = Schema::of_experiments();
    for preset in PRESETS {
        let config: ExperimentConfig = toml::from_str(preset.toml).unwrap();
        let values = Table::try_from(&config).unwrap();
        for comments in [Comments::All, Comments::Unset] {
            let text = documented(&schema.root(), &values, comments, &[]);
            assert_eq!(
                toml::from_str::<ExperimentConfig>(&text).unwrap(),
                config,
                "{text}"
            );
        }
    }
}

#[test]
fn every_key_has_help_and_a_form() {
    for schema in [Schema::of_runs(), Schema::of_experiments()] {
        let keys = schema.keys();
        assert!(keys.len() > 300, "{}", keys.len());
        for key in keys {
            assert!(!key.node.form().is_empty(), "{}: {:?}", key.path, key.node);
            assert!(
                key.node.help().len() > 1,
                "{} has no help: {:?}",
                key.path,
                key.node
            );
        }
    }
}

#[test]
fn numbers_that_may_be_in_a_file_say_so() {
    let form = |schema: &Schema, path: &str| {
        let keys = schema.keys();
        let key = keys.iter().find(|key| key.path == path);
        key.unwrap_or_else(|| panic!("{path}")).node.form()
    };
    let experiments = Schema::of_experiments();
    let one_or_many = "number or list of numbers or { file = \"FILE\" }";
    for path in [
        "unit.current",
        "unit.parameters.g_na",
        "population.time_constant",
    ] {
        assert_eq!(form(&experiments, path), one_or_many, "{path}");
    }
    for path in [
        "connectivity.weights",
        "connectivity.delays",
        "stimulus.amplitude",
    ] {
        let form = form(&experiments, path);
        assert!(form.contains("{ file = \"FILE\" }"), "{path}: {form}");
    }
    let runs = Schema::of_runs();
    assert_eq!(form(&runs, "model.time_constant"), one_or_many);
    for (schema, path) in [
        (&experiments, "dt"),
        (&experiments, "unit.cells"),
        (&runs, "model.widths"),
        (&runs, "model.time_constant_bounds"),
        (&runs, "data.range"),
        (&runs, "train.class_weights"),
    ] {
        let form = form(schema, path);
        assert!(!form.contains("file"), "{path}: {form}");
    }
    let range = |path: &str| {
        let keys = experiments.keys();
        keys.into_iter()
            .find(|key| key.path == path)
            .unwrap()
            .node
            .describe()
    };
    assert_eq!(
        range("population.time_constant"),
        format!("{one_or_many}, above 0, ms")
    );
}

#[test]
fn a_list_of_several_units_has_none() {
    let schema = Schema::of_experiments();
    let keys = schema.keys();
    let unit = |path: &str, kind: &str| {
        let fits = |key: &&Key<'_>| {
            let last = key.needs.last().map(|(_, word)| word.as_str());
            key.path == path && (last == Some(kind) || last.is_none())
        };
        let key = keys.iter().find(fits).unwrap();
        key.node.unit().map(str::to_owned)
    };
    assert_eq!(unit("bold.initial", ""), None);
    assert_eq!(unit("system.initial", "jansen-rit"), None);
    assert_eq!(
        unit("system.excitatory_time_constant", "jansen-rit").as_deref(),
        Some("ms")
    );
}
