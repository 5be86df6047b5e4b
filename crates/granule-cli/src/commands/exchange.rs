//! What `granule export` and `granule import` share.

use std::path::Path;

use granule::interchange::Format;
use granule::models::{ModelFile, Task};
use serde_json::{Value, json};

use crate::failure::Usage;
use crate::output;

/// The format that was named, else that of the file's name.
pub(super) fn format(named: Option<&str>, path: &Path) -> Result<&'static Format, Usage> {
    let format = match named {
        Some(name) => Format::from_name(name),
        None => Format::of_path(path),
    };
    format.map_err(|error| Usage::new(error.to_string()))
}

/// `lenet: 1×28×28 (channels, height, width) → 10 classes`
pub(super) fn described(file: &ModelFile) -> String {
    let noun = match file.task {
        Task::Classification { .. } => "class",
        _ => "value",
    };
    let (name, input) = (file.model.name(), &file.input.shape);
    let outputs = output::counted(file.task.outputs(), noun);
    format!("{name}: {input} → {outputs}")
}

/// What is told of a model that was written to `out`, as JSON.
pub(super) fn fields(file: &ModelFile, format: &Format, out: &Path) -> Value {
    json!({
        "model": file.model.name(),
        "format": format.name(),
        "out": out.display().to_string(),
        "tensors": file.state.0.len(),
    })
}
