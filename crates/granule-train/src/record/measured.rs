//! What was measured of the decoder of a run after its training, in its folder.

use std::path::Path;

use granule_io::{Bound, read};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{IMPORTANCE_JSON, RECEPTIVE_FIELDS_JSON, RecordError};
use crate::importance::Importance;
use crate::receptive::ReceptiveFields;

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// By channel, lag and group, in this order.
    pub importance: Vec<Importance>,
    pub fields: Option<ReceptiveFields>,
}

impl Measured {
    /// Nothing where no file is there.
    pub fn load(run_dir: &Path) -> Result<Self, RecordError> {
        Ok(Self {
            importance: load_importance(run_dir)?,
            fields: load_receptive_fields(run_dir)?,
        })
    }

    /// Removes what was measured of a model that is not the one of the run any more.
    pub fn forget(run_dir: &Path) -> Result<(), RecordError> {
        for file in [IMPORTANCE_JSON, RECEPTIVE_FIELDS_JSON] {
            let path = run_dir.join(file);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RecordError::io("remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn load<T: DeserializeOwned>(run_dir: &Path, file: &str) -> Result<Option<T>, RecordError> {
    let path = run_dir.join(file);
    let bytes = match read(&path, Bound::RECORD) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = granule_io::from_json(&bytes);
    found.map(Some).map_err(|error| RecordError::Damaged {
        path,
        reason: error.to_string(),
    })
}

fn store(run_dir: &Path, file: &str, measured: &impl Serialize) -> Result<(), RecordError> {
    let json = serde_json::to_vec(measured).map_err(|error| RecordError::Render {
        reason: error.to_string(),
    })?;
    super::replace(&run_dir.join(file), &json)
}

/// Reads `importance.json` of a run folder: what was measured by channel, lag and group, in this order and each at most once. Empty
/// where the file is not there.
///
/// # Errors
/// [`RecordError::File`] when it cannot be read, [`RecordError::Damaged`] when it cannot be understood.
pub fn load_importance(run_dir: &Path) -> Result<Vec<Importance>, RecordError> {
    Ok(load(run_dir, IMPORTANCE_JSON)?.unwrap_or_default())
}

/// Writes what was measured into `importance.json` of a run folder, in the place of what was measured by the same before.
///
/// # Errors
/// [`RecordError::File`] when the file cannot be written.
pub fn store_importance(run_dir: &Path, importance: &Importance) -> Result<(), RecordError> {
    // It is measured again if it cannot be read.
    let mut all = load_importance(run_dir).unwrap_or_default();
    all.retain(|other| other.by != importance.by);
    all.push(importance.clone());
    all.sort_by_key(|importance| importance.by);
    store(run_dir, IMPORTANCE_JSON, &all)
}

/// Reads `receptive_fields.json` of a run folder; nothing where the file is not there.
///
/// # Errors
/// [`RecordError::File`] when it cannot be read, [`RecordError::Damaged`] when it cannot be understood.
pub fn load_receptive_fields(run_dir: &Path) -> Result<Option<ReceptiveFields>, RecordError> {
    load(run_dir, RECEPTIVE_FIELDS_JSON)
}

/// Writes `receptive_fields.json` of a run folder.
///
/// # Errors
/// [`RecordError::File`] when the file cannot be written.
pub fn store_receptive_fields(run_dir: &Path, fields: &ReceptiveFields) -> Result<(), RecordError> {
    store(run_dir, RECEPTIVE_FIELDS_JSON, fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importance::{By, Measure, PartImportance, Spread};

    #[test]
    fn each_way_is_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let measured = |by: By, score: f64| Importance {
            by,
            thing: by.name().to_owned(),
            measure: Measure::R2,
            score,
            loss: 0.5,
            samples: 20,
            repeats: 1,
            seed: 3,
            linear: None,
            parts: vec![PartImportance {
                name: "-1".to_owned(),
                constant: false,
                drop: Spread::of(&[0.25]),
                loss_rise: Spread::of(&[0.1]),
                linear_drop: None,
                alone: Some(0.125),
            }],
        };
        assert!(load_importance(dir.path()).unwrap().is_empty());
        for (by, score) in [(By::Lag, 0.5), (By::Channel, 0.5), (By::Lag, 0.75)] {
            store_importance(dir.path(), &measured(by, score)).unwrap();
        }
        let expected = [measured(By::Channel, 0.5), measured(By::Lag, 0.75)];
        assert_eq!(load_importance(dir.path()).unwrap(), expected);
        std::fs::write(dir.path().join(IMPORTANCE_JSON), "[{}]").unwrap();
        assert!(matches!(
            load_importance(dir.path()),
            Err(RecordError::Damaged { .. })
        ));
        store_importance(dir.path(), &measured(By::Lag, 0.5)).unwrap();
        assert_eq!(load_importance(dir.path()).unwrap().len(), 1);
    }
}
