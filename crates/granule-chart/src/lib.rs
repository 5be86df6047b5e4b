#![cfg_attr(feature = "draw", doc = include_str!("../README.md"))]
//!
//! [`Axis`] is what its figures and the charts of reports share: from values to coordinates, and where the marks go.
//! Everything else is behind the feature `draw`, which is on by default.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod axis;
#[cfg(feature = "draw")]
mod draw;
#[cfg(feature = "draw")]
mod figure;
#[cfg(feature = "draw")]
mod font;
#[cfg(feature = "draw")]
mod label;
#[cfg(feature = "draw")]
mod render;

pub use axis::Axis;
#[cfg(feature = "draw")]
pub use figure::{ChartError, Figure, Mark, Panel};
#[cfg(feature = "draw")]
pub use render::{MOST_PIXELS, fine};
