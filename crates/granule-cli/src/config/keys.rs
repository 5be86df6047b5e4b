//! Keys by what a person calls them.

use granule::train::schema::Key;

/// How well a word fits a key: the less the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Its path, or that of a table it is in.
    Path,
    /// The kind it belongs to.
    Kind,
    /// Its name, or the last names of its path.
    Name,
    /// A part of its path, or one of its words.
    Part,
    /// Its help.
    Help,
}

impl Rank {
    /// Whether it is shown where another is the best.
    pub fn is_as_good_as(self, best: Self) -> bool {
        // One word in a name may be meant as another's part: `weight` of `class_weights`.
        let least = match best {
            Self::Path => Self::Path,
            Self::Kind => Self::Name,
            Self::Name => Self::Part,
            Self::Part | Self::Help => Self::Help,
        };
        self <= least
    }
}

pub fn rank(key: &Key<'_>, word: &str) -> Option<Rank> {
    let places = word.trim_matches('.').split('.');
    let places = places.map(|place| match place.parse::<usize>() {
        Ok(_) => "n".to_owned(),
        Err(_) => same(place),
    });
    let word = places.collect::<Vec<_>>().join(".");
    let path = same(&key.path);
    let of_kind = key.needs.iter().any(|(tag, kind)| {
        let table = tag.rsplit_once('.').map_or("", |(table, _)| table);
        same(kind) == word
            && key
                .path
                .rsplit_once('.')
                .is_some_and(|(own, _)| own.starts_with(table))
    });
    let is_choice = || {
        key.node
            .choices()
            .iter()
            .any(|(choice, _)| same(choice) == word)
    };
    if path == word || path.starts_with(&format!("{word}.")) {
        Some(Rank::Path)
    } else if of_kind {
        Some(Rank::Kind)
    } else if path.ends_with(&format!(".{word}")) {
        Some(Rank::Name)
    } else if begins_in(&path, &word) || is_choice() {
        Some(Rank::Part)
    } else {
        let meanings = key.node.meanings().into_iter().map(|(_, help)| help);
        let mut helps = std::iter::once(key.node.help()).chain(meanings);
        let word = word.replace('_', " ");
        let is_there = helps.any(|help| begins_in(&help.to_lowercase().replace('-', " "), &word));
        is_there.then_some(Rank::Help)
    }
}

/// Whether a word of a text begins so: `norm` is found in `clip_norm` and `normalised`, `mpl` not in `sample`.
fn begins_in(text: &str, start: &str) -> bool {
    !start.is_empty()
        && text.match_indices(start).any(|(at, _)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            before.is_none_or(|c| !c.is_alphanumeric())
        })
}

/// Whether a key is that of a level, which is the same in a simulation of its own.
pub fn is_of_levels(key: &Key<'_>) -> bool {
    let tables = ["model.level.", "model.coupler.", "composite."];
    tables.iter().any(|table| key.path.starts_with(table))
}

/// The path of a key of a level without that of the level: as it is in a simulation of its own.
pub fn in_level<'k>(key: &'k Key<'_>) -> Option<&'k str> {
    let mut tables = ["model.level.", "composite.level."].into_iter();
    let rest = tables.find_map(|table| key.path.strip_prefix(table))?;
    Some(rest.split_once('.')?.1)
}

/// The key that was most likely meant by a path or a name.
pub fn nearest<'k, 'a: 'k>(
    path: &str,
    keys: impl Iterator<Item = &'k Key<'a>>,
) -> Option<&'k Key<'a>> {
    let path = same(path);
    let (table, name) = path.rsplit_once('.').unwrap_or(("", &path));
    let likeness = |key: &Key<'_>| {
        let own = same(&key.path);
        let (own_table, own_name) = own.rsplit_once('.').unwrap_or(("", &own));
        let names = strsim::jaro_winkler(own_name, name);
        let tables = match table {
            "" => 0.0,
            table => strsim::jaro_winkler(own_table, table),
        };
        // Among keys of equal names the shorter path, which is that of the usual place.
        names + 0.1 * tables - 0.002 * own.split('.').count() as f64
    };
    let similar = |key: &&Key<'_>| strsim::jaro_winkler(&same(key.name()), name) > 0.85;
    keys.filter(similar)
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}

/// The table that the path of a key begins with or leaves out the beginning of: `data.task` of `task.name`.
pub fn table_of<'k, 'a: 'k>(
    path: &str,
    keys: impl Iterator<Item = &'k Key<'a>>,
) -> Option<&'k str> {
    let path = same(path);
    let (table, _) = path.rsplit_once('.')?;
    let tables = keys.filter_map(|key| {
        let (own, _) = key.path.rsplit_once('.')?;
        let fits = own == table
            || own
                .strip_suffix(table)
                .is_some_and(|above| above.ends_with('.'));
        fits.then_some(own)
    });
    // The usual place has the shortest path.
    tables.min_by_key(|table| table.len())
}

fn same(name: &str) -> String {
    name.trim().to_lowercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_at_its_beginning() {
        for (text, start, found) in [
            ("train.clip_norm", "norm", true),
            ("normalised samples", "norm", true),
            ("data.task.sample_ms", "mpl", false),
            ("example of a sample", "sample", true),
            ("the µ of it", "µ", true),
            ("anything", "", false),
        ] {
            assert_eq!(begins_in(text, start), found, "{text}: {start}");
        }
    }
}
