//! Gap junctions.

use super::*;

/// Two passive cells, τ = 10 ms and a leak of 1, the first with an input.
const PASSIVE: &str = r#"
    [[population]]
    name = "a"
    size = 2
    cell = "lif"
    parameters = { time_constant = 10.0, threshold = 1000.0 }
"#;

fn joined(cells: &str, projection: &str) -> String {
    format!("{PASSIVE}\n{cells}\n[[projection]]\nfrom = \"a\"\nto = \"a\"\n{projection}")
}

/// The conductances of a population's junctions with itself, a row for each cell that sends.
fn conductances(text: &str) -> Vec<f64> {
    let circuit = config(text).init(0.1, 5, &f64_place()).unwrap();
    host(circuit.gaps[0].weights.value()).unwrap()
}

#[test]
fn two_passive_cells_have_their_coupling_coefficient_and_time_constants() {
    for (name, place) in f64_places() {
        // In balance g (v₀ − v₁) = v₁, and the input of 10 is what both lose.
        let text = joined(
            "current = [10.0, 0.0]",
            "gap = \"symmetric\"\nweight = 0.25",
        );
        let v = course(&text, "a.v", (0.1, 400.0), &place);
        let v = v.last().unwrap();
        assert_close(v[1] / v[0], 0.25 / 1.25, 1e-12);
        assert_close(v[0], 10.0 * 1.25 / 1.5, 1e-12);
        // Their mean decays with τ, their difference with τ/(1 + 2g).
        let text = joined(
            "initial = { v = [3.0, 1.0] }",
            "gap = \"symmetric\"\nweight = 2.0",
        );
        let error = |dt: f64| {
            let v = course(&text, "a.v", (dt, 4.0), &place);
            let v = v.last().unwrap();
            let mean = 0.5 * (v[0] + v[1]);
            assert_close(mean, 2.0 * (-0.4_f64).exp(), 1e-12);
            let exact = 2.0 * (-0.4 * 5.0_f64).exp();
            (v[0] - v[1]) / exact - 1.0
        };
        let [coarse, fine] = [0.02, 0.01].map(error);
        assert!(fine.abs() < 5e-3, "{name} {fine}");
        assert!((coarse / fine - 2.0).abs() < 0.02, "{name} {coarse} {fine}");
    }
}

#[test]
fn single_precision_has_the_same_balance_on_every_device() {
    let text = joined(
        "current = [10.0, 0.0]",
        "gap = \"symmetric\"\nweight = 0.25",
    );
    for (name, place) in f32_places() {
        let v = course(&text, "a.v", (0.1, 200.0), &place);
        let v = v.last().unwrap();
        assert!((v[1] / v[0] - 0.2).abs() < 1e-5, "{name} {v:?}");
    }
}

#[test]
fn a_rectifying_junction_conducts_one_way() {
    let text = joined(
        "current = [10.0, 4.0]",
        "gap = \"rectifying\"\nweight = 0.25\nrule = { kind = \"list\", pre = [0], post = [1] }",
    );
    let v = course(&text, "a.v", (0.1, 400.0), &f64_place());
    let v = v.last().unwrap();
    assert_close(v[0], 10.0, 1e-12);
    assert_close(v[1], (4.0 + 0.25 * 10.0) / 1.25, 1e-12);
}

/// Two cells of Hodgkin and Huxley, of which one fires, by an independent RK4 with steps of 1 µs.
#[test]
fn spikes_are_spikelets_in_the_cells_beside() {
    let text = r#"
        [[population]]
        name = "a"
        size = 2
        cell = "hodgkin-huxley"
        initial = { v = -65.0 }
        current = [10.0, 0.0]
        solver = "rk4"
        [[projection]]
        from = "a"
        to = "a"
        gap = "symmetric"
        weight = 0.05
    "#;
    let v = course(text, "a.v", (0.005, 40.0), &f64_place());
    let other: Vec<f64> = v.iter().map(|v| v[1]).collect();
    let peaks: Vec<(f64, f64)> = (1..other.len() - 1)
        .filter(|at| other[*at] > other[at - 1] && other[*at] >= other[at + 1])
        .map(|at| (0.005 * at as f64, other[at]))
        .collect();
    let exact = [(4.819, -57.9212), (19.373, -59.1255), (34.362, -59.3327)];
    assert_eq!(peaks.len(), exact.len(), "{peaks:?}");
    for ((time, v), (at, peak)) in peaks.iter().zip(exact) {
        assert!(
            (time - at).abs() < 0.03 && (v - peak).abs() < 0.01,
            "{time} {v}"
        );
    }
}

#[test]
fn a_symmetric_pair_has_one_junction_however_its_rule_lists_it() {
    let whole = conductances(&joined("", "gap = \"symmetric\"\nweight = 0.3"));
    assert_eq!(whole, [0.0, 0.3, 0.3, 0.0]);
    for pairs in [
        "pre = [0], post = [1]",
        "pre = [1], post = [0]",
        "pre = [1, 0], post = [0, 1]",
    ] {
        let rule =
            format!("gap = \"symmetric\"\nweight = 0.3\nrule = {{ kind = \"list\", {pairs} }}");
        assert_eq!(conductances(&joined("", &rule)), whole, "{pairs}");
    }
    let matrix =
        "gap = \"symmetric\"\nrule = { kind = \"matrix\", weights = [[0.0, 0.3], [0.3, 0.0]] }";
    assert_eq!(conductances(&joined("", matrix)), whole);
    // Conductances that are drawn are of the pair, and a pair is joined where either order is drawn.
    let text = joined(
        "",
        "gap = \"symmetric\"\nweight = { uniform = { low = 0.1, high = 0.2 } }\n\
         rule = { kind = \"fixed-probability\", probability = 0.1 }",
    )
    .replace("size = 2", "size = 60");
    let drawn = conductances(&text);
    let mut pairs = 0;
    for a in 0..60 {
        for b in 0..a {
            assert_eq!(drawn[60 * a + b], drawn[60 * b + a]);
            pairs += usize::from(drawn[60 * a + b] > 0.0);
        }
        assert_eq!(drawn[61 * a], 0.0);
    }
    // 1770 pairs, each with 1 − 0.9² = 0.19: 336 ± 16.5.
    assert!((286..387).contains(&pairs), "{pairs}");
    assert_eq!(conductances(&text), drawn);
    // Between two populations current flows both ways, and cells of other populations are no pair.
    let text = r#"
        [[population]]
        name = "a"
        size = 1
        cell = "lif"
        parameters = { threshold = 1000.0 }
        current = 10.0
        [[population]]
        name = "b"
        size = 2
        cell = "lif"
        parameters = { threshold = 1000.0 }
        [[projection]]
        from = "a"
        to = "b"
        gap = "symmetric"
        weight = 0.25
    "#;
    let last = |variable: &str| {
        course(text, variable, (0.1, 400.0), &f64_place())
            .pop()
            .unwrap()
    };
    let (a, b) = (last("a.v"), last("b.v"));
    assert_close(b[0] / a[0], 0.2, 1e-12);
    assert_close(b[1], b[0], 1e-12);
    // What enters is what the three cells lose.
    assert_close(a[0] + b[0] + b[1], 10.0, 1e-12);
}

/// Cells of the theta model's kin have a potential without a unit; other synapses and spikes go on beside junctions.
#[test]
fn junctions_stand_beside_synapses_and_an_input() {
    let text = r#"
        [[population]]
        name = "in"
        size = 1
        cell = "spikes"
        train = { times = [1.0], cells = [0] }
        [[population]]
        name = "a"
        size = 2
        cell = "qif"
        initial = { v = [-2.0, -1.0] }
        current = -1.0
        [[projection]]
        from = "in"
        to = "a"
        weight = 0.5
        [[projection]]
        from = "a"
        to = "a"
        gap = "symmetric"
        weight = 0.5
    "#;
    let v = course(text, "a.v", (0.1, 3.0), &f64_place());
    // A jump for both in the step that begins at 1.1 ms; their difference shrinks all the time.
    assert!(
        v[12][0] > v[11][0] + 0.4 && v[12][1] > v[11][1] + 0.4,
        "{v:?}"
    );
    let apart: Vec<f64> = v.iter().map(|v| v[1] - v[0]).collect();
    assert!(
        apart.is_sorted_by(|a, b| a > b) && apart[30] > 0.0,
        "{apart:?}"
    );
}

/// Of cells with exact steps a step moves the potential by (1 − e^(−dt/τ)) of the input: half the way to the other cells is the most.
#[test]
fn conductances_that_a_step_is_too_long_for_are_refused() {
    let most = 0.5 / (1.0 - (-0.1_f64 / 10.0).exp());
    let text = |g: f64| {
        joined(
            "initial = { v = [2.0, 0.0] }",
            &format!("gap = \"symmetric\"\nweight = {g}"),
        )
    };
    let v = course(&text(0.999 * most), "a.v", (0.1, 5.0), &f64_place());
    // Both meet, up to what leaks in a step.
    assert!((v[1][0] - v[1][1]).abs() < 0.01 * 2.0, "{v:?}");
    assert!((v[4][0] - v[4][1]).abs() < 1e-6, "{v:?}");
    let error = config(&text(1.001 * most))
        .init(0.1, 1, &f64_place())
        .unwrap_err()
        .to_string();
    let said = format!("at most {most:.4} in all on a cell at steps of dt = 0.1 ms");
    assert!(
        error.contains("projection.0.weight") && error.contains(&said),
        "{error}"
    );
    // Those of several projections add up, and shorter steps are enough.
    let twice = text(0.6 * most)
        + &format!(
            "\n[[projection]]\nfrom = \"a\"\nto = \"a\"\ngap = \"symmetric\"\nweight = {}",
            0.6 * most
        );
    let error = config(&twice)
        .init(0.1, 1, &f64_place())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("projection.1.weight") && error.contains("cell 0 of a"),
        "{error}"
    );
    config(&twice).init(0.05, 1, &f64_place()).unwrap();
    // 1 µF/cm² and steps of 0.01 ms: at most about 50 mS/cm².
    let cells = PASSIVE.replace("\"lif\"", "\"hodgkin-huxley\"").replace(
        "parameters = { time_constant = 10.0, threshold = 1000.0 }",
        "",
    );
    let text = |g: f64| {
        format!(
            "{cells}\n[[projection]]\nfrom = \"a\"\nto = \"a\"\ngap = \"symmetric\"\nweight = {g}"
        )
    };
    for place in [f64_place(), f32_places().remove(0).1] {
        config(&text(49.0)).init(0.01, 1, &place).unwrap();
        assert!(config(&text(52.0)).init(0.01, 1, &place).is_err());
    }
}

#[test]
fn what_no_gap_junction_has_is_refused_by_its_place() {
    for (projection, said) in [
        (
            "delay = 1.0",
            "projection.0.delay = this is not allowed: unset beside gap: a gap junction has no delay",
        ),
        ("velocity = 1.0", "projection.0.velocity"),
        (
            "kinetics = { exponential = { time_constant = 1.0 } }",
            "projection.0.kinetics",
        ),
        ("effect = \"current\"", "projection.0.effect"),
        ("autapses = true", "projection.0.autapses"),
        ("multapses = true", "projection.0.multapses"),
        (
            "plasticity = { rules = [{ kind = \"pair-stdp\" }] }",
            "projection.0.plasticity",
        ),
        ("short_term = { release = 0.5 }", "projection.0.short_term"),
    ] {
        let text = joined(
            "",
            &format!("gap = \"symmetric\"\nweight = 0.1\n{projection}"),
        );
        let error = config(&text)
            .init(0.1, 1, &f64_place())
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{projection}: {error}");
    }
    let refused = |text: &str| {
        config(text)
            .init(0.1, 1, &f64_place())
            .unwrap_err()
            .to_string()
    };
    let error = refused(&joined("", "gap = \"symmetric\"\nweight = -0.1"));
    assert!(error.contains("projection.0.weight = -0.1"), "{error}");
    let error = refused(&joined(
        "",
        "gap = \"symmetric\"\nrule = { kind = \"matrix\", weights = [[0.0, 0.3], [0.2, 0.0]] }",
    ));
    assert!(
        error.contains("two conductances of the pair of cells 0 and 1"),
        "{error}"
    );
    let other = |cell: &str, [from, to]: [&str; 2]| {
        refused(&format!(
            "{PASSIVE}\n[[population]]\nname = \"b\"\nsize = 2\n{cell}\n[[projection]]\nfrom = {from}\nto = {to}\n\
             gap = \"symmetric\"\nweight = 0.1"
        ))
    };
    let pair = ["\"a\"", "\"b\""];
    for (cell, said) in [
        (
            "cell = \"rate\"",
            "projection.0.to = \"b\" is not allowed: a population of neurons",
        ),
        (
            "cell = \"poisson\"\nparameters = { rate = 1.0 }",
            "projection.0.to = \"b\"",
        ),
        (
            "cell = \"qif\"",
            "projection.0.gap = between potentials in mV and in 1",
        ),
    ] {
        let error = other(cell, pair);
        assert!(error.contains(said), "{cell}: {error}");
    }
    let all = "[\"a\", \"b\"]";
    let error = other("cell = \"lif\"", [all, all]);
    assert!(error.contains("each pair of populations once"), "{error}");
    for gap in ["symmetric", "rectifying"] {
        let error = refused(&joined(
            "",
            &format!(
                "gap = \"{gap}\"\nweight = 0.1\nrule = {{ kind = \"list\", pre = [0, 0], post = [1, 1] }}"
            ),
        ));
        assert!(
            error.contains("projection.0.rule = cell 0 to cell 1 twice"),
            "{error}"
        );
    }
    let text = joined("", "gap = \"both\"\nweight = 0.1");
    assert!(toml::from_str::<CircuitConfig>(&text).is_err());
}
