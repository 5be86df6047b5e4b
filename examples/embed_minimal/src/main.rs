//! Classifies an image with a trained model: `embed_minimal model.granule pixels`, a file with a byte for each pixel.
//!
//! Without pixels it classifies an empty image.

use std::env::args_os;
use std::process::ExitCode;

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
    let model = args_os()
        .nth(1)
        .ok_or("usage: embed_minimal MODEL [PIXELS]")?;
    let classifier = granule::load(&model)?;
    let pixels = match args_os().nth(2) {
        Some(pixels) => std::fs::read(pixels)?,
        None => vec![0; classifier.input().shape.len()],
    };
    let prediction = classifier.predict_pixels(&pixels)?;
    for (class, probability) in prediction.top(3) {
        println!("{class:>12} {:5.1} %", 100.0 * probability);
    }
    Ok(())
}
