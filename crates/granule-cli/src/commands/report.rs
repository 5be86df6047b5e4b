//! `granule report`.

use std::path::{Path, PathBuf};

use granule::train::record::{REPORT_HTML, ReportData, write_report};

use super::target::Target;
use crate::args;
use crate::failure::Usage;
use crate::output;

pub fn run(args: &args::Report) -> anyhow::Result<()> {
    let run = &run_dir(&args.run)?;
    let data = ReportData::load(run)?;
    write_report(run, &data)?;
    if data.interrupted {
        output::note(&format!(
            "the run is not finished; go on with it: granule train --resume {}",
            output::quoted(run)
        ));
    }
    output::line(&run.join(REPORT_HTML).display().to_string())
}

/// The run that a folder, a model file or a checkpoint belongs to.
fn run_dir(path: &Path) -> Result<PathBuf, Usage> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    Target::find(path)?.run_dir.ok_or_else(|| {
        Usage::new(format!(
            "{} is not in a run folder, and what a report shows is only there",
            path.display()
        ))
        .hint("give the folder of the run")
    })
}
