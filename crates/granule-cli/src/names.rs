//! Names of things as they are shown.

use granule::data::Shape;

/// `28×28 grey pixels`, `32×32 RGB pixels`, `7 features`.
pub fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Image {
            channels: 1,
            height,
            width,
        } => format!("{width}×{height} grey pixels"),
        Shape::Image {
            channels: 3,
            height,
            width,
        } => format!("{width}×{height} RGB pixels"),
        Shape::Image {
            channels,
            height,
            width,
        } => format!("{width}×{height} pixels and {channels} channels"),
        Shape::Vector { len } => format!("{len} features"),
    }
}
