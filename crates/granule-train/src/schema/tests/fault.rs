use toml::{Table, Value};

use super::{PRESETS, recipes};
use crate::RunConfig;
use crate::schema::{Fault, Schema, Wrong};
use granule_simulate::ExperimentConfig;

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

fn of_experiment(text: &str) -> Fault {
    let found = Schema::of_experiments().fault(&table(text));
    found.unwrap_or_else(|| panic!("no fault in {text}"))
}

/// A traced cell whose file was read.
const TRACED: &str = "[unit]\nkind = 'cable'\nrecord_sites = ['soma', 'basal(0.5)']\n[unit.morphology]\n\
                      file = 'a.swc'\npoints = [[1, 1, 0, 0, 0, 5, -1], [2, 3, 5.0, 0, 0, 1, 1], [3, 3, 9, 0, 0, 1, 2]]\n\
                      [[unit.section]]\nname = 'basal'\nd_lambda = 0.2\nparameters = { g_l = 0.2 }\n";

#[test]
fn what_is_read_has_no_fault() {
    let schema = Schema::of_runs();
    for config in recipes() {
        let values = Table::try_from(&config).unwrap();
        assert_eq!(schema.fault(&values), None);
    }
    let schema = Schema::of_experiments();
    for preset in PRESETS {
        let config: ExperimentConfig = toml::from_str(preset.toml).unwrap();
        assert_eq!(schema.fault(&table(preset.toml)), None, "{}", preset.name);
        let values = Table::try_from(&config).unwrap();
        assert_eq!(schema.fault(&values), None, "{}", preset.name);
    }
    for other in [
        "[unit]\nkind = 'conductance'\n[[unit.channel]]\nname = 'k'\nconductance = 1\nreversal = -77\n\
         gate = [{ name = 'n', alpha = { kind = 'constant', rate = 1 }, beta = { kind = 'exponential', rate = 1, \
         midpoint = 0, slope = 1 } }]",
        "[unit]\nkind = 'lif'\ncurrent = { file = 'a.npy', array = 'b' }",
        "[unit]\nkind = 'cable'\nmorphology = 'a.swc'",
        TRACED,
    ] {
        assert_eq!(schema.fault(&table(other)), None, "{other}");
    }
    let grey = "[data.images]\nchannels = 'gray'";
    let keys = Schema::of_runs();
    assert!(keys.keys().iter().any(|key| key.path.ends_with("channels")));
    if toml::from_str::<RunConfig>(grey).is_ok() {
        assert_eq!(keys.fault(&table(grey)), None);
    }
}

/// What every value is replaced by in turn.
fn others() -> [Value; 6] {
    let inner = Table::from_iter([("no_such_key".to_owned(), Value::Integer(1))]);
    [
        "no such word".into(),
        Value::Integer(-3),
        Value::Float(2.5),
        Value::Boolean(true),
        Value::Array(vec!["x".into()]),
        Value::Table(inner),
    ]
}

/// The paths of all values, tables included.
fn paths(value: &Value, at: &[String], found: &mut Vec<Vec<String>>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(list) => {
            let all = list.iter().enumerate().take(2);
            all.map(|(index, value)| (index.to_string(), value))
                .collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in inner {
        let below = [at, &[key]].concat();
        found.push(below.clone());
        paths(value, &below, found);
    }
}

fn at_mut<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, key| match value {
        Value::Array(list) => &mut list[key.parse::<usize>().unwrap()],
        value => value.get_mut(key).unwrap(),
    })
}

/// Whether what serde says of a value is about its form, and not a sentence of the configuration's own.
fn is_of_form(message: &str) -> bool {
    let begins = [
        "unknown field",
        "unknown variant",
        "missing field",
        "invalid type",
        "invalid length",
    ];
    begins.iter().any(|begin| message.starts_with(begin)) || message.contains("untagged enum")
}

/// Every value of a configuration as something else: where reading it fails for its form, the schema names the place.
fn every_fault_is_found<T: serde::de::DeserializeOwned>(
    schema: &Schema,
    values: &Table,
    seen: &mut usize,
) {
    let mut all = Vec::new();
    let whole = Value::Table(values.clone());
    paths(&whole, &[], &mut all);
    for path in all {
        for other in others() {
            let mut broken = whole.clone();
            *at_mut(&mut broken, &path) = other.clone();
            let Err(error) = broken.clone().try_into::<T>() else {
                continue;
            };
            let fault = schema.fault(broken.as_table().unwrap());
            let place = path.join(".");
            match fault {
                Some(fault) => {
                    *seen += 1;
                    assert!(
                        fault.path.starts_with(&place),
                        "{place} = {other}: {fault:?}"
                    );
                }
                None => assert!(!is_of_form(error.message()), "{place} = {other}: {error}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_read_has_a_fault_at_its_place() {
    let mut seen = 0;
    let schema = Schema::of_experiments();
    for preset in PRESETS {
        every_fault_is_found::<ExperimentConfig>(&schema, &table(preset.toml), &mut seen);
    }
    every_fault_is_found::<ExperimentConfig>(&schema, &table(TRACED), &mut seen);
    let schema = Schema::of_runs();
    for config in recipes() {
        let values = Table::try_from(&config).unwrap();
        every_fault_is_found::<RunConfig>(&schema, &values, &mut seen);
    }
    assert!(seen > 1000, "{seen}");
}

#[test]
fn faults_of_channels_have_their_whole_path() {
    let cell = |gate: &str| {
        format!(
            "[unit]\nkind = 'conductance'\n[[unit.channel]]\nlibrary = 'hodgkin-huxley/na'\n\
             [[unit.channel]]\nname = 'k'\nconductance = 1\nreversal = -77\ngate = [{gate}]"
        )
    };
    let gate = |alpha: &str| cell(&format!("{{ name = 'n', alpha = {alpha} }}"));
    for (text, path, wrong) in [
        (
            cell("{ power = 4 }"),
            "unit.channel.1.gate.0.name",
            "Missing",
        ),
        (
            cell("{ name = 'n', powr = 4 }"),
            "unit.channel.1.gate.0.powr",
            "Unknown",
        ),
        (
            cell("{ name = 'n', power = -4 }"),
            "unit.channel.1.gate.0.power",
            "a whole number, 1 to 8",
        ),
        (
            cell("{ name = 'n', power = 1.5 }"),
            "unit.channel.1.gate.0.power",
            "a whole number, 1 to 8",
        ),
        (gate("3"), "unit.channel.1.gate.0.alpha", "a table"),
        (
            gate("{ kind = 'sigmod' }"),
            "unit.channel.1.gate.0.alpha.kind",
            "Choice",
        ),
        (
            gate("{ kind = 'sigmoid', slope = 1 }"),
            "unit.channel.1.gate.0.alpha.midpoint",
            "Missing",
        ),
        (
            gate("{ kind = 'sum', of = [{ kind = 'constant', scale = 1, slope = 2 }] }"),
            "unit.channel.1.gate.0.alpha.of.0.slope",
            "Unknown",
        ),
        (
            gate("{ kind = 'constant', scale = 'x' }"),
            "unit.channel.1.gate.0.alpha.scale",
            "a number",
        ),
        (
            cell("{ name = 'n' }")
                .replace("reversal = -77", "reversal = { insid = 'ca', outside = 2 }"),
            "unit.channel.1.reversal.insid",
            "Unknown",
        ),
        (
            cell("{ name = 'n' }").replace("reversal = -77", "reversal = { inside = 'ca' }"),
            "unit.channel.1.reversal.outside",
            "Missing",
        ),
    ] {
        let fault = of_experiment(&text);
        assert_eq!(fault.path, path);
        assert!(format!("{:?}", fault.wrong).contains(wrong), "{fault:?}");
    }
}

#[test]
fn faults_of_rules_of_plasticity_have_their_whole_path() {
    let plastic = include_str!("../../../../../examples/plastic_levels.toml");
    assert_eq!(Schema::of_experiments().fault(&table(plastic)), None);
    let rule = "kind = \"pair-stdp\", potentiation";
    for (wrong, path, what) in [
        ("kind = \"stdp\", potentiation", "rules.0.kind", "Choice"),
        ("kind = \"pair-stdp\", rate", "rules.0.rate", "Unknown"),
        ("potentiation", "rules.0.kind", "Missing"),
    ] {
        assert!(plastic.contains(rule));
        let fault = of_experiment(&plastic.replace(rule, wrong));
        assert_eq!(fault.path, format!("composite.coupler.0.plasticity.{path}"));
        assert!(format!("{:?}", fault.wrong).contains(what), "{fault:?}");
    }
    let low = of_experiment(&plastic.replace("low = 0.0", "lowest = 0.0"));
    assert_eq!(
        low.path,
        "composite.coupler.0.plasticity.limits.bounds.lowest"
    );
}

#[test]
fn keys_of_another_kind_are_known_there() {
    let found = Schema::of_runs().fault(&table("[optimizer]\nkind = 'sgd'\nlr = 0.1\nbeta1 = 0.9"));
    let found = found.unwrap();
    assert_eq!(found.path, "optimizer.beta1");
    let Wrong::Unknown {
        kind: Some(kind), ..
    } = found.wrong
    else {
        panic!("{found:?}");
    };
    assert_eq!(
        (kind.tag.as_str(), kind.word.as_str()),
        ("optimizer.kind", "sgd")
    );
    assert!(kind.others.contains(&"adam".to_owned()), "{kind:?}");
}

#[test]
fn what_is_expected_reads_as_a_sentence() {
    let schema = Schema::of_runs();
    for (text, expected) in [
        (
            "[train]\nclass_weights = 'this'",
            "`balanced` or a list of numbers",
        ),
        (
            "[train]\nloss = 3",
            "one of auto, cross-entropy, mse, poisson",
        ),
        (
            "[model]\nkind = 'mlp'\nwidths = 5",
            "a list of whole numbers, 1 to 65536",
        ),
        ("train = 5", "a table"),
        ("seed = -1", "a whole number, 0 or more"),
    ] {
        let fault = schema.fault(&table(text)).unwrap();
        let found = match fault.wrong {
            Wrong::Type { expected, .. } => expected,
            Wrong::Choice { choices, .. } => choices.join(" "),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{text}");
    }
    let fault = of_experiment("[unit]\nkind = 'lif'\ncurrent = 'x'");
    let Wrong::Type { expected, .. } = fault.wrong else {
        panic!("{fault:?}");
    };
    assert_eq!(
        expected,
        "a number, a list of numbers or { file = \"FILE\" }"
    );
}
