//! Data sets of images in memory.

use onecycle_vision::{Augment, Border, DataError, Dataset, ImageShape, Loader, Split};

const SHAPE: ImageShape = ImageShape::new(1, 4, 4);

fn split(shape: ImageShape, labels: &[u32]) -> Split {
    let pixels = (0..labels.len() * shape.len()).map(|i| (i * 7 % 256) as u8);
    Split::new(shape, pixels.collect(), labels.to_vec()).unwrap()
}

fn dataset(train: Split, test: Split) -> Result<Dataset, DataError> {
    Dataset::new("numbers", ["zero", "one", "two"], train, test)
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = || split(SHAPE, &[0, 1, 2]);
    let wider = split(ImageShape::new(1, 4, 5), &[0]);
    let cases = [
        (dataset(split(SHAPE, &[0, 3]), good()), "label 3"),
        (dataset(good(), split(SHAPE, &[0, 7])), "label 7"),
        (dataset(good(), wider), "1x4x5"),
        (dataset(split(SHAPE, &[]), good()), "0 images"),
        (dataset(good(), split(SHAPE, &[])), "0 images"),
        (
            Dataset::new("a", ["b", "c", "b"], good(), good()),
            "\"b\" twice",
        ),
        (
            Dataset::new("a", ["b", "", "c"], good(), good()),
            "an empty name",
        ),
        (Dataset::new("a", [""; 0], good(), good()), "label 2"),
    ];
    for (made, expected) in cases {
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(dataset(good(), good()).is_ok());
}

#[test]
fn checksums_change_with_a_pixel_or_a_label() {
    let of = |labels: &[u32], shape| {
        let mut made = dataset(split(shape, labels), split(shape, &[0])).unwrap();
        assert_eq!(made.checksums.len(), 2);
        made.checksums.remove("train").unwrap()
    };
    let base = of(&[0, 1, 2], SHAPE);
    assert_eq!(of(&[0, 1, 2], SHAPE), base);
    assert_ne!(of(&[0, 1, 1], SHAPE), base);
    assert_ne!(of(&[0, 1, 2], ImageShape::new(1, 4, 5)), base);
    // A part of a split has the checksum of its images.
    let whole = split(SHAPE, &[0, 1, 2, 0]);
    let part = dataset(whole.select(&[0, 1, 2]), whole).unwrap();
    assert_eq!(part.checksums["train"], base);
}

#[test]
fn loaders_use_the_statistics_of_the_training_images() {
    let labels: Vec<u32> = (0..30).map(|i| i % 3).collect();
    let data = dataset(split(SHAPE, &labels), split(SHAPE, &[2, 1])).unwrap();
    let augment = Augment::crop_and_flip(1, Border::Zero);
    let (train, test) = data.loaders(augment.clone(), 9).unwrap();
    let statistics = data.statistics();
    let twin = Loader::new(data.train.clone(), &statistics, augment, 9).unwrap();
    let values = |loader: &Loader| -> Vec<f32> {
        let batches = loader.epoch(1, 8).batches();
        batches
            .flat_map(|batch| batch.unwrap().images.clone())
            .collect()
    };
    assert_eq!(values(&train), values(&twin));
    let normalised = statistics.tables(SHAPE).unwrap()[0];
    let batch = test.epoch(0, 2).batches().next().unwrap().unwrap();
    for (image, index) in batch.images.chunks_exact(SHAPE.len()).zip(&batch.indices) {
        let pixels = data.test.image(*index as usize);
        let expected = pixels.iter().map(|&pixel| normalised[usize::from(pixel)]);
        assert!(expected.eq(image.iter().copied()), "not augmented");
    }
}
