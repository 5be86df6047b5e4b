//! What a kind of conductance-based cell is.

use std::fmt;

use super::channel::ChannelTable;

/// A kind of conductance-based cell: its channels, with their published parameters.
pub trait CellKind: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The name in configuration files.
    const NAME: &'static str;

    /// What it is made of.
    fn table() -> ChannelTable;
}
