//! The way back of every operation, against Burn's tape and against differences.

use burn::tensor::activation::{log_sigmoid, relu};
use burn::tensor::{IndexingUpdateOp, Int};

use super::*;
use crate::script::{Slopes, plain, record_once, taped};
use crate::{Connections, Transfer, Tree, firing_rate, sparse_product, tree_solve};

type Function<'a> = dyn Fn(&[Tensor<2>]) -> Tensor<2> + 'a;
type One = fn(Tensor<2>) -> Tensor<2>;
type Two = fn(Tensor<2>, Tensor<2>) -> Tensor<2>;
type Boxed = Box<dyn Fn(Tensor<2>) -> Tensor<2>>;

const PRECISIONS: [(DType, f64); 2] = [(DType::F64, 1e-12), (DType::F32, 1e-5)];

fn host(x: Tensor<2>) -> Vec<f64> {
    x.try_into_vec_as::<f64>().unwrap()
}

/// Numbers in a precision.
fn rounded(values: Vec<f64>, dtype: DType) -> Vec<f64> {
    let round = |x: f64| match dtype {
        DType::F32 => f64::from(x as f32),
        _ => x,
    };
    values.into_iter().map(round).collect()
}

/// One step back from zeros: the gradients of `Σ slope · f(x)`.
fn back(f: &Function<'_>, x: &[Vec<f64>], shapes: &[[usize; 2]], dtype: DType) -> Vec<Vec<f64>> {
    let slopes = slopes(f, shapes, dtype);
    let given: Vec<[usize; 2]> = shapes.iter().copied().chain([slopes.1]).collect();
    let script = record_once(dtype, shapes, &given, |_, sums, given| {
        let (slope, x) = given.split_last().unwrap();
        let leaves = x.iter().cloned().map(|x| taped(x).require_grad());
        let leaves: Vec<Tensor<2>> = leaves.collect();
        let total = (f(&leaves) * taped(slope.clone())).sum();
        let mut gradients = Slopes::of(total).unwrap();
        let next = leaves.iter().zip(sums).map(|(leaf, sum)| {
            let own = gradients.take(leaf);
            own.map_or(sum.clone(), |own| sum.clone() + own)
        });
        Ok::<_, ()>(Recorded {
            next: next.collect(),
            seen: Vec::new(),
            given: Vec::new(),
        })
    });
    let script = Arc::new(script.unwrap());
    let zeros: Vec<Vec<f64>> = x.iter().map(|x| vec![0.0; x.len()]).collect();
    let mut run = Run::new(script, &zeros).unwrap();
    let given: Vec<Vec<f64>> = x.iter().cloned().chain([slopes.0]).collect();
    run.steps(1, &given, &[]).unwrap();
    run.state()
}

/// The slope of a loss in what `f` gives, and its shape.
fn slopes(f: &Function<'_>, shapes: &[[usize; 2]], dtype: DType) -> (Vec<f64>, [usize; 2]) {
    let place = (&Device::flex(), dtype);
    let zeros = shapes
        .iter()
        .map(|[b, w]| tensor(vec![0.5; b * w], [*b, *w], place));
    let shape = f(&zeros.collect::<Vec<_>>()).dims();
    (rounded(numbers(shape[0] * shape[1], 91), dtype), shape)
}

fn tensors(x: &[Vec<f64>], shapes: &[[usize; 2]], place: (&Device, DType)) -> Vec<Tensor<2>> {
    let pairs = x.iter().zip(shapes);
    pairs
        .map(|(x, shape)| tensor(x.clone(), *shape, place))
        .collect()
}

#[track_caller]
fn assert_all_close(found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (operand, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len());
        for (index, (x, y)) in found.iter().zip(expected).enumerate() {
            let off = (x - y).abs();
            assert!(
                off <= tolerance * (1.0 + y.abs()),
                "{what}: {x} is not {y}, element {index} of operand {operand}"
            );
        }
    }
}

/// The way back against Burn's tape.
#[track_caller]
fn as_on_the_tape(f: &Function<'_>, x: &[Vec<f64>], shapes: &[[usize; 2]], what: &str) {
    for (dtype, tolerance) in PRECISIONS {
        let x: Vec<Vec<f64>> = x.iter().map(|x| rounded(x.clone(), dtype)).collect();
        let found = back(f, &x, shapes, dtype);
        let place = (&Device::flex().autodiff(), dtype);
        let leaves = tensors(&x, shapes, place).into_iter();
        let leaves: Vec<Tensor<2>> = leaves.map(Tensor::require_grad).collect();
        let (slope, shape) = slopes(f, shapes, dtype);
        let mut gradients = (f(&leaves) * tensor(slope, shape, place)).sum().backward();
        let expected = leaves.iter().map(|leaf| {
            let own = leaf.grad_remove(&mut gradients);
            own.map_or_else(|| vec![0.0; leaf.shape().num_elements()], host)
        });
        let expected: Vec<Vec<f64>> = expected.collect();
        assert_all_close(&found, &expected, tolerance, &format!("{what} {dtype:?}"));
    }
}

/// The same, and against central differences.
#[track_caller]
fn agrees(what: &str, shapes: &[[usize; 2]], f: &Function<'_>) {
    let x: Vec<Vec<f64>> = shapes
        .iter()
        .enumerate()
        .map(|(i, [b, w])| numbers(b * w, 3 * i + 1))
        .collect();
    as_on_the_tape(f, &x, shapes, what);
    let place = (&Device::flex(), DType::F64);
    let (slope, _) = slopes(f, shapes, DType::F64);
    let loss = |x: &[Vec<f64>]| -> f64 {
        let y = host(f(&tensors(x, shapes, place)));
        y.iter().zip(&slope).map(|(y, slope)| y * slope).sum()
    };
    let h = 1e-6;
    let mut expected: Vec<Vec<f64>> = Vec::new();
    for (operand, own) in x.iter().enumerate() {
        let differences = (0..own.len()).map(|index| {
            let at = |by: f64| {
                let mut moved = x.clone();
                moved[operand][index] += by;
                loss(&moved)
            };
            (at(h) - at(-h)) / (2.0 * h)
        });
        expected.push(differences.collect());
    }
    let found = back(f, &x, shapes, DType::F64);
    assert_all_close(&found, &expected, 1e-7, what);
}

#[test]
fn functions_of_one_element() {
    let positive = |x: &Tensor<2>| x.clone().abs() + 0.2;
    let own: [(&str, Boxed); 19] = [
        ("neg", Box::new(|x| -x)),
        ("abs", Box::new(|x| x.abs())),
        ("recip", Box::new(move |x| positive(&x).recip())),
        ("exp", Box::new(|x| x.exp())),
        ("log", Box::new(move |x| positive(&x).log())),
        ("log1p", Box::new(move |x| positive(&x).log1p())),
        ("sqrt", Box::new(move |x| positive(&x).sqrt())),
        ("tanh", Box::new(|x| x.tanh())),
        ("sine", Box::new(|x| (x * 3.0).sin())),
        ("cosine", Box::new(|x| (x * 3.0).cos())),
        ("power", Box::new(move |x| positive(&x).powf_scalar(1.7))),
        ("square", Box::new(|x| x.powi_scalar(2))),
        ("cube", Box::new(|x| x.powf_scalar(3.0))),
        ("relu", Box::new(relu)),
        ("log sigmoid", Box::new(|x| log_sigmoid(x * 3.0))),
        ("clamp", Box::new(|x| (x * 2.0).clamp(-0.71, 0.83))),
        ("clamp below", Box::new(|x| x.clamp_min(-0.317))),
        ("clamp above", Box::new(|x| x.clamp_max(0.417))),
        ("linear", Box::new(|x| (x - 0.5) * 3.0 / 7.0)),
    ];
    for (name, f) in own {
        for shape in [[1, 1], [1, 7], [3, 5]] {
            agrees(name, &[shape], &|x| f(x[0].clone()));
        }
    }
    let steps: [(&str, One); 4] = [
        ("floor", |x| (x.clone() * 4.0).floor() + x),
        ("ceil", |x| (x.clone() * 4.0).ceil() + x),
        ("round", |x| (x.clone() * 4.0).round() + x),
        ("sign", |x| (x.clone() - 0.113).sign() + x),
    ];
    for (name, f) in steps {
        agrees(name, &[[2, 5]], &|x| f(x[0].clone()));
    }
}

#[test]
fn transfer_functions() {
    for transfer in [
        Transfer::Tanh,
        Transfer::Relu,
        Transfer::Softplus,
        Transfer::Sigmoid,
        Transfer::PowerLaw {
            gain: 0.3,
            exponent: 2.2,
        },
    ] {
        agrees(&format!("{transfer:?}"), &[[2, 9]], &|x| {
            firing_rate(x[0].clone() * 3.0, transfer)
        });
    }
}

#[test]
fn functions_of_two_elements_and_what_is_broadcast() {
    let own: [(&str, Two); 8] = [
        ("add", |x, y| x + y),
        ("subtract", |x, y| x - y),
        ("multiply", |x, y| x * y),
        ("divide", |x, y| x / (y.abs() + 0.3)),
        ("power", |x, y| (x.abs() + 0.2).powf(y)),
        ("least", |x, y| x.min_pair(y * 1.1)),
        ("greatest", |x, y| x.max_pair(y * 1.1)),
        ("expanded", |x, y| {
            let shape = [x.dims()[0].max(y.dims()[0]), x.dims()[1].max(y.dims()[1])];
            x.expand(shape) * y.expand(shape).exp()
        }),
    ];
    for (name, f) in own {
        for shapes in [
            [[1, 1], [1, 1]],
            [[1, 6], [1, 6]],
            [[3, 4], [3, 4]],
            [[3, 4], [1, 4]],
            [[3, 1], [3, 4]],
            [[1, 1], [3, 4]],
            [[3, 1], [1, 4]],
        ] {
            agrees(name, &shapes, &|x| f(x[0].clone(), x[1].clone()));
        }
    }
}

#[test]
fn what_is_chosen() {
    let shapes = [[3, 4], [1, 4], [3, 4]];
    agrees("mask where", &shapes, &|x| {
        let mask = x[2].clone().greater(x[1].clone().expand([3, 4]) * 0.9);
        let quiet = mask
            .clone()
            .bool_not()
            .bool_or(x[2].clone().lower_elem(0.2));
        let chosen = (x[0].clone() * 2.0).mask_where(mask, x[1].clone().exp().expand([3, 4]));
        chosen + x[2].clone().mask_fill(quiet, 0.4).tanh()
    });
    // What is let through by a comparison has no slope of the comparison's own.
    agrees("gate", &shapes, &|x| {
        let open = x[2].clone().greater_equal_elem(0.1).float();
        x[0].clone() * open.cast(x[0].dtype()) + x[1].clone()
    });
}

/// Where a function has two slopes the way back takes that of the tape.
#[test]
fn kinks_have_the_slope_of_the_tape() {
    let x = vec![-1.0, -0.5, 0.0, 0.5, 1.0, 0.0];
    let y = vec![-1.0, 0.5, 0.0, -0.5, 1.0, -0.0];
    let shapes = [[2, 3]; 2];
    let own: [(&str, Two); 9] = [
        ("abs", |x, y| x.abs() + y),
        ("relu", |x, y| relu(x) * y),
        ("sign", |x, y| x.sign() * y),
        ("clamp", |x, y| x.clamp(-0.5, 0.5) * y),
        ("clamp below", |x, y| x.clamp_min(-0.5) * y),
        ("clamp above", |x, y| x.clamp_max(0.5) * y),
        ("least", |x, y| x.min_pair(y)),
        ("greatest", |x, y| x.max_pair(y)),
        ("power", |x, y| relu(x).powf_scalar(2.5) * y),
    ];
    for (name, f) in own {
        let f: &Function<'_> = &|x: &[Tensor<2>]| f(x[0].clone(), x[1].clone());
        as_on_the_tape(f, &[x.clone(), y.clone()], &shapes, name);
    }
    for transfer in [Transfer::Relu, Transfer::Softplus] {
        let f: &Function<'_> =
            &|x: &[Tensor<2>]| firing_rate(x[0].clone(), transfer) * x[1].clone();
        as_on_the_tape(f, &[x.clone(), y.clone()], &shapes, "transfer");
    }
}

#[test]
fn what_is_detached_is_constant() {
    let shapes = [[2, 5]; 2];
    let f: &Function<'_> = &|x: &[Tensor<2>]| {
        let hard = x[0].clone().greater_elem(0.1).float().cast(x[0].dtype());
        let soft = (x[0].clone() * 4.0).tanh();
        let fixed = plain(x[1].clone());
        hard.detach()
            + (soft.clone() - soft.detach()) * x[1].clone().detach()
            + x[1].clone() * fixed
    };
    let x = [numbers(10, 1), numbers(10, 2)];
    for (dtype, tolerance) in PRECISIONS {
        let x: Vec<Vec<f64>> = x.iter().map(|x| rounded(x.clone(), dtype)).collect();
        let found = back(f, &x, &shapes, dtype);
        let (slope, _) = slopes(f, &shapes, dtype);
        let own = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            let pairs = x[0].iter().zip(&x[1]).zip(&slope);
            pairs.map(|((a, b), slope)| slope * of(*a, *b)).collect()
        };
        let expected = [
            own(&|a, b| 4.0 * (1.0 - (4.0 * a).tanh().powi(2)) * b),
            own(&|_, b| b),
        ];
        assert_all_close(&found, &expected, tolerance, "detached");
    }
}

#[test]
fn shapes_and_sums() {
    let list = |x: &Tensor<2>, list: &[i64]| {
        let data = TensorData::new(list.to_vec(), [list.len()]);
        Tensor::<1, Int>::from_data(data, &x.device().without_autodiff())
    };
    let own: [(&str, Box<Function<'static>>); 16] = [
        ("narrow", Box::new(|x| x[0].clone().narrow(1, 1, 3).exp())),
        ("rows", Box::new(|x| x[0].clone().narrow(0, 1, 2).exp())),
        (
            "stride",
            Box::new(|x| {
                x[0].clone()
                    .slice([0..4, 0..5])
                    .slice_dim(1, burn::tensor::s![0..5;2])
            }),
        ),
        (
            "cat",
            Box::new(|x| Tensor::cat(vec![x[0].clone(), x[1].clone().exp(), x[0].clone()], 1)),
        ),
        (
            "stacked",
            Box::new(|x| Tensor::cat(vec![x[0].clone().exp(), x[1].clone()], 0)),
        ),
        (
            "select",
            Box::new(move |x| x[0].clone().exp().select(1, list(&x[0], &[2, 0, 2, 4, 2]))),
        ),
        (
            "select some",
            Box::new(move |x| x[0].clone().exp().select(1, list(&x[0], &[1, 4]))),
        ),
        (
            "select rows",
            Box::new(move |x| x[0].clone().exp().select(0, list(&x[0], &[3, 3, 0]))),
        ),
        (
            "select assign",
            Box::new(move |x| {
                let indices = list(&x[0], &[2, 0, 2, 1, 2]);
                let sum = x[0].clone().exp();
                sum.select_assign(1, indices, x[1].clone().exp(), IndexingUpdateOp::Add)
            }),
        ),
        ("repeat", Box::new(|x| x[0].clone().exp().repeat_dim(1, 3))),
        (
            "transpose",
            Box::new(|x| x[0].clone().exp().transpose().reshape([2, 10])),
        ),
        (
            "sum over columns",
            Box::new(|x| x[0].clone().sum_dim(1) * x[1].clone()),
        ),
        (
            "sum over rows",
            Box::new(|x| x[0].clone().sum_dim(0) * x[1].clone()),
        ),
        (
            "mean",
            Box::new(|x| x[0].clone().mean_dim(1) * x[1].clone().mean_dim(0)),
        ),
        (
            "sum of all",
            Box::new(|x| x[0].clone().sum().reshape([1, 1]) * x[1].clone()),
        ),
        (
            "mean of all",
            Box::new(|x| x[0].clone().mean().reshape([1, 1]) * x[1].clone()),
        ),
    ];
    for (name, f) in own {
        agrees(name, &[[4, 5]; 2], f.as_ref());
    }
}

#[test]
fn products_by_matrices() {
    for batch in [1, 3] {
        agrees("product", &[[batch, 4], [4, 5]], &|x| {
            x[0].clone().matmul(x[1].clone().tanh())
        });
        let few = |x: &Tensor<2>| {
            let mut values = numbers(4 * 5, 8);
            values
                .iter_mut()
                .enumerate()
                .filter(|(i, _)| i % 4 != 1)
                .for_each(|(_, x)| *x = 0.0);
            tensor(values, [4, 5], (&x.device().without_autodiff(), x.dtype()))
        };
        agrees("sparse matrix", &[[batch, 4]], &|x| {
            x[0].clone().exp().matmul(few(&x[0]))
        });
    }
}

#[test]
fn products_by_lists() {
    let lists = [vec![1, 3], vec![], vec![0, 1, 4], vec![2], vec![4, 0, 3]];
    let connections = Connections::new(5, lists).unwrap();
    for batch in [1, 3] {
        let shapes = [[batch, 5], [1, connections.len()]];
        agrees("list", &shapes, &|x| {
            let weights = x[1].clone().exp();
            sparse_product(x[0].clone().tanh(), weights, &connections)
        });
        agrees("fixed list", &shapes[..1], &|x| {
            let place = (&x[0].device().without_autodiff(), x[0].dtype());
            let weights = tensor(numbers(connections.len(), 6), shapes[1], place);
            sparse_product(x[0].clone().tanh(), weights, &connections)
        });
    }
}

#[test]
fn systems_on_trees() {
    let parents = [None, Some(0), Some(1), Some(1), None, Some(4)];
    let tree = Tree::new(&parents).unwrap();
    for rows in [1, 3] {
        let shapes = [[rows, 6], [2, 6], [rows, 6]];
        agrees("tree", &shapes, &|x| {
            let diagonal = x[0].clone() + 4.0;
            tree_solve(diagonal, x[1].clone(), x[2].clone().exp(), &tree)
        });
    }
}

/// Steps one after the other: the adjoint goes back through all of them, and slopes of parameters add up.
#[test]
fn many_steps_and_any_number_of_threads() {
    let cells = 1500;
    let step = |x: &Tensor<2>, p: &Tensor<2>| {
        let rise = (x.clone() * 2.0).tanh() * p.clone() - x.clone() * 0.3;
        x.clone() + rise * 0.1
    };
    let dtype = DType::F64;
    let script = record_once(
        dtype,
        &[[1, cells]; 2],
        &[[1, cells], [1, cells]],
        |_, now, given| {
            let x = taped(given[0].clone()).require_grad();
            let p = taped(given[1].clone()).require_grad();
            let total = (step(&x, &p) * taped(now[0].clone())).sum();
            let mut gradients = Slopes::of(total).unwrap();
            let own = |x: &Tensor<2>, gradients: &mut Slopes| gradients.take(x).unwrap();
            Ok::<_, ()>(Recorded {
                next: vec![
                    own(&x, &mut gradients),
                    now[1].clone() + own(&p, &mut gradients),
                ],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    let script = Arc::new(script.unwrap());
    assert!(script.is_elementwise(), "{script}");
    let place = (&Device::flex(), dtype);
    let p = numbers(cells, 2);
    let mut x = vec![tensor(numbers(cells, 1), [1, cells], place)];
    let parameter = tensor(p.clone(), [1, cells], place);
    for _ in 0..40 {
        x.push(step(x.last().unwrap(), &parameter));
    }
    x.pop();
    let back: Vec<f64> = x.iter().rev().flat_map(|x| host(x.clone())).collect();
    let ran = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let begin = [vec![1.0; cells], vec![0.0; cells]];
            let mut run = Run::new(Arc::clone(&script), &begin).unwrap();
            run.steps(40, &[back.clone(), p.repeat(40)], &[]).unwrap();
            run.state()
        })
    };
    let one = ran(1);
    assert!(ran(2) == one && ran(7) == one);
    let place = (&Device::flex().autodiff(), dtype);
    let begin = tensor(numbers(cells, 1), [1, cells], place).require_grad();
    let parameter = tensor(p.clone(), [1, cells], place).require_grad();
    let mut end = begin.clone();
    for _ in 0..40 {
        end = step(&end, &parameter);
    }
    let mut gradients = end.sum().backward();
    let expected = [&begin, &parameter].map(|x| host(x.grad_remove(&mut gradients).unwrap()));
    assert_all_close(&one, &expected, 1e-12, "many steps");
}

#[test]
fn what_a_step_does_not_need_is_not_given() {
    let script = record_once(DType::F64, &[[1, 2]], &[[1, 2]; 2], |_, now, given| {
        Ok::<_, ()>(Recorded {
            next: vec![now[0].clone() + given[1].clone()],
            seen: Vec::new(),
            given: Vec::new(),
        })
    });
    let script = Arc::new(script.unwrap());
    assert_eq!(script.needed(), [false, true]);
    let mut run = Run::new(script, &[vec![1.0, 2.0]]).unwrap();
    assert!(run.steps(1, &[vec![0.0; 2], Vec::new()], &[]).is_none());
    run.steps(1, &[Vec::new(), vec![0.5, 0.25]], &[]).unwrap();
    assert_eq!(run.state(), [vec![1.5, 2.25]]);
    run.set(&[vec![3.0, 4.0]]);
    assert_eq!((run.done(), run.state()), (1, vec![vec![3.0, 4.0]]));
}
