//! The data that a trained model is tested on, by the flags that name them.

use granule::data::arrays::{ArrayOptions, Layout, TargetKind};
use granule::data::{DataError, Dataset, DatasetSpec, ImageOptions, LoadOptions};
use granule::io::image::{Channels, ImageError, Size};
use granule::models::{InputShape, ModelFile, Task};
use granule::train::{DataConfig, Event, Observer, RunConfig, test_samples};

use super::predict::resizing;
use crate::args;
use crate::config::{data_dir, of_evaluation};
use crate::failure::{Hinted, Usage};
use crate::output;
use crate::progress::Watcher;
use crate::verbose;

/// What is tested on.
pub struct TestedData {
    pub dataset: Dataset,
    /// `test part` or `all samples`.
    part: &'static str,
    /// Where it is what the model was trained on: the limit of what it has learnt from, and the seed of the data. Of other data
    /// a regression has not learnt from the same samples.
    pub run: Option<(Option<usize>, u64)>,
}

impl TestedData {
    /// What it is called.
    pub fn name(&self) -> String {
        format!("{}, {}", output::printable(&self.dataset.name), self.part)
    }

    /// Reads what the flags name, or what the model was trained on, and tells what may be wrong with it.
    pub fn read(
        tested: &args::TestedOn,
        images: &args::AsImages,
        (file, config): (&ModelFile, Option<&RunConfig>),
        watcher: &mut Watcher<'_>,
    ) -> anyhow::Result<Self> {
        let reading = of_evaluation(config, &tested.set)?;
        let trained = config.map(|config| &config.data);
        let spec = match &tested.dataset {
            Some(spec) => spec.clone(),
            None => trained_on(file, trained.map(|data| &data.dataset))?,
        };
        of_use(tested, images, &spec)?;
        let is_recording = matches!(spec, DatasetSpec::Recording(_));
        if is_recording && reading.decoding.is_none() {
            return Err(Usage::new(
                "a model file alone does not say which arrays of a recording it decodes",
            )
            .hint(
                "give the run folder, whose config.toml names them, or --set data.decoding.signal=NAME and the like",
            )
            .into());
        }
        let data_seed = trained.map_or(file.provenance.data_seed, |data| data.seed);
        // Of other data there are no parts that the model has not learnt from.
        let parted = trained.filter(|_| tested.dataset.is_none());
        let mut options = LoadOptions {
            data_dir: data_dir(
                tested.source.folder.data_dir.as_deref(),
                trained.and_then(|data| data.data_dir.as_deref()),
            ),
            offline: tested.source.offline,
            seed: data_seed,
            images: ImageOptions {
                truncated: reading.images().truncated,
                ..as_images(file, trained, images)
            },
            arrays: as_trained(file, trained, images),
            decoding: reading.decoding(),
            fold: parted.map_or(Ok(None), |data| data.fold())?,
            limit_train: parted.and_then(|data| data.limit_train),
            scored: true,
            means: Some(&file.input.mean),
            progress: watcher.progress(),
            ..LoadOptions::default()
        };
        // Another recording need not have the groups or trials by which that of training was divided, nor its conditions.
        let cannot = |error: &DataError| match error {
            DataError::Config(error) => [
                "data.decoding.test_groups",
                "data.decoding.split",
                "data.decoding.condition",
            ]
            .iter()
            .any(|key| error.field == *key),
            _ => false,
        };
        let other = is_recording && tested.dataset.is_some() && tested.set.is_empty();
        let first = granule::data::load(&spec, &options);
        let undividable = other && first.as_ref().err().is_some_and(cannot);
        if undividable {
            options.tested = true;
        }
        let mut dataset = match first {
            Ok(dataset) => dataset,
            Err(_) if undividable => load(&spec, &options)?,
            Err(error) => return Err(unreadable(error)),
        };
        let same = dataset.fingerprint == file.provenance.dataset_fingerprint;
        // Whoever says what is tested on means it.
        let divides = |text: &String| {
            let key = text.split('=').next().unwrap_or_default().trim();
            let key = key.strip_prefix("data.decoding.");
            key.is_some_and(|key| ["split", "test", "group", "test_groups"].contains(&key))
        };
        let undivided = (dataset.divided || undividable) && tested.dataset.is_some() && !same;
        let undivided = undivided && !(is_recording && tested.set.iter().any(divides));
        if undivided && is_recording && !options.tested {
            options.tested = true;
            drop(dataset);
            dataset = load(&spec, &options)?;
        }
        drop(options);
        verbose::data(&dataset.fingerprint);
        for text in &dataset.notes {
            watcher.event(&Event::Note { text });
        }
        let mut part = "test part";
        if undivided {
            if !is_recording {
                dataset = dataset.all_for_test()?;
            }
            part = "all samples";
            let text = format!(
                "it has no test part of its own and is not the set of training: all {} are tested; those among \
                 them that the model learnt from would make its scores too good",
                output::counted(dataset.test.len(), "sample")
            );
            watcher.event(&Event::Note { text: &text });
        } else if dataset.divided && same {
            let text = format!(
                "it has no test part of its own: tested are the {} of {} that training held out",
                output::grouped(dataset.test.len()),
                output::counted(dataset.train.len() + dataset.test.len(), "sample")
            );
            watcher.event(&Event::Note { text: &text });
        }
        for warning in &dataset.warnings {
            output::warn(warning);
        }
        if tested.dataset.is_none() && !same {
            output::warn(
                "the data set is not the one the model was trained on: its fingerprint differs; where it has no test part of its \
                 own, the model may have learnt from samples that are tested here",
            );
        }
        if let Some(limit) = trained.and_then(|data| data.limit_test)
            && (tested.dataset.is_none() || same)
            && tested.limit_test != Some(limit)
            && limit < dataset.test.len()
        {
            output::note(&format!(
                "the run was tested on {} of the {} test samples (data.limit_test)",
                output::grouped(limit),
                output::grouped(dataset.test.len())
            ));
        }
        if tested.limit_test.is_some() {
            let samples = test_samples(&dataset, tested.limit_test, data_seed);
            dataset = dataset.tested_on(&samples)?;
        }
        Ok(Self {
            part,
            run: same.then(|| (trained.and_then(|data| data.limit_train), data_seed)),
            dataset,
        })
    }
}

/// The data set that is tested on.
fn load(spec: &DatasetSpec, options: &LoadOptions<'_>) -> anyhow::Result<Dataset> {
    granule::data::load(spec, options).map_err(unreadable)
}

fn unreadable(error: DataError) -> anyhow::Error {
    match error {
        DataError::Image {
            source: ImageError::Size { .. },
            ..
        } => Hinted::new(error.to_string(), "scale the images with --resize").into(),
        DataError::Config(error) if error.field.starts_with("data.") => {
            Usage::new(error.to_string()).into()
        }
        error => anyhow::Error::from(error),
    }
}

/// Refuses flags that say how other kinds of files are read.
fn of_use(
    tested: &args::TestedOn,
    images: &args::AsImages,
    spec: &DatasetSpec,
) -> Result<(), Usage> {
    let has_images = spec.has_encoded_images();
    let of_images = "folder:DIR and parquet:PATH";
    let is_arrays = matches!(spec, DatasetSpec::Arrays { .. } | DatasetSpec::Idx(_));
    let flags = [
        (
            "--range",
            images.range.is_some(),
            is_arrays,
            "arrays:… and idx:DIR",
        ),
        (
            "--transpose",
            images.transpose.is_some(),
            is_arrays,
            "arrays:… and idx:DIR",
        ),
        ("--resize", images.resize.is_some(), has_images, of_images),
        (
            "--background",
            images.background.is_some(),
            has_images,
            of_images,
        ),
    ];
    let sets = |key: &str| {
        let mut texts = tested.set.iter();
        texts.any(|text| text.trim_start().starts_with(key))
    };
    let keys = [
        (
            "--set data.decoding",
            sets("data.decoding"),
            matches!(spec, DatasetSpec::Recording(_)),
            "recording:PATH",
        ),
        (
            "--set data.truncated",
            sets("data.truncated"),
            has_images,
            of_images,
        ),
    ];
    let flags = flags.into_iter().chain(keys);
    match flags
        .into_iter()
        .find(|(_, given, applies, _)| *given && !applies)
    {
        Some((flag, _, _, kinds)) => Err(Usage::new(format!(
            "{flag} says how {kinds} are read; the data set is {spec}"
        ))),
        None => Ok(()),
    }
}

/// How image files are read: as the model takes them.
fn as_images(
    file: &ModelFile,
    trained: Option<&DataConfig>,
    args: &args::AsImages,
) -> ImageOptions {
    let trained = trained.map(DataConfig::images).unwrap_or_default();
    let input = &file.input;
    let InputShape::Image {
        channels,
        height,
        width,
    } = input.shape
    else {
        return trained;
    };
    ImageOptions {
        channels: Channels::of_count(channels),
        size: Some(Size { height, width }),
        resize: resizing(input, args.resize),
        background: args.background.unwrap_or(input.background),
        truncated: trained.truncated,
    }
}

/// How arrays are read: as those that the model was trained on, unless a flag says otherwise.
fn as_trained(
    file: &ModelFile,
    trained: Option<&DataConfig>,
    args: &args::AsImages,
) -> ArrayOptions {
    ArrayOptions {
        range: args.range.or(file.input.range),
        layout: matches!(file.input.shape, InputShape::Sequence { .. }).then_some(Layout::Sequence),
        transpose: args
            .transpose
            .unwrap_or_else(|| file.input.transpose || trained.is_some_and(|data| data.transpose)),
        targets: match &file.task {
            Task::Classification { .. } => Some(TargetKind::Classes),
            _ => Some(TargetKind::Values),
        },
    }
}

fn trained_on(file: &ModelFile, configured: Option<&DatasetSpec>) -> anyhow::Result<DatasetSpec> {
    if let Some(spec) = configured {
        return Ok(spec.clone());
    }
    if let Some(from) = &file.provenance.imported_from {
        let text = format!(
            "the model was imported from {from}, which does not say what it was trained on"
        );
        return Err(Usage::new(text)
            .hint("name a data set with --dataset")
            .into());
    }
    let name = &file.provenance.dataset;
    let refused = |why: &str, hint: String| {
        Usage::new(format!("the model was trained on {name:?}, {why}")).hint(hint)
    };
    match name.parse::<DatasetSpec>() {
        // A file that came from elsewhere must not choose what is read here.
        Ok(spec) if spec.is_placed() => Err(refused(
            "a place that only the file names",
            format!("if that is what to test on, say so: --dataset '{name}'"),
        )
        .into()),
        Ok(spec) => Ok(spec),
        Err(_) => Err(refused(
            "which does not say where the data are",
            "name a data set with --dataset".to_owned(),
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_from_elsewhere_does_not_choose_what_is_read() {
        let mut file = ModelFile {
            model: Default::default(),
            input: granule::models::InputSpec::new(InputShape::Vector { len: 1 }),
            task: Task::Classification {
                classes: vec!["a".into()],
            },
            provenance: Default::default(),
            state: Default::default(),
        };
        file.provenance.dataset = "mnist".into();
        assert_eq!(trained_on(&file, None).unwrap(), DatasetSpec::Mnist);
        for place in [
            "folder:/home/me/private",
            "parquet:x",
            "idx:x",
            "arrays:x.npz",
            "recording:x",
        ] {
            file.provenance.dataset = place.into();
            let error = trained_on(&file, None).unwrap_err();
            assert!(error.is::<Usage>(), "{error}");
            let own: DatasetSpec = place.parse().unwrap();
            assert_eq!(trained_on(&file, Some(&own)).unwrap(), own);
        }
    }
}
