//! The channels of the published cells, by name.

use super::super::choice::CHANNELS;
use super::table::ChannelConfig;

/// A channel as `hodgkin-huxley/na`.
pub fn channel(name: &str) -> Option<ChannelConfig> {
    let (cell, channel) = name.split_once('/')?;
    let (_, table) = CHANNELS.iter().find(|(own, _)| *own == cell)?;
    let mut channels = table()?.channels.into_iter();
    channels.find(|own| own.name == channel)
}

/// The names of all channels.
pub fn names() -> Vec<String> {
    let tables = CHANNELS
        .iter()
        .filter_map(|(cell, table)| Some((cell, table()?)));
    let names = tables.flat_map(|(cell, table)| {
        let channels = table.channels.into_iter();
        channels.map(move |channel| format!("{cell}/{}", channel.name))
    });
    names.collect()
}
