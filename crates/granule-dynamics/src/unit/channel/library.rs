//! The channels of the published cells, by name.

use super::super::{CellKind, cell};
use super::table::{ChannelConfig, ChannelTable};

/// A published cell: its name and its table.
type Entry = (&'static str, fn() -> ChannelTable);

/// All published cells.
const CELLS: &[Entry] = &[
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
    let of_cell = |(cell, table): &Entry| {
        let channels = table().channels.into_iter();
        let names = channels.map(|channel| format!("{cell}/{}", channel.name));
        names.collect::<Vec<_>>()
    };
    CELLS.iter().flat_map(of_cell).collect()
}
