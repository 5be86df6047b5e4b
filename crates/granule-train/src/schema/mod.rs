//! What configurations may hold: every key with type, default, range, unit and help, from the types that read it.
//!
//! The doc comment of a field is its help, an attribute beside it its range; the unit stands in the first sentence
//! (`…, ms.`) or is given by the table that declares a model. So a new field shows everywhere without more work.
//!
//! ```
//! use granule_train::schema::Schema;
//!
//! let schema = Schema::of_runs();
//! let keys = schema.keys();
//! let patience = keys.iter().find(|key| key.path == "train.early_stopping.patience");
//! assert_eq!(patience.and_then(|key| key.node.range()).as_deref(), Some("1 or more"));
//! ```

mod fault;
pub mod files;
mod key;
mod node;
mod text;
mod unit;

use granule_io::table::{NoElement, address, by_index, is_within, merge};
use granule_simulate::ExperimentConfig;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

pub use fault::{Fault, Kind, Wrong};
pub use key::Key;
pub use node::{Node, Tagged};
pub use text::{Comments, documented, documented_with};

use crate::RunConfig;

/// The JSON Schema of a configuration, to walk through.
#[derive(Debug, Clone)]
pub struct Schema {
    root: Value,
}

impl Schema {
    /// Of what `granule train` reads: [`RunConfig`].
    pub fn of_runs() -> Self {
        Self::of::<RunConfig>("Configuration of granule train", &files::OF_RUNS)
    }

    /// Of what `granule simulate` reads: [`ExperimentConfig`].
    pub fn of_experiments() -> Self {
        Self::of::<ExperimentConfig>("Configuration of granule simulate", &files::OF_EXPERIMENTS)
    }

    fn of<T: JsonSchema>(title: &str, with_files: &[&str]) -> Self {
        let mut root = SchemaGenerator::default()
            .into_root_schema_for::<T>()
            .to_value();
        if let Some(object) = root.as_object_mut() {
            object.insert("title".into(), title.into());
        }
        unit::add(&mut root);
        files::add(&mut root, with_files);
        Self { root }
    }

    /// The JSON Schema (draft 2020-12), as editors take it. Beside the standard's words, `unit` is the unit of a number,
    /// `words` lists what a text may be or begin with, `aliases` other names that are read, `form` shows how a table is
    /// written, and `within` names the definition that a table is one of again.
    pub fn json(&self) -> &Value {
        &self.root
    }

    /// The whole configuration.
    pub fn root(&self) -> Node<'_> {
        Node::new(&self.root, &self.root)
    }

    /// What is wrong with the form of a configuration, if anything is.
    pub fn fault(&self, table: &toml::Table) -> Option<Fault> {
        fault::first(&self.root(), table)
    }

    /// What is wrong with a path that is to be taken back in `table`: there is no such key.
    ///
    /// # Errors
    /// [`NoElement`] for an index or a name that a list does not have.
    pub fn unknown(&self, table: &toml::Table, path: &str) -> Result<Option<Fault>, NoElement> {
        // One that is unset by default shows only when it is tried.
        let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
        let mut probe = toml::Table::from_iter([(last.to_owned(), "".into())]);
        for key in parents.rsplit('.').filter(|key| !key.is_empty()) {
            probe = toml::Table::from_iter([(key.to_owned(), probe.into())]);
        }
        address(table, &mut probe)?;
        let mut tried = table.clone();
        merge(&mut tried, &probe);
        let path = by_index(table, path);
        let fault = self.fault(&tried);
        Ok(fault.filter(|fault| {
            is_within(&path, &fault.path) && matches!(fault.wrong, Wrong::Unknown { .. })
        }))
    }

    /// Every key of every kind. An element of a list is `N`, a name that the user gives `NAME`.
    pub fn keys(&self) -> Vec<Key<'_>> {
        key::all(&self.root())
    }
}

#[cfg(test)]
mod tests;
