//! Writes `include/granule.h`; with `--check` it fails where that is not what it would write.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut builder = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file(library.join("cbindgen.toml"))?);
    for source in ["failure", "model", "border"] {
        builder = builder.with_src(library.join("src").join(source).with_extension("rs"));
    }
    let mut header = Vec::new();
    builder.generate()?.write(&mut header);
    let path = library.join("include/granule.h");
    if std::env::args().nth(1).as_deref() != Some("--check") {
        std::fs::write(path, header)?;
    } else if std::fs::read(&path)? != header {
        return Err("include/granule.h is out of date: run this without --check".into());
    }
    Ok(())
}
