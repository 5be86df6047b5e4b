//! `granule export`.

use std::io::{BufWriter, Write as _};

use granule::device::DeviceSpec;
use granule::interchange::{InterchangeError, export};
use granule::models::ModelFile;

use super::exchange::{described, fields, format};
use super::result::fact;
use super::target::{Target, on};
use crate::args;
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
        return output::event("export", fields(&file, format, &args.out));
    }
    fact("model", &described(&file))?;
    fact("format", format.summary())?;
    fact("file", &args.out.display().to_string())
}

/// Keeps an error that is none of writing; what stands for it leaves the file unwritten.
fn kept(failure: &mut Option<anyhow::Error>, error: anyhow::Error) -> std::io::Error {
    *failure = Some(error);
    std::io::ErrorKind::InvalidData.into()
}
