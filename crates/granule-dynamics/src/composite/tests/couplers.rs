//! Each conversion with each projection against calculations by hand.

use super::*;

/// A receiver that shows what arrives: a linear system without leak and with B = 1/dt adds the input of each step to x.
const RECEIVER: &str = r#"{"name": "to", "solver": "euler", "system": {"kind": "linear", "a": [[0.0]], "b": [[1.0]]}}"#;

/// What arrived in each step.
fn arrived(x: &[f64]) -> Vec<f64> {
    x.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A cell that fires at 10 ln(7/2) ms and every 5 + 10 ln(7/2) ms from then on, in steps of 0.1 ms.
fn firing(coupler: &str, duration: f64) -> Vec<f64> {
    let text = format!(
        r#"{{"dt": 1.0, "level": [
            {{"name": "from", "dt": 0.1, "unit": {{"model": "lif", "current": 14.0}}}}, {RECEIVER}
        ], "coupler": [{{"from": "from.spike", "to": "to", {coupler}}}], "observe": ["to.x"]}}"#
    );
    let model = config(&text).init(&f64_place()).unwrap();
    let dynamics = model.dynamics().unwrap();
    let start = model.initial_state(1).unwrap();
    let grid = Grid::over(duration, 1.0).unwrap();
    let (seen, _) = record(&dynamics, start, &NoInput, &grid).unwrap();
    arrived(&host(seen).unwrap())
}

#[test]
fn every_spike_arrives_whichever_substep_it_is_in() {
    let coupler = r#""conversion": {"kind": "spike-to-rate", "reference": 50.0}"#;
    let seen = firing(coupler, 60.0);
    let first = 10.0 * 3.5_f64.ln();
    let mut expected = vec![0.0; 60];
    for spike in [first, 2.0 * first + 5.0, 3.0 * first + 10.0] {
        // One spike in 1 ms is 1000 Hz, twenty times the reference; the receiver hears of it in the next step.
        expected[spike as usize + 1] = 20.0;
    }
    assert_eq!(expected.iter().filter(|x| **x > 0.0).count(), 3);
    for (found, expected) in seen.iter().zip(expected) {
        assert_close(*found, expected, 1e-12);
    }
}
