//! A record that is handed on while it is made.

use std::ops::ControlFlow;

use super::whole::{experiment, to_the_end};
use super::{Block, Experiment, Outcome};
use crate::presets::Preset;
use crate::stream::Stream;
use crate::testing::f64_place;

/// What was handed on, put together again.
#[derive(Default)]
struct Kept {
    blocks: usize,
    most: usize,
    times: Vec<f64>,
    traces: Vec<Vec<f64>>,
    stimulus: Vec<Vec<f64>>,
    spikes: Vec<(f64, usize)>,
    has_spikes: bool,
}

impl Kept {
    fn take(&mut self, block: Block<'_>) {
        self.blocks += 1;
        self.times.extend(block.times);
        let mut held = block.times.len();
        for (all, new) in [
            (&mut self.traces, block.traces),
            (&mut self.stimulus, block.stimulus),
        ] {
            all.resize(new.len(), Vec::new());
            for (all, new) in all.iter_mut().zip(new) {
                assert_eq!(new.values.len(), block.times.len() * new.width);
                held += new.values.len();
                all.extend(&new.values);
            }
        }
        if let Some(spikes) = block.spikes {
            self.has_spikes = true;
            held += spikes.len();
            self.spikes.extend(spikes);
        }
        self.most = self.most.max(held);
    }
}

/// Handed on from so many numbers on, until there were so many blocks.
fn handed_on(experiment: &Experiment, held: usize, blocks: usize) -> (Kept, Outcome) {
    let mut kept = Kept::default();
    let mut take = |block: Block<'_>| {
        kept.take(block);
        match kept.blocks {
            count if count < blocks => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    let stream = Stream::new(&mut take).held(held);
    let ended = experiment.run_to(|_, _| ControlFlow::Continue(()), Some(stream));
    let (outcome, ..) = ended.unwrap();
    (kept, outcome)
}

#[test]
fn what_is_handed_on_is_what_is_kept() {
    for (name, duration, from, every) in [
        ("hodgkin-huxley", 300.0, 20.013, 7),
        ("balanced-network", 120.0, 50.0, 3),
        ("vogels-abbott-coba", 40.0, 21.3, 2),
        ("competitive-stdp", 600.0, 250.0, 100),
        ("jansen-rit", 2000.0, 0.0, 1),
        ("multi-granularity", 100.0, 10.0, 1),
    ] {
        let preset = Preset::find(name).unwrap();
        for apart in [false, true] {
            let made = || {
                let change = |config: &mut super::ExperimentConfig| {
                    config.duration = duration;
                    (config.record.from, config.record.every) = (from, every);
                };
                let made = experiment(preset.toml, change, &f64_place());
                if apart { made.apart() } else { made }
            };
            let whole = to_the_end(&made());
            let (kept, outcome) = handed_on(&made(), 200, usize::MAX);
            assert!(kept.blocks > 2, "{name}: {}", kept.blocks);
            assert_eq!(kept.times, whole.times, "{name}");
            for (found, expected) in [
                (&kept.traces, &whole.traces),
                (&kept.stimulus, &whole.stimulus),
            ] {
                assert_eq!(found.len(), expected.len(), "{name}");
                for (found, expected) in found.iter().zip(expected) {
                    assert_eq!(*found, expected.values, "{name}: {}", expected.name);
                }
            }
            assert_eq!(kept.spikes, whole.spikes_in_order(), "{name}");
            assert_eq!(kept.has_spikes, !whole.groups.is_empty(), "{name}");
            // All else is the same, and the samples are gone.
            assert_eq!(outcome.statistics, whole.statistics, "{name}");
            assert_eq!(
                (&outcome.last, &outcome.warnings),
                (&whole.last, &whole.warnings)
            );
            assert_eq!(outcome.interval_variation(), whole.interval_variation());
            assert!(outcome.complete && outcome.times.is_empty() && outcome.spikes.is_empty());
            assert!(outcome.traces.iter().all(|trace| trace.values.is_empty()));
        }
    }
}

/// Ten times the duration, and no more that is held at once.
#[test]
fn what_is_held_does_not_grow_with_the_duration() {
    let most = |duration: f64, apart: bool| {
        let preset = Preset::find("hodgkin-huxley").unwrap();
        let made = experiment(
            preset.toml,
            |config| config.duration = duration,
            &f64_place(),
        );
        let made = if apart { made.apart() } else { made };
        handed_on(&made, 2000, usize::MAX).0.most
    };
    for (apart, longer) in [(false, 5000.0), (true, 500.0)] {
        let (short, long) = (most(0.1 * longer, apart), most(longer, apart));
        // No more than a call's steps are added to what was held before it.
        assert!(long <= short.max(2000 + 128 * 8), "{short} {long}");
    }
}

#[test]
fn who_takes_it_can_end_the_run() {
    let preset = Preset::find("hodgkin-huxley").unwrap();
    for apart in [false, true] {
        let made = experiment(preset.toml, |_| {}, &f64_place());
        let made = if apart { made.apart() } else { made };
        let (kept, outcome) = handed_on(&made, 200, 2);
        // What is left comes after the block that ended it.
        assert_eq!(kept.blocks, 3);
        assert!(
            !outcome.complete && outcome.reached < 20.0,
            "{}",
            outcome.reached
        );
        assert!(
            kept.times
                .last()
                .is_some_and(|last| *last <= outcome.reached)
        );
    }
}

/// What led to a failure is what one looks for then.
#[test]
fn the_steps_before_a_failure_are_handed_on() {
    let text = "duration = 500.0\ndt = 1.0\n[system]\nkind = \"linear\"\na = [[0.2]]\nb = [[1.0]]\ninitial = 1.0\n\
                [record]\nvariables = [\"x\"]\n";
    for apart in [false, true] {
        let made = experiment(text, |_| {}, &f64_place());
        let made = if apart { made.apart() } else { made };
        let mut kept = Kept::default();
        let mut take = |block: Block<'_>| {
            kept.take(block);
            ControlFlow::Continue(())
        };
        let stream = Stream::new(&mut take).held(1 << 20);
        let ended = made.run_to(|_, _| ControlFlow::Continue(()), Some(stream));
        assert!(ended.is_err());
        let last = kept.traces[0].last().copied().unwrap();
        assert!(last > 1e6, "{apart} {last} {:?}", kept.times.last());
    }
}

/// Only what is kept has to fit.
#[test]
fn a_record_too_large_to_be_kept_can_be_handed_on() {
    let preset = Preset::find("hodgkin-huxley").unwrap();
    let long = |config: &mut super::ExperimentConfig| config.duration = 4e6;
    let made = experiment(preset.toml, long, &f64_place());
    let error = made
        .run(|_, _| ControlFlow::Break(()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("record.every = 1") && error.contains("--stream"),
        "{error}"
    );
    let (kept, outcome) = handed_on(&made, 200, 1);
    assert!(!outcome.complete && !kept.times.is_empty());
}
