//! The tables in the pages.

use std::path::Path;

use granule_simulate::ExperimentConfig;
use granule_train::RunConfig;

/// What stands between the fences of a page's tables.
fn tables(page: &str) -> Vec<&str> {
    let fences = page.split("```toml\n").skip(1);
    fences.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_table_of_the_pages_is_a_configuration() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut found = 0;
    for entry in std::fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        // Pictures stand beside the pages.
        if path.extension().is_none_or(|own| own != "md") {
            continue;
        }
        let page = std::fs::read_to_string(&path).unwrap();
        for text in tables(&page) {
            // Of a simulation, or of a training.
            let read = match toml::from_str::<ExperimentConfig>(text) {
                Ok(config) => config.validate().map_err(|error| error.to_string()),
                Err(_) => {
                    let read = RunConfig::from_toml_str(text).map(drop);
                    read.map_err(|error| error.to_string())
                }
            };
            assert!(read.is_ok(), "{}: {read:?}\n{text}", path.display());
            found += 1;
        }
    }
    assert!(found >= 4, "{found} tables");
}
