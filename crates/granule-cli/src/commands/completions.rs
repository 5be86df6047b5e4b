//! `granule completions`.

use std::io;

use clap::CommandFactory;

use crate::args::{self, Cli};
use crate::output;

pub fn run(args: &args::Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "granule", &mut script);
    let script = String::from_utf8(script).map_err(io::Error::other)?;
    output::line(script.trim_end())
}
