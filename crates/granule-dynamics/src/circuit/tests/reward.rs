//! Plasticity that a reward turns into changes.

use super::*;

/// A spike at 10 ms into a cell that another one makes fire at 20 ms, and what rewards.
fn pair(rule: &str, reward: &str) -> String {
    format!(
        r#"
        [[population]]
        name = "pre"
        size = 2
        cell = "spikes"
        train = {{ times = [10.0], cells = [0] }}
        [[population]]
        name = "drive"
        size = 1
        cell = "spikes"
        train = {{ times = [20.0], cells = [0] }}
        [[population]]
        name = "post"
        size = 1
        cell = "lif"
        {reward}
        [[projection]]
        from = "drive"
        to = "post"
        weight = 20.0
        [[projection]]
        name = "learning"
        from = "pre"
        to = "post"
        weight = 0.5
        reward = "reward"
        kinetics = {{ exponential = {{ time_constant = 1.0 }} }}
        plasticity = {{ rules = [{{ kind = "reward-stdp", potentiation = 1e-4{rule} }}] }}
        "#
    )
}

/// Of `cells`, of which one spikes at these times.
fn pulses(times: &[f64], cells: usize) -> String {
    format!(
        "[[population]]\nname = \"reward\"\nsize = {cells}\ncell = \"spikes\"\n\
         train = {{ times = {times:?}, cells = {:?} }}",
        vec![0; times.len()]
    )
}

fn change(text: &str, duration: f64, place: &Place) -> Vec<f64> {
    let weights = course(text, "learning.weights", (0.5, duration), place);
    let end = weights.last().unwrap();
    end.iter().map(|w| w - 0.5).collect()
}

/// e jumps by A₊ e^(−10/20) at the pair and d by 1 at the reward; both decay, with κ = 1/τ_e + 1/τ_d together.
#[test]
fn one_pair_and_one_reward_have_their_closed_form() {
    let kappa = 1.0 / 1000.0 + 1.0 / 200.0;
    let jump = 1e-4 * (-0.5_f64).exp();
    for (name, place) in f64_places() {
        // The spikes of 10 and 20 ms arrive a step later, and the pair is at the end of that: 99 ms before the reward.
        let text = pair("", &pulses(&[120.0], 1));
        let exact = jump * (-0.099_f64).exp() * (1.0 - f64::exp(-400.5 * kappa)) / kappa;
        let found = change(&text, 520.0 + 0.5, &place);
        assert!(
            (found[0] - exact).abs() < 1e-14 + 1e-9 * exact,
            "{name} {found:?} {exact}"
        );
        // The weight of the cell that was silent stays.
        assert_eq!(found[1], 0.0, "{name}");
    }
    let place = f64_place();
    // A reward before the pair counts for what is left of it, and one of two cells for a half.
    let text = pair("", &pulses(&[5.0], 2));
    let exact = 0.5 * jump * (-16.0_f64 / 200.0).exp() / kappa;
    assert_close(change(&text, 4000.0, &place)[0] / exact, 1.0, 1e-6);
    // A reward below the baseline takes away what it would have given.
    let text = pair(", baseline = 0.01", &pulses(&[], 1));
    let exact = -0.01 * jump * 1000.0 * (1.0 - (-0.4995_f64).exp());
    assert_close(change(&text, 520.0 + 0.5, &place)[0] / exact, 1.0, 1e-9);
    // A rate rewards by its integral: τ_d r once it is in balance.
    let rate = "[[population]]\nname = \"reward\"\nsize = 3\ncell = \"rate\"\ntransfer = \"linear\"\ncurrent = 2e-3\n\
                initial = { x = 2e-3 }";
    let text = pair(", reward_time_constant = 1e-3", rate);
    let found = change(&text, 520.0 + 0.5, &place)[0];
    let steady = pair(", reward_time_constant = 1.0", rate);
    let steady = change(&steady, 520.0 + 0.5, &place)[0];
    // In steps of 0.5 ms d is 2e-3·0.5 after each, and e^(−0.5/τ_d) of it decays at once or not.
    assert!(found.abs() < 3e-3 * steady.abs(), "{found} {steady}");
    let [left, left_of_e] = [(-0.5_f64).exp(), (-0.5 / 1000.0_f64).exp()];
    let kappa = 1.0 + 1e-3;
    let of_step = 1e-3 / (1.0 - left) * (1.0 - left * left_of_e) / kappa;
    let exact = jump * of_step * (1.0 - (-0.4995_f64).exp()) / (1.0 - left_of_e);
    assert_close(steady / exact, 1.0, 1e-6);
}

#[test]
fn without_a_reward_weights_stay() {
    let found = change(&pair("", &pulses(&[], 1)), 500.0, &f64_place());
    assert_eq!(found, [0.0, 0.0]);
    // But the pair is remembered.
    let text = pair("", &pulses(&[], 1));
    let e = course(
        &text,
        "learning.reward-stdp.eligibility",
        (0.5, 500.0),
        &f64_place(),
    );
    let exact = 1e-4 * (-0.5_f64 - 0.479).exp();
    assert_close(e.last().unwrap()[0] / exact, 1.0, 1e-9);
}

/// Fifty inputs drive a cell; another one fires where it fires soon after a spike of the first input, and rewards half a second later
/// (Izhikevich 2007).
#[test]
fn the_rewarded_synapse_outgrows_the_others() {
    let text = r#"
        [[population]]
        name = "inputs"
        size = 50
        cell = "poisson"
        parameters = { rate = 5.0 }
        [[population]]
        name = "cell"
        size = 1
        cell = "lif"
        parameters = { time_constant = 20.0, threshold = 10.0 }
        [[population]]
        name = "coincidence"
        size = 1
        cell = "lif"
        parameters = { time_constant = 10.0, threshold = 10.0 }
        [[population]]
        name = "reward"
        size = 1
        cell = "lif"
        parameters = { threshold = 10.0 }
        [[projection]]
        name = "learning"
        from = "inputs"
        to = "cell"
        weight = 1.5
        reward = "reward"
        [projection.plasticity]
        rules = [{ kind = "reward-stdp", potentiation = 1e-3, depression = 1.5e-3 }]
        limits = { bounds = { kind = "hard", low = 0.0, high = 3.0 } }
        [[projection]]
        from = "inputs"
        to = "coincidence"
        rule = { kind = "list", pre = [0], post = [0] }
        weight = 8.0
        [[projection]]
        from = "cell"
        to = "coincidence"
        weight = 8.0
        [[projection]]
        from = "cell"
        to = "coincidence"
        weight = -24.0
        delay = 2.0
        [[projection]]
        from = "coincidence"
        to = "reward"
        weight = 20.0
        delay = 500.0
    "#;
    for seed in [1, 2, 3] {
        let circuit = config(text).init(1.0, seed, &f64_place()).unwrap();
        let dynamics = circuit.dynamics().unwrap();
        let at = dynamics
            .variables()
            .iter()
            .position(|v| v.name == "learning.weights");
        let initial = circuit.initial_state(1).unwrap();
        let steps = 100_000;
        let grid = Grid::over(steps as f64, 1.0).unwrap();
        let mut last = Vec::new();
        simulate(&dynamics, initial, &NoInput, &grid, |step, _, state| {
            if step == steps {
                last = host(state[at.unwrap()].clone()).unwrap();
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        let others = &mut last[1..];
        others.sort_by(f64::total_cmp);
        assert!(last[0] > 2.0 && last[25] < 1.4, "{seed}: {last:?}");
    }
}

#[test]
fn rewards_that_are_wrong_are_refused_by_their_place() {
    let refused = |text: &str| {
        config(text)
            .init(0.5, 1, &f64_place())
            .unwrap_err()
            .to_string()
    };
    let whole = pair("", &pulses(&[], 1));
    for (from, to, said) in [
        ("reward = \"reward\"", "", "projection.1.reward = nothing"),
        (
            "reward = \"reward\"",
            "reward = \"reword\"",
            "did you mean `reward`?",
        ),
        (
            "kind = \"reward-stdp\"",
            "kind = \"pair-stdp\"",
            "projection.1.reward = this is not allowed",
        ),
        (
            "weight = 20.0",
            "weight = 20.0\nreward = \"reward\"",
            "projection.0.reward = this is not allowed",
        ),
        (
            "potentiation = 1e-4",
            "potentiation = -1.0",
            "reward-stdp.potentiation = -1",
        ),
        (
            "potentiation = 1e-4",
            "reward_time_constant = 0.0",
            "reward-stdp.reward_time_constant = 0",
        ),
    ] {
        assert!(whole.contains(from), "{from}");
        let error = refused(&whole.replacen(from, to, 1));
        assert!(error.contains(said), "{to}: {error}");
    }
}
