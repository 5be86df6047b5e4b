use std::path::{Path, PathBuf};

use super::{EpochRow, RecordError, RunSummary, StepRow};

/// How much of a run is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordOptions {
    /// Every how many steps a step row is kept; the first step always is.
    pub step_interval: u64,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self { step_interval: 10 }
    }
}

/// Writes the metrics of one run into its folder.
pub struct RunRecorder {
    run_dir: PathBuf,
}

impl RunRecorder {
    /// Creates the folder with `config.toml` and empty metrics files.
    pub fn create(
        run_dir: &Path,
        config_toml: &str,
        options: RecordOptions,
    ) -> Result<Self, RecordError> {
        let _ = (config_toml, options);
        Ok(Self {
            run_dir: run_dir.to_owned(),
        })
    }

    /// Continues the files of an interrupted run: what was torn is repaired, rows past `upto_step` are removed.
    pub fn resume(
        run_dir: &Path,
        upto_step: u64,
        options: RecordOptions,
    ) -> Result<Self, RecordError> {
        let _ = (upto_step, options);
        Ok(Self {
            run_dir: run_dir.to_owned(),
        })
    }

    /// Records one step, if the sampling interval selects it.
    pub fn step(&mut self, row: &StepRow) -> Result<(), RecordError> {
        let _ = row;
        Ok(())
    }

    /// Records one epoch.
    pub fn epoch(&mut self, row: &EpochRow) -> Result<(), RecordError> {
        let _ = row;
        Ok(())
    }

    /// Records the end of the run.
    pub fn finish(&mut self, summary: &RunSummary) -> Result<(), RecordError> {
        let _ = summary;
        Ok(())
    }

    /// Brings everything recorded so far to the disk: call it before a checkpoint is written.
    pub fn sync(&mut self) -> Result<(), RecordError> {
        Ok(())
    }

    /// The run folder.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The epochs recorded so far, including those before a resume.
    pub fn epochs(&self) -> &[EpochRow] {
        &[]
    }

    /// The step rows kept so far, including those before a resume.
    pub fn steps(&self) -> &[StepRow] {
        &[]
    }
}
