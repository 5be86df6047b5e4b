//! The channels of the published cells, by name.

use super::super::{CellKind, cell};
use super::table::{ChannelConfig, ChannelTable};

/// All published cells with their tables.
const CELLS: &[(&str, fn() -> ChannelTable)] = &[
    (cell::HodgkinHuxley::NAME, cell::HodgkinHuxley::table),
    (cell::WangBuzsaki::NAME, cell::WangBuzsaki::table),
    (cell::TraubMiles::NAME, cell::TraubMiles::table),
];

/// A channel as `hodgkin-huxley/na`.
pub fn channel(name: &str) -> Option<ChannelConfig> {
    let (cell, channel) = name.split_once('/')?;
    let (_, table) = CELLS.iter().find(|(own, _)| *own == cell)?;
    let mut channels = table().channels.into_iter();
    channels.find(|own| own.name == channel)
}

/// The names of all channels.
pub fn names() -> Vec<String> {
    let of_cell = |(cell, table): &(&str, fn() -> ChannelTable)| {
        let channels = table().channels.into_iter();
        let names = channels.map(|channel| format!("{cell}/{}", channel.name));
        names.collect::<Vec<_>>()
    };
    CELLS.iter().flat_map(of_cell).collect()
}
