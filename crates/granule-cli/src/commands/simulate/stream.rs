//! A record that is written while it is made.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context;
use granule::data::arrays::GrowingNpy;
use granule::io::{check_writable, write_atomic_with};
use granule::simulate::{Block, Trace};

use super::result::Result as Told;
use crate::failure::Usage;
use crate::written::OutFile;

/// The result beside the arrays.
const RESULT: &str = "run.json";

/// A folder of arrays that grow.
pub struct Stream {
    folder: PathBuf,
    files: BTreeMap<String, GrowingNpy>,
    failed: Option<anyhow::Error>,
}

impl Stream {
    /// Makes the folder.
    ///
    /// # Errors
    /// A folder with something in it, a file, and what cannot be made.
    pub fn new(folder: &Path) -> Result<Self, Usage> {
        let refused =
            |reason: String| Usage::new(format!("--stream {}: {reason}", folder.display()));
        match fs::read_dir(folder).map(|mut files| files.next().is_none()) {
            Ok(true) => {}
            Ok(false) => {
                let reason = refused("this folder is not empty".into());
                return Err(reason.hint("give the record a folder of its own"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder).map_err(|error| refused(error.to_string()))?;
            }
            Err(error) => return Err(refused(error.to_string())),
        }
        let result = folder.join(RESULT);
        check_writable(&result).map_err(|error| Usage::new(format!("--stream {error}")))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            files: BTreeMap::new(),
            failed: None,
        })
    }

    /// Refuses a file among the arrays.
    ///
    /// # Errors
    /// Names it.
    pub fn check_apart(&self, file: &OutFile) -> Result<(), Usage> {
        let folder = file.path().parent().map(Path::canonicalize);
        if folder.is_none_or(|folder| folder.ok() != self.folder.canonicalize().ok()) {
            return Ok(());
        }
        let path = file.path().display();
        let reason = format!(
            "{path} would stand among the arrays of --stream {}",
            self.folder.display()
        );
        Err(Usage::new(reason).hint("give it a place of its own"))
    }

    /// Writes the next part. What fails ends the run, and no array keeps more of it than the others.
    pub fn take(&mut self, block: Block<'_>) -> ControlFlow<()> {
        if self.failed.is_some() {
            return ControlFlow::Break(());
        }
        let before: BTreeMap<String, usize> = self
            .files
            .iter()
            .map(|(name, file)| (name.clone(), file.rows()))
            .collect();
        let Err(error) = self.write(block) else {
            return ControlFlow::Continue(());
        };
        self.failed = Some(error);
        for (name, file) in &mut self.files {
            // Where this fails as well, the first error says why.
            let _ = file.keep(before.get(name).copied().unwrap_or_default());
        }
        ControlFlow::Break(())
    }

    fn write(&mut self, block: Block<'_>) -> anyhow::Result<()> {
        self.append("time", None, block.times)?;
        for trace in block.traces {
            self.append(&trace.name, Some(trace.width), &trace.values)?;
        }
        for Trace {
            name,
            width,
            values,
            ..
        } in block.stimulus
        {
            self.append(&format!("stimulus.{name}"), Some(*width), values)?;
        }
        if let Some(spikes) = block.spikes {
            let (times, cells): (Vec<f64>, Vec<f64>) = spikes
                .iter()
                .map(|(time, cell)| (*time, *cell as f64))
                .unzip();
            self.append("spike_times", None, &times)?;
            self.append("spike_cells", None, &cells)?;
        }
        Ok(())
    }

    fn append(&mut self, name: &str, columns: Option<usize>, values: &[f64]) -> anyhow::Result<()> {
        let path = self.folder.join(format!("{name}.npy"));
        let failed = || format!("cannot write {}", path.display());
        let file = match self.files.get_mut(name) {
            Some(file) => file,
            None => {
                if path.parent() != Some(&self.folder) {
                    anyhow::bail!("the variable {name:?} has no name that a file can have");
                }
                let file = GrowingNpy::create(&path, columns).with_context(failed)?;
                self.files.entry(name.to_owned()).or_insert(file)
            }
        };
        file.append(values).with_context(failed)
    }

    /// Writes the result beside the arrays. Returns the folder.
    ///
    /// # Errors
    /// What ended the run, and what the system says.
    pub fn finish(self, told: &Told<'_>) -> anyhow::Result<Vec<PathBuf>> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        for (name, file) in self.files {
            let path = self.folder.join(format!("{name}.npy"));
            file.finish()
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        write_atomic_with(&self.folder.join(RESULT), |file| {
            let mut file = BufWriter::new(file);
            told.as_json(|json| serde_json::to_writer(&mut file, &json))?;
            writeln!(file)?;
            file.flush()
        })?;
        Ok(vec![self.folder])
    }
}
