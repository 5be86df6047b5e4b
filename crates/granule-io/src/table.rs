//! Tables of settings, one over the other.

use toml::{Table, Value};

/// A list has no element of a name or an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{list}` has no element `{key}`")]
pub struct NoElement {
    /// The path of the list.
    pub list: String,
    /// The index or name.
    pub key: String,
    /// Which elements it has, in words.
    pub has: String,
}

/// A table has no place for a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has no place for `{path}`")]
pub struct NoPlace {
    /// Where the value was to stand.
    pub path: String,
}

/// Whether a key is the table `key`, or in it.
pub fn is_within(path: &str, key: &str) -> bool {
    let rest = path.strip_prefix(key);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Settings that are a choice with values of its own, `{ choice = … }`: another choice replaces the whole. A test holds
/// the list to the schemas, which cost too much to be made at every start.
pub const CHOICES: [&str; 13] = [
    "activation",
    "delays",
    "effect",
    "initialization",
    "kinetics",
    "memory",
    "positions",
    "profile",
    "projection",
    "recurrence",
    "surrogate",
    "transfer",
    "weight_bounds",
];

/// The key that says of which kind a table is, on which its other keys depend: another kind replaces the whole. Tables
/// whose kinds share settings were fitted to the last kind before.
pub const TAG: &str = "kind";

/// What cells were called by before they had a `kind` like everything else.
const OLDER_TAG: (&str, &str) = ("unit", "model");

/// Brings keys of an earlier granule to their names of today, wherever in a table they are.
pub fn rename(table: &mut Table) {
    let (owner, older) = OLDER_TAG;
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(own) => {
                if key == owner
                    && !own.contains_key(TAG)
                    && let Some(kind) = own.remove(older)
                {
                    own.insert(TAG.to_owned(), kind);
                }
                rename(own);
            }
            Value::Array(elements) => {
                elements
                    .iter_mut()
                    .filter_map(Value::as_table_mut)
                    .for_each(rename);
            }
            _ => {}
        }
    }
}

/// The parent of choices whose names are those of parameters.
pub const BOUNDS: &str = "bounds";

/// What all kinds of a table have, and what else is made to measure for: the couplings of a level know its cells.
const COMMON: [(&str, &str); 1] = [("unit", "cells")];

/// Whether the settings at a key, in a table of some name, take the place of those below and are not put over them.
fn replaces(parent: &str, key: &str, lower: &Table, upper: &Table) -> bool {
    if CHOICES.contains(&key) || parent == BOUNDS {
        return !lower.keys().eq(upper.keys());
    }
    let kinds = (lower.get(TAG), upper.get(TAG));
    matches!(kinds, (Some(Value::String(own)), Some(Value::String(other))) if own != other)
}

/// Writes the settings of `upper` over `lower`, table by table; elements of lists are those of [`address`].
pub fn merge(lower: &mut Table, upper: &Table) {
    merge_inside("", lower, upper);
}

fn merge_inside(parent: &str, lower: &mut Table, upper: &Table) {
    for (key, value) in upper {
        match (lower.get_mut(key), value) {
            (Some(Value::Table(lower)), Value::Table(upper))
                if !replaces(parent, key, lower, upper) =>
            {
                merge_inside(key, lower, upper)
            }
            (Some(Value::Array(list)), Value::Table(upper)) if addresses(list, upper) => {
                merge_list(list, upper);
            }
            _ => {
                let mut value = value.clone();
                carry_over(key, lower.get(key), &mut value);
                lower.insert(key.clone(), value);
            }
        }
    }
}

/// Keeps what another kind of a table has as well.
fn carry_over(key: &str, lower: Option<&Value>, upper: &mut Value) {
    let (Some(Value::Table(lower)), Value::Table(upper)) = (lower, upper) else {
        return;
    };
    for (_, name) in COMMON.iter().filter(|(table, _)| *table == key) {
        if let (Some(value), false) = (lower.get(*name), upper.contains_key(*name)) {
            upper.insert((*name).to_owned(), value.clone());
        }
    }
}

fn merge_list(list: &mut [Value], upper: &Table) {
    for (key, value) in upper {
        match (element_mut(list, key), value) {
            (Some(Value::Table(lower)), Value::Table(upper)) if !replaces("", "", lower, upper) => {
                merge(lower, upper)
            }
            (Some(Value::Array(inner)), Value::Table(upper)) if addresses(inner, upper) => {
                merge_list(inner, upper);
            }
            (Some(lower), value) => *lower = value.clone(),
            (None, _) => {}
        }
    }
}

/// Whether the keys of a table are meant as places in a list.
fn addresses(list: &[Value], table: &Table) -> bool {
    let tables = !list.is_empty() && list.iter().all(Value::is_table);
    tables || table.keys().all(|key| key.parse::<i64>().is_ok())
}

/// The place of a list's element: its index, from 0, or the `name` it has.
fn position(list: &[Value], key: &str) -> Option<usize> {
    match key.parse::<usize>() {
        Ok(index) => (index < list.len()).then_some(index),
        Err(_) => list
            .iter()
            .position(|value| value.get("name").and_then(Value::as_str) == Some(key)),
    }
}

fn element_mut<'a>(list: &'a mut [Value], key: &str) -> Option<&'a mut Value> {
    let index = position(list, key)?;
    list.get_mut(index)
}

/// Where settings reach into the lists of `lower`, writes the index of each element for its name, so that one element
/// has one path.
///
/// # Errors
/// [`NoElement`] for an index or a name that a list does not have.
pub fn address(lower: &Table, upper: &mut Table) -> Result<(), NoElement> {
    fn inside(place: &str, lower: &Table, upper: &mut Table) -> Result<(), NoElement> {
        for (key, value) in upper {
            let path = match place {
                "" => key.clone(),
                place => format!("{place}.{key}"),
            };
            match (lower.get(key), value) {
                (Some(Value::Table(lower)), Value::Table(upper)) => inside(&path, lower, upper)?,
                (Some(Value::Array(list)), Value::Table(upper)) if addresses(list, upper) => {
                    elements(&path, list, upper)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
    fn elements(place: &str, list: &[Value], upper: &mut Table) -> Result<(), NoElement> {
        let mut indexed = Table::new();
        for (key, mut value) in std::mem::take(upper) {
            let found = position(list, &key).and_then(|index| Some((index, list.get(index)?)));
            let (index, lower) = found.ok_or_else(|| absent(place, &key, list))?;
            let path = format!("{place}.{index}");
            match (lower, &mut value) {
                (Value::Table(lower), Value::Table(upper)) => inside(&path, lower, upper)?,
                (Value::Array(list), Value::Table(upper)) if addresses(list, upper) => {
                    elements(&path, list, upper)?;
                }
                _ => {}
            }
            let key = index.to_string();
            match (indexed.get_mut(&key), value) {
                (Some(Value::Table(first)), Value::Table(second)) => merge(first, &second),
                (_, value) => {
                    indexed.insert(key, value);
                }
            }
        }
        *upper = indexed;
        Ok(())
    }
    inside("", lower, upper)
}

fn absent(path: &str, key: &str, list: &[Value]) -> NoElement {
    let text = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
    let label = |(index, value): (usize, &Value)| {
        let ends = || Some(format!("{} → {}", text(value, "from")?, text(value, "to")?));
        match text(value, "name").or_else(ends) {
            Some(name) => format!("{index} ({name})"),
            None => index.to_string(),
        }
    };
    let has = match list {
        [] => "it has none".to_owned(),
        _ if list.iter().all(Value::is_table) => {
            let all: Vec<String> = list.iter().enumerate().map(label).collect();
            format!("it has {}", all.join(", "))
        }
        _ => format!("it has 0 to {}", list.len() - 1),
    };
    NoElement {
        list: path.to_owned(),
        key: key.to_owned(),
        has,
    }
}

/// What a value has under a key: of a table, or of a list by [`position`].
fn child<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Array(list) => list.get(position(list, key)?),
        other => other.get(key),
    }
}

/// The value at a dotted path; `a[0].b` is `a.0.b`.
pub fn lookup<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split(['.', '[', ']']).filter(|key| !key.is_empty());
    let first = table.get(keys.next()?)?;
    keys.try_fold(first, child)
}

/// As [`lookup`], of tables alone.
pub fn lookup_mut<'a>(table: &'a mut Table, path: &str) -> Option<&'a mut Value> {
    let (tables, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut names = tables.split('.').filter(|name| !name.is_empty());
    let table = names.try_fold(table, |table, name| table.get_mut(name)?.as_table_mut())?;
    table.get_mut(key)
}

/// A dotted path with the index of each element for its name, as [`address`] writes them.
pub fn by_index(table: &Table, path: &str) -> String {
    let keys = path.split(['.', '[', ']']).filter(|key| !key.is_empty());
    let mut found: Option<&Value> = None;
    let mut places = Vec::new();
    for (depth, key) in keys.enumerate() {
        let index = match found {
            Some(Value::Array(list)) => position(list, key),
            _ => None,
        };
        found = match depth {
            0 => table.get(key),
            _ => found.and_then(|value| child(value, key)),
        };
        places.push(index.map_or_else(|| key.to_owned(), |index| index.to_string()));
    }
    places.join(".")
}

/// Writes the value at a dotted path, making the tables on the way below the first.
///
/// # Errors
/// The path, where the first of its tables or an element of a list is not there, or a value stands in its way.
pub fn put(table: &mut Table, path: &str, value: Value) -> Result<(), NoPlace> {
    let no_place = || NoPlace {
        path: path.to_owned(),
    };
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut names = parents.split('.').filter(|name| !name.is_empty());
    let Some(first) = names.next() else {
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    let mut parent = table.get_mut(first).ok_or_else(no_place)?;
    for name in names {
        parent = match parent {
            Value::Array(list) => element_mut(list, name).ok_or_else(no_place)?,
            Value::Table(table) => table
                .entry(name)
                .or_insert_with(|| Value::Table(Table::new())),
            _ => return Err(no_place()),
        };
    }
    let parent = parent.as_table_mut().ok_or_else(no_place)?;
    parent.insert(key.to_owned(), value);
    Ok(())
}

/// Takes back what stands at a dotted path over a preset, whose values are defaults; its tables are what it is about, and can be
/// left out.
pub fn take_back(table: &mut Table, path: &str, preset: &Table) {
    let tables = |list: &Vec<Value>| !list.is_empty() && list.iter().all(Value::is_table);
    match lookup(preset, path) {
        Some(own) if own.is_table() || own.as_array().is_some_and(tables) => remove(table, path),
        _ => clear(table, path, preset),
    }
}

/// Takes the value at a dotted path away.
pub fn remove(table: &mut Table, path: &str) {
    if let Some((parent, key)) = parent(table, path) {
        parent.remove(key);
    }
}

/// The table that holds the last key of a dotted path, and that key.
fn parent<'t, 'p>(table: &'t mut Table, path: &'p str) -> Option<(&'t mut Table, &'p str)> {
    let (parents, key) = path
        .rsplit_once('.')
        .map_or((None, path), |(parents, key)| (Some(parents), key));
    let parents = parents
        .into_iter()
        .flat_map(|parents| parents.split('.'))
        .collect::<Vec<_>>();
    let Some((first, rest)) = parents.split_first() else {
        return Some((table, key));
    };
    let parent = rest
        .iter()
        .try_fold(table.get_mut(*first)?, |value, name| match value {
            Value::Array(list) => element_mut(list, name),
            other => other.get_mut(*name),
        });
    Some((parent?.as_table_mut()?, key))
}

/// Puts the default back at a dotted path, or removes what has none.
pub fn clear(table: &mut Table, path: &str, defaults: &Table) {
    let Some((parent, key)) = parent(table, path) else {
        return;
    };
    match lookup(defaults, path) {
        Some(value) => parent.insert(key.to_string(), value.clone()),
        None => parent.remove(key),
    };
}
