//! One place in a schema.

use serde_json::{Map, Value};

use super::unit::{OF_TABLE, first_sentence};

/// The end of a range, and whether it is allowed itself.
type Limit = (f64, bool);

/// A key or a table of a configuration, with all that its schema says.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    root: &'a Value,
    fields: Map<String, Value>,
    optional: bool,
}

/// A table whose keys depend on a word in it.
#[derive(Debug, Clone)]
pub struct Tagged<'a> {
    /// The key of the word, such as `kind`.
    pub tag: String,
    /// The words, each with the table that it asks for.
    pub kinds: Vec<(String, Node<'a>)>,
}

impl<'a> Node<'a> {
    /// The schema `value` inside `root`, with what it refers to.
    pub(super) fn new(root: &'a Value, value: &Value) -> Self {
        let mut node = Self {
            root,
            fields: value.as_object().cloned().unwrap_or_default(),
            optional: false,
        };
        node.resolve();
        node
    }

    /// Of a key that the schema does not know.
    pub(super) fn unknown() -> Self {
        Self::new(&Value::Null, &Value::Null)
    }

    /// Puts the definition in the place of a reference (keywords beside the reference win), and marks a schema that allows `null`
    /// as optional.
    fn resolve(&mut self) {
        loop {
            if let Some(Value::String(place)) = self.fields.remove("$ref") {
                let target = place
                    .strip_prefix('#')
                    .and_then(|place| self.root.pointer(place));
                self.below(target.cloned());
                continue;
            }
            let Some(Value::Array(options)) = self.fields.get("anyOf") else {
                break;
            };
            let is_null = |option: &&Value| option.get("type").is_some_and(|name| name == "null");
            if !options.iter().any(|option| is_null(&option)) {
                break;
            }
            let others: Vec<Value> = options.iter().filter(|o| !is_null(o)).cloned().collect();
            self.optional = true;
            self.fields.remove("anyOf");
            match <[Value; 1]>::try_from(others) {
                Ok([only]) => self.below(Some(only)),
                Err(others) => {
                    self.fields.insert("anyOf".into(), others.into());
                }
            }
        }
        if let Some(Value::Array(types)) = self.fields.get_mut("type") {
            let all = types.len();
            types.retain(|name| name != "null");
            self.optional |= types.len() < all;
            if let [only] = types.as_slice() {
                let only = only.clone();
                self.fields.insert("type".into(), only);
            }
        }
    }

    fn below(&mut self, target: Option<Value>) {
        let Some(Value::Object(target)) = target else {
            return;
        };
        for (name, value) in target {
            match (self.fields.get_mut(&name), value) {
                (Some(Value::Object(own)), Value::Object(lower)) if name == "properties" => {
                    for (key, value) in lower {
                        own.entry(key).or_insert(value);
                    }
                }
                (Some(_), _) => {}
                (None, value) => {
                    self.fields.insert(name, value);
                }
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    fn node(&self, value: &Value) -> Self {
        Self::new(self.root, value)
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.get("type").is_some_and(|found| found == name)
    }

    /// Whether the key may be left out without standing for a default.
    pub fn optional(&self) -> bool {
        self.optional
    }

    /// What the key means, in one paragraph.
    pub fn help(&self) -> String {
        let text = self.get("description").and_then(Value::as_str);
        let paragraph = text.and_then(|text| text.split("\n\n").next());
        plain(paragraph.unwrap_or_default())
    }

    /// The first sentence of the [`help`](Self::help).
    pub fn summary(&self) -> String {
        first_sentence(&self.help()).to_owned()
    }

    /// The value that stands for the absent key.
    pub fn default(&self) -> Option<&Value> {
        self.get("default").filter(|value| !value.is_null())
    }

    /// The unit of a number.
    pub fn unit(&self) -> Option<&str> {
        self.get("unit")?.as_str().filter(|unit| *unit != OF_TABLE)
    }

    /// The same key in a table of this unit, where its own goes by that.
    pub(super) fn in_table_of(&self, unit: Option<&str>) -> Option<Self> {
        self.get("unit").filter(|unit| *unit == OF_TABLE)?;
        let mut node = self.clone();
        match unit {
            Some(unit) => node.fields.insert("unit".to_owned(), unit.into()),
            None => node.fields.remove("unit"),
        };
        Some(node)
    }

    /// What each of its words means, of the key that says of which kind a table is: the word and its help.
    pub fn meanings(&self) -> Vec<(String, String)> {
        let all = self.get("meanings").and_then(Value::as_object);
        let all = all.into_iter().flatten();
        all.filter_map(|(word, help)| Some((word.clone(), help.as_str()?.to_owned())))
            .collect()
    }

    /// The smallest and the largest number that is allowed, each with whether it is allowed itself.
    pub fn limits(&self) -> (Option<Limit>, Option<Limit>) {
        let number = |name| self.get(name).and_then(Value::as_f64);
        let end = |closed, open| {
            let open = number(open).map(|limit| (limit, false));
            open.or(number(closed).map(|limit| (limit, true)))
        };
        let own = (
            end("minimum", "exclusiveMinimum"),
            end("maximum", "exclusiveMaximum"),
        );
        match (own, self.items()) {
            ((None, None), Some(items)) => items.limits(),
            ((low, high), _) => {
                // One number, or a list of them.
                let options = self.options();
                let inner = options.iter().map(Self::limits);
                let inner = inner.fold((None, None), |all, next| {
                    (all.0.or(next.0), all.1.or(next.1))
                });
                (low.or(inner.0), high.or(inner.1))
            }
        }
    }

    /// The numbers that are allowed, in words.
    pub fn range(&self) -> Option<String> {
        let (low, high) = self.limits();
        // The largest whole number of TOML is no limit that anyone meets.
        Self::words_of(low, high.filter(|(high, _)| *high < 1e18))
    }

    fn words_of(low: Option<(f64, bool)>, high: Option<(f64, bool)>) -> Option<String> {
        Some(match (low, high) {
            (None, None) => return None,
            (Some((low, true)), None) => format!("{low} or more"),
            (Some((low, false)), None) => format!("above {low}"),
            (None, Some((high, true))) => format!("at most {high}"),
            (None, Some((high, false))) => format!("below {high}"),
            (Some((low, true)), Some((high, true))) => format!("{low} to {high}"),
            (Some((low, true)), Some((high, false))) => format!("{low} to below {high}"),
            (Some((low, false)), Some((high, true))) => format!("above {low} to {high}"),
            (Some((low, false)), Some((high, false))) => format!("above {low} to below {high}"),
        })
    }

    pub(super) fn options(&self) -> Vec<Self> {
        let list = self.get("oneOf").or(self.get("anyOf"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.map(|value| self.node(value)).collect()
    }

    /// The keys of a table that has the same ones always.
    pub fn properties(&self) -> Vec<(String, Self)> {
        let found = self.get("properties").and_then(Value::as_object);
        let found = found.into_iter().flatten();
        found
            .map(|(name, value)| (name.clone(), self.node(value)))
            .collect()
    }

    fn property(&self, name: &str) -> Option<Self> {
        let value = self.get("properties")?.get(name)?;
        Some(self.node(value))
    }

    /// A table whose keys depend on a word in it.
    pub fn tagged(&self) -> Option<Tagged<'a>> {
        let options = self.options();
        let tag = options
            .first()?
            .properties()
            .into_iter()
            .find_map(|(name, node)| node.get("const").is_some().then_some(name))?;
        let kinds = options
            .into_iter()
            .map(|option| {
                let word = option.property(&tag)?.get("const")?.as_str()?.to_owned();
                Some((word, option))
            })
            .collect::<Option<_>>()?;
        Some(Tagged { tag, kinds })
    }

    /// The key that says which kind a table is of, as a choice among the kinds.
    pub(super) fn of_tag(&self, tagged: &Tagged<'_>) -> Self {
        let words: Vec<Value> = tagged
            .kinds
            .iter()
            .map(|(kind, _)| kind.as_str().into())
            .collect();
        let default = self
            .default()
            .and_then(|value| value.get(&tagged.tag))
            .cloned();
        let meanings = tagged.kinds.iter().filter_map(|(kind, node)| {
            let help = node.help();
            (!help.is_empty()).then(|| (kind.clone(), help.into()))
        });
        let fields = [
            ("type", Some("string".into())),
            ("words", Some(words.into())),
            ("meanings", Some(Value::Object(meanings.collect()))),
            ("description", self.get("description").cloned()),
            ("default", default),
        ];
        let given = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self {
            root: self.root,
            fields: given.collect(),
            optional: self.optional,
        }
    }

    /// With the help of another where it has none.
    pub(super) fn helped_by(mut self, other: &Self) -> Self {
        if let Some(help) = other.get("description") {
            self.fields.insert("description".into(), help.clone());
        }
        self
    }

    /// What may be chosen, as a word or as a table of one key, `{ choice = … }`.
    pub fn choices(&self) -> Vec<(String, Option<Self>)> {
        if self.tagged().is_some() {
            return Vec::new();
        }
        let words = self.get("words").or(self.get("enum"));
        if let Some(words) = words.and_then(Value::as_array) {
            let words = words.iter().filter_map(Value::as_str);
            return words.map(|word| (word.to_owned(), None)).collect();
        }
        let mut all = Vec::new();
        for option in self.options() {
            let words = option.get("enum").and_then(Value::as_array);
            let words = words.into_iter().flatten().chain(option.get("const"));
            all.extend(
                words
                    .filter_map(Value::as_str)
                    .map(|word| (word.to_owned(), None)),
            );
            if let [(name, inner)] = option.properties().as_slice() {
                all.push((name.clone(), Some(inner.clone())));
            }
        }
        all
    }

    /// The choices as they are written: a word, or a table of one key.
    pub(super) fn written_choices(&self) -> Vec<String> {
        let written = |(name, inner): (String, Option<Self>)| match inner {
            None => name,
            Some(inner) => format!("{{ {name} = {} }}", inner.brief()),
        };
        self.choices().into_iter().map(written).collect()
    }

    /// The tables among what a value may be, beside numbers or words; those that stand for a file aside.
    pub fn tables(&self) -> Vec<Self> {
        if self.tagged().is_some() {
            return Vec::new();
        }
        let of_option = |option: Self| {
            if option.get("form").is_some() {
                Vec::new()
            } else if option.properties().len() > 1 {
                vec![option]
            } else {
                option.tables()
            }
        };
        self.options().into_iter().flat_map(of_option).collect()
    }

    /// The element of a list.
    pub fn items(&self) -> Option<Self> {
        self.get("items").map(|items| self.node(items))
    }

    /// What stands under names that the user gives.
    pub fn named(&self) -> Option<Self> {
        let found = self.get("additionalProperties")?;
        found.is_object().then(|| self.node(found))
    }

    pub(super) fn is_word(&self) -> bool {
        self.get("const").is_some() || self.get("enum").is_some()
    }

    /// The table around, where this is one of the same again, which a list of all keys does not go into.
    pub(super) fn again(&self) -> Option<Self> {
        let place = self.get("within")?.as_str()?;
        let whole = self.root.pointer(place.strip_prefix('#')?)?;
        Some(self.node(whole))
    }

    /// Whether there are keys below.
    pub fn is_table(&self) -> bool {
        !self.properties().is_empty() || self.tagged().is_some()
    }

    /// Whether it is a list of tables.
    pub fn is_list_of_tables(&self) -> bool {
        self.items().is_some_and(|items| items.is_table())
    }

    /// What a value is, in words: `number`, `whole number`, `one of abs, relu, softplus`, ….
    pub fn form(&self) -> String {
        if let Some(form) = self.get("form").and_then(Value::as_str) {
            return form.to_owned();
        }
        if let Some(tagged) = self.tagged() {
            let kinds: Vec<&str> = tagged.kinds.iter().map(|(kind, _)| kind.as_str()).collect();
            return format!("table, {} one of {}", tagged.tag, kinds.join(", "));
        }
        let choices = self.choices();
        if !choices.is_empty() {
            let mut all = self.written_choices();
            if self.get("words").is_none() {
                let options = self.options().into_iter();
                let plain = options.filter(|o| o.choices().is_empty() && !o.is_word());
                let others = plain.filter(|option| option.properties().is_empty());
                all.extend(others.map(|option| option.form()));
            }
            return match all.as_slice() {
                [only] => only.clone(),
                all => format!("one of {}", all.join(", ")),
            };
        }
        if let Some(word) = self.get("const").and_then(Value::as_str) {
            return format!("\"{word}\"");
        }
        match self.get("type").and_then(Value::as_str) {
            Some("integer") => "whole number".into(),
            Some("number") => "number".into(),
            Some("boolean") => "true or false".into(),
            Some("string") => "text".into(),
            Some("array") => match self.items() {
                Some(items) if items.is("array") => {
                    format!(
                        "matrix of {}",
                        plural(&items.items().map_or_else(String::new, |i| i.form()))
                    )
                }
                Some(items) if items.is_table() => "list of tables".into(),
                Some(items) => {
                    let count = self.get("minItems").and_then(Value::as_u64);
                    let fixed = count.filter(|_| self.get("minItems") == self.get("maxItems"));
                    let of = plural(&items.form());
                    fixed.map_or_else(|| format!("list of {of}"), |n| format!("list of {n} {of}"))
                }
                None => match self
                    .get("prefixItems")
                    .and_then(Value::as_array)
                    .map(Vec::as_slice)
                {
                    Some(all @ [first, ..]) => {
                        format!("list of {} {}", all.len(), plural(&self.node(first).form()))
                    }
                    _ => "list".into(),
                },
            },
            Some("object") => match self.properties().as_slice() {
                [] => "table".into(),
                all => {
                    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
                    format!("{{ {} }}", names.join(", "))
                }
            },
            _ => {
                let options: Vec<String> = self.options().iter().map(Self::form).collect();
                options.join(" or ")
            }
        }
    }

    /// The form within that of another key.
    fn brief(&self) -> String {
        let properties = self.properties();
        if properties.is_empty() {
            return self.form();
        }
        let all = properties
            .iter()
            .map(|(name, node)| format!("{name} = {}", node.brief()));
        format!("{{ {} }}", all.collect::<Vec<_>>().join(", "))
    }

    /// Form, range and unit, in this order.
    pub fn describe(&self) -> String {
        let parts = [
            Some(self.form()),
            self.range(),
            self.unit().map(str::to_owned),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        parts.join(", ")
    }
}

fn plural(form: &str) -> String {
    match form {
        "text" => "texts".into(),
        "number" | "whole number" => format!("{form}s"),
        other => other.to_owned(),
    }
}

/// A doc comment without its links and line breaks.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('[') {
        let (before, link) = rest.split_at(start);
        out.push_str(before);
        let end = link.find(']').unwrap_or(0);
        let inside = link.get(1..end).unwrap_or_default();
        let after = link.get(end + 1..).unwrap_or_default();
        let target = after.strip_prefix('(').and_then(|after| after.find(')'));
        match target {
            Some(target) => {
                out.push_str(inside);
                rest = after.get(target + 2..).unwrap_or_default();
            }
            None if inside.starts_with('`') && inside.ends_with('`') && !before.ends_with('`') => {
                out.push_str(inside);
                rest = after;
            }
            None => {
                out.push('[');
                rest = link.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}
