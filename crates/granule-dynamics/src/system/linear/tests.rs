use super::*;
use crate::host;
use crate::model::ConstantInput;
use crate::system::testing::{agrees_on_every_device, every_gradient_agrees, trace};
use crate::testing::{assert_close, f64_place, f64_places};

fn example() -> LinearSystemConfig {
    LinearSystemConfig {
        a: vec![
            vec![-0.1, -1.0, 0.2],
            vec![1.0, -0.2, 0.0],
            vec![0.05, 0.3, -0.4],
        ],
        b: vec![vec![1.0, 0.0], vec![0.0, 0.5], vec![0.3, -0.2]],
        c: vec![vec![0.1], vec![0.2], vec![0.3]],
        initial: vec![1.0, -0.5, 0.25].into(),
        trainable: LinearSystemConfig::PARAMETERS
            .iter()
            .map(|x| (*x).into())
            .collect(),
    }
}

const INPUT: [f64; 3] = [0.3, -0.7, 1.5];

#[test]
fn it_follows_the_matrix_exponential() {
    // The first three entries of exp(3·[[A, BY + CU], [0, 0]])·(x₀, 1).
    let expected = [-0.05378636782686, 1.46846698281098, 1.9241669905389];
    for (_, place) in f64_places() {
        let input = ConstantInput(place.tensor(INPUT.to_vec(), [1, 3]));
        let (seen, _) = trace(&example().init(&place).unwrap(), &input, 0.01, 300);
        for (found, expected) in seen[300].iter().zip(expected) {
            assert_close(*found, expected, 1e-9);
        }
    }
}

#[test]
fn the_linear_form_is_the_derivative() {
    let place = f64_place();
    let model = example().init(&place).unwrap();
    let (field, state) = (model.field().unwrap(), model.initial_state(2).unwrap());
    let input = place.tensor(INPUT.to_vec(), [1, 3]);
    let slope = host(field.derivative(0.0, &state, Some(&input))[0].clone()).unwrap();
    let form = field.linear(0, 0.0, &state, Some(&input)).remove(0);
    assert_eq!(host(form.decay.clone()).unwrap(), [0.1, 0.2, 0.4]);
    let rebuilt = form.drive - state[0].clone() * form.decay;
    for (found, expected) in host(rebuilt).unwrap().into_iter().zip(slope) {
        assert_close(found, expected, 1e-14);
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    every_gradient_agrees(|place| example().init(place).unwrap(), &INPUT, 0.1, 20);
}

#[test]
fn single_precision_follows_on_every_device() {
    agrees_on_every_device(
        |place| example().init(place).unwrap(),
        &INPUT,
        0.1,
        10,
        1e-5,
    );
}

#[test]
fn matrices_that_do_not_fit_are_named() {
    let refused = |config: LinearSystemConfig| config.validate().unwrap_err().to_string();
    let error = refused(LinearSystemConfig {
        a: vec![vec![1.0, 2.0]],
        ..example()
    });
    assert!(error.starts_with("a = 1 row of 2 values"), "{error}");
    let error = refused(LinearSystemConfig {
        b: vec![vec![1.0]; 2],
        ..example()
    });
    assert!(error.starts_with("b = 2 rows"), "{error}");
    let mut config = example();
    config.c[1][0] = f64::NAN;
    assert!(refused(config).starts_with("c[1][0] = NaN"));
    assert!(
        refused(LinearSystemConfig {
            a: vec![],
            ..example()
        })
        .starts_with("a = []")
    );
}

#[test]
fn an_input_that_does_not_fit_is_an_error() {
    use crate::model::{Clock, Dynamics, Model};
    use crate::solver::Rk4;
    use crate::system::Integrated;
    let place = f64_place();
    let model = Integrated::new(example().init(&place).unwrap(), Rk4);
    let state = model.initial_state(2).unwrap();
    let at = Clock {
        step: 0,
        time: 0.0,
        dt: 0.1,
    };
    for shape in [[1, 2], [3, 3]] {
        let input: Tensor<2> = place.full(1.0, shape);
        let error = model
            .dynamics()
            .unwrap()
            .step(at, &state, Some(&input))
            .unwrap_err();
        assert!(matches!(error, DynamicsError::Shape { .. }), "{error}");
    }
}
