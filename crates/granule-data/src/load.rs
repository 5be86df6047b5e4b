use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::reading::Hashing;
use crate::registry::{self, Published, PublishedFile};
use crate::{DataError, Dataset, DatasetSpec, Normalization, Progress, Silent};
use crate::{arrays, cifar, constants, folder, idx, synthetic};

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
    let silent = Silent;
    let progress = options.progress.unwrap_or(&silent);
    let mut dataset = match spec {
        DatasetSpec::SyntheticDigits => synthetic::digits(options.seed)?,
        DatasetSpec::Mnist => idx_set("mnist", options)?,
        DatasetSpec::FashionMnist => idx_set("fashion-mnist", options)?,
        DatasetSpec::Cifar10 => cifar_set("cifar-10", &cifar::CIFAR_10, options, progress)?,
        DatasetSpec::Cifar100 => cifar_set("cifar-100", &cifar::CIFAR_100, options, progress)?,
        DatasetSpec::Folder(dir) => folder::load(dir, options.seed, progress)?,
        DatasetSpec::Arrays { x, y } => arrays::load(x, y.as_deref(), options.seed)?,
    };
    dataset.name = spec.to_string();
    Ok(dataset)
}

/// A file that was read, with its SHA-256 when that had to be compared with the published one.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) sha256: Option<String>,
}

impl Found {
    /// A file of another size than the published one differs without being hashed.
    pub(crate) fn hashing(published: Option<&PublishedFile>, path: &Path) -> Hashing {
        match (published, std::fs::metadata(path)) {
            (Some(published), Ok(file)) if file.len() == published.size => Hashing::On,
            _ => Hashing::Off,
        }
    }

    fn warning(&self, set: &Published) -> Option<String> {
        let published = published_file(set, &self.path)?;
        (self.sha256.as_deref() != Some(published.sha256)).then(|| {
            format!(
                "{}: the checksum is not that of the published file; its structure is right, so it is used",
                self.path.display()
            )
        })
    }
}

pub(crate) fn published_file<'a>(set: &'a Published, path: &Path) -> Option<&'a PublishedFile> {
    let name = path.file_name()?;
    set.files.iter().find(|file| name == file.name)
}

fn idx_set(name: &'static str, options: &LoadOptions<'_>) -> Result<Dataset, DataError> {
    let set = published(name)?;
    let files = locate(set, options, idx::Files::find)?;
    let (mean, std) = constants::pixels(name);
    let (mut dataset, found) = idx::load(
        set,
        constants::classes(name),
        Normalization { mean, std },
        &files,
    )?;
    dataset.warnings = found
        .iter()
        .filter_map(|found| found.warning(set))
        .collect();
    Ok(dataset)
}

fn cifar_set(
    name: &'static str,
    layout: &cifar::Layout,
    options: &LoadOptions<'_>,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    let set = published(name)?;
    let place = locate(set, options, |dir| cifar::Place::find(dir, layout))?;
    let (mean, std) = constants::pixels(name);
    let normalization = Normalization { mean, std };
    let (mut dataset, found, mut warnings) = cifar::load(
        set,
        layout,
        constants::classes(name),
        normalization,
        &place,
        progress,
    )?;
    warnings.extend(found.and_then(|found| found.warning(set)));
    dataset.warnings = warnings;
    Ok(dataset)
}

fn published(name: &'static str) -> Result<&'static Published, DataError> {
    registry::find(name)
        .ok_or_else(|| DataError::invalid("dataset", name, "not a published data set"))
}

/// Looks for the files of a set; fetches them when they are absent and that is allowed.
fn locate<T>(
    set: &Published,
    options: &LoadOptions<'_>,
    find: impl Fn(&Path) -> Result<T, String>,
) -> Result<T, DataError> {
    let dir = dataset_dir(&data_dir(options.data_dir.as_deref())?, set.name);
    if let Ok(found) = find(&dir) {
        return Ok(found);
    }
    #[cfg(feature = "fetch")]
    {
        let options = crate::fetch::FetchOptions {
            offline: options.offline,
            progress: options.progress,
        };
        crate::fetch::ensure(set, &dir, &options)?;
    }
    #[cfg(not(feature = "fetch"))]
    set.require(&dir)?;
    find(&dir).map_err(|what| DataError::Missing {
        path: dir.clone(),
        what,
        hint: format!("place it there under this name ({})", set.source),
    })
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
