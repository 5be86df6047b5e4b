//! What is wrong with a table of channels, by its place in a configuration file.

use std::collections::BTreeSet;

use granule_ops::{Curve, Kinetics};

use super::super::rates;
use super::super::setting::Quantity;
use super::names;
use super::table::{ChannelConfig, ChannelTable, GateConfig, ReversalConfig};
use crate::DynamicsError;

/// The voltages that a curve must make sense at, mV.
const VOLTAGES: std::ops::RangeInclusive<i32> = -120..=60;

/// The most that a gate may be raised to.
const MOST_POWER: u32 = 8;

impl ChannelTable {
    /// Checks names, references and forms.
    pub(crate) fn check_form(&self) -> Result<(), DynamicsError> {
        let mut known = BTreeSet::new();
        let mut name = |field: String, name: &str| {
            if !names::is_allowed(name) {
                let allowed = "a letter, then letters, digits and _, at most 32, and no name of granule's own";
                return Err(DynamicsError::config(field, format!("{name:?}"), allowed));
            }
            if !known.insert(name.to_owned()) {
                let allowed = "a name that nothing else of the cell has";
                return Err(DynamicsError::config(field, format!("{name:?}"), allowed));
            }
            Ok(())
        };
        for (index, pool) in self.pools.iter().enumerate() {
            name(format!("unit.concentration[{index}].name"), &pool.name)?;
        }
        let mut channels = BTreeSet::new();
        for (index, channel) in self.channels.iter().enumerate() {
            let at = format!("unit.channel[{index}]");
            if !names::is_allowed(&channel.name) || channel.name == "l" {
                let allowed = "a letter, then letters, digits and _, at most 32; l is the leak's";
                let found = format!("{:?}", channel.name);
                return Err(DynamicsError::config(format!("{at}.name"), found, allowed));
            }
            if !channels.insert(&channel.name) {
                let allowed = "a name that no other channel has";
                let found = format!("{:?}", channel.name);
                return Err(DynamicsError::config(format!("{at}.name"), found, allowed));
            }
            if channel.gate.is_empty() {
                let allowed = "one gate or more: what is always open is the leak";
                return Err(DynamicsError::config(format!("{at}.gate"), "[]", allowed));
            }
            for (number, gate) in channel.gate.iter().enumerate() {
                let at = format!("{at}.gate[{number}]");
                name(format!("{at}.name"), &gate.name)?;
                self.gate_form(&at, gate)?;
            }
            self.channel(&at, channel)?;
        }
        self.check_parameters()
    }

    /// Checks that no two parameters have one name: they are made of the names of channels, gates, curves and concentrations.
    fn check_parameters(&self) -> Result<(), DynamicsError> {
        let mut known = BTreeSet::from(["current"]);
        for (info, _) in self.parameters() {
            if !known.insert(info.name) {
                let allowed = "other names of channels, gates or concentrations: two parameters of the cell would have this one";
                return Err(DynamicsError::config(
                    "unit.channel",
                    format!("{:?}", info.name),
                    allowed,
                ));
            }
        }
        Ok(())
    }

    fn pool(&self, field: String, name: &str) -> Result<(), DynamicsError> {
        if self.pools.iter().any(|pool| pool.name == name) {
            return Ok(());
        }
        let known: Vec<_> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        let allowed = match known.is_empty() {
            true => "a concentration, and there is no [[unit.concentration]]".to_owned(),
            false => known.join(", "),
        };
        Err(DynamicsError::config(field, format!("{name:?}"), allowed))
    }

    fn channel(&self, at: &str, channel: &ChannelConfig) -> Result<(), DynamicsError> {
        if let Some(pool) = &channel.into {
            self.pool(format!("{at}.into"), pool)?;
        }
        match &channel.reversal {
            ReversalConfig::Fixed(_) => Ok(()),
            ReversalConfig::Of(other) => {
                let has_own =
                    |channel: &&ChannelConfig| matches!(channel.reversal, ReversalConfig::Fixed(_));
                let mut known = self
                    .channels
                    .iter()
                    .filter(has_own)
                    .map(|x| x.name.as_str());
                if known.clone().any(|name| name == other) {
                    return Ok(());
                }
                let first = known.next();
                let known = known.fold(first.unwrap_or("a voltage").to_owned(), |all, name| {
                    format!("{all}, {name}")
                });
                let field = format!("{at}.reversal");
                Err(DynamicsError::config(field, format!("{other:?}"), known))
            }
            ReversalConfig::Nernst(nernst) => {
                self.pool(format!("{at}.reversal.inside"), &nernst.inside)?;
                if !nernst.charge.is_finite() || nernst.charge == 0.0 {
                    let field = format!("{at}.reversal.charge");
                    let allowed = "a finite number other than 0";
                    return Err(DynamicsError::config(field, nernst.charge, allowed));
                }
                if !nernst.temperature.is_finite() || nernst.temperature <= -273.15 {
                    let field = format!("{at}.reversal.temperature");
                    let allowed = "a finite number above -273.15 °C";
                    return Err(DynamicsError::config(field, nernst.temperature, allowed));
                }
                Ok(())
            }
        }
    }

    fn gate_form(&self, at: &str, gate: &GateConfig) -> Result<(), DynamicsError> {
        if !(1..=MOST_POWER).contains(&gate.power) {
            let allowed = format!("1 to {MOST_POWER}");
            return Err(DynamicsError::config(
                format!("{at}.power"),
                gate.power,
                allowed,
            ));
        }
        let both = [
            ("alpha", &gate.alpha),
            ("beta", &gate.beta),
            ("steady_state", &gate.steady_state),
            ("time_constant", &gate.time_constant),
        ];
        let given: Vec<_> = both
            .iter()
            .filter(|(_, curve)| curve.is_some())
            .map(|(name, _)| *name)
            .collect();
        let complete = matches!(
            given[..],
            ["alpha", "beta"] | ["steady_state", "time_constant"] | ["steady_state"]
        );
        if !complete {
            let allowed = "alpha and beta, or steady_state and time_constant, or steady_state of a gate that follows at once";
            let found = match given.is_empty() {
                true => "without a curve".to_owned(),
                false => given.join(" and "),
            };
            return Err(DynamicsError::config(at, found, allowed));
        }
        for (name, curve) in both {
            let Some(curve) = curve else { continue };
            if let Some((below, found, allowed)) = curve.fault() {
                return Err(DynamicsError::config(
                    format!("{at}.{name}{below}"),
                    found,
                    allowed,
                ));
            }
            for concentration in curve.concentrations() {
                self.pool(format!("{at}.{name}"), concentration)?;
            }
        }
        Ok(())
    }

    /// Checks the values of every curve between −120 and 60 mV, in every cell.
    pub(crate) fn check_values(&self) -> Result<(), DynamicsError> {
        let all = self.parameters();
        let width = all.iter().map(|(_, values)| values.as_slice().len()).max();
        for cell in 0..width.unwrap_or(1).max(1) {
            let constant = |name: &str| {
                let found = all.iter().find(|(info, _)| info.name == name);
                let values = found.map_or(&[][..], |(_, values)| values.as_slice());
                let value = values.get(cell.min(values.len().saturating_sub(1)));
                Quantity::Number(value.copied().unwrap_or(f64::NAN))
            };
            self.cell_values(&constant)?;
        }
        Ok(())
    }

    fn cell_values(&self, constant: &dyn Fn(&str) -> Quantity) -> Result<(), DynamicsError> {
        let number = |quantity: &Quantity| match quantity {
            Quantity::Number(value) => *value,
            Quantity::Tensor(_) => f64::NAN,
        };
        let rests: Vec<f64> = self
            .pools
            .iter()
            .map(|pool| number(&constant(&format!("{}_rest", pool.name))))
            .collect();
        let table = self.bind(constant, &Quantity::Number(0.0));
        for (index, channel) in table.channels.iter().enumerate() {
            for (number_of, gate) in channel.gates.iter().enumerate() {
                let at = format!("unit.channel[{index}].gate[{number_of}]");
                let config = &self.channels[index].gate[number_of];
                let curves = gate.kinetics.curves();
                let names = match &gate.kinetics {
                    Kinetics::Rates(_) | Kinetics::SteadyRates(_) => ["alpha", "beta"],
                    Kinetics::Relaxation(_) | Kinetics::Steady(_) => {
                        ["steady_state", "time_constant"]
                    }
                };
                for voltage in VOLTAGES {
                    let value = |curve: &Curve<Quantity>| {
                        let curve = curve.map(&mut |quantity| number(quantity));
                        rates::on_host(&curve, f64::from(voltage), &rests)
                    };
                    let found: Vec<f64> = curves.iter().map(value).collect();
                    let fails = |index: usize, allowed: &str| {
                        let field = format!("{at}.{}", names[index]);
                        let found = format!("{} at {voltage} mV", found[index]);
                        Err(DynamicsError::config(field, found, allowed))
                    };
                    if config.steady_state.is_some() {
                        if !(-1e-9..=1.0 + 1e-9).contains(&found[0]) {
                            return fails(0, "from 0 to 1 at every voltage from -120 to 60 mV");
                        }
                        if found.len() > 1 && !(found[1].is_finite() && found[1] > 0.0) {
                            return fails(
                                1,
                                "finite and above 0 at every voltage from -120 to 60 mV",
                            );
                        }
                        continue;
                    }
                    for index in [0, 1] {
                        if !(found[index].is_finite() && found[index] >= 0.0) {
                            let allowed =
                                "finite and not below 0 at every voltage from -120 to 60 mV";
                            return fails(index, allowed);
                        }
                    }
                    if found[0] + found[1] == 0.0 {
                        return fails(0, "above 0 where beta is 0");
                    }
                }
            }
        }
        Ok(())
    }
}
