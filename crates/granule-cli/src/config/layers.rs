//! Tables of settings, one over the other.

use std::fmt;
use std::path::PathBuf;

use toml::{Table, Value};

use super::files::{Inlined, Unread};
use crate::failure::Usage;
use granule::io::table::NoElement;
pub use granule::io::table::{
    by_index, clear, is_within, lookup, merge, put, remove, rename, take_back,
};

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    Preset(&'static str),
    Flags,
    Set,
    Sweep,
    /// Of an analysis.
    With,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Preset(name) => write!(f, "in the preset {name}"),
            Self::Flags => f.write_str("from the flags"),
            Self::Set => f.write_str("in --set"),
            Self::Sweep => f.write_str("in --sweep"),
            Self::With => f.write_str("in --with"),
        }
    }
}

impl Origin {
    /// The flag that is followed by a key and its value.
    fn flag(&self) -> &'static str {
        match self {
            Self::Sweep => "--sweep",
            Self::With => "--with",
            _ => "--set",
        }
    }
}

/// Settings of one origin.
#[derive(Clone, Debug)]
pub struct Layer {
    pub origin: Origin,
    pub table: Table,
    /// Paths that go back to their default.
    pub cleared: Vec<String>,
    /// Settings whose numbers are from files.
    pub files: Vec<Inlined>,
    /// Settings whose files could not be read.
    pub unread: Vec<Unread>,
}

impl Layer {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            table: Table::new(),
            cleared: Vec::new(),
            files: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// The settings of a preset.
    pub fn preset(name: &'static str, toml: &str) -> anyhow::Result<Self> {
        let mut layer = Self::new(Origin::Preset(name));
        layer.table = toml.parse()?;
        Ok(layer)
    }

    /// Whether it is a file or a preset, not of the command line.
    pub fn is_of_file(&self) -> bool {
        matches!(self.origin, Origin::File(_) | Origin::Preset(_))
    }

    /// Sets the value at a dotted path, making the tables on the way.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> Result<(), Usage> {
        let mut table = &mut self.table;
        let (parents, key) = path
            .rsplit_once('.')
            .map_or((None, path), |(parents, key)| (Some(parents), key));
        for name in parents.into_iter().flat_map(|parents| parents.split('.')) {
            let entry = table
                .entry(name)
                .or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().ok_or_else(|| {
                Usage::new(format!(
                    "`{path}`: `{name}` is a value, not a table ({})",
                    self.origin
                ))
            })?;
        }
        table.insert(key.to_string(), value.into());
        Ok(())
    }

    /// The file that the numbers at a path, or around it, are from.
    pub fn file(&self, path: &str) -> Option<&Inlined> {
        self.files.iter().find(|file| {
            let rest = path.strip_prefix(file.path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// The kind this layer names for a table, as in `optimizer.kind`.
    pub fn kind(&self, table: &str) -> Option<&str> {
        lookup(&self.table, table)?.get("kind")?.as_str()
    }
}

/// Reads one `KEY.PATH=VALUE` into a layer: the value as TOML, a bare word as a string, nothing as
/// "back to the default".
pub fn read_set(layer: &mut Layer, text: &str) -> Result<(), Usage> {
    let flag = layer.origin.flag();
    let form = || {
        Usage::new(format!("`{flag} {text}` is not of the form KEY.PATH=VALUE")).hint(format!(
            "for example {flag} optimizer.lr=0.01 or {flag} model.widths=[256,128]"
        ))
    };
    let (path, value) = text.split_once('=').ok_or_else(form)?;
    let (path, value) = (path.trim(), value.trim());
    if path.split('.').any(|key| key.trim().is_empty()) {
        return Err(form());
    }
    // The last one counts.
    layer.cleared.retain(|cleared| cleared != path);
    if value.is_empty() {
        remove(&mut layer.table, path);
        layer.cleared.push(path.to_string());
        return Ok(());
    }
    let several = || {
        let text = text.replace('\n', "\\n");
        Usage::new(format!(
            "`{flag} {text}` is more than one line, and has one value only"
        ))
        .hint("give each setting a --set of its own, or a file of settings in its place")
    };
    let parsed = match format!("value = {value}").parse::<Table>() {
        Ok(mut table) => {
            let value = table.remove("value");
            if !table.is_empty() {
                return Err(several());
            }
            value
        }
        Err(_) if is_beyond_integers(value) => {
            return Err(Usage::new(format!(
                "`{flag} {text}`: whole numbers go from {} to {}",
                i64::MIN,
                i64::MAX
            )));
        }
        Err(_) if value.contains(['\n', '\r']) && !value.starts_with(['[', '{', '"', '\'']) => {
            return Err(several());
        }
        Err(_) => None,
    };
    match parsed {
        Some(Value::Datetime(_)) | None if value.starts_with(['[', '{', '"', '\'']) => Err(
            Usage::new(format!("the value of `{flag} {text}` is not valid TOML")).hint(format!(
                "quote it for the shell, as in {flag} 'model.widths=[256, 128]'"
            )),
        ),
        Some(Value::Datetime(_)) | None => layer.set(path, value),
        Some(parsed) => layer.set(path, parsed),
    }
}

/// Whether a text is a whole number that is none of TOML's, which has 64 bits and a sign.
fn is_beyond_integers(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = text.replace('_', "");
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|c| c.is_ascii_digit() || c == b'_')
        && number.parse::<i64>().is_err()
}

/// The settings of the flags that stand for keys, each with its flag, over those that are in `flags` already, and those of
/// `--set`.
///
/// # Errors
/// [`Usage`] for a setting that is none, and for a key that a flag and `--set` give different values.
pub fn of_command_line<const N: usize>(
    mut flags: Layer,
    given: [(&str, &str, Option<Value>); N],
    texts: &[String],
) -> Result<[Layer; 2], Usage> {
    let mut set = Layer::new(Origin::Set);
    for text in texts {
        read_set(&mut set, text)?;
    }
    for (flag, path, value) in given {
        let Some(value) = value else { continue };
        let takes_back = |cleared: &&String| is_within(path, cleared);
        let other = match lookup(&set.table, path) {
            Some(other) if !is_same(&value, other) => format!("`{}` (--set)", plain(other)),
            None if let Some(cleared) = set.cleared.iter().find(takes_back) => {
                format!("its default (--set {cleared}=)")
            }
            _ => {
                flags.set(path, value)?;
                continue;
            }
        };
        let text = format!(
            "`{path}` is given twice: `{}` ({flag}), {other}",
            plain(&value)
        );
        return Err(Usage::new(text).hint("name one of them"));
    }
    Ok([flags, set])
}

/// A text without quotes, another value as TOML has it.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether two values mean the same where a number with a fraction is wanted: 1 and 1.0 do.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Integer(whole), Value::Float(float))
        | (Value::Float(float), Value::Integer(whole)) => *whole as f64 == *float,
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        _ => one == other,
    }
}

/// As [`granule::io::table::address`].
///
/// # Errors
/// [`Usage`] for an index or a name that a list does not have.
pub fn address(lower: &Table, upper: &mut Table) -> Result<(), Usage> {
    granule::io::table::address(lower, upper).map_err(no_element)
}

/// A list that lacks an element, as wrong usage.
pub fn no_element(error: NoElement) -> Usage {
    Usage::new(error.to_string()).hint(error.has)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use granule::io::table::{BOUNDS, CHOICES, TAG};
    use granule::train::schema::{Key, Schema};

    use super::*;

    fn set(texts: &[&str]) -> Layer {
        let mut layer = Layer::new(Origin::Set);
        for text in texts {
            read_set(&mut layer, text).unwrap();
        }
        layer
    }

    #[test]
    fn the_schemas_have_these_choices_and_tags() {
        let [mut choices, mut named, mut tags] = <[BTreeSet<String>; 3]>::default();
        for schema in [Schema::of_runs(), Schema::of_experiments()] {
            for key in schema.keys() {
                let own = key
                    .needs
                    .iter()
                    .filter_map(|(tag, _)| tag.rsplit('.').next());
                tags.extend(own.map(str::to_owned));
                let all = key.node.choices();
                if all.iter().any(|(_, values)| values.is_some()) {
                    let mut names = key.path.rsplit('.');
                    let name = names.next().unwrap();
                    let (set, name) = if name == Key::NAMED {
                        (&mut named, names.next().unwrap())
                    } else {
                        (&mut choices, name)
                    };
                    set.insert(name.to_owned());
                }
            }
        }
        let same = |found: &BTreeSet<String>, own: &[&str]| {
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), own);
        };
        same(&choices, &CHOICES);
        same(&named, &[BOUNDS]);
        same(&tags, &[TAG]);
    }

    #[test]
    fn another_kind_drops_what_belonged_to_the_old_one() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let cases = [
            // A table, an element of a list, a table deep in lists.
            (
                "a = { kind = 'x', p = 1 }",
                "a = { kind = 'y' }",
                "a = { kind = 'y' }",
            ),
            (
                "a = { kind = 'x', p = 1 }",
                "a = { kind = 'x', q = 2 }",
                "a = { kind = 'x', p = 1, q = 2 }",
            ),
            (
                "a = [{ kind = 'x', p = 1 }]",
                "a.0 = { kind = 'y', q = 2 }",
                "a = [{ kind = 'y', q = 2 }]",
            ),
            (
                "gate = [{ name = 'n', curve = { kind = 'x', p = 1 } }]",
                "gate.n.curve.kind = 'y'",
                "gate = [{ name = 'n', curve = { kind = 'y' } }]",
            ),
            (
                "level = [{ unit = { kind = 'x', cells = 7, p = 1 } }]",
                "level.0.unit.kind = 'y'",
                "level = [{ unit = { kind = 'y', cells = 7 } }]",
            ),
        ];
        for (lower, upper, merged) in cases {
            let mut found = table(lower);
            merge(&mut found, &table(upper));
            assert_eq!(found, table(merged), "{upper}");
        }
    }

    #[test]
    fn cells_of_earlier_files_have_their_kind() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        for (earlier, now) in [
            (
                "unit = { model = 'x', p = 1 }",
                "unit = { kind = 'x', p = 1 }",
            ),
            (
                "model = { kind = 'a', level = [{ unit = { model = 'x' } }] }",
                "model = { kind = 'a', level = [{ unit = { kind = 'x' } }] }",
            ),
            (
                "unit = { kind = 'y', model = 'x' }",
                "unit = { kind = 'y', model = 'x' }",
            ),
        ] {
            let mut found = table(earlier);
            rename(&mut found);
            assert_eq!(found, table(now), "{earlier}");
        }
    }

    #[test]
    fn values_are_toml_and_bare_words_are_strings() {
        let layer = set(&[
            "a.b=1",
            "a.c=1e-3",
            "a.d=true",
            "a.e=[1, 2]",
            "a.f=cifar-10",
            "device=cuda:0",
            "a.g=\"1\"",
            "a.h=2024-01-01",
            "x=a=b",
        ]);
        let get = |path| lookup(&layer.table, path).cloned().unwrap();
        assert_eq!(get("a.b"), Value::Integer(1));
        assert_eq!(get("a.c"), Value::Float(1e-3));
        assert_eq!(get("a.d"), Value::Boolean(true));
        assert_eq!(get("a.e"), Value::Array(vec![1.into(), 2.into()]));
        assert_eq!(get("a.f"), "cifar-10".into());
        assert_eq!(get("device"), "cuda:0".into());
        assert_eq!(get("a.g"), "1".into());
        assert_eq!(get("a.h"), "2024-01-01".into());
        assert_eq!(get("x"), "a=b".into());
    }

    #[test]
    fn what_is_not_a_setting_is_wrong_usage() {
        for text in ["a", "=1", "a..b=1", ".a=1", "a=[1", "a=\"x"] {
            assert!(
                read_set(&mut Layer::new(Origin::Set), text).is_err(),
                "{text}"
            );
        }
        let mut layer = set(&["a=1"]);
        assert!(read_set(&mut layer, "a.b=1").is_err());
        for text in [
            "a=1\nb=2",
            "a=[1,\n2]\nb.c=2",
            "a=1\n[b]\nc=1",
            "a=word\nb=2",
        ] {
            let mut layer = Layer::new(Origin::Set);
            let error = read_set(&mut layer, text).unwrap_err().to_string();
            assert!(error.contains("more than one line"), "{error}");
        }
        let several = set(&["a=[1,\n2]", "b=1\n"]);
        let expected = "a = [1, 2]\nb = 1".parse::<Table>().unwrap();
        assert_eq!(several.table, expected);
    }

    #[test]
    fn upper_settings_win_and_neighbours_stay() {
        let mut lower: Table = "seed = 1\n[train]\nepochs = 1\nbatch_size = 2"
            .parse()
            .unwrap();
        merge(
            &mut lower,
            &set(&["train.epochs=9", "model.kind=mlp"]).table,
        );
        let expected: Table =
            "seed = 1\n[train]\nepochs = 9\nbatch_size = 2\n[model]\nkind = 'mlp'"
                .parse()
                .unwrap();
        assert_eq!(lower, expected);
    }

    #[test]
    fn another_choice_or_kind_takes_the_place_of_the_whole() {
        for (lower, setting, expected) in [
            (
                "[a.delays]\nmatrix = [[1]]",
                "a.delays.uniform=20",
                "a.delays.uniform = 20",
            ),
            (
                "a.effect.conductance.reversal = 0",
                "a.effect.nmda.reversal=1",
                "a.effect.nmda.reversal = 1",
            ),
            (
                "a.effect.nmda = { reversal = 0, magnesium = 1 }",
                "a.effect.nmda.reversal=1",
                "a.effect.nmda = { reversal = 1, magnesium = 1 }",
            ),
            (
                "a.memory.segments = 3",
                "a.memory.nested=[5, 5]",
                "a.memory.nested = [5, 5]",
            ),
            (
                "a.memory = 'full'",
                "a.memory.segments=5",
                "a.memory.segments = 5",
            ),
            (
                "a.surrogate.triangular = { slope = 1, height = 1 }",
                "a.surrogate.arctan.slope=2",
                "a.surrogate.arctan.slope = 2",
            ),
            (
                "a.weight_bounds.above = 0",
                "a.weight_bounds.below=0",
                "a.weight_bounds.below = 0",
            ),
            (
                "a.bounds = { g_na = { above = 0 }, g_k = { above = 0 } }",
                "a.bounds.g_na.between=[0, 1]",
                "a.bounds = { g_na = { between = [0, 1] }, g_k = { above = 0 } }",
            ),
            (
                "a.conversion = { kind = 'voltage-to-rate', threshold = 1, slope = 2 }",
                "a.conversion.kind=spike-to-rate",
                "a.conversion.kind = 'spike-to-rate'",
            ),
            (
                "a.conversion = { kind = 'voltage-to-rate', threshold = 1, slope = 2 }",
                "a.conversion.slope=3",
                "a.conversion = { kind = 'voltage-to-rate', threshold = 1, slope = 3 }",
            ),
        ] {
            let mut table: Table = lower.parse().unwrap();
            merge(&mut table, &set(&[setting]).table);
            assert_eq!(table, expected.parse::<Table>().unwrap(), "{setting}");
        }
    }

    #[test]
    fn lists_are_reached_by_index_and_name() {
        let mut table: Table =
            "widths = [1, 2]\n[[part]]\nname = 'a'\nx = 1\n[[part]]\nname = 'b'\nx = 2"
                .parse()
                .unwrap();
        let defaults = table.clone();
        let mut layer = set(&["widths.1=5", "part.b.x=7", "part.1.y=8", "part.0.x=9"]);
        address(&table, &mut layer.table).unwrap();
        merge(&mut table, &layer.table);
        let get = |table: &Table, path| lookup(table, path).and_then(Value::as_integer);
        for (path, value) in [
            ("widths[1]", 5),
            ("part.b.x", 7),
            ("part[1].y", 8),
            ("part.a.x", 9),
        ] {
            assert_eq!(get(&table, path), Some(value), "{path}");
        }
        assert_eq!(get(&table, "widths.0"), Some(1));
        assert!(lookup(&layer.table, "part[1].x").is_some());
        assert_eq!(by_index(&table, "part.b.x"), "part.1.x");
        assert_eq!(by_index(&table, "part[0].x"), "part.0.x");
        assert_eq!(by_index(&table, "none.at.all"), "none.at.all");
        put(&mut table, "part.b.x", 3.into()).unwrap();
        assert_eq!(get(&table, "part.1.x"), Some(3));
        put(&mut table, "part.b.new.x", 4.into()).unwrap();
        assert_eq!(get(&table, "part.1.new.x"), Some(4));
        remove(&mut table, "part.1.new");
        for nowhere in ["none.x", "part.7.x", "part.1.x.y", "widths.0.x"] {
            let error = put(&mut table, nowhere, 1.into()).unwrap_err();
            assert!(error.to_string().contains(nowhere), "{error}");
        }
        clear(&mut table, "part.b.x", &defaults);
        clear(&mut table, "part.1.y", &defaults);
        assert_eq!(lookup(&table, "part.1"), lookup(&defaults, "part.1"));
        for (wrong, part) in [("part.c.x=1", "0 (a), 1 (b)"), ("widths.2=1", "0 to 1")] {
            let mut layer = set(&[wrong]);
            let error = address(&table, &mut layer.table).unwrap_err();
            assert!(error.hint_text().unwrap().contains(part), "{wrong}");
        }
    }

    #[test]
    fn clearing_takes_the_default_back() {
        let defaults: Table = "[train]\nepochs = 1".parse().unwrap();
        let mut table: Table = "[train]\nepochs = 5\nclip_norm = 1.0".parse().unwrap();
        clear(&mut table, "train.epochs", &defaults);
        clear(&mut table, "train.clip_norm", &defaults);
        clear(&mut table, "train.nothing.here", &defaults);
        assert_eq!(table, defaults);
    }
}
