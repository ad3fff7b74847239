//! The loader: values do not depend on batching, and each image comes once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use onecycle_vision::{
    Augment, Border, Curriculum, DataError, Flip, ImageShape, ImageSize, Loader, MixedLabels, Pass,
    Split, Statistics,
};

const SHAPE: ImageShape = ImageShape::new(3, 9, 7);
const COUNT: usize = 103;

fn split() -> Arc<Split> {
    let images = (0..COUNT * SHAPE.len())
        .map(|i| (i * 31 % 256) as u8)
        .collect();
    let labels = (0..COUNT as u32).map(|i| i % 10).collect();
    Arc::new(Split::new(SHAPE, images, labels).unwrap())
}

fn loader(augment: Augment, seed: u64) -> Loader {
    let split = split();
    let statistics = Statistics::of(&split);
    Loader::new(split, &statistics, augment, seed).unwrap()
}

fn everything() -> Augment {
    Augment {
        cutout: 3,
        erase_probability: 0.5,
        resized_crop_area: Some([0.4, 1.0]),
        rotate: 15.0,
        brightness: 0.3,
        hue: 0.1,
        trivial_augment: true,
        flip: Flip::Alternating,
        ..Augment::crop_and_flip(2, Border::Reflect)
    }
}

/// All values of a pass in order: (index, label, image).
fn samples(pass: Pass) -> Vec<(u32, i64, Vec<f32>)> {
    let mut samples = Vec::new();
    for batch in pass {
        let batch = batch.unwrap();
        assert_eq!(
            (batch.labels.len(), batch.images.len()),
            (batch.len, batch.len * SHAPE.len())
        );
        for (i, image) in batch.images.chunks_exact(SHAPE.len()).enumerate() {
            samples.push((batch.indices[i], batch.labels[i], image.to_vec()));
        }
    }
    samples
}

#[test]
fn neither_batch_size_nor_prefetching_changes_a_value() {
    let ahead = loader(everything(), 1);
    let inline = ahead.clone().prefetch(false);
    let expected = samples(ahead.epoch(4, 16));
    assert_eq!(samples(ahead.epoch(4, 16)), expected, "twice");
    assert_eq!(samples(inline.epoch(4, 16)), expected, "not ahead");
    assert_eq!(samples(ahead.epoch(4, 1)), expected, "one by one");
    assert_eq!(samples(ahead.epoch(4, COUNT * 2)), expected, "all at once");
    assert_eq!(
        samples(
            inline
                .epoch(4, 1)
                .batch_sizes(|batch| 1 + (batch as usize * 7) % 20)
        ),
        expected,
        "mixed sizes"
    );
}

#[test]
fn an_epoch_is_taken_up_anywhere() {
    let loader = loader(everything(), 1);
    let whole = samples(loader.epoch(2, 10));
    for skip in [1, 10, 57, COUNT - 1] {
        assert_eq!(
            samples(loader.epoch(2, 10).skip(skip)),
            whole[skip..],
            "from {skip}"
        );
    }
    for skip in [COUNT, COUNT + 1, usize::MAX] {
        assert_eq!(
            loader.epoch(2, 10).skip(skip).batches().count(),
            0,
            "from {skip}"
        );
    }
}

#[test]
fn every_image_comes_once_in_an_order_of_its_own_each_epoch() {
    let loader = loader(Augment::default(), 7);
    let (first, second) = (loader.order(0), loader.order(1));
    assert_ne!(first, second);
    assert_ne!(
        first,
        self::loader(Augment::default(), 8).order(0),
        "another seed"
    );
    for (epoch, order) in [(0, first), (1, second)] {
        let seen: Vec<u32> = samples(loader.epoch(epoch, 32))
            .iter()
            .map(|sample| sample.0)
            .collect();
        assert_eq!(seen, order);
        let mut sorted = seen;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..COUNT as u32).collect::<Vec<_>>());
    }
}

#[test]
fn augmentation_differs_by_epoch_and_seed_and_leaves_the_order_alone() {
    let by_index = |seed, epoch| {
        let mut samples = samples(loader(everything(), seed).epoch(epoch, 50));
        samples.sort_by_key(|sample| sample.0);
        samples
    };
    let same = |a: &[(u32, i64, Vec<f32>)], b: &[(u32, i64, Vec<f32>)]| {
        a.iter().zip(b).filter(|(a, b)| a == b).count()
    };
    let base = by_index(1, 0);
    assert!(same(&base, &by_index(1, 1)) < COUNT / 4);
    assert!(same(&base, &by_index(2, 0)) < COUNT / 4);
    assert_eq!(
        loader(everything(), 1).order(0),
        loader(Augment::default(), 1).order(0)
    );
}

#[test]
fn evaluation_keeps_order_and_images() {
    let loader = loader(everything(), 1);
    let split = split();
    let tables = Statistics::of(&split).tables(SHAPE).unwrap();
    let mut index = 0;
    for batch in loader.evaluation(40) {
        let batch = batch.unwrap();
        for (image, label) in batch.images.chunks_exact(SHAPE.len()).zip(&batch.labels) {
            let expected = split.image(index).iter().enumerate();
            let expected =
                expected.map(|(i, &value)| tables[i / SHAPE.plane()][usize::from(value)]);
            assert!(expected.eq(image.iter().copied()), "image {index}");
            assert_eq!(*label, i64::from(split.label(index)));
            index += 1;
        }
    }
    assert_eq!(index, COUNT);
}

#[test]
fn batch_sizes_are_asked_once_in_order_and_one_ahead() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let sizes = move |batch| {
        assert_eq!(counter.fetch_add(1, Ordering::SeqCst), batch);
        10
    };
    let mut batches = loader(Augment::default(), 1)
        .epoch(0, 1)
        .batch_sizes(sizes)
        .skip(3)
        .batches();
    assert_eq!(batches.remaining(), COUNT - 3);
    batches.next().unwrap().unwrap();
    // The second is in the making, and the third is not begun until the second is taken.
    let deadline = Instant::now() + Duration::from_secs(20);
    while asked.load(Ordering::SeqCst) < 2 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(
        batches.map(|batch| batch.unwrap().len).collect::<Vec<_>>(),
        [10; 9]
    );
    assert_eq!(asked.load(Ordering::SeqCst), 10);
}

#[test]
fn memory_of_batches_is_used_again() {
    let loader = loader(Augment::default(), 1);
    let mut addresses = std::collections::BTreeSet::new();
    for batch in loader.epoch(0, 1) {
        addresses.insert(batch.unwrap().images.as_ptr() as usize);
    }
    // One with the consumer, one that waits, one in the making; never one for each of the batches.
    assert!(
        addresses.len() <= 3,
        "{} buffers for {COUNT} batches",
        addresses.len()
    );
}

#[test]
fn images_may_be_taken_out() {
    let loader = loader(Augment::default(), 1);
    let expected = samples(loader.epoch(0, 20));
    let taken = loader
        .epoch(0, 20)
        .batches()
        .flat_map(|batch| std::mem::take(&mut batch.unwrap().images));
    assert!(taken.eq(expected.iter().flat_map(|sample| sample.2.iter().copied())));
}

#[test]
fn stopping_early_ends_the_thread_and_frees_the_images() {
    let split = split();
    let statistics = Statistics::of(&split);
    let watch: Weak<Split> = Arc::downgrade(&split);
    let loader = Loader::new(split, &statistics, everything(), 1).unwrap();
    let mut batches = loader.epoch(0, 2).batches();
    let kept = batches.next().unwrap().unwrap();
    drop(batches);
    drop(loader);
    assert!(
        watch.upgrade().is_none(),
        "the thread still holds the images"
    );
    assert_eq!(kept.len, 2);
    drop(kept);
}

#[test]
fn errors_come_as_the_last_item() {
    for prefetch in [true, false] {
        let loader = loader(Augment::default(), 1).prefetch(prefetch);
        let mut batches = loader
            .epoch(0, 1)
            .batch_sizes(|batch| if batch < 2 { 10 } else { 0 })
            .batches();
        assert_eq!(batches.by_ref().take(2).filter(Result::is_ok).count(), 2);
        assert!(matches!(
            batches.next(),
            Some(Err(DataError::BatchSize { batch: 2 }))
        ));
        assert!(batches.next().is_none());
        assert_eq!(batches.remaining(), 0);
    }
}

#[test]
fn a_panic_in_the_callers_function_becomes_an_error() {
    let loader = loader(Augment::default(), 1);
    let mut batches = loader
        .epoch(0, 1)
        .batch_sizes(|batch| match batch {
            0 => 10,
            _ => panic!("no size for batch {batch}"),
        })
        .batches();
    assert!(batches.next().unwrap().is_ok());
    let message = batches.next().unwrap().unwrap_err().to_string();
    assert!(message.contains("no size for batch 1"), "{message}");
    assert!(batches.next().is_none());
}

#[test]
fn what_does_not_fit_is_refused() {
    let split = split();
    let statistics = Statistics::of(&split);
    let refused = |split: &Arc<Split>, statistics: &Statistics, augment| {
        Loader::new(Arc::clone(split), statistics, augment, 0)
            .unwrap_err()
            .to_string()
    };
    let empty = Arc::new(Split::new(SHAPE, vec![], vec![]).unwrap());
    assert!(refused(&empty, &statistics, Augment::default()).contains("at least one image"));
    let grey = Statistics {
        mean: vec![0.1],
        std: vec![0.2],
    };
    assert!(refused(&split, &grey, Augment::default()).contains("3 channels"));
    let pad = Augment {
        pad: 7,
        border: Border::Reflect,
        ..Augment::default()
    };
    assert!(refused(&split, &statistics, pad).contains("augment.pad"));
}

/// The hardest first by index, so that a mistake in the order shows.
fn backwards() -> Vec<u32> {
    (0..COUNT as u32).rev().collect()
}

#[test]
fn a_curriculum_draws_from_the_easiest_images_first() {
    let curriculum = Curriculum {
        easiest_first: backwards(),
        start: 0.25,
        epochs: 3.0,
    };
    // 103 / 4 rounded up, then a quarter of the images more from epoch to epoch.
    let pools = [0, 1, 2, 3, 9].map(|epoch| curriculum.pool(epoch));
    assert_eq!(pools, [26, 52, 78, 103, 103]);
    let plain = loader(everything(), 1);
    let easy = plain.clone().with_curriculum(curriculum).unwrap();
    for (epoch, pool) in [0, 1, 2].into_iter().zip(pools) {
        let order = easy.order(epoch);
        assert_eq!(order.len(), COUNT);
        let hardest = (COUNT - pool) as u32;
        assert!(order.iter().all(|image| *image >= hardest), "{epoch}");
        // All of them once before one comes again.
        let mut first: Vec<u32> = order[..pool].to_vec();
        first.sort_unstable();
        assert!(first.iter().copied().eq(hardest..COUNT as u32), "{epoch}");
        assert_eq!(samples(easy.epoch(epoch, 10)).len(), COUNT);
    }
    let mut all = easy.order(3);
    all.sort_unstable();
    assert!(all.into_iter().eq(0..COUNT as u32));
    // Taken up in the middle of an epoch.
    let whole = samples(easy.epoch(1, 10));
    assert_eq!(samples(easy.epoch(1, 10).skip(40)), whole[40..]);
}

#[test]
fn an_impossible_curriculum_is_refused() {
    let sound = Curriculum {
        easiest_first: backwards(),
        start: 0.5,
        epochs: 1.0,
    };
    let mut cases = vec![];
    for start in [0.0, -0.1, 1.1, f64::NAN] {
        let wrong = Curriculum {
            start,
            ..sound.clone()
        };
        cases.push((wrong, "data.curriculum.start"));
    }
    for epochs in [-1.0, f64::INFINITY, f64::NAN] {
        let wrong = Curriculum {
            epochs,
            ..sound.clone()
        };
        cases.push((wrong, "data.curriculum.epochs"));
    }
    let mut twice = backwards();
    twice[0] = twice[1];
    for easiest_first in [vec![], twice] {
        let wrong = Curriculum {
            easiest_first,
            ..sound.clone()
        };
        cases.push((wrong, "curriculum"));
    }
    for (curriculum, key) in cases {
        let error = loader(Augment::default(), 1).with_curriculum(curriculum);
        let found = error.map_err(|error| match error {
            DataError::Setting { key, .. } => key,
            other => panic!("{other}"),
        });
        assert_eq!(found.err(), Some(key));
    }
}

#[test]
fn evaluation_of_some_images_in_any_order() {
    let loader = loader(everything(), 1);
    let all: Vec<Vec<f32>> = loader
        .evaluation(COUNT)
        .batches()
        .flat_map(|batch| {
            let batch = batch.unwrap();
            let images = batch.images.chunks_exact(SHAPE.len());
            images.map(<[f32]>::to_vec).collect::<Vec<_>>()
        })
        .collect();
    let indices: Vec<u32> = loader.order(7).into_iter().take(5).collect();
    let batches = loader.evaluation(2).images(indices.clone());
    let mut seen = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        for (image, index) in batch.images.chunks_exact(SHAPE.len()).zip(&batch.indices) {
            assert_eq!(image, all[*index as usize]);
            seen.push(*index);
        }
    }
    assert_eq!(seen, indices);
}

#[test]
fn parts_of_an_evaluation_divide_the_images() {
    let loader = loader(everything(), 1);
    let indices = |part, parts| -> Vec<u32> {
        let batches = loader.evaluation(7).part(part, parts);
        samples(batches).iter().map(|sample| sample.0).collect()
    };
    assert_eq!(indices(2, 4)[..3], [2, 6, 10]);
    let mut all: Vec<u32> = (0..4).flat_map(|part| indices(part, 4)).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..COUNT as u32));
    assert_eq!(indices(0, 0).len(), COUNT, "0 parts count as 1");
    assert_eq!(indices(4, 4), Vec::<u32>::new());
}

#[test]
fn an_evaluation_resumes_after_the_images_already_used() {
    let loader = loader(everything(), 1);
    let whole = samples(loader.evaluation(10));
    let rest = samples(loader.evaluation(10).skip(40));
    assert_eq!(rest, whole[40..]);
}

#[test]
fn tensors_have_the_values_of_the_batch() {
    let loader = loader(everything(), 1);
    let device = Device::flex();
    for (batch, twin) in loader.epoch(3, 40).into_iter().zip(loader.epoch(3, 40)) {
        let (batch, twin) = (batch.unwrap(), twin.unwrap());
        let (images, labels) = twin.tensors(&device);
        assert_eq!(images.dims(), [batch.len, 3, 9, 7]);
        assert_eq!(
            images.into_data().try_into_vec::<f32>(),
            Ok(batch.images.clone())
        );
        let labels: Vec<i64> = labels.into_data().iter().collect();
        assert_eq!(labels, batch.labels);
    }
}

fn mixing() -> Augment {
    Augment {
        mixup: 0.4,
        cutmix: 1.0,
        ..everything()
    }
}

/// Each batch is the mixture of the images of the same batch without mixing.
#[test]
fn mixed_batches_have_the_images_and_labels_of_their_pairs() {
    let (mixed, plain) = (loader(mixing(), 1), loader(everything(), 1));
    let mut shares = Vec::new();
    for (mixed, plain) in mixed.epoch(3, 20).into_iter().zip(plain.epoch(3, 20)) {
        let (mixed, plain) = (mixed.unwrap(), plain.unwrap());
        assert_eq!(
            (&mixed.labels, &mixed.indices),
            (&plain.labels, &plain.indices)
        );
        assert_eq!(plain.mixed, None);
        let targets = mixed.mixed.clone().unwrap();
        shares.push(targets.share);
        let mut images = mixed.images.chunks_exact(SHAPE.len()).zip(&targets.labels);
        let found = images.all(|(image, label)| {
            // Some other image of the batch, or the image itself, with this label explains each value:
            // it is the mixture, the image's own value, or that of the other one.
            let share = targets.share as f32;
            let own = &plain.images;
            (0..plain.len).any(|other| {
                let other_image = &own[other * SHAPE.len()..][..SHAPE.len()];
                plain.labels[other] == *label
                    && own.chunks_exact(SHAPE.len()).any(|own| {
                        let mean = |(a, b): (&f32, &f32)| share * a + (1.0 - share) * b;
                        let both = own.iter().zip(other_image);
                        let mixup = both
                            .clone()
                            .map(mean)
                            .zip(image)
                            .all(|(a, b)| (a - b).abs() < 1e-4);
                        let patches = both.zip(image).all(|((a, b), x)| a == x || b == x);
                        mixup || patches
                    })
            })
        });
        assert!(found, "share {}", targets.share);
    }
    assert_eq!(shares.len(), COUNT.div_ceil(20));
    let mut different = shares.clone();
    different.dedup();
    assert_eq!(different, shares, "each batch has a share of its own");
}

#[test]
fn mixtures_depend_on_seed_epoch_and_position_only() {
    let batches = |loader: &Loader, epoch, skip| -> Vec<(Vec<f32>, Option<MixedLabels>)> {
        let batches = loader.epoch(epoch, 10).skip(skip);
        let values = |batch: onecycle_vision::Batch| (batch.images.clone(), batch.mixed.clone());
        batches
            .into_iter()
            .map(|batch| values(batch.unwrap()))
            .collect()
    };
    let ahead = loader(mixing(), 1);
    let whole = batches(&ahead, 2, 0);
    assert_eq!(batches(&ahead.clone().prefetch(false), 2, 0), whole);
    assert_eq!(batches(&ahead, 2, 40), whole[4..], "resumed");
    assert_ne!(batches(&ahead, 3, 0)[0].1, whole[0].1, "epoch");
    assert_ne!(batches(&loader(mixing(), 2), 2, 0)[0].1, whole[0].1, "seed");
}

#[test]
fn images_are_resized_per_batch_after_the_augmentation() {
    let loader = loader(everything(), 1);
    let sizes = |batch| match batch {
        0 => ImageSize {
            height: 3,
            width: 7,
        },
        1 => ImageSize {
            height: 9,
            width: 1,
        },
        _ => ImageSize {
            height: 9,
            width: 7,
        },
    };
    let full = loader.epoch(1, 40).into_iter();
    let mut seen = 0;
    for (batch, full) in loader.epoch(1, 40).image_sizes(sizes).into_iter().zip(full) {
        let (batch, full) = (batch.unwrap(), full.unwrap());
        let shape = batch.shape;
        assert_eq!(
            ImageSize {
                height: shape.height,
                width: shape.width
            },
            sizes(seen)
        );
        assert_eq!(batch.images.len(), batch.len * shape.len());
        // The sides divide those of the images, so each value is the mean of a block.
        let (rows, columns) = (9 / shape.height, 7 / shape.width);
        for (index, value) in batch.images.iter().enumerate() {
            let (plane, place) = (index / shape.plane(), index % shape.plane());
            let (row, column) = (place / shape.width * rows, place % shape.width * columns);
            let block =
                (0..rows).flat_map(|r| (0..columns).map(move |c| (row + r) * 7 + column + c));
            let sum: f32 = block.map(|at| full.images[plane * 63 + at]).sum();
            let mean = sum / (rows * columns) as f32;
            assert!((mean - value).abs() < 1e-4, "{mean} {value}");
        }
        let (images, _) = batch.tensors(&Device::flex());
        assert_eq!(images.dims()[2..], [shape.height, shape.width]);
        seen += 1;
    }
    assert_eq!(seen, 3);
    for (height, width) in [(10, 7), (9, 8), (0, 7)] {
        let size = ImageSize { height, width };
        let mut batches = loader.epoch(1, 40).image_sizes(move |_| size).batches();
        assert!(matches!(
            batches.next(),
            Some(Err(DataError::Setting { .. }))
        ));
        assert!(batches.next().is_none());
    }
}
