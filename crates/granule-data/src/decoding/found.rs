//! What is found in a recording.

use serde::Serialize;

use crate::DataError;
use crate::arrays::{Array, Survey};

/// Constant channels that are named.
const MOST_CHANNELS: usize = 20;

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
    /// The preset of `granule train` that goes with it: `"decode-kinematics"`.
    pub preset: String,
    /// `data.decoding.signal`
    pub signal: String,
    /// `data.decoding.target`; none where channels are predicted from the others.
    pub target: Option<String>,
    /// `data.decoding.test_signal` and `data.decoding.test_target`, where names say `test` in place of `train`.
    pub test: Option<[String; 2]>,
    /// Other keys of `data.decoding` that go with it, and their values; empty ones unset what the preset has.
    pub keys: Vec<(String, String)>,
}

impl Suggestion {
    /// The keys of a configuration with their values, as `--set` takes them.
    pub fn settings(&self) -> Vec<String> {
        let mut keys = vec![("signal", self.signal.as_str())];
        keys.extend(
            self.target
                .as_ref()
                .map(|target| ("target", target.as_str())),
        );
        if let Some([signal, target]) = &self.test {
            keys.extend([("test_signal", signal.as_str()), ("test_target", target)]);
        }
        let others = self.keys.iter();
        keys.extend(others.map(|(key, value)| (key.as_str(), value.as_str())));
        let keys = keys.into_iter();
        keys.map(|(key, value)| format!("data.decoding.{key}={value}"))
            .collect()
    }
}

impl Found {
    /// Reads an array, and sets what it says of itself.
    pub(super) fn look(&mut self, array: Array<'_>) -> Result<Option<Survey>, DataError> {
        let extents = array.extents();
        self.shape = extents.iter().map(|&extent| extent as u64).collect();
        self.dtype = array.kind().name().to_owned();
        if array.kind().is_text() {
            // Read to the end, after which the checksum of an archive is compared.
            let (mut first, mut differs) = (None::<String>, false);
            array.each_text(|text| {
                differs |= *first.get_or_insert_with(|| text.to_owned()) != text;
                Ok(())
            })?;
            return Ok(Some(Survey {
                channels: 1,
                constant: if differs { Vec::new() } else { vec![0] },
                ..Survey::default()
            }));
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
