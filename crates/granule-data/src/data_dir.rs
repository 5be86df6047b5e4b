//! Where data sets are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use granule_io::path::expand;

use crate::DataError;

/// The folder of data sets: `explicit`, else `GRANULE_DATA_DIR`, else the user's cache
/// (`$XDG_CACHE_HOME/granule/data`, `$HOME/.cache/granule/data`, or `%LOCALAPPDATA%\granule\data`).
///
/// # Errors
/// [`DataError::Config`] when none of these is set.
pub fn data_dir(explicit: Option<&Path>) -> Result<PathBuf, DataError> {
    choose_data_dir(explicit, |name| {
        std::env::var_os(name).filter(|value| !value.is_empty())
    })
}

/// The folder of one published data set inside [`data_dir`], for example `DIR/mnist`.
pub fn dataset_dir(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join(name)
}

fn choose_data_dir(
    explicit: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, DataError> {
    if let Some(dir) = explicit {
        return Ok(expand(dir));
    }
    if let Some(dir) = variable("GRANULE_DATA_DIR") {
        return Ok(expand(Path::new(&dir)));
    }
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .or_else(|| variable("LOCALAPPDATA").map(PathBuf::from));
    match cache {
        Some(cache) => Ok(cache.join("granule").join("data")),
        None => Err(DataError::invalid(
            "data_dir",
            "unknown",
            "give --data-dir DIR or set GRANULE_DATA_DIR: there is no home folder",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_chosen_in_order() {
        let all = |name: &str| match name {
            "GRANULE_DATA_DIR" => Some("/g".into()),
            "XDG_CACHE_HOME" => Some("/x".into()),
            "HOME" => Some("/h".into()),
            _ => None,
        };
        let choose = |skip: usize| {
            choose_data_dir(None, |name| {
                let order = ["GRANULE_DATA_DIR", "XDG_CACHE_HOME", "HOME"];
                order
                    .iter()
                    .position(|n| *n == name)
                    .filter(|&at| at >= skip)
                    .and_then(|_| all(name))
            })
        };
        assert_eq!(
            choose_data_dir(Some(Path::new("/e")), all).unwrap(),
            Path::new("/e")
        );
        assert_eq!(choose(0).unwrap(), Path::new("/g"));
        assert_eq!(choose(1).unwrap(), Path::new("/x/granule/data"));
        assert_eq!(choose(2).unwrap(), Path::new("/h/.cache/granule/data"));
        assert!(choose(3).unwrap_err().to_string().contains("--data-dir"));
    }
}
