use std::borrow::Cow;

use granule_io::words::{counted, first_of, printable};

use crate::decoding::Repeat;
use crate::{DataError, Features, Fold, Normalization, Shape, Split, Targets, division};

/// Names that a warning lists.
const MOST_NAMES: usize = 12;

/// A data set in host memory.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Dataset {
    /// What it was loaded as, for example `mnist`.
    pub name: String,
    /// Class names in the order of the labels; empty for real-valued targets.
    pub classes: Vec<String>,
    /// How to normalise the inputs.
    pub normalization: Normalization,
    /// How to normalise real-valued targets, from the training part; none for classes.
    pub target_normalization: Normalization,
    /// Samples to learn from.
    pub train: Split,
    /// Samples to score on.
    pub test: Split,
    /// Samples to validate on, where the files have such a part; else they are held out of the training part, if at all.
    pub validation: Option<Split>,
    /// Whether it is a set that goes by a name, whose samples are mixed and whose normalisation is known.
    pub published: bool,
    /// Whether the files have no parts of their own, so that a seed drew these.
    pub divided: bool,
    /// Whether the targets are counts of events, whose loss is Poisson's unless another is chosen.
    pub counts: bool,
    /// Whether the targets are the inputs themselves, added up over their windows (`data.decoding.reconstruct`).
    pub reconstructs: bool,
    /// Whether the counts of the channels of a sample, in the bin that its target is of, are learnt beside the target, and not
    /// scored (`data.decoding.reconstruct` where channels are held out).
    pub learns_inputs: bool,
    /// Of a recording: the channels of its signal, from 0, that the channels of a sample are. Empty for other sets.
    pub columns: Vec<usize>,
    /// Of a recording some of whose channels are predicted from the others: which of them the targets are, from 0.
    pub target_columns: Vec<usize>,
    /// Of a recording whose conditions are named (`data.decoding.condition`): where each sample of the test part stands among
    /// repeats.
    pub repeats: Option<Vec<Repeat>>,
    /// Identifies the content (samples, targets, class names, division): equal for equal data, however it was
    /// stored. It guards against mix-ups, not against an adversary.
    pub fingerprint: String,
    /// What was recognised in the files and taken for granted, one sentence each.
    pub notes: Vec<String>,
    /// What may be wrong with the files, one sentence each.
    pub warnings: Vec<String>,
}

impl Dataset {
    /// Puts a data set together and computes its fingerprint. Control characters in names of classes, which a
    /// terminal would obey, are replaced by U+FFFD.
    ///
    /// # Errors
    /// [`DataError::Config`] when the two splits differ in shape or in kind of target, a split is empty, or a
    /// label is not below the number of class names.
    pub fn new(
        name: impl Into<String>,
        classes: Vec<String>,
        normalization: Normalization,
        train: Split,
        test: Split,
    ) -> Result<Self, DataError> {
        let mut dataset = Self {
            name: name.into(),
            classes: classes.iter().map(|name| printable(name)).collect(),
            normalization,
            target_normalization: Normalization::of_targets(&train),
            train,
            test,
            validation: None,
            published: false,
            divided: false,
            counts: false,
            reconstructs: false,
            learns_inputs: false,
            columns: Vec::new(),
            target_columns: Vec::new(),
            repeats: None,
            fingerprint: String::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
        };
        dataset.check()?;
        dataset.fingerprint = dataset.content();
        dataset.warnings = dataset.absences();
        Ok(dataset)
    }

    /// The data set with samples to validate on.
    ///
    /// # Errors
    /// As [`new`](Self::new), of this part.
    pub fn with_validation(mut self, validation: Split) -> Result<Self, DataError> {
        self.check_part("validation", &validation)?;
        let every = vec![true; self.classes.len()];
        if self.classes.len() > 1 {
            let seen = self.occurring(&validation, 0..validation.len());
            self.warnings
                .extend(self.absence("validation", "", &every, &seen));
        }
        self.validation = Some(validation);
        self.fingerprint = self.content();
        Ok(self)
    }

    /// The data set with all samples in its test part, to score a model on what it has not learnt from.
    ///
    /// # Errors
    /// [`DataError::Memory`] when a second copy of the samples does not fit.
    pub fn all_for_test(mut self) -> Result<Self, DataError> {
        let of_parts = self.absences();
        self.warnings.retain(|text| !of_parts.contains(text));
        self.test = self.train.joined(&self.test)?;
        if let Some(validation) = self.validation.take() {
            self.test = self.test.joined(&validation)?;
        }
        self.train = self.train.take(1);
        // They are of the samples of the test part alone.
        self.repeats = None;
        self.warnings.extend(self.absent_in_test());
        self.divided = false;
        self.fingerprint = self.content();
        Ok(self)
    }

    /// The data set with these samples of its test part alone.
    ///
    /// # Errors
    /// [`DataError::OutOfRange`] for an index beyond the end, [`DataError::Memory`] when they do not fit.
    pub fn tested_on(mut self, indices: &[usize]) -> Result<Self, DataError> {
        self.test = self.test.subset(indices)?;
        self.repeats = self.repeats.map(|all| {
            let chosen = indices.iter().filter_map(|&index| all.get(index).copied());
            chosen.collect()
        });
        Ok(self)
    }

    fn content(&self) -> String {
        let parts = [&self.train, &self.test]
            .into_iter()
            .chain(&self.validation);
        crate::fingerprint::of_samples(&self.classes, parts)
    }

    /// What is missing in the test part alone.
    pub(crate) fn absent_in_test(&self) -> Option<String> {
        let seen = self.occurring(&self.test, 0..self.test.len());
        let every = vec![true; self.classes.len()];
        self.absence("test", "", &every, &seen)
    }

    /// What is missing in the parts, one sentence each.
    pub(crate) fn absences(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let ([only], Targets::Classes(_)) = (self.classes.as_slice(), self.train.targets()) {
            warnings.push(format!(
                "every sample is of one class, {only}: there is nothing to tell apart"
            ));
            return warnings;
        }
        let every = vec![true; self.classes.len()];
        for (part, split) in [("training", &self.train), ("test", &self.test)] {
            let seen = self.occurring(split, 0..split.len());
            warnings.extend(self.absence(part, "", &every, &seen));
        }
        warnings
    }

    /// Which classes the samples of a part at `indices` are of; all of them for real-valued targets.
    pub fn occurring(&self, split: &Split, indices: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let Targets::Classes(labels) = split.targets() else {
            return vec![true; self.classes.len()];
        };
        let mut seen = vec![false; self.classes.len()];
        for index in indices {
            let label = labels.get(index).map(|&label| usize::from(label));
            if let Some(seen) = label.and_then(|label| seen.get_mut(label)) {
                *seen = true;
            }
        }
        seen
    }

    /// A sentence about the classes that were expected to occur in a part (`training`, `validation` or `test`) and do not,
    /// by their names; `cause` says where they went, ` under data.limit_test` for example.
    pub fn absence(
        &self,
        part: &str,
        cause: &str,
        expected: &[bool],
        seen: &[bool],
    ) -> Option<String> {
        let absent: Vec<&str> = self
            .classes
            .iter()
            .zip(expected.iter().zip(seen))
            .filter(|(_, (expected, seen))| **expected && !**seen)
            .map(|(name, _)| name.as_str())
            .collect();
        let shown = first_of(&absent, MOST_NAMES);
        let (what, it, list) = match absent.len() {
            0 => return None,
            1 => (format!("the class {shown} has"), "it", String::new()),
            n => (
                format!("{} have", counted(n, "class")),
                "them",
                format!(": {shown}"),
            ),
        };
        let effect = match part {
            "training" => "the model cannot learn",
            "validation" => "the scores of validation say nothing of",
            _ => "the scores say nothing of",
        };
        Some(format!(
            "{what} no {part} sample{cause}, {effect} {it}{list}"
        ))
    }

    /// What is the same in all samples of the training part, so that nothing can be learnt from it or of it; one sentence
    /// each.
    pub(crate) fn sameness(&self) -> Vec<String> {
        let train = &self.train;
        if train.len() < 2 {
            return Vec::new();
        }
        let mut found = Vec::new();
        let len = match (train.starts(), train.shape()) {
            // Windows of a series are alike when its steps are.
            (Some(_), Shape::Sequence { channels, .. }) => channels,
            (_, shape) => shape.len(),
        };
        let alike = match train.features() {
            Features::Bytes(data) => rows_are_alike(data, len),
            Features::Floats(data) => rows_are_alike(data, len),
        };
        if alike {
            let what = match train.shape() {
                Shape::Image { .. } => "all images of the training part are the same one",
                Shape::Vector { len: 1 } => "the only feature is the same in every training sample",
                Shape::Vector { .. } => "every feature is the same in all training samples",
                Shape::Sequence { .. } => "all sequences of the training part are the same one",
            };
            found.push(format!("{what}: there is nothing to tell samples apart by"));
        }
        if let Targets::Values { data, width } = train.targets() {
            let offset = train.target_offset();
            let constant = |column: &usize| {
                let mut values = data.iter().skip(*column).step_by((*width).max(1));
                let first = values.next();
                values.all(|value| Some(value) == first)
            };
            for column in (0..*width).filter(constant).take(MOST_NAMES) {
                let offset = offset.get(column).copied().unwrap_or(0.0);
                let value = data.get(column).map_or(0.0, |&x| f64::from(x) + offset);
                let which = match width {
                    1 => "the target".to_owned(),
                    _ => format!("target {column}, counted from 0,"),
                };
                found.push(format!(
                    "{which} is {value} in every training sample: there is nothing to learn of it"
                ));
            }
        }
        found
    }

    fn check(&self) -> Result<(), DataError> {
        self.check_part("train", &self.train)?;
        self.check_part("test", &self.test)
    }

    /// Checks a part beside the training part.
    fn check_part(&self, part: &str, split: &Split) -> Result<(), DataError> {
        if self.train.shape() != split.shape() {
            return Err(DataError::invalid(
                part,
                split.shape(),
                format!(
                    "samples of the shape of the training part, {}",
                    self.train.shape()
                ),
            ));
        }
        if split.is_empty() {
            return Err(DataError::invalid(part, "0 samples", "at least 1 sample"));
        }
        if let Targets::Classes(labels) = split.targets()
            && let Some(&label) = labels
                .iter()
                .find(|&&label| usize::from(label) >= self.classes.len())
        {
            return Err(DataError::invalid(
                format!("{part}.targets"),
                label,
                format!("below the number of class names, {}", self.classes.len()),
            ));
        }
        match (self.train.targets(), split.targets()) {
            (Targets::Classes(_), Targets::Classes(_)) => Ok(()),
            (Targets::Values { width: a, .. }, Targets::Values { width: b, .. }) if a == b => {
                Ok(())
            }
            (of_train, found) => Err(DataError::invalid(
                format!("{part}.targets"),
                kind_of(found),
                format!("{} as in the training part", kind_of(of_train)),
            )),
        }
    }
}

/// Targets in words.
fn kind_of(targets: &Targets) -> String {
    match targets {
        Targets::Classes(_) => "classes".to_owned(),
        Targets::Values { width, .. } => counted(*width, "real value"),
    }
}

fn rows_are_alike<T: PartialEq>(data: &[T], width: usize) -> bool {
    let mut rows = data.chunks_exact(width.max(1));
    let first = rows.next();
    rows.all(|row| Some(row) == first)
}

impl Dataset {
    /// The data set with one part of its samples to test on and the others to learn from, as cross-validation needs it. Where
    /// the files have a test part of their own, the samples are those of the training part, and the test part is left out.
    /// A seed draws the parts; those of one class are spread over all of them. Windows of a recording are cut into blocks in a
    /// row, and those that share a bin with the block are left out.
    ///
    /// # Errors
    /// [`DataError::Config`] when there are fewer samples than parts, [`DataError::Memory`] when copies do not fit.
    pub fn fold(&self, fold: Fold, seed: u64) -> Result<Self, DataError> {
        let all = if self.divided {
            Cow::Owned(self.train.joined(&self.test)?)
        } else {
            Cow::Borrowed(&self.train)
        };
        let (learnt, tested) = division::fold(&all, fold, seed)?;
        let (train, test) = (all.subset(&learnt)?, all.subset(&tested)?);
        let normalization = if self.published {
            self.normalization.clone()
        } else {
            Normalization::of(&train)
        };
        let classes = self.classes.clone();
        let mut dataset = Self::new(self.name.clone(), classes, normalization, train, test)?;
        if let Some(validation) = &self.validation {
            dataset = dataset.with_validation(validation.clone())?;
        }
        let of_parts = self.absences();
        let others = self.warnings.iter().filter(|text| !of_parts.contains(text));
        dataset.warnings.extend(others.cloned());
        dataset.notes.clone_from(&self.notes);
        dataset.published = self.published;
        dataset.counts = self.counts;
        dataset.reconstructs = self.reconstructs;
        dataset.learns_inputs = self.learns_inputs;
        dataset.columns.clone_from(&self.columns);
        dataset.target_columns.clone_from(&self.target_columns);
        let what = if self.divided {
            "all samples"
        } else {
            "the training samples"
        };
        dataset.notes.push(format!("{fold} of {what} is tested on"));
        Ok(dataset)
    }
}
