//! All keys of a configuration.

use super::Node;

/// A key of a configuration.
#[derive(Debug, Clone)]
pub struct Key<'a> {
    /// The dotted path.
    pub path: String,
    /// What its schema says.
    pub node: Node<'a>,
    /// The words that other keys must have for it to be there, each with the path of that key.
    pub needs: Vec<(String, String)>,
}

impl Key<'_> {
    /// What stands in a path for a name that the user gives.
    pub const NAMED: &'static str = "NAME";

    /// The last name of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

/// The most names of a path: a schema that contains itself has keys without end.
const DEEPEST: usize = 16;

/// Every key below a table, of every kind.
pub(super) fn all<'a>(root: &Node<'a>) -> Vec<Key<'a>> {
    let mut found = Vec::new();
    walk(String::new(), root, &[], None, &mut found);
    found
}

/// `unit` is that of the table around.
fn walk<'a>(
    path: String,
    node: &Node<'a>,
    needs: &[(String, String)],
    unit: Option<&str>,
    found: &mut Vec<Key<'a>>,
) {
    let here = node.in_table_of(unit);
    let node = here.as_ref().unwrap_or(node);
    let unit = node.unit().or(unit);
    let push = |path: &str, node: &Node<'a>, found: &mut Vec<Key<'a>>| {
        found.push(Key {
            path: path.to_owned(),
            node: node.clone(),
            needs: needs.to_vec(),
        });
    };
    if path.split('.').count() > DEEPEST {
        return push(&path, node, found);
    }
    if let Some(tagged) = node.tagged() {
        let tag = join(&path, &tagged.tag);
        push(&tag, &node.of_tag(&tagged), found);
        for (kind, inner) in tagged.kinds {
            let needs = [needs, &[(tag.clone(), kind)]].concat();
            for (name, inner) in inner.properties() {
                if name != tagged.tag {
                    walk(join(&path, &name), &inner, &needs, unit, found);
                }
            }
        }
        return;
    }
    let properties = node.properties();
    if !properties.is_empty() && node.choices().is_empty() {
        for (name, inner) in properties {
            walk(join(&path, &name), &inner, needs, unit, found);
        }
        return;
    }
    if let Some(items) = node.items()
        && items.is_table()
    {
        push(&path, node, found);
        return walk(join(&path, "N"), &items, needs, unit, found);
    }
    if let Some(inner) = node.named() {
        return push(&join(&path, Key::NAMED), &inner.helped_by(node), found);
    }
    push(&path, node, found);
    for (name, inner) in node.tables().iter().flat_map(Node::properties) {
        walk(join(&path, &name), &inner, needs, unit, found);
    }
    for (name, inner) in node.choices() {
        if let Some(inner) = inner
            && !inner.properties().is_empty()
        {
            walk(join(&path, &name), &inner, needs, unit, found);
        }
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}
