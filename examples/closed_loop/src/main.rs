//! Steps a recurrent model at 1 kHz: `closed_loop [MODEL] [--seconds 60]`.
//!
//! Without a model it is a rate network of 256 units. At the end it prints how late steps began and how long they took.

use std::env::args_os;
use std::process::ExitCode;
use std::time::Duration;

use closed_loop::{ControlLoop, Timing};
use granule::device::DeviceSpec;
use granule::models::Stepper;

const PERIOD: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut model, mut seconds) = (None, 60.0);
    let mut arguments = args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let value = arguments.next().and_then(|value| value.into_string().ok());
            let value = value.and_then(|value| value.parse::<f64>().ok());
            seconds = value
                .filter(|value| (0.001..=3600.0).contains(value))
                .ok_or("--seconds takes a number from 0.001 to 3600")?;
        } else if model.is_none() && !argument.to_string_lossy().starts_with('-') {
            model = Some(argument);
        } else {
            return Err("usage: closed_loop [MODEL] [--seconds 60]".into());
        }
    }
    let mut control = match model {
        Some(model) => {
            let device = DeviceSpec::Cpu.open()?;
            ControlLoop::new(Stepper::from_path(model, device.burn())?)
        }
        None => ControlLoop::drawn(256)?,
    };
    control.step(PERIOD)?;
    let steps = (seconds / PERIOD.as_secs_f64()) as usize;
    let mut timings = vec![Timing::default(); steps.max(1)];
    control.run(PERIOD, &mut timings)?;
    println!(
        "{} steps of {} ms, a state of {} values",
        timings.len(),
        PERIOD.as_millis(),
        control.state().len()
    );
    println!("{:>12} {:>9} {:>9} {:>9}", "µs", "p50", "p99", "worst");
    print("late by", timings.iter().map(|timing| timing.jitter));
    print("step takes", timings.iter().map(|timing| timing.step));
    let missed = timings.iter().filter(|t| t.jitter + t.step > PERIOD);
    println!("{} steps ended after the next was due", missed.count());
    Ok(())
}

fn print(name: &str, times: impl Iterator<Item = Duration>) {
    let mut times: Vec<f64> = times.map(|time| 1e6 * time.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!(
        "{name:>12} {:>9.1} {:>9.1} {:>9.1}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
