//! Presets that are small enough to be made many times.

use toml::{Table, Value};

/// A large network with a hundredth of its cells, and of the connections of each: whole ones take seconds.
pub fn small(mut experiment: Table) -> Table {
    let mut shrink = |list: &str, path: &[&str], above: i64| {
        let circuit = experiment.get_mut("circuit");
        let list = circuit.and_then(|circuit| circuit.get_mut(list));
        let elements = list.and_then(Value::as_array_mut);
        for element in elements.into_iter().flatten() {
            let mut inner = Some(element);
            for key in path {
                inner = inner.and_then(|value| value.get_mut(*key));
            }
            if let Some(Value::Integer(count)) = inner
                && *count > above
            {
                *count = (*count / 100).max(1);
            }
        }
    };
    shrink("population", &["size"], 1000);
    shrink("projection", &["rule", "degree"], 100);
    experiment
}
