//! A configuration as TOML with its help beside it.

use toml::{Table, Value};

use super::Node;

/// Which keys have comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comments {
    /// All: each has its help above it, with what a value may be.
    All,
    /// Those that are unset, each on one line of its own.
    Unset,
}

const WIDTH: usize = 100;

/// An unset table of more keys is named without them.
const MANY: usize = 6;

/// Writes the values of a configuration, which reads back to the same, and as comments the keys that are unset but for
/// those at the paths in `hidden`.
pub fn documented(node: &Node<'_>, values: &Table, comments: Comments, hidden: &[&str]) -> String {
    documented_with(node, values, comments, hidden, &[])
}

/// As [`documented`], with comments in place of values that hold only as long as a file does not name them: of each its path
/// and when it holds.
pub fn documented_with(
    node: &Node<'_>,
    values: &Table,
    comments: Comments,
    hidden: &[&str],
    open: &[(&str, &str)],
) -> String {
    let mut writer = Writer {
        out: String::new(),
        comments,
        hidden,
        open,
    };
    writer.table(&[], "", node, values, "");
    writer.out
}

struct Writer<'a> {
    out: String,
    comments: Comments,
    hidden: &'a [&'a str],
    open: &'a [(&'a str, &'a str)],
}

/// A key of a table with its schema and value, where it has them.
type Entry<'a, 'v> = (String, Option<Node<'a>>, Option<&'v Value>);

impl Writer<'_> {
    /// The keys of a table, below `header`; `prefix` stands before each line, `# ` where the table is unset.
    fn table(
        &mut self,
        path: &[&str],
        header: &str,
        node: &Node<'_>,
        values: &Table,
        prefix: &str,
    ) {
        self.line(prefix, header);
        let (tables, keys): (Vec<_>, Vec<_>) =
            entries(node, values)
                .into_iter()
                .partition(|(_, node, value)| {
                    let one_line = value.is_none() && self.comments == Comments::Unset;
                    !one_line && below(node.as_ref(), *value)
                });
        for (name, node, value) in keys {
            self.key(path, &name, node.as_ref(), value, prefix);
        }
        for (name, node, value) in tables {
            let path = [path, &[name.as_str()]].concat();
            let full = path.iter().copied().map(bare).collect::<Vec<_>>().join(".");
            let node = &node.unwrap_or_else(Node::unknown);
            match value {
                Some(Value::Table(values)) => {
                    self.gap(prefix);
                    self.help(prefix, &node.summary());
                    self.table(&path, &format!("[{full}]"), node, values, prefix);
                }
                Some(Value::Array(list)) => {
                    let items = node.items().unwrap_or_else(|| node.clone());
                    for values in list.iter().filter_map(Value::as_table) {
                        self.gap(prefix);
                        self.table(&path, &format!("[[{full}]]"), &items, values, prefix);
                    }
                }
                _ => self.unset_table(&path, &full, node),
            }
        }
    }

    /// A table that could be set, as a comment.
    fn unset_table(&mut self, path: &[&str], full: &str, node: &Node<'_>) {
        const PREFIX: &str = "# ";
        if self.hidden.contains(&full) {
            return;
        }
        self.gap("");
        if node.properties().len() > MANY {
            let more = format!(
                "{} (unset; `granule config {full}` has its keys)",
                node.summary()
            );
            self.help("", &more);
            return self.line(PREFIX, &format!("[{full}]"));
        }
        self.help("", &format!("{} (unset)", node.summary()));
        match node.items() {
            Some(items) if items.is_table() => {
                let values = defaults(&items);
                self.table(path, &format!("[[{full}]]"), &items, &values, PREFIX);
            }
            _ => self.table(path, &format!("[{full}]"), node, &defaults(node), PREFIX),
        }
    }

    fn key(
        &mut self,
        path: &[&str],
        name: &str,
        node: Option<&Node<'_>>,
        value: Option<&Value>,
        prefix: &str,
    ) {
        let full = [path, &[name]].concat().join(".");
        if value.is_none() && self.hidden.contains(&full.as_str()) {
            return;
        }
        let name = bare(name);
        let open = self.open.iter().find(|(path, _)| *path == full);
        match (node, self.comments, value) {
            (Some(node), Comments::All, value) => {
                let state = match (value, open) {
                    (None, _) => ", unset".to_owned(),
                    (Some(_), Some((_, when))) => format!(", {when}"),
                    (Some(_), None) => String::new(),
                };
                let help = format!("{} ({}{state})", node.summary(), node.describe());
                self.help(prefix, help.trim_start());
                match value {
                    Some(value) if open.is_some() => {
                        self.line(prefix, &format!("# {name} = {value}"));
                    }
                    Some(value) => self.line(prefix, &format!("{name} = {value}")),
                    None => self.line(prefix, &format!("# {name} = {}", placeholder(node))),
                }
            }
            (Some(node), Comments::Unset, None) => {
                let line = format!("# {name} = {}  # {}", example(node), node.summary());
                self.line(prefix, &line);
            }
            (_, _, Some(value)) => self.line(prefix, &format!("{name} = {value}")),
            (None, _, None) => {}
        }
    }

    fn line(&mut self, prefix: &str, text: &str) {
        if !text.is_empty() {
            self.out.push_str(prefix);
            self.out.push_str(text);
            self.out.push('\n');
        }
    }

    fn gap(&mut self, prefix: &str) {
        if !self.out.is_empty() {
            self.out.push_str(prefix.trim_end());
            self.out.push('\n');
        }
    }

    fn help(&mut self, prefix: &str, text: &str) {
        if self.comments == Comments::Unset {
            return;
        }
        let mut line = String::from("#");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(prefix, &line);
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        if line.len() > 1 {
            self.line(prefix, &line);
        }
    }
}

/// Whether an entry stands under a header of its own.
fn below(node: Option<&Node<'_>>, value: Option<&Value>) -> bool {
    let is_table = node.is_none_or(Node::is_table);
    let is_list = node.is_none_or(Node::is_list_of_tables);
    match value {
        Some(Value::Table(_)) => is_table,
        Some(Value::Array(list)) => is_list && !list.is_empty() && list.iter().all(Value::is_table),
        Some(_) => false,
        None => node.is_some_and(|node| node.is_table() || node.is_list_of_tables()),
    }
}

/// The keys of a table of these values, and of the kind that they name.
fn entries<'a, 'v>(node: &Node<'a>, values: &'v Table) -> Vec<Entry<'a, 'v>> {
    let mut known = Vec::new();
    match node.tagged() {
        Some(tagged) => {
            let word = values.get(&tagged.tag).and_then(Value::as_str);
            known.push((tagged.tag.clone(), node.of_tag(&tagged)));
            let kind = tagged
                .kinds
                .iter()
                .find(|(kind, _)| Some(kind.as_str()) == word);
            let of_kind = kind.into_iter().flat_map(|(_, inner)| inner.properties());
            known.extend(of_kind.filter(|(name, _)| *name != tagged.tag));
        }
        None => known.extend(node.properties()),
    }
    let others = values
        .keys()
        .filter(|name| known.iter().all(|(own, _)| own != *name));
    let others: Vec<String> = others.cloned().collect();
    let known = known.into_iter().map(|(name, node)| (name, Some(node)));
    let all = known.chain(others.into_iter().map(|name| (name, None)));
    all.map(|(name, node)| {
        let value = values.get(&name);
        (name, node, value)
    })
    .collect()
}

/// The defaults of a table's keys.
fn defaults(node: &Node<'_>) -> Table {
    let own = node.default().and_then(|value| Value::try_from(value).ok());
    if let Some(Value::Table(own)) = own {
        return own;
    }
    let each = node.properties().into_iter();
    each.filter_map(|(name, node)| Some((name, Value::try_from(node.default()?).ok()?)))
        .collect()
}

/// What stands in the place of a value where there is none.
fn placeholder(node: &Node<'_>) -> String {
    match node.choices().first() {
        Some((word, None)) => format!("\"{word}\""),
        _ => format!("<{}>", node.form()),
    }
}

/// What could stand for an unset key, on one line.
fn example(node: &Node<'_>) -> String {
    if let Some(tagged) = node.tagged() {
        let kinds: Vec<&str> = tagged.kinds.iter().map(|(kind, _)| kind.as_str()).collect();
        return format!("{{ {} = <one of {}> }}", tagged.tag, kinds.join(", "));
    }
    let properties = node.properties();
    if properties.is_empty() || !node.choices().is_empty() {
        return format!("<{}>", node.describe());
    }
    let inner = properties.iter().map(|(name, node)| {
        let value = node.default().and_then(|value| Value::try_from(value).ok());
        let value = value.map_or_else(|| format!("<{}>", node.form()), |value| value.to_string());
        format!("{} = {value}", bare(name))
    });
    format!("{{ {} }}", inner.collect::<Vec<_>>().join(", "))
}

/// A key as TOML writes it.
fn bare(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}
