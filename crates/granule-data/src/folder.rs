//! A folder of images: one sub-folder of PNG or JPEG files per class, optionally under `train/` and `test/`.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::{
    DataError, Dataset, Features, Normalization, Progress, Shape, Split, Targets, division,
};

const MAX_SIDE: u32 = 4096;
const MAX_FILE: u64 = 1 << 28;
/// Decoding buffers of one image of the greatest size, 16 bits per channel with alpha, and some room.
const MAX_DECODER: u64 = 4096 * 4096 * 8 + (1 << 25);
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Loads a folder. Images must all be of one size; the set is grey when every image is, else colour (alpha is
/// dropped, grey images become colour). Without `train/` and `test/`, a fifth of each class becomes the test part.
pub(crate) fn load(dir: &Path, seed: u64, progress: &dyn Progress) -> Result<Dataset, DataError> {
    let (train_dir, test_dir) = (dir.join("train"), dir.join("test"));
    let mut warnings = Vec::new();
    let divided = train_dir.is_dir() && test_dir.is_dir();
    let mut list = Listing::read(if divided { &train_dir } else { dir }, None, &mut warnings)
        .map_err(|error| match error {
            DataError::Empty { path, what } if !divided && dir_of_parts(dir) => DataError::Empty {
                path,
                what: format!(
                    "{what}; the parts of a divided set are read from {} and {}, both of them",
                    train_dir.display(),
                    test_dir.display()
                ),
            },
            error => error,
        })?;
    let train_count = list.files.len();
    if divided {
        let test = Listing::read(&test_dir, Some(&list.classes), &mut warnings)?;
        list.files.extend(test.files);
    }
    let shape = common_shape(&list.files)?;
    let all = decode(&list.files, shape, progress, dir)?;
    let (train, test) = if divided {
        let train: Vec<usize> = (0..train_count).collect();
        let test: Vec<usize> = (train_count..all.len()).collect();
        (
            division::shuffle(&all.subset(&train)?, seed)?,
            all.subset(&test)?,
        )
    } else {
        division::divide(&all, seed)?
    };
    let normalization = Normalization::of(&train);
    let mut dataset = Dataset::new("folder", list.classes, normalization, train, test)?;
    dataset.warnings = warnings;
    Ok(dataset)
}

/// Whether sub-folders seem to be parts of a set, not classes.
fn dir_of_parts(dir: &Path) -> bool {
    let parts = ["train", "test", "val", "valid", "validation"];
    parts.iter().any(|part| dir.join(part).is_dir())
}

struct Listing {
    classes: Vec<String>,
    /// Path and class of every image, sorted.
    files: Vec<(PathBuf, u16)>,
}

impl Listing {
    /// `known` are the classes of the training part, when this is the test part.
    fn read(
        dir: &Path,
        known: Option<&[String]>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let folders: Vec<PathBuf> = entries(dir)?
            .into_iter()
            .filter(|path| path.is_dir())
            .collect();
        if folders.len() < 2 && known.is_none() {
            let what = format!(
                "holds {} sub-folders of images, at least 2 classes are needed",
                folders.len()
            );
            return Err(DataError::Empty {
                path: dir.to_path_buf(),
                what,
            });
        }
        let names: Vec<String> = folders.iter().map(|folder| name(folder)).collect();
        let classes = known.map_or(names.as_slice(), |known| known).to_vec();
        let mut files = Vec::new();
        let mut ignored = 0;
        for (folder, name) in folders.iter().zip(&names) {
            let class = classes
                .iter()
                .position(|class| class == name)
                .ok_or_else(|| {
                    DataError::format(
                        folder,
                        format!("the class {name:?} does not occur in the training part"),
                    )
                })?;
            let class = u16::try_from(class).map_err(|_| {
                DataError::format(
                    dir,
                    format!("{} classes, at most 65535 are read", classes.len()),
                )
            })?;
            let before = files.len();
            for path in entries(folder)? {
                if is_image(&path) {
                    files.push((path, class));
                } else {
                    ignored += 1;
                }
            }
            if files.len() == before {
                let what = "holds no PNG or JPEG images".to_string();
                return Err(DataError::Empty {
                    path: folder.clone(),
                    what,
                });
            }
        }
        if files.is_empty() {
            return Err(DataError::Empty {
                path: dir.to_path_buf(),
                what: "holds no images".into(),
            });
        }
        if ignored > 0 {
            warnings.push(format!(
                "{}: {ignored} entries of class folders are not PNG or JPEG files and were left out",
                dir.display()
            ));
        }
        Ok(Self { classes, files })
    }
}

/// Visible entries, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let read = |error| DataError::io(dir, "list", error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if !name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn is_image(path: &Path) -> bool {
    let extension = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    EXTENSIONS.contains(&extension.as_str()) && path.is_file()
}

/// Reads every header before the first image is decoded, so that an odd one is found at once.
fn common_shape(files: &[(PathBuf, u16)]) -> Result<Shape, DataError> {
    let mut size = None;
    let mut channels = 1;
    for (path, _) in files {
        let decoder = decoder(path)?;
        let (width, height) = decoder.dimensions();
        let here = if decoder.color_type().has_color() {
            3
        } else {
            1
        };
        let expected = *size.get_or_insert((height, width));
        if expected != (height, width) {
            return Err(DataError::ImageSize {
                path: path.clone(),
                found: (height as usize, width as usize, here),
                expected: (expected.0 as usize, expected.1 as usize, here),
            });
        }
        channels = channels.max(here);
    }
    let (height, width) = size.unwrap_or_default();
    Ok(Shape::Image {
        channels,
        height: height as usize,
        width: width as usize,
    })
}

fn decoder(path: &Path) -> Result<impl ImageDecoder, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, "open", error))?;
    let len = file
        .metadata()
        .map_err(|error| DataError::io(path, "inspect", error))?
        .len();
    if len > MAX_FILE {
        return Err(DataError::TooLarge {
            path: path.to_path_buf(),
            what: "the file".into(),
            limit: MAX_FILE,
        });
    }
    let mut reader = ImageReader::new(BufReader::new(file));
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODER);
    reader.limits(limits);
    reader
        .with_guessed_format()
        .map_err(|error| DataError::io(path, "read", error))?
        .into_decoder()
        .map_err(|error| image_error(path, error))
}

fn image_error(path: &Path, error: image::ImageError) -> DataError {
    match error {
        image::ImageError::Limits(_) => DataError::format(
            path,
            format!("larger than the limit of {MAX_SIDE}x{MAX_SIDE} pixels"),
        ),
        error => DataError::corrupt(path, error),
    }
}

fn decode(
    files: &[(PathBuf, u16)],
    shape: Shape,
    progress: &dyn Progress,
    dir: &Path,
) -> Result<Split, DataError> {
    let Shape::Image {
        channels,
        height,
        width,
    } = shape
    else {
        return Err(DataError::invalid(
            "shape",
            format!("{shape:?}"),
            "an image",
        ));
    };
    progress.start(&name(dir), Some(files.len() as u64));
    let mut pixels = Vec::new();
    let decoded = files.iter().try_for_each(|(path, _)| {
        let image =
            DynamicImage::from_decoder(decoder(path)?).map_err(|error| image_error(path, error))?;
        if (image.height() as usize, image.width() as usize) != (height, width) {
            return Err(DataError::format(
                path,
                "the file changed while it was read",
            ));
        }
        if channels == 1 {
            pixels.extend_from_slice(image.into_luma8().as_raw());
        } else {
            let colours = image.into_rgb8();
            for channel in 0..channels {
                pixels.extend(colours.as_raw().iter().skip(channel).step_by(channels));
            }
        }
        progress.advance(1);
        Ok(())
    });
    progress.finish();
    decoded?;
    pixels.shrink_to_fit();
    let labels = files.iter().map(|&(_, class)| class).collect();
    Split::new(shape, Features::Bytes(pixels), Targets::Classes(labels))
}
