//! Prints the three most probable classes of each image.
//!
//! ```sh
//! cargo run --release -- model.onnx photo.jpg ...
//! ```

use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader};
use onecycle_onnx_example::Classifier;
use tract_onnx::prelude::{TractError, TractResult};

fn main() -> TractResult<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = || TractError::msg("usage: onecycle-onnx-example MODEL IMAGE...");
    let classifier = Classifier::open(Path::new(&arguments.next().ok_or_else(usage)?))?;
    for file in arguments {
        let pixels = classifier.pixels(read(&file)?);
        let outputs = classifier.run(&pixels)?;
        let names = classifier.classes.iter();
        let mut classes: Vec<_> = names.zip(&outputs.probabilities[0]).collect();
        classes.sort_by(|a, b| b.1.total_cmp(a.1));
        let best = classes.iter().take(3);
        let best = best.map(|(name, share)| format!("{name} {:.1} %", 100.0 * *share));
        println!("{file}: {}", best.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

/// Reads an image file and turns it upright.
fn read(file: &str) -> TractResult<DynamicImage> {
    let mut decoder = ImageReader::open(file)?
        .with_guessed_format()?
        .into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}
