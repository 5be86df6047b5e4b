//! The parameters and the initial state of a conductance-based cell, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::Device;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::CellKind;
use super::channel::ChannelTable;
use crate::quantity::Constant;
use crate::setting::ParameterInfo;
#[cfg(feature = "schema")]
use crate::setting::Range;
use crate::{DynamicsError, Values};

/// The error about a parameter that a cell does not have, with those that it has.
pub(super) fn unknown_parameter(name: &str, names: &[&str]) -> DynamicsError {
    DynamicsError::config("unit.parameters", name, names.join(", "))
}

/// The parameters of a cell of the kind `K`, in a configuration; those left out have their published values.
#[derive(Clone, PartialEq)]
pub struct CellParameters<K> {
    table: ChannelTable,
    kind: PhantomData<K>,
}

impl<K: CellKind> Default for CellParameters<K> {
    fn default() -> Self {
        Self {
            table: K::table(),
            kind: PhantomData,
        }
    }
}

impl<K> CellParameters<K> {
    /// The channels with these values.
    pub fn table(&self) -> &ChannelTable {
        &self.table
    }

    /// Every parameter with what it is and its values.
    pub fn entries(&self) -> impl Iterator<Item = (&'static ParameterInfo, &Values)> {
        self.table.parameters().into_iter()
    }

    /// A parameter by its name.
    pub fn get(&self, name: &str) -> Option<&Values> {
        let found = self.entries().find(|(info, _)| info.name == name);
        found.map(|(_, values)| values)
    }

    /// A parameter by its name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Values> {
        let all = self.table.parameters_mut().into_iter();
        let mut found = all.filter(|(info, _)| info.name == name);
        found.next().map(|(_, values)| values)
    }

    /// Sets a parameter by its name.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] lists the names when there is no such parameter.
    pub fn set(&mut self, name: &str, values: impl Into<Values>) -> Result<(), DynamicsError> {
        let names: Vec<_> = self.entries().map(|(info, _)| info.name).collect();
        match self.get_mut(name) {
            Some(own) => {
                *own = values.into();
                Ok(())
            }
            None => Err(unknown_parameter(name, &names)),
        }
    }
}

impl<K> fmt::Debug for CellParameters<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries().map(|(info, values)| (info.name, values));
        f.debug_map().entries(entries).finish()
    }
}

/// A map whose keys are some names.
struct Named<'a> {
    names: &'a [&'static str],
    what: &'static str,
}

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Vec<(&'static str, Values)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut all: Self::Value = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let known = self.names.iter().find(|name| **name == key);
            let Some(name) = known else {
                let names = self.names.join(", ");
                return Err(M::Error::custom(format!(
                    "has no key {key:?}; its keys are {names}"
                )));
            };
            if all.iter().any(|(own, _)| own == name) {
                return Err(M::Error::custom(format!("has {key:?} twice")));
            }
            all.push((name, map.next_value()?));
        }
        Ok(all)
    }
}

impl<K> Serialize for CellParameters<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (info, values) in self.entries() {
            map.serialize_entry(info.name, values)?;
        }
        map.end()
    }
}

impl<'de, K: CellKind> Deserialize<'de> for CellParameters<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut own = Self::default();
        let names: Vec<_> = own.entries().map(|(info, _)| info.name).collect();
        let given = deserializer.deserialize_map(Named {
            names: &names,
            what: "the parameters of a cell",
        })?;
        for (name, values) in given {
            if let Some(own) = own.get_mut(name) {
                *own = values;
            }
        }
        Ok(own)
    }
}

#[cfg(feature = "schema")]
impl<K: CellKind> schemars::JsonSchema for CellParameters<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("CellParameters of {}", K::NAME).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let own = Self::default();
        let all = own.entries().map(|(info, values)| {
            let default = match values {
                Values::One(value) => Some(*value),
                Values::Each(_) => None,
            };
            (info.name, info.description, info.range, info.unit, default)
        });
        named_schema(generator, all)
    }
}

/// The schema of a map from names to values: name, description, range, unit and default.
#[cfg(feature = "schema")]
fn named_schema<'a>(
    generator: &mut schemars::SchemaGenerator,
    all: impl Iterator<Item = (&'a str, &'a str, Range, &'static str, Option<f64>)>,
) -> schemars::Schema {
    use schemars::transform::Transform;
    let mut schema = schemars::json_schema!({
        "type": "object",
        "properties": {},
        "additionalProperties": false,
    });
    for (name, description, range, unit, default) in all {
        let mut values = generator.subschema_for::<Values>();
        values.insert("description".to_owned(), description.into());
        if let Some(default) = default {
            values.insert("default".to_owned(), default.into());
        }
        range.of_unit(unit).transform(&mut values);
        let properties = schema
            .as_object_mut()
            .and_then(|schema| schema.get_mut("properties"))
            .and_then(|properties| properties.as_object_mut());
        if let Some(properties) = properties {
            properties.insert(name.to_owned(), values.to_value());
        }
    }
    schema
}

/// The state of a cell of the kind `K` at the beginning, by the names of its variables: `v` in mV, the gates and the
/// concentrations. Without `v` it is the lowest voltage at which the cell rests without external current; without another
/// variable, its steady value at the voltage.
#[derive(Clone, Debug, PartialEq)]
pub struct InitialState<K> {
    values: BTreeMap<&'static str, Values>,
    kind: PhantomData<K>,
}

impl<K> Default for InitialState<K> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            kind: PhantomData,
        }
    }
}

impl<K: CellKind> InitialState<K> {
    /// Sets a variable by its name.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] lists the names when there is no such variable.
    pub fn set(&mut self, name: &str, values: impl Into<Values>) -> Result<(), DynamicsError> {
        let names = K::table().variables();
        match names.iter().find(|known| **known == name) {
            Some(name) => {
                self.values.insert(name, values.into());
                Ok(())
            }
            None => Err(DynamicsError::config(
                format!("unit.initial.{name}"),
                "given",
                names.join(", "),
            )),
        }
    }

    /// What is given, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &Values)> {
        self.values.iter().map(|(name, values)| (*name, values))
    }

    /// A variable by its name, where it is given.
    pub fn get(&self, name: &str) -> Option<&Values> {
        self.values.get(name)
    }
}

impl<K> Serialize for InitialState<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}

impl<'de, K: CellKind> Deserialize<'de> for InitialState<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = deserializer.deserialize_map(Named {
            names: &K::table().variables(),
            what: "the state of a cell at the beginning",
        })?;
        Ok(Self {
            values: given.into_iter().collect(),
            kind: PhantomData,
        })
    }
}

#[cfg(feature = "schema")]
impl<K: CellKind> schemars::JsonSchema for InitialState<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("InitialState of {}", K::NAME).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let table = K::table();
        let gates = table.moving_gates().count();
        let names = table.variables().into_iter().enumerate();
        let all = names.map(|(index, name)| match index {
            0 => {
                let text = "The voltage; without, the lowest at which the cell rests.";
                (name, text, Range::Any, "mV", None)
            }
            _ if index <= gates => {
                let text = "A gate; without, its steady value.";
                (name, text, Range::Fraction, "1", None)
            }
            _ => {
                let text = "A concentration; without, its steady value.";
                (name, text, Range::NonNegative, "1", None)
            }
        });
        named_schema(generator, all)
    }
}

/// The parameters of a cell as part of a module, by name.
#[derive(Clone, Debug)]
pub struct CellConstants {
    all: Vec<(&'static str, Constant)>,
}

impl CellConstants {
    pub(crate) fn new(all: Vec<(&'static str, Constant)>) -> Self {
        Self { all }
    }

    /// A parameter by its name.
    pub fn get(&self, name: &str) -> Option<&Constant> {
        let found = self.all.iter().find(|(own, _)| *own == name);
        found.map(|(_, constant)| constant)
    }

    /// The parameters by name, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Constant)> {
        self.all.iter().map(|(name, constant)| (*name, constant))
    }

    fn each(self, mut change: impl FnMut(&'static str, Constant) -> Constant) -> Self {
        let all = self.all.into_iter();
        Self::new(all.map(|(name, x)| (name, change(name, x))).collect())
    }
}

/// The name in the path of a parameter is that in configuration files.
impl Module for CellConstants {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        let all = self.all.iter();
        all.fold(devices, |devices, (_, x)| x.collect_devices(devices))
    }

    fn fork(self, device: &Device) -> Self {
        self.each(|_, x| x.fork(device))
    }

    fn to_device(self, device: &Device) -> Self {
        self.each(|_, x| x.to_device(device))
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (name, constant) in &self.all {
            visitor.enter_module(name, "CellConstants");
            constant.visit(visitor);
            visitor.exit_module(name, "CellConstants");
        }
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        self.each(|name, constant| {
            mapper.enter_module(name, "CellConstants");
            let mapped = constant.map(mapper);
            mapper.exit_module(name, "CellConstants");
            mapped
        })
    }

    fn valid(&self) -> Self {
        self.clone().each(|_, x| x.valid())
    }

    fn train(self) -> Self {
        self.each(|_, x| x.train())
    }

    fn materialize(self) -> Self {
        self.each(|_, x| x.materialize())
    }
}

impl ModuleDisplayDefault for CellConstants {
    fn content(&self, content: Content) -> Option<Content> {
        let all = self.all.iter();
        all.fold(content, |content, (name, x)| content.add(name, x))
            .optional()
    }
}

impl ModuleDisplay for CellConstants {}
