//! What is wrong with the form of a configuration: the first key that does not exist, is missing or holds something else.

use std::fmt;

use toml::{Table, Value};

use super::key::join;
use super::{Node, Tagged};

/// A place at which a configuration is not what its schema says. Ranges of numbers are left to the configuration itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The dotted path of the key; elements of lists by their index.
    pub path: String,
    /// What is wrong there.
    pub wrong: Wrong,
}

/// What can be wrong with the form of a configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Wrong {
    /// There is no such key.
    Unknown {
        /// The keys that the table has.
        keys: Vec<String>,
        /// What the table is, where its keys depend on that.
        kind: Option<Kind>,
    },
    /// A key that the table needs is missing.
    Missing {
        /// What it may be, where it is one of a few words.
        choices: Vec<String>,
    },
    /// A word is not one of those that it may be.
    Choice {
        /// The word found.
        found: String,
        /// The words allowed.
        choices: Vec<String>,
    },
    /// A value is of another type.
    Type {
        /// What it must be, as `a whole number, 1 or more`.
        expected: String,
        /// The key of the table expected that says what it is, where a word may have been meant for that.
        tag: Option<String>,
        /// The words that it may be, if any.
        choices: Vec<String>,
    },
}

/// The kind of a table, and where else a key is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// The path of the key that says it.
    pub tag: String,
    /// What that is.
    pub word: String,
    /// The kinds that have the key in question.
    pub others: Vec<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.wrong {
            Wrong::Unknown { keys, kind } => {
                match kind {
                    Some(kind) => write!(f, "`{path}` is no key of {}", kind.word)?,
                    None => write!(f, "unknown key `{path}`")?,
                }
                listed(f, "the keys are", keys)
            }
            Wrong::Missing { choices } => {
                write!(f, "`{path}` is missing")?;
                listed(f, "the choices are", choices)
            }
            Wrong::Choice { found, choices } => {
                write!(f, "`{path}` has no choice `{found}`")?;
                listed(f, "the choices are", choices)
            }
            Wrong::Type {
                expected, choices, ..
            } => {
                write!(f, "`{path}` must be {expected}")?;
                let told = expected.starts_with("one of");
                listed(f, "the choices are", if told { &[] } else { choices })
            }
        }
    }
}

fn listed(f: &mut fmt::Formatter<'_>, what: &str, names: &[String]) -> fmt::Result {
    match names {
        [] => Ok(()),
        names => write!(f, "; {what} {}", names.join(", ")),
    }
}

/// The first fault of a table.
pub(super) fn first(node: &Node<'_>, table: &Table) -> Option<Fault> {
    of_table(node, table, "", None)
}

fn fault(path: impl Into<String>, wrong: Wrong) -> Option<Fault> {
    let path = path.into();
    Some(Fault { path, wrong })
}

fn of(node: &Node<'_>, value: &Value, path: &str) -> Option<Fault> {
    if let Some(whole) = node.again() {
        return of(&whole, value, path);
    }
    if let Some(tagged) = node.tagged() {
        return match value {
            Value::Table(table) => of_tagged(&tagged, table, path),
            _ => other_type(node, path, Some(join(path, &tagged.tag))),
        };
    }
    if node.is_open() {
        return of_options(node, value, path);
    }
    match value {
        Value::Table(table) if node.is("object") => of_table(node, table, path, None),
        Value::Array(list) if node.is("array") => of_list(node, list, path),
        value if node.holds(value) => None,
        Value::String(word) if !node.words().is_empty() => other_word(node, word, path),
        _ => other_type(node, path, None),
    }
}

/// Of a table, which is `word` where it is one of several kinds.
fn of_table(
    node: &Node<'_>,
    table: &Table,
    path: &str,
    kind: Option<(&Tagged<'_>, &str)>,
) -> Option<Fault> {
    let properties = node.properties();
    let is_tag = |key: &str| kind.is_some_and(|(tagged, _)| tagged.tag == key);
    for (key, value) in table {
        let below = join(path, key);
        let known = properties
            .iter()
            .find(|(name, node)| name == key || node.aliases().contains(key));
        let inner = known
            .map(|(_, inner)| inner.clone())
            .or_else(|| node.named());
        match inner {
            Some(_) if is_tag(key) => {}
            Some(inner) => {
                if let Some(found) = of(&inner, value, &below) {
                    return Some(found);
                }
            }
            None if node.is_closed() => {
                let keys = properties.iter().map(|(name, _)| name.clone());
                let keys = keys.collect();
                let kind = kind.map(|(tagged, word)| tagged.without(key, word, path));
                return fault(below, Wrong::Unknown { keys, kind });
            }
            None => {}
        }
    }
    let missing = |name: &&String| {
        let aliases = properties
            .iter()
            .find(|(key, _)| key == *name)
            .map(|(_, node)| node.aliases());
        let given = |alias: &String| table.contains_key(alias);
        !table.contains_key(*name) && !aliases.unwrap_or_default().iter().any(given)
    };
    let required = node.required();
    let name = required.iter().find(missing)?;
    let choices = match properties.iter().find(|(key, _)| key == name) {
        Some((_, inner)) => inner.words(),
        None => Vec::new(),
    };
    fault(join(path, name), Wrong::Missing { choices })
}

fn of_tagged(tagged: &Tagged<'_>, table: &Table, path: &str) -> Option<Fault> {
    let tag = join(path, &tagged.tag);
    let words = || tagged.kinds.iter().map(|(word, _)| word.clone()).collect();
    let word = match table.get(&tagged.tag) {
        None => return without_tag(tagged, table, path),
        Some(Value::String(word)) => word,
        Some(_) => {
            let wrong = Wrong::Type {
                expected: "a text".into(),
                tag: None,
                choices: words(),
            };
            return fault(tag, wrong);
        }
    };
    let of_kind =
        |(kind, node): &&(String, Node<'_>)| kind == word || node.aliases().contains(word);
    let Some((_, node)) = tagged.kinds.iter().find(of_kind) else {
        let (found, choices) = (word.clone(), words());
        return fault(tag, Wrong::Choice { found, choices });
    };
    of_table(node, table, path, Some((tagged, word)))
}

/// The fault of a table that does not say of which kind it is: a key that no kind has, or else that, with the kinds that
/// have all of its keys.
fn without_tag(tagged: &Tagged<'_>, table: &Table, path: &str) -> Option<Fault> {
    let has = |node: &Node<'_>, key: &String| {
        let properties = node.properties();
        let mut known = properties.iter();
        !node.is_closed() || known.any(|(name, node)| name == key || node.aliases().contains(key))
    };
    let kinds = || tagged.kinds.iter();
    let is_unknown = |key: &&String| !kinds().any(|(_, node)| has(node, key));
    if let Some(key) = table.keys().find(is_unknown) {
        let mut keys: Vec<String> = Vec::new();
        for (name, _) in kinds().flat_map(|(_, node)| node.properties()) {
            if !keys.contains(&name) {
                keys.push(name);
            }
        }
        let kind = None;
        return fault(join(path, key), Wrong::Unknown { keys, kind });
    }
    let fit = kinds().filter(|(_, node)| table.keys().all(|key| has(node, key)));
    let mut choices: Vec<String> = fit.map(|(word, _)| word.clone()).collect();
    if choices.is_empty() {
        choices = kinds().map(|(word, _)| word.clone()).collect();
    }
    fault(join(path, &tagged.tag), Wrong::Missing { choices })
}

impl Tagged<'_> {
    /// The kind `word`, which has no such key, beside those that have it.
    fn without(&self, key: &str, word: &str, path: &str) -> Kind {
        let has = |node: &Node<'_>| node.properties().iter().any(|(name, _)| name == key);
        let others = self.kinds.iter().filter(|(_, node)| has(node));
        Kind {
            tag: join(path, &self.tag),
            word: word.to_owned(),
            others: others.map(|(word, _)| word.clone()).collect(),
        }
    }
}

/// Of a value that may be of several forms, the fault in the only one that it can be meant for.
fn of_options(node: &Node<'_>, value: &Value, path: &str) -> Option<Fault> {
    let options = node.options();
    let mut faults = Vec::new();
    for option in options {
        faults.push((of(&option, value, path)?, option));
    }
    let mut likely = faults
        .into_iter()
        .filter(|(_, option)| option.is_for(value));
    if let (Some((only, _)), None) = (likely.next(), likely.next()) {
        let is_whole = only.path == path && matches!(only.wrong, Wrong::Type { .. });
        // What is no list of two may be a number as well.
        return if is_whole {
            other_type(node, path, None)
        } else {
            Some(only)
        };
    }
    let choices = node.words();
    let word = match value {
        Value::String(word) => Some(word),
        Value::Table(table) => table.keys().next().filter(|_| table.len() == 1),
        _ => None,
    };
    match word {
        Some(word) if !choices.is_empty() && !choices.contains(word) => {
            other_word(node, word, path)
        }
        _ => other_type(node, path, None),
    }
}

fn of_list(node: &Node<'_>, list: &[Value], path: &str) -> Option<Fault> {
    let (least, most) = node.lengths();
    if list.len() < least || most.is_some_and(|most| list.len() > most) {
        return other_type(node, path, None);
    }
    let items = node.items()?;
    let mut all = list.iter().enumerate();
    all.find_map(|(index, value)| of(&items, value, &join(path, &index.to_string())))
}

fn other_word(node: &Node<'_>, word: &str, path: &str) -> Option<Fault> {
    let (found, choices) = (word.to_owned(), node.words());
    fault(path, Wrong::Choice { found, choices })
}

fn other_type(node: &Node<'_>, path: &str, tag: Option<String>) -> Option<Fault> {
    let choices = match node.tagged() {
        Some(tagged) => tagged.kinds.into_iter().map(|(word, _)| word).collect(),
        None => node.words(),
    };
    let wrong = Wrong::Type {
        expected: node.expected(),
        tag,
        choices,
    };
    fault(path, wrong)
}

impl Node<'_> {
    fn names(&self, list: &str) -> Vec<String> {
        let list = self.get(list).and_then(serde_json::Value::as_array);
        let names = list.into_iter().flatten().filter_map(|name| name.as_str());
        names.map(str::to_owned).collect()
    }

    fn required(&self) -> Vec<String> {
        self.names("required")
    }

    /// Other names under which it is read.
    fn aliases(&self) -> Vec<String> {
        self.names("aliases")
    }

    /// Whether a table may have no keys but those it has.
    fn is_closed(&self) -> bool {
        let more = self.get("additionalProperties");
        more.and_then(serde_json::Value::as_bool) == Some(false)
    }

    /// Whether it is one of several forms.
    fn is_open(&self) -> bool {
        self.get("type").is_none() && !self.options().is_empty()
    }

    /// Whether a table or a list is written as this one is.
    fn is_for(&self, value: &Value) -> bool {
        if self.is_open() && self.tagged().is_none() {
            return self.options().iter().any(|option| option.is_for(value));
        }
        let table = match value {
            Value::Table(table) => table,
            Value::Array(_) => return self.is("array"),
            _ => return false,
        };
        let properties = self.properties();
        // What stands for a file has its keys, what is a choice the name of that.
        let names_itself = self.get("form").is_some() || properties.len() == 1;
        let has_one = properties.iter().any(|(name, _)| table.contains_key(name));
        self.is_table() && (has_one || !names_itself)
    }

    fn words(&self) -> Vec<String> {
        self.choices().into_iter().map(|(word, _)| word).collect()
    }

    fn lengths(&self) -> (usize, Option<usize>) {
        let length = |name| {
            let found = self.get(name).and_then(serde_json::Value::as_u64);
            found.and_then(|found| usize::try_from(found).ok())
        };
        (length("minItems").unwrap_or(0), length("maxItems"))
    }

    /// Whether a value that is neither a table nor a list is one of these.
    fn holds(&self, value: &Value) -> bool {
        let of_type = match value {
            Value::Integer(n) if self.is("integer") => self.fits(*n),
            Value::Integer(_) | Value::Float(_) => self.is("number"),
            Value::Boolean(_) => self.is("boolean"),
            Value::String(word) => {
                let words = self.names("enum");
                let only = self.get("const").and_then(|word| word.as_str());
                let known =
                    words.is_empty() || words.contains(word) || self.aliases().contains(word);
                return known
                    && only.is_none_or(|only| only == word || self.aliases().contains(word))
                    && (self.is("string") || only.is_some() || !words.is_empty());
            }
            _ => false,
        };
        // A schema without a type takes everything.
        of_type || (self.get("type").is_none() && !self.is_word())
    }

    /// Whether a whole number is one of the type that reads it.
    fn fits(&self, n: i64) -> bool {
        match self.largest() {
            Some(most) => u64::try_from(n).is_ok_and(|n| n <= most),
            None => true,
        }
    }

    /// The largest whole number of the type that reads it, where that has no numbers below 0.
    fn largest(&self) -> Option<u64> {
        match self.get("format")?.as_str()? {
            "uint8" => Some(u8::MAX.into()),
            "uint16" => Some(u16::MAX.into()),
            "uint32" => Some(u32::MAX.into()),
            "uint" | "uint64" => Some(u64::MAX),
            _ => None,
        }
    }

    /// What a value must be, with an article and, where it is a number, its range.
    fn expected(&self) -> String {
        match self.forms().as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            [first @ .., last] => {
                let has_parts = first.iter().any(|form| form.contains(", "));
                let or = if has_parts { ", or" } else { " or" };
                format!("{}{or} {last}", first.join(", "))
            }
        }
    }

    /// The forms that a value may have, words first.
    fn forms(&self) -> Vec<String> {
        if self.tagged().is_some() {
            return vec!["a table".into()];
        }
        let words = self.words();
        let mut all = match words.as_slice() {
            [] => Vec::new(),
            [only] => vec![format!("`{only}`")],
            _ => vec![format!("one of {}", self.written_choices().join(", "))],
        };
        if self.is_open() {
            let plain = self.options().into_iter().filter(|option| {
                // What the words above stand for.
                !option.is_word() && (words.is_empty() || option.choices().is_empty())
            });
            let is_choice = |option: &Self| matches!(option.properties().as_slice(), [(name, _)] if words.contains(name));
            all.extend(
                plain
                    .filter(|option| !is_choice(option))
                    .flat_map(|option| option.forms()),
            );
            all.dedup();
            return all;
        }
        if all.is_empty() {
            all.push(match self.range().or_else(|| self.range_of_type()) {
                _ if self.is("object") && self.get("form").is_none() => "a table".into(),
                Some(range) => format!("{}, {range}", with_article(&self.form())),
                None => with_article(&self.form()),
            });
        }
        all
    }

    fn range_of_type(&self) -> Option<String> {
        let most = self.largest()?;
        Some(if most < u64::MAX {
            format!("0 to {most}")
        } else {
            "0 or more".into()
        })
    }
}

fn with_article(form: &str) -> String {
    match form.split(' ').next() {
        Some("number" | "whole" | "text" | "list" | "matrix" | "table") => format!("a {form}"),
        _ => form.to_owned(),
    }
}
