//! `granule devices`.

use granule::device::{list, table};

use crate::args;
use crate::output;

pub fn run(args: &args::Devices) -> anyhow::Result<()> {
    let entries = list();
    if args.json {
        return entries.iter().try_for_each(output::json);
    }
    output::line(table(&entries).trim_end())
}
