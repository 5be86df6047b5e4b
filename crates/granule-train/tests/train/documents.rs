//! The tables in the pages on recordings.

use std::path::Path;

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
        let page = std::fs::read_to_string(&path).unwrap();
        for text in tables(&page) {
            let mut table: toml::Table = text.parse().unwrap();
            // A page may show layers alone.
            if let Some(toml::Value::Table(model)) = table.get_mut("model")
                && model.contains_key("layer")
            {
                model.insert("kind".to_owned(), "sequential".into());
            }
            let whole = toml::to_string(&table).unwrap();
            let read = RunConfig::from_toml_str(&whole);
            assert!(read.is_ok(), "{}: {read:?}\n{text}", path.display());
            found += 1;
        }
    }
    assert!(found >= 4, "{found} tables");
}
