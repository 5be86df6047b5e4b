//! Units, from the help of a key.

use serde_json::Value;

/// The units that the help of keys is searched for; of two that fit at one place, the longer one.
pub(super) const UNITS: [&str; 26] = [
    "µA/cm²",
    "µF/cm²",
    "mS/cm²",
    "kΩ·cm²",
    "mV/ms",
    "Hz·√ms",
    "mm/ms",
    "1/mV",
    "1/ms",
    "1/s²",
    "1/s",
    "Hz/nA",
    "1/nC",
    "√ms",
    "mV",
    "ms",
    "Hz",
    "pA",
    "nA",
    "nS",
    "pF",
    "mM",
    "mm",
    "µm",
    "degrees",
    "radians",
];

/// The unit of a number that is in that of the table around it: a curve is a rate here and a time there.
pub(super) const OF_TABLE: &str = "that of the table";

/// Writes the units of all properties that have none yet.
pub(super) fn add(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                for property in properties.values_mut().filter_map(Value::as_object_mut) {
                    let help = property.get("description").and_then(Value::as_str);
                    if let (Some(unit), false) = (help.and_then(of), property.contains_key("unit"))
                    {
                        property.insert("unit".into(), unit.into());
                    }
                }
            }
            object.values_mut().for_each(add);
        }
        Value::Array(list) => list.iter_mut().for_each(add),
        _ => {}
    }
}

/// The unit in the first sentence of a help: at its beginning, in parentheses, or after a comma or `in`. A list whose
/// elements have several units, as initial values of a model's variables may, has none.
pub(super) fn of(help: &str) -> Option<&'static str> {
    let sentence = first_sentence(help);
    let fits = |(at, unit): &(usize, &str)| {
        let before = sentence.get(..*at).unwrap_or_default();
        let after = sentence.get(at + unit.len()..).unwrap_or_default();
        let led = before.is_empty() || ["(", ", ", " in "].iter().any(|end| before.ends_with(end));
        let ended = after.is_empty() || after.starts_with(['.', ';', ':', ',', ')', ' ']);
        led && ended
    };
    let found = UNITS.into_iter().flat_map(|unit| {
        let places = sentence.match_indices(unit).map(|(at, _)| at);
        places.map(move |at| (at, unit))
    });
    let mut found: Vec<(usize, &str)> = found.filter(fits).collect();
    found.sort_by_key(|(at, unit)| (*at, usize::MAX - unit.len()));
    let (_, first) = *found.first()?;
    let mixed = sentence.contains("(1)") || found.iter().any(|(_, unit)| *unit != first);
    (!mixed).then_some(first)
}

/// Up to the first full stop that ends a sentence.
pub(super) fn first_sentence(help: &str) -> &str {
    let ends = |(at, _): &(usize, &str)| {
        let rest = help.get(at + 1..).unwrap_or_default();
        let next = rest.trim_start().chars().next();
        (rest.is_empty() || rest.starts_with(char::is_whitespace))
            && next.is_none_or(|next| !next.is_lowercase())
    };
    let end = help.match_indices('.').find(ends);
    end.map_or(help, |(at, _)| help.get(..=at).unwrap_or(help))
}
