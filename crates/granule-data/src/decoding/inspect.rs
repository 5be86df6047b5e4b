//! What a file or folder of recordings holds, and what of it may be decoded from what.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::store::Store;
use crate::DataError;
use crate::arrays::{Array, Survey};

/// Constant channels that are named.
const MOST_CHANNELS: usize = 20;

/// What a file or folder holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The file or folder.
    pub path: PathBuf,
    /// What kind of file it is, in words: `"an .npz archive"`.
    pub kind: String,
    /// Its arrays, in the order of the file, or by their names.
    pub arrays: Vec<Found>,
    /// What may be decoded from what, where that is plain.
    pub suggestion: Option<Suggestion>,
}

/// An array of a recording.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Found {
    /// Its name, as `data.decoding.signal` and `data.decoding.target` take it.
    pub name: String,
    /// Its extents.
    pub shape: Vec<u64>,
    /// NumPy's name of its type, or `"strings"`.
    #[serde(rename = "type")]
    pub dtype: String,
    /// What its numbers are like; absent for strings and for what cannot be read.
    pub numbers: Option<Numbers>,
    /// What it may be, judged by its shape and numbers.
    pub role: Option<String>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// What the numbers of an array are like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// The least finite number.
    pub min: Option<f64>,
    /// The mean of the finite numbers.
    pub mean: Option<f64>,
    /// The greatest finite number.
    pub max: Option<f64>,
    /// How many are NaN.
    pub nan: u64,
    /// How many are infinite.
    pub infinite: u64,
    /// Channels: the columns of `[bins, channels]`, the middle extent of `[trials, channels, bins]`.
    pub channels: usize,
    /// How many channels hold the same number throughout.
    pub constant: usize,
    /// The first of them, from 0; at most 20.
    pub constant_channels: Vec<usize>,
    /// Whether all are whole and none is below 0, as counts are.
    pub counts: bool,
}

/// What may be decoded from what.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// `data.decoding.signal`
    pub signal: String,
    /// `data.decoding.target`
    pub target: String,
    /// `data.decoding.test_signal` and `data.decoding.test_target`, where names say `test` in place of `train`.
    pub test: Option<[String; 2]>,
    /// Other keys of `data.decoding` that go with it, and their values.
    pub keys: Vec<(String, String)>,
}

impl Suggestion {
    /// The keys of a configuration with their values, as `--set` takes them.
    pub fn settings(&self) -> Vec<String> {
        let mut keys = vec![("signal", &self.signal), ("target", &self.target)];
        if let Some([signal, target]) = &self.test {
            keys.extend([("test_signal", signal), ("test_target", target)]);
        }
        keys.extend(self.keys.iter().map(|(key, value)| (key.as_str(), value)));
        let keys = keys.into_iter();
        keys.map(|(key, value)| format!("data.decoding.{key}={value}"))
            .collect()
    }
}

/// Looks into a file or folder of recordings. Every number is read, of which a block at a time is held.
///
/// # Errors
/// Where nothing is there, or nothing that holds arrays. What is wrong with one of the arrays is told in its place.
pub fn inspect(path: &Path) -> Result<Inspection, DataError> {
    let is_array = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("npy"));
    let mut store = match is_array && path.is_file() {
        true => Store::of_file(path),
        false => Store::open(path, None)?,
    };
    let mut arrays = Vec::new();
    let mut surveys = Vec::new();
    for name in store.names()? {
        let mut found = Found {
            name: name.clone(),
            ..Found::default()
        };
        let mut survey = None;
        let place = store.place(&name);
        let described = store.describe(&name);
        match described.map_err(|error| without_place(error, &place)) {
            Ok(Some(described)) => found = described,
            Ok(None) => match store
                .read("signal", &name, |array| found.look(array))
                .map_err(|error| without_place(error, &place))
            {
                Ok(surveyed) => survey = surveyed,
                Err(error) => found.problem = Some(error),
            },
            Err(error) => found.problem = Some(error),
        }
        arrays.push(found);
        surveys.push(survey);
    }
    let by_shape = store.by_shape();
    let surveyed = arrays.iter().zip(&surveys).filter(|_| by_shape);
    let surveyed: Vec<Surveyed<'_>> = surveyed.filter_map(Surveyed::of).collect();
    let roles: Vec<_> = arrays.iter().map(|found| role(found, &surveyed)).collect();
    let of_shapes = suggestion(&surveyed);
    for (found, role) in arrays.iter_mut().zip(roles) {
        found.role = found.role.take().or(role);
    }
    let suggestion = store.suggest(&arrays)?.or(of_shapes);
    Ok(Inspection {
        path: path.to_owned(),
        kind: store.kind().to_owned(),
        arrays,
        suggestion,
    })
}

/// What an error says of what is at a place, which is told beside it.
fn without_place(error: DataError, place: &Path) -> String {
    let text = error.to_string();
    let place = format!("{}: ", place.display());
    text.strip_prefix(&place)
        .map_or(text.clone(), str::to_owned)
}

impl Found {
    /// Reads an array, and sets what it says of itself.
    pub(super) fn look(&mut self, array: Array<'_>) -> Result<Option<Survey>, DataError> {
        let extents = array.extents();
        self.shape = extents.iter().map(|&extent| extent as u64).collect();
        self.dtype = array.kind().name().to_owned();
        if array.kind().is_text() {
            // Read to the end, after which the checksum of an archive is compared.
            array.each_text(|_| Ok(()))?;
            return Ok(None);
        }
        let survey = array.survey()?;
        self.numbers = Some(Numbers {
            nan: survey.nan,
            infinite: survey.infinite,
            counts: survey.counts,
            ..Numbers::of(survey.range, survey.channels, &survey.constant)
        });
        Ok(Some(survey))
    }
}

impl Numbers {
    /// Of finite numbers: the least, the mean and the greatest, channels, and those that never change.
    pub(super) fn of(range: Option<[f64; 3]>, channels: usize, constant: &[usize]) -> Self {
        Self {
            min: range.map(|[min, _, _]| min),
            mean: range.map(|[_, mean, _]| mean),
            max: range.map(|[_, _, max]| max),
            nan: 0,
            infinite: 0,
            channels,
            constant: constant.len(),
            constant_channels: constant.iter().copied().take(MOST_CHANNELS).collect(),
            counts: false,
        }
    }
}

/// An array that decoding can use.
#[derive(Clone, Copy)]
struct Surveyed<'a> {
    name: &'a str,
    survey: &'a Survey,
    shape: &'a [u64],
    integers: bool,
}

impl<'a> Surveyed<'a> {
    fn of((found, survey): (&'a Found, &'a Option<Survey>)) -> Option<Self> {
        let survey = survey.as_ref()?;
        let finite = survey.nan == 0 && survey.infinite == 0;
        (finite && (1..=3).contains(&found.shape.len())).then_some(Self {
            name: &found.name,
            survey,
            // A row, as MATLAB has vectors.
            shape: match found.shape.as_slice() {
                [1, rest @ ..] if rest.len() == 1 => rest,
                shape => shape,
            },
            integers: !found.dtype.starts_with("float"),
        })
    }

    /// Bins of a recording, or trials.
    fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(0)
    }

    fn is_matrix(&self) -> bool {
        self.shape.len() > 1 && self.survey.channels > 1
    }

    /// Whether this can be decoded from `signal`.
    fn goes_with(&self, signal: &Self) -> bool {
        self.name != signal.name
            && self.rows() == signal.rows()
            && self.rows() > 1
            && self.shape.len() <= 2
            && self.survey.channels < signal.survey.channels
    }

    /// Whether its name or its numbers say that it was recorded from neurons.
    fn is_neural(&self) -> bool {
        let name = self.name.to_lowercase();
        let says = [
            "count", "spike", "rate", "neur", "unit", "signal", "firing", "lfp", "fluor",
        ];
        self.survey.counts || says.iter().any(|word| name.contains(word))
    }
}

fn role(found: &Found, all: &[Surveyed<'_>]) -> Option<String> {
    let own = all.iter().find(|one| one.name == found.name)?;
    let targets = all.iter().filter(|other| other.goes_with(own)).count();
    if own.is_matrix() && targets > 0 && own.is_neural() {
        return Some(match own.shape {
            [_, _, _] => "signal [trials, channels, bins]".to_owned(),
            _ => "signal".to_owned(),
        });
    }
    let signals = all
        .iter()
        .filter(|other| own.goes_with(other) && other.is_matrix());
    let by_trial = signals.clone().any(|signal| signal.shape.len() == 3);
    signals.peekable().peek()?;
    let of = if by_trial { "a trial" } else { "a bin" };
    Some(match (own.integers, own.shape) {
        (true, [_]) if own.survey.ascending => {
            "target (classes); or numbers of trials or groups".to_owned()
        }
        (true, [_]) => "target (classes) or numbers of groups".to_owned(),
        _ => format!("target (real values, {of})"),
    })
}

/// The signal and the target that stand out: of the arrays with as many rows, of those that say `train` first.
fn suggestion(all: &[Surveyed<'_>]) -> Option<Suggestion> {
    let says_train = |one: &&Surveyed<'_>| one.name.contains("train");
    let says_test = |one: &&Surveyed<'_>| one.name.contains("test");
    let matrices = || all.iter().filter(|one| one.is_matrix() && !says_test(one));
    let with_target = |signal: &&Surveyed<'_>| all.iter().any(|other| other.goes_with(signal));
    // Names that say what is learnt from, then counts, then more channels; the first of equals.
    let signal = matrices()
        .filter(with_target)
        .rev()
        .max_by_key(|one| (says_train(one), one.is_neural(), one.survey.channels))?;
    let targets = || all.iter().filter(|other| other.goes_with(signal));
    let changes = |one: &&Surveyed<'_>| one.survey.constant.len() < one.survey.channels;
    let real = targets().filter(changes).find(|one| !one.integers);
    let target = real.or_else(|| targets().find(changes))?;
    let test_of = |one: &Surveyed<'_>| {
        let name = one.name.replacen("train", "test", 1);
        let other = all.iter().find(|other| other.name == name)?;
        let same = says_train(&one) && other.shape.get(1..) == one.shape.get(1..);
        same.then_some(name)
    };
    let test = test_of(signal).zip(test_of(target));
    let counts = signal.survey.counts && signal.survey.range.is_some_and(|[.., max]| max > 1.0);
    let before = if signal.shape.len() == 2 { 15 } else { 0 };
    let keys = vec![
        ("square_root".to_owned(), counts.to_string()),
        ("window.before".to_owned(), before.to_string()),
    ];
    Some(Suggestion {
        signal: signal.name.to_owned(),
        target: target.name.to_owned(),
        test: test.map(|(signal, target)| [signal, target]),
        keys,
    })
}
