//! What a decoder has to beat: the mean of the training part, or its most frequent class, and ridge regression; of counts
//! Poisson regression. Of real values for every bin, a Kalman filter besides.

pub(super) mod gaussian;
pub(super) mod glm;
mod kalman;
mod normal;
pub(super) mod ridge;

use std::ops::Range;

use granule_data::decoding::apart;
use granule_data::{Shape, Targets};

use crate::TrainError;
use crate::batches::{Purpose, shuffle};
use crate::engine::samples::Samples;
use crate::event::{Event, Observer};
use crate::metrics::{Baseline, ValueScores};
use crate::outcome::{Evaluation, Scores};
use ridge::{Block, Design, Left};

/// Blocks of the training part, each of which is held out once.
const BLOCKS: usize = 5;
/// Standard deviations of smoothing that are tried, in bins.
const SMOOTHING: [f64; 4] = [0.5, 1.0, 2.0, 4.0];

/// Adds the baselines of sequences, such as those of a recording, to the scores of a decoder: learnt from some samples and
/// scored on others, as the decoder itself. A regression that would take long is left out, and the observer told so.
pub(crate) fn add(
    evaluation: &mut Evaluation,
    learnt: Samples<'_>,
    tested: Samples<'_>,
    classes: &[String],
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    if !matches!(learnt.split.shape(), Shape::Sequence { .. }) {
        return Ok(());
    }
    let Some(sequences) = Sequences::new(learnt, tested, seed) else {
        return Ok(());
    };
    match &mut evaluation.scores {
        Scores::Regression(scores) => {
            let (width, truth) = (learnt.width(), tested.values()?);
            let names = if learnt.scaling.counts {
                ["training mean", "GLM, shuffled counts"]
            } else {
                ["training mean", "ridge, shuffled targets"]
            };
            let score = |predicted: Vec<f32>| {
                let scores = tested.value_scores(&truth, predicted, width)?;
                Ok(ValueScores {
                    outputs: scores.outputs,
                    mean: scores.mean,
                    bits_per_spike: scores.bits_per_spike,
                })
            };
            scores.baselines = sequences.baselines(width, names, observer, score)?;
        }
        Scores::Classification(scores) => {
            let names = ["most frequent class", "ridge, shuffled classes"];
            let score = |predicted: Vec<f32>| tested.class_shares(&predicted, classes);
            scores.baselines = sequences.baselines(classes.len(), names, observer, score)?;
        }
        _ => {}
    }
    Ok(())
}

/// The regression that sees most, as weights.
pub(crate) struct Linear {
    pub name: String,
    /// Chosen by cross-validation in what is learnt from.
    pub penalty: f64,
    /// Of each standardised number of a sample, `[outputs, numbers]`.
    pub weights: Vec<f64>,
    /// What it says where all numbers are 0, one an output.
    pub constants: Vec<f64>,
}

/// The regression of sequences, or of vectors, that sees most of those that can be fitted; nothing of images.
pub(crate) fn linear(
    learnt: Samples<'_>,
    tested: Samples<'_>,
    outputs: usize,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Option<Linear>, TrainError> {
    let Some(sequences) = Sequences::new(learnt, tested, seed) else {
        return Ok(None);
    };
    let (folds, designs) = sequences.designs(outputs);
    for (name, designs) in designs.into_iter().rev() {
        let fitted = chosen_of(&name, &designs, &folds, observer).and_then(|(design, penalty)| {
            let ridge = design.fitted(penalty, None)?;
            let [weights, constants] = design.spread(&ridge, sequences.steps)?;
            Ok(Linear {
                name: name.clone(),
                penalty,
                weights,
                constants,
            })
        });
        if let Some(linear) = there(&name, fitted, observer)? {
            return Ok(Some(linear));
        }
    }
    Ok(None)
}

/// The score of a regression on each step alone; nothing where there is but one, or where it would take long.
pub(crate) fn alone(
    learnt: Samples<'_>,
    tested: Samples<'_>,
    outputs: usize,
    seed: u64,
    observer: &mut dyn Observer,
    score: impl Fn(Vec<f32>) -> Result<f64, TrainError>,
) -> Result<Option<Vec<f64>>, TrainError> {
    let sequences = Sequences::new(learnt, tested, seed).filter(|sequences| sequences.steps > 1);
    let Some(sequences) = sequences else {
        return Ok(None);
    };
    let folds = sequences.folds();
    let designs = (0..sequences.steps).map(|step| sequences.design(step..step + 1, None, outputs));
    let designs: Vec<Design<'_>> = designs.collect();
    let name = "regression on each step alone";
    let fits = |observer: &mut dyn Observer| {
        let work = designs.iter().map(|design| design.work(folds.len())).sum();
        ridge::check_work(name, work, designs.first(), observer)?;
        let fit = |design: &Design<'_>| {
            let (penalty, _) = design.chosen(&folds, observer)?;
            Ok(score(design.answers(penalty, tested, None)?)?)
        };
        designs.iter().map(fit).collect::<Result<Vec<f64>, Left>>()
    };
    let fitted = fits(observer);
    there(name, fitted, observer)
}

/// What is learnt from and what is tested on.
struct Sequences<'a> {
    learnt: Samples<'a>,
    tested: Samples<'a>,
    steps: usize,
    channels: usize,
    seed: u64,
}

impl<'a> Sequences<'a> {
    /// Those of two parts of sequences; a vector is a sequence of one step.
    fn new(learnt: Samples<'a>, tested: Samples<'a>, seed: u64) -> Option<Self> {
        let (steps, channels) = match learnt.split.shape() {
            Shape::Sequence { steps, channels } => (steps, channels),
            Shape::Vector { len } => (1, len),
            Shape::Image { .. } => return None,
        };
        Some(Self {
            learnt,
            tested,
            steps,
            channels,
            seed,
        })
    }

    /// The parts of a training that choose a penalty.
    fn folds(&self) -> Vec<Block> {
        match self.learnt.split.starts() {
            Some(starts) => folds(starts, self.steps, self.learnt.indices),
            None => drawn_folds(self.learnt.indices, self.seed),
        }
    }

    /// The parts of a training that choose a penalty, and the regressions by name, the one that sees most last; of several
    /// under one name the best is taken.
    fn designs(&self, outputs: usize) -> (Vec<Block>, Vec<(String, Vec<Design<'a>>)>) {
        let design = |steps, weights| self.design(steps, weights, outputs);
        let (steps, folds) = (self.steps, self.folds());
        let regression = if self.learnt.scaling.counts {
            "GLM"
        } else {
            "ridge"
        };
        let named = |what: &str, designs| (format!("{regression}{what}"), designs);
        if self.learnt.split.starts().is_some() {
            let current = self.learnt.split.current();
            let now = design(current..current + 1, None);
            let mut designs = vec![named(", current bin", vec![now])];
            if steps > 1 && self.learnt.scaling.counts {
                let smoothed = SMOOTHING.map(|deviation| {
                    let weights = gaussian(steps, current, deviation);
                    design(0..steps, Some(weights))
                });
                designs.push(named(", smoothed", smoothed.into()));
            }
            if steps > 1 {
                designs.push(named(", whole window", vec![design(0..steps, None)]));
            }
            return (folds, designs);
        }
        let mean = vec![1.0 / steps.max(1) as f32; steps];
        let designs = match steps {
            1 => vec![named("", vec![design(0..1, None)])],
            _ => vec![
                named(", mean of the steps", vec![design(0..steps, Some(mean))]),
                named(", all steps", vec![design(0..steps, None)]),
            ],
        };
        (folds, designs)
    }

    /// The current bin of windows whose targets, real values for every bin, are a state that a filter can follow.
    fn state(&self, outputs: usize) -> Option<Design<'a>> {
        let split = self.learnt.split;
        let values = matches!(split.targets(), Targets::Values { .. });
        let is_state = split.starts().is_some() && values && !self.learnt.scaling.counts;
        is_state.then(|| self.design(split.current()..split.current() + 1, None, outputs))
    }

    fn design(&self, steps: Range<usize>, weights: Option<Vec<f32>>, outputs: usize) -> Design<'a> {
        Design {
            learnt: self.learnt,
            steps,
            channels: self.channels,
            weights,
            outputs,
        }
    }

    /// The baselines, each with its scores; the names are those of the mean and of what is learnt from the targets of other
    /// samples.
    fn baselines<S>(
        &self,
        outputs: usize,
        [mean, shuffled]: [&str; 2],
        observer: &mut dyn Observer,
        score: impl Fn(Vec<f32>) -> Result<S, TrainError>,
    ) -> Result<Vec<Baseline<S>>, TrainError> {
        let baseline = |name: &str, penalty, predicted| {
            Ok::<_, TrainError>(Baseline {
                name: name.to_owned(),
                penalty,
                scores: score(predicted)?,
            })
        };
        let (learnt, tested) = (self.learnt, self.tested);
        let (folds, designs) = self.designs(outputs);
        let means = Design::of_nothing(learnt, outputs).moments(learnt.indices)?;
        let mut means = means.repeated(tested.indices.len())?;
        if learnt.scaling.counts {
            // As outputs are: logarithms of rates.
            means
                .iter_mut()
                .for_each(|x| *x = x.max(f32::MIN_POSITIVE).ln());
        }
        let mut found = vec![baseline(mean, None, means)?];
        let mut best = None;
        for (name, designs) in &designs {
            let fitted = best_of(name, designs, &folds, tested, observer);
            if let Some((design, penalty, predicted)) = there(name, fitted, observer)? {
                found.push(baseline(name, Some(penalty), predicted)?);
                best = Some((design, penalty));
            }
        }
        if let Some(current) = &self.state(outputs) {
            let name = "Kalman filter";
            let fitted = kalman::fitted(name, current, &folds, tested, observer);
            if let Some((penalty, predicted)) = there(name, fitted, observer)? {
                found.push(baseline(name, Some(penalty), predicted)?);
            }
        }
        if let Some((design, penalty)) = best {
            let mut others = learnt.indices.to_vec();
            shuffle(&mut others, self.seed, 0, Purpose::Baseline);
            let fitted = design.answers(penalty, tested, Some(&others));
            if let Some(predicted) = there(shuffled, fitted, observer)? {
                found.push(baseline(shuffled, Some(penalty), predicted)?);
            }
        }
        Ok(found)
    }
}

/// The design and the penalty with the least error in blocks that are held out, and what it then says of samples.
fn best_of<'d, 'a>(
    name: &str,
    designs: &'d [Design<'a>],
    folds: &[Block],
    tested: Samples<'_>,
    observer: &mut dyn Observer,
) -> Result<(&'d Design<'a>, f64, Vec<f32>), Left> {
    let (design, penalty) = chosen_of(name, designs, folds, observer)?;
    Ok((design, penalty, design.answers(penalty, tested, None)?))
}

/// The design and the penalty with the least error in blocks that are held out.
fn chosen_of<'d, 'a>(
    name: &str,
    designs: &'d [Design<'a>],
    folds: &[Block],
    observer: &mut dyn Observer,
) -> Result<(&'d Design<'a>, f64), Left> {
    let mut best: Option<(&Design<'_>, f64, f64)> = None;
    let work = designs.iter().map(|design| design.work(folds.len())).sum();
    ridge::check_work(name, work, designs.first(), observer)?;
    for design in designs {
        let (penalty, error) = design.chosen(folds, observer)?;
        if best.is_none_or(|(_, _, least)| error < least) {
            best = Some((design, penalty, error));
        }
    }
    match best {
        Some((design, penalty, _)) => Ok((design, penalty)),
        None => Err(Left::Out("there is nothing to fit".to_owned())),
    }
}

/// Weights of steps by their distance from the current one, which add up to 1.
fn gaussian(steps: usize, current: usize, deviation: f64) -> Vec<f32> {
    let weight = |step: usize| (-0.5 * (step.abs_diff(current) as f64 / deviation).powi(2)).exp();
    let sum: f64 = (0..steps).map(weight).sum();
    (0..steps).map(|step| (weight(step) / sum) as f32).collect()
}

/// What was fitted. The observer is told of a baseline that is left out.
pub(super) fn there<T>(
    name: &str,
    fitted: Result<T, Left>,
    observer: &mut dyn Observer,
) -> Result<Option<T>, TrainError> {
    match fitted {
        Ok(fitted) => Ok(Some(fitted)),
        Err(Left::Out(why)) => {
            let text = format!("no {name} beside the model: {why}");
            observer.event(&Event::Note { text: &text });
            Ok(None)
        }
        Err(Left::Failed(error)) => Err(error),
    }
}

/// Blocks of samples in a row, each with the other samples that share no bin with it.
pub(super) fn folds(starts: &[usize], steps: usize, indices: &[usize]) -> Vec<Block> {
    let at = |index: &usize| starts.get(*index).copied().unwrap_or(0);
    let blocks = indices.chunks(indices.len().div_ceil(BLOCKS).max(1));
    let fold = |held_out: &[usize]| {
        let apart = apart(steps, held_out.iter().map(at));
        let kept = indices.iter().filter(|index| apart(at(index)));
        let kept: Vec<usize> = kept.copied().collect();
        (kept, held_out.to_vec())
    };
    blocks
        .map(fold)
        .filter(|(kept, _)| !kept.is_empty())
        .collect()
}

/// Samples that share nothing, in any order, a part of which is held out each time.
fn drawn_folds(indices: &[usize], seed: u64) -> Vec<Block> {
    let mut drawn = indices.to_vec();
    shuffle(&mut drawn, seed, 0, Purpose::Folds);
    let size = drawn.len().div_ceil(BLOCKS).max(1);
    let starts = (0..drawn.len()).step_by(size);
    let fold = |start: usize| {
        let mut kept = drawn.clone();
        let held_out = kept.drain(start..drawn.len().min(start + size)).collect();
        (kept, held_out)
    };
    let folds = starts.map(fold);
    folds.filter(|(kept, _)| !kept.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use crate::metrics::{ClassificationReport, ConfusionMatrix, RegressionScores};
    use granule_data::{Features, Normalization, Split};

    use super::*;
    use crate::batch::Scaling;
    use crate::event::Quiet;
    use crate::outcome::Classification;

    /// Windows of two bins of three channels; the target is 2 a − b of the bin before and c of the own one.
    pub(super) fn recording(bins: usize, seed: u32) -> Split {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        let series: Vec<f32> = (0..3 * bins).map(|_| next()).collect();
        let row = |bin: usize| &series[3 * bin..3 * bin + 3];
        let data: Vec<f32> = (1..bins)
            .flat_map(|bin| [2.0 * row(bin - 1)[0] - row(bin - 1)[1] + 5.0, row(bin)[2]])
            .collect();
        let targets = Targets::Values { data, width: 2 };
        let shape = Shape::Sequence {
            steps: 2,
            channels: 3,
        };
        Split::windows(shape, series, ((0..bins - 1).collect(), 1), targets).unwrap()
    }

    /// An evaluation of no model yet.
    fn scored(split: &Split, classes: &[String]) -> Evaluation {
        let scores = match split.targets() {
            Targets::Values { width, .. } => {
                let zeros = vec![0.0; *width];
                Scores::Regression(RegressionScores::new(&zeros, &zeros, *width).unwrap())
            }
            Targets::Classes(_) => {
                let confusion = ConfusionMatrix::new(classes.len());
                Scores::Classification(Classification {
                    accuracy: 0.0,
                    macro_f1: 0.0,
                    report: ClassificationReport::new(&confusion, classes).unwrap(),
                    confusion,
                    mistakes: Vec::new(),
                    baselines: Vec::new(),
                    permutation: None,
                })
            }
        };
        Evaluation {
            loss: 0.0,
            samples: 0,
            scores,
        }
    }

    /// The baselines of these samples of two splits.
    fn compared(
        (train, learnt): (&Split, &[usize]),
        (test, tested): (&Split, &[usize]),
        observer: &mut dyn Observer,
    ) -> Evaluation {
        let (inputs, targets) = (Normalization::of(train), Normalization::of_targets(train));
        let scaling = Scaling {
            inputs: &inputs,
            targets: &targets,
            counts: false,
        };
        let samples = |split, indices| Samples {
            split,
            indices,
            scaling,
        };
        let classes = ["left", "right", "none"].map(str::to_owned);
        let mut evaluation = scored(train, &classes);
        let (learnt, tested) = (samples(train, learnt), samples(test, tested));
        add(&mut evaluation, learnt, tested, &classes, 1, observer).unwrap();
        evaluation
    }

    pub(super) fn of(train: &Split, test: &Split) -> Vec<Baseline<ValueScores>> {
        let all = |split: &Split| (0..split.len()).collect::<Vec<_>>();
        let evaluation = compared((train, &all(train)), (test, &all(test)), &mut Quiet);
        evaluation.regression().unwrap().baselines.clone()
    }

    /// Trials of three steps of two channels, noise but for the sum of the first channel, which tells the class.
    fn trials(count: usize, seed: u32) -> Split {
        let noise = recording(2 * count + 1, seed);
        let mut values = Vec::new();
        noise
            .gather(
                &(0..2 * count).collect::<Vec<_>>(),
                &Normalization::default(),
                None,
                &mut values,
            )
            .unwrap();
        let mut classes = Vec::new();
        for (trial, steps) in values.chunks_exact_mut(6).take(count).enumerate() {
            let class = u16::from(!trial.is_multiple_of(3));
            steps[2 * (trial % 3)] += 30.0 * f32::from(class);
            classes.push(class);
        }
        values.truncate(6 * count);
        let shape = Shape::Sequence {
            steps: 3,
            channels: 2,
        };
        Split::new(shape, Features::Floats(values), Targets::Classes(classes)).unwrap()
    }

    #[test]
    fn classes_of_trials_have_baselines() {
        let (train, test) = (trials(90, 1), trials(60, 2));
        let all = |split: &Split| (0..split.len()).collect::<Vec<_>>();
        let evaluation = compared((&train, &all(&train)), (&test, &all(&test)), &mut Quiet);
        let found = &evaluation.classification().unwrap().baselines;
        let names: Vec<&str> = found
            .iter()
            .map(|baseline| baseline.name.as_str())
            .collect();
        let expected = [
            "most frequent class",
            "ridge, mean of the steps",
            "ridge, all steps",
            "ridge, shuffled classes",
        ];
        assert_eq!(names, expected);
        // Two trials in three are of the second class; the third class has no sample.
        let shares = |at: usize| {
            [
                found[at].scores.accuracy,
                found[at].scores.balanced_accuracy,
            ]
        };
        assert_eq!(shares(0), [40.0 / 60.0, 0.5]);
        assert_eq!(shares(1), [1.0, 1.0]);
        assert!(shares(2)[0] > 0.9, "{found:?}");
        assert!(shares(3)[1] < 0.7, "{found:?}");
    }

    #[test]
    fn trials_that_are_held_out_are_each_held_out_once() {
        let indices: Vec<usize> = (10..33).collect();
        let found = drawn_folds(&indices, 1);
        assert_eq!(found.len(), BLOCKS);
        let mut held_out: Vec<usize> = found.iter().flat_map(|(_, out)| out.clone()).collect();
        assert_ne!(held_out, indices);
        held_out.sort_unstable();
        assert_eq!(held_out, indices);
        for (kept, out) in &found {
            assert_eq!(kept.len() + out.len(), indices.len());
            assert!(!kept.iter().any(|index| out.contains(index)));
        }
        assert!(drawn_folds(&[1], 1).is_empty());
    }

    #[test]
    fn the_whole_window_tells_what_the_current_bin_does_not() {
        let (train, test) = (recording(400, 1), recording(200, 2));
        let found = of(&train, &test);
        let names: Vec<&str> = found
            .iter()
            .map(|baseline| baseline.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "training mean",
                "ridge, current bin",
                "ridge, whole window",
                "Kalman filter",
                "ridge, shuffled targets"
            ]
        );
        let r2 = |at: usize, output: usize| found[at].scores.outputs[output].r2;
        assert!(r2(0, 0) <= 0.0 && r2(0, 0) > -0.05);
        assert!(r2(1, 0) < 0.05 && r2(1, 1) > 0.999, "{found:?}");
        assert!(r2(2, 0) > 0.999 && r2(2, 1) > 0.999, "{found:?}");
        assert!(r2(3, 0) < 0.05 && r2(3, 1) > 0.99, "{found:?}");
        assert!(r2(4, 0) < 0.2 && r2(4, 1) < 0.2, "{found:?}");
        assert_eq!(found[2].penalty, Some(0.1));
        // NaN stands for a correlation that is not defined.
        assert_eq!(format!("{:?}", of(&train, &test)), format!("{found:?}"));
    }

    #[test]
    fn blocks_that_are_held_out_share_no_bin_with_the_others() {
        let (starts, steps) = ((0..20).collect::<Vec<_>>(), 4);
        let all: Vec<usize> = (0..20).collect();
        let found = folds(&starts, steps, &all);
        let held_out: Vec<usize> = found.iter().flat_map(|(_, out)| out.clone()).collect();
        assert_eq!(held_out, all);
        for (kept, out) in &found {
            assert!(!kept.is_empty());
            let pairs = kept.iter().flat_map(|a| out.iter().map(move |b| (a, b)));
            for (&kept, &out) in pairs {
                assert!(starts[kept].abs_diff(starts[out]) >= steps, "{kept} {out}");
            }
        }
        // Windows as long as the recording leave nothing to learn a penalty from.
        assert!(folds(&starts, 20, &all).is_empty());
    }

    #[test]
    fn what_cannot_be_fitted_is_left_out_and_told_of() {
        struct Notes(Vec<String>);
        impl Observer for Notes {
            fn event(&mut self, event: &Event<'_>) {
                if let Event::Note { text } = event {
                    self.0.push((*text).to_owned());
                }
            }
        }
        let train = recording(4, 5);
        let mut notes = Notes(Vec::new());
        let evaluation = compared((&train, &[1]), (&train, &[1]), &mut notes);
        let found = &evaluation.regression().unwrap().baselines;
        assert_eq!(found.len(), 1);
        assert_eq!(notes.0.len(), 3, "{:?}", notes.0);
        assert!(notes.0[2].contains("no Kalman filter"), "{:?}", notes.0);
        assert!(
            notes.0[0].contains("no ridge, current bin"),
            "{:?}",
            notes.0
        );
    }
}
