//! What `granule predict` is to answer: files, folders of images, patterns and standard input.

use std::fs;
use std::path::{Path, PathBuf};

use granule::io::image::{KINDS, is_left_behind, is_named_as_image, is_named_as_other_image};

/// The name of standard input.
const STDIN: &str = "-";

/// One file, or what could not be found.
pub struct Input {
    /// As it is printed.
    pub name: String,
    pub source: anyhow::Result<InputSource>,
}

pub enum InputSource {
    Image(PathBuf),
    Array(PathBuf),
    Stdin,
}

impl Input {
    fn file(path: PathBuf) -> Self {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let extension = extension.to_ascii_lowercase();
        let source = match extension.as_str() {
            "npy" | "npz" => Ok(InputSource::Array(path.clone())),
            "csv" | "tsv" | "txt" if path.is_file() => Err(anyhow::anyhow!(
                "{} is a table; save its columns of features by numpy.save(\"x.npy\", x) and name x.npy",
                path.display()
            )),
            _ => Ok(InputSource::Image(path.clone())),
        };
        Self {
            name: path.display().to_string(),
            source,
        }
    }

    fn missing(path: &Path, error: anyhow::Error) -> Self {
        Self {
            name: path.display().to_string(),
            source: Err(error),
        }
    }
}

/// Every file that the arguments stand for, in their order; those of folders and patterns sorted by name.
pub fn find(arguments: &[PathBuf]) -> Vec<Input> {
    arguments.iter().flat_map(|path| of(path)).collect()
}

fn of(path: &Path) -> Vec<Input> {
    if path == Path::new(STDIN) {
        return vec![Input {
            name: STDIN.to_string(),
            source: Ok(InputSource::Stdin),
        }];
    }
    if path.is_dir() {
        let mut found = Vec::new();
        images(path, &mut found);
        if found.is_empty() {
            let error = anyhow::anyhow!("{} holds no images ({KINDS})", path.display());
            found.push(Input::missing(path, error));
        }
        return found;
    }
    let text = path.to_string_lossy();
    if !path.exists() && text.contains(['*', '?', '[']) {
        return pattern(path, &text);
    }
    vec![Input::file(path.to_path_buf())]
}

/// The files that a pattern names, for shells that leave it as it is.
fn pattern(path: &Path, text: &str) -> Vec<Input> {
    let found = match glob::glob(text) {
        Ok(found) => found,
        Err(error) => return vec![Input::missing(path, error.into())],
    };
    let found: Vec<PathBuf> = found
        .filter_map(Result::ok)
        .filter(|path| path.is_file() && !is_left_behind(path))
        .collect();
    if found.is_empty() {
        let error = anyhow::anyhow!("{text} matches no file");
        vec![Input::missing(path, error)]
    } else {
        found.into_iter().map(Input::file).collect()
    }
}

/// The images of a folder and of those in it, sorted; links to folders are not followed. A folder that cannot be listed is an
/// error of its own beside the images of the others.
fn images(dir: &Path, all: &mut Vec<Input>) {
    let listed = fs::read_dir(dir).and_then(|entries| {
        let (mut found, mut folders) = (Vec::new(), Vec::new());
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if is_left_behind(&path) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if is_named_as_image(&path) || is_named_as_other_image(&path) {
                found.push(path);
            }
        }
        found.sort();
        folders.sort();
        Ok((found, folders))
    });
    match listed {
        Ok((found, folders)) => {
            all.extend(found.into_iter().map(Input::file));
            folders.iter().for_each(|folder| images(folder, all));
        }
        Err(error) => {
            let error = anyhow::Error::from(error);
            let error = error.context(format!("cannot list {}", dir.display()));
            all.push(Input::missing(dir, error));
        }
    }
}

/// Whether bytes are an array, or an archive of arrays, as NumPy writes them.
pub fn is_of_arrays(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x93NUMPY") || bytes.starts_with(b"PK\x03\x04")
}

/// Whether bytes are text, as a table of numbers is.
pub fn is_text(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes);
    text.is_ok_and(|text| {
        !text.is_empty() && !text.contains(|c: char| c.is_control() && !c.is_whitespace())
    })
}

/// All of standard input, as far as an image file goes.
pub fn stdin() -> anyhow::Result<Vec<u8>> {
    Ok(granule::io::image::read_from(0, std::io::stdin().lock())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_patterns_stand_for_their_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.png",
            "a.JPG",
            "notes.txt",
            "Thumbs.db",
            ".hidden.png",
            "sub/c.webp",
            "__MACOSX/d.png",
            "array.npy",
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let names = |argument: &str| -> Vec<String> {
            let found = find(&[dir.path().join(argument)]);
            let name = |input: &Input| {
                let name = input.name.strip_prefix(&dir.path().display().to_string());
                let mark = if input.source.is_ok() { "" } else { "!" };
                format!("{mark}{}", name.unwrap().trim_start_matches('/'))
            };
            found.iter().map(name).collect()
        };
        assert_eq!(names(""), ["a.JPG", "b.png", "sub/c.webp"]);
        // Told of as what they are when they are read.
        fs::write(dir.path().join("sub/scan.tiff"), "x").unwrap();
        assert_eq!(names("sub"), ["sub/c.webp", "sub/scan.tiff"]);
        assert_eq!(names("*.png"), ["b.png"]);
        assert_eq!(names("*/*.webp"), ["sub/c.webp"]);
        assert_eq!(names("*.gif"), ["!*.gif"]);
        assert_eq!(names("absent.png"), ["absent.png"]);
        assert_eq!(names("notes.txt"), ["!notes.txt"]);
        assert!(matches!(
            find(&["-".into()])[0].source,
            Ok(InputSource::Stdin)
        ));
        let array = &find(&[dir.path().join("array.npy")])[0];
        assert!(matches!(array.source, Ok(InputSource::Array(_))));
    }

    #[test]
    fn standard_input_is_told_by_its_first_bytes() {
        assert!(is_of_arrays(b"\x93NUMPY\x01") && is_of_arrays(b"PK\x03\x04.."));
        assert!(is_text(b"a,b\n1,2\n") && !is_text(b"") && !is_text(b"\x89PNG\r\n"));
    }
}
