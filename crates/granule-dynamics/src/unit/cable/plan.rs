//! A configuration of a cell of many compartments thought through.

use std::collections::BTreeMap;

use super::cell::{CAPACITANCE, CURRENT, RESISTIVITY};
use super::config::CableCellConfig;
use super::discretise::{Discretised, Fineness};
use super::model::Places;
use super::section;
use super::solve::NAME;
use super::{Morphology, SectionConfig};
use crate::setting::Settings;
use crate::setting::{Range, check_count, check_listed, choices};
use crate::unit::channel::ChannelTable;
use crate::unit::conductance::{Described, TABLE};
use crate::{Bounds, DynamicsError, Values};

/// A configuration thought through.
pub(super) struct Plan {
    /// How many regions there are.
    pub(super) regions: usize,
    /// The channels with a value for each region where they differ.
    pub(super) table: ChannelTable,
    /// Of conductances that are trained, which regions have them, 1 or 0.
    pub(super) present: BTreeMap<&'static str, Vec<f64>>,
    /// R_i of the regions.
    pub(super) axial_resistivity: Values,
    /// The compartments of one cell.
    pub(super) compartments: Discretised,
    pub(super) places: Places,
}

impl CableCellConfig {
    pub(super) fn plan(&self) -> Result<Plan, DynamicsError> {
        check_count("unit.cells", self.cells)?;
        self.check_uniform()?;
        Range::Resistivity.check("unit.axial_resistivity", self.axial_resistivity)?;
        Range::Positive.check("unit.d_lambda", self.d_lambda)?;
        self.parameters.0.check_form()?;
        section::check_count(&self.section)?;
        self.stimulus_sites
            .check("unit.stimulus_sites", self.cells)?;
        self.record_sites.check("unit.record_sites", self.cells)?;
        for (index, section) in self.section.iter().enumerate() {
            self.check_section(index, section)?;
        }
        self.check_trained()?;
        let (branches, regions) = self.branches()?;
        let mut table = self.table(&regions);
        table.check_values()?;
        let present = self.present(&mut table);
        let trained = self.trained(|name| ![RESISTIVITY, CURRENT].contains(&name));
        self.described(&table, regions.len(), &trained).validate()?;
        self.check_initial(&table)?;
        let axial_resistivity = self.of_regions(RESISTIVITY, self.axial_resistivity, &regions);
        let own = self.trained(|name| name == RESISTIVITY);
        own.of((RESISTIVITY, &axial_resistivity, Range::Resistivity))
            .check_as(regions.len(), "section")?;
        let own = self.trained(|name| name == CURRENT);
        own.of((CURRENT, &self.current, Range::Any))
            .check_as(self.inputs(), "stimulus site")?;
        let of = |values: &Values, region: usize| match values {
            Values::One(value) => *value,
            Values::Each(values) => values[region],
        };
        let fineness = |region: usize| {
            let section = regions[region].map(|index| &self.section[index]);
            let d_lambda = section.and_then(|section| section.d_lambda);
            let own =
                |name: &str| section.is_some_and(|section| section.parameters.contains_key(name));
            Fineness {
                section: regions[region],
                compartments: section.and_then(|section| section.compartments),
                own: d_lambda.is_some(),
                own_resistivity: own(RESISTIVITY),
                own_capacitance: own(CAPACITANCE),
                d_lambda: d_lambda.unwrap_or(self.d_lambda),
                axial_resistivity: of(&axial_resistivity, region),
                capacitance: of(&table.capacitance, region),
            }
        };
        let file = self.morphology.as_ref().map(Morphology::file);
        let compartments = Discretised::new(&branches, &fineness, (self.cells, file))?;
        let excitable = excitable(&table, &present, regions.len());
        let places = self.places(&branches, &compartments, &excitable)?;
        Ok(Plan {
            regions: regions.len(),
            table,
            present,
            axial_resistivity,
            compartments,
            places,
        })
    }

    /// Checks that training is asked for what it can change.
    fn check_trained(&self) -> Result<(), DynamicsError> {
        let table = &self.parameters.0;
        let parameters = table.parameters().into_iter().map(|(info, _)| info.name);
        let initial = table.variables().into_iter();
        let initial = initial.filter(|name| self.initial.contains_key(*name));
        let known = parameters.chain([RESISTIVITY, CURRENT]).chain(initial);
        let known: Vec<&'static str> = known.collect();
        let known = || known.iter().copied();
        check_listed(("unit", "trainable"), &self.trainable, known())?;
        check_listed(("unit", "bounds"), self.bounds.keys(), known())
    }

    /// Checks that what is said for the whole cell is one value.
    pub(super) fn check_uniform(&self) -> Result<(), DynamicsError> {
        let of_table = self.parameters.0.placed().into_iter();
        let of_table = of_table.map(|(info, place, values)| (place, info.name, values));
        let initial = self.initial.iter();
        let initial = initial.map(|(name, values)| (format!("initial.{name}"), "v", values));
        for (place, name, values) in of_table.chain(initial) {
            if let Values::Each(values) = values {
                let found = format!("[{} values]", values.len());
                let allowed = match place.strip_prefix("initial.") {
                    Some(_) => "one value".to_owned(),
                    None => format!(
                        "one value; that of a section is {name} in the parameters of the section"
                    ),
                };
                return Err(DynamicsError::config(
                    format!("unit.{place}"),
                    found,
                    allowed,
                ));
            }
        }
        Ok(())
    }

    /// Checks what a section says beside its geometry.
    fn check_section(&self, index: usize, section: &SectionConfig) -> Result<(), DynamicsError> {
        let at = |field: &str| format!("unit.section[{index}].{field}");
        if let Some(d_lambda) = section.d_lambda {
            Range::Positive.check(at("d_lambda"), d_lambda)?;
        }
        if section.compartments == Some(0) {
            return Err(DynamicsError::config(at("compartments"), 0, "at least 1"));
        }
        let table = self.parameters.entries();
        let table = table.map(|(info, _)| (info.name, info.range));
        let mut known: BTreeMap<&str, Range> = table.collect();
        known.insert(RESISTIVITY, Range::Resistivity);
        for (name, value) in &section.parameters {
            let field = at(&format!("parameters.{name}"));
            match known.get(name.as_str()) {
                Some(range) => range.check(field, *value)?,
                None => {
                    let allowed = choices(name, known.keys().copied());
                    return Err(DynamicsError::config(field, value, allowed));
                }
            }
        }
        Ok(())
    }

    fn check_initial(&self, table: &ChannelTable) -> Result<(), DynamicsError> {
        let variables = table.variables();
        let mut names = self.initial.keys();
        match names.find(|name| !variables.contains(&name.as_str())) {
            Some(name) => {
                let field = format!("unit.initial.{name}");
                let allowed = choices(name, variables.iter().copied());
                Err(DynamicsError::config(field, "given", allowed))
            }
            None => Ok(()),
        }
    }

    /// What training may change of some parameters.
    pub(super) fn trained(&self, of: impl Fn(&str) -> bool) -> Trained {
        let names = self.trainable.iter().filter(|name| of(name));
        let bounds = self.bounds.iter().filter(|(name, _)| of(name));
        Trained {
            trainable: names.cloned().collect(),
            bounds: bounds.map(|(name, own)| (name.clone(), *own)).collect(),
        }
    }

    pub(super) fn described<'a>(
        &'a self,
        table: &'a ChannelTable,
        regions: usize,
        trained: &'a Trained,
    ) -> Described<'a> {
        let variables = table.variables().into_iter();
        let initial = variables.filter_map(|name| Some((name, self.initial.get(name)?)));
        Described {
            name: NAME,
            section: TABLE,
            table,
            cells: regions,
            current: &Values::One(0.0),
            spike_threshold: self.spike_threshold,
            trainable: &trained.trainable,
            bounds: &trained.bounds,
            initial: initial.collect(),
        }
    }
}

/// Which regions have a channel, and can spike.
fn excitable(
    table: &ChannelTable,
    present: &BTreeMap<&'static str, Vec<f64>>,
    regions: usize,
) -> Vec<bool> {
    let any = |region: usize| {
        table.channels.iter().any(|channel| {
            let name = format!("g_{}", channel.name);
            let there = present.get(name.as_str()).map(|own| own[region]);
            let value = match &channel.conductance {
                Values::One(value) => *value,
                Values::Each(values) => values[region],
            };
            value > 0.0 && there != Some(0.0)
        })
    };
    (0..regions).map(any).collect()
}

/// What training may change.
pub(super) struct Trained {
    trainable: Vec<String>,
    bounds: BTreeMap<String, Bounds>,
}

impl Trained {
    /// Of one setting of the cable.
    pub(super) fn of<'a>(
        &'a self,
        (name, values, range): (&'static str, &'a Values, Range),
    ) -> Settings<'a> {
        let mut all = Settings::new("unit", &self.trainable, &self.bounds);
        all.add(("unit", name), values, range);
        all
    }
}
