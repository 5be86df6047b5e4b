//! The branches of a cell and the regions whose parameters they have.

use std::collections::BTreeMap;

use super::cell::{CAPACITANCE, RESISTIVITY};
use super::config::CableCellConfig;
use super::section::{self, Branch, Frustum};
use super::site::Names;
use crate::setting::Range;
use crate::unit::channel::ChannelTable;
use crate::unit::population::{Places, Region};
use crate::{DynamicsError, Values};

impl CableCellConfig {
    /// The branches of the cell, and for each region the section that has its settings.
    pub(super) fn branches(&self) -> Result<(Vec<Branch>, Vec<Option<usize>>), DynamicsError> {
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
    pub(super) fn of_regions(&self, name: &str, value: f64, regions: &[Option<usize>]) -> Values {
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

    pub(super) fn table(&self, regions: &[Option<usize>]) -> ChannelTable {
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
    pub(super) fn present(&self, table: &mut ChannelTable) -> BTreeMap<&'static str, Vec<f64>> {
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
    pub(super) fn places_of(&self, name: &str) -> Option<Places> {
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
        Some(Places::Regions { shared, each })
    }
}
