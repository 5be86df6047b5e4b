use std::path::{Path, PathBuf};

use granule_io::path::expand;
use granule_io::words::counted;

use crate::arrays::ArrayOptions;
use crate::data_dir::{data_dir, dataset_dir};
use crate::decoding::Unusual;
use crate::division::Division;
use crate::fold::Fold;
use crate::registry::{self, Published};
use crate::{
    DataError, Dataset, DatasetSpec, DecodingConfig, ImageOptions, Normalization, Progress, Shape,
    Silent,
};
use crate::{arrays, cifar, constants, decoding, folder, idx, idx_set, parquet, shared, synthetic};

/// Where to look for a data set and how to divide it.
#[derive(Clone, Default)]
pub struct LoadOptions<'a> {
    /// The folder that holds `mnist/`, `cifar-10/`, …; `None` asks [`data_dir`].
    pub data_dir: Option<PathBuf>,
    /// Never download.
    pub offline: bool,
    /// Seed of the synthetic set and of random divisions into train and test.
    pub seed: u64,
    /// How the encoded images of a folder or of Parquet files become samples.
    pub images: ImageOptions,
    /// How arrays and IDX files are read.
    pub arrays: ArrayOptions,
    /// What is decoded from what in the arrays of `recording:PATH`.
    pub decoding: DecodingConfig,
    /// The part of the samples that is tested on in cross-validation, in place of the test part.
    pub fold: Option<Fold>,
    /// So many windows of a recording are learnt from, the first ones, as if it were shorter: what is taken off each channel
    /// and output is known from those alone. Of other data sets all samples are there.
    pub limit_train: Option<usize>,
    /// Whether a trained model is scored on the set: one class, or one sample of each, is enough then.
    pub scored: bool,
    /// Whether a recording without a test part of its own is all tested on: one that a model has not learnt from.
    pub tested: bool,
    /// What a trained decoder takes off each channel, which stands for bins beyond the edge of a trial; absent: the means of the
    /// training part.
    pub means: Option<&'a [f64]>,
    /// What is made of the signal of the part of a recording that is tested on, as `granule detect` asks.
    pub unusual: Option<Unusual>,
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
    let division = Division {
        seed: options.seed,
        scored: options.scored,
    };
    let mut dataset = match spec {
        DatasetSpec::SyntheticDigits => synthetic::digits(options.seed)?,
        DatasetSpec::Mnist => idx_set("mnist", options)?,
        DatasetSpec::FashionMnist => idx_set("fashion-mnist", options)?,
        DatasetSpec::Cifar10 => cifar_set("cifar-10", &cifar::CIFAR_10, options, progress)?,
        DatasetSpec::Cifar100 => cifar_set("cifar-100", &cifar::CIFAR_100, options, progress)?,
        DatasetSpec::InMemory(name) => return Err(DataError::InMemory { name: name.clone() }),
        DatasetSpec::Folder(dir) => {
            folder::load(&expand(dir), division, &options.images, progress)?
        }
        DatasetSpec::Parquet(path) => {
            parquet::load(&expand(path), division, &options.images, progress)?
        }
        DatasetSpec::Idx(path) => idx_set::load(&expand(path), division, &options.arrays)?,
        DatasetSpec::Arrays { x, y } => {
            let y = y.as_deref().map(expand);
            arrays::load(&expand(x), y.as_deref(), division, &options.arrays)?
        }
        DatasetSpec::Recording(path) => {
            let (config, targets) = (&options.decoding, options.arrays.targets);
            let scored = decoding::Scored {
                tested: options.tested,
                means: options.means,
                unusual: options.unusual,
            };
            decoding::load(
                &expand(path),
                config,
                targets,
                (options.seed, options.fold, options.limit_train),
                scored,
            )?
        }
    };
    dataset.name = spec.to_string();
    dataset.published = spec.is_published();
    if let Some(fold) = options.fold
        && !matches!(spec, DatasetSpec::Recording(_))
    {
        dataset = dataset.fold(fold, options.seed)?;
    }
    if options.scored && dataset.classes.len() == 1 {
        // Which part the one class is missing in says nothing of a model that knows others.
        let of_training = dataset.absences();
        dataset.warnings.retain(|text| !of_training.contains(text));
    }
    dataset.warnings.extend(tiny(dataset.train.shape()));
    let own = matches!(
        spec,
        DatasetSpec::Folder(_)
            | DatasetSpec::Parquet(_)
            | DatasetSpec::Arrays { .. }
            | DatasetSpec::Idx(_)
    );
    if own && !options.scored {
        dataset.warnings.extend(shared::told(&dataset)?);
    }
    Ok(dataset)
}

/// A side of so few pixels shows hardly anything.
const TINY: usize = 3;

/// A sentence about images that can hardly be what was meant.
fn tiny(shape: Shape) -> Option<String> {
    let Shape::Image { height, width, .. } = shape else {
        return None;
    };
    (height.min(width) <= TINY).then(|| {
        format!(
            "the images are {} high and {} wide, in which hardly anything shows: are they the images themselves, and no \
             thumbnails, and the axes of an array [N, height, width] or [N, height, width, channels]?",
            counted(height, "pixel"),
            counted(width, "pixel")
        )
    })
}

fn idx_set(name: &'static str, options: &LoadOptions<'_>) -> Result<Dataset, DataError> {
    let set = published(name)?;
    let files = locate(set, options, |dir| idx::Files::find(set, dir))?;
    let (mean, std) = constants::pixels(name);
    let normalization = Normalization { mean, std };
    idx::load(name, constants::classes(name), normalization, &files)
}

fn cifar_set(
    name: &'static str,
    layout: &cifar::Layout,
    options: &LoadOptions<'_>,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    let set = published(name)?;
    let place = locate(set, options, |dir| cifar::find(set, dir))?;
    let (mean, std) = constants::pixels(name);
    let normalization = Normalization { mean, std };
    cifar::load(
        name,
        layout,
        constants::classes(name),
        normalization,
        &place,
        progress,
    )
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
        what: vec![what],
        hint: format!("place it there under this name ({})", set.source),
    })
}
