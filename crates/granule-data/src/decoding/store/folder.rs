//! Files of a folder, of which each is an array that is called as the file is.

use std::path::{Path, PathBuf};

use super::nifti;
use super::numpy;
use super::table::{self, Table};
use super::{Container, Read};
use crate::DataError;

/// A folder of `.npy`, NIfTI and CSV files.
pub(super) struct Folder<'a> {
    path: &'a Path,
    mask: Option<PathBuf>,
    /// The table that was read last.
    table: Option<(PathBuf, Table)>,
    notes: Vec<String>,
}

/// A file, and what of it is meant.
struct Member {
    path: PathBuf,
    format: Format,
}

enum Format {
    Numpy,
    Volumes,
    /// All columns, or those of a name.
    Table(Option<String>),
}

/// What the names of files end with, and what these are; of files that would be arrays of one name the first is read.
fn ends() -> impl Iterator<Item = (&'static str, fn() -> Format)> {
    let numpy: (_, fn() -> Format) = (numpy::END, || Format::Numpy);
    let volumes = nifti::ENDS.map(|end| (end, (|| Format::Volumes) as fn() -> Format));
    let tables = table::ENDS.map(|end| (end, (|| Format::Table(None)) as fn() -> Format));
    std::iter::once(numpy).chain(volumes).chain(tables)
}

/// Whether anything is there; what it is, if it is no file, is told where it is read.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

impl<'a> Folder<'a> {
    /// `mask` is the file that says which voxels of volumes are kept.
    pub fn new(path: &'a Path, mask: Option<PathBuf>) -> Self {
        Self {
            path,
            mask,
            table: None,
            notes: Vec::new(),
        }
    }

    /// The files of a name, the one that is read first.
    fn files(&self, name: &str) -> impl Iterator<Item = Member> {
        let named = ends().map(move |(end, format)| Member {
            path: self.path.join(format!("{name}{end}")),
            format: format(),
        });
        named.filter(|member| !name.is_empty() && is_there(&member.path))
    }

    /// The file that an array is in.
    fn member(&self, name: &str) -> Option<Member> {
        self.files(name).next().or_else(|| {
            // A column of a table.
            name.match_indices('.').find_map(|(at, _)| {
                let (stem, column) = (name.get(..at)?, name.get(at + 1..)?);
                let mut tables = self.files(stem);
                let table = tables.find(|member| matches!(member.format, Format::Table(_)))?;
                let format = Format::Table(Some(column.to_owned()));
                Some(Member { format, ..table })
            })
        })
    }

    fn table(&mut self, path: &Path) -> Result<&Table, DataError> {
        let held = self.table.take().filter(|(held, _)| held == path);
        let table = match held {
            Some((_, table)) => table,
            None => Table::read(path.to_owned())?,
        };
        Ok(&self.table.insert((path.to_owned(), table)).1)
    }
}

impl Container for Folder<'_> {
    fn kind(&self) -> &'static str {
        "a folder of .npy, NIfTI and CSV files"
    }

    fn names(&mut self) -> Result<Vec<String>, DataError> {
        let path = self.path;
        let failed = |error| DataError::io(path, "read", error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            // What is no text nobody can name.
            let Some(name) = name.to_str() else {
                continue;
            };
            let Some((stem, format)) =
                ends().find_map(|(end, format)| Some((name.strip_suffix(end)?, format())))
            else {
                continue;
            };
            // What is wrong with a table is told where it is read.
            let table = match format {
                Format::Table(_) => self.table(&entry.path()).ok(),
                Format::Numpy | Format::Volumes => None,
            };
            let Some(table) = table else {
                names.push(stem.to_owned());
                continue;
            };
            let columns = table.listed();
            if table.is_whole() {
                names.push(stem.to_owned());
            }
            if !table.is_whole() || columns.len() > 1 {
                let columns = columns.iter();
                names.extend(columns.map(|column| format!("{stem}.{column}")));
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn has(&mut self, name: &str) -> Result<bool, DataError> {
        Ok(match self.member(name) {
            Some(Member {
                path,
                format: Format::Table(Some(column)),
            }) => self.table(&path)?.holds(&column),
            member => member.is_some(),
        })
    }

    fn place(&self, name: &str) -> PathBuf {
        match self.member(name) {
            Some(Member {
                path,
                format: Format::Table(Some(column)),
            }) => PathBuf::from(format!("{}!{column}", path.display())),
            Some(member) => member.path,
            None => self.path.join(format!("{name}{}", numpy::END)),
        }
    }

    fn read(&mut self, name: &str, read: Read<'_>) -> Result<(), DataError> {
        let place = self.place(name);
        let Some(Member { path, format }) = self.member(name) else {
            return Err(DataError::format(&place, "is not there"));
        };
        let others = self.files(name).map(|member| member.path);
        let others: Vec<_> = others.filter(|other| *other != path).collect();
        for other in others {
            let note = format!(
                "{} is read, and not {} beside it",
                place.display(),
                other.display()
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        match format {
            Format::Numpy => numpy::of_file(&path, read),
            Format::Volumes => nifti::of_file(&path, self.mask.as_deref(), &mut self.notes, read),
            Format::Table(Some(column)) => self.table(&path)?.read_named(&column, &place, read),
            Format::Table(None) => self.table(&path)?.read_whole(&place, read),
        }
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn has_volumes(&self, name: &str) -> bool {
        let member = self.member(name);
        member.is_some_and(|member| matches!(member.format, Format::Volumes))
    }
}
