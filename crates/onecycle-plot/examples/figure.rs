//! Writes one figure as SVG, PNG and CSV, and prints the same data to the terminal.
//!
//! `cargo run -p onecycle-plot --example figure -- FOLDER` (default: the folder for temporary files)

use std::{error::Error, fs, path::PathBuf};

use onecycle_plot::{
    Axis, Figure, Mark, Series, Style,
    terminal::{self, Charset, XLabels},
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);

    // A noisy loss that falls, and its mean.
    let step: Vec<f64> = (0..=300).map(f64::from).collect();
    let mean: Vec<f64> = step.iter().map(|n| 2.3 * (-n / 90.0).exp() + 0.1).collect();
    let noisy = mean
        .iter()
        .zip(&step)
        .map(|(loss, n)| loss * (1.0 + 0.15 * (1.7 * n).sin() * (0.31 * n).cos()));

    let mut figure = Figure::new(
        "loss",
        "Training loss",
        Axis::linear("step"),
        Axis::log("loss"),
    );
    let raw = Series::line("each step", step.clone(), noisy.collect());
    figure.series.push(raw.style(Style::Faint));
    figure.series.push(Series::line("mean", step, mean.clone()));
    figure.marks.push(Mark {
        x: 120.0,
        label: "peak".to_owned(),
    });
    figure.note = Some("Loss of a made-up training run.".to_owned());

    for (name, contents) in figure.files()? {
        let path = folder.join(name);
        fs::write(&path, contents)?;
        println!("{}", path.display());
    }
    let labels = XLabels::steps(mean.len());
    let plot = terminal::draw(&[("loss", &mean)], &labels, 72, 16, Charset::Braille);
    print!("\n{plot}");
    Ok(())
}
