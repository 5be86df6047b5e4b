//! What a file or folder of recordings holds, and what of it may be decoded from what.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use granule_io::words::counted;
use serde::Serialize;

use super::found::{Found, Suggestion};
use super::store::Store;
use crate::DataError;
use crate::arrays::Survey;

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

/// Looks into a file or folder of recordings. Every number is read, of which a block at a time is held.
///
/// # Errors
/// Where nothing is there, or nothing that holds arrays. What is wrong with one of the arrays is told in its place.
pub fn inspect(path: &Path) -> Result<Inspection, DataError> {
    let is_array = path
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("npy"));
    let mut store = if is_array && path.is_file() {
        Store::of_file(path)
    } else {
        Store::open(path, None)?
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
    let surveyed: Vec<Option<Surveyed<'_>>> = surveyed.map(Surveyed::of).collect();
    let usable: Vec<Surveyed<'_>> = surveyed.iter().flatten().copied().collect();
    let lengths = Lengths::of(&usable);
    let roles = surveyed.iter().map(|one| one.as_ref()?.role(&lengths));
    let roles = roles.collect::<Vec<_>>().into_iter();
    let roles = roles.chain(std::iter::repeat(None));
    let unusable = arrays
        .iter()
        .map(|found| unusable(found).filter(|_| by_shape));
    let roles: Vec<_> = roles
        .zip(unusable)
        .map(|(role, reason)| role.or(reason))
        .collect();
    let of_shapes = suggestion(&usable, &lengths);
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

/// Why what decoding could use otherwise is of no use.
fn unusable(found: &Found) -> Option<String> {
    let numbers = found.numbers.as_ref()?;
    let count = numbers.nan + numbers.infinite;
    (count > 0 && (1..=3).contains(&found.shape.len())).then(|| {
        let which = match (numbers.nan, numbers.infinite) {
            (_, 0) => "NaN",
            (0, _) => "infinite",
            _ => "NaN or infinite",
        };
        let count = counted(usize::try_from(count).unwrap_or(usize::MAX), "number");
        format!("none: {count} of it {which}, which nothing is learnt from")
    })
}

/// An array that decoding can use.
#[derive(Clone, Copy)]
struct Surveyed<'a> {
    name: &'a str,
    survey: &'a Survey,
    shape: &'a [u64],
    integers: bool,
    text: bool,
}

/// What arrays of as many rows there are, and of how many channels.
#[derive(Default)]
struct Lengths {
    of: HashMap<u64, Fellows>,
    /// The extents of matrices behind the first, and the name of one.
    last: HashMap<u64, String>,
}

/// Arrays of as many rows.
#[derive(Default)]
struct Fellows {
    /// Channels of the narrowest that may be a target.
    narrowest: Option<usize>,
    /// Channels of the widest matrix, and of the widest that has trials.
    widest: usize,
    widest_of_trials: usize,
    /// Bins of a trial, and channels of what has them.
    inside: HashMap<u64, usize>,
}

impl Lengths {
    fn of(all: &[Surveyed<'_>]) -> Self {
        let mut lengths = Self::default();
        for one in all {
            let channels = one.survey.channels;
            let fellows = lengths.of.entry(one.rows()).or_default();
            if one.may_be_target() {
                let least = fellows
                    .narrowest
                    .map_or(channels, |least| least.min(channels));
                fellows.narrowest = Some(least);
            }
            if !one.is_matrix() {
                continue;
            }
            fellows.widest = fellows.widest.max(channels);
            match *one.shape {
                [_, _, bins] => {
                    fellows.widest_of_trials = fellows.widest_of_trials.max(channels);
                    let widest = fellows.inside.entry(bins).or_default();
                    *widest = channels.max(*widest);
                }
                [_, columns] => {
                    let name = || one.name.to_owned();
                    lengths.last.entry(columns).or_insert_with(name);
                }
                _ => (),
            }
        }
        lengths
    }

    fn at(&self, rows: u64) -> Option<&Fellows> {
        self.of.get(&rows).filter(|_| rows > 1)
    }

    /// Whether something can be decoded from `signal`.
    fn has_target(&self, signal: &Surveyed<'_>) -> bool {
        let narrowest = self.at(signal.rows()).and_then(|fellows| fellows.narrowest);
        narrowest.is_some_and(|channels| channels < signal.survey.channels)
    }
}

impl<'a> Surveyed<'a> {
    fn of((found, survey): (&'a Found, &'a Option<Survey>)) -> Option<Self> {
        let survey = survey.as_ref()?;
        let finite = survey.nan == 0 && survey.infinite == 0;
        let text = found.numbers.is_none();
        (finite && (1..=3).contains(&found.shape.len())).then_some(Self {
            name: &found.name,
            survey,
            // A row, as MATLAB has vectors.
            shape: match found.shape.as_slice() {
                [1, rest @ ..] if rest.len() == 1 => rest,
                shape => shape,
            },
            integers: text || !found.dtype.starts_with("float"),
            text,
        })
    }

    /// Bins of a recording, or trials.
    fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(0)
    }

    fn is_matrix(&self) -> bool {
        self.shape.len() > 1 && self.survey.channels > 1
    }

    fn may_be_target(&self) -> bool {
        if self.text {
            self.shape.len() == 1
        } else {
            self.shape.len() <= 2
        }
    }

    /// Whether this can be decoded from `signal`.
    fn goes_with(&self, signal: &Self) -> bool {
        self.name != signal.name
            && self.rows() == signal.rows()
            && self.rows() > 1
            && self.may_be_target()
            && self.survey.channels < signal.survey.channels
    }

    /// Whether it numbers or names classes, of which there are not as many as rows.
    fn is_classes(&self) -> bool {
        let few = |[least, _, most]: [f64; 3]| most - least < self.rows() as f64 / 2.0;
        let changes = self.survey.constant.len() < self.survey.channels;
        let fits = self.integers && self.shape.len() == 1 && changes;
        fits && (self.text || self.survey.range.is_some_and(few))
    }

    /// Whether its name or its numbers say that it was recorded from neurons.
    fn is_neural(&self) -> bool {
        let name = self.name.to_lowercase();
        let says = [
            "count", "spike", "rate", "neur", "unit", "signal", "firing", "lfp", "fluor",
        ];
        self.survey.counts || says.iter().any(|word| name.contains(word))
    }

    fn role(&self, lengths: &Lengths) -> Option<String> {
        if self.is_matrix() && lengths.has_target(self) && self.is_neural() {
            return Some(match self.shape {
                [_, _, _] => "signal [trials, channels, bins]".to_owned(),
                _ => "signal".to_owned(),
            });
        }
        let fellows = lengths.at(self.rows());
        let channels = self.survey.channels;
        let wider = fellows.is_some_and(|fellows| fellows.widest > channels);
        if wider && self.may_be_target() {
            let by_trial = fellows.is_some_and(|fellows| fellows.widest_of_trials > channels);
            let of = if by_trial { "a trial" } else { "a bin" };
            return Some(match (self.integers, self.shape) {
                (true, [_]) if self.text => format!("target (classes, {of})"),
                (true, [_]) if self.survey.ascending => {
                    "target (classes); or numbers of trials or groups".to_owned()
                }
                (true, [_]) => "target (classes) or numbers of groups".to_owned(),
                _ => format!("target (real values, {of})"),
            });
        }
        if !self.is_matrix() || self.text {
            return None;
        }
        if let (&[_, bins, outputs], Some(fellows)) = (self.shape, fellows)
            && fellows
                .inside
                .get(&bins)
                .is_some_and(|widest| *widest as u64 > outputs)
        {
            return Some("target (real values, a bin of a trial)".to_owned());
        }
        Some(self.no_role(lengths))
    }

    /// Why a matrix is neither signal nor target.
    fn no_role(&self, lengths: &Lengths) -> String {
        let below = self
            .survey
            .range
            .filter(|[least, ..]| self.integers && *least < 0.0);
        let rows = self.rows();
        match (self.shape, lengths.last.get(&rows)) {
            _ if lengths.has_target(self) => match below {
                Some([least, ..]) => format!("signal, but no counts: {least} is below 0"),
                None => "signal, if it was recorded from neurons".to_owned(),
            },
            (&[_, columns], _) if columns > rows && lengths.at(columns).is_some() => {
                "none as it lies; its columns are as many as the rows of others: exchange its axes?"
                    .to_owned()
            }
            (&[_, outputs, bins], _)
                if lengths.at(rows).is_some_and(|fellows| {
                    fellows.inside.get(&bins).is_some_and(|channels| *channels as u64 > outputs)
                }) =>
            {
                "none as it lies; a target for every bin is [trials, bins, outputs]: exchange its last axes?"
                    .to_owned()
            }
            (&[_, _], Some(other)) if *other != self.name => {
                format!("none as {other} lies, which has as many columns as this has rows")
            }
            (&[_, _], _) if self.survey.counts => {
                "signal, of which channels are predicted from others".to_owned()
            }
            _ => format!("none: nothing narrower has as many rows ({rows})"),
        }
    }
}

/// The signal and the target that stand out: of the arrays with as many rows, of those that say `train` first.
fn suggestion(all: &[Surveyed<'_>], lengths: &Lengths) -> Option<Suggestion> {
    let says_train = |one: &&Surveyed<'_>| one.name.contains("train");
    let says_test = |one: &&Surveyed<'_>| one.name.contains("test");
    let matrices = || all.iter().filter(|one| one.is_matrix() && !says_test(one));
    // Names that say what is learnt from, then counts, then more channels; the first of equals.
    let standing_out =
        |one: &&Surveyed<'_>| (says_train(one), one.is_neural(), one.survey.channels);
    let test_of = |one: &Surveyed<'_>| {
        let name = one.name.replacen("train", "test", 1);
        let other = all.iter().find(|other| other.name == name)?;
        let same = says_train(&one) && other.shape.get(1..) == one.shape.get(1..);
        same.then_some(name)
    };
    let changes = |one: &&Surveyed<'_>| one.survey.constant.len() < one.survey.channels;
    let key = |name: &str, value: String| (name.to_owned(), value);
    let unset = |name: &str| key(name, String::new());
    let root = |signal: &Surveyed<'_>| {
        let counts = signal.survey.counts && signal.survey.range.is_some_and(|[.., max]| max > 1.0);
        key("square_root", counts.to_string())
    };
    let Some(signal) = matrices()
        .filter(|one| lengths.has_target(one))
        .rev()
        .max_by_key(standing_out)
    else {
        let counts = |one: &&Surveyed<'_>| {
            one.shape.len() == 2 && one.rows() > 1 && one.survey.counts && changes(one)
        };
        let signal = matrices().filter(counts).rev().max_by_key(standing_out)?;
        let test = test_of(signal).unwrap_or_default();
        return Some(Suggestion {
            preset: "predict-activity".to_owned(),
            signal: signal.name.to_owned(),
            target: None,
            test: None,
            keys: vec![key("test_signal", test), root(signal)],
        });
    };
    let targets = || all.iter().filter(|other| other.goes_with(signal));
    let classes = targets().filter(|one| one.is_classes());
    // Numbers of blocks or of repeats ascend.
    let classes = classes.min_by_key(|one| (one.survey.ascending, !one.text));
    let real = targets().filter(changes).find(|one| !one.integers);
    let bins = match *signal.shape {
        [_, _, bins] => Some(bins),
        _ => None,
    };
    let target = match bins {
        Some(_) => classes.or(real),
        None => real,
    };
    let target = target.or_else(|| targets().find(changes))?;
    let test = test_of(signal).zip(test_of(target));
    let mut keys = vec![root(signal)];
    let preset = match bins {
        Some(bins) if target.is_classes() => {
            let split = if test.is_some() { "" } else { "trial" };
            keys.push(key("split", split.to_owned()));
            keys.extend(["group", "test_groups", "bins"].map(unset));
            keys.push(key("sum", bins.to_string()));
            "identify-objects"
        }
        bins => {
            let before = if bins.is_some() { 0 } else { 15 };
            keys.push(key("window.before", before.to_string()));
            if test.is_none() {
                keys.extend(["test_signal", "test_target"].map(unset));
            }
            "decode-kinematics"
        }
    };
    Some(Suggestion {
        preset: preset.to_owned(),
        signal: signal.name.to_owned(),
        target: Some(target.name.to_owned()),
        test: test.map(|(signal, target)| [signal, target]),
        keys,
    })
}
