//! `granule export`.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use granule::device::DeviceSpec;
use granule::interchange::{Format, InterchangeError, export};
use granule::models::ModelFile;
use serde_json::json;

use super::result::fact;
use super::target::{Target, on};
use crate::args;
use crate::failure::Usage;
use crate::output;
use crate::written::OutFile;

pub fn run(args: &args::Export) -> anyhow::Result<()> {
    let format = format(args.format.as_deref(), &args.out)?;
    let out = OutFile::new(&args.out, "--out")?;
    let target = Target::find(&args.model)?;
    let file = ModelFile::load(&target.model)?;
    let device = DeviceSpec::Cpu.open()?;
    let mut failure = None;
    let written = out.write(|handle| {
        let mut handle = BufWriter::new(handle);
        let done = on(&device, || {
            Ok(export(&file, format, device.burn(), &mut handle)?)
        });
        done.map_err(|error| match error.downcast() {
            Ok(InterchangeError::Write(source)) => source,
            Ok(error) => kept(&mut failure, error.into()),
            Err(error) => kept(&mut failure, error),
        })?;
        handle.flush()
    });
    match failure {
        Some(error) => return Err(error),
        None => written?,
    }
    if args.json {
        let fields = json!({
            "model": file.model.name(),
            "format": format.name(),
            "out": args.out.display().to_string(),
            "tensors": file.state.0.len(),
        });
        return output::event("export", fields);
    }
    fact("model", &super::import::described(&file))?;
    fact("format", format.summary())?;
    fact("file", &args.out.display().to_string())
}

/// Keeps an error that is none of writing; what stands for it leaves the file unwritten.
fn kept(failure: &mut Option<anyhow::Error>, error: anyhow::Error) -> std::io::Error {
    *failure = Some(error);
    std::io::ErrorKind::InvalidData.into()
}

/// The format that was named, else that of the file's name.
pub(super) fn format(named: Option<&str>, path: &Path) -> Result<&'static Format, Usage> {
    let format = match named {
        Some(name) => Format::from_name(name),
        None => Format::of_path(path),
    };
    format.map_err(|error| Usage::new(error.to_string()))
}
