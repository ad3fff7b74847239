//! Images per second of each augmentation, on one thread.
//!
//! `cargo bench -p onecycle-vision --bench augment`; criterion's "elem/s" are images per second. They
//! include copying and normalising, which `none` measures alone. The loader works on a thread of its
//! own, beside the training.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use onecycle_vision::{
    Augment, Border, Fill, Flip, ImageShape, ImageSize, Loader, Split, Statistics,
};

const BATCH: usize = 128;

/// A gradient with noise, so that neither histograms nor colours are trivial.
fn loader(side: usize, count: usize, augment: Augment) -> Option<Loader> {
    let shape = ImageShape::new(3, side, side);
    let images = (0..count * shape.len())
        .map(|i| {
            let noise = ((i * 2_654_435_761) >> 13) % 64;
            (i % side * 190 / side + noise) as u8
        })
        .collect();
    let split = Arc::new(Split::new(shape, images, vec![0; count]).ok()?);
    let statistics = Statistics::of(&split);
    let loader = Loader::new(split, &statistics, augment, 0).ok()?;
    Some(loader.prefetch(false))
}

fn cases(side: usize) -> Vec<(&'static str, Augment)> {
    let none = Augment::default;
    let colours = Augment {
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
        ..none()
    };
    let crop = Augment::crop_and_flip(side / 8, Border::Reflect);
    let resized_crop = Augment {
        resized_crop_area: Some([0.35, 1.0]),
        ..none()
    };
    let rotate = Augment {
        rotate: 20.0,
        rotate_fill: Fill::Edge,
        ..none()
    };
    vec![
        ("none", none()),
        ("pad, crop, flip", crop.clone()),
        (
            "alternating flip",
            Augment {
                flip: Flip::Alternating,
                ..none()
            },
        ),
        ("resized crop", resized_crop.clone()),
        ("rotate", rotate),
        ("brightness, contrast, saturation", colours.clone()),
        ("hue", Augment { hue: 0.1, ..none() }),
        (
            "trivial_augment",
            Augment {
                trivial_augment: true,
                ..none()
            },
        ),
        (
            "mixup",
            Augment {
                mixup: 0.2,
                ..none()
            },
        ),
        (
            "cutmix",
            Augment {
                cutmix: 1.0,
                ..none()
            },
        ),
        (
            "everything",
            Augment {
                cutout: side / 4,
                erase_probability: 0.25,
                resized_crop_area: resized_crop.resized_crop_area,
                rotate: 20.0,
                hue: 0.1,
                trivial_augment: true,
                mixup: 0.2,
                cutmix: 1.0,
                brightness: colours.brightness,
                contrast: colours.contrast,
                saturation: colours.saturation,
                ..crop
            },
        ),
    ]
}

fn augmentations(c: &mut Criterion) {
    for (side, count) in [(32, 2048), (128, 256)] {
        let mut group = c.benchmark_group(format!("3x{side}x{side}"));
        group
            .throughput(Throughput::Elements(count as u64))
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1));
        for (name, augment) in cases(side) {
            let Some(loader) = loader(side, count, augment) else {
                continue;
            };
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| {
                    for batch in loader.epoch(0, BATCH) {
                        black_box(batch.map_or(0.0, |batch| batch.images[0]));
                    }
                });
            });
        }
        let smaller = ImageSize::square(side * 3 / 4);
        if let Some(loader) = loader(side, count, Augment::default()) {
            group.bench_function(BenchmarkId::from_parameter("resized to 3/4"), |b| {
                b.iter(|| {
                    for batch in loader.epoch(0, BATCH).image_sizes(move |_| smaller) {
                        black_box(batch.map_or(0.0, |batch| batch.images[0]));
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, augmentations);
criterion_main!(benches);
