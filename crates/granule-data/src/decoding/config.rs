use std::path::PathBuf;

use granule_io::ranges;
use serde::{Deserialize, Serialize};

use crate::DataError;

/// A Gaussian is cut at so many standard deviations.
pub(super) const CUT: f64 = 4.0;

/// Bins of a window on one side of the one that is decoded.
pub(super) const MOST_BINS: usize = 10_000;

/// What is decoded from what: arrays of `recording:PATH` by their names, and how they become samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DecodingConfig {
    /// The array that is decoded from, without the end of its file (`.npy`): `[bins, channels]` or `[trials, channels, bins]`, counts or rates.
    pub signal: String,
    /// The array that is decoded: real values or integers (classes), a row for every bin (`[bins, outputs]`, or
    /// `[trials, bins, outputs]`) or one for every trial (`[trials, outputs]`); one output needs no extent.
    pub target: String,
    /// Of volumes (NIfTI): a file of one volume, named from the folder of the recording, such as `"mask.nii.gz"`. The voxels at which it is
    /// not 0 are the channels, in their order. Absent: all voxels are.
    pub mask: Option<PathBuf>,
    /// The channels of the signal that are seen: rising ranges from the first, counted from 0, to the end, which is left out, as
    /// `[[0, 36]]`. Absent: all.
    pub channels: Option<Vec<[usize; 2]>>,
    /// The share of the channels of the signal, between 0 and 1, drawn from `data.seed`, that are predicted from the others bin by
    /// bin, in place of a target: the signal is counts, the loss is Poisson's.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)))]
    pub held_out: Option<f64>,
    /// The channels that are predicted, from 0, in place of drawn ones.
    pub held_out_channels: Vec<usize>,
    /// Predict what each channel adds up to over the window from the window itself, in place of a target: an auto-encoder, whose
    /// error says how unusual the activity is, as `granule detect` asks. Where channels are held out: learn the counts of the
    /// others in the bin beside theirs, and answer and score those held out alone.
    pub reconstruct: bool,
    /// An integer for every bin of a signal `[bins, channels]`: bins of one trial are those of equal numbers in a row. No
    /// window crosses the edge of a trial. With `bin_width`: a table of intervals. Absent: the whole recording is one.
    pub trial: Option<String>,
    /// The signal that is tested on, where the recording has one; it goes with `test_target`.
    pub test_signal: Option<String>,
    /// The target that is tested on.
    pub test_target: Option<String>,
    /// The trials of the signal that is tested on, as `trial` and together with it.
    pub test_trial: Option<String>,
    /// What is tested on where there are no arrays for it: `"time"`, the end of the recording, `"trial"`, trials drawn from
    /// `data.seed`, or `"group"`, such as runs or sessions.
    pub split: Division,
    /// The fraction that is tested on, of bins or of trials, between 0 and 1.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)))]
    pub test: f64,
    /// An integer for every bin or every trial, such as the number of the run, for `split = "group"`. No window reaches from
    /// one run of equal numbers into the next.
    pub group: Option<String>,
    /// The numbers in `group` that are tested on.
    pub test_groups: Vec<i64>,
    /// Arrays of integers, one for every trial of the signal that is tested on, or one for every bin: trials with equal numbers in
    /// all of them are repeats of one condition, such as a stimulus. Of what repeats have in common, and of how much of that is
    /// predicted, the scores tell; nothing is learnt from it.
    pub condition: Vec<String>,
    /// The bins that a sample has besides the one that is decoded; with a target for every bin.
    pub window: Window,
    /// What becomes of windows that reach beyond the edge of a trial: `"zeros"`, filled up with zeros once channels are
    /// standardised, or `"leave-out"`. Those that reach into the other part are left out in any case.
    pub edges: Edges,
    /// The first bin of each trial that is seen and the one after the last, with a target for every trial. Absent: all bins.
    pub bins: Option<[usize; 2]>,
    /// Bins of a trial that are added into one, from the first that is seen, with a target for every trial: as many as
    /// `bins` has give one count a channel and trial. At least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub sum: usize,
    /// Take the square root of the signal, which has to be counts; of the sums, where bins are added.
    pub square_root: bool,
    /// Of recordings with times, such as NWB or folders of Kilosort and Phy: the width of a bin in s. Spikes are counted in bins, a series is the mean of its
    /// samples in each; with `trial` the bins of a trial begin with it and what lies outside of trials is left out.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub bin_width: Option<f64>,
    /// The time at which the first bin begins, in s, with `bin_width` and without `trial`. Absent: that of the first sample of
    /// the target; 0 in a folder of sorted spikes, whose target has a row for each bin.
    pub start: Option<f64>,
    /// With `bin_width`: the standard deviation in s of a Gaussian that spike counts are smoothed by. It is centred, so that a
    /// bin sees spikes that come after it, up to four standard deviations; it does not reach beyond the edge of a trial.
    /// Absent: they are not smoothed.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub smoothing: Option<f64>,
}

/// How one recording is divided into a part to learn from and one to test on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Division {
    /// The end of the recording is tested on.
    #[default]
    Time,
    /// Trials that are drawn.
    Trial,
    /// What an array says, such as runs or sessions.
    Group,
}

/// A window of bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// Bins before the one that is decoded, 0 to 10000.
    #[cfg_attr(feature = "schema", schemars(range(max = MOST_BINS)))]
    pub before: usize,
    /// Bins after it, 0 to 10000; above 0 the decoder sees what comes later.
    #[cfg_attr(feature = "schema", schemars(range(max = MOST_BINS)))]
    pub after: usize,
}

impl Window {
    /// Bins of a window.
    pub fn steps(self) -> usize {
        self.before + 1 + self.after
    }
}

/// What becomes of windows that reach beyond the edge of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Edges {
    /// They are filled up with zeros, once channels are standardised.
    #[default]
    Zeros,
    /// They are left out.
    LeaveOut,
}

impl Default for DecodingConfig {
    fn default() -> Self {
        Self {
            signal: String::new(),
            target: String::new(),
            mask: None,
            channels: None,
            held_out: None,
            held_out_channels: Vec::new(),
            reconstruct: false,
            trial: None,
            test_signal: None,
            test_target: None,
            test_trial: None,
            split: Division::Time,
            test: 0.2,
            group: None,
            test_groups: Vec::new(),
            condition: Vec::new(),
            window: Window::default(),
            edges: Edges::Zeros,
            bins: None,
            sum: 1,
            square_root: false,
            bin_width: None,
            start: None,
            smoothing: None,
        }
    }
}

/// A setting by its name in a configuration.
pub(super) fn field(name: &str) -> String {
    format!("data.decoding.{name}")
}

pub(super) fn wrong(
    name: &str,
    value: impl std::fmt::Display,
    allowed: impl Into<String>,
) -> DataError {
    DataError::invalid(field(name), value, allowed)
}

impl DecodingConfig {
    /// Bins to each side whose spikes smoothing brings into a bin.
    pub(super) fn reach(&self) -> usize {
        match (self.smoothing, self.bin_width) {
            (Some(sd), Some(width)) => (CUT * sd / width).ceil() as usize,
            _ => 0,
        }
    }

    /// The same without arrays to test on.
    pub fn without_test(&self) -> Self {
        Self {
            test_signal: None,
            test_target: None,
            test_trial: None,
            // They were those of the signal that is tested on.
            condition: match self.test_signal {
                Some(_) => Vec::new(),
                None => self.condition.clone(),
            },
            ..self.clone()
        }
    }

    /// Whether channels of the signal are predicted from the others.
    pub fn holds_out(&self) -> bool {
        self.held_out.is_some() || !self.held_out_channels.is_empty()
    }

    /// Whether windows are their own targets.
    pub fn reconstructs(&self) -> bool {
        self.reconstruct && !self.holds_out()
    }

    /// Whether the counts of the channels that are not held out are learnt beside those that are.
    pub fn learns_inputs(&self) -> bool {
        self.reconstruct && self.holds_out()
    }

    /// Whether the signal is its own target, so that no array is one.
    pub(super) fn has_own_target(&self) -> bool {
        self.holds_out() || self.reconstruct
    }

    fn validate_own_target(&self) -> Result<(), DataError> {
        if !self.has_own_target() {
            return Ok(());
        }
        if let Some(share) = self.held_out {
            if !(share > 0.0 && share < 1.0) {
                return Err(wrong("held_out", share, "between 0 and 1"));
            }
            if !self.held_out_channels.is_empty() {
                let allowed = "unset with held_out_channels, which says which they are: --set data.decoding.held_out=";
                return Err(wrong("held_out", share, allowed));
            }
        }
        let targets = [
            ("target", Some(&self.target).filter(|name| !name.is_empty())),
            ("test_target", self.test_target.as_ref()),
        ];
        for (key, name) in targets {
            if let Some(name) = name {
                let allowed = if !self.holds_out() {
                    "unset where the signal is reconstructed, which is the target"
                } else {
                    "unset where channels are held out, which are the target"
                };
                return Err(wrong(key, format!("{name:?}"), allowed));
            }
        }
        Ok(())
    }

    /// Checks what can be judged without the arrays.
    ///
    /// # Errors
    /// [`DataError::Config`] with the field.
    pub fn validate(&self) -> Result<(), DataError> {
        self.validate_own_target()?;
        let own_target = self.has_own_target();
        if self
            .mask
            .as_ref()
            .is_some_and(|mask| mask.as_os_str().is_empty())
        {
            return Err(wrong("mask", "\"\"", "the name of a NIfTI file"));
        }
        if let Some(channels) = &self.channels {
            ranges::check(field("channels"), channels, None)?;
            if self.holds_out() {
                let allowed = "unset where channels are held out, which are counted among all";
                return Err(wrong("channels", format!("{channels:?}"), allowed));
            }
        }
        let named = [("signal", &self.signal), ("target", &self.target)];
        let mut named = named.into_iter().take(if own_target { 1 } else { 2 });
        if let Some((name, _)) = named.find(|(_, array)| array.is_empty()) {
            let allowed = format!(
                "the name of an array of recording:PATH, as in --set data.decoding.{name}=NAME; `granule data inspect PATH` lists them"
            );
            return Err(wrong(name, "unset", allowed));
        }
        if !(self.test > 0.0 && self.test < 1.0) {
            return Err(wrong("test", self.test, "between 0 and 1"));
        }
        let sides = [
            ("window.before", self.window.before),
            ("window.after", self.window.after),
        ];
        if let Some((name, value)) = sides.into_iter().find(|(_, value)| *value > MOST_BINS) {
            return Err(wrong(name, value, format!("at most {MOST_BINS} bins")));
        }
        self.validate_times()?;
        if let Some([first, end]) = self.bins
            && first >= end
        {
            let allowed = "the first bin and the one after the last, as in [50, 100]";
            return Err(wrong("bins", format!("[{first}, {end}]"), allowed));
        }
        if self.sum == 0 {
            return Err(wrong("sum", 0, "at least 1"));
        }
        match (&self.test_signal, &self.test_target) {
            (Some(_), None) if !own_target => {
                return Err(wrong("test_target", "unset", "set with test_signal"));
            }
            (None, Some(_)) => {
                return Err(wrong("test_signal", "unset", "set with test_target"));
            }
            (Some(signal), _) if *signal == self.signal => {
                let allowed = "another array than signal: train and test would overlap";
                return Err(wrong("test_signal", format!("{signal:?}"), allowed));
            }
            (Some(_), _) if self.trial.is_some() != self.test_trial.is_some() => {
                let (name, other) = match self.trial {
                    Some(_) => ("test_trial", "set with trial"),
                    None => ("trial", "set with test_trial"),
                };
                let allowed = format!("{other}: windows are cut alike in both parts");
                return Err(wrong(name, "unset", allowed));
            }
            (Some(_), _) if self.split != Division::Time => {
                let allowed = "unset with test_signal, which is what is tested on";
                return Err(wrong("split", "this", allowed));
            }
            (None, None) if let Some(name) = &self.test_trial => {
                let allowed = "unset without test_signal";
                return Err(wrong("test_trial", format!("{name:?}"), allowed));
            }
            _ => {}
        }
        match (self.split, &self.group) {
            (Division::Group, None) => {
                Err(wrong("group", "unset", "an array with split = \"group\""))
            }
            (Division::Group, Some(_)) => Ok(()),
            (_, Some(name)) => Err(wrong(
                "group",
                format!("{name:?}"),
                "unset but for split = \"group\"",
            )),
            (_, None) if !self.test_groups.is_empty() => Err(wrong(
                "test_groups",
                format!("{:?}", self.test_groups),
                "unset but for split = \"group\"",
            )),
            (_, None) => Ok(()),
        }
    }
    /// Checks what is said about recordings with times.
    fn validate_times(&self) -> Result<(), DataError> {
        let seconds = [("bin_width", self.bin_width), ("smoothing", self.smoothing)];
        for (name, value) in seconds {
            if let Some(value) = value.filter(|value| !(*value > 0.0 && value.is_finite())) {
                return Err(wrong(name, value, "seconds above 0"));
            }
        }
        if self.bin_width.is_none() {
            let set = [("start", self.start), ("smoothing", self.smoothing)];
            let set = set
                .into_iter()
                .find_map(|(name, value)| Some((name, value?)));
            return match set {
                None => Ok(()),
                Some((name, value)) => Err(wrong(name, value, "unset without bin_width")),
            };
        }
        if let Some(start) = self.start.filter(|start| !start.is_finite()) {
            return Err(wrong("start", start, "a time in s"));
        }
        if let (Some(start), Some(_)) = (self.start, &self.trial) {
            let allowed = "unset with trial: the bins of a trial begin with it";
            return Err(wrong("start", start, allowed));
        }
        if let Some(signal) = &self.test_signal {
            let allowed = "unset with bin_width: split divides a recording with times";
            return Err(wrong("test_signal", format!("{signal:?}"), allowed));
        }
        match self.smoothing {
            Some(sd) if self.square_root => {
                let allowed = "unset with square_root, which asks for counts";
                Err(wrong("smoothing", sd, allowed))
            }
            _ => Ok(()),
        }
    }
}
