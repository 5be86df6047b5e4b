//! The font that text is measured with and, in pixels, drawn in.

use std::sync::OnceLock;

use plotters::style::{FontStyle, register_font};

use super::ChartError;

/// The name under which the font is known; in an SVG file the reader's own sans-serif stands for it.
pub(super) const FAMILY: &str = "sans-serif";

/// Makes the embedded font known to the drawing library, once for the process.
pub(super) fn register() -> Result<(), ChartError> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    if *DONE.get_or_init(|| register_font(FAMILY, FontStyle::Normal, font).is_ok()) {
        Ok(())
    } else {
        Err(ChartError::Draw {
            reason: "the embedded font is not readable".into(),
        })
    }
}
