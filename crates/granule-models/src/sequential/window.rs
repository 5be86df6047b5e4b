//! Square windows that move over an image.

use super::Site;
use crate::parameters::Window;
use crate::{InputShape, ModelError};

/// The most pixels of a side of a window.
const LARGEST_WINDOW: usize = 64;

/// The side of a window, or how far it moves.
pub(super) fn check_window(field: String, size: usize) -> Result<(), ModelError> {
    match size {
        1..=LARGEST_WINDOW => Ok(()),
        _ => Err(ModelError::config(
            field,
            size,
            format!("1 to {LARGEST_WINDOW}"),
        )),
    }
}

/// The image that a window gives, with so many channels, or with those that it has.
pub(super) fn shape(
    site: &Site,
    window: Window,
    filters: Option<usize>,
) -> Result<InputShape, ModelError> {
    let Window {
        kernel,
        stride,
        padding,
    } = window;
    let InputShape::Image {
        channels,
        height,
        width,
    } = site.input()
    else {
        let hint = "put it before the first flatten of a model of images";
        return Err(site.misfit("takes images", hint));
    };
    let along = |side: usize| {
        let room = (side + 2 * padding).checked_sub(kernel)?;
        Some(room / stride + 1)
    };
    let (Some(height), Some(width)) = (along(height), along(width)) else {
        let problem = format_args!("has a window of {kernel}×{kernel}");
        return Err(site.misfit(
            problem,
            "take a smaller window or leave out a pool or stride",
        ));
    };
    Ok(InputShape::Image {
        channels: filters.unwrap_or(channels),
        height,
        width,
    })
}
