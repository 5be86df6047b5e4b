#[cfg(feature = "autodiff")]
mod adjoint;

use std::sync::Arc;

use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::run::Tiles;
use super::{Given, Recorded, Run, Script, See, Seen, Unrecorded, either, record, setting};

type Body<'a> = dyn Fn(&Device, &[Tensor<2>], &[Tensor<2>]) -> Recorded + 'a;

fn tensor(values: Vec<f64>, shape: [usize; 2], place: (&Device, DType)) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), place)
}

/// Numbers between −1 and 1.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    let at = |i: usize| ((i * 37 + seed * 101 + 11) % 199) as f64 / 99.5 - 1.0;
    (0..count).map(at).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap()
}

fn script(dtype: DType, states: &[[usize; 2]], given: &[[usize; 2]], body: &Body<'_>) -> Script {
    let recorded = record(
        (&Device::flex(), dtype),
        states,
        given,
        |_, device, states, given| Ok::<_, ()>(body(device, states, given)),
    );
    recorded.unwrap()
}

/// What was kept of each thing.
fn values(seen: Option<Vec<Seen>>) -> Vec<Vec<f64>> {
    seen.unwrap().into_iter().map(|seen| seen.values).collect()
}

/// The script against the same steps with tensors: state and what is seen, after each step.
fn agree(states: &[[usize; 2]], given: &[[usize; 2]], steps: usize, body: &Body<'_>) {
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-14)] {
        let place = (&Device::flex(), dtype);
        let script = Arc::new(script(dtype, states, given, body));
        let begin: Vec<Vec<f64>> = states
            .iter()
            .enumerate()
            .map(|(i, [b, w])| numbers(b * w, i))
            .collect();
        let begin: Vec<Vec<f64>> = match dtype {
            DType::F32 => begin
                .into_iter()
                .map(|x| x.into_iter().map(|x| f64::from(x as f32)).collect())
                .collect(),
            _ => begin,
        };
        let sources: Vec<Vec<f64>> = given
            .iter()
            .enumerate()
            .map(|(i, [b, w])| numbers(steps * b * w, 7 + i))
            .collect();
        let mut run = Run::new(Arc::clone(&script), &begin).unwrap();
        let every = vec![See::Every(1); script.seen().len()];
        // In two calls, which is the same as in one.
        let first = steps / 3;
        let part = |from: usize, to: usize| -> Vec<Vec<f64>> {
            let cut = sources.iter().zip(given);
            cut.map(|(x, [b, w])| x[from * b * w..to * b * w].to_vec())
                .collect()
        };
        let mut seen = values(run.steps(first, &part(0, first), &every));
        let more = values(run.steps(steps - first, &part(first, steps), &every));
        for (all, more) in seen.iter_mut().zip(more) {
            all.extend(more);
        }
        assert_eq!(run.done(), steps);
        let mut x: Vec<Tensor<2>> = begin
            .iter()
            .zip(states)
            .map(|(x, shape)| tensor(x.clone(), *shape, place))
            .collect();
        let mut expected: Vec<Vec<f64>> = vec![Vec::new(); seen.len()];
        for step in 0..steps {
            let u: Vec<Tensor<2>> = sources
                .iter()
                .zip(given)
                .map(|(u, shape)| {
                    let len = shape[0] * shape[1];
                    tensor(u[step * len..(step + 1) * len].to_vec(), *shape, place)
                })
                .collect();
            let recorded = body(place.0, &x, &u);
            x = recorded.next;
            for (all, seen) in expected.iter_mut().zip(recorded.seen) {
                all.extend(seen.try_into_vec_as::<f64>().unwrap());
            }
        }
        let close = |found: &[f64], expected: &[f64], what: &str| {
            assert_eq!(found.len(), expected.len(), "{what}");
            for (index, (x, y)) in found.iter().zip(expected).enumerate() {
                let off = (x - y).abs();
                assert!(
                    off <= tolerance * (1.0 + y.abs()),
                    "{dtype:?}: {what} {index}: {x} and {y}"
                );
            }
        };
        for (index, x) in x.into_iter().enumerate() {
            close(
                &run.state()[index],
                &x.try_into_vec_as::<f64>().unwrap(),
                &format!("state {index}"),
            );
        }
        for (index, (found, expected)) in seen.iter().zip(&expected).enumerate() {
            close(found, expected, &format!("seen {index}"));
        }
    }
}

#[test]
fn elementary_functions_are_those_of_tensors() {
    let body = |_: &Device, x: &[Tensor<2>], u: &[Tensor<2>]| {
        let (a, b, u) = (x[0].clone(), x[1].clone(), u[0].clone());
        let positive = a.clone().abs() + 0.1;
        let sum = a.clone().exp() * 0.1 - b.clone().tanh() / 3.0
            + positive.clone().log()
            + positive.clone().log1p()
            + positive.clone().sqrt()
            + (b.clone() * 3.0).sin() * (-a.clone()).cos()
            + positive.clone().recip() * 0.01
            + positive.clone().powf_scalar(1.3)
            + a.clone().powf_scalar(3.0)
            + a.clone().sign()
            + (b.clone() * 4.0).floor()
            + (a.clone() * 4.0).ceil()
            + (a.clone() * 5.0).round()
            + sigmoid(b.clone())
            - log_sigmoid(a.clone());
        let rising = a.clone().greater(b.clone());
        let held = a
            .clone()
            .mask_where(rising.clone(), b.clone())
            .mask_fill(b.clone().lower_elem(-0.5), 0.25);
        let some = rising
            .bool_or(a.clone().greater_equal_elem(0.5))
            .float()
            .cast(a.dtype())
            + b.clone()
                .lower_equal_elem(0.1)
                .bool_not()
                .float()
                .cast(a.dtype());
        let next = (sum * 0.05 + held * 0.2 + some * 0.1 + u).clamp(-0.9, 0.8);
        Recorded {
            seen: vec![
                next.clone() * 2.0,
                next.clone().max_pair(b.clone()).min_pair(a.clone() + 0.3),
            ],
            next: vec![next, (a * 0.5 + b * 0.4).clamp_min(-0.3)],
            given: Vec::new(),
        }
    };
    for width in [1, 2, 3, 17, 64, 1000] {
        agree(&[[1, width]; 2], &[[1, width]], 7, &body);
        agree(&[[1, width]; 2], &[[1, 1]], 7, &body);
    }
    agree(&[[3, 5]; 2], &[[3, 5]], 7, &body);
    let wide = script(DType::F64, &[[1, 1000]; 2], &[[1, 1]], &body);
    assert!(wide.is_elementwise());
}

#[test]
fn shapes_move_as_those_of_tensors() {
    let body = |device: &Device, x: &[Tensor<2>], u: &[Tensor<2>]| {
        let (a, b) = (x[0].clone(), x[1].clone());
        let dtype = a.dtype();
        let [batch, width] = a.dims();
        let place = (device, dtype);
        let dense = tensor(numbers(width * 4, 3), [width, 4], place);
        let mut few = numbers(4 * width, 4);
        few.iter_mut()
            .enumerate()
            .filter(|(i, _)| i % 5 != 0)
            .for_each(|(_, x)| *x = 0.0);
        let sparse = tensor(few, [4, width], place);
        let row = tensor(numbers(width, 5), [1, width], place);
        let narrow = a.clone().matmul(dense).tanh();
        let back = narrow.clone().matmul(sparse);
        let mean = a.clone().mean_dim(1);
        let total = b.clone().sum_dim(0);
        let joined = Tensor::cat(
            vec![narrow.clone().narrow(1, 1, 2), b.clone(), mean.clone()],
            1,
        );
        let turned = joined.clone().transpose().reshape([batch, 3 + width]);
        let index = Tensor::<1, burn::tensor::Int>::from_data([2_i64, 0, 1], device);
        let picked = turned.select(1, index);
        let next =
            (back + row * a.clone() - mean.expand([batch, width]) + total + u[0].clone()) * 0.3;
        Recorded {
            seen: vec![picked, narrow.repeat_dim(1, 2), joined],
            next: vec![next, a.clone()],
            given: Vec::new(),
        }
    };
    agree(&[[1, 6]; 2], &[[1, 6]], 5, &body);
    agree(&[[2, 3]; 2], &[[1, 3]], 5, &body);
    agree(&[[3, 7]; 2], &[[3, 1]], 5, &body);
}

#[test]
fn variables_take_each_others_places() {
    let body = |_: &Device, x: &[Tensor<2>], _: &[Tensor<2>]| Recorded {
        // A ring of three, two that change places, one that two take, one that stays, and a constant.
        next: vec![
            x[2].clone(),
            x[0].clone() + 1.0,
            x[1].clone(),
            x[4].clone(),
            x[3].clone(),
            x[0].clone(),
            x[6].clone(),
            x[7].zeros_like() + 3.0,
        ],
        seen: vec![x[5].clone(), x[0].clone() + x[7].clone()],
        given: Vec::new(),
    };
    for steps in [1, 2, 3, 11] {
        agree(&[[1, 4]; 8], &[], steps, &body);
    }
}

#[test]
fn what_is_seen_has_its_own_intervals() {
    let count = |_: &Device, x: &[Tensor<2>], _: &[Tensor<2>]| {
        let next = x[0].clone() + 1.0;
        Recorded {
            seen: vec![next.clone(), next.clone(), next.clone()],
            next: vec![next],
            given: Vec::new(),
        }
    };
    let script = Arc::new(script(DType::F64, &[[1, 1]], &[], &count));
    let mut run = Run::new(script, &[vec![0.0]]).unwrap();
    let every = [See::Every(2), See::Never, See::Every(5)];
    let mut seen = values(run.steps(3, &[], &every));
    for (all, more) in seen.iter_mut().zip(values(run.steps(8, &[], &every))) {
        all.extend(more);
    }
    assert_eq!(
        seen,
        [vec![2.0, 4.0, 6.0, 8.0, 10.0], vec![], vec![5.0, 10.0]]
    );
    assert!(run.steps(1, &[vec![1.0]], &every).is_none());
    assert!(run.steps(1, &[], &every[1..]).is_none());
    assert!(
        run.steps(1, &[], &[See::Never, See::Every(0), See::Never])
            .is_none()
    );
    assert!(
        run.steps(1, &[], &[See::Never, See::Where(3), See::Never])
            .is_none()
    );
}

#[test]
fn a_run_goes_back_to_a_step() {
    let script = Arc::new(network(DType::F64, 300, false));
    let begin = [numbers(300, 1), vec![0.0; 300]];
    let mut run = Run::new(script, &begin).unwrap();
    let see = [See::Every(2), See::Never, See::Where(2)];
    let drive = [numbers(300 * 5, 4)];
    run.steps(5, &drive, &see).unwrap();
    let saved = run.saved();
    let first = run.steps(5, &drive, &see).unwrap();
    let state = run.state();
    run.restore(&saved);
    assert_eq!((run.done(), run.state()), (5, saved.state().to_vec()));
    assert_eq!(run.steps(5, &drive, &see).unwrap(), first);
    assert_eq!((run.done(), run.state()), (10, state));
}

#[test]
fn numbers_of_a_step_are_given_for_each() {
    let recorded = record(
        (&Device::flex(), DType::F64),
        &[[1, 2]],
        &[],
        |step, device, x, _| {
            let drawn = tensor(vec![5.0 + step as f64, 6.0], [1, 2], (device, DType::F64));
            Ok::<_, ()>(Recorded {
                next: vec![x[0].clone() + drawn.clone()],
                seen: Vec::new(),
                given: vec![drawn],
            })
        },
    );
    let script = Arc::new(recorded.unwrap());
    assert_eq!(script.given(), [2]);
    let mut run = Run::new(script, &[vec![0.0; 2]]).unwrap();
    run.steps(2, &[vec![1.0, 2.0, 3.0, 4.0]], &[]).unwrap();
    assert_eq!(run.state(), [vec![4.0, 6.0]]);
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let body = |_: &Device, x: &[Tensor<2>], _: &[Tensor<2>]| Recorded {
        next: vec![(x[0].clone() * 1.1).tanh().exp() - 1.0],
        seen: vec![x[0].clone()],
        given: Vec::new(),
    };
    let script = Arc::new(script(DType::F64, &[[1, 5000]], &[], &body));
    let ran = |threads: usize| {
        pool(threads).install(|| {
            let mut run = Run::new(Arc::clone(&script), &[numbers(5000, 1)]).unwrap();
            let seen = run.steps(50, &[], &[See::Every(10)]).unwrap();
            (seen, run.state())
        })
    };
    let one = ran(1);
    assert!(ran(2) == one && ran(7) == one);
}

#[test]
fn what_cannot_be_recorded_says_why() {
    let read = record(
        (&Device::flex(), DType::F64),
        &[[1, 2]],
        &[],
        |_, _, x, _| {
            let read = (x[0].clone() * 2.0).try_into_vec_as::<f64>();
            match read {
                Ok(_) => Ok(Recorded {
                    next: x.to_vec(),
                    seen: Vec::new(),
                    given: Vec::new(),
                }),
                Err(_) => Err("read"),
            }
        },
    );
    assert!(matches!(read, Err(Unrecorded::Failed("read"))), "{read:?}");
    let sorted = record(
        (&Device::flex(), DType::F64),
        &[[1, 2]],
        &[],
        |_, _, x, _| {
            Ok::<_, ()>(Recorded {
                next: vec![x[0].clone().sort(1)],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    let error = format!("{sorted:?}");
    assert!(
        error.contains("Unknown") && error.contains("Sort"),
        "{error}"
    );
    let changing = record(
        (&Device::flex(), DType::F64),
        &[[1, 2]],
        &[],
        |step, _, x, _| {
            Ok::<_, ()>(Recorded {
                next: vec![x[0].clone() * (1.0 + step as f64)],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    let error = format!("{changing:?}");
    assert!(error.contains("time or number"), "{error}");
    let late = record(
        (&Device::flex(), DType::F64),
        &[[1, 2]],
        &[],
        |step, _, x, _| {
            Ok::<_, ()>(Recorded {
                next: vec![x[0].clone() * if step < 100 { 1.0 } else { 2.0 }],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    assert!(format!("{late:?}").contains("time or number"), "{late:?}");
    let empty = record(
        (&Device::flex(), DType::F64),
        &[[1, 0]],
        &[],
        |_, _, x, _| {
            Ok::<_, ()>(Recorded {
                next: vec![x[0].clone() * 2.0],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    assert!(
        format!("{empty:?}").contains("without elements"),
        "{empty:?}"
    );
    let grown = record(
        (&Device::flex(), DType::F64),
        &[[1, 2]],
        &[],
        |_, _, x, _| {
            Ok::<_, ()>(Recorded {
                next: vec![x[0].clone().repeat_dim(1, 2)],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    assert!(format!("{grown:?}").contains("length"), "{grown:?}");
}

/// Cells that fire at a threshold, each connected to some others, and what happens then.
fn network(dtype: DType, cells: usize, dense: bool) -> Script {
    let body = move |device: &Device, x: &[Tensor<2>], u: &[Tensor<2>]| {
        let place = (device, dtype);
        let mut weights = numbers(cells * cells, 3);
        let kept = |i: usize| dense || (i * 7 + i / cells).is_multiple_of(11);
        weights
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = if kept(i) { *x * 0.1 } else { 0.0 });
        let v = x[0].clone() * 0.9 + x[1].clone().matmul(tensor(weights, [cells; 2], place));
        let v = v + u[0].clone() * 0.4;
        let fired = v.clone().greater_equal_elem(1.5);
        let late = (v.clone().abs() + 0.1).log1p() / (v.clone().abs() + 0.5).exp();
        let spikes = fired.clone().float().cast(dtype);
        let after = (late.clone() * 2.0).exp().recip() - (late.clone() + 1.0).log();
        Recorded {
            next: vec![v.clone().mask_where(fired.clone(), after), spikes.clone()],
            seen: vec![v.clone(), v.zeros_like().mask_where(fired, late), spikes],
            given: Vec::new(),
        }
    };
    script(dtype, &[[1, cells]; 2], &[[1, cells]], &body)
}

#[test]
fn cells_that_meet_in_products_are_the_same_on_any_number_of_threads() {
    for (dtype, dense) in [(DType::F64, false), (DType::F64, true), (DType::F32, false)] {
        let cells = 1003;
        let script = Arc::new(network(dtype, cells, dense));
        let forked = |script: &Script| either!(&script.0, steps => steps.parts.iter().any(|part| part.fork.is_some()));
        assert!(forked(&script) && !script.is_elementwise(), "{script}");
        let sees = [See::Every(3), See::Where(2), See::Where(2)];
        // Tiles for some threads, which others may step.
        let ran = |tiles: usize, threads: usize, together: usize| {
            let begin = [numbers(cells, 1), vec![0.0; cells]];
            let mut run = pool(tiles).install(|| Run::new(Arc::clone(&script), &begin).unwrap());
            let count = match &run.tiles {
                Tiles::F32(tiles) => tiles.len(),
                Tiles::F64(tiles) => tiles.len(),
                #[cfg(gpu)]
                Tiles::Gpu(_) => 0,
            };
            assert_eq!(count, tiles);
            let mut all = vec![Seen::default(); 3];
            pool(threads).install(|| {
                for first in (0..30).step_by(together) {
                    let steps = first..first + together;
                    let drive = steps.flat_map(|step| numbers(cells, 5 + step)).collect();
                    let seen = run.steps(together, &[drive], &sees).unwrap();
                    for (all, seen) in all.iter_mut().zip(seen) {
                        all.values.extend(seen.values);
                        all.places.extend(seen.places);
                    }
                }
            });
            (all, run.state())
        };
        let (seen, state) = ran(1, 1, 30);
        for (tiles, threads, together) in [(2, 2, 30), (5, 5, 10), (5, 1, 15), (5, 3, 30)] {
            let found = ran(tiles, threads, together);
            assert!(
                found == (seen.clone(), state.clone()),
                "{dtype:?} {dense} {tiles} {threads}"
            );
        }
        assert_eq!(seen[0].values.len(), cells * 10);
        // Some cells fire, in some steps, and what is seen of them is that of the same cells.
        let [_, late, spikes] = &seen[..] else {
            panic!("three things")
        };
        assert!(spikes.places.len() > 100 && spikes.places.len() < cells * 20);
        // So few that some blocks are quiet, and some are not.
        let mut blocks: Vec<_> = spikes
            .places
            .iter()
            .map(|(step, cell)| (step, cell / 64))
            .collect();
        blocks.dedup();
        assert!(
            blocks.len() > 50 && blocks.len() < 15 * 30,
            "{}",
            blocks.len()
        );
        assert!(spikes.places.is_sorted() && spikes.places == late.places);
        assert!(spikes.values.iter().all(|x| *x == 1.0));
        assert!(late.values.iter().all(|x| *x > 0.0));
    }
}

/// The way without events against the whole one: a network of which no part forks has the same numbers.
#[test]
fn what_follows_from_events_is_left_out_without_a_trace() {
    for dtype in [DType::F64, DType::F32] {
        let forked = network(dtype, 300, false);
        let mut whole = network(dtype, 300, false);
        either!(&mut whole.0, steps => steps.parts.iter_mut().for_each(|part| part.fork = None));
        let ran = |script: Script| {
            let begin = [numbers(300, 1), vec![0.0; 300]];
            let mut run = Run::new(Arc::new(script), &begin).unwrap();
            let see = [See::Every(1), See::Every(1), See::Where(1)];
            let seen = run.steps(40, &[numbers(40 * 300, 2)], &see).unwrap();
            (seen, run.state())
        };
        assert!(ran(forked) == ran(whole), "{dtype:?}");
    }
}

/// What is drawn, by one thread or by those who meet, is what is given.
#[test]
fn what_is_drawn_is_as_what_is_given() {
    for (cells, together) in [(300, 90), (64, 90), (1, 90), (2000, 40)] {
        let script = Arc::new(network(DType::F64, cells, cells < 100));
        let draw = |step: usize, own: &mut [f64]| {
            let value = |(place, own): (usize, &mut f64)| {
                *own = f64::from(((step * 31 + place * 17) % 100) as u8) / 25.0;
            };
            own.iter_mut().enumerate().for_each(value);
        };
        let see = [See::Every(7), See::Never, See::Where(2)];
        let ran = |tiles: usize, threads: usize, drawn: bool| {
            let begin = [numbers(cells, 1), vec![0.0; cells]];
            let mut run = pool(tiles).install(|| Run::new(Arc::clone(&script), &begin).unwrap());
            let mut all = Vec::new();
            pool(threads).install(|| {
                for first in [0, together] {
                    let mut given = vec![0.0; if drawn { 0 } else { cells * together }];
                    let own = given.chunks_exact_mut(cells).enumerate();
                    own.for_each(|(step, own)| draw(first + step, own));
                    let given = if drawn {
                        Given::Drawn(&draw)
                    } else {
                        Given::Numbers(&given)
                    };
                    all.push(run.steps_drawn(together, &[given], &see).unwrap());
                }
            });
            (all, run.state())
        };
        let expected = ran(1, 1, false);
        for (tiles, threads) in [(1, 1), (2, 1), (2, 2), (3, 3)] {
            assert!(
                ran(tiles, threads, true) == expected,
                "{cells} {tiles} {threads}"
            );
        }
    }
}

/// A step with a matrix, a number and a row that are set for a run or are parts of the script.
fn setted(set: bool, values: &[Vec<f64>; 3], dtype: DType) -> Script {
    let mut made = None;
    let recorded = record(
        (&Device::flex(), dtype),
        &[[1, 5]; 2],
        &[[1, 5]],
        |_, device, x, u| {
            let place = (device, dtype);
            let make = || {
                let row = Tensor::<1>::from_data(TensorData::new(values[2].clone(), [5]), place);
                (
                    tensor(values[0].clone(), [5, 5], place),
                    tensor(values[1].clone(), [1, 1], place),
                    row,
                )
            };
            let (matrix, number, row) = made.get_or_insert_with(make).clone();
            if set {
                setting(&matrix);
                setting(&number);
                setting(&row);
                setting(&matrix);
            }
            let decay = number.clone().exp() + 1.0;
            let row = row.reshape([1, 5]);
            let sent = x[0].clone().matmul(matrix.clone().tanh()) * decay.clone();
            let back = u[0].clone().matmul(matrix.transpose()) + row.clone();
            let fired = sent.clone().greater(row.clone()).float().cast(dtype);
            Ok::<_, ()>(Recorded {
                next: vec![(sent + back) * 0.3, row.clone() + number.clone()],
                seen: vec![decay, fired, x[1].clone() * number],
                given: Vec::new(),
            })
        },
    );
    recorded.unwrap()
}

#[test]
fn what_is_set_for_a_run_is_as_if_it_were_recorded() {
    for dtype in [DType::F64, DType::F32] {
        let of = |seed: usize| {
            [
                numbers(25, seed),
                numbers(1, seed + 1),
                numbers(5, seed + 2),
            ]
        };
        let script = Arc::new(setted(true, &of(1), dtype));
        assert_eq!(script.settings(), [25, 1, 5]);
        let begin = [numbers(5, 8), numbers(5, 9)];
        assert!(Run::new(Arc::clone(&script), &begin).is_none());
        let given = [numbers(5 * 7, 10)];
        for seed in [1, 20, 40] {
            let whole = Arc::new(setted(false, &of(seed), dtype));
            assert!(whole.settings().is_empty());
            let ran = |mut run: Run| {
                let seen = run.steps(7, &given, &[See::Every(1); 3]).unwrap();
                (seen, run.state())
            };
            let found = ran(Run::with(Arc::clone(&script), &of(seed), &begin).unwrap());
            assert!(found == ran(Run::new(whole, &begin).unwrap()), "{dtype:?}");
        }
    }
    let computed = record(
        (&Device::flex(), DType::F64),
        &[[1, 2]],
        &[],
        |_, _, x, _| {
            let sum = x[0].clone() + 1.0;
            setting(&sum);
            Ok::<_, ()>(Recorded {
                next: vec![sum],
                seen: Vec::new(),
                given: Vec::new(),
            })
        },
    );
    assert!(format!("{computed:?}").contains("setting"), "{computed:?}");
}

/// Sums over steps and elements of what is linear in something else: the same as step by step, and no step has the operations that
/// are done once.
#[test]
fn what_is_linear_is_summed_before_it_is_computed() {
    let body = |_: &Device, x: &[Tensor<2>], u: &[Tensor<2>]| {
        let slope = (x[0].clone() * 1.3).tanh();
        let scaled = -(slope.clone() * u[0].clone()).sum_dim(1) * 0.7;
        // Terms that may cancel each other are added in each step.
        let both =
            (x[0].clone() * 2.0).cos().sum_dim(1) / 3.0 + (slope.clone() * 5.0).sin().sum_dim(1);
        let placed = Tensor::cat(vec![x[0].zeros_like(), (x[0].clone() * 0.1).exp() * 2.0], 1);
        Recorded {
            next: vec![
                slope * 0.9 + 0.1,
                x[1].clone() + scaled,
                both + x[2].clone(),
                x[3].clone() + placed,
                // Not linear, read twice, and not a sum.
                x[4].clone() + x[0].clone().sum_dim(1).tanh(),
                x[5].clone() * 0.5 + x[0].clone().sum_dim(1),
            ],
            seen: vec![x[5].clone()],
            given: Vec::new(),
        }
    };
    for width in [1, 4, 300] {
        let states = [[1, width], [1, 1], [1, 1], [1, 2 * width], [1, 1], [1, 1]];
        agree(&states, &[[1, width]], 9, &body);
        let script = script(DType::F64, &states, &[[1, width]], &body);
        let sums = script.to_string().matches("Sum").count();
        // Those of both terms, and the one that two variables read.
        assert!(width == 1 || sums == 3, "{script}");
        assert_eq!(script.states(), states.map(|[b, w]| b * w));
    }
}

/// A weight that all connections of a row share is kept once, dense and sparse.
#[test]
fn weights_that_are_alike_are_kept_by_rows() {
    use crate::{Connections, sparse_product};
    let cells = 90;
    let targets = |row: usize| (0..cells).filter(move |column| (row * 7 + column * 3) % 11 < 2);
    let connections = Connections::new(cells, (0..cells).map(targets)).unwrap();
    let of_row = |row: usize| 0.1 * (row % 5) as f64 - 0.17;
    let alike = |(row, _): (usize, usize)| of_row(row);
    let each = |(row, column): (usize, usize)| of_row(row) + 0.01 * (column % 2) as f64;
    for (dense, weight, kept) in [
        (false, &alike as &dyn Fn((usize, usize)) -> f64, cells),
        (true, &alike, cells),
        (false, &each, connections.len()),
    ] {
        let mut matrix = vec![0.0; cells * cells];
        for (row, column) in connections.pairs() {
            matrix[row * cells + column] = weight((row, column));
        }
        let list: Vec<f64> = connections.pairs().map(weight).collect();
        let body = |device: &Device, x: &[Tensor<2>], _: &[Tensor<2>]| {
            let place = (device, x[0].dtype());
            let sent = x[0].clone().clamp_min(0.0);
            let sum = if dense {
                sent.matmul(tensor(matrix.clone(), [cells, cells], place))
            } else {
                let weights = tensor(list.clone(), [1, list.len()], place);
                sparse_product(sent, weights, &connections)
            };
            Recorded {
                next: vec![(sum + x[0].clone()).tanh()],
                seen: Vec::new(),
                given: Vec::new(),
            }
        };
        agree(&[[1, cells]], &[], 5, &body);
        agree(&[[2, cells]], &[], 5, &body);
        let script = script(DType::F64, &[[1, cells]], &[], &body);
        let matrices = either!(&script.0, steps => steps.matrices.iter().map(Vec::len).collect());
        let matrices: Vec<usize> = matrices;
        assert_eq!(matrices, [kept]);
    }
}
