//! What is wrong with a table of channels, by its place in a configuration file.

use std::collections::{BTreeMap, BTreeSet};

use granule_ops::{Curve, GateKinetics};

use super::super::rates;
use super::curve::Constants;
use super::names;
use super::table::{ChannelConfig, ChannelTable, GateConfig, ReversalConfig};
use crate::DynamicsError;
use granule_io::words::Number;

/// The voltages that a curve must make sense at, tenths of a mV.
const VOLTAGES: std::ops::RangeInclusive<i32> = -1200..=600;

/// The highest steady state: fits that were published go a little above 1 far above the potentials of a spike.
const MOST_OPEN: f64 = 1.05;

/// The most that a gate may be raised to.
const MOST_POWER: u32 = 8;

/// The most channels of a cell, gates of a channel, concentrations, and curves that a curve is made of.
const MOST: [(&str, usize); 4] = [
    ("channels", 64),
    ("gates", 8),
    ("concentrations", 16),
    ("curves", 32),
];

impl ChannelTable {
    /// Checks names, references and forms.
    pub(crate) fn check_form(&self) -> Result<(), DynamicsError> {
        self.check_counts()?;
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

    /// Checks how much there is of everything, before anything is made of it.
    fn check_counts(&self) -> Result<(), DynamicsError> {
        let [channels, gates, pools, curves] = MOST;
        let check = |field: &dyn Fn() -> String, count: usize, (what, most): (&str, usize)| {
            if count <= most {
                return Ok(());
            }
            let found = format!("[{count} {what}]");
            Err(DynamicsError::config(
                field(),
                found,
                format!("at most {most} {what}"),
            ))
        };
        check(&|| "unit.channel".to_owned(), self.channels.len(), channels)?;
        check(&|| "unit.concentration".to_owned(), self.pools.len(), pools)?;
        for (index, channel) in self.channels.iter().enumerate() {
            let at = format!("unit.channel[{index}].gate");
            check(&|| at.clone(), channel.gate.len(), gates)?;
            for (number, gate) in channel.gate.iter().enumerate() {
                for (name, curve) in gate.curves() {
                    let field = || format!("{at}[{number}].{name}");
                    check(&field, curve.parts(), curves)?;
                }
            }
        }
        Ok(())
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
        let allowed = if known.is_empty() {
            "a concentration, and there is no [[unit.concentration]]".to_owned()
        } else {
            known.join(", ")
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
                let known = known.fold(first.map(str::to_owned), |all, name| {
                    all.map(|all| format!("{all}, {name}"))
                });
                let known = match known {
                    Some(known) => {
                        format!("a voltage, or a channel with a voltage of its own: {known}")
                    }
                    None => "a voltage: no channel has one that it could share".to_owned(),
                };
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
        if gate.follows_at_once() && gate.temperature_factor.is_some() {
            let field = format!("{at}.temperature_factor");
            let allowed = "unset: the gate follows at once, at any temperature";
            return Err(DynamicsError::config(field, "given", allowed));
        }
        let given: Vec<_> = gate.curves().map(|(name, _)| name).collect();
        let complete = matches!(
            given[..],
            ["alpha", "beta"] | ["steady_state", "time_constant"] | ["steady_state"]
        );
        if !complete {
            let allowed = "alpha and beta, or steady_state and time_constant, or steady_state of a gate that follows at once";
            let found = if given.is_empty() {
                "without a curve".to_owned()
            } else {
                given.join(" and ")
            };
            return Err(DynamicsError::config(at, found, allowed));
        }
        for (name, curve) in gate.curves() {
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

    /// Checks the values of every curve at every tenth of a mV between −120 and 60 mV, once for all cells whose curves are
    /// the same.
    pub(crate) fn check_values(&self) -> Result<(), DynamicsError> {
        let all = self.placed();
        let of_curves = all.iter().filter(|(_, place, _)| {
            place.contains(".gate[") || place.ends_with(".rest") || place.starts_with("v_shift")
        });
        let of_curves: Vec<&[f64]> = of_curves.map(|(.., values)| values.as_slice()).collect();
        let width = of_curves.iter().map(|values| values.len()).max();
        let known: BTreeMap<&str, &[f64]> = all
            .iter()
            .map(|(info, _, values)| (info.name, values.as_slice()))
            .collect();
        let width = width.unwrap_or(1).max(1);
        let of_cell = |values: &[f64], cell: usize| values.get(cell).or(values.last()).copied();
        let mut seen = BTreeSet::new();
        for cell in 0..width {
            let own = of_curves.iter().filter(|values| values.len() > 1);
            let own = own.filter_map(|values| of_cell(values, cell));
            let own: Vec<u64> = own.map(f64::to_bits).collect();
            if !seen.insert(own) {
                continue;
            }
            let constant = |name: &str| {
                let value = known.get(name).and_then(|values| of_cell(values, cell));
                value.ok_or_else(|| DynamicsError::missing(name))
            };
            self.cell_values(&constant)?;
        }
        Ok(())
    }

    fn cell_values(&self, constant: &Constants<'_, f64>) -> Result<(), DynamicsError> {
        let rests = self
            .pools
            .iter()
            .map(|pool| constant(&format!("{}_rest", pool.name)));
        let rests: Vec<f64> = rests.collect::<Result<_, _>>()?;
        let table = self.bind(constant, &0.0)?;
        for (index, channel) in table.channels.iter().enumerate() {
            for (number_of, gate) in channel.gates.iter().enumerate() {
                let at = format!("unit.channel[{index}].gate[{number_of}]");
                let config = &self.channels[index].gate[number_of];
                let curves = gate.kinetics.curves();
                let names = match &gate.kinetics {
                    GateKinetics::Rates(_) | GateKinetics::SteadyRates(_) => ["alpha", "beta"],
                    GateKinetics::Relaxation(_) | GateKinetics::Steady(_) => {
                        ["steady_state", "time_constant"]
                    }
                };
                for tenths in VOLTAGES {
                    let voltage = f64::from(tenths) / 10.0;
                    let value = |curve: &Curve<f64>| rates::on_host(curve, voltage, &rests);
                    let found: Vec<f64> = curves.iter().map(value).collect();
                    let fails = |index: usize, allowed: &str| {
                        let field = format!("{at}.{}", names[index]);
                        let found = format!("{} at {} mV", found[index], Number(voltage));
                        Err(DynamicsError::config(field, found, allowed))
                    };
                    if config.steady_state.is_some() {
                        if !(-1e-9..=MOST_OPEN).contains(&found[0]) {
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
