//! Images per second of the loader, and of reading a data set.
//!
//! `cargo bench -p onecycle-vision`; criterion's "elem/s" are images per second. Pixels are made
//! up: their values do not change the work. `inline` makes the batches on the measuring thread,
//! which is what one thread can do; `ahead` hands each of them over from the loader's thread.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use onecycle_vision::{Augment, Border, ImageShape, Loader, Source, Split, Statistics};

const IMAGES: usize = 10_000;
const BATCH: usize = 128;

fn loader(shape: ImageShape, augment: Augment) -> Option<Loader> {
    let images = (0..IMAGES * shape.len())
        .map(|i| ((i * 2_654_435_761) >> 13) as u8)
        .collect();
    let split = Arc::new(Split::new(shape, images, vec![0; IMAGES]).ok()?);
    let statistics = Statistics::of(&split);
    Loader::new(split, &statistics, augment, 0).ok()
}

fn epochs(c: &mut Criterion) {
    let mut group = c.benchmark_group("epoch");
    group
        .throughput(Throughput::Elements(IMAGES as u64))
        .sample_size(20);
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    let grey = ImageShape::new(1, 28, 28);
    let colour = ImageShape::new(3, 32, 32);
    let cutout = Augment {
        cutout: 16,
        ..Augment::crop_and_flip(4, Border::Reflect)
    };
    let cases = [
        ("28x28 plain", grey, Augment::default()),
        (
            "28x28 pad 2, crop, flip",
            grey,
            Augment::crop_and_flip(2, Border::Zero),
        ),
        ("3x32x32 plain", colour, Augment::default()),
        (
            "3x32x32 pad 4 reflect, crop, flip",
            colour,
            Augment::crop_and_flip(4, Border::Reflect),
        ),
        (
            "3x32x32 pad 4 reflect, crop, flip, cutout 16",
            colour,
            cutout,
        ),
    ];
    for (name, shape, augment) in cases {
        let Some(loader) = loader(shape, augment) else {
            continue;
        };
        for (how, prefetch) in [("inline", false), ("ahead", true)] {
            let loader = loader.clone().prefetch(prefetch);
            group.bench_function(BenchmarkId::new(name, how), |b| {
                b.iter(|| {
                    for batch in loader.epoch(0, BATCH) {
                        black_box(batch.map_or(0.0, |batch| batch.images[0]));
                    }
                });
            });
        }
    }
    group.finish();
}

fn reading(c: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/fashion-mnist");
    if !folder.is_dir() {
        return;
    }
    let mut group = c.benchmark_group("reading");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    group.bench_function("fashion-mnist", |b| {
        b.iter(|| Source::at(&folder).load().map(|data| data.train.len()))
    });
    group.finish();
}

criterion_group!(benches, epochs, reading);
criterion_main!(benches);
