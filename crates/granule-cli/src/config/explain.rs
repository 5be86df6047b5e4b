//! What is wrong with a configuration, in the words of the person who wrote it.

use anyhow::Context;
use granule::train::schema::{Fault, Key, Schema, Wrong};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::layers::{Layer, Origin, lookup, no_element};
use super::{files, keys};
use crate::failure::Usage;

/// How the model of a simulation is trained.
pub const TO_TRAIN: &str = "to train it, write [model] for [composite] and give it kind = \"multi-granularity\"; \
     duration, dt, seed and record stay away, the seed of the weights is model.seed";

/// Settings put together, to be read as a configuration.
pub struct Reading<'a> {
    pub merged: &'a Table,
    /// What is there without what the person has written.
    pub defaults: &'a Table,
    pub layers: &'a [Layer],
    pub schema: fn() -> Schema,
    /// A path as the person wrote it.
    pub named: &'a dyn Fn(&str) -> String,
}

/// A configuration of more values is not looked through: they are numbers of files.
const MOST_VALUES: usize = 100_000;

fn count(value: &Value) -> usize {
    match value {
        Value::Table(table) => table.values().map(count).sum(),
        Value::Array(list) => list.iter().map(count).sum(),
        _ => 1,
    }
}

/// A list in the place of a table, which serde takes for the values of the table in their order: its path, found by what
/// was `read` of it.
fn list_for_table(merged: &Table, read: &impl Serialize) -> anyhow::Result<Option<Fault>> {
    if merged.values().map(count).sum::<usize>() > MOST_VALUES {
        return Ok(None);
    }
    let read = &Table::try_from(read).context("cannot write the configuration")?;
    fn inside(path: &str, written: &Value, read: &Value) -> Option<String> {
        match (written, read) {
            (Value::Array(_), Value::Table(_)) => Some(path.to_owned()),
            (Value::Array(written), Value::Array(read)) => {
                let mut both = written.iter().zip(read).enumerate();
                both.find_map(|(index, (written, read))| {
                    inside(&join(path, &index.to_string()), written, read)
                })
            }
            (Value::Table(written), Value::Table(read)) => written
                .iter()
                .find_map(|(key, own)| inside(&join(path, key), own, read.get(key)?)),
            _ => None,
        }
    }
    let mut all = merged.iter();
    let path = all.find_map(|(key, own)| inside(key, own, read.get(key)?));
    Ok(path.map(|path| Fault {
        path,
        wrong: Wrong::Type {
            expected: "a table".to_owned(),
            tag: None,
            choices: Vec::new(),
        },
    }))
}

impl<'a> Reading<'a> {
    /// Of what `granule train` reads.
    pub fn of_runs(merged: &'a Table, defaults: &'a Table, layers: &'a [Layer]) -> Self {
        Self {
            merged,
            defaults,
            layers,
            schema: Schema::of_runs,
            named: &str::to_owned,
        }
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`Usage`] that names the path of what is wrong, where it was written, and what is near.
    pub fn read<T: DeserializeOwned + Serialize>(&self) -> anyhow::Result<T> {
        let config = match T::deserialize(Value::Table(self.merged.clone())) {
            Ok(config) => config,
            Err(error) => return Err(self.explain(&error)),
        };
        if let Some(error) = self.unread() {
            return Err(error);
        }
        match list_for_table(self.merged, &config)? {
            Some(fault) => Err(self.wrong_form(&fault).into()),
            None => Ok(config),
        }
    }

    /// Checks that a path that is to be taken back exists.
    ///
    /// # Errors
    /// [`Usage`] for a key that does not exist, and an element that a list does not have.
    pub fn check_cleared(&self, path: &str) -> Result<(), Usage> {
        let fault = (self.schema)().unknown(self.merged, path);
        match fault.map_err(no_element)? {
            Some(fault) => Err(self.wrong_form(&fault)),
            None => Ok(()),
        }
    }

    /// `error` is what the configuration itself says of a table whose form is right.
    fn explain(&self, error: &toml::de::Error) -> anyhow::Error {
        if let Some(fault) = (self.schema)().fault(self.merged) {
            return self.wrong_form(&fault).into();
        }
        if let Some(error) = self.unread() {
            return error;
        }
        let (path, reason) = own_words(error, self.merged);
        let written = written(&path, self.layers);
        Usage::new(format!("`{}`: {reason}{written}", (self.named)(&path))).into()
    }

    /// A file that stands where one may, and cannot be read.
    fn unread(&self) -> Option<anyhow::Error> {
        let mut all = self.layers.iter().flat_map(|layer| &layer.unread);
        all.find_map(|file| file.error(self.merged))
    }

    /// A key that does not exist, is missing or holds something else.
    fn wrong_form(&self, fault: &Fault) -> Usage {
        let path = (self.named)(&fault.path);
        match &fault.wrong {
            Wrong::Unknown { keys, kind } => {
                let written = written(&fault.path, self.layers);
                match kind {
                    Some(kind) if !kind.others.is_empty() => {
                        let (word, tag) = (&kind.word, (self.named)(&kind.tag));
                        let others = kind.others.join(", ");
                        Usage::new(format!("`{path}` is no key of {word}{written}")).hint(format!(
                            "leave it out, or set `{tag}` to one that has it: {others}; the keys of {word} are {}",
                            keys.join(", ")
                        ))
                    }
                    _ => {
                        let usage = Usage::new(format!("unknown key `{path}`{written}"));
                        match self.meant(&fault.path, keys) {
                            Some(hint) => usage.hint(hint),
                            None => usage,
                        }
                    }
                }
            }
            Wrong::Missing { choices } => {
                let (inside, _) = fault.path.rsplit_once('.').unwrap_or(("", &fault.path));
                let written = written(inside, self.layers);
                let usage = match owner(inside) {
                    "" => Usage::new(format!("`{path}` is missing")),
                    owner => Usage::new(format!(
                        "`{path}` is missing, which `{owner}` needs{written}"
                    )),
                };
                with_choices(usage, choices)
            }
            Wrong::Choice {
                found,
                choices: words,
            } => Usage::new(format!(
                "`{path}` has no choice `{found}`{}",
                written(&fault.path, self.layers)
            ))
            .hint(match self.choice_of(found) {
                Some(other) => format!(
                    "did you mean {other}? The choices of `{path}` are {}",
                    words.join(", ")
                ),
                None => choices(found, words),
            }),
            Wrong::Type {
                expected,
                tag,
                choices,
            } => {
                let value = lookup(self.merged, &fault.path);
                let from_file = last_writing(&fault.path, self.layers)
                    .is_some_and(|layer| layer.file(&fault.path).is_some());
                let is = match value.filter(|_| !from_file) {
                    Some(Value::Table(table)) if files::source(table).is_some() => {
                        "takes no file; it ".to_owned()
                    }
                    Some(value) => format!("is {}, but ", briefly(value)),
                    None => String::new(),
                };
                let usage = Usage::new(format!(
                    "`{path}` {is}must be {expected}{}",
                    written(&fault.path, self.layers)
                ));
                let word = value.and_then(Value::as_str);
                let meant = word.and_then(|word| as_meant(word, expected));
                match (word, tag, meant) {
                    (Some(word), Some(tag), _) => {
                        usage.hint(format!("did you mean `{} = {word}`?", (self.named)(tag)))
                    }
                    (_, None, Some(meant)) => {
                        usage.hint(format!("did you mean `{path} = {meant}`?"))
                    }
                    _ if expected.starts_with("one of") => usage,
                    _ => with_choices(usage, choices),
                }
            }
            _ => Usage::new(format!(
                "`{path}` is wrong{}",
                written(&fault.path, self.layers)
            )),
        }
    }

    /// The setting that a word is a choice of, with what that needs.
    fn choice_of(&self, word: &str) -> Option<String> {
        let schema = (self.schema)();
        let all = schema.keys();
        let is_choice = |key: &&Key<'_>| {
            let mut choices = key.node.choices().into_iter();
            !keys::is_of_levels(key) && choices.any(|(choice, _)| choice == word)
        };
        let key = all.iter().find(is_choice)?;
        let needs = key.needs.iter();
        let needs: Vec<String> = needs
            .map(|(tag, kind)| format!("`{} = {kind}`", (self.named)(tag)))
            .collect();
        let of = match needs.as_slice() {
            [] => String::new(),
            all => format!(", with {}", all.join(" and ")),
        };
        Some(format!("`{} = {word}`{of}", (self.named)(&key.path)))
    }

    /// What an unknown key may stand for.
    fn meant(&self, path: &str, siblings: &[String]) -> Option<String> {
        let (place, key) = path.rsplit_once('.').unwrap_or(("", path));
        if path == "composite" {
            return Some(TO_TRAIN.to_owned());
        }
        if path.len() > LONGEST {
            return None;
        }
        let near =
            nearest(key, siblings.iter().map(String::as_str)).map(|sibling| join(place, sibling));
        let elsewhere = || {
            let mut all = leaves(self.defaults).into_iter();
            all.find(|leaf| leaf.rsplit('.').next() == Some(key))
        };
        let schema = (self.schema)();
        let all = schema.keys();
        let plain = || all.iter().filter(|key| !keys::is_of_levels(key));
        // A table that is elsewhere.
        if let Some(table) = keys::table_of(&join(path, "KEY"), plain()) {
            return Some(format!("did you mean `{}`?", (self.named)(table)));
        }
        let of_schema = || {
            let found = keys::nearest(path, plain());
            found.map(|key| key.path.clone())
        };
        let meant = near.or_else(elsewhere).or_else(of_schema);
        // A key of another kind of the same table is no other key.
        match meant.filter(|near| near != path) {
            Some(near) => Some(format!("did you mean `{}`?", (self.named)(&near))),
            None if siblings.is_empty() => None,
            None if place.is_empty() => Some(format!("the keys are {}", siblings.join(", "))),
            None => Some(format!(
                "the keys of `{}` are {}",
                (self.named)(place),
                siblings.join(", ")
            )),
        }
    }
}

fn with_choices(usage: Usage, choices: &[String]) -> Usage {
    match choices {
        [] => usage,
        words => usage.hint(format!("the choices are {}", words.join(", "))),
    }
}

/// A text as the number or list that it may have been meant for: `0,5` as `0.5`, `1,2` as `[1, 2]`, `10%` as `0.1`.
fn as_meant(word: &str, expected: &str) -> Option<String> {
    let parts: Vec<&str> = word.split(',').map(str::trim).collect();
    let is_number = |part: &&str| part.parse::<f64>().is_ok();
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if expected.contains("a list") && parts.len() > 1 && parts.iter().all(is_number) {
        return Some(format!("[{}]", parts.join(", ")));
    }
    if !expected.starts_with("a number") {
        return None;
    }
    match parts.as_slice() {
        [whole, fraction] if is_number(whole) && is_plain(fraction) => {
            Some(format!("{whole}.{fraction}"))
        }
        [only] => {
            let share: f64 = only.strip_suffix('%')?.trim_end().parse().ok()?;
            Some((share / 100.0).to_string())
        }
        _ => None,
    }
}

/// A value as TOML; of a table its keys.
fn briefly(value: &Value) -> String {
    match value {
        Value::Table(table) if table.is_empty() => "an empty table".to_owned(),
        Value::Table(table) => {
            let keys: Vec<&str> = table.keys().map(String::as_str).collect();
            format!("a table of {}", keys.join(", "))
        }
        value => value.to_string(),
    }
}

/// The name of a table; of a list's element that of the list, with its index.
fn owner(path: &str) -> &str {
    let mut start = path.len();
    for name in path.rsplit('.') {
        start -= name.len();
        if name.parse::<usize>().is_err() {
            break;
        }
        start = start.saturating_sub(1);
    }
    path.get(start..).unwrap_or(path)
}

/// What a configuration of the right form says is wrong with a value, and where: serde names the tables around it only, and
/// none inside a table that has kinds.
fn own_words(error: &toml::de::Error, merged: &Table) -> (String, String) {
    let text = error.to_string();
    let mut lines = text.trim().lines();
    let message = lines.next().unwrap_or_default();
    // The innermost place comes first.
    let places = lines.filter_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
    let place = places.fold(String::new(), |inner, place| join(place, &inner));
    let written = message.split('`').nth(1);
    let path = written.and_then(|word| of_value(&place, merged, word));
    (path.unwrap_or(place), message.to_owned())
}

/// The nearest name, and all of them.
pub fn choices(found: &str, names: &[String]) -> String {
    let list = names.join(", ");
    match nearest(found, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? The choices are {list}"),
        None => format!("the choices are {list}"),
    }
}

/// No name that anything has is longer.
const LONGEST: usize = 200;

/// The name a person may have meant, if one is near enough.
pub fn nearest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if found.len() > LONGEST {
        return None;
    }
    let found = found.to_lowercase().replace('-', "_");
    names
        .map(|name| (strsim::jaro_winkler(&found, &name.replace('-', "_")), name))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The layer that a value, or a part of it, is from.
fn last_writing<'a>(path: &str, layers: &'a [Layer]) -> Option<&'a Layer> {
    let mut all = layers.iter().rev();
    all.find(|layer| lookup(&layer.table, path).is_some())
}

pub fn written(path: &str, layers: &[Layer]) -> String {
    let layer = last_writing(path, layers);
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

pub fn join(place: &str, key: &str) -> String {
    match (place, key) {
        ("", only) | (only, "") => only.to_string(),
        (place, key) => format!("{place}.{key}"),
    }
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

/// The one key of the table at `place` whose value is written so.
fn of_value(place: &str, merged: &Table, text: &str) -> Option<String> {
    let table = lookup(merged, place)?.as_table()?;
    let mut keys = table
        .iter()
        .filter(|(_, value)| value.to_string() == text)
        .map(|(key, _)| join(place, key));
    keys.next().filter(|_| keys.next().is_none())
}
