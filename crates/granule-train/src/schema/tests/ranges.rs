//! The ranges of the schema are those that validation keeps: every number is set just outside and just inside each end.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::Device;
use granule_dynamics::Place;
use granule_models::{InputShape, ModelConfig};
use granule_simulate::{ExperimentConfig, Preset, presets::PRESETS};
use serde::Deserialize;
use toml::{Table, Value};

use super::small::small;
use crate::RunConfig;
use crate::schema::{Node, Schema};

/// A key and the words that others must have for it to be there.
type Where = (String, Vec<(String, String)>);

/// A count that no test makes.
const MANY: f64 = 10_000.0;

/// Words of refusals that a number inside its range meets on account of another key.
const OTHERS: [&str; 41] = [
    "as many as `",
    "between populations of one size",
    "between populations that both have",
    "a whole number from 0 to",
    "unset with held_out_channels",
    "unset where channels are held out",
    "a part, from 1, and the number of parts",
    "from there is not allowed: within",
    "at most the smallest time constant",
    "one value, or",
    "has no resting voltage",
    "at most 100000 ms",
    "divided by a whole number",
    "at least one step",
    "a finite number below threshold",
    "as many as the system has nodes",
    "the model takes no input",
    "unset with data.recording",
    "with data.task; data.trials",
    "that add up to 1 unit",
    "[1, 4] is not allowed: sizes of at least 1 that add up to 8 units",
    "at most 10 ms, 100000 steps of dt",
    "from dt = ",
    "so that a step resolves",
    "up to but not including task.decision_ms",
    "one number or two in rising order",
    "above 0 to task.duration_ms",
    "not including the shortest interval",
    "at least task.lowest_hz",
    "at least task.shortest_ms",
    "together with data.validation",
    "at most 100000 steps",
    "numbers for depth",
    "false when optimizer.momentum is 0",
    "for it is the step of the run",
    "less than the kernel",
    "let them keep the shape",
    "take a smaller window",
    "the first bin and the one after the last",
    "one after the other as in",
    "or name fewer record.variables",
];

/// Keys in whose place another one stands, whatever they say.
const REPLACED: [&str; 5] = [
    "bold.nodes",
    "composite.dt",
    "connectivity.dt",
    "population.dt",
    "composite.level.N.population.dt",
];

/// A key that no configuration here has: a gate that is at its steady state.
const UNSEEN: [&str; 3] = [
    "unit.initial.m",
    // Of a file that is read before.
    "circuit.projection.N.sonata.sources",
    "circuit.projection.N.sonata.targets",
];

/// The path of what a level has, or of rules of plasticity, as that of the same thing alone.
fn alone(path: &str) -> &str {
    let rules = ["composite.coupler.N.", "circuit.projection.N."].into_iter();
    let mut rules = rules.filter_map(|place| path.strip_prefix(place));
    let level = path.strip_prefix("composite.level.N.");
    level
        .or_else(|| rules.find(|rest| rest.starts_with("plasticity.")))
        .unwrap_or(path)
}

struct Walk<'a> {
    check: &'a dyn Fn(&Table) -> Result<(), String>,
    covered: BTreeSet<Where>,
    faults: BTreeMap<String, String>,
}

/// Where a value stands in a configuration, and its key.
#[derive(Clone, Default)]
struct At {
    steps: Vec<String>,
    key: String,
    needs: Vec<(String, String)>,
}

impl At {
    fn below(&self, step: &str, name: &str) -> Self {
        let mut at = self.clone();
        at.steps.push(step.to_owned());
        at.key = match self.key.as_str() {
            "" => name.to_owned(),
            key => format!("{key}.{name}"),
        };
        at
    }
}

fn set(value: &mut Value, steps: &[String], new: Value) {
    let Some((first, rest)) = steps.split_first() else {
        *value = new;
        return;
    };
    match value {
        Value::Table(table) => {
            let inner = table
                .entry(first.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            set(inner, rest, new);
        }
        Value::Array(list) => set(&mut list[first.parse::<usize>().unwrap()], rest, new),
        _ => {
            *value = Value::Table(Table::new());
            set(value, steps, new);
        }
    }
}

fn with(base: &Table, at: &At, new: Value) -> Table {
    let mut whole = Value::Table(base.clone());
    set(&mut whole, &at.steps, new);
    match whole {
        Value::Table(table) => table,
        _ => unreachable!("a configuration is a table"),
    }
}

fn is_whole(node: &Node<'_>) -> bool {
    let form = node.form();
    form.contains("whole number") && !form.replace("whole number", "").contains("number")
}

fn number(node: &Node<'_>, value: f64) -> Value {
    if is_whole(node) {
        Value::Integer(value as i64)
    } else {
        Value::Float(value)
    }
}

/// Numbers just outside of the range, and just inside.
fn ends(node: &Node<'_>) -> (Vec<f64>, Vec<f64>) {
    let (low, high) = node.limits();
    let (mut outside, mut inside) = (Vec::new(), Vec::new());
    let high = high.filter(|(high, _)| *high < 1e18);
    for (end, sign) in [(low, -1.0), (high, 1.0)] {
        let Some((end, closed)) = end else { continue };
        let apart = if is_whole(node) {
            sign
        } else {
            sign * 1e-4 * end.abs().max(1.0)
        };
        if closed {
            outside.push(end + apart);
            // As many cells or units as are allowed take more memory than a test has.
            if !(is_whole(node) && end >= MANY) {
                inside.push(end);
            }
        } else {
            outside.push(end);
            inside.push(end - apart);
        }
    }
    (outside, inside)
}

/// A value that a key may have.
fn sample(node: &Node<'_>) -> Option<Value> {
    if let Some(value) = node.default() {
        return Value::try_from(value).ok();
    }
    if let Some(tagged) = node.tagged() {
        let (kind, inner) = tagged.kinds.first()?;
        return Some(Value::Table(of_kind(&tagged.tag, kind, inner)));
    }
    if let Some((word, inner)) = node.choices().first() {
        return Some(match inner {
            None => Value::String(word.clone()),
            Some(inner) => Table::from_iter([(word.clone(), sample(inner)?)]).into(),
        });
    }
    if !node.properties().is_empty() {
        return Some(Value::Table(required(node)));
    }
    let form = node.form();
    match form.as_str() {
        "true or false" => Some(Value::Boolean(false)),
        "text" => Some(Value::String("x".into())),
        _ if form.starts_with("list") => Some(Value::Array(vec![sample(&node.items()?)?])),
        _ if form.contains("number") => {
            let (outside, inside) = ends(node);
            let (low, high) = (outside.first(), inside.last());
            let middle = low.zip(high).map_or(1.0, |(low, high)| (low + high) / 2.0);
            Some(number(
                node,
                if middle > 0.0 {
                    middle.max(if is_whole(node) { 1.0 } else { 0.0 })
                } else {
                    1.0
                },
            ))
        }
        _ => None,
    }
}

/// The keys without a default that are no option.
fn required(node: &Node<'_>) -> Table {
    let all = node.properties().into_iter();
    all.filter(|(_, node)| !node.optional() && node.default().is_none())
        .filter_map(|(name, node)| Some((name, sample(&node)?)))
        .collect()
}

fn of_kind(tag: &str, kind: &str, inner: &Node<'_>) -> Table {
    let mut table = required(inner);
    table.insert(tag.to_owned(), kind.into());
    table
}

impl Walk<'_> {
    fn fits(&self, base: &Table) -> bool {
        (self.check)(base).is_ok()
    }

    /// Goes on with the first of these values that the configuration may have there.
    fn try_each(&mut self, at: &At, node: &Node<'_>, base: &Table, values: Vec<Value>) {
        for value in values {
            let base = with(base, at, value.clone());
            if self.fits(&base) {
                return self.visit(at, node, &value, &base);
            }
        }
    }

    fn properties(&mut self, at: &At, node: &Node<'_>, value: &Table, base: &Table, tag: &str) {
        for (name, inner) in node.properties() {
            if name == tag {
                continue;
            }
            let at = at.below(&name, &name);
            match value.get(&name) {
                Some(value) => self.visit(&at, &inner, value, base),
                None => {
                    let inside = ends(&inner).1;
                    let scalars = inside.iter().map(|x| number(&inner, *x));
                    let lists = inside
                        .iter()
                        .map(|x| Value::Array(vec![number(&inner, *x)]));
                    let values = sample(&inner).into_iter().chain(scalars).chain(lists);
                    self.try_each(&at, &inner, base, values.collect());
                }
            }
        }
    }

    fn visit(&mut self, at: &At, node: &Node<'_>, value: &Value, base: &Table) {
        if let Some(tagged) = node.tagged() {
            let Some(table) = value.as_table() else {
                return;
            };
            let own = table
                .get(&tagged.tag)
                .and_then(Value::as_str)
                .unwrap_or_default();
            for (kind, inner) in &tagged.kinds {
                let mut below = at.clone();
                let tag = at.below(&tagged.tag, &tagged.tag).key;
                below.needs.push((tag, kind.clone()));
                if kind == own {
                    self.properties(&below, inner, table, base, &tagged.tag);
                    continue;
                }
                let bare = Table::from_iter([(tagged.tag.clone(), Value::from(kind.as_str()))]);
                for table in [bare, of_kind(&tagged.tag, kind, inner)] {
                    let base = with(base, at, table.clone().into());
                    if self.fits(&base) {
                        self.properties(&below, inner, &table, &base, &tagged.tag);
                        break;
                    }
                }
            }
            return;
        }
        if node.choices().is_empty() && !node.properties().is_empty() {
            if let Some(table) = value.as_table() {
                self.properties(at, node, table, base, "");
            }
            return;
        }
        if let (Some(items), Value::Array(list)) = (node.items(), value)
            && items.is_table()
        {
            for (index, value) in list.iter().enumerate() {
                self.visit(&at.below(&index.to_string(), "N"), &items, value, base);
            }
            return;
        }
        if let (Some(inner), Value::Table(table)) = (node.named(), value) {
            for (name, value) in table {
                self.visit(&at.below(name, "NAME"), &inner, value, base);
            }
            return;
        }
        for (name, inner) in node.choices() {
            let Some(inner) = inner.filter(|inner| !inner.properties().is_empty()) else {
                continue;
            };
            let below = at.below(&name, &name);
            match value.get(&name).and_then(Value::as_table) {
                Some(table) => self.properties(&below, &inner, table, base, ""),
                None => {
                    let inside = required(&inner);
                    let base = with(
                        base,
                        at,
                        Table::from_iter([(name.clone(), inside.clone().into())]).into(),
                    );
                    if self.fits(&base) {
                        self.properties(&below, &inner, &inside, &base, "");
                    }
                }
            }
        }
        self.leaf(at, node, value, base);
    }

    fn leaf(&mut self, at: &At, node: &Node<'_>, value: &Value, base: &Table) {
        let (outside, inside) = ends(node);
        if outside.is_empty() || is_replaced(&at.key) {
            return;
        }
        let written = |x: f64| match value {
            Value::Array(list) => {
                let mut list = list.clone();
                match list.first_mut() {
                    Some(Value::Array(row)) => {
                        row.iter_mut().take(1).for_each(|v| *v = number(node, x))
                    }
                    Some(first) => *first = number(node, x),
                    None => list.push(number(node, x)),
                }
                Value::Array(list)
            }
            Value::Table(table) if table.len() == 1 => table
                .keys()
                .map(|k| (k.clone(), number(node, x)))
                .collect::<Table>()
                .into(),
            _ => number(node, x),
        };
        let name = at
            .key
            .rsplit('.')
            .find(|part| *part != "NAME")
            .unwrap_or_default();
        let mut fine = true;
        for x in outside {
            let answer = (self.check)(&with(base, at, written(x)));
            let refused = match &answer {
                Ok(()) => false,
                Err(text) => text.contains(name) || text.contains("TOML"),
            };
            if !refused {
                fine = false;
                let text = format!("{x} is outside of {:?}, yet {answer:?}", node.range());
                self.faults
                    .insert(format!("{} {:?} low", at.key, at.needs), text);
            }
        }
        for x in inside {
            let Err(text) = (self.check)(&with(base, at, written(x))) else {
                continue;
            };
            if !OTHERS.iter().any(|other| text.contains(other)) {
                fine = false;
                let text = format!("{x} is inside of {:?}, yet {text}", node.range());
                self.faults
                    .insert(format!("{} {:?} inside", at.key, at.needs), text);
            }
        }
        if fine {
            self.covered.insert((at.key.clone(), at.needs.clone()));
        }
    }
}

fn report(schema: &Schema, bases: &[Table], check: &dyn Fn(&Table) -> Result<(), String>) {
    let mut walk = Walk {
        check,
        covered: BTreeSet::new(),
        faults: BTreeMap::new(),
    };
    for base in bases {
        assert_eq!(check(base), Ok(()), "{base}");
        walk.visit(
            &At::default(),
            &schema.root(),
            &Value::Table(base.clone()),
            base,
        );
    }
    let covered: BTreeSet<_> = walk.covered.iter().map(short).collect();
    let keys = schema.keys().into_iter();
    let with_range = keys.filter(|key| !ends(&key.node).0.is_empty());
    let unseen: Vec<_> = with_range
        .map(|key| (key.path, key.needs))
        .filter(|key| !is_replaced(&key.0) && !UNSEEN.contains(&alone(&key.0)))
        .filter(|key| !covered.contains(&short(key)))
        .collect();
    assert!(
        walk.faults.is_empty(),
        "{:#?}\nunseen: {unseen:#?}",
        walk.faults
    );
    assert!(unseen.is_empty(), "{unseen:#?}");
}

/// A key as that of the same thing alone, with the last word that it needs.
fn short((path, needs): &Where) -> (String, Option<String>) {
    let last = needs.last().map(|(_, word)| word.clone());
    (alone(path).to_owned(), last)
}

/// Whether the number is not looked at, or of the levels of a model that is trained, which are those of a simulation.
fn is_replaced(path: &str) -> bool {
    REPLACED.contains(&path)
        || path.starts_with("model.level.")
        || path.starts_with("model.coupler.")
}

fn run(table: &Table) -> Result<(), String> {
    let config = RunConfig::deserialize(table.clone()).map_err(|e| format!("TOML: {e}"))?;
    config.validate().map_err(|e| e.to_string())?;
    if config.model.name() == ModelConfig::MULTI_GRANULARITY {
        return Ok(());
    }
    let input = InputShape::Image {
        channels: 1,
        height: 28,
        width: 28,
    };
    config.model.validate(&input, 10).map_err(|e| e.to_string())
}

fn experiment(table: &Table) -> Result<(), String> {
    let config = ExperimentConfig::deserialize(table.clone()).map_err(|e| format!("TOML: {e}"))?;
    let place = Place::f32(&Device::flex());
    config.init(&place).map(|_| ()).map_err(|e| e.to_string())
}

/// A configuration with more settings.
fn and(base: &Table, more: &str) -> Table {
    let mut whole = base.clone();
    merge(&mut whole, more.parse().unwrap());
    whole
}

fn merge(whole: &mut Table, more: Table) {
    for (name, value) in more {
        match (whole.get_mut(&name), value) {
            (Some(Value::Table(own)), Value::Table(more)) => merge(own, more),
            (_, value) => {
                whole.insert(name, value);
            }
        }
    }
}

const POWER_LAW: &str = "activation = { power_law = { gain = 1.0, exponent = 2.0 } }";
const BLOCKS: &str =
    "units = 8\nrecurrence = { blocks = { sizes = [4, 4], densities = [[1, 0.5], [0.5, 1]] } }";

/// One coupler with rules of spikes and one with rules of rates.
const PLASTIC: &str = r#"
duration = 1.0
[[composite.level]]
name = "cells"
unit.kind = "lif"
[[composite.level]]
name = "rates"
direct = true
population = { units = 1, time_constant = 20.0 }
[[composite.coupler]]
from = "cells.spike"
to = "cells"
conversion = { kind = "scale", from = "1", to = "µA/cm²", factor = 1.0 }
projection = { dense = { weights = [[0.5]] } }
plasticity = { rules = [{ kind = "pair-stdp" }] }
[[composite.coupler]]
from = "cells.spike"
to = "rates"
conversion = { kind = "spike-to-rate" }
projection = { dense = { weights = [[0.5]] } }
plasticity = { rules = [{ kind = "hebb" }] }
"#;

/// Every setting of populations and projections.
const NETWORK: &str = r#"
duration = 1.0
dt = 0.1
[[circuit.population]]
name = "cells"
size = 4
cell = "lif"
initial = { v = { normal = { mean = 5.0, deviation = 0.1 } } }
current = { uniform = { low = 1.0, high = 2.0 } }
positions = { line = { length = 1.0 } }
[[circuit.population]]
name = "ring"
size = 4
cell = "adex"
positions = { ring = { length = 1.0 } }
[[circuit.population]]
name = "grid"
size = 4
cell = "rate"
transfer = { power_law = { gain = 1.0, exponent = 2.0 } }
positions = { grid = { side = 1.0 } }
[[circuit.population]]
name = "listed"
size = 2
cell = "spikes"
train = { times = [0.0], cells = [0], period = 5.0 }
[[circuit.projection]]
from = "cells"
to = "cells"
rule = { kind = "distance-dependent", peak = 0.5, profile = { gaussian = { width = 1.0 } } }
weight = { log-normal = { median = 0.1, deviation = 0.1 } }
delay = { exponential = { mean = 1.0, low = 0.1 } }
velocity = 1.0
profile = { exponential = { width = 1.0 } }
kinetics = { exponential = { time_constant = 1.0 } }
[[circuit.projection]]
from = "ring"
to = "ring"
rule = { kind = "fixed-probability", probability = 0.5 }
weight = 1.0
profile = { within = { width = 1.0 } }
kinetics = { alpha = { time_constant = 1.0 } }
effect = { nmda = { reversal = 0.0, magnesium = 1.0 } }
[[circuit.projection]]
from = "cells"
to = "ring"
rule = { kind = "fixed-out-degree", degree = 2 }
weight = 1.0
kinetics = { double-exponential = { rise = 1.0, decay = 2.0 } }
[[circuit.projection]]
from = "listed"
to = "cells"
weight = 1.0
plasticity = { rules = [{ kind = "pair-stdp" }] }
[[circuit.projection]]
from = "listed"
to = "cells"
weight = 1.0
reward = "cells"
plasticity = { rules = [{ kind = "reward-stdp" }] }
[[circuit.projection]]
from = "listed"
to = "cells"
weight = 1.0
short_term = { release = 0.5 }
"#;

#[test]
fn ranges_of_runs_are_those_of_validation() {
    let mut all = super::recipes();
    // It is nothing without its layers, which the example below has.
    all.retain(|config| config.model.name() != "sequential");
    let mut bases: Vec<Table> = all.iter().map(|c| Table::try_from(c).unwrap()).collect();
    for base in &mut bases {
        *base = and(base, "data.validation = 0.1");
    }
    bases.push(and(
        &bases[0],
        "data = { dataset = \"folder:x\", size = 8 }",
    ));
    let rate = bases
        .iter()
        .find(|base| base["model"]["kind"].as_str() == Some("rate"));
    let rate = rate.unwrap().clone();
    bases.push(and(&rate, &format!("[model]\n{POWER_LAW}")));
    bases.push(and(&rate, &format!("[model]\n{BLOCKS}")));
    bases.push(
        "model.kind = \"rate\"\ndata.task.kind = \"context-integration\""
            .parse()
            .unwrap(),
    );
    bases.push(and(
        &bases[0],
        "data = { dataset = \"recording:x\", decoding = { signal = \"x\", target = \"y\", test = 0.2, \
         channels = [[0, 2]], bins = [1, 5], window = { before = 1, after = 1 } } }",
    ));
    bases.push(and(
        &bases[0],
        "data = { dataset = \"recording:x.nwb\", decoding = { signal = \"units\", target = \"y\", bin_width = 0.02, \
         smoothing = 0.05 } }",
    ));
    for held_out in ["held_out = 0.25", "held_out_channels = [1]"] {
        let decoding = format!("decoding = {{ signal = \"x\", {held_out} }}");
        let data = format!("data = {{ dataset = \"recording:x\", {decoding} }}");
        bases.push(and(&bases[0], &data));
    }
    bases.push(and(&bases[0], "data.fold = [2, 5]"));
    let levels = include_str!("../../../../../examples/three_levels.toml");
    bases.push(levels.parse().unwrap());
    let layers = include_str!("../../../../../examples/sequential.toml");
    bases.push(layers.parse().unwrap());
    let rate = format!("kind = \"rate\"\nunits = 4\ndale_ratio = 0.5\n{POWER_LAW}");
    let rate = format!("[model]\nkind = \"sequential\"\n[[model.layer]]\n{rate}");
    bases.push(rate.parse().unwrap());
    let latent = "kind = \"latent\"\nunits = 2\nkl_weight = 0.1";
    let flatten = "[[model.layer]]\nkind = \"flatten\"";
    let latent = format!("[model]\nkind = \"sequential\"\n{flatten}\n[[model.layer]]\n{latent}");
    bases.push(latent.parse().unwrap());
    let branches = "kind = \"branches\"\n[[model.layer.branch]]\nchannels = [[0, 1]]";
    let branches = format!("[model]\nkind = \"sequential\"\n[[model.layer]]\n{branches}");
    bases.push(branches.parse().unwrap());
    report(&Schema::of_runs(), &bases, &run);
}

#[test]
fn ranges_of_experiments_are_those_of_validation() {
    let preset = |name: &str| -> Table { Preset::find(name).unwrap().toml.parse().unwrap() };
    let mut bases: Vec<Table> = PRESETS
        .iter()
        .map(|preset| small(preset.toml.parse().unwrap()))
        .collect();
    bases.push(NETWORK.parse().unwrap());
    bases.push(and(
        &preset("hodgkin-huxley"),
        "solver = \"tsit5\"\nrtol = 1e-4\natol = 1e-6\nrate_bin = 2.0",
    ));
    for more in [POWER_LAW, BLOCKS] {
        bases.push(and(&preset("rate-sine"), &format!("[population]\n{more}")));
    }
    let channels = include_str!("../../../../../examples/own_channel.toml");
    bases.push(channels.parse().unwrap());
    let cable = channels.replace("\"conductance\"", "\"cable\"");
    let solver = channels.lines().find(|line| line.starts_with("solver"));
    let cable = cable.replace(solver.unwrap(), "");
    bases.push(cable.parse().unwrap());
    bases.push(PLASTIC.parse().unwrap());
    report(&Schema::of_experiments(), &bases, &experiment);
}
