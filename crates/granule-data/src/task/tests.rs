//! What holds for every task, and what their papers say.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DT: f64 = DEFAULT_DT_MS;

fn configs() -> impl Iterator<Item = TaskConfig> {
    TaskKind::ALL.into_iter().map(TaskKind::config)
}

/// The same task without noise.
fn quiet(config: TaskConfig) -> TaskConfig {
    let mut table = serde_json::to_value(config).unwrap();
    if let Some(noise) = table.get_mut("noise") {
        *noise = 0.0.into();
    }
    serde_json::from_value(table).unwrap()
}

fn choice(score: &Score) -> &ChoiceScore {
    match &score.performance {
        Performance::Choice(choice) => choice,
        other => panic!("{other:?}"),
    }
}

fn timing(score: &Score) -> &TimingScore {
    match &score.performance {
        Performance::Timing(timing) => timing,
        other => panic!("{other:?}"),
    }
}

/// What must hold for any batch of any task.
fn check_batch(task: &TaskConfig, batch: &TrialBatch) -> Result<(), TestCaseError> {
    let shape = task.shape(batch.dt_ms).unwrap();
    let info = task.info();
    prop_assert_eq!(batch.shape(), shape);
    prop_assert_eq!(
        (shape.inputs, shape.outputs),
        (info.inputs.len(), info.outputs.len())
    );
    prop_assert_eq!(batch.inputs.len(), batch.len() * shape.steps * shape.inputs);
    prop_assert_eq!(
        batch.targets.len(),
        batch.len() * shape.steps * shape.outputs
    );
    prop_assert_eq!(batch.mask.len(), batch.targets.len());
    for view in batch.views() {
        let trial = view.trial;
        prop_assert!(trial.steps > 0 && trial.steps <= shape.steps);
        let mut end = 0;
        for period in &trial.periods {
            prop_assert_eq!(period.start, end);
            prop_assert!(period.end > period.start);
            end = period.end;
        }
        prop_assert_eq!(end, trial.steps);
        let rows = [
            (view.inputs, shape.inputs),
            (view.targets, shape.outputs),
            (view.mask, shape.outputs),
        ];
        for (numbers, width) in rows {
            prop_assert!(numbers.iter().all(|x| x.is_finite()));
            let padding = &numbers[trial.steps * width..];
            prop_assert!(padding.iter().all(|x| *x == 0.0), "{padding:?}");
        }
        prop_assert!(view.mask.iter().all(|x| *x == 0.0 || *x == 1.0));
    }
    Ok(())
}

#[test]
fn names_are_read_and_written_alike() {
    let names: Vec<_> = list().into_iter().map(|info| info.name).collect();
    assert_eq!(names, TaskKind::NAMES);
    for (kind, name) in TaskKind::ALL.into_iter().zip(TaskKind::NAMES) {
        assert_eq!(name.parse::<TaskKind>().unwrap(), kind);
        assert_eq!(kind.to_string(), name);
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{name:?}"));
        assert_eq!(kind.config().kind(), kind);
    }
    let message = "flipflop".parse::<TaskKind>().unwrap_err().to_string();
    assert!(
        message.contains("flip-flop, perceptual-decision"),
        "{message}"
    );
}

#[test]
fn every_task_says_where_it_comes_from() {
    for info in list() {
        assert!(info.paper.contains("doi:10."), "{}", info.name);
        assert!(
            info.summary.ends_with('.') && !info.tags.is_empty(),
            "{}",
            info.name
        );
    }
}

#[test]
fn settings_survive_serialisation_and_strangers_are_refused() {
    for config in configs() {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<TaskConfig>(&text).unwrap(),
            config,
            "{text}"
        );
        let name = config.kind().name();
        let short = format!("{{\"kind\":{name:?}}}");
        assert_eq!(serde_json::from_str::<TaskConfig>(&short).unwrap(), config);
        let strange = format!("{{\"kind\":{name:?},\"nose\":1}}");
        let message = serde_json::from_str::<TaskConfig>(&strange)
            .unwrap_err()
            .to_string();
        assert!(message.contains("nose"), "{message}");
    }
    let delay = |text: &str| {
        serde_json::from_str::<DelayedMatchConfig>(&format!("{{\"delay_ms\":{text}}}"))
            .map(|config| config.delay_ms)
    };
    assert_eq!(delay("250").unwrap(), Span::fixed(250.0));
    assert_eq!(delay("[250, 500.5]").unwrap(), Span::between(250.0, 500.5));
    for text in ["[1]", "[1, 2, 3]", "\"1\"", "true"] {
        let message = delay(text).unwrap_err().to_string();
        assert!(message.contains("one number or two"), "{message}");
    }
}

#[test]
fn batches_are_well_formed() {
    for task in configs() {
        for dt in [5.0, 20.0, 33.3] {
            check_batch(&task, &task.trials(3, 7..40, dt).unwrap()).unwrap();
        }
        let none = task.trials(3, 5..5, DT).unwrap();
        assert!(none.is_empty() && none.inputs.is_empty());
        let (start, end) = (9, 5);
        assert!(task.trials(3, start..end, DT).unwrap().is_empty());
    }
}

#[test]
fn default_trials_have_the_published_extents() {
    let shapes: Vec<_> = configs()
        .map(|task| {
            let shape = task.shape(DT).unwrap();
            (shape.steps, shape.inputs, shape.outputs, task.conditions())
        })
        .collect();
    assert_eq!(
        shapes,
        [
            (200, 1, 1, 51),
            (100, 3, 3, 1),
            (60, 3, 2, 10),
            (85, 5, 2, 8),
            (58, 7, 2, 72),
            (15 + 42 + 42 + 10, 2, 1, 11),
        ]
    );
}

#[test]
fn a_trial_depends_on_seed_and_index_alone() {
    for task in configs() {
        let all = task.trials(9, 0..30, DT).unwrap();
        let part = task.trials(9, 11..17, DT).unwrap();
        assert_eq!(part.trials, all.trials[11..17]);
        for (part, all) in [
            (&part.inputs, &all.inputs),
            (&part.targets, &all.targets),
            (&part.mask, &all.mask),
        ] {
            let len = all.len() / 30;
            assert_eq!(part[..], all[11 * len..17 * len]);
        }
        assert_ne!(task.trials(10, 0..30, DT).unwrap().inputs, all.inputs);
        let [train, validation, test] = [Part::Train, Part::Validation, Part::Test]
            .map(|part| task.trials(9, part.indices(0..30), DT).unwrap());
        assert_eq!(train, all);
        assert_ne!(validation.inputs, train.inputs);
        assert_ne!(test.inputs, validation.inputs);
    }
}

#[test]
fn conditions_and_durations_do_not_depend_on_the_step() {
    for task in configs() {
        let (fine, coarse) = (
            task.trials(4, 0..40, 2.0).unwrap(),
            task.trials(4, 0..40, 10.0).unwrap(),
        );
        for (a, b) in fine.trials.iter().zip(&coarse.trials) {
            for (a, b) in a.periods.iter().zip(&b.periods) {
                let ms = |period: &Period, dt| (period.end - period.start) as f64 * dt;
                assert!((ms(a, 2.0) - ms(b, 10.0)).abs() <= 6.0, "{a:?} {b:?}");
            }
            let (a, b) = (&a.condition, &b.condition);
            let interval = |condition: &AnyCondition| {
                let shown = condition.get::<IntervalTiming>();
                shown.map(|shown| shown.interval_ms)
            };
            let pulses = |condition: &AnyCondition| Some(condition.get::<FlipFlop>()?.pulses);
            if let (Some(a), Some(b)) = (pulses(a), pulses(b)) {
                // A pulse at the very end may fall off.
                assert!(a.abs_diff(b) <= 1, "{a} {b}");
            } else if interval(a).is_some() {
                assert_eq!(interval(a), interval(b));
            } else {
                assert_eq!(a, b);
            }
        }
    }
}

#[test]
fn every_block_shows_every_condition_once() {
    for task in configs() {
        let conditions = task.conditions() as u64;
        let mut orders = Vec::new();
        for block in 0..3 {
            let indices = block * conditions..(block + 1) * conditions;
            let batch = task.trials(2, indices, DT).unwrap();
            // What is drawn within a condition.
            let shown = |trial: &Trial| match trial.condition.get() {
                Some(DelayedMatch { sample, test }) => format!("{sample} {}", sample == test),
                None if trial.condition.get::<FlipFlop>().is_some() => String::new(),
                None => format!("{:?}", trial.condition),
            };
            let order: Vec<String> = batch.trials.iter().map(shown).collect();
            let distinct: std::collections::BTreeSet<_> = order.iter().collect();
            assert_eq!(distinct.len() as u64, conditions, "{order:?}");
            orders.push(order);
        }
        if conditions > 5 {
            assert_ne!(orders[0], orders[1]);
            assert_ne!(orders[1], orders[2]);
        }
    }
}

#[test]
fn pulses_and_other_stimuli_are_fair() {
    let task = TaskKind::FlipFlop.config();
    let batch = task.trials(1, 0..400, DT).unwrap();
    let (mut up, mut down) = (0.0, 0.0);
    for &x in &batch.inputs {
        up += f64::from(x.max(0.0));
        down += f64::from((-x).max(0.0));
    }
    // About 4.3 pulses of 3 steps on each of 1200 inputs.
    assert!((up / down - 1.0).abs() < 0.1, "{up} {down}");
    let pulses: usize = batch
        .trials
        .iter()
        .map(|trial| trial.condition.get::<FlipFlop>().unwrap().pulses)
        .sum();
    let mean = pulses as f64 / 1200.0;
    assert!((4.0..4.7).contains(&mean), "{mean}");

    let task = TaskKind::DelayedMatch.config();
    let mut pairs = BTreeMap::new();
    for trial in task.trials(1, 0..4000, 50.0).unwrap().trials {
        let DelayedMatch { sample, test } = trial.condition.get().unwrap();
        *pairs.entry((*sample, *test)).or_insert(0) += 1;
    }
    assert_eq!(pairs.len(), 16);
    for ((sample, test), count) in pairs {
        let expected = if sample == test { 500..501 } else { 125..210 };
        assert!(expected.contains(&count), "{sample} {test}: {count}");
    }
}

#[test]
fn only_what_is_asked_for_counts() {
    for task in configs() {
        let batch = task.trials(5, 0..40, DT).unwrap();
        for view in batch.views() {
            let counted = |period: &Period| {
                let (from, to) = (period.start * view.widths.1, period.end * view.widths.1);
                let cells = &view.mask[from..to];
                cells.iter().sum::<f32>() / cells.len().max(1) as f32
            };
            for period in &view.trial.periods {
                let share = counted(period);
                match period.name {
                    "fixation" | "oscillation" | "estimation" | "production" | "after" => {
                        assert_eq!(share, 1.0, "{period:?}");
                    }
                    "decision" => assert!((share - 2.0 / 3.0).abs() < 1e-6, "{share}"),
                    "memory" => assert!((0.3..0.95).contains(&share), "{share}"),
                    _ => assert_eq!(share, 0.0, "{period:?}"),
                }
            }
        }
    }
}

#[test]
fn the_right_choice_is_asked_for() {
    for task in configs() {
        let batch = task.trials(5, 0..72, DT).unwrap();
        for view in batch.views() {
            let Some(correct) = view.trial.condition.correct() else {
                continue;
            };
            let decision = view.trial.periods.last().unwrap();
            for (step, row) in view.targets.chunks(2).enumerate().take(decision.end) {
                let high = decision.start <= step;
                let expected = |output| if high && output == correct { 1.0 } else { 0.2 };
                assert_eq!(row, [expected(0), expected(1)]);
            }
            let cue: Vec<f32> = view
                .inputs
                .chunks(view.widths.0)
                .map(|row| row[0])
                .collect();
            assert!(cue[..decision.start].iter().all(|x| *x == 1.0));
            assert!(cue[decision.start..].iter().all(|x| *x == 0.0));
        }
    }
}

#[test]
fn an_ideal_observer_solves_every_task() {
    for task in configs().map(quiet) {
        let batch = task.trials(6, 0..144, DT).unwrap();
        let score = task
            .score(&task.ideal_outputs(&batch).unwrap(), &batch)
            .unwrap();
        assert_eq!(score.trials, 144);
        assert!(score.mse < 1e-10, "{}: {score:?}", task.kind());
        assert!(score.constant_mse > 0.03, "{}: {score:?}", task.kind());
        assert!(
            score.accuracy().is_none_or(|share| share == 1.0),
            "{score:?}"
        );
        let targets = task.score(&batch.targets, &batch).unwrap();
        assert_eq!(targets.mse, 0.0);
        assert_eq!(targets.accuracy(), score.accuracy());
        if let Performance::Timing(timing) = &score.performance {
            assert!(timing.mean_error_ms.unwrap() < 1e-3, "{timing:?}");
            assert_eq!((timing.missed, timing.intervals.len()), (0, 11));
        }
    }
}

#[test]
fn constant_outputs_are_at_chance() {
    for task in configs() {
        let batch = task.trials(6, 0..144, DT).unwrap();
        for level in [0.0, 0.5, 2.0] {
            let outputs = vec![level; batch.targets.len()];
            let score = task.score(&outputs, &batch).unwrap();
            let name = task.kind();
            assert!(score.mse >= score.constant_mse - 1e-12, "{name}");
            assert!(
                (score.mse - batch.loss(&outputs).unwrap()).abs() < 1e-12,
                "{name}"
            );
            match &score.performance {
                Performance::Trace => {}
                Performance::Choice(choice) => {
                    assert!((choice.accuracy - 0.5).abs() < 0.03, "{name}: {choice:?}");
                    assert!(choice.chance - 0.5 < 0.03, "{name}: {choice:?}");
                }
                Performance::Timing(timing) => {
                    assert_eq!(timing.accuracy, 0.0);
                    assert_eq!(timing.missed, if level < 1.0 { 144 } else { 0 });
                }
            }
        }
    }
    let flip_flop = TaskKind::FlipFlop.config();
    let batch = flip_flop.trials(6, 0..50, DT).unwrap();
    let zero = flip_flop
        .score(&vec![0.0; batch.targets.len()], &batch)
        .unwrap();
    assert_eq!(zero.mse, 1.0);
    let sine = TaskKind::Sine.config();
    let batch = sine.trials(6, 0..51, DT).unwrap();
    let zero = sine.score(&vec![0.0; batch.targets.len()], &batch).unwrap();
    assert!((zero.mse - 0.5).abs() < 0.05, "{}", zero.mse);
}

/// The cumulative normal distribution (Abramowitz & Stegun 7.1.26, to 1.5e-7).
fn normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let sum = series.iter().fold(0.0, |sum, a| (sum + a) * t);
    let erf = 1.0 - sum * (-x * x).exp();
    0.5 * (1.0 + erf.copysign(z))
}

#[test]
fn the_ideal_psychometric_curve_is_that_of_signal_detection() {
    let config = PerceptualDecisionConfig {
        coherences: vec![0.0, 0.016, 0.032, 0.064, 0.512],
        ..Default::default()
    };
    let task = TaskConfig::PerceptualDecision(config);
    for dt in [8.0, 40.0] {
        let batch = task.trials(1, 0..4000, dt).unwrap();
        let score = task
            .score(&task.ideal_outputs(&batch).unwrap(), &batch)
            .unwrap();
        let choice = choice(&score);
        assert_eq!(choice.counted, 3200);
        assert_eq!(choice.psychometric.len(), 1);
        let points = &choice.psychometric[0].points;
        assert_eq!(points.len(), 9);
        for point in points {
            let trials = if point.evidence == 0.0 { 800 } else { 400 };
            assert_eq!(point.trials, trials);
            // The difference of the inputs, averaged over 800 ms, has the deviation 0.5·√2/√800 = 0.025.
            let expected = normal(point.evidence / 0.025);
            let error = (expected * (1.0 - expected) / trials as f64).sqrt();
            assert!(
                (point.share() - expected).abs() <= 4.0 * error + 1e-6,
                "{} at dt {dt}: {} is not {expected}",
                point.evidence,
                point.share()
            );
        }
        assert_eq!(points[4].accuracy(), None);
        assert_eq!(
            (points[0].accuracy(), points[8].accuracy()),
            (Some(1.0), Some(1.0))
        );
    }
}

#[test]
fn default_noise_leaves_the_stated_accuracy() {
    for (kind, stated) in [
        (TaskKind::PerceptualDecision, 0.979),
        (TaskKind::ContextIntegration, 0.982),
        (TaskKind::DelayedMatch, 1.0),
    ] {
        let task = kind.config();
        let batch = task.trials(1, 0..3600, 50.0).unwrap();
        let score = task
            .score(&task.ideal_outputs(&batch).unwrap(), &batch)
            .unwrap();
        let accuracy = score.accuracy().unwrap();
        assert!((accuracy - stated).abs() < 0.01, "{kind}: {accuracy}");
    }
}

#[test]
fn evidence_out_of_context_does_not_matter_to_the_ideal_observer() {
    let task = quiet(TaskKind::ContextIntegration.config());
    let batch = task.trials(1, 0..144, DT).unwrap();
    let score = task
        .score(&task.ideal_outputs(&batch).unwrap(), &batch)
        .unwrap();
    let curves = &choice(&score).psychometric;
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
    let expected = [
        "colour, attended",
        "colour, ignored",
        "motion, attended",
        "motion, ignored",
    ];
    assert_eq!(names, expected);
    for curve in curves {
        assert_eq!(curve.points.len(), 6);
        for point in &curve.points {
            assert_eq!(point.trials, 12);
            let share = if curve.name.ends_with("ignored") {
                0.5
            } else {
                f64::from(u8::from(point.evidence > 0.0))
            };
            assert_eq!(point.share(), share, "{} {point:?}", curve.name);
        }
    }
    let mut wrong = task.ideal_outputs(&batch).unwrap();
    wrong.chunks_mut(2).for_each(|row| row.reverse());
    let score = task.score(&wrong, &batch).unwrap();
    assert_eq!(choice(&score).confusion, [[0, 72], [72, 0]]);
    assert_eq!((choice(&score).accuracy, choice(&score).chance), (0.0, 0.5));
}

#[test]
fn without_evidence_there_is_no_right_choice() {
    let task = TaskConfig::PerceptualDecision(PerceptualDecisionConfig {
        coherences: vec![0.0, 0.5],
        ..Default::default()
    });
    let batch = task.trials(1, 0..8, DT).unwrap();
    for view in batch.views() {
        let decided: f32 = view.mask[45 * 2..60 * 2].iter().sum();
        let PerceptualDecision { coherence } = view.trial.condition.get().unwrap();
        assert_eq!(decided, if *coherence == 0.0 { 0.0 } else { 20.0 });
    }
    let score = task.score(&batch.targets, &batch).unwrap();
    assert_eq!((choice(&score).counted, choice(&score).correct), (4, 4));
}

#[test]
fn intervals_are_measured_between_steps() {
    let task = TaskKind::IntervalTiming.config();
    let batch = task.trials(1, 0..110, DT).unwrap();
    let produce = |interval: &dyn Fn(f64) -> f64| -> Score {
        let mut outputs = vec![0.0; batch.targets.len()];
        for (view, row) in batch.views().zip(outputs.chunks_mut(batch.steps)) {
            let target_ms = view
                .trial
                .condition
                .get::<IntervalTiming>()
                .unwrap()
                .target_ms;
            let set = view.trial.periods[2].start;
            for (step, x) in row.iter_mut().enumerate().skip(set) {
                *x = ((step - set) as f64 * DT / interval(target_ms)) as f32;
            }
        }
        task.score(&outputs, &batch).unwrap()
    };
    let late = produce(&|target| target * 1.05);
    assert!((timing(&late).mean_relative_error.unwrap() - 0.05).abs() < 1e-5);
    assert_eq!(late.accuracy(), Some(1.0));
    assert_eq!(produce(&|target| target * 1.12).accuracy(), Some(0.0));
    let mean = 670.9;
    let always = produce(&|_| mean);
    let timing = timing(&always);
    assert!(timing.chance > 0.2 && timing.chance < 0.5, "{timing:?}");
    assert!((always.accuracy().unwrap() - timing.chance).abs() < 0.1);
    for point in &timing.intervals {
        assert!((point.mean_ms.unwrap() - mean).abs() < 0.01, "{point:?}");
        assert!(point.deviation_ms.unwrap() < 0.01);
    }
    assert_eq!(
        timing
            .intervals
            .iter()
            .map(|point| point.trials)
            .sum::<u64>(),
        110
    );
}

#[test]
fn a_gain_stretches_what_is_produced() {
    let task = TaskConfig::IntervalTiming(IntervalTimingConfig {
        gain: 1.5,
        ..Default::default()
    });
    let batch = task.trials(1, 0..11, 10.0).unwrap();
    for trial in &batch.trials {
        let IntervalTiming {
            interval_ms,
            target_ms,
        } = trial.condition.get().unwrap();
        assert!((target_ms - 1.5 * interval_ms).abs() <= 7.5, "{trial:?}");
    }
    let score = task
        .score(&task.ideal_outputs(&batch).unwrap(), &batch)
        .unwrap();
    assert!(timing(&score).mean_error_ms.unwrap() < 1e-3);
}

#[test]
fn noise_is_white_and_scales_with_the_step() {
    let task = TaskConfig::Sine(SineConfig {
        noise: 2.0,
        frequencies: 1,
        ..Default::default()
    });
    for dt in [2.0, 20.0] {
        let batch = task.trials(1, 0..100, dt).unwrap();
        let noise: Vec<f64> = batch.inputs.iter().map(|&x| f64::from(x) - 0.25).collect();
        let n = noise.len() as f64;
        let variance = noise.iter().map(|x| x * x).sum::<f64>() / n;
        let neighbours = noise.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
        let expected = 4.0 / dt;
        assert!(
            (variance / expected - 1.0).abs() < 5.0 * (2.0 / n).sqrt(),
            "{variance}"
        );
        assert!(
            (neighbours / expected).abs() < 5.0 / n.sqrt(),
            "{neighbours}"
        );
    }
}

#[test]
fn pulses_are_seen_at_any_step() {
    for dt in [1.0, 7.0, 20.0, 60.0] {
        let task = TaskKind::FlipFlop.config();
        let batch = task.trials(8, 0..20, dt).unwrap();
        let score = task
            .score(&task.ideal_outputs(&batch).unwrap(), &batch)
            .unwrap();
        assert_eq!(score.mse, 0.0, "{dt}");
    }
}

#[test]
fn a_fingerprint_tells_tasks_apart() {
    let mut prints = Vec::new();
    for task in configs() {
        let print = |seed, dt| task.fingerprint(seed, dt).unwrap();
        assert_eq!(print(1, DT), print(1, DT));
        prints.extend([print(1, DT), print(2, DT), print(1, 10.0)]);
    }
    let distinct: std::collections::BTreeSet<_> = prints.iter().collect();
    assert_eq!(distinct.len(), prints.len());
}

#[test]
fn results_of_batches_add_up() {
    for task in configs() {
        let whole = task.trials(1, 0..30, DT).unwrap();
        let outputs = |batch: &TrialBatch| -> Vec<f32> {
            let ideal = task.ideal_outputs(batch).unwrap();
            ideal.iter().map(|x| 0.98 * x + 0.01).collect()
        };
        let mut trials = Vec::new();
        for indices in [0..7, 7..30] {
            let batch = task.trials(1, indices, DT).unwrap();
            trials.extend(task.judge(&outputs(&batch), &batch).unwrap());
        }
        let together = task.score(&outputs(&whole), &whole).unwrap();
        assert_eq!(task.summarise(&trials).unwrap(), together);
        let text = serde_json::to_string(&together).unwrap();
        let back: Score = serde_json::from_str(&text).unwrap();
        assert_eq!(back.trials, together.trials);
        assert_eq!(back.accuracy(), together.accuracy());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let task = TaskKind::FlipFlop.config();
    let batch = task.trials(1, 0..4, DT).unwrap();
    let refused = |result: Result<Score, DataError>| result.unwrap_err().to_string();
    assert!(refused(task.score(&batch.targets[1..], &batch)).contains("1200 of 4 trials of 100"));
    assert!(batch.loss(&[]).is_err());
    let mut broken = batch.targets.clone();
    broken[5] = f32::NAN;
    assert!(refused(task.score(&broken, &batch)).contains("NaN"));
    let sine = TaskKind::Sine.config();
    assert!(refused(sine.score(&batch.targets, &batch)).contains("flip-flop"));
    assert!(sine.ideal_outputs(&batch).is_err());
    let empty = task.trials(1, 0..0, DT).unwrap();
    assert!(refused(task.score(&[], &empty)).contains("at least 1"));
    let foreign = task.judge(&batch.targets, &batch).unwrap();
    assert!(refused(sine.summarise(&foreign)).contains("those of sine"));
    let message = task.trials(1, 0..1 << 40, DT).unwrap_err().to_string();
    assert!(message.starts_with("trials = 1099511627776"), "{message}");
}

#[test]
fn a_bad_setting_is_named_with_value_and_range() {
    for (text, field) in [
        (r#"{"kind":"sine","frequencies":0}"#, "task.frequencies = 0"),
        (r#"{"kind":"sine","lowest_hz":0}"#, "task.lowest_hz = 0"),
        (
            r#"{"kind":"sine","highest_hz":0.1}"#,
            "task.highest_hz = 0.1",
        ),
        (r#"{"kind":"sine","duration_ms":0}"#, "task.duration_ms = 0"),
        (r#"{"kind":"sine","noise":-1}"#, "task.noise = -1"),
        (r#"{"kind":"flip-flop","bits":0}"#, "task.bits = 0"),
        (r#"{"kind":"flip-flop","bits":65}"#, "task.bits = 65"),
        (r#"{"kind":"flip-flop","pulse_ms":0}"#, "task.pulse_ms = 0"),
        (
            r#"{"kind":"flip-flop","pulse_ms":2001}"#,
            "task.pulse_ms = 2001",
        ),
        (
            r#"{"kind":"flip-flop","interval_ms":-3}"#,
            "task.interval_ms = -3",
        ),
        (
            r#"{"kind":"flip-flop","grace_ms":2000}"#,
            "task.grace_ms = 2000",
        ),
        (
            r#"{"kind":"perceptual-decision","coherences":[]}"#,
            "task.coherences = []",
        ),
        (
            r#"{"kind":"perceptual-decision","coherences":[0]}"#,
            "task.coherences = [0.0]",
        ),
        (
            r#"{"kind":"perceptual-decision","coherences":[1.5]}"#,
            "task.coherences = [1.5]",
        ),
        (
            r#"{"kind":"perceptual-decision","coherences":[0.1,0.1]}"#,
            "task.coherences = [0.1, 0.1]",
        ),
        (
            r#"{"kind":"perceptual-decision","stimulus_ms":[5,1]}"#,
            "task.stimulus_ms = [5, 1]",
        ),
        (
            r#"{"kind":"perceptual-decision","fixation_ms":-1}"#,
            "task.fixation_ms = -1",
        ),
        (
            r#"{"kind":"perceptual-decision","delay_ms":1e7}"#,
            "task.delay_ms = 10000000",
        ),
        (
            r#"{"kind":"perceptual-decision","decision_ms":0}"#,
            "task.decision_ms = 0",
        ),
        (
            r#"{"kind":"perceptual-decision","grace_ms":300}"#,
            "task.grace_ms = 300",
        ),
        (
            r#"{"kind":"delayed-match","stimuli":1}"#,
            "task.stimuli = 1",
        ),
        (
            r#"{"kind":"delayed-match","sample_ms":0}"#,
            "task.sample_ms = 0",
        ),
        (
            r#"{"kind":"delayed-match","test_ms":[0, 10]}"#,
            "task.test_ms = [0, 10]",
        ),
        (
            r#"{"kind":"context-integration","motion":[-0.1]}"#,
            "task.motion = [-0.1]",
        ),
        (
            r#"{"kind":"context-integration","colour":[0.0]}"#,
            "task.colour = [0.0]",
        ),
        (
            r#"{"kind":"context-integration","noise":2000}"#,
            "task.noise = 2000",
        ),
        (
            r#"{"kind":"interval-timing","shortest_ms":0}"#,
            "task.shortest_ms = 0",
        ),
        (
            r#"{"kind":"interval-timing","longest_ms":400}"#,
            "task.longest_ms = 400",
        ),
        (
            r#"{"kind":"interval-timing","intervals":0}"#,
            "task.intervals = 0",
        ),
        (r#"{"kind":"interval-timing","gain":0}"#, "task.gain = 0"),
        (
            r#"{"kind":"interval-timing","pulse_ms":494}"#,
            "task.pulse_ms = 494",
        ),
        (
            r#"{"kind":"interval-timing","after_ms":0}"#,
            "task.after_ms = 0",
        ),
        (
            r#"{"kind":"interval-timing","tolerance":1.1}"#,
            "task.tolerance = 1.1",
        ),
    ] {
        let task: TaskConfig = serde_json::from_str(text).unwrap();
        let message = task.validate().unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("{field} is not allowed: ")),
            "{text}: {message}"
        );
        assert_eq!(task.trials(1, 0..1, DT).unwrap_err().to_string(), message);
    }
    for noise in [f64::NAN, f64::INFINITY] {
        let task = TaskConfig::Sine(SineConfig {
            noise,
            ..Default::default()
        });
        assert!(task.validate().is_err());
        let task = TaskConfig::PerceptualDecision(PerceptualDecisionConfig {
            stimulus_ms: Span::fixed(noise),
            ..Default::default()
        });
        assert!(task.validate().is_err());
        assert!(TaskKind::Sine.config().shape(noise).is_err());
    }
}

#[test]
fn a_step_must_resolve_the_trial() {
    for (kind, dt, reason) in [
        (
            TaskKind::FlipFlop,
            61.0,
            "at most 60 ms, so that a step resolves \"task.pulse_ms\"",
        ),
        (
            TaskKind::PerceptualDecision,
            101.0,
            "at most 100 ms, so that a step resolves \"fixation\"",
        ),
        (TaskKind::Sine, 300.0, "a quarter of the period"),
        (TaskKind::IntervalTiming, 61.0, "task.pulse_ms"),
        (TaskKind::Sine, 0.0, "above 0"),
        (TaskKind::Sine, -1.0, "above 0"),
        (TaskKind::Sine, 1e-3, "at most 100000 steps"),
    ] {
        let message = kind.config().shape(dt).unwrap_err().to_string();
        assert!(
            message.starts_with("dt_ms = ") && message.contains(reason),
            "{message}"
        );
    }
}

fn span(high: f64) -> impl Strategy<Value = Span> {
    (0.0..high, 0.0..high, any::<bool>()).prop_map(|(a, b, fixed): (f64, f64, bool)| {
        if fixed {
            Span::fixed(a)
        } else {
            Span::between(a.min(b), a.max(b))
        }
    })
}

fn strengths() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(prop_oneof![Just(0.0), -0.1..1.1f64], 0..5)
}

fn any_task() -> impl Strategy<Value = TaskConfig> {
    let spans = [
        span(300.0),
        span(300.0),
        span(300.0),
        span(300.0),
        span(300.0),
    ];
    let numbers = (-5.0..400.0f64, -5.0..400.0f64, -0.1..3.0f64, 0.01..3.0f64);
    (
        0..6usize,
        spans,
        numbers,
        0..9usize,
        [strengths(), strengths()],
    )
        .prop_map(
            |(kind, [a, b, c, d, e], (ms, other_ms, noise, factor), count, [strong, weak])| {
                match kind {
                    0 => TaskConfig::Sine(SineConfig {
                        frequencies: count,
                        lowest_hz: factor,
                        highest_hz: 2.0 * factor - noise,
                        duration_ms: a,
                        noise,
                    }),
                    1 => TaskConfig::FlipFlop(FlipFlopConfig {
                        bits: count,
                        duration_ms: a,
                        pulse_ms: ms / 4.0,
                        interval_ms: other_ms,
                        grace_ms: ms / 2.0,
                        noise,
                    }),
                    2 => TaskConfig::PerceptualDecision(PerceptualDecisionConfig {
                        coherences: strong,
                        fixation_ms: a,
                        stimulus_ms: b,
                        delay_ms: c,
                        decision_ms: d,
                        grace_ms: ms,
                        noise,
                    }),
                    3 => TaskConfig::DelayedMatch(DelayedMatchConfig {
                        stimuli: count,
                        fixation_ms: a,
                        sample_ms: b,
                        delay_ms: c,
                        test_ms: d,
                        decision_ms: e,
                        grace_ms: ms,
                        noise,
                    }),
                    4 => TaskConfig::ContextIntegration(ContextIntegrationConfig {
                        motion: strong,
                        colour: weak,
                        fixation_ms: a,
                        stimulus_ms: b,
                        delay_ms: c,
                        decision_ms: d,
                        grace_ms: ms,
                        noise,
                    }),
                    _ => TaskConfig::IntervalTiming(IntervalTimingConfig {
                        shortest_ms: ms,
                        longest_ms: ms + other_ms,
                        intervals: count,
                        gain: factor,
                        fixation_ms: a,
                        pulse_ms: ms / 3.0,
                        after_ms: other_ms,
                        tolerance: factor / 3.0,
                        noise,
                    }),
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_settings_give_trials_or_a_reason(
        task in any_task(),
        dt in prop_oneof![Just(20.0), 0.5..60.0f64],
        seed in any::<u64>(),
        first in 0..u64::MAX - 4,
    ) {
        match (task.validate(), task.trials(seed, first..first + 3, dt)) {
            (Err(a), Err(b)) => {
                prop_assert_eq!(a.to_string(), b.to_string());
                prop_assert!(a.to_string().starts_with("task."));
            }
            (Ok(()), Err(error)) => {
                prop_assert!(error.to_string().starts_with("dt_ms = "), "{}", error);
            }
            (Ok(()), Ok(batch)) => {
                check_batch(&task, &batch)?;
                let score = task.score(&task.ideal_outputs(&batch).unwrap(), &batch).unwrap();
                prop_assert!(score.mse.is_finite() && score.constant_mse.is_finite());
                prop_assert!(score.accuracy().is_none_or(|share| (0.0..=1.0).contains(&share)));
            }
            (Err(error), Ok(_)) => prop_assert!(false, "{error}"),
        }
    }
}

/// A run whose task has another fingerprint is not gone on with: these are those of folders that are there.
#[test]
fn fingerprints_stay() {
    let known = [
        "a9403c4d26b8103ef274bd88d8fcc976",
        "ed01466092846ee86193aba4db9e00c1",
        "903ab48a86e647e61945f449cf68b8f7",
        "6a7ee63b3b2373ae2c02eb255b49b28a",
        "414b4ab64dfad69cc2a033dde3eec25b",
        "b09c6a434653a1c587bc42dd2d021168",
    ];
    for (task, known) in configs().zip(known) {
        assert_eq!(task.fingerprint(1, DT).unwrap(), known, "{}", task.kind());
    }
}
