//! What `granule train` makes of small sets without a flag, against linear regression and the nearest neighbour.

use granule_data::synthetic::{Part, split};
use granule_data::{Dataset, Features, Normalization, Shape, Split, Targets};
use granule_models::ModelConfig;
use granule_train::RunConfig;

use crate::common::*;

/// Runs of every set, each with data and weights of its own.
const SEEDS: std::ops::Range<u64> = 1..6;

fn normal(noise: &mut Noise) -> f32 {
    (0..12).map(|_| noise.next()).sum::<f32>() - 6.0
}

/// 800 and 200 vectors of 20 features: three classes of three clouds each in six dimensions, and 14 that say nothing.
fn clouds(seed: u64) -> Dataset {
    let mut noise = Noise::new(seed);
    let centres: Vec<[f32; 6]> = (0..9)
        .map(|_| std::array::from_fn(|_| 1.6 * normal(&mut noise)))
        .collect();
    let mut part = |count: usize| {
        let (mut features, mut classes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let cloud = (noise.next() * 9.0) as usize;
            let centre = centres[cloud].iter().copied();
            let all = centre.chain([0.0; 14]);
            features.extend(all.map(|x| x + normal(&mut noise)));
            classes.push((cloud % 3) as u16);
        }
        let shape = Shape::Vector { len: 20 };
        Split::new(shape, Features::Floats(features), Targets::Classes(classes)).unwrap()
    };
    dataset("clouds", part(800), part(200))
}

/// 1200 and 300 samples of the first problem of Friedman (1991) with eight features, three of which say nothing.
fn friedman(seed: u64) -> Dataset {
    let mut noise = Noise::new(seed);
    let mut part = |count: usize| {
        let (mut features, mut data) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let x: [f32; 8] = std::array::from_fn(|_| noise.next());
            let y = 10.0 * (std::f32::consts::PI * x[0] * x[1]).sin()
                + 20.0 * (x[2] - 0.5).powi(2)
                + 10.0 * x[3]
                + 5.0 * x[4];
            features.extend(x);
            data.push((y + normal(&mut noise) - 14.4) / 5.0);
        }
        let targets = Targets::Values { data, width: 1 };
        let shape = Shape::Vector { len: 8 };
        Split::new(shape, Features::Floats(features), targets).unwrap()
    };
    dataset("friedman", part(1200), part(300))
}

/// 2000 and 500 digits of 14×14 pixels.
fn digits(seed: u64) -> Dataset {
    let half = |part: Part, count: usize| {
        let whole = split(seed, part, count).unwrap();
        let mut pixels = Vec::new();
        for i in 0..count {
            let image = whole.pixels(i).unwrap();
            for (y, x) in (0..14).flat_map(|y| (0..14).map(move |x| (y, x))) {
                let places = [0, 1, 28, 29].map(|place| 56 * y + 2 * x + place);
                let sum: u32 = places.iter().map(|&place| u32::from(image[place])).sum();
                pixels.push((sum / 4) as u8);
            }
        }
        let shape = Shape::Image {
            channels: 1,
            height: 14,
            width: 14,
        };
        let targets = whole.targets().clone();
        Split::new(shape, Features::Bytes(pixels), targets).unwrap()
    };
    dataset("digits", half(Part::Train, 2000), half(Part::Test, 500))
}

fn dataset(name: &str, train: Split, test: Split) -> Dataset {
    let count = match train.targets() {
        Targets::Classes(classes) => usize::from(*classes.iter().max().unwrap()) + 1,
        Targets::Values { .. } => 0,
    };
    let names = (0..count).map(|class| class.to_string()).collect();
    let normalization = Normalization::of(&train);
    Dataset::new(name, names, normalization, train, test).unwrap()
}

/// Rows of normalised features, and targets: one-hot for classes.
fn rows(data: &Dataset, split: &Split) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let width = split.shape().len();
    let indices: Vec<usize> = (0..split.len()).collect();
    let mut values = Vec::new();
    split
        .gather(&indices, &data.normalization, None, &mut values)
        .unwrap();
    let inputs = values
        .chunks(width)
        .map(|row| row.iter().map(|x| f64::from(*x)).collect());
    let target = |i: usize| match split.class(i) {
        Some(class) => {
            let hit = |k: usize| f64::from(u8::from(k == usize::from(class)));
            (0..data.classes.len()).map(hit).collect()
        }
        None => {
            let values = split.target_values(i).unwrap();
            values.iter().map(|y| f64::from(*y)).collect()
        }
    };
    (inputs.collect(), (0..split.len()).map(target).collect())
}

fn largest(row: &[f64]) -> usize {
    let better = |a: &usize, b: &usize| row[*a].total_cmp(&row[*b]);
    (0..row.len()).max_by(better).unwrap()
}

/// The share of classes that are right, or R².
fn score(found: &[Vec<f64>], wanted: &[Vec<f64>]) -> f64 {
    let count = wanted.len() as f64;
    if wanted[0].len() > 1 {
        let pairs = found.iter().zip(wanted);
        return pairs.filter(|(a, b)| largest(a) == largest(b)).count() as f64 / count;
    }
    let mean = wanted.iter().map(|row| row[0]).sum::<f64>() / count;
    let total: f64 = wanted.iter().map(|row| (row[0] - mean).powi(2)).sum();
    let pairs = found.iter().zip(wanted);
    let rest: f64 = pairs.map(|(a, b)| (a[0] - b[0]).powi(2)).sum();
    1.0 - rest / total
}

/// Solves (XᵀX + λ) W = XᵀY by elimination; `x` ends with a column of ones.
fn ridge(x: &[Vec<f64>], y: &[Vec<f64>], lambda: f64) -> Vec<Vec<f64>> {
    let (n, outputs) = (x[0].len(), y[0].len());
    let mut system = vec![vec![0.0; n + outputs]; n];
    for (x, y) in x.iter().zip(y) {
        for (i, row) in system.iter_mut().enumerate() {
            for (cell, value) in row.iter_mut().zip(x.iter().chain(y)) {
                *cell += x[i] * value;
            }
        }
    }
    for (i, row) in system.iter_mut().enumerate() {
        row[i] += lambda;
    }
    // The matrix is positive definite: no pivoting.
    for i in 0..n {
        let pivot = system[i].clone();
        for (k, row) in system.iter_mut().enumerate() {
            if k != i {
                let factor = row[i] / pivot[i];
                for (cell, above) in row.iter_mut().zip(&pivot).skip(i) {
                    *cell -= factor * above;
                }
            }
        }
    }
    let solved = system.iter().enumerate();
    solved
        .map(|(i, row)| row[n..].iter().map(|value| value / row[i]).collect())
        .collect()
}

/// Scores on the test part of the best of several ridge regressions, which is more than a choice by validation could
/// have, and of the nearest neighbour.
fn baselines(data: &Dataset) -> (f64, f64) {
    let (mut x, y) = rows(data, &data.train);
    let (mut x_test, y_test) = rows(data, &data.test);
    let nearest: Vec<Vec<f64>> = x_test
        .iter()
        .map(|row| {
            let distance = |other: &Vec<f64>| {
                let pairs = row.iter().zip(other);
                pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>()
            };
            let distances: Vec<f64> = x.iter().map(|other| -distance(other)).collect();
            y[largest(&distances)].clone()
        })
        .collect();
    for row in x.iter_mut().chain(&mut x_test) {
        row.push(1.0);
    }
    let linear = [0.1, 10.0, 100.0].map(|lambda| {
        let weights = ridge(&x, &y, lambda);
        let answer = |row: &Vec<f64>| {
            let output = |k: usize| row.iter().zip(&weights).map(|(x, w)| x * w[k]).sum();
            (0..y[0].len()).map(output).collect()
        };
        let found: Vec<Vec<f64>> = x_test.iter().map(answer).collect();
        score(&found, &y_test)
    });
    let best = linear.into_iter().fold(f64::NEG_INFINITY, f64::max);
    (best, score(&nearest, &y_test))
}

/// Trains as `granule train MODEL` does and compares with the baselines, seed by seed and on average.
fn beats_baselines(model: &str, set: impl Fn(u64) -> Dataset) {
    for seed in SEEDS {
        let data = set(seed);
        let model = ModelConfig::from_name(model).unwrap();
        let mut config =
            RunConfig::recipe(model, "arrays:own.npz".parse().unwrap()).of_default_length();
        config.device = "flex".parse().unwrap();
        config.seed = seed;
        let dir = tempfile::tempdir().unwrap();
        let (outcome, _) = run(&config, &data, dir.path()).unwrap();
        let evaluation = outcome.evaluation.unwrap();
        let found = evaluation.accuracy().or(evaluation.r2()).unwrap();
        let (linear, nearest) = baselines(&data);
        println!(
            "{} {seed}: {found:.4}, linear {linear:.4}, nearest neighbour {nearest:.4}, {} epochs",
            data.name, outcome.epochs
        );
        assert!(found > linear && found > nearest, "{} {seed}", data.name);
    }
}

#[test]
fn an_mlp_beats_linear_regression_and_the_nearest_neighbour_on_vectors() {
    beats_baselines("mlp", clouds);
}

#[test]
fn an_mlp_beats_linear_regression_and_the_nearest_neighbour_on_real_values() {
    beats_baselines("mlp", friedman);
}

#[test]
fn an_mlp_beats_linear_regression_and_the_nearest_neighbour_on_images() {
    beats_baselines("mlp", digits);
}

#[test]
fn a_small_cnn_beats_linear_regression_and_the_nearest_neighbour() {
    beats_baselines("lenet", |seed| {
        let part = |part: Part, count: usize| split(seed, part, count).unwrap();
        dataset("digits", part(Part::Train, 2000), part(Part::Test, 500))
    });
}
