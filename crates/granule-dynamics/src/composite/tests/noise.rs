//! Levels with noise have it, or say that they do not.

use super::*;

/// The last state of one level by itself.
fn last(level: &str, seed: u64) -> Result<Vec<f64>, String> {
    let text = format!(r#"{{"dt": 0.5, "seed": {seed}, "level": [{{"name": "one", {level}}}]}}"#);
    let model = config(&text)
        .init(&f64_place())
        .map_err(|e| e.to_string())?;
    let dynamics = model.dynamics().unwrap();
    let start = model.initial_state(1).unwrap();
    let (_, last) = record(&dynamics, start, &NoInput, &grid(20)).unwrap();
    Ok(host(last[0].clone()).unwrap())
}

#[test]
fn a_level_with_noise_draws_it_and_no_solver_leaves_it_out() {
    let system = r#""system": {"kind": "wong-wang"}"#;
    let quiet = r#""system": {"kind": "wong-wang", "noise": 0}"#;
    let population = r#""population": {"units": 3, "private_noise": 0.3}"#;
    for noisy in [system, population] {
        assert_ne!(last(noisy, 1).unwrap(), last(quiet, 1).unwrap());
        assert_eq!(last(noisy, 1).unwrap(), last(noisy, 1).unwrap());
        assert_ne!(last(noisy, 1).unwrap(), last(noisy, 2).unwrap());
        for solver in ["euler-maruyama", "stochastic-heun"] {
            let asked = format!(r#"{noisy}, "solver": "{solver}""#);
            assert_ne!(last(&asked, 1).unwrap(), last(&asked, 2).unwrap());
        }
        let error = last(&format!(r#"{noisy}, "solver": "rk4""#), 1).unwrap_err();
        assert!(error.starts_with("level.one.solver = rk4"), "{error}");
        assert!(error.contains("stochastic-heun"), "{error}");
    }
    assert_eq!(last(quiet, 1).unwrap(), last(quiet, 2).unwrap());
    let error = last(&format!(r#"{system}, "solver": "euler""#), 1).unwrap_err();
    assert!(error.contains("wong-wang has noise"), "{error}");
    // The weights of a population depend on the seed, so that noise shows in the steps alone: Euler's draw it.
    let euler = format!(r#"{population}, "solver": "euler""#);
    assert_eq!(last(&euler, 1).unwrap(), last(population, 1).unwrap());
    let silent = r#""solver": "euler", "population": {"units": 3}"#;
    assert_eq!(last(silent, 1).unwrap(), [0.0; 3]);
    assert_ne!(last(&euler, 1).unwrap(), [0.0; 3]);
    let own = r#""population": {"units": 3, "private_noise": 0.3, "solver": "rk4"}"#;
    let error = last(own, 1).unwrap_err();
    assert!(error.starts_with("level.one.population.solver"), "{error}");
    assert!(error.contains("private_noise is 0.3"), "{error}");
    let shared = r#""population": {"units": 3, "shared_noise": 0.3}, "solver": "stochastic-heun""#;
    let error = last(shared, 1).unwrap_err();
    assert!(error.contains("euler, for shared_noise is 0.3"), "{error}");
}
