//! `granule report`.

use granule::train::record::{REPORT_HTML, ReportData, write_report};

use crate::args;
use crate::output;

pub fn run(args: &args::Report) -> anyhow::Result<()> {
    write_report(&args.run, &ReportData::load(&args.run)?)?;
    output::line(&args.run.join(REPORT_HTML).display().to_string())
}
