//! Published networks against the numbers of their papers.

use std::ops::ControlFlow;

use super::{ExperimentConfig, Outcome, Preset};
use crate::testing::f64_place;

/// A preset with some of its text replaced.
fn preset(name: &str, duration: f64, replaced: &[(&str, &str)]) -> Outcome {
    let mut text = Preset::find(name).unwrap().toml.to_owned();
    for (from, to) in replaced {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    let mut config: ExperimentConfig = toml::from_str(&text).unwrap();
    config.duration = duration;
    let experiment = config.init(&f64_place()).unwrap();
    assert!(
        experiment.whole().is_ok(),
        "{name}: {:?}",
        experiment.whole()
    );
    experiment.run(|_, _| ControlFlow::Continue(())).unwrap()
}

/// The mean rate of a group after `from` ms, Hz.
fn rate(outcome: &Outcome, group: &str, from: f64) -> f64 {
    let group = outcome.groups.iter().find(|own| own.name == group).unwrap();
    let cells = &outcome.spikes[group.cells.clone()];
    let rates = cells
        .iter()
        .map(|cell| cell.mean_rate_hz(from, outcome.reached));
    rates.sum::<f64>() / cells.len() as f64
}

/// The standard deviation of the number of spikes in a ms over its mean, after `from` ms.
fn synchrony(outcome: &Outcome, from: f64) -> f64 {
    let mut counts = vec![0.0; (outcome.reached - from) as usize];
    for time in outcome.spikes.iter().flat_map(|cell| &cell.times) {
        if let Some(count) = (*time >= from).then(|| counts.get_mut((time - from) as usize)) {
            count.into_iter().for_each(|count: &mut f64| *count += 1.0);
        }
    }
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let square = counts
        .iter()
        .map(|count| (count - mean).powi(2))
        .sum::<f64>();
    (square / counts.len() as f64).sqrt() / mean
}

/// The four states of Brunel (2000), figure 8. His equations 12 to 14 solved for these settings say 38.0, 55.8 and 6.5 Hz where
/// firing is irregular.
#[test]
fn brunel_has_all_four_states() {
    let state = |g: &str, external: &str, duration: f64| {
        let change = [("weight = -0.5", g), ("rate = 2e4", external)];
        preset("brunel", duration, &change)
    };
    let regular = state("weight = -0.3", "rate = 2e4", 100.0);
    let variation = regular.interval_variation().unwrap();
    assert!(variation < 0.1, "synchronous regular: CV {variation}");
    let found = rate(&regular, "excitatory", 50.0);
    assert!(
        found > 200.0 && found < 500.0,
        "synchronous regular: {found} Hz"
    );

    let irregular = state("weight = -0.5", "rate = 2e4", 300.0);
    for group in ["excitatory", "inhibitory"] {
        let found = rate(&irregular, group, 100.0);
        assert!(
            (found - 38.0).abs() < 1.5,
            "asynchronous irregular: {found} Hz"
        );
    }
    let asynchronous = synchrony(&irregular, 100.0);
    assert!(asynchronous < 0.7, "asynchronous irregular: {asynchronous}");
    assert!(irregular.interval_variation().unwrap() > 0.3);

    let fast = state("weight = -0.6", "rate = 4e4", 200.0);
    let found = rate(&fast, "excitatory", 50.0);
    assert!(
        (found - 58.0).abs() < 4.0,
        "synchronous irregular, fast: {found} Hz"
    );
    assert!(synchrony(&fast, 50.0) > asynchronous + 0.15);
    assert!(fast.interval_variation().unwrap() > 0.5);

    let slow = state("weight = -0.45", "rate = 9e3", 300.0);
    let found = rate(&slow, "excitatory", 100.0);
    assert!(
        (found - 6.0).abs() < 1.5,
        "synchronous irregular, slow: {found} Hz"
    );
    assert!(synchrony(&slow, 100.0) > 1.5);
}

/// The mean coefficient of variation of the intervals after `from` ms, of cells with at least three spikes there.
fn variation(outcome: &Outcome, from: f64) -> f64 {
    let mut late = outcome.clone();
    for cell in &mut late.spikes {
        cell.times.retain(|time| *time >= from);
    }
    late.interval_variation().unwrap()
}

/// Rates of both populations, CV of intervals and synchrony from 300 to 1000 ms, over three seeds, against ten seeds of Brian2 2.9 (dt and
/// delay 0.1 ms, RK4 with conductances and the exact method with currents, initial values drawn from the same distributions). The
/// means of both agree within three standard errors of their difference, by the standard deviation over seeds. With conductances
/// activity dies out early for one seed of five or so, there and here: such seeds are left out.
#[test]
fn vogels_abbott_networks_fire_as_in_brian() {
    for (name, expected) in [
        (
            "vogels-abbott-cuba",
            [
                (5.635, 0.245),
                (5.607, 0.075),
                (0.472, 0.012),
                (0.311, 0.029),
            ],
        ),
        (
            "vogels-abbott-coba",
            [
                (19.153, 1.10),
                (19.159, 0.42),
                (1.406, 0.03),
                (0.217, 0.016),
            ],
        ),
    ] {
        let runs = [1, 2, 4].map(|seed| {
            let seed = format!("seed = {seed}");
            let outcome = preset(name, 1000.0, &[("seed = 1", &seed)]);
            [
                rate(&outcome, "excitatory", 300.0),
                rate(&outcome, "inhibitory", 300.0),
                variation(&outcome, 300.0),
                synchrony(&outcome, 300.0),
            ]
        });
        for (at, (mean, deviation)) in expected.into_iter().enumerate() {
            let found = runs.iter().map(|run| run[at]).sum::<f64>() / 3.0;
            let error = 3.0 * deviation * (1.0_f64 / 3.0 + 0.1).sqrt();
            assert!(
                (found - mean).abs() < error,
                "{name} {at}: {found}, Brian2 {mean} ± {error}"
            );
        }
    }
}

/// Potjans and Diesmann (2014), whose full network has these mean rates (table 6): a tenth of it, with the mean input that is missing
/// as a current, keeps them about, and is irregular.
#[test]
fn the_microcircuit_has_the_rates_of_its_layers() {
    let outcome = preset("potjans-diesmann", 500.0, &[]);
    for (group, expected) in [
        ("l23e", 0.86_f64),
        ("l23i", 2.80),
        ("l4e", 4.45),
        ("l4i", 5.93),
        ("l5e", 7.59),
        ("l5i", 8.64),
        ("l6e", 1.09),
        ("l6i", 7.88),
    ] {
        let found = rate(&outcome, group, 150.0);
        let allowed = (0.35 * expected).max(0.7);
        assert!(
            (found - expected).abs() < allowed,
            "{group}: {found} Hz, {expected} published"
        );
    }
    assert!(synchrony(&outcome, 150.0) < 0.8);
}

/// Song, Miller and Abbott (2000), figure 2: weights that began anywhere gather at the ends of their range, and the cell fires
/// irregularly, at a rate that follows that of its inputs little.
#[test]
fn competing_inputs_end_at_the_ends_of_their_range() {
    let outcome = preset("competitive-stdp", 20_000.0, &[]);
    let weights = outcome
        .last
        .iter()
        .find(|trace| trace.name == "learning.weights")
        .unwrap();
    let share = |within: &dyn Fn(f64) -> bool| {
        weights.values.iter().filter(|w| within(**w / 0.01)).count() as f64 / 1000.0
    };
    assert!(weights.values.iter().all(|w| (0.0..=0.01).contains(w)));
    // Where they began each tenth had 0.1 of them.
    let low = share(&|w| w < 0.1);
    let middle = share(&|w| (0.4..0.6).contains(&w));
    let high = share(&|w| w > 0.9);
    assert!(
        low > 0.14 && high > 0.105 && middle < 0.18,
        "{low} {middle} {high}"
    );
    let late = rate(&outcome, "cell", 15_000.0);
    assert!(late > 5.0 && late < 60.0, "{late} Hz");
    assert!(variation(&outcome, 15_000.0) > 0.5);
}

/// Wang (2002), figure 2: while there is input the group that gets more of it ramps up and the other one falls silent, and after it
/// the choice outlasts it: half a second later it still stands, though its rate falls.
#[test]
fn a_decision_is_made_and_remembered() {
    let outcome = preset("decision-network", 2000.0, &[]);
    let between = |group: &str, from: f64, to: f64| {
        let group = outcome.groups.iter().find(|own| own.name == group).unwrap();
        let cells = &outcome.spikes[group.cells.clone()];
        cells
            .iter()
            .map(|cell| cell.mean_rate_hz(from, to))
            .sum::<f64>()
            / cells.len() as f64
    };
    let before = [
        between("left", 200.0, 500.0),
        between("right", 200.0, 500.0),
    ];
    assert!(
        before.iter().all(|rate| (0.3..10.0).contains(rate)),
        "{before:?}"
    );
    for (from, to) in [(1200.0, 1500.0), (1700.0, 2000.0)] {
        let (chosen, other) = (between("left", from, to), between("right", from, to));
        assert!(chosen > 12.0 && other < 5.0, "{from}: {chosen} {other}");
    }
}

/// The bump is at its cue long after that, wherever it was, and nowhere else.
#[test]
fn a_ring_remembers_where_its_cue_was() {
    for place in [30, 67] {
        let cells = format!("cells = [{}]", vec![place.to_string(); 10].join(", "));
        let before = format!("cells = [{}]", ["30"; 10].join(", "));
        let outcome = preset(
            "ring-attractor",
            1000.0,
            &[(before.as_str(), cells.as_str())],
        );
        let rates = &outcome
            .last
            .iter()
            .find(|trace| trace.name == "ring.rate")
            .unwrap()
            .values;
        let (mut x, mut y) = (0.0, 0.0);
        for (at, rate) in rates.iter().enumerate() {
            let (sin, cos) = (std::f64::consts::TAU * at as f64 / 120.0).sin_cos();
            x += rate * cos;
            y += rate * sin;
        }
        let found = y.atan2(x).rem_euclid(std::f64::consts::TAU) / std::f64::consts::TAU * 120.0;
        assert!(
            (found - place as f64).abs() < 1.0,
            "{found}, cue at {place}"
        );
        let active = rates.iter().filter(|rate| **rate > 0.0).count();
        assert!(active > 10 && active < 60, "{active}");
    }
}

#[test]
fn populations_and_projections_are_read_and_refused_by_their_place() {
    let text = Preset::find("vogels-abbott-cuba").unwrap().toml;
    let config: ExperimentConfig = toml::from_str(text).unwrap();
    assert_eq!(config.circuit.as_ref().unwrap().populations.len(), 2);
    let again: ExperimentConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(config, again);
    for (from, to, said) in [
        (
            "from = \"inhibitory\"",
            "from = \"inhibitori\"",
            "circuit.projection.1.from = \"inhibitori\"",
        ),
        (
            "[record]",
            "[stimulus]\nkind = \"step\"\namplitude = 1.0\n[record]",
            "stimulus",
        ),
        ("dt = 0.1 ", "dt = 0.1\nsolver = \"rk4\"", "solver"),
        (
            "\"excitatory.v\", ",
            "\"excitatry.v\", ",
            "record.variables",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let config: ExperimentConfig = toml::from_str(&text.replacen(from, to, 1)).unwrap();
        let error = config.init(&f64_place()).err().unwrap().to_string();
        assert!(error.contains(said), "{to}: {error}");
    }
}

/// A stimulus reaches the populations that ask for it, and no others.
#[test]
fn a_stimulus_reaches_external_populations() {
    let text = r#"
        duration = 50.0
        dt = 0.1
        [[circuit.population]]
        name = "heard"
        size = 2
        cell = "hodgkin-huxley"
        external = true
        [[circuit.population]]
        name = "deaf"
        size = 2
        cell = "izhikevich"
        [stimulus]
        kind = "step"
        amplitude = 10.0
    "#;
    let outcome = super::from_toml(text);
    assert!(outcome.operations.is_some());
    let count = |at: usize| outcome.spikes[at].times.len();
    assert!(count(0) >= 3 && count(1) == count(0), "{}", count(0));
    assert_eq!(count(2) + count(3), 0);
    // As the cell by itself fires.
    let alone = super::from_toml(
        "duration = 50.0\ndt = 0.1\nsolver = \"exponential-euler\"\n[unit]\nkind = \"hodgkin-huxley\"\ncurrent = 10.0",
    );
    assert_eq!(outcome.spikes[0].times.len(), alone.spikes[0].times.len());
    for (found, expected) in outcome.spikes[0].times.iter().zip(&alone.spikes[0].times) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
}
