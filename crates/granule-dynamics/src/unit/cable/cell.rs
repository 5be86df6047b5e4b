//! Cells of sections or of a traced morphology: configuration and what it comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::discretise::{Discretised, Fineness};
use super::file::CableFile;
use super::model::{CableCell, Places, Regions};
use super::section::{self, Branch, Frustum};
use super::site::{self, Names};
use super::solve::{Cable, NAME};
use super::{CableScheme, Morphology, SectionConfig, Sites};
use crate::setting::{Range, check_count};
use crate::solver::{BackwardEuler, Solver};
use crate::unit::channel::{ChannelTable, TableParameters};
use crate::unit::choice::{self, Region, Unit, UnitModel, fastest};
use crate::unit::conductance::{Described, TABLE};
use crate::unit::setting::Settings;
use crate::{Bounds, DynamicsError, Place, Values};

/// The settings of the cable itself among those that can be trained.
const RESISTIVITY: &str = "axial_resistivity";
const CURRENT: &str = "current";
/// Of a channel table, what the lengths of compartments follow from, as they do from R_i.
const CAPACITANCE: &str = "capacitance";

/// Cells of many compartments, from sections or a traced morphology, with channels of a density that sections may have of
/// their own.
///
/// Every section is divided into an odd number of compartments of the same length, none of them longer than `d_lambda` length
/// constants at 100 Hz (Hines and Carnevale 2001), or into as many as it says. Where several sections meet at an end, they
/// do so in a point; what grows from inside a section grows from the middle of the compartment there.
///
/// Input: currents in nA, one for each stimulus site. State: the variables of the membrane at the record sites, which is what
/// is recorded and given to a loss, then, with `_all` after their names, those of all compartments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CableFile", into = "CableFile")]
pub struct CableCellConfig {
    /// How many cells, all of the same form.
    pub cells: usize,
    /// The constant part of the current at the stimulus sites, nA.
    pub current: Values,
    /// The voltage whose upward crossing at a record site is a spike, mV.
    pub spike_threshold: f64,
    /// The parameters that training may change, by name.
    pub trainable: Vec<String>,
    /// Where training keeps a parameter, by name.
    pub bounds: BTreeMap<String, Bounds>,
    /// A traced cell in place of sections with their geometry.
    pub morphology: Option<Morphology>,
    /// The sections, or what is different in groups of the morphology.
    pub section: Vec<SectionConfig>,
    /// Where currents enter.
    pub stimulus_sites: Sites,
    /// Where the cell is recorded.
    pub record_sites: Sites,
    /// R_i, Ωcm.
    pub axial_resistivity: f64,
    /// The longest compartment, in length constants at 100 Hz.
    pub d_lambda: f64,
    /// How the potential is moved.
    pub scheme: CableScheme,
    /// The channels, as they are where no section says otherwise.
    pub parameters: TableParameters,
    /// The state at the beginning, by the name of a variable.
    pub initial: BTreeMap<String, Values>,
}

impl Default for CableCellConfig {
    /// A soma of 20 µm without channels.
    fn default() -> Self {
        let file = CableFile::default();
        Self {
            cells: file.cells,
            current: file.current,
            spike_threshold: file.spike_threshold,
            trainable: file.trainable,
            bounds: file.bounds,
            morphology: file.morphology,
            section: file.section,
            stimulus_sites: file.stimulus_sites,
            record_sites: file.record_sites,
            axial_resistivity: file.axial_resistivity,
            d_lambda: file.d_lambda,
            scheme: file.scheme,
            parameters: TableParameters(ChannelTable::new(1.0, (0.1, -65.0), [])),
            initial: file.initial,
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for CableCellConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        CableFile::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        CableFile::json_schema(generator)
    }
}

/// A configuration thought through.
struct Plan {
    /// How many regions there are.
    regions: usize,
    /// The channels with a value for each region where they differ.
    table: ChannelTable,
    /// Of conductances that are trained, which regions have them, 1 or 0.
    present: BTreeMap<&'static str, Vec<f64>>,
    /// R_i of the regions.
    axial_resistivity: Values,
    /// The compartments of one cell.
    compartments: Discretised,
    places: Places,
}

impl CableCellConfig {
    /// The name in configuration files.
    pub const NAME: &'static str = NAME;

    /// How many currents enter: the stimulus sites of all cells.
    pub fn inputs(&self) -> usize {
        let sites = self.stimulus_sites.as_slice().len().max(1);
        self.cells.saturating_mul(sites)
    }

    /// Checks every setting; a morphology that is not read yet is read.
    ///
    /// # Errors
    ///
    /// [`DynamicsError::Config`] names the first that is not allowed, as `unit.section[1].parent`, or the line of the file.
    pub fn validate(&self) -> Result<(), DynamicsError> {
        self.plan().map(|_| ())
    }

    /// Makes the cells.
    ///
    /// # Errors
    ///
    /// Those of [`validate`](Self::validate), and a section without a resting voltage and without an initial one.
    pub fn init(&self, place: &Place) -> Result<CableCell, DynamicsError> {
        let plan = self.plan()?;
        let trained = self.trained(|name| ![RESISTIVITY, CURRENT].contains(&name));
        let described = self.described(&plan.table, plan.regions, &trained);
        let cells = described.init(Arc::new(BackwardEuler), place)?;
        let cells = cells.with_present(plan.present);
        let own = self.trained(|name| name == RESISTIVITY);
        let settings = own.of((RESISTIVITY, &plan.axial_resistivity, Range::Positive));
        let axial_resistivity = settings.init(RESISTIVITY, plan.regions, place)?;
        let own = self.trained(|name| name == CURRENT);
        let settings = own.of((CURRENT, &self.current, Range::Any));
        let current = settings.init(CURRENT, self.inputs(), place)?;
        let of_cell = plan.compartments.regions.iter().map(|own| *own as i64);
        let of_cell: Vec<i64> = of_cell.collect();
        let membrane = Regions::new(cells, of_cell.repeat(self.cells));
        let geometry = plan.compartments.geometry.repeated(self.cells);
        let cable = Cable::new(membrane, axial_resistivity, (geometry, self.scheme), place)?;
        Ok(CableCell::new(cable, current, plan.places))
    }

    fn plan(&self) -> Result<Plan, DynamicsError> {
        check_count("unit.cells", self.cells)?;
        self.check_uniform()?;
        Range::Positive.check("unit.axial_resistivity", self.axial_resistivity)?;
        Range::Positive.check("unit.d_lambda", self.d_lambda)?;
        self.parameters.0.check_form()?;
        section::check_count(&self.section)?;
        self.stimulus_sites
            .check("unit.stimulus_sites", self.cells)?;
        self.record_sites.check("unit.record_sites", self.cells)?;
        for (index, section) in self.section.iter().enumerate() {
            self.check_section(index, section)?;
        }
        let (branches, regions) = self.branches()?;
        let mut table = self.table(&regions);
        table.check_values()?;
        let present = self.present(&mut table);
        let trained = self.trained(|name| ![RESISTIVITY, CURRENT].contains(&name));
        self.described(&table, regions.len(), &trained).validate()?;
        self.check_initial(&table)?;
        let axial_resistivity = self.of_regions(RESISTIVITY, self.axial_resistivity, &regions);
        let own = self.trained(|name| name == RESISTIVITY);
        own.of((RESISTIVITY, &axial_resistivity, Range::Positive))
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
            Fineness {
                section: regions[region],
                compartments: section.and_then(|section| section.compartments),
                own: d_lambda.is_some(),
                d_lambda: d_lambda.unwrap_or(self.d_lambda),
                axial_resistivity: of(&axial_resistivity, region),
                capacitance: of(&table.capacitance, region),
            }
        };
        let compartments = Discretised::new(&branches, &fineness, self.cells)?;
        let places = self.places(&branches, &compartments)?;
        Ok(Plan {
            regions: regions.len(),
            table,
            present,
            axial_resistivity,
            compartments,
            places,
        })
    }

    /// Checks that what is said for the whole cell is one value.
    fn check_uniform(&self) -> Result<(), DynamicsError> {
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
        known.insert(RESISTIVITY, Range::Positive);
        for (name, value) in &section.parameters {
            let field = at(&format!("parameters.{name}"));
            match known.get(name.as_str()) {
                Some(range) => range.check(field, *value)?,
                None => {
                    let names: Names<'_> = known.keys().copied().collect();
                    return Err(DynamicsError::config(field, value, names.listed()));
                }
            }
        }
        Ok(())
    }

    /// The branches of the cell, and for each region the section that has its settings.
    fn branches(&self) -> Result<(Vec<Branch>, Vec<Option<usize>>), DynamicsError> {
        let Some(morphology) = &self.morphology else {
            if self.section.is_empty() {
                let soma = Branch {
                    name: "soma".into(),
                    region: 0,
                    parent: None,
                    frusta: vec![Frustum {
                        length: 20.0,
                        diameters: [20.0; 2],
                    }],
                };
                return Ok((vec![soma], vec![None]));
            }
            let branches = section::branches(&self.section)?;
            return Ok((branches, (0..self.section.len()).map(Some).collect()));
        };
        let traced = morphology.traced()?;
        let groups = traced.groups();
        let names: Names<'_> = groups.iter().map(String::as_str).collect();
        let mut regions = vec![None; groups.len()];
        for (index, section) in self.section.iter().enumerate() {
            let at = |field: &str| format!("unit.section[{index}].{field}");
            let geometry = [
                ("parent", section.parent.is_some()),
                ("length", section.length.is_some()),
                ("diameter", section.diameter.is_some()),
            ];
            if let Some((field, _)) = geometry.into_iter().find(|(_, given)| *given) {
                let allowed = "unset: the morphology has the geometry, and a section of it is a group of its points";
                return Err(DynamicsError::config(at(field), "given", allowed));
            }
            let found = || format!("{:?}", section.name);
            let Some(region) = names.place(&section.name) else {
                let allowed = format!("a group of the morphology: {}", names.listed());
                return Err(DynamicsError::config(at("name"), found(), allowed));
            };
            if regions[region].replace(index).is_some() {
                let allowed = "a group that no other section has";
                return Err(DynamicsError::config(at("name"), found(), allowed));
            }
        }
        Ok((traced.branches()?, regions))
    }

    /// A parameter of the regions: one value, or one for each where they differ.
    fn of_regions(&self, name: &str, value: f64, regions: &[Option<usize>]) -> Values {
        let own = |section: &Option<usize>| {
            let section = section.map(|index| &self.section[index]);
            let own = section.and_then(|section| section.parameters.get(name));
            own.copied().unwrap_or(value)
        };
        let values: Vec<f64> = regions.iter().map(own).collect();
        match values.first() {
            Some(first) if values.iter().all(|value| value == first) => Values::One(*first),
            _ => Values::Each(values),
        }
    }

    fn table(&self, regions: &[Option<usize>]) -> ChannelTable {
        let mut table = self.parameters.0.clone();
        for (info, values) in table.parameters_mut() {
            if let Values::One(value) = values {
                *values = self.of_regions(info.name, *value, regions);
            }
        }
        table
    }

    /// Which regions have the conductances that are trained: one that is 0 in some regions stays so there. In its place in the
    /// table comes that of another region, as training keeps conductances above 0.
    fn present(&self, table: &mut ChannelTable) -> BTreeMap<&'static str, Vec<f64>> {
        let mut all = BTreeMap::new();
        for (info, values) in table.parameters_mut() {
            let highest = values.highest();
            let trained = self.trainable.iter().any(|name| name == info.name);
            if let Values::Each(each) = values
                && trained
                && info.range == Range::NonNegative
                && highest > 0.0
                && each.contains(&0.0)
            {
                let present = each.iter().map(|value| f64::from(u8::from(*value != 0.0)));
                all.insert(info.name, present.collect());
                let absent = each.iter_mut().filter(|value| **value == 0.0);
                absent.for_each(|value| *value = highest);
            }
        }
        all
    }

    /// Where a parameter of the regions stands: at its place for the whole cell, and among those of the sections.
    fn places_of(&self, name: &str) -> Option<choice::Places> {
        let (_, regions) = self.branches().ok()?;
        // Another value of these would divide the cell into other compartments than those that were trained.
        let divided = |section: &Option<usize>| {
            section.is_none_or(|index| self.section[index].compartments.is_none())
        };
        if [RESISTIVITY, CAPACITANCE].contains(&name) && regions.iter().any(divided) {
            return None;
        }
        let of_cell = match name {
            RESISTIVITY => name.to_owned(),
            _ => self.parameters.0.place(name)?,
        };
        let of_cell = format!("unit.{of_cell}");
        let of_section = |index: usize| format!("unit.section.{index}.parameters.{name}");
        let own = self.section.iter().enumerate();
        let own = own.filter(|(_, section)| section.parameters.contains_key(name));
        let shared = own.map(|(index, _)| of_section(index));
        let shared = std::iter::once(of_cell.clone()).chain(shared).collect();
        let mut table = self.table(&regions);
        let present = self.present(&mut table);
        let present = present.get(name);
        let alone = regions.iter().filter(|section| section.is_none()).count() == 1;
        let place = |(region, section): (usize, &Option<usize>)| match section {
            _ if present.is_some_and(|present| present[region] == 0.0) => Region::Without,
            Some(index) => Region::At(of_section(*index)),
            None if alone => Region::At(of_cell.clone()),
            None => Region::Nowhere,
        };
        let each = regions.iter().enumerate().map(place).collect();
        Some(choice::Places::Regions { shared, each })
    }

    /// What training may change of some parameters.
    fn trained(&self, of: impl Fn(&str) -> bool) -> Trained {
        let names = self.trainable.iter().filter(|name| of(name));
        let bounds = self.bounds.iter().filter(|(name, _)| of(name));
        Trained {
            trainable: names.cloned().collect(),
            bounds: bounds.map(|(name, own)| (name.clone(), *own)).collect(),
        }
    }

    fn described<'a>(
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

    fn check_initial(&self, table: &ChannelTable) -> Result<(), DynamicsError> {
        let variables = table.variables();
        let mut names = self.initial.keys();
        match names.find(|name| !variables.contains(&name.as_str())) {
            Some(name) => {
                let field = format!("unit.initial.{name}");
                Err(DynamicsError::config(field, "given", variables.join(", ")))
            }
            None => Ok(()),
        }
    }

    /// How far each record site that is named is from the first one along the cell, µm.
    fn distances(&self, branches: &[Branch], names: &Names<'_>) -> Result<Vec<f64>, DynamicsError> {
        let given = self.record_sites.as_slice().iter();
        let given = given.map(|text| site::find("unit.record_sites", text, names, 0.5));
        let sites: Vec<(usize, f64)> = given.collect::<Result<_, _>>()?;
        let Some(first) = sites.first() else {
            return Ok(Vec::new());
        };
        let from: BTreeMap<usize, (f64, f64)> = way(branches, *first)
            .into_iter()
            .map(|(branch, at, walked)| (branch, (at, walked)))
            .collect();
        let distance = |site: &(usize, f64)| {
            let mut all = way(branches, *site).into_iter();
            let meeting = all.find_map(|(branch, at, walked)| {
                let (other, before) = from.get(&branch)?;
                Some(walked + before + (at - other).abs() * branches[branch].length())
            });
            meeting.unwrap_or(0.0)
        };
        Ok(sites.iter().map(distance).collect())
    }

    /// Where currents enter and the cells are recorded.
    fn places(
        &self,
        branches: &[Branch],
        compartments: &Discretised,
    ) -> Result<Places, DynamicsError> {
        let names: Names<'_> = branches.iter().map(|own| own.name.as_str()).collect();
        let of_cell = compartments.regions.len();
        let resolved = |field: &str, sites: &Sites| -> Result<Vec<usize>, DynamicsError> {
            let sites = sites.as_slice().iter().enumerate();
            let found = sites.map(|(index, text)| {
                let (branch, at) = site::find(&format!("{field}[{index}]"), text, &names, 0.5)?;
                Ok(compartments.compartment(branch, at))
            });
            found.collect()
        };
        let mut entered = resolved("unit.stimulus_sites", &self.stimulus_sites)?;
        for (index, compartment) in entered.iter().enumerate() {
            if entered[..index].contains(compartment) {
                let found = format!("{:?}", self.stimulus_sites.as_slice()[index]);
                let allowed = "a site in another compartment than those before it";
                let field = format!("unit.stimulus_sites[{index}]");
                return Err(DynamicsError::config(field, found, allowed));
            }
        }
        if entered.is_empty() {
            entered.push(compartments.compartment(0, 0.5));
        }
        let (mut recorded, mut labels) = if self.record_sites.is_empty() {
            let middles = 0..branches.len();
            let middles = middles.map(|branch| compartments.compartment(branch, 0.5));
            let labels = branches.iter().map(|branch| branch.name.clone());
            (middles.collect(), labels.collect())
        } else {
            let labels = self.record_sites.as_slice().iter();
            let labels: Vec<String> = labels.map(|text| site::label(text)).collect();
            (resolved("unit.record_sites", &self.record_sites)?, labels)
        };
        if self.cells > 1 {
            let copied = |own: &[usize]| -> Vec<usize> {
                let cells = 0..self.cells;
                let all = cells.flat_map(|cell| own.iter().map(move |at| cell * of_cell + at));
                all.collect()
            };
            (entered, recorded) = (copied(&entered), copied(&recorded));
            let cells = 0..self.cells;
            let all = cells.flat_map(|cell| labels.iter().map(move |own| format!("{cell}: {own}")));
            labels = all.collect();
        }
        let distances = match self.cells {
            1 => self.distances(branches, &names)?,
            _ => Vec::new(),
        };
        Ok(Places {
            entered,
            recorded,
            labels: labels.into(),
            distances,
        })
    }
}

impl Unit for CableCellConfig {
    const CURRENT: &'static str = "nA";

    fn shortest_time_constant(&self) -> Option<f64> {
        let mut table = self.parameters.0.clone();
        for section in &self.section {
            for (info, values) in table.parameters_mut() {
                if let Some(own) = section.parameters.get(info.name) {
                    let all = [values.as_slice(), &[*own]].concat();
                    *values = all.into();
                }
            }
        }
        fastest(&table)
    }

    fn spike_threshold(&self) -> Option<f64> {
        Some(self.spike_threshold)
    }

    fn own_method(&self) -> Option<(&'static str, &'static str)> {
        Some(("unit.scheme", self.scheme.name()))
    }

    fn inputs(&self) -> Option<usize> {
        Some(self.inputs())
    }

    fn places(&self, name: &str) -> choice::Places {
        self.places_of(name).unwrap_or(choice::Places::Nowhere)
    }

    fn build(&self, _: Arc<dyn Solver>, place: &Place) -> Result<UnitModel, DynamicsError> {
        self.init(place).map(UnitModel::Cable)
    }
}

/// How a place is reached from the root: the branches on the way, its own first, where the way leaves each of them, and how
/// far from the place that is, µm.
fn way(branches: &[Branch], (branch, place): (usize, f64)) -> Vec<(usize, f64, f64)> {
    let mut way = vec![(branch, place, 0.0)];
    let (mut branch, mut place, mut walked) = (branch, place, 0.0);
    while let Some((parent, at)) = branches[branch].parent {
        walked += place * branches[branch].length();
        (branch, place) = (parent, at);
        way.push((branch, place, walked));
    }
    way
}

/// What training may change.
struct Trained {
    trainable: Vec<String>,
    bounds: BTreeMap<String, Bounds>,
}

impl Trained {
    /// Of one setting of the cable.
    fn of<'a>(&'a self, (name, values, range): (&'static str, &'a Values, Range)) -> Settings<'a> {
        let mut all = Settings::new("unit", &self.trainable, &self.bounds);
        all.add(("unit", name), values, range);
        all
    }
}
