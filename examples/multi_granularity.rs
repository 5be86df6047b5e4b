//! One hundred Hodgkin–Huxley cells, a rate network of 64 units and a system of two variables, joined by couplers in both
//! directions, recover the strengths of their couplings from data that such a model generated.
//!
//! `cargo run --release -p granule --example multi_granularity -- [FIGURE.svg]`

use granule::burn::module::Module;
use granule::burn::optim::AdamConfig;
use granule::burn::tensor::Tensor;
use granule::chart::{Figure, Mark, Panel};
use granule::device::DeviceSpec;
use granule::dynamics::composite::{MultiGranularityConfig, MultiGranularityModel};
use granule::dynamics::gradient::{Memory, Run, gradient};
use granule::dynamics::{Grid, Model, NoInput, Place, host, record};

/// Cells excite the population, the population drives the system and the cells, the system feeds back to the population.
fn levels(gains: [f64; 3]) -> Result<MultiGranularityConfig, Box<dyn std::error::Error>> {
    let [up, drive, back] = gains;
    let currents: Vec<String> = (0..100)
        .map(|i| format!("{}", 6.5 + 0.05 * f64::from(i)))
        .collect();
    let text = format!(
        r#"
        dt = 0.5
        seed = 5
        observe = ["cells.v", "population.x", "system.x"]

        [[level]]
        name = "cells"
        dt = 0.05
        [level.unit]
        kind = "hodgkin-huxley"
        cells = 100
        current = [{}]

        [[level]]
        name = "population"
        inputs = 2
        [level.population]
        units = 64
        time_constant = [10.0]

        [[level]]
        name = "system"
        solver = "rk4"
        [level.system]
        kind = "linear"
        a = [[-0.05, -0.1], [0.1, -0.05]]
        b = [[0.1], [0.0]]

        [[coupler]]
        from = "cells.v"
        to = "population"
        channels = 1
        time_constant = 5.0
        conversion = {{ kind = "voltage-to-rate" }}
        projection = {{ mean = {{ gain = {up} }} }}

        [[coupler]]
        from = "population.output"
        to = "system"
        conversion = {{ kind = "rate-to-drive" }}
        projection = {{ mean = {{ gain = {drive} }} }}

        [[coupler]]
        from = "system.x"
        to = "population"
        channel = 1
        delay = 1.0
        conversion = {{ kind = "drive-to-rate" }}
        projection = {{ mean = {{ gain = {back} }} }}

        [[coupler]]
        from = "population.output"
        to = "cells"
        trainable = false
        conversion = {{ kind = "rate-to-current" }}
        projection = {{ mean = {{ gain = 2.0 }} }}
        "#,
        currents.join(", ")
    );
    Ok(toml::from_str(&text)?)
}

fn gains(model: &MultiGranularityModel) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let mut gains = Vec::new();
    for coupler in &model.couplers[..3] {
        if let Some(gain) = &coupler.gain {
            gains.extend(gain.values()?);
        }
    }
    Ok(gains)
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

fn run() -> Result<(), Box<dyn std::error::Error>> {
    const TRUE: [f64; 3] = [3.0, 4.0, 2.0];
    const GUESS: [f64; 3] = [1.5, 6.5, 0.7];
    const STEPS: usize = 80;
    let figure = std::env::args()
        .nth(1)
        .unwrap_or("multi_granularity.svg".into());
    let device = DeviceSpec::Cpu.open()?.burn().clone();
    let grid = Grid::over(40.0, 0.5)?;

    let truth = levels(TRUE)?.init(&Place::f32(&device))?;
    let (data, _) = record(&truth.dynamics()?, truth.initial_state(1)?, &NoInput, &grid)?;
    // Potentials of −80…40 mV next to states near 1, and 100 cells next to 2 variables: each level counts alike, by its own
    // variance.
    let parts = [(0, 100), (100, 64), (164, 2)];
    let level = |x: &Tensor<3>, (first, width): (usize, usize)| x.clone().narrow(2, first, width);
    let variances: Vec<f64> = parts
        .iter()
        .map(|part| Ok(host(level(&data, *part).var(0).mean())?[0]))
        .collect::<Result<_, Box<dyn std::error::Error>>>()?;

    let place = Place::f32(&device.autodiff());
    let mut model = levels(GUESS)?.init(&place)?.train_only(&["couplers"])?;
    let mut optimizer = AdamConfig::new().init();
    let mut curve = Vec::new();
    let memory = Memory::Segments(8);
    for step in 0..STEPS {
        let run = Run {
            initial: None,
            batch: 1,
            input: &NoInput,
            grid: &grid,
            every: 1,
            memory: &memory,
        };
        let target = data.clone().autodiff();
        let result = gradient(&model, &run, |seen| {
            let terms = parts.iter().zip(&variances).map(|(part, variance)| {
                let error = level(&seen, *part) - level(&target, *part);
                error.square().mean().div_scalar(*variance)
            });
            terms
                .reduce(|sum, term| sum + term)
                .unwrap_or_else(|| seen.sum())
        })?;
        curve.push((step as f64, result.loss.log10()));
        if step % 10 == 0 || step == STEPS - 1 {
            println!(
                "step {step:3}  loss {:.3e}  gains {:.3?}",
                result.loss,
                gains(&model)?
            );
        }
        let rate = 0.25 * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / STEPS as f64).cos());
        model = optimizer.step(rate, model, result.parameters);
    }
    let found = gains(&model)?;
    let mut worst = 0.0_f64;
    for (name, (found, truth)) in [
        "cells → population",
        "population → system",
        "system → population",
    ]
    .iter()
    .zip(found.iter().zip(TRUE))
    {
        let error = 100.0 * (found / truth - 1.0);
        worst = worst.max(error.abs());
        println!("{name:20} {found:.4} (true {truth}, {error:+.2} %)");
    }
    println!("largest error {worst:.2} %");

    let model = model.valid();
    let (seen, _) = record(&model.dynamics()?, model.initial_state(1)?, &NoInput, &grid)?;
    let seen = host(seen)?;
    let column = |c: usize| {
        let at = |t: usize| (t as f64 * 0.5, seen[t * 166 + c]);
        (0..=grid.steps()).map(at).collect::<Vec<_>>()
    };
    let mut cells = Panel::new("cells (mV)");
    for c in [0, 40, 99] {
        cells = cells.with(Mark::line("", column(c)));
    }
    let mut population = Panel::new("population x");
    for c in 100..106 {
        population = population.with(Mark::line("", column(c)));
    }
    let system = Panel::new("system X")
        .with(Mark::line("X1", column(164)))
        .with(Mark::line("X2", column(165)));
    let levels = Figure::new("Three levels after training", "time (ms)");
    let svg = levels
        .with(cells)
        .with(population)
        .with(system)
        .to_svg(840, 560)?;
    std::fs::write(&figure, svg)?;
    let training = Figure::new("Recovering three couplings", "step");
    let training = training.with(Panel::new("log10 loss").with(Mark::line("", curve)));
    let curve = format!("{}-training.svg", figure.trim_end_matches(".svg"));
    std::fs::write(&curve, training.to_svg(640, 320)?)?;
    println!("figures: {figure}, {curve}");
    Ok(())
}
