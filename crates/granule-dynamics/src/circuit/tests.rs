//! Circuits against numbers found by hand.

mod gap;
mod reward;

use super::*;
use crate::simulate::{Grid, record_every, simulate};
use crate::testing::{assert_close, f32_places, f64_place, f64_places};
use crate::{Dynamics, DynamicsError, Model, NoInput, Place, host};

fn config(text: &str) -> CircuitConfig {
    toml::from_str(text).unwrap()
}

/// The course of a variable, a row for each step, the state at the beginning first.
fn course(text: &str, variable: &str, (dt, duration): (f64, f64), place: &Place) -> Vec<Vec<f64>> {
    let circuit = config(text).init(dt, 3, place).unwrap();
    let dynamics = circuit.dynamics().unwrap();
    let at = dynamics.variables().iter().position(|v| v.name == variable);
    let at = at.unwrap_or_else(|| panic!("no {variable}"));
    let mut rows = Vec::new();
    let initial = circuit.initial_state(1).unwrap();
    let grid = Grid::over(duration, dt).unwrap();
    simulate(&dynamics, initial, &NoInput, &grid, |_, _, state| {
        rows.push(host(state[at].clone()).unwrap());
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    rows
}

/// One spike at 1 ms of the first of two cells, and one lif cell that never fires.
const PAIR: &str = r#"
    [[population]]
    name = "in"
    size = 2
    cell = "spikes"
    train = { times = [1.0], cells = [0] }
    [[population]]
    name = "out"
    size = 1
    cell = "lif"
    parameters = { time_constant = 10.0, threshold = 100.0 }
"#;

fn with(projection: &str) -> String {
    format!("{PAIR}\n[[projection]]\nfrom = \"in\"\nto = \"out\"\n{projection}")
}

#[test]
fn a_spike_moves_the_potential_by_its_weight_after_its_delay() {
    // The spike at 1 ms arrives 2 ms later.
    for (name, place) in f64_places() {
        let text = with("weight = 3.0\ndelay = 2.0");
        let v = course(&text, "out.v", (0.5, 6.0), &place);
        for (step, v) in v.iter().enumerate() {
            let since = 0.5 * step as f64 - 3.0;
            let expected = if since > 0.0 {
                3.0 * (-since / 10.0).exp()
            } else {
                0.0
            };
            assert!(
                (v[0] - expected).abs() < 1e-12,
                "{name} {step}: {} {expected}",
                v[0]
            );
        }
    }
}

#[test]
fn a_refractory_cell_does_not_hear_a_jump() {
    let text = with("weight = 3.0\ndelay = 2.0").replace(
        "parameters = { time_constant = 10.0, threshold = 100.0 }",
        "parameters = { time_constant = 10.0, threshold = 10.0, refractory = 30.0 }\ninitial = { v = 9.9 }\ncurrent = 100.0",
    );
    let v = course(&text, "out.v", (0.5, 20.0), &f64_place());
    assert!(v.last().unwrap()[0].abs() < 1e-12, "{v:?}");
}

#[test]
fn currents_and_conductances_have_their_exact_course() {
    let place = f64_place();
    // τ dv/dt = −v + I with I = w exp(−t/τ_s): v = w τ_s/(τ_s − τ) (exp(−t/τ_s) − exp(−t/τ)).
    let text =
        with("weight = 3.0\ndelay = 0.02\nkinetics = { exponential = { time_constant = 4.0 } }");
    let v = course(&text, "out.v", (0.02, 12.0), &place);
    let exact = |t: f64| 3.0 * 4.0 / (4.0 - 10.0) * ((-t / 4.0).exp() - (-t / 10.0).exp());
    for (step, v) in v.iter().enumerate().skip(60) {
        let t = 0.02 * step as f64 - 1.02;
        assert_close(v[0], exact(t), 2e-6);
    }
    // A conductance drives towards its reversal: here far away, so that the driving force hardly changes.
    let text = with(
        "weight = 3e-6\ndelay = 0.02\nkinetics = { exponential = { time_constant = 4.0 } }\neffect = { conductance = { reversal = 1e6 } }",
    );
    let v = course(&text, "out.v", (0.02, 12.0), &place);
    let t = 0.02 * 500.0 - 1.02;
    assert!(
        (v[500][0] - exact(t)).abs() < 2e-5,
        "{} {}",
        v[500][0],
        exact(t)
    );
    // The slow kinetics have their peaks at w.
    for (kinetics, variable) in [
        ("{ alpha = { time_constant = 3.0 } }", "out.open"),
        (
            "{ double-exponential = { rise = 1.0, decay = 5.0 } }",
            "out.v",
        ),
    ] {
        let text = with(&format!("weight = 2.0\nkinetics = {kinetics}"));
        let seen = course(&text, variable, (0.02, 20.0), &place);
        let peak = seen.iter().map(|row| row[0]).fold(0.0, f64::max);
        if variable == "out.open" {
            assert_close(peak, 2.0, 1e-4);
        } else {
            assert!(peak > 0.5 && peak < 2.0, "{peak}");
        }
    }
}

/// The pairs of a rule between 40 and 30 cells, or within 40.
fn pairs(projection: &str, recurrent: bool, seed: u64) -> Result<Vec<(usize, usize)>, String> {
    let to = if recurrent { "a" } else { "b" };
    let text = format!(
        "[[population]]\nname = \"a\"\nsize = 40\ncell = \"lif\"\npositions = {{ ring = {{ length = 40.0 }} }}\n\
         [[population]]\nname = \"b\"\nsize = 30\ncell = \"lif\"\npositions = {{ ring = {{ length = 40.0 }} }}\n\
         [[projection]]\nfrom = \"a\"\nto = \"{to}\"\nweight = 1.0\n{projection}"
    );
    let config: CircuitConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
    let populations = &config.populations;
    let pathway = projection::Pathway {
        index: 0,
        from: &populations[0],
        to: &populations[usize::from(!recurrent)],
    };
    let wired = config.projections[0].wire(pathway, (0.1, seed));
    let wired = wired.map_err(|error| error.to_string())?;
    Ok(projection::pairs_of(&wired.ends, &wired.to).collect())
}

#[test]
fn rules_connect_whom_they_say() {
    let counts = |pairs: &[(usize, usize)], side: fn(&(usize, usize)) -> usize, cells: usize| {
        let mut counts = vec![0; cells];
        pairs.iter().for_each(|pair| counts[side(pair)] += 1);
        counts
    };
    let pre = |pair: &(usize, usize)| pair.0;
    let post = |pair: &(usize, usize)| pair.1;
    let distinct = |pairs: &[(usize, usize)]| {
        let mut all = pairs.to_vec();
        all.sort_unstable();
        all.dedup();
        all.len() == pairs.len()
    };
    let all = pairs("", false, 1).unwrap();
    assert_eq!(all.len(), 1200);
    assert_eq!(pairs("", true, 1).unwrap().len(), 1560);
    assert_eq!(pairs("autapses = true", true, 1).unwrap().len(), 1600);

    let rule = "rule = { kind = \"fixed-in-degree\", degree = 7 }";
    let found = pairs(rule, true, 1).unwrap();
    assert_eq!(counts(&found, post, 40), [7; 40]);
    assert!(distinct(&found) && found.iter().all(|(pre, post)| pre != post));
    assert_eq!(found, pairs(rule, true, 1).unwrap());
    assert_ne!(found, pairs(rule, true, 2).unwrap());
    let most = "rule = { kind = \"fixed-in-degree\", degree = 39 }";
    assert!(distinct(&pairs(most, true, 1).unwrap()));
    let many = "multapses = true\nrule = { kind = \"fixed-in-degree\", degree = 100 }";
    let found = pairs(many, true, 1).unwrap();
    assert_eq!(counts(&found, post, 40), [100; 40]);
    assert!(!distinct(&found) && found.iter().all(|(pre, post)| pre != post));

    let rule = "rule = { kind = \"fixed-out-degree\", degree = 7 }";
    let found = pairs(rule, false, 1).unwrap();
    assert_eq!(counts(&found, pre, 40), [7; 40]);
    assert!(distinct(&found));

    // 240 ± 14 pairs of 1200.
    let rule = "rule = { kind = \"fixed-probability\", probability = 0.2 }";
    let found: usize = (0..50)
        .map(|seed| pairs(rule, false, seed).unwrap().len())
        .sum();
    assert!((found as f64 / 50.0 - 240.0).abs() < 8.0, "{found}");
    for (p, expected) in [(0, 0), (1, 1200)] {
        let rule = format!("rule = {{ kind = \"fixed-probability\", probability = {p} }}");
        assert_eq!(pairs(&rule, false, 1).unwrap().len(), expected);
    }

    // Along the ring a cell has two neighbours at the distance 1, over the seam as well.
    let rule = "rule = { kind = \"distance-dependent\", peak = 1.0, profile = { within = { width = 1.0 } } }";
    let found = pairs(rule, true, 1).unwrap();
    assert_eq!(counts(&found, post, 40), [2; 40]);
    assert!(found.contains(&(0, 39)) && found.contains(&(39, 0)));

    let rule = "rule = { kind = \"list\", pre = [3, 0, 3], post = [1, 2, 0] }";
    assert_eq!(pairs(rule, false, 1).unwrap(), [(0, 2), (3, 1), (3, 0)]);
}

/// Every cell is as likely to be chosen.
#[test]
fn cells_of_a_fixed_degree_are_equally_likely() {
    let rule = "rule = { kind = \"fixed-in-degree\", degree = 10 }";
    let mut counts = [0.0; 40];
    for seed in 0..100 {
        for (pre, _) in pairs(rule, false, seed).unwrap() {
            counts[pre] += 1.0;
        }
    }
    // 750 ± 24 each, of 40.
    let chi: f64 = counts
        .iter()
        .map(|n| (n - 750.0_f64).powi(2) / (750.0 * 0.75))
        .sum();
    assert!(chi < 40.0 + 4.0 * 80.0_f64.sqrt(), "{chi}");
}

#[test]
fn lists_keep_weights_and_delays_with_their_pairs() {
    let text = r#"
        [[population]]
        name = "in"
        size = 2
        cell = "spikes"
        train = { times = [0.0, 0.0], cells = [0, 1] }
        [[population]]
        name = "out"
        size = 2
        cell = "lif"
        parameters = { time_constant = 1e9, threshold = 100.0 }
        [[projection]]
        from = "in"
        to = "out"
        rule = { kind = "list", pre = [1, 0, 1], post = [0, 1, 1] }
        weight = [1.0, 2.0, 4.0]
        delay = [1.0, 2.0, 3.0]
    "#;
    let v = course(text, "out.v", (1.0, 6.0), &f64_place());
    let rounded = |row: &Vec<f64>| row.iter().map(|v| v.round()).collect::<Vec<_>>();
    let found: Vec<_> = v.iter().map(rounded).collect();
    let expected = [
        [0.0, 0.0],
        [0.0, 0.0],
        [0.0, 0.0],
        [1.0, 0.0],
        [1.0, 2.0],
        [1.0, 6.0],
        [1.0, 6.0],
    ];
    assert_eq!(found, expected);
}

/// A sparse network with drawn weights and delays.
const DRAWN: &str = r#"
    [[population]]
    name = "cells"
    size = 60
    cell = "lif"
    current = { uniform = { low = 8.0, high = 14.0 } }
    initial = { v = { uniform = { low = 0.0, high = 9.0 } } }
    [[population]]
    name = "noise"
    size = 60
    cell = "poisson"
    parameters = { rate = { uniform = { low = 100.0, high = 900.0 } } }
    [[projection]]
    from = "cells"
    to = "cells"
    rule = { kind = "fixed-probability", probability = 0.3 }
    weight = { normal = { mean = 0.2, deviation = 0.1 } }
    delay = { uniform = { low = 0.5, high = 3.0 } }
    [[projection]]
    from = "noise"
    to = "cells"
    rule = { kind = "one-to-one" }
    weight = 0.5
"#;

#[test]
fn one_seed_is_one_network_on_every_device() {
    let run = |seed: u64, place: &Place| {
        let circuit = config(DRAWN).init(0.5, seed, place).unwrap();
        let dynamics = circuit.dynamics().unwrap();
        let grid = Grid::over(20.0, 0.5).unwrap();
        let initial = circuit.initial_state(1).unwrap();
        let (seen, _) = record_every(&dynamics, initial, &NoInput, &grid, 1).unwrap();
        host(seen).unwrap()
    };
    let exact = run(1, &f64_place());
    assert_ne!(exact, run(2, &f64_place()));
    for (name, place) in f32_places() {
        let found = run(1, &place);
        // Before the first spikes of single precision may be in another step.
        for (x, y) in found.iter().zip(&exact).take(60 * 10) {
            assert!((x - y).abs() < 1e-3, "{name}: {x} {y}");
        }
    }
}

#[test]
fn rates_relax_to_what_their_inputs_say() {
    let text = r#"
        [[population]]
        name = "a"
        size = 2
        cell = "rate"
        transfer = "linear"
        parameters = { time_constant = 5.0 }
        current = [1.0, 3.0]
        [[population]]
        name = "b"
        size = 1
        cell = "rate"
        transfer = "linear"
        [[projection]]
        from = "a"
        to = "b"
        weight = 0.5
    "#;
    let rate = course(text, "b.rate", (0.1, 200.0), &f64_place());
    assert_close(rate.last().unwrap()[0], 2.0, 1e-6);
}

/// What the rule of the reference numbers, section 6, says of one pair at 10 ms, and of the pair in reverse.
#[test]
fn a_pair_of_spikes_changes_a_plastic_weight_by_the_published_amount() {
    let run = |pre: f64, post: f64| {
        let text = format!(
            r#"
            [[population]]
            name = "pre"
            size = 1
            cell = "spikes"
            train = {{ times = [{pre}], cells = [0] }}
            [[population]]
            name = "drive"
            size = 1
            cell = "spikes"
            train = {{ times = [{post}], cells = [0] }}
            [[population]]
            name = "post"
            size = 1
            cell = "lif"
            [[projection]]
            from = "drive"
            to = "post"
            weight = 20.0
            [[projection]]
            name = "learning"
            from = "pre"
            to = "post"
            weight = 0.5
            kinetics = {{ exponential = {{ time_constant = 1.0 }} }}
            plasticity = {{ rules = [{{ kind = "pair-stdp", depression = 0.01 }}] }}
            "#
        );
        let weights = course(&text, "learning.weights", (0.5, 60.0), &f64_place());
        weights.last().unwrap()[0] - 0.5
    };
    // The cell fires in the step in which the strong spike arrives, as the other one does.
    assert_close(run(10.0, 20.0), 0.0060653066, 1e-9);
    assert_close(run(20.0, 10.0), -0.0060653066, 1e-9);
    // What arrives in the step in which the cell fires is before it.
    assert_close(run(10.0, 10.0), 0.01, 1e-9);
}

/// Several spikes in a step count as if they came one after the other, and leave no resources below 0.
#[test]
fn several_spikes_in_a_step_use_up_resources_one_after_the_other() {
    for count in 1..5 {
        let text = with(
            "weight = 4.0\nshort_term = { release = 0.3, facilitation_time_constant = 1e12, recovery_time_constant = 1e12 }",
        )
        .replace(
            "times = [1.0], cells = [0]",
            &format!("times = {:?}, cells = {:?}", vec![1.0; count], vec![0; count]),
        )
        .replace("time_constant = 10.0", "time_constant = 1e12");
        let (mut u, mut x, mut sent) = (0.0, 1.0, 0.0);
        for _ in 0..count {
            u += 0.3 * (1.0 - u);
            sent += u * x;
            x -= u * x;
        }
        let course = |variable: &str| course(&text, variable, (0.5, 5.0), &f64_place());
        let last = |variable: &str| course(variable).last().unwrap()[0];
        assert_close(last("out.v"), 4.0 * sent, 1e-9);
        assert_close(last("projection.0.short-term.facilitation"), u, 1e-9);
        assert_close(last("projection.0.short-term.resources"), x, 1e-9);
    }
}

/// A spike is in the state at the end of its step, at its very time where steps end then, however their times are rounded.
#[test]
fn spikes_of_a_list_leave_at_their_times() {
    let place = f64_place();
    let spikes = |train: &str, dt: f64, steps: usize| -> Vec<usize> {
        let text = with("weight = 1.0").replace("times = [1.0], cells = [0]", train);
        let seen = course(&text, "in.spike", (dt, dt * steps as f64), &place);
        let counts = seen.iter().map(|row| row[0] as usize).enumerate();
        counts.flat_map(|(at, count)| vec![at; count]).collect()
    };
    let cells = "cells = [0, 0, 0, 0, 0]";
    let train = format!("times = [0.0, 0.3, 0.5, 0.72, 0.7], {cells}");
    assert_eq!(spikes(&train, 0.1, 12), [1, 3, 5, 7, 8]);
    let train = "times = [0.0, 0.3], cells = [0, 0], period = 0.6";
    assert_eq!(spikes(train, 0.1, 20), [1, 3, 6, 9, 12, 15, 18]);
    // Every step ends with a spike.
    let times: Vec<f64> = (1..=200).map(|step| 0.1 * f64::from(step)).collect();
    let train = format!("times = {times:?}, cells = {:?}", vec![0; 200]);
    let all: Vec<usize> = (1..=200).collect();
    assert_eq!(spikes(&train, 0.1, 200), all);
}

/// What a synapse brings does not depend on how long it takes against a step.
#[test]
fn fast_synapses_bring_their_whole_charge() {
    for (kinetics, charge) in [
        ("exponential = { time_constant = 0.05 }", 0.05),
        ("alpha = { time_constant = 0.05 }", 0.05 * 1.0_f64.exp()),
        (
            "double-exponential = { rise = 0.02, decay = 0.04 }",
            // The peak of e^(−t/0.04) − e^(−t/0.02) is 1/4.
            4.0 * 0.02,
        ),
    ] {
        let text = with(&format!("weight = 2.0\nkinetics = {{ {kinetics} }}"))
            .replace("time_constant = 10.0", "time_constant = 1e6");
        for dt in [0.5, 0.01] {
            let v = course(&text, "out.v", (dt, 10.0), &f64_place());
            // τ dv/dt = I, a leak of 10⁻⁶/ms left out.
            assert_close(1e6 * v.last().unwrap()[0], 2.0 * charge, 1e-5);
        }
    }
}

/// Before the beginning rates were what they are then, so that what is in balance stays there in spite of delays.
#[test]
fn delayed_rates_begin_where_they_are() {
    let text = r#"
        [[population]]
        name = "a"
        size = 2
        cell = "rate"
        transfer = "linear"
        current = 1.0
        initial = { x = 2.0 }
        [[projection]]
        from = "a"
        to = "a"
        rule = { kind = "list", pre = [0, 1], post = [1, 0] }
        weight = 0.25
        delay = [3.0, 7.0]
        [[projection]]
        from = "a"
        to = "a"
        rule = { kind = "one-to-one" }
        autapses = true
        weight = 0.25
        delay = 5.0
    "#;
    for row in course(text, "a.x", (0.5, 20.0), &f64_place()) {
        assert_close(row[0], 2.0, 1e-12);
        assert_close(row[1], 2.0, 1e-12);
    }
}

#[test]
fn conductances_are_of_cells_with_a_potential_in_millivolt() {
    let text = with(
        "weight = 1.0\nkinetics = { exponential = { time_constant = 4.0 } }\neffect = { conductance = { reversal = 0.0 } }",
    )
    .replace(
        "cell = \"lif\"\n    parameters = { time_constant = 10.0, threshold = 100.0 }",
        "cell = \"qif\"",
    );
    let error = config(&text).init(0.1, 1, &f64_place()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("projection.0.effect") && error.contains("mV"),
        "{error}"
    );
}

#[test]
fn projections_without_a_connection_are_named() {
    let text = with("weight = 1.0\nrule = { kind = \"fixed-probability\", probability = 0 }")
        + "\n[[projection]]\nname = \"all\"\nfrom = \"in\"\nto = \"out\"\nweight = 1.0";
    let circuit = config(&text).init(0.1, 1, &f64_place()).unwrap();
    assert_eq!(circuit.unconnected(), ["projection.0"]);
    // With short-term plasticity as well.
    let text = with(
        "weight = 1.0\nrule = { kind = \"fixed-out-degree\", degree = 0 }\nshort_term = { release = 0.5 }",
    );
    let circuit = config(&text).init(0.1, 1, &f64_place()).unwrap();
    assert_eq!((circuit.unconnected().len(), circuit.connections()), (1, 0));
    let v = course(&text, "out.v", (0.5, 4.0), &f64_place());
    assert!(v.iter().all(|row| row[0] == 0.0), "{v:?}");
}

#[test]
fn depressing_synapses_transmit_what_is_left() {
    let text = with(
        "weight = 4.0\nshort_term = { release = 0.5, facilitation_time_constant = 1e-3, recovery_time_constant = 1e9 }",
    )
    .replace("times = [1.0], cells = [0]", "times = [1.0, 21.0], cells = [0, 0]")
    .replace("time_constant = 10.0", "time_constant = 1e9");
    let v = course(&text, "out.v", (0.5, 40.0), &f64_place());
    assert_close(v[20][0], 2.0, 1e-6);
    assert_close(v[80][0], 3.0, 1e-6);
}

#[test]
fn a_refractory_cell_with_a_peak_does_not_hear_a_jump() {
    let text = |refractory: f64| {
        with("weight = 5.0\ndelay = 2.0").replace(
            "cell = \"lif\"\n    parameters = { time_constant = 10.0, threshold = 100.0 }",
            &format!("cell = \"adex\"\n    parameters = {{ refractory = {refractory} }}\n    initial = {{ v = -40.0 }}\n    current = 2000.0"),
        )
    };
    let course = |refractory: f64| course(&text(refractory), "out.v", (0.1, 5.0), &f64_place());
    let (long, none) = (course(50.0), course(0.0));
    let last = |v: &[Vec<f64>]| v.last().unwrap()[0];
    assert_ne!(last(&long), last(&none));
    // Held at the reset from its spike on.
    let held = long.iter().rev().take(20).map(|row| row[0]);
    assert!(held.clone().all(|v| v == last(&long)), "{long:?}");
}

/// Limits far out and close together are kept, with the mean that the distribution has between them.
#[test]
fn limited_numbers_are_of_their_distribution() {
    let within = |draw: Draw, low: Option<f64>, high: Option<f64>| {
        draw.check("x").unwrap();
        let all = draw.of_cells(100_000, [1, 2]);
        let fits =
            |x: &f64| *x >= low.unwrap_or(f64::NEG_INFINITY) && *x <= high.unwrap_or(f64::INFINITY);
        assert!(all.as_slice().iter().all(fits));
        all.as_slice().iter().sum::<f64>() / 1e5
    };
    let mean_of = |low: Option<f64>, high: Option<f64>| {
        let draw = Draw::From(Distribution::Normal {
            mean: 1.0,
            deviation: 2.0,
            low,
            high,
        });
        within(draw, low, high)
    };
    let exponential = |low: Option<f64>, high: Option<f64>| {
        let draw = Draw::From(Distribution::Exponential {
            mean: 2.0,
            low,
            high,
        });
        within(draw, low, high)
    };
    let logarithms = |low: Option<f64>, high: Option<f64>| {
        let draw = Draw::From(Distribution::LogNormal {
            median: 1.0,
            deviation: 0.5,
            low,
            high,
        });
        within(draw, low, high)
    };
    // 1 + 2 (φ(a) − φ(b))/(Φ(b) − Φ(a)) with the limits a and b in units of the deviation.
    for (low, high, mean) in [
        (None, None, 1.0),
        (Some(1.0), None, 2.595_769),
        (None, Some(-5.0), -5.566_197),
        (Some(9.0), None, 9.451_213),
        (Some(1.2), Some(1.4), 1.299_750),
        (Some(7.0), Some(7.5), 7.217_840),
        (Some(-1.0), Some(3.0), 1.0),
    ] {
        let found = mean_of(low, high);
        assert!(
            (found - mean).abs() < 0.02,
            "{low:?} {high:?}: {found} {mean}"
        );
    }
    assert!((exponential(None, None) - 2.0).abs() < 0.02);
    assert!((exponential(Some(3.0), None) - 5.0).abs() < 0.02);
    // 2 − 1/(e^½ − 1), and exp(½·0.25) of a logarithm that is normal.
    assert!((exponential(None, Some(1.0)) - 0.458_506).abs() < 0.01);
    assert!((logarithms(None, None) - 1.133_148).abs() < 0.01);
    // Above the median: exp(½·0.25)·2Φ(0.5).
    assert!((logarithms(Some(1.0), None) - 1.567_059).abs() < 0.01);
}

/// One projection between several populations is one for each pair, with connections of its own.
#[test]
fn a_projection_may_join_several_populations() {
    let text = |from: &str, to: &str| {
        format!(
            "[[population]]\nname = \"a\"\nsize = 30\ncell = \"lif\"\n[[population]]\nname = \"b\"\nsize = 30\n\
             cell = \"lif\"\n[[projection]]\nfrom = {from}\nto = {to}\nweight = 1.0\n\
             rule = {{ kind = \"fixed-in-degree\", degree = 7 }}"
        )
    };
    let both = "[\"a\", \"b\"]";
    let count = |from: &str, to: &str| {
        let circuit = config(&text(from, to)).init(0.1, 1, &f64_place());
        circuit.unwrap().connections()
    };
    assert_eq!(count("\"a\"", "\"b\""), 210);
    assert_eq!(count(both, both), 840);
    let error = config(&text("[]", both))
        .validate()
        .unwrap_err()
        .to_string();
    assert!(error.contains("projection.0.from = []"), "{error}");
}

#[test]
fn bad_networks_are_refused_by_the_place_of_the_setting() {
    let refused = |text: &str| -> String {
        let config: CircuitConfig = toml::from_str(text).unwrap();
        let error: DynamicsError = config.init(0.1, 1, &f64_place()).unwrap_err();
        error.to_string()
    };
    for (projection, said) in [
        ("weight = nan", "projection.0.weight = NaN"),
        (
            "weight = 1.0\ndelay = 0.05",
            "projection.0.delay = 0.05 is not allowed: from dt = 0.1",
        ),
        ("weight = 1.0\ndelay = 1e9", "projection.0.delay"),
        (
            "weight = 1.0\ndelay = { normal = { mean = 1.0, deviation = 1.0 } }",
            "projection.0.delay = numbers from -inf is not allowed: at least one step, dt = 0.1 ms",
        ),
        (
            "weight = 1.0\ndelay = { exponential = { mean = 1.0 } }",
            "projection.0.delay = numbers from 0 is not allowed",
        ),
        (
            "weight = 1.0\nrule = { kind = \"fixed-in-degree\", degree = 3 }",
            "projection.0.rule.degree = 3 is not allowed: at most 2",
        ),
        (
            "weight = 1.0\nrule = { kind = \"fixed-probability\", probability = 1.5 }",
            "projection.0.rule.probability = 1.5",
        ),
        (
            "weight = 1.0\nrule = { kind = \"list\", pre = [0, 2], post = [0, 0] }",
            "projection.0.rule.pre.1 = 2",
        ),
        (
            "rule = { kind = \"matrix\", weights = [[1.0]] }",
            "projection.0.rule.weights = [1 row]",
        ),
        (
            "weight = 1.0\nrule = { kind = \"matrix\", weights = [[1.0], [1.0]] }",
            "projection.0.weight = this is not allowed: unset",
        ),
        ("", "projection.0.weight = nothing"),
        (
            "weight = 1.0\nkinetics = { exponential = { time_constant = 1.0 } }\neffect = { conductance = { reversal = 0.0 } }\n\
             plasticity = { rules = [{ kind = \"pair-stdp\" }] }",
            "projection.0.plasticity.limits = free",
        ),
        (
            "weight = 1.0\nkinetics = { exponential = { time_constant = 1.0 } }\neffect = { conductance = { reversal = 0.0 } }\n\
             plasticity = { rules = [{ kind = \"pair-stdp\" }], limits = { bounds = { kind = \"soft\", low = -1.0, high = 1.0 } } }",
            "projection.0.plasticity.limits = from -1 on",
        ),
        (
            "weight = 1.0\nplasticity = { rules = [{ kind = \"homeostasis\" }] }",
            "signal = \"spikes\"",
        ),
        (
            "weight = 1.0\nplasticity = { rules = [{ kind = \"pair-stdp\" }] }\n\
             rule = { kind = \"list\", pre = [1, 0, 1], post = [0, 0, 0] }",
            "projection.0.plasticity = on two connections from cell 1 to cell 0",
        ),
        (
            "weight = 1.0\nshort_term = { signal = \"rates\" }",
            "projection.0.short_term.signal = rates",
        ),
        (
            "weight = 1.0\nrule = { kind = \"one-to-one\" }",
            "projection.0.rule.kind",
        ),
        (
            "weight = 1.0\nrule = { kind = \"distance-dependent\", peak = 0.1, profile = { gaussian = { width = 1.0 } } }",
            "`positions`",
        ),
        (
            "weight = [1.0, 2.0, 3.0]",
            "projection.0.weight = [3 values]",
        ),
        (
            "weight = -1.0\nkinetics = { exponential = { time_constant = 1.0 } }\neffect = { conductance = { reversal = 0.0 } }",
            "projection.0.weight = -1",
        ),
        (
            "weight = 1.0\neffect = { conductance = { reversal = 0.0 } }",
            "projection.0.effect",
        ),
        (
            "weight = 1.0\nkinetics = { exponential = { time_constant = -1.0 } }",
            "projection.0.kinetics.time_constant = -1",
        ),
        (
            "weight = { uniform = { low = 2.0, high = 1.0 } }",
            "projection.0.weight.uniform.high",
        ),
        (
            "weight = { log-normal = { median = 1.0, deviation = 1e6, low = 1.0 } }",
            "a finite number",
        ),
        (
            "weight = 1.0\nmultapses = true\nrule = { kind = \"fixed-in-degree\", degree = 1000000000000 }",
            "the connections: needs",
        ),
    ] {
        let error = refused(&with(projection));
        assert!(error.contains(said), "{projection}: {error}");
    }
    for (from, to, said) in [
        ("\"in\"\nto", "\"inn\"\nto", "did you mean `in`?"),
        ("size = 2", "size = 0", "population.in.size = 0"),
        ("size = 1", "size = 100000000", "population.out.size"),
        ("cell = \"lif\"", "cell = \"liff\"", "did you mean `lif`?"),
        (
            "threshold = 100.0",
            "treshold = 100.0",
            "did you mean `threshold`?",
        ),
        (
            "threshold = 100.0",
            "threshold = -100.0",
            "population.out.parameters.threshold",
        ),
        (
            "cell = \"lif\"\n    parameters = { time_constant = 10.0, threshold = 100.0 }",
            "cell = \"adex\"\n    parameters = { peak = [0.0] }",
            "population.out.parameters.peak = several is not allowed: one number",
        ),
        (
            "threshold = 100.0",
            "treshold = [100.0]",
            "did you mean `threshold`?",
        ),
        (
            "cells = [0]",
            "cells = [2]",
            "population.in.train.cells.0 = 2",
        ),
        ("name = \"out\"", "name = \"in\"", "another name"),
        ("to = \"out\"", "to = [\"out\", \"out\"]", "\"out\" twice"),
        (
            "cell = \"lif\"\n    parameters = { time_constant = 10.0, threshold = 100.0 }",
            "cell = \"poisson\"\n    parameters = { rate = 1.0 }",
            "population = spikes alone",
        ),
        (
            "to = \"out\"",
            "to = \"in\"",
            "spikes from outside hear nobody",
        ),
    ] {
        let text = with("weight = 1.0");
        assert!(text.contains(from), "{from}");
        let error = refused(&text.replacen(from, to, 1));
        assert!(error.contains(said), "{to}: {error}");
    }
}

/// Connections that are written out are not left out: a cell to itself is refused where there are to be none, and so are networks
/// that no memory would hold, before it is asked for.
#[test]
fn recurrent_networks_are_refused_by_the_place_of_the_setting() {
    let refused = |size: usize, projection: &str| -> String {
        let weight = if projection.contains("matrix") {
            ""
        } else {
            "weight = 1.0"
        };
        let text = format!(
            "[[population]]\nname = \"a\"\nsize = {size}\ncell = \"lif\"\npositions = {{ line = {{ length = 1.0 }} }}\n\
             [[projection]]\nfrom = \"a\"\nto = \"a\"\n{weight}\n{projection}"
        );
        let error = config(&text).init(0.1, 1, &f64_place()).unwrap_err();
        error.to_string()
    };
    for (size, projection, said) in [
        (
            3,
            "rule = { kind = \"one-to-one\" }",
            "projection.0.rule.kind = cell 0 to itself",
        ),
        (
            3,
            "rule = { kind = \"list\", pre = [0, 2], post = [1, 2] }",
            "projection.0.rule.post.1 = cell 2 to itself",
        ),
        (
            2,
            "rule = { kind = \"matrix\", weights = [[0.0, 1.0], [1.0, 2.0]] }",
            "projection.0.rule.weights.1.1 = cell 1 to itself",
        ),
        (
            200_000,
            "rule = { kind = \"distance-dependent\", peak = 1e-9, profile = { gaussian = { width = 1.0 } } }",
            "at most 10000000000 pairs",
        ),
        (
            4000,
            "rule = { kind = \"fixed-in-degree\", degree = 1 }\nplasticity = { rules = [{ kind = \"pair-stdp\" }] }",
            "projection.0.plasticity = weights of 16000000 pairs",
        ),
    ] {
        let error = refused(size, projection);
        assert!(error.contains(said), "{projection}: {error}");
    }
}
