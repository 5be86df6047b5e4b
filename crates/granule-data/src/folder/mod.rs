//! A folder of images: one sub-folder of image files per class, optionally under `train/` and `test/`.

mod listing;
mod options;
mod survey;

use std::path::Path;

use granule_io::budget;
use granule_io::image::{self, Fit, Picture};
use granule_io::words::counted;

use crate::{
    DataError, Dataset, Features, Normalization, Progress, Shape, Split, Targets, division,
};

use listing::{Listing, Sample};
pub use options::{ImageOptions, Truncated};
use survey::Tally;

/// Loads a folder. Images must all be of one size unless the options name one; the set is grey when every image is,
/// else colour, unless the options say which. Without `train/` and `test/`, a fifth of each class becomes the test part.
pub(crate) fn load(
    dir: &Path,
    seed: u64,
    options: &ImageOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    options.validate()?;
    let Listing {
        classes,
        mut train,
        mut test,
        warnings,
    } = Listing::of(dir)?;
    let mut tally = Tally::default();
    let named = listing::name(dir);
    let count = train.len() + test.as_ref().map_or(0, Vec::len);
    progress.start(&format!("{named}: sizes"), Some(count as u64));
    let surveyed = survey::form(&mut train, test.as_mut(), options, &mut tally, progress);
    progress.finish();
    let fit = surveyed?;
    let labels = |samples: &[Sample]| {
        samples
            .iter()
            .map(|sample| sample.class)
            .collect::<Vec<_>>()
    };
    let (train_order, test_order) = match &test {
        Some(test) => (
            division::shuffled(train.len(), seed),
            (0..test.len()).collect(),
        ),
        None => division::of_classes(&labels(&train), seed)?,
    };
    let test_is_drawn = test.is_none();
    let count = train_order.len() + test_order.len();
    check_memory(dir, count, &fit, options)?;
    progress.start(&named, Some(count as u64));
    let mut decode = |samples: &[Sample], order: &[usize]| {
        let samples = order.iter().filter_map(|&index| samples.get(index));
        decode(samples, order.len(), &fit, options, &mut tally, progress)
    };
    let parts = decode(&train, &train_order)
        .and_then(|part| Ok((part, decode(test.as_ref().unwrap_or(&train), &test_order)?)));
    progress.finish();
    let (train, test) = parts?;
    let normalization = Normalization::of(&train);
    let mut dataset = Dataset::new("folder", classes, normalization, train, test)?;
    dataset.divided = test_is_drawn;
    dataset.warnings.extend(warnings);
    tally.tell(dir, &fit, options, &mut dataset);
    Ok(dataset)
}

/// All pixels stay in memory: they are asked for before the first image is decoded.
fn check_memory(
    dir: &Path,
    count: usize,
    fit: &Fit,
    options: &ImageOptions,
) -> Result<(), DataError> {
    let sample = fit.channels.count() * fit.height * fit.width;
    let smaller = match options.size {
        None => " (data.size makes them smaller)",
        Some(_) => "",
    };
    let what = format!(
        "{}: {} of {}×{} pixels in {}{smaller}",
        dir.display(),
        counted(count, "image"),
        fit.width,
        fit.height,
        fit.channels
    );
    Ok(budget::ask(
        what,
        (count as u64).saturating_mul(sample as u64),
    )?)
}

/// The samples in their order, without those that are cut short if that was asked for.
fn decode<'a>(
    samples: impl Iterator<Item = &'a Sample>,
    count: usize,
    fit: &Fit,
    options: &ImageOptions,
    tally: &mut Tally,
    progress: &dyn Progress,
) -> Result<Split, DataError> {
    let shape = Shape::Image {
        channels: fit.channels.count(),
        height: fit.height,
        width: fit.width,
    };
    let mut pixels = budget::with_capacity(shape.len().saturating_mul(count), "pixels")?;
    let mut labels = budget::with_capacity(count, "labels")?;
    for sample in samples {
        let picture =
            image::read(&sample.path).and_then(|bytes| Picture::decode(&bytes, options.background));
        progress.advance(1);
        let Some(picture) = tally.allow(sample, picture, options)? else {
            continue;
        };
        tally.see(sample, &picture, fit);
        let picture = picture
            .fit(fit)
            .map_err(|error| DataError::image(&sample.path, error))?;
        pixels.extend_from_slice(&picture);
        labels.push(sample.class);
    }
    Split::new(shape, Features::Bytes(pixels), Targets::Classes(labels))
}
