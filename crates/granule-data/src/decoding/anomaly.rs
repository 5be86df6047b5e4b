//! Unusual activity, made from that which is tested on: what a detector of anomalies is tried on.

use granule_io::budget;
use granule_io::words::counted;

use super::config::DecodingConfig;
use super::source::Source;
use crate::DataError;
use crate::division::shuffled;

/// A kind of unusual activity that is made from usual one.
#[derive(Debug)]
pub struct Anomaly {
    /// Its name.
    pub name: &'static str,
    /// One line on what becomes of the signal.
    pub summary: &'static str,
    /// Whether it means something of counts alone.
    of_counts: bool,
    alter: fn(&mut Bins<'_>, f64, u64) -> Result<(), DataError>,
}

/// All kinds.
pub const ANOMALIES: &[Anomaly] = &[
    Anomaly {
        name: "lesion",
        summary: "a share of the channels is silent: zero throughout; of counts only",
        of_counts: true,
        alter: |bins, share, seed| bins.silence(share, seed),
    },
    Anomaly {
        name: "shuffle",
        summary: "channels have one another's activity",
        of_counts: false,
        alter: |bins, _, seed| bins.exchange(seed),
    },
    Anomaly {
        name: "shift",
        summary: "each channel is shifted in a circle on its own: its activity stays, what it has to do with the others goes",
        of_counts: false,
        alter: |bins, _, seed| bins.shift(seed),
    },
];

/// What is to be made of a signal.
#[derive(Debug, Clone, Copy)]
pub struct Unusual {
    /// How.
    pub kind: &'static Anomaly,
    /// The share of the channels that a lesion silences, between 0 and 1.
    pub lesion: f64,
}

/// The bins that are made unusual.
struct Bins<'a> {
    /// `[bins, channels]`, others among them.
    data: &'a mut [f32],
    channels: usize,
    /// Which.
    own: Vec<usize>,
}

impl Anomaly {
    /// A kind by its name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ANOMALIES.iter().find(|kind| kind.name == name)
    }
}

impl Unusual {
    /// Alters the bins of a part, as `seed` draws it.
    pub(super) fn make(
        self,
        source: &mut Source,
        is_test: &[bool],
        config: &DecodingConfig,
        seed: u64,
    ) -> Result<(), DataError> {
        self.check(source, config)?;
        let own = (0..).zip(is_test).filter(|(_, test)| **test);
        let own = budget::collect(own.map(|(bin, _)| bin), is_test.len(), "the tested bins")?;
        let mut bins = Bins {
            data: &mut source.data,
            channels: source.channels,
            own,
        };
        (self.kind.alter)(&mut bins, self.lesion, seed)
    }

    /// Refuses what would leave the signal as it is, and silence where zero is none.
    fn check(self, source: &Source, config: &DecodingConfig) -> Result<(), DataError> {
        let unmade = |reason| {
            let kind = self.kind.name;
            Err(DataError::Unmade { kind, reason })
        };
        let signal = source.signal.display();
        if source.channels < 2 {
            return unmade(format!("{signal} has one channel, and it takes several"));
        }
        // Roots are of counts, and so is what is smoothed.
        if !self.kind.of_counts || config.square_root || config.smoothing.is_some() {
            return Ok(());
        }
        let mut values = source.data.iter();
        match values.find(|x| **x < 0.0 || x.fract() != 0.0) {
            None => Ok(()),
            Some(x) => unmade(format!(
                "{signal} holds {x}, and of what is no count zero is not silence"
            )),
        }
    }
}

impl Bins<'_> {
    fn silence(&mut self, share: f64, seed: u64) -> Result<(), DataError> {
        let count = (share * self.channels as f64).round() as usize;
        if !(share > 0.0 && share < 1.0) || count == 0 || count >= self.channels {
            let allowed = format!(
                "a share of {} that leaves some of each",
                counted(self.channels, "channel")
            );
            return Err(DataError::invalid("lesion", share, allowed));
        }
        let mut silent = vec![false; self.channels];
        for channel in shuffled(self.channels, seed).into_iter().take(count) {
            if let Some(silent) = silent.get_mut(channel) {
                *silent = true;
            }
        }
        self.each(|bin| {
            let silent = bin.iter_mut().zip(&silent).filter(|(_, silent)| **silent);
            silent.for_each(|(x, _)| *x = 0.0);
        });
        Ok(())
    }

    fn exchange(&mut self, seed: u64) -> Result<(), DataError> {
        let mut order = shuffled(self.channels, seed);
        if order.is_sorted() {
            // Of few channels all may be drawn for their own places.
            order.rotate_left(1);
        }
        let mut before = vec![0.0; self.channels];
        self.each(|bin| {
            before.copy_from_slice(bin);
            for (x, &from) in bin.iter_mut().zip(&order) {
                *x = before.get(from).copied().unwrap_or_default();
            }
        });
        Ok(())
    }

    fn shift(&mut self, seed: u64) -> Result<(), DataError> {
        let count = self.own.len();
        // All shifts are drawn before one is drawn again.
        let shifts = shuffled(count, seed);
        let mut course = budget::with_capacity(count, "the tested bins")?;
        for (channel, shift) in (0..self.channels).zip(shifts.iter().cycle()) {
            course.clear();
            self.each(|bin| course.extend(bin.get(channel).copied()));
            course.rotate_left(*shift);
            let mut shifted = course.iter();
            self.each(|bin| {
                if let (Some(x), Some(shifted)) = (bin.get_mut(channel), shifted.next()) {
                    *x = *shifted;
                }
            });
        }
        Ok(())
    }

    fn each(&mut self, mut alter: impl FnMut(&mut [f32])) {
        for bin in &self.own {
            let start = bin * self.channels;
            if let Some(bin) = self.data.get_mut(start..start + self.channels) {
                alter(bin);
            }
        }
    }
}
