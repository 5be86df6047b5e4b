//! Classifies an image with a trained model: `embed_minimal model.granule image.png`.
//!
//! Without an image it classifies an empty one.

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
        .ok_or("usage: embed_minimal MODEL [IMAGE]")?;
    let classifier = granule::load(&model)?.resizing(true);
    let prediction = match args_os().nth(2) {
        Some(image) => classifier.predict_image_file(&image)?,
        None => classifier.predict_pixels(&vec![0; classifier.input().shape.len()])?,
    };
    for (class, probability) in prediction.top(3) {
        println!("{class:>12} {:5.1} %", 100.0 * probability);
    }
    Ok(())
}
