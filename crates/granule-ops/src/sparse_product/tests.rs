//! The kernel and the composition against dense products.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Connections, composed, sparse_product};
use crate::testing::{assert_close, devices, gpu, numbers, values};

/// Connections of `rows` cells to `columns`, with their weights and the dense matrix.
fn connected(rows: usize, columns: usize) -> (Connections, Vec<f64>, Vec<f64>) {
    let there = |row: usize, column: usize| (row * 7 + column * 3) % 5 < 2 && row % 4 != 2;
    let lists = (0..rows).map(|row| (0..columns).filter(move |column| there(row, *column)));
    let connections = Connections::new(columns, lists).unwrap();
    let weights = numbers(connections.len(), 5);
    let mut dense = vec![0.0; rows * columns];
    for ((row, column), w) in connections.pairs().zip(&weights) {
        dense[row * columns + column] = *w;
    }
    (connections, weights, dense)
}

fn tensor(values: &[f64], shape: [usize; 2], device: &Device, dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, dtype))
}

/// Mostly 0, as spikes are.
fn spikes(count: usize) -> Vec<f64> {
    let some = numbers(count, 2).into_iter();
    some.map(|x| if x > 0.3 { x } else { 0.0 }).collect()
}

type Product = dyn Fn(Tensor<2>, Tensor<2>, &Connections) -> Tensor<2>;

/// The product and both gradients of a loss in which every element counts differently.
fn all(
    product: &Product,
    (x, weights): (&[f64], &[f64]),
    (batch, connections): (usize, &Connections),
    device: &Device,
    dtype: DType,
) -> [Vec<f64>; 3] {
    let device = device.clone().autodiff();
    let x = tensor(x, [batch, connections.rows()], &device, dtype).require_grad();
    let weights = tensor(weights, [1, connections.len()], &device, dtype).require_grad();
    let out = product(x.clone(), weights.clone(), connections);
    let shape = out.dims();
    let scale = tensor(&numbers(shape[0] * shape[1], 8), shape, &device, dtype);
    let grads = (out.clone() * scale).sum().backward();
    let of = |x: &Tensor<2>| x.grad(&grads).map(values).unwrap_or_default();
    [values(out), of(&x), of(&weights)]
}

#[test]
fn values_and_gradients_are_those_of_the_dense_matrix() {
    for (batch, rows, columns) in [(1, 9, 6), (3, 5, 11), (2, 1, 1), (1, 40, 40)] {
        let (connections, weights, dense) = connected(rows, columns);
        let x = spikes(batch * rows);
        let to_dense = move |x: Tensor<2>, w: Tensor<2>, connections: &Connections| {
            let device = x.device();
            let dtype = x.dtype();
            let mask: Vec<f64> = dense
                .iter()
                .map(|w| f64::from(u8::from(*w != 0.0)))
                .collect();
            let mut place = vec![0_i64; rows * columns];
            for (at, (row, column)) in connections.pairs().enumerate() {
                place[row * columns + column] = at as i64;
            }
            let count = [place.len()];
            let place = Tensor::from_data(
                TensorData::new(place, count),
                &device.clone().without_autodiff(),
            );
            let mask = tensor(&mask, [rows, columns], &device, dtype);
            x.matmul(w.select(1, place).reshape([rows, columns]) * mask)
        };
        if connections.is_empty() {
            continue;
        }
        for device in devices() {
            for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
                let given = (&x[..], &weights[..]);
                let sizes = (batch, &connections);
                let expected = all(&to_dense, given, sizes, &device, dtype);
                for product in [&sparse_product as &Product, &composed] {
                    let found = all(product, given, sizes, &device, dtype);
                    for (found, expected) in found.iter().zip(&expected) {
                        assert_close(
                            found,
                            expected,
                            tolerance,
                            &format!("{batch} {rows} {columns} {dtype:?}"),
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_gpu_composes_the_same() {
    let Some(device) = gpu() else { return };
    let (connections, weights, _) = connected(9, 7);
    let x = spikes(2 * 9);
    let given = (&x[..], &weights[..]);
    let found = all(
        &sparse_product,
        given,
        (2, &connections),
        &device,
        DType::F32,
    );
    let expected = all(
        &sparse_product,
        given,
        (2, &connections),
        &Device::flex(),
        DType::F32,
    );
    for (found, expected) in found.iter().zip(&expected) {
        assert_close(found, expected, 1e-6, "gpu");
    }
}

#[test]
fn no_connections_give_nothing() {
    let none = Connections::new(3, vec![Vec::new(); 2]).unwrap();
    assert!(none.is_empty() && none.rows() == 2 && none.columns() == 3);
    for device in devices() {
        let x = tensor(&[1.0, 2.0], [1, 2], &device, DType::F64);
        let w = Tensor::zeros([1, 0], (&device, DType::F64));
        for product in [sparse_product, composed] {
            assert_eq!(values(product(x.clone(), w.clone(), &none)), [0.0; 3]);
        }
    }
    assert_eq!(Connections::new(3, [vec![3]]), None);
}

#[cfg(feature = "capture")]
#[test]
fn a_recorded_step_has_the_same_product() {
    use crate::script::{Recorded, Run, record};
    use std::sync::Arc;

    let (connections, weights, _) = connected(9, 9);
    let step =
        |x: &Tensor<2>, weights: Tensor<2>| sparse_product(x.clone(), weights, &connections).tanh();
    let script = record(
        (&Device::flex(), DType::F64),
        &[[2, 9]],
        &[],
        |_, device, x, _| {
            let weights = tensor(&weights, [1, connections.len()], device, DType::F64);
            Ok::<_, ()>(Recorded {
                next: vec![step(&x[0], weights)],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    let begin = spikes(18);
    let mut run = Run::new(Arc::new(script.unwrap()), std::slice::from_ref(&begin)).unwrap();
    run.steps(3, &[], &[]).unwrap();
    let device = Device::flex();
    let weights = tensor(&weights, [1, connections.len()], &device, DType::F64);
    let x = (0..3).fold(tensor(&begin, [2, 9], &device, DType::F64), |x, _| {
        step(&x, weights.clone())
    });
    assert_close(&run.state()[0], &values(x), 1e-15, "recorded");
}
