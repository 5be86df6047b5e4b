//! The kernel against dense products, against central differences and against the composition.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Tree, composed, tree_solve};
use crate::testing::{assert_close, devices, gpu, scattered, values};

/// Two trees: a branched one of seven nodes, one of which comes before its parent, and a chain of three.
fn forest() -> Tree {
    let parents = [None, Some(6), Some(1), Some(1), Some(3), Some(0), Some(0)];
    let chain = [None, Some(7), Some(8)];
    Tree::new(&[&parents[..], &chain[..]].concat()).unwrap()
}

struct System {
    diagonal: Vec<f64>,
    edges: Vec<f64>,
    rhs: Vec<f64>,
}

const ROWS: usize = 3;

fn system(tree: &Tree) -> System {
    let nodes = tree.len();
    System {
        diagonal: scattered(ROWS * nodes, 1).iter().map(|x| 5.0 + x).collect(),
        edges: scattered(2 * nodes, 2),
        rhs: scattered(ROWS * nodes, 3),
    }
}

fn tensor(values: &[f64], rows: usize, device: &Device, dtype: DType) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [rows, values.len() / rows]);
    Tensor::from_data(data, (device, dtype))
}

#[test]
fn the_solution_times_the_matrix_is_the_right_hand_side() {
    let tree = forest();
    let System {
        diagonal,
        edges,
        rhs,
    } = system(&tree);
    let nodes = tree.len();
    for device in devices() {
        for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-5)] {
            let on = |values: &[f64], rows| tensor(values, rows, &device, dtype);
            let x = tree_solve(on(&diagonal, ROWS), on(&edges, 2), on(&rhs, ROWS), &tree);
            let x = values(x);
            for row in 0..ROWS {
                let at = |node: usize| x[row * nodes + node];
                let mut product: Vec<f64> = (0..nodes)
                    .map(|node| diagonal[row * nodes + node] * at(node))
                    .collect();
                for node in 0..nodes {
                    let parent = tree.parent(node);
                    if parent != node {
                        product[node] += edges[node] * at(parent);
                        product[parent] += edges[nodes + node] * at(node);
                    }
                }
                for node in 0..nodes {
                    let error = product[node] - rhs[row * nodes + node];
                    assert!(error.abs() < tolerance, "row {row}, node {node}: {error}");
                }
            }
        }
    }
}

#[test]
fn gradients_agree_with_central_differences_and_the_composition() {
    let tree = forest();
    for device in devices() {
        let of = |system: &System,
                  solve: fn(Tensor<2>, Tensor<2>, Tensor<2>, &Tree) -> Tensor<2>| {
            let device = device.clone().autodiff();
            let on =
                |values: &[f64], rows| tensor(values, rows, &device, DType::F64).require_grad();
            let inputs = [
                on(&system.diagonal, ROWS),
                on(&system.edges, 2),
                on(&system.rhs, ROWS),
            ];
            let [diagonal, edges, rhs] = inputs.clone();
            let loss = solve(diagonal, edges, rhs, &tree).sin().sum();
            let value = loss.clone().into_scalar::<f64>();
            let gradients = loss.backward();
            (value, inputs.map(|x| values(x.grad(&gradients).unwrap())))
        };
        let (_, ours) = of(&system(&tree), tree_solve);
        let (_, theirs) = of(&system(&tree), composed);
        for (which, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
                assert!((a - b).abs() < 1e-14, "{which}, {at}: {a} {b}");
                let moved = |h: f64| {
                    let mut system = system(&tree);
                    let values = [&mut system.diagonal, &mut system.edges, &mut system.rhs];
                    for (input, values) in values.into_iter().enumerate() {
                        if input == which {
                            values[at] += h;
                        }
                    }
                    of(&system, tree_solve).0
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (a - difference).abs() < 1e-9,
                    "{which}, {at}: {a} {difference}"
                );
            }
        }
    }
}

#[test]
fn many_rows_are_the_rows_one_by_one() {
    let tree = forest();
    let nodes = tree.len();
    let rows = 5000;
    let diagonal: Vec<f64> = scattered(rows * nodes, 4).iter().map(|x| 5.0 + x).collect();
    let edges = scattered(2 * nodes, 5);
    let rhs = scattered(rows * nodes, 6);
    for device in devices() {
        let on = |values: &[f64], rows| tensor(values, rows, &device, DType::F32);
        let all = values(tree_solve(
            on(&diagonal, rows),
            on(&edges, 2),
            on(&rhs, rows),
            &tree,
        ));
        for row in [0, 818, 819, 4999] {
            let part = row * nodes..(row + 1) * nodes;
            let diagonal = on(&diagonal[part.clone()], 1);
            let one = tree_solve(diagonal, on(&edges, 2), on(&rhs[part.clone()], 1), &tree);
            assert_eq!(values(one), all[part]);
        }
    }
}

/// One row and one node, an odd number of rows, and several workgroups of rows and of nodes.
#[test]
fn a_gpu_solves_as_the_composed_form() {
    let Some(gpu) = gpu().map(Device::autodiff) else {
        return;
    };
    let chain: Vec<_> = (0..401usize).map(|node| node.checked_sub(1)).collect();
    let trees = [
        (Tree::new(&[None]).unwrap(), 1),
        (forest(), 3),
        (forest(), 301),
        (Tree::new(&chain).unwrap(), 2),
    ];
    for (tree, rows) in trees {
        let nodes = tree.len();
        let diagonal: Vec<f64> = scattered(rows * nodes, 7).iter().map(|x| 5.0 + x).collect();
        let (edges, rhs) = (scattered(2 * nodes, 8), scattered(rows * nodes, 9));
        let run =
            |device: &Device,
             dtype: DType,
             solve: fn(Tensor<2>, Tensor<2>, Tensor<2>, &Tree) -> Tensor<2>| {
                let on = |values: &[f64], rows| tensor(values, rows, device, dtype).require_grad();
                let inputs = [on(&diagonal, rows), on(&edges, 2), on(&rhs, rows)];
                let [diagonal, edges, rhs] = inputs.clone();
                let x = solve(diagonal, edges, rhs, &tree);
                let gradients = x.clone().sin().sum().backward();
                // The edges of a node alone have none.
                let by = |input: Tensor<2>| match input.grad(&gradients) {
                    Some(by) => values(by),
                    None => vec![0.0; input.shape().num_elements()],
                };
                (values(x), inputs.map(by))
            };
        let (x, by) = run(&gpu, DType::F32, tree_solve);
        let (expected, expected_by) = run(&Device::flex().autodiff(), DType::F64, composed);
        let what = format!("{rows} rows of {nodes} nodes");
        assert_close(&x, &expected, 1e-6, &what);
        for (found, expected) in by.iter().zip(&expected_by) {
            assert_close(found, expected, 1e-5, &what);
        }
    }
    let nothing = Tensor::<2>::zeros([0, 1], &gpu);
    let edges = Tensor::<2>::zeros([2, 1], &gpu);
    let tree = Tree::new(&[None]).unwrap();
    let x = tree_solve(nothing.clone(), edges, nothing, &tree);
    assert_eq!(x.dims(), [0, 1]);
}

#[test]
fn a_child_before_its_parent_is_no_tree() {
    assert_eq!(Tree::new(&[None, Some(1)]), None);
    assert_eq!(Tree::new(&[None, Some(2), Some(1)]), None);
    assert_eq!(Tree::new(&[None, Some(2)]), None);
    assert!(Tree::new(&[Some(1), None]).is_some());
    assert!(Tree::new(&[]).unwrap().is_empty());
}

#[cfg(feature = "capture")]
#[test]
fn a_recorded_step_has_the_same_solution() {
    use crate::script::{Recorded, Run, record};
    use std::sync::Arc;

    let tree = forest();
    let System {
        diagonal,
        edges,
        rhs,
    } = system(&tree);
    let nodes = tree.len();
    let step = |x: &Tensor<2>, device: &Device| {
        let diagonal = tensor(&diagonal, ROWS, device, DType::F64) + x.clone().abs();
        let edges = tensor(&edges, 2, device, DType::F64);
        tree_solve(diagonal, edges, x.clone() + 1.0, &tree)
    };
    let script = record(
        (&Device::flex(), DType::F64),
        &[[ROWS, nodes]],
        &[],
        |_, device, x, _| {
            Ok::<_, ()>(Recorded {
                next: vec![step(&x[0], device)],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    let mut run = Run::new(Arc::new(script.unwrap()), std::slice::from_ref(&rhs)).unwrap();
    run.steps(3, &[], &[]).unwrap();
    let device = Device::flex();
    let first = tensor(&rhs, ROWS, &device, DType::F64);
    let x = values((0..3).fold(first, |x, _| step(&x, &device)));
    assert_eq!(run.state()[0], x);
}
