//! The published cells, a table of channels each.

mod hodgkin_huxley;
mod traub_miles;
mod wang_buzsaki;

pub use hodgkin_huxley::{HodgkinHuxley, HodgkinHuxleyConfig};
pub use traub_miles::{TraubMiles, TraubMilesConfig};
pub use wang_buzsaki::{WangBuzsaki, WangBuzsakiConfig};
