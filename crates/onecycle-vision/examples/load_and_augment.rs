//! Loads Fashion-MNIST, augments the training images, and iterates over one epoch.
//!
//! `cargo run --release -p onecycle-vision --example load_and_augment`
//!
//! In a checkout the data are found in `data/fashion-mnist`. Elsewhere, download them with
//! `onecycle data get fashion-mnist`, or set `ONECYCLE_DATA` to their folder.

use std::time::Instant;

use onecycle_vision::{Augment, Border, DataError, Source};

fn main() -> Result<(), DataError> {
    let data = Source::named("fashion-mnist").load()?;
    println!(
        "{}: {} training and {} test images of {}, {} classes",
        data.name,
        data.train.len(),
        data.test.len(),
        data.shape,
        data.classes.len()
    );

    let statistics = data.statistics();
    println!("mean {:?}, std {:?}", statistics.mean, statistics.std);

    // Pad by 2 pixels, crop at random, mirror every other image, and cut out a square of 8 pixels.
    let augment = Augment {
        cutout: 8,
        ..Augment::crop_and_flip(2, Border::Zero)
    };
    let shape = data.shape;
    let (train, _) = data.loaders(augment, 42)?;

    let start = Instant::now();
    let mut images = 0;
    for (index, batch) in train.epoch(0, 256).into_iter().enumerate() {
        let batch = batch?;
        if index == 0 {
            println!(
                "first batch: images [{}, {}, {}, {}], labels {:?} ..",
                batch.len,
                shape.channels,
                shape.height,
                shape.width,
                &batch.labels[..8]
            );
        }
        images += batch.len;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{images} images in {seconds:.2} s: {:.0} images per second",
        images as f64 / seconds
    );
    Ok(())
}
