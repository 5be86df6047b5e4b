//! The channels of the published cells, by name.

use super::super::UnitConfig;
use super::table::{ChannelConfig, GateConfig};

/// A channel as `hodgkin-huxley/na`, with the temperature factor of its cell.
pub fn channel(name: &str) -> Option<ChannelConfig> {
    let (cell, channel) = name.split_once('/')?;
    let (_, table) = UnitConfig::published().find(|(own, _)| *own == cell)?;
    let mut channels = table.channels.into_iter();
    let mut channel = channels.find(|own| own.name == channel)?;
    // At the temperature of the cell that it was published with.
    let of_cell = table.temperature_factor.as_slice()[0];
    let moving = |gate: &&mut GateConfig| !gate.follows_at_once();
    for gate in channel.gate.iter_mut().filter(moving) {
        let own = gate.temperature_factor.as_ref();
        let factor = of_cell * own.map_or(1.0, |own| own.as_slice()[0]);
        gate.temperature_factor = (factor != 1.0).then(|| factor.into());
    }
    Some(channel)
}

/// The names of all channels.
pub fn names() -> Vec<String> {
    let names = UnitConfig::published().flat_map(|(cell, table)| {
        let channels = table.channels.into_iter();
        channels.map(move |channel| format!("{cell}/{}", channel.name))
    });
    names.collect()
}

/// Lists the names in a schema.
#[cfg(feature = "schema")]
pub(super) fn listed(schema: &mut schemars::Schema) {
    schema.insert("words".to_owned(), names().into());
}
