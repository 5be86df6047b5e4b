use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{DataError, Dataset, DatasetSpec, Progress, synthetic};

/// Where to look for a data set and how to divide it.
#[derive(Clone, Default)]
pub struct LoadOptions<'a> {
    /// The folder that holds `mnist/`, `cifar-10/`, …; `None` asks [`data_dir`].
    pub data_dir: Option<PathBuf>,
    /// Never download.
    pub offline: bool,
    /// Seed of the synthetic set and of random divisions into train and test.
    pub seed: u64,
    /// Receives the progress of downloads and long loads.
    pub progress: Option<&'a dyn Progress>,
}

/// Loads a data set; downloads it first when it is absent, the crate has the `fetch` feature and
/// [`LoadOptions::offline`] is false.
///
/// # Errors
/// A [`DataError`] that names the file and the reason.
pub fn load(spec: &DatasetSpec, options: &LoadOptions<'_>) -> Result<Dataset, DataError> {
    match spec {
        DatasetSpec::SyntheticDigits => synthetic::digits(options.seed),
        _ => Err(DataError::invalid("dataset", spec, "not available yet")),
    }
}

/// The folder of data sets: `explicit`, else `GRANULE_DATA_DIR`, else the user's cache
/// (`$XDG_CACHE_HOME/granule/data`, `$HOME/.cache/granule/data`, or `%LOCALAPPDATA%\granule\data`).
///
/// # Errors
/// [`DataError::Invalid`] when none of these is set.
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
        return Ok(dir.to_path_buf());
    }
    if let Some(dir) = variable("GRANULE_DATA_DIR") {
        return Ok(dir.into());
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
