//! A folder of images: one sub-folder of image files per class, optionally under `train/` and `test/`.

mod listing;
mod options;
mod sample;
mod survey;

use std::path::Path;

use granule_io::budget;
use granule_io::image::{Fit, Picture};
use granule_io::words::counted;

use crate::division::Division;
use crate::{
    DataError, Dataset, Features, Normalization, Progress, Shape, Split, Targets, division,
};

pub(crate) use listing::{Listing, name};
pub use options::{ImageOptions, Truncated};
pub(crate) use sample::{Encoded, Sample};
use survey::Tally;

/// Loads a folder. Images must all be of one size unless the options name one; the set is grey when every image is,
/// else colour, unless the options say which. Without `train/` and `test/`, a fifth of each class becomes the test part.
pub(crate) fn load(
    dir: &Path,
    division: Division,
    options: &ImageOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    options.validate()?;
    let listing = Listing::of(dir, division.scored)?;
    assemble("folder", dir, listing, division, options, progress)
}

/// The data set `set` of the images of a listing, by the same rules as [`load`].
pub(crate) fn assemble(
    set: &str,
    dir: &Path,
    listing: Listing,
    division: Division,
    options: &ImageOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    options.validate()?;
    let Listing {
        classes,
        mut train,
        mut test,
        mut validation,
        by_class,
        mut notes,
        warnings,
    } = listing;
    let mut tally = Tally::default();
    let named = listing::name(dir);
    let others = test.iter().chain(&validation).map(Vec::len).sum::<usize>();
    progress.start(
        &format!("{named}: sizes"),
        Some((train.len() + others) as u64),
    );
    let parts = [Some(&mut train), test.as_mut(), validation.as_mut()];
    let surveyed = survey::form(parts, options, &mut tally, progress);
    progress.finish();
    let fit = surveyed?;
    let labels: Vec<u16> = train.iter().map(|sample| sample.class).collect();
    let mut divided = test.is_none();
    let (train_order, test_order) = match &test {
        Some(test) if by_class => (
            division::shuffled(train.len(), division.seed),
            (0..test.len()).collect(),
        ),
        Some(test) => ((0..train.len()).collect(), (0..test.len()).collect()),
        None => match division.of_classes(&labels, dir)? {
            // One sample of each class cannot be divided, and need not be.
            None => {
                divided = false;
                notes.push(division::undivided(dir, labels.len()));
                (vec![0], (0..labels.len()).collect())
            }
            Some(parts) => parts,
        },
    };
    let validation_order: Vec<usize> = (0..validation.as_ref().map_or(0, Vec::len)).collect();
    let count = train_order.len() + test_order.len() + validation_order.len();
    check_memory(dir, count, &fit, options)?;
    progress.start(&named, Some(count as u64));
    let mut decode = |samples: &[Sample], order: &[usize]| {
        let samples = order.iter().filter_map(|&index| samples.get(index));
        decode(samples, order.len(), &fit, options, &mut tally, progress)
    };
    let mut decode_all = || {
        let of_train = decode(&train, &train_order)?;
        let of_test = decode(test.as_ref().unwrap_or(&train), &test_order)?;
        let of_validation = match &validation {
            Some(samples) => Some(decode(samples, &validation_order)?),
            None => None,
        };
        Ok::<_, DataError>((of_train, of_test, of_validation))
    };
    let parts = decode_all();
    progress.finish();
    let (train, test, validation) = parts?;
    let normalization = Normalization::of(&train);
    let mut dataset = Dataset::new(set, classes, normalization, train, test)?;
    if let Some(validation) = validation {
        dataset = dataset.with_validation(validation)?;
    }
    dataset.divided = divided;
    dataset.notes.extend(notes);
    dataset.warnings.extend(warnings);
    let sameness = dataset.sameness();
    dataset.warnings.extend(sameness);
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
        let bytes = sample.bytes();
        let picture = bytes.and_then(|bytes| Picture::decode(&bytes, options.background));
        progress.advance(1);
        let Some(picture) = tally.allow(sample, picture, options)? else {
            continue;
        };
        tally.see(sample, &picture, fit);
        let picture = picture
            .fit(fit)
            .map_err(|error| DataError::image(&sample.place(), error))?;
        pixels.extend_from_slice(&picture);
        labels.push(sample.class);
    }
    Split::new(shape, Features::Bytes(pixels), Targets::Classes(labels))
}
