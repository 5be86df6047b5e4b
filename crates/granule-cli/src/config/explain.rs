//! What serde says about a configuration, in the words of the person who wrote it.

use granule::train::schema::Schema;
use toml::{Table, Value};

use super::keys;
use super::layers::{CHOICES, Layer, Origin, lookup};
use crate::failure::Usage;

/// A failed conversion of the merged table as wrong usage: the full path, where it was written,
/// and the nearest thing that exists in the `schema` of the whole.
pub fn explain(
    error: &toml::de::Error,
    merged: &Table,
    defaults: &Table,
    layers: &[Layer],
    schema: fn() -> Schema,
) -> Usage {
    let text = error.to_string();
    let mut lines = text.trim().lines();
    let message = lines.next().unwrap_or_default();
    // The innermost place comes first.
    let places = lines.filter_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
    let place = places.fold(String::new(), |inner, place| join(place, &inner));
    let place = place.as_str();
    let mut names = quoted(message);
    if message.starts_with("unknown field") && !names.is_empty() {
        let key = names.remove(0);
        let place = indexed(merged, place, &key).unwrap_or_else(|| place.to_string());
        let path = locate(merged, &place, &key);
        return unknown_key(&path, &names, defaults, layers, schema);
    }
    if message.starts_with("missing field") && !names.is_empty() {
        let key = names.remove(0);
        let inside = without(merged, place, &key, layers).unwrap_or_else(|| place.to_string());
        let path = join(&inside, &key);
        let written = written(&inside, layers);
        let usage = match inside.rsplit('.').next() {
            None | Some("") => Usage::new(format!("`{path}` is missing")),
            Some(name) => Usage::new(format!(
                "`{path}` is missing, which `{name}` needs{written}"
            )),
        };
        return match words(&schema(), &path).as_slice() {
            [] => usage,
            words => usage.hint(format!("the choices are {}", words.join(", "))),
        };
    }
    if message.starts_with("unknown variant") && !names.is_empty() {
        let found = names.remove(0);
        let path = holding(merged, place, &found, layers).unwrap_or_else(|| place.to_owned());
        let usage = Usage::new(format!(
            "`{path}` has no choice `{found}`{}",
            written(&path, layers)
        ));
        return usage.hint(choices(&found, &names));
    }
    let path = mismatch(place, merged, defaults)
        .or_else(|| of_value(place, merged, names.first()?))
        .unwrap_or_else(|| place.to_string());
    let expected = message
        .rsplit_once(", expected ")
        .map_or(message, |(_, expected)| expected);
    let expected = in_words(expected);
    match lookup(merged, &path) {
        Some(value)
            if (message.starts_with("invalid") || expected.contains("number"))
                && !value.is_table() =>
        {
            let from_file = layers.iter().any(|layer| layer.file(&path).is_some());
            let is = match from_file {
                true => String::new(),
                false => format!("is {value}, but "),
            };
            let usage = Usage::new(format!(
                "`{path}` {is}must be {expected}{}",
                written(&path, layers)
            ));
            match (value.as_str(), tag(&schema(), &path)) {
                (Some(word), Some(tag)) => usage.hint(format!("did you mean `{tag} = {word}`?")),
                _ => match words(&schema(), &path).as_slice() {
                    [] => usage,
                    words => usage.hint(format!("the choices are {}", words.join(", "))),
                },
            }
        }
        _ => Usage::new(format!("`{path}`: {message}{}", written(&path, layers))),
    }
}

/// The words that a key may be, where it is one of a few.
fn words(schema: &Schema, path: &str) -> Vec<String> {
    let path = of_lists(path);
    let keys = schema.keys();
    let key = keys.iter().find(|key| key.path == path);
    let choices = key.map(|key| key.node.choices()).unwrap_or_default();
    choices.into_iter().map(|(word, _)| word).collect()
}

/// The key that says of which kind a table is.
fn tag(schema: &Schema, path: &str) -> Option<String> {
    let path = of_lists(path);
    let keys = schema.keys();
    let mut tags = ["kind", "model"].into_iter().map(|tag| join(&path, tag));
    tags.find(|tag| {
        keys.iter()
            .any(|key| key.path == *tag && key.needs.is_empty())
    })
}

/// A path with `N` for each index, as [`keys`](Schema::keys) have it.
fn of_lists(path: &str) -> String {
    let places = path.split('.').map(|place| match place.parse::<usize>() {
        Ok(_) => "N",
        Err(_) => place,
    });
    places.collect::<Vec<_>>().join(".")
}

/// The key below a place that holds a word, as a value or as the name of a choice; one that was written rather than one
/// that was not.
fn holding(merged: &Table, place: &str, word: &str, layers: &[Layer]) -> Option<String> {
    fn inside(path: &str, value: &Value, word: &str, found: &mut Vec<String>) {
        match value {
            Value::String(text) if text == word => found.push(path.to_owned()),
            Value::Table(table) => {
                if table.contains_key(word) {
                    found.push(path.to_owned());
                }
                for (key, value) in table {
                    inside(&join(path, key), value, word, found);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    inside(&join(path, &index.to_string()), value, word, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    match place {
        "" => inside("", &Value::Table(merged.clone()), word, &mut found),
        place => inside(place, lookup(merged, place)?, word, &mut found),
    }
    let own = found
        .iter()
        .position(|path| !written(path, layers).is_empty());
    (!found.is_empty()).then(|| found.swap_remove(own.unwrap_or(0)))
}

fn unknown_key(
    path: &str,
    siblings: &[String],
    defaults: &Table,
    layers: &[Layer],
    schema: fn() -> Schema,
) -> Usage {
    let usage = Usage::new(format!("unknown key `{path}`{}", written(path, layers)));
    let (place, key) = path.rsplit_once('.').unwrap_or(("", path));
    if path == "composite" {
        return usage.hint(
            "to train it, call the table `model` and give it kind = \"multi-granularity\"; \
             duration, dt, seed and record stay away, the seed of the weights is model.seed",
        );
    }
    // Of a tagged table, serde does not name the tag.
    let tags = ["model", "kind"].into_iter().filter(|tag| {
        let path = join(place, tag);
        !place.is_empty() && lookup(defaults, &path).is_some_and(Value::is_str)
    });
    let siblings: Vec<String> = tags
        .map(str::to_string)
        .chain(siblings.iter().cloned())
        .collect();
    let elsewhere = leaves(defaults)
        .into_iter()
        .find(|leaf| leaf.rsplit('.').next() == Some(key));
    let near =
        nearest(key, siblings.iter().map(String::as_str)).map(|sibling| join(place, sibling));
    let of_schema = || {
        let schema = schema();
        let all = schema.keys();
        let found = keys::nearest(path, all.iter().filter(|key| !keys::is_of_levels(key)));
        found.map(|key| key.path.clone())
    };
    match near.or(elsewhere).or_else(of_schema) {
        Some(near) => usage.hint(format!("did you mean `{near}`?")),
        None if siblings.is_empty() => usage,
        None if place.is_empty() => usage.hint(format!("the keys are {}", siblings.join(", "))),
        None => usage.hint(format!("the keys of `{place}` are {}", siblings.join(", "))),
    }
}

/// The path of an unknown key: of a tagged table, serde names the table only, not the one inside it.
fn locate(merged: &Table, place: &str, key: &str) -> String {
    fn inside(table: &Table, key: &str) -> Option<String> {
        if table.contains_key(key) {
            return Some(key.to_string());
        }
        let tables = table
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_table()?)));
        tables
            .filter_map(|(name, table)| Some(join(name, &inside(table, key)?)))
            .next()
    }
    let table = lookup(merged, place).and_then(Value::as_table);
    let found = table.and_then(|table| inside(table, key));
    join(place, found.as_deref().unwrap_or(key))
}

/// Serde leaves the indices of lists out of a place: that of the first element with the key.
fn indexed(merged: &Table, place: &str, key: &str) -> Option<String> {
    fn inside(value: &Value, keys: &[&str], key: &str) -> Option<String> {
        if let Value::Array(list) = value {
            let mut found = list.iter().enumerate();
            return found.find_map(|(index, value)| {
                Some(join(&index.to_string(), &inside(value, keys, key)?))
            });
        }
        match keys.split_first() {
            None => value.get(key).map(|_| String::new()),
            Some((first, rest)) => Some(join(first, &inside(value.get(*first)?, rest, key)?)),
        }
    }
    let keys: Vec<&str> = place.split('.').filter(|key| !key.is_empty()).collect();
    let (first, rest) = keys.split_first()?;
    Some(join(first, &inside(merged.get(*first)?, rest, key)?))
}

/// The table that lacks a key: of a choice that was made, serde may name only the table around it, and never the
/// index of a list's element.
fn without(merged: &Table, place: &str, key: &str, layers: &[Layer]) -> Option<String> {
    let lacks = |path: &str| {
        let table = lookup(merged, path).and_then(Value::as_table);
        table.is_some_and(|table| !table.contains_key(key))
    };
    let is_choice = |path: &str| {
        let parent = path.rsplit_once('.').map(|(parents, _)| parents);
        let name = parent.and_then(|parents| parents.rsplit('.').next());
        name.is_some_and(|name| CHOICES.contains(&name))
    };
    let mut set = layers.iter().rev().flat_map(|layer| leaves(&layer.table));
    let chosen = set.find_map(|leaf| {
        let (path, _) = leaf.rsplit_once('.')?;
        (is_choice(path) && lacks(path)).then(|| path.to_string())
    });
    let plain = |path: &str| {
        let names = path
            .split('.')
            .filter(|name| name.parse::<usize>().is_err());
        names.collect::<Vec<_>>().join(".")
    };
    // What was chosen last is what lacks it, if it is where serde says, or inside.
    let chosen = chosen.filter(|path| plain(path).starts_with(place));
    chosen.or_else(|| lacking(merged, place, key))
}

/// As [`indexed`], of the first table at a place that has no such key.
fn lacking(merged: &Table, place: &str, key: &str) -> Option<String> {
    fn inside(value: &Value, keys: &[&str], key: &str) -> Option<String> {
        if let Value::Array(list) = value {
            let mut found = list.iter().enumerate();
            return found.find_map(|(index, value)| {
                Some(join(&index.to_string(), &inside(value, keys, key)?))
            });
        }
        match keys.split_first() {
            None => (value.is_table() && value.get(key).is_none()).then(String::new),
            Some((first, rest)) => Some(join(first, &inside(value.get(*first)?, rest, key)?)),
        }
    }
    let keys: Vec<&str> = place.split('.').filter(|key| !key.is_empty()).collect();
    let (first, rest) = keys.split_first()?;
    Some(join(first, &inside(merged.get(*first)?, rest, key)?))
}

/// The nearest name, and all of them.
pub fn choices(found: &str, names: &[String]) -> String {
    let list = names.join(", ");
    match nearest(found, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? The choices are {list}"),
        None => format!("the choices are {list}"),
    }
}

/// The name a person may have meant, if one is near enough.
pub fn nearest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase().replace('-', "_");
    names
        .map(|name| (strsim::jaro_winkler(&found, &name.replace('-', "_")), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

pub fn written(path: &str, layers: &[Layer]) -> String {
    let layer = layers
        .iter()
        .rev()
        .find(|layer| lookup(&layer.table, path).is_some());
    // What is written nowhere is missing in the file.
    let file = layers
        .first()
        .filter(|base| matches!(base.origin, Origin::File(_)));
    layer
        .or(file)
        .map_or_else(String::new, |layer| match layer.file(path) {
            Some(file) => format!(" ({}: {})", layer.origin, file.found),
            None => format!(" ({})", layer.origin),
        })
}

fn join(place: &str, key: &str) -> String {
    match (place, key) {
        ("", only) | (only, "") => only.to_string(),
        (place, key) => format!("{place}.{key}"),
    }
}

/// The names between backquotes, in order.
fn quoted(message: &str) -> Vec<String> {
    message
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_string)
        .collect()
}

/// Dotted paths of all values that are not tables.
fn leaves(table: &Table) -> Vec<String> {
    let mut paths = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => paths.extend(leaves(inner).iter().map(|leaf| join(key, leaf))),
            _ => paths.push(key.clone()),
        }
    }
    paths
}

/// Serde does not say which key of a tagged table is wrong: the first whose type is not that of
/// its default.
fn mismatch(place: &str, merged: &Table, defaults: &Table) -> Option<String> {
    let found = lookup(merged, place)?.as_table()?;
    let expected = lookup(defaults, place)?.as_table()?;
    let wrong = found
        .iter()
        .find(|(key, value)| match (value, expected.get(*key)) {
            (Value::Integer(_), Some(Value::Float(_))) | (_, None) => false,
            (Value::Integer(n), Some(Value::Integer(_))) => *n < 0,
            // One number, or a list of them.
            (Value::Array(a), Some(Value::Float(_))) => !a.iter().all(is_number),
            (Value::Array(a), Some(Value::Array(b))) => !a.iter().all(|value| same(value, b)),
            (value, Some(default)) => !value.same_type(default),
        });
    let wrong = wrong.map(|(key, _)| join(place, key));
    wrong.or_else(|| {
        let tables = found.iter().filter(|(_, value)| value.is_table());
        tables
            .filter_map(|(key, _)| mismatch(&join(place, key), merged, defaults))
            .next()
    })
}

/// The one key of the table at `place` whose value is written so.
fn of_value(place: &str, merged: &Table, text: &str) -> Option<String> {
    let table = lookup(merged, place)?.as_table()?;
    let mut keys = table
        .iter()
        .filter(|(_, value)| value.to_string() == text)
        .map(|(key, _)| join(place, key));
    keys.next().filter(|_| keys.next().is_none())
}

fn is_number(value: &Value) -> bool {
    value.is_integer() || value.is_float()
}

fn same(value: &Value, array: &[Value]) -> bool {
    match (value, array.first()) {
        (_, None) | (Value::Integer(_), Some(Value::Float(_))) => true,
        (Value::Integer(n), Some(Value::Integer(_))) => *n >= 0,
        (value, Some(first)) => value.same_type(first),
    }
}

fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more",
        "f64" | "f32" => "a number",
        "a boolean" | "bool" => "true or false",
        "a sequence" => "a list in [ ]",
        "data did not match any variant of untagged enum Values" => {
            "a number, or a list of numbers"
        }
        _ if expected.starts_with("struct") || expected.starts_with("internally tagged") => {
            "a table"
        }
        _ => expected,
    }
}
