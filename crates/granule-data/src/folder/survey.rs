//! The form that all samples get, from the headers of the files; and what was seen on the way.

use std::path::{Path, PathBuf};

use granule_io::image::{self, Channels, Fit, Header, ImageError, Picture, Size};
use granule_io::words::counted;

use super::{ImageOptions, Sample, Truncated};
use crate::{DataError, Dataset, Progress};

/// Reads every header before the first image is decoded, so that an odd one is found at once. Files that are cut short
/// leave the lists, if that was asked for.
pub(super) fn form(
    parts: [Option<&mut Vec<Sample>>; 3],
    options: &ImageOptions,
    tally: &mut Tally,
    progress: &dyn Progress,
) -> Result<Fit, DataError> {
    let mut first: Option<(PathBuf, Header)> = None;
    let mut survey = |samples: &mut Vec<Sample>| -> Result<(), DataError> {
        let mut kept = Vec::with_capacity(samples.len());
        for sample in samples.drain(..) {
            let header = sample.bytes().and_then(|bytes| image::header(&bytes));
            progress.advance(1);
            let Some(header) = tally.allow(&sample, header, options)? else {
                continue;
            };
            tally.count(&header);
            let (path, form) = first.get_or_insert_with(|| (sample.place(), header));
            check_size(&sample, &header, (path, form), options)?;
            kept.push(sample);
        }
        *samples = kept;
        Ok(())
    };
    parts.into_iter().flatten().try_for_each(&mut survey)?;
    let (_, form) = first.ok_or_else(|| tally.nothing_left())?;
    let Size { height, width } = options.size.unwrap_or(Size {
        height: form.height,
        width: form.width,
    });
    let seen = match tally.colour {
        0 => Channels::Grey,
        _ => Channels::Colour,
    };
    Ok(Fit {
        channels: options.channels.unwrap_or(seen),
        height,
        width,
        resize: options.resize,
        background: options.background,
    })
}

fn check_size(
    sample: &Sample,
    header: &Header,
    (path, form): (&Path, &Header),
    options: &ImageOptions,
) -> Result<(), DataError> {
    let found = (header.width, header.height);
    match (options.size, options.resize) {
        (Some(_), Some(_)) => Ok(()),
        (Some(Size { height, width }), None) if found != (width, height) => {
            let expected = (width, height);
            Err(DataError::image(
                &sample.place(),
                ImageError::Size { found, expected },
            ))
        }
        (None, _) if found != (form.width, form.height) => Err(DataError::ImageSizes {
            path: sample.place(),
            found,
            other: path.to_path_buf(),
            expected: (form.width, form.height),
        }),
        _ => Ok(()),
    }
}

/// What was seen of the images of a folder.
#[derive(Default)]
pub(super) struct Tally {
    grey: usize,
    colour: usize,
    turned: usize,
    resized: usize,
    transparent: usize,
    blank: Files,
    truncated: Files,
}

/// How many, and the first one.
#[derive(Default)]
struct Files {
    count: usize,
    first: Option<PathBuf>,
}

impl Files {
    fn add(&mut self, sample: &Sample) {
        self.count += 1;
        self.first.get_or_insert_with(|| sample.place());
    }

    /// The sentence of one image or several, with the path of the first one.
    fn tell(&self, one: &str, many: &str) -> Option<String> {
        let first = self.first.as_ref()?.display();
        Some(match self.count {
            1 => format!("{first}: this image {one}"),
            count => format!("{first} and {} more: these images {many}", count - 1),
        })
    }
}

impl Tally {
    /// The value, or None for a file that is cut short and may be left out.
    pub fn allow<T>(
        &mut self,
        sample: &Sample,
        result: Result<T, ImageError>,
        options: &ImageOptions,
    ) -> Result<Option<T>, DataError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(ImageError::Truncated { .. }) if options.truncated == Truncated::Skip => {
                self.truncated.add(sample);
                Ok(None)
            }
            Err(error) => Err(DataError::image(&sample.place(), error)),
        }
    }

    fn count(&mut self, header: &Header) {
        match header.channels {
            Channels::Grey => self.grey += 1,
            Channels::Colour => self.colour += 1,
        }
        self.turned += usize::from(header.turned);
    }

    pub fn see(&mut self, sample: &Sample, picture: &Picture, fit: &Fit) {
        self.resized += usize::from(picture.size() != (fit.width, fit.height));
        if picture.is_transparent() {
            self.transparent += 1;
            if picture.is_blank() {
                self.blank.add(sample);
            }
        }
    }

    fn nothing_left(&self) -> DataError {
        DataError::Empty {
            path: self.truncated.first.clone().unwrap_or_default(),
            what: format!(
                "and all other {} images are truncated, none is left",
                self.truncated.count.saturating_sub(1)
            ),
        }
    }

    /// Notes and warnings of the data set.
    pub fn tell(&self, dir: &Path, fit: &Fit, options: &ImageOptions, dataset: &mut Dataset) {
        let dir = dir.display();
        let images = |count| counted(count, "image");
        let mut note = |text: String| dataset.notes.push(format!("{dir}: {text}"));
        if self.grey > 0 && self.colour > 0 {
            note(format!(
                "{} in grey and {} in colour, all read in {} (data.channels)",
                images(self.grey),
                self.colour,
                fit.channels
            ));
        }
        let other = match fit.channels {
            Channels::Grey => (self.grey == 0).then_some((self.colour, "colour")),
            Channels::Colour => (self.colour == 0).then_some((self.grey, "grey")),
        };
        if let Some((count, form)) = other.filter(|(count, _)| *count > 0) {
            note(format!(
                "{} in {form}, read in {} (data.channels = \"{}\")",
                images(count),
                fit.channels,
                fit.channels
            ));
        }
        if self.turned > 0 {
            note(format!(
                "{} turned upright as the camera noted (EXIF orientation)",
                images(self.turned)
            ));
        }
        if let Some(resize) = options.resize.filter(|_| self.resized > 0) {
            note(format!(
                "{} resized to {}×{} pixels (data.resize = \"{resize}\")",
                images(self.resized),
                fit.width,
                fit.height
            ));
        }
        if self.transparent > 0 {
            note(format!(
                "{} with transparent pixels, laid over {} (data.background)",
                images(self.transparent),
                options.background
            ));
        }
        let lost = format!(
            "of one colour once laid over {}; choose another data.background",
            options.background
        );
        let blank = self
            .blank
            .tell(&format!("is {lost}"), &format!("are {lost}"));
        let skipped = self.truncated.tell(
            "is truncated and was left out (data.truncated = \"skip\")",
            "are truncated and were left out (data.truncated = \"skip\")",
        );
        dataset.warnings.extend(blank.into_iter().chain(skipped));
    }
}
