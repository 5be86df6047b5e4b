//! `granule report`.

use granule::train::record::{REPORT_HTML, ReportData, write_report};

use crate::args;
use crate::output;

pub fn run(args: &args::Report) -> anyhow::Result<()> {
    let data = ReportData::load(&args.run)?;
    write_report(&args.run, &data)?;
    if data.interrupted {
        output::note(&format!(
            "the run is not finished; go on with it: granule train --resume {}",
            output::quoted(&args.run)
        ));
    }
    output::line(&args.run.join(REPORT_HTML).display().to_string())
}
