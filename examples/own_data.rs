//! Data and a loss of one's own: neurons whose spike counts, not the rates behind them, are what is seen.
//!
//! `cargo run --release -p granule --example own_data`

use std::collections::BTreeMap;
use std::error::Error;

use granule::burn::tensor::{Device, Tensor, TensorData};
use granule::data::task::Part;
use granule::models::Task;
use granule::prelude::*;
use granule::train::{Objective, Quiet, train_on};

const NEURONS: usize = 12;
const HEADINGS: usize = 720;

/// Cells tuned to a heading, by von Mises curves: the counts of one presentation of every half degree.
struct TunedCells {
    /// Of the test part every third heading, of the others those between.
    headings: [Vec<usize>; 2],
    counts: Vec<f32>,
}

impl TunedCells {
    fn new() -> Self {
        // Any source of numbers will do; this one needs no more than arithmetic.
        let mut state = 7_u64;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut counts = Vec::with_capacity(HEADINGS * NEURONS);
        for heading in 0..HEADINGS {
            for neuron in 0..NEURONS {
                let away = angle(heading) - std::f64::consts::TAU * neuron as f64 / NEURONS as f64;
                let rate = 6.0 * (2.0 * (away.cos() - 1.0)).exp() + 0.3;
                // The number of arrivals in one unit of time (Knuth).
                let (mut product, mut count) = (uniform(), 0.0);
                while product > (-rate).exp() {
                    product *= uniform();
                    count += 1.0;
                }
                counts.push(count);
            }
        }
        let test = (0..HEADINGS).filter(|heading| heading % 3 == 0).collect();
        let train = (0..HEADINGS).filter(|heading| heading % 3 != 0).collect();
        Self {
            headings: [train, test],
            counts,
        }
    }

    fn of(&self, part: Part) -> &[usize] {
        let [train, test] = &self.headings;
        match part {
            Part::Train => train,
            Part::Validation => &[],
            Part::Test => test,
        }
    }

    fn rows(
        &self,
        part: Part,
        samples: &[usize],
        device: &Device,
        row: impl Fn(usize) -> Vec<f32>,
    ) -> Tensor<2> {
        let rows: Vec<f32> = samples
            .iter()
            .flat_map(|sample| row(self.of(part)[*sample]))
            .collect();
        let width = rows.len() / samples.len().max(1);
        Tensor::from_data(TensorData::new(rows, [samples.len(), width]), device)
    }
}

fn angle(heading: usize) -> f64 {
    std::f64::consts::TAU * heading as f64 / HEADINGS as f64
}

impl Objective for TunedCells {
    fn name(&self) -> String {
        "tuned-cells".to_owned()
    }

    fn fingerprint(&self) -> String {
        "7".to_owned()
    }

    fn input(&self) -> InputSpec {
        InputSpec::new(InputShape::Vector { len: 2 })
    }

    fn task(&self) -> Task {
        Task::regression(NEURONS)
    }

    fn len(&self, part: Part) -> usize {
        self.of(part).len()
    }

    fn inputs(
        &self,
        part: Part,
        samples: &[usize],
        device: &Device,
    ) -> Result<Tensor<2>, Box<dyn Error + Send + Sync>> {
        Ok(self.rows(part, samples, device, |heading| {
            let (sine, cosine) = angle(heading).sin_cos();
            vec![sine as f32, cosine as f32]
        }))
    }

    /// The Poisson likelihood of counts under log-rates, less what no model can change.
    fn loss(
        &self,
        part: Part,
        samples: &[usize],
        outputs: Tensor<2>,
    ) -> Result<Tensor<1>, Box<dyn Error + Send + Sync>> {
        let counts = self.rows(part, samples, &outputs.device(), |heading| {
            self.counts[heading * NEURONS..][..NEURONS].to_vec()
        });
        Ok((outputs.clone().exp() - counts * outputs).mean())
    }

    /// Bits per spike beyond a constant rate of every neuron.
    fn scores(&self, outputs: &[f32]) -> BTreeMap<String, f64> {
        let counts = |part| {
            self.of(part)
                .iter()
                .map(|heading| &self.counts[heading * NEURONS..][..NEURONS])
        };
        let mut means = [0.0_f64; NEURONS];
        for row in counts(Part::Train) {
            for (mean, count) in means.iter_mut().zip(row) {
                *mean += f64::from(*count) / self.len(Part::Train) as f64;
            }
        }
        let (mut gain, mut spikes) = (0.0, 0.0);
        for (row, outputs) in counts(Part::Test).zip(outputs.chunks(NEURONS)) {
            for ((count, output), mean) in row.iter().zip(outputs).zip(&means) {
                let (count, output) = (f64::from(*count), f64::from(*output));
                gain += count * (output - mean.ln()) - (output.exp() - mean);
                spikes += count;
            }
        }
        BTreeMap::from([(
            "bits_per_spike".to_owned(),
            gain / spikes / std::f64::consts::LN_2,
        )])
    }
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let config = RunConfig::from_toml_str(
        r#"
        device = "cpu"
        [model]
        kind = "mlp"
        widths = [32]
        activation = "tanh"
        [train]
        epochs = 60
        [optimizer]
        kind = "adam"
        lr = 0.01
        "#,
    )?;
    let cells = TunedCells::new();
    let outcome = train_on(&config, &cells, None, &mut Quiet, &StopFlag::new())?;
    println!(
        "{} holds the run, its report.html and model.granule",
        outcome.run_dir.display()
    );
    if let Some(granule::train::Scores::Named(scores)) =
        outcome.evaluation.map(|evaluation| evaluation.scores)
    {
        for (name, score) in scores {
            println!("{name} {score:.3}");
        }
    }
    Ok(())
}
