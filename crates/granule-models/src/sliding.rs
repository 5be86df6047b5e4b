//! A signal that arrives bin by bin.

use granule_io::budget;
use granule_io::words::counted;

use crate::{InputShape, InputSpec, ModelError};

/// The last bins of a signal that arrives bin by bin, as the sample that a decoder of windows takes.
///
/// Bins beyond an end of the signal, or of a trial, are what the normalisation makes zero of ([`InputSpec::blank`]), as in
/// training.
///
/// ```
/// use granule_models::{InputShape, InputSpec, SlidingWindow};
///
/// let input = InputSpec::new(InputShape::Sequence { steps: 3, channels: 2 });
/// // The bin that is decoded has one before it and one after it.
/// let mut window = SlidingWindow::new(&input, 1)?;
/// assert_eq!(window.push(&[1.0, 2.0])?, None);
/// assert_eq!(window.push(&[3.0, 4.0])?, Some(&[0.0, 0.0, 1.0, 2.0, 3.0, 4.0][..]));
/// assert_eq!(window.end(), Some(&[1.0, 2.0, 3.0, 4.0, 0.0, 0.0][..]));
/// assert_eq!(window.end(), None);
/// # Ok::<(), granule_models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SlidingWindow {
    /// `[steps, channels]`, the last bin at the end.
    values: Vec<f32>,
    /// `[channels]`, what stands for bins that there are not.
    blank: Vec<f32>,
    after: usize,
    whole: bool,
    /// Bins since the beginning, and those beyond the end.
    seen: usize,
    beyond: usize,
}

impl SlidingWindow {
    /// For a model that takes such windows, in which `after` bins come after the one that is decoded.
    ///
    /// # Errors
    ///
    /// [`ModelError::Config`] for a model that takes no sequences, or none so long; [`ModelError::Memory`].
    pub fn new(input: &InputSpec, after: usize) -> Result<Self, ModelError> {
        let InputShape::Sequence { steps, channels } = input.shape else {
            let allowed = "a model of windows, `[steps, channels]`";
            return Err(ModelError::config("input", input.shape, allowed));
        };
        if after >= steps {
            let allowed = format!("fewer than the {} of a window", counted(steps, "bin"));
            return Err(ModelError::config("after", after, allowed));
        }
        if channels == 0 {
            return Err(ModelError::config(
                "input",
                input.shape,
                "at least one channel",
            ));
        }
        let mut window = Self {
            values: budget::filled(0.0, input.shape.len(), "a window of the signal")?,
            blank: input.blank(),
            after,
            whole: false,
            seen: 0,
            beyond: 0,
        };
        window.begin();
        Ok(window)
    }

    /// Whether windows that reach beyond an end are left out, as in training with `edges = "leave-out"`. Off at first.
    #[must_use]
    pub fn whole(mut self, whole: bool) -> Self {
        self.whole = whole;
        self
    }

    /// The number of channels of a bin.
    pub fn channels(&self) -> usize {
        self.blank.len()
    }

    /// The number of bins of a window.
    pub fn steps(&self) -> usize {
        self.values.len() / self.channels()
    }

    /// The last bins, `[steps, channels]`; at the beginning all are blank.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The bin, from 0 since the beginning, for which the last window stood.
    pub fn bin(&self) -> usize {
        (self.seen + self.beyond).saturating_sub(1 + self.after)
    }

    /// Whether there was a bin since the beginning.
    pub fn is_begun(&self) -> bool {
        self.seen > 0
    }

    /// Takes the next bin. Gives the window of the bin that is now decoded, where there is one yet.
    ///
    /// # Errors
    ///
    /// [`ModelError::InputLength`] for a bin of another number of channels.
    pub fn push(&mut self, bin: &[f32]) -> Result<Option<&[f32]>, ModelError> {
        if bin.len() != self.channels() {
            return Err(ModelError::InputLength {
                expected: format!("{} in a bin", counted(self.channels(), "value")),
                found: bin.len(),
            });
        }
        // A bin after the end begins anew.
        if self.beyond > 0 {
            self.begin();
        }
        slide(&mut self.values, bin);
        self.seen += 1;
        let least = if self.whole {
            self.steps()
        } else {
            1 + self.after
        };
        Ok((self.seen >= least).then_some(&self.values[..]))
    }

    /// The window of the next bin before the end, which is now; `None` after the last of them, from where it begins anew.
    pub fn end(&mut self) -> Option<&[f32]> {
        if self.whole || self.seen == 0 || self.beyond >= self.after {
            self.begin();
            return None;
        }
        // Of fewer bins than come after one, the first that is decoded has blanks among those.
        while self.seen + self.beyond < self.after {
            slide(&mut self.values, &self.blank);
            self.beyond += 1;
        }
        slide(&mut self.values, &self.blank);
        self.beyond += 1;
        Some(&self.values)
    }

    /// Begins anew, without what came before.
    pub fn begin(&mut self) {
        (self.seen, self.beyond) = (0, 0);
        for bin in self.values.chunks_exact_mut(self.blank.len()) {
            bin.copy_from_slice(&self.blank);
        }
    }
}

/// Takes the first bin away and puts another at the end.
fn slide(values: &mut [f32], bin: &[f32]) {
    let kept = values.len() - bin.len();
    values.copy_within(bin.len().., 0);
    values[kept..].copy_from_slice(bin);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(steps: usize) -> InputSpec {
        InputSpec {
            mean: vec![10.0],
            std: vec![2.0],
            ..InputSpec::new(InputShape::Sequence { steps, channels: 1 })
        }
    }

    /// The windows of some bins, each with the bin that it stands for.
    fn windows(window: &mut SlidingWindow, bins: &[f32]) -> Vec<(usize, Vec<f32>)> {
        let mut all = Vec::new();
        for bin in bins {
            let values = window.push(&[*bin]).unwrap().map(<[f32]>::to_vec);
            all.extend(values.map(|values| (window.bin(), values)));
        }
        while let Some(values) = window.end().map(<[f32]>::to_vec) {
            all.push((window.bin(), values));
        }
        all
    }

    #[test]
    fn every_bin_has_its_window_however_few_there_are() {
        for (steps, after) in [(1, 0), (3, 0), (4, 1), (4, 3), (5, 2)] {
            let mut window = SlidingWindow::new(&input(steps), after).unwrap();
            for count in [0, 1, 2, 3, 4, 9] {
                let bins: Vec<f32> = (0..count).map(|bin| bin as f32).collect();
                let at = |bin: i64| match usize::try_from(bin).ok().and_then(|bin| bins.get(bin)) {
                    Some(value) => *value,
                    None => 10.0,
                };
                let before = (steps - 1 - after) as i64;
                let expected: Vec<(usize, Vec<f32>)> = (0..count)
                    .map(|bin| {
                        let span = bin - before..=bin + after as i64;
                        (bin as usize, span.map(at).collect())
                    })
                    .collect();
                // Twice: it begins anew after an end.
                assert_eq!(
                    windows(&mut window, &bins),
                    expected,
                    "{steps} {after} {count}"
                );
                assert_eq!(windows(&mut window, &bins), expected);
            }
        }
    }

    #[test]
    fn whole_windows_have_no_blanks() {
        let mut window = SlidingWindow::new(&input(3), 1).unwrap().whole(true);
        let expected = [(1, vec![0.0, 1.0, 2.0]), (2, vec![1.0, 2.0, 3.0])];
        assert_eq!(windows(&mut window, &[0.0, 1.0, 2.0, 3.0]), expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |found: Result<_, ModelError>| {
            found.map(|_: SlidingWindow| ()).unwrap_err().to_string()
        };
        let text = error(SlidingWindow::new(&input(3), 3));
        assert!(text.contains("fewer than the 3 bins of a window"), "{text}");
        let vector = InputSpec::new(InputShape::Vector { len: 4 });
        assert!(error(SlidingWindow::new(&vector, 0)).contains("windows"));
        let mut window = SlidingWindow::new(&input(3), 0).unwrap();
        let text = window.push(&[1.0, 2.0]).unwrap_err().to_string();
        assert!(text.contains("1 value in a bin"), "{text}");
    }
}
