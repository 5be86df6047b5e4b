//! `granule data …`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use granule::data::arrays::ArrayOptions;
use granule::data::decoding::{self, Found, Inspection};
use granule::data::fetch::{FetchOptions, ensure};
use granule::data::registry::{self, FileReport, FileState, Published};
use granule::data::{DataError, DatasetSpec, ImageOptions, LoadOptions, data_dir, dataset_dir};
use granule::io::image::{Background, Resize, Size};
use serde_json::json;

use crate::args::{DataFolder, DataSource};
use crate::failure::{FAILED, Hinted, Usage};
use crate::output;
use crate::progress::{Loading, Style, aside};
use crate::written::OutFile;

/// What images of many sizes are brought to in a preview.
const PREVIEW_SIZE: Size = Size {
    height: 84,
    width: 84,
};

pub fn list(folder: &DataFolder, json: bool) -> anyhow::Result<()> {
    let dir = data_dir(folder.data_dir.as_deref())?;
    let sets = registry::list(&dir);
    if json {
        return sets.iter().try_for_each(output::json);
    }
    let mut rows = vec![
        ["NAME", "STATE", "SIZE", "CONTENT"]
            .map(String::from)
            .to_vec(),
    ];
    rows.extend(sets.iter().map(|set| {
        let (state, size) = match (&set.dir, set.present) {
            (None, _) => ("built in", "-".to_string()),
            (Some(_), true) => ("here", megabytes(set.size)),
            (Some(_), false) => ("not here", megabytes(set.size)),
        };
        vec![
            set.name.to_string(),
            state.to_string(),
            size,
            set.title.to_string(),
        ]
    }));
    output::line(&output::columns(&rows))?;
    output::line(&format!(
        "\nFolder: {}; `granule data fetch NAME` puts a data set there.\n\
         Your own: {}",
        dir.display(),
        DatasetSpec::described_forms()
            .collect::<Vec<_>>()
            .join(", ")
    ))
}

pub fn fetch(name: &DatasetSpec, source: &DataSource, json: bool) -> anyhow::Result<()> {
    let (set, dir) = published(name, &source.folder)?;
    let loading = Loading::new(Style::choose(json, false));
    ensure(
        set,
        &dir,
        &FetchOptions {
            offline: source.offline,
            progress: Some(&loading),
        },
    )?;
    let reports = registry::verify(set, &dir)?;
    show_all(&reports, json)?;
    let wrong: Vec<_> = reports
        .iter()
        .filter(|report| !is_fine(report))
        .map(|report| report.path.display().to_string())
        .collect();
    if !wrong.is_empty() {
        let message = format!(
            "{} of {} files were there already and are not the published ones: {}",
            wrong.len(),
            reports.len(),
            wrong.join(", ")
        );
        let hint = format!(
            "delete what differs and `granule data fetch {}` again, or keep it if it is meant: it is used as it is, \
             with a warning",
            set.name
        );
        return Err(Hinted::new(message, hint).into());
    }
    if json {
        return Ok(());
    }
    output::line(&format!("{} is in {}", set.name, dir.display()))
}

pub fn verify(name: &DatasetSpec, folder: &DataFolder, json: bool) -> anyhow::Result<ExitCode> {
    let (set, dir) = published(name, folder)?;
    let reports = registry::verify(set, &dir)?;
    show_all(&reports, json)?;
    let wrong = reports.iter().filter(|report| !is_fine(report)).count();
    if wrong == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    if !json {
        output::line(&format!(
            "{wrong} of {} files are missing or not the published ones; delete what differs and `granule data fetch {}`",
            reports.len(),
            set.name
        ))?;
    }
    Ok(ExitCode::from(FAILED))
}

pub fn preview(
    name: &DatasetSpec,
    source: &DataSource,
    out: &Path,
    [columns, rows]: [usize; 2],
    arrays: ArrayOptions,
) -> anyhow::Result<()> {
    let extension = out.extension().unwrap_or_default().to_string_lossy();
    if extension.to_lowercase() != "png" {
        return Err(Usage::new(format!(
            "--out {}: the name does not end in .png",
            out.display()
        ))
        .into());
    }
    let file = OutFile::new(out, "--out")?;
    let loading = Loading::new(Style::choose(false, false));
    let load = |images| {
        let options = LoadOptions {
            data_dir: source.folder.data_dir.clone(),
            offline: source.offline,
            seed: 1,
            images,
            arrays,
            scored: true,
            progress: Some(&loading),
            ..LoadOptions::default()
        };
        granule::data::load(name, &options)
    };
    // Images of many sizes are shown as they are, on grounds of one size.
    let padded = ImageOptions {
        size: Some(PREVIEW_SIZE),
        resize: Some(Resize::Pad),
        background: Background([128; 3]),
        ..ImageOptions::default()
    };
    let dataset = match load(ImageOptions::default()) {
        Err(DataError::ImageSizes { .. }) => load(padded)?,
        loaded => loaded?,
    };
    for text in &dataset.notes {
        output::note(&aside(text));
    }
    for warning in &dataset.warnings {
        output::warn(warning);
    }
    let png = granule::data::preview::grid(&dataset.train, &dataset.classes, columns, rows)?;
    file.write(|file| file.write_all(&png))?;
    output::line(&out.display().to_string())
}

pub fn inspect(path: &Path, json: bool) -> anyhow::Result<()> {
    let text = path.to_string_lossy();
    let path = match text.strip_prefix("recording:") {
        Some(rest) if !path.exists() => Path::new(rest),
        _ => path,
    };
    let found = decoding::inspect(path)?;
    let command = command(&found);
    if json {
        let mut value = serde_json::to_value(&found)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("command".to_owned(), json!(command));
        }
        output::json(&value)?;
        return readable(&found);
    }
    output::line(&granule::io::words::printable(&format!(
        "{}: {}, {}",
        found.path.display(),
        found.kind,
        output::counted(found.arrays.len(), "array")
    )))?;
    let titles = [
        "NAME", "SHAPE", "TYPE", "MIN", "MEAN", "MAX", "NAN", "CONSTANT", "ROLE",
    ];
    let mut rows = vec![titles.map(String::from).to_vec()];
    let shown = found.arrays.iter().filter(|array| array.problem.is_none());
    rows.extend(shown.map(row));
    if rows.len() > 1 {
        output::line(&output::columns(&rows))?;
    }
    for array in &found.arrays {
        if let Some(problem) = &array.problem {
            let text = format!("{}: cannot be read: {problem}", array.name);
            output::line(&granule::io::words::printable(&text))?;
        }
    }
    if let Some(command) = command {
        let command = granule::io::words::printable(&command);
        output::line(&format!("\nTrain with: {command}"))?;
    }
    readable(&found)
}

/// Fails where nothing can be read.
fn readable(found: &Inspection) -> anyhow::Result<()> {
    let place = found.path.display();
    let (message, hint) = match found.arrays.as_slice() {
        [] => (
            format!("{place}: {} without arrays", found.kind),
            "a folder has to hold .npy, NIfTI or CSV files itself, not in folders within; an archive or file arrays of numbers or strings",
        ),
        all if all.iter().all(|array| array.problem.is_some()) => (
            format!("{place}: nothing in it can be read"),
            "what is wrong with each array stands above; numpy.savez(\"recording.npz\", counts=counts) in Python writes \
             an archive that can be",
        ),
        _ => return Ok(()),
    };
    Err(Hinted::new(message, hint).into())
}

/// A command that trains on what stands out, whose preset names the arrays of another recording.
fn command(found: &Inspection) -> Option<String> {
    let suggestion = found.suggestion.as_ref()?;
    let dataset = format!("recording:{}", found.path.display());
    let mut command = format!(
        "granule train {} --dataset {}",
        suggestion.preset,
        output::quoted(Path::new(&dataset))
    );
    for setting in suggestion.settings() {
        command.push_str(&format!(" --set {}", output::quoted(Path::new(&setting))));
    }
    Some(command)
}

fn row(array: &Found) -> Vec<String> {
    let mut row = vec![
        array.name.clone(),
        format!("{:?}", array.shape).replace(", ", "×"),
        array.dtype.clone(),
    ];
    row.extend(match &array.numbers {
        None => ["-"; 5].map(String::from),
        Some(numbers) => {
            let [min, mean, max] = [numbers.min, numbers.mean, numbers.max].map(number);
            let constant = match numbers.constant_channels.as_slice() {
                [] => "0".to_owned(),
                _ if numbers.channels == 1 => "all".to_owned(),
                named => {
                    let named: Vec<_> = named.iter().take(4).map(ToString::to_string).collect();
                    let more = if numbers.constant > named.len() {
                        ", …"
                    } else {
                        ""
                    };
                    format!("{} ({}{more})", numbers.constant, named.join(", "))
                }
            };
            let nan = match numbers.infinite {
                0 => numbers.nan.to_string(),
                infinite => format!("{} (and {infinite} infinite)", numbers.nan),
            };
            [min, mean, max, nan, constant]
        }
    });
    row.push(array.role.clone().unwrap_or_default());
    row.iter()
        .map(|cell| granule::io::words::printable(cell))
        .collect()
}

/// A number in a table: whole ones as they are, others with five digits.
fn number(x: Option<f64>) -> String {
    match x {
        None => "-".to_owned(),
        Some(x) if x.fract() == 0.0 && x.abs() < 1e9 => format!("{x}"),
        Some(x) if (1e-3..1e6).contains(&x.abs()) => {
            let whole = x.abs().log10().floor() as i32;
            format!("{x:.*}", (4 - whole).max(0) as usize)
        }
        Some(x) => format!("{x:.4e}"),
    }
}

fn published(
    name: &DatasetSpec,
    folder: &DataFolder,
) -> anyhow::Result<(&'static Published, PathBuf)> {
    let text = name.to_string();
    let set = registry::find(&text).ok_or_else(|| {
        let names: Vec<_> = registry::all().iter().map(|set| set.name).collect();
        Usage::new(format!("{text} has no published files"))
            .hint(format!("those that have are {}", names.join(", ")))
    })?;
    let dir = data_dir(folder.data_dir.as_deref())?;
    Ok((set, dataset_dir(&dir, set.name)))
}

fn is_fine(report: &FileReport) -> bool {
    matches!(report.state, FileState::Ok | FileState::Unchecked)
}

fn show_all(reports: &[FileReport], json: bool) -> anyhow::Result<()> {
    reports.iter().try_for_each(|report| {
        if json {
            output::json(&json!(report))
        } else {
            show(report)
        }
    })
}

fn show(report: &FileReport) -> anyhow::Result<()> {
    let verdict = match report.state {
        FileState::Ok => "ok",
        FileState::Unchecked => "size ok, no published checksum",
        FileState::Differs => "DIFFERS",
        FileState::Missing => "missing",
    };
    let mut text = format!("{}: {verdict}", report.path.display());
    if report.state == FileState::Differs {
        match (&report.sha256, report.expected_sha256) {
            (Some(found), Some(expected)) => {
                text.push_str(&format!(" (SHA-256 {found}, published {expected})"));
            }
            _ => text.push_str(&format!(
                " ({} bytes, published {})",
                report.size.unwrap_or(0),
                report.expected_size
            )),
        }
    }
    output::line(&text)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn fetch_fails_when_what_is_there_differs() {
        let root = tempfile::tempdir().unwrap();
        let mnist = root.path().join("mnist");
        std::fs::create_dir(&mnist).unwrap();
        for file in registry::find("mnist").unwrap().files {
            std::fs::write(mnist.join(file.name), "another").unwrap();
        }
        let source = DataSource {
            folder: DataFolder {
                data_dir: Some(root.path().to_path_buf()),
            },
            offline: true,
        };
        for json in [false, true] {
            let error = fetch(&DatasetSpec::Mnist, &source, json).unwrap_err();
            assert!(error.is::<Hinted>(), "{error}");
            let message = error.to_string();
            for part in ["4 of 4 files", "t10k-labels-idx1-ubyte.gz"] {
                assert!(message.contains(part), "{message}");
            }
            let verified = verify(&DatasetSpec::Mnist, &source.folder, json).unwrap();
            assert_eq!(verified, ExitCode::from(FAILED));
        }
    }

    #[test]
    fn inspecting_fails_where_nothing_can_be_read() {
        let root = tempfile::tempdir().unwrap();
        let empty = inspect(root.path(), false).unwrap_err();
        assert!(empty.to_string().contains("without arrays"), "{empty}");
        std::fs::create_dir(root.path().join("folder.npy")).unwrap();
        for json in [false, true] {
            let error = inspect(root.path(), json).unwrap_err();
            assert!(error.is::<Hinted>(), "{error}");
            assert!(
                error.to_string().contains("nothing in it can be read"),
                "{error}"
            );
        }
        let prefixed = PathBuf::from(format!("recording:{}", root.path().display()));
        let error = inspect(&prefixed, false).unwrap_err();
        assert!(
            error.to_string().contains("nothing in it can be read"),
            "{error}"
        );
    }

    #[test]
    fn offline_is_taken_only_where_it_means_something() {
        let takes = |words: &[&str]| {
            let words = ["granule", "data"].iter().chain(words);
            Cli::try_parse_from(words.chain(&["--offline"])).is_ok()
        };
        assert!(takes(&["fetch", "mnist"]) && takes(&["preview", "mnist"]));
        assert!(!takes(&["list"]) && !takes(&["verify", "mnist"]));
    }
}
