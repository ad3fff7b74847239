//! The published sets, read whole and held to what is known of them.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod common;

use std::fs;

use common::{IDX_NAMES, cifar_records, embedded, gzip, idx_labels, shared, tar_gz, write_idx};
use onecycle_vision::catalog::{self, FileStatus};
use onecycle_vision::locate::Places;
use onecycle_vision::{DataError, ImageShape, Source, Statistics};

fn close(found: &[f32], expected: &[f64]) -> bool {
    // The values are published with four digits.
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(&a, b)| (f64::from(a) - b).abs() < 5.1e-5)
}

#[test]
fn embedded_fashion_mnist_is_the_published_one() {
    let data = Source::at(embedded()).load().unwrap();
    assert_eq!(
        (data.name.as_str(), data.train.len(), data.test.len()),
        ("fashion-mnist", 60_000, 10_000)
    );
    assert_eq!(
        (data.shape, data.classes[9].as_str()),
        (ImageShape::new(1, 28, 28), "Ankle boot")
    );
    assert_eq!(data.train.class_counts(10), [6000; 10]);
    assert_eq!(data.test.class_counts(10), [1000; 10]);
    let Statistics { mean, std } = data.statistics();
    assert!(
        close(&mean, &[0.2860]) && close(&std, &[0.3530]),
        "{mean:?} {std:?}"
    );
    // The first labels, as the set's own reader prints them.
    assert_eq!(data.train.labels()[..10], [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]);
    assert_eq!(data.test.labels()[..10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
    assert_eq!(data.checksums.len(), 4);
    let set = catalog::find("fashion-mnist").unwrap();
    for file in set.files {
        assert_eq!(
            Some(data.checksums[file.name].as_str()),
            file.sha256,
            "{}",
            file.name
        );
    }

    let verified = catalog::verify(set, &embedded()).unwrap();
    assert!(verified.is_published(), "{verified:?}");
    assert!(
        verified
            .files
            .iter()
            .all(|file| file.status == FileStatus::Published),
        "{verified:?}"
    );
}

#[test]
fn the_checkout_is_found_without_being_told() {
    let places = Places {
        variable: None,
        cache: None,
        ..Places::of_process()
    };
    let data = Source::default().load_from(&places).unwrap();
    assert_eq!(data.name, "fashion-mnist");
    assert_eq!(data.limit(100).train.len(), 100);
}

#[test]
fn mnist() {
    let Some(path) = shared("mnist") else { return };
    let data = Source::at(&path).load().unwrap();
    assert_eq!(
        (data.name.as_str(), data.train.len(), data.test.len()),
        ("mnist", 60_000, 10_000)
    );
    assert_eq!(
        data.train.class_counts(10),
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    );
    let Statistics { mean, std } = data.statistics();
    assert!(
        close(&mean, &[0.1307]) && close(&std, &[0.3081]),
        "{mean:?} {std:?}"
    );
    // This copy is packed anew: other files, the published contents.
    let verified = catalog::verify(catalog::find("mnist").unwrap(), &path).unwrap();
    assert!(verified.is_published(), "{verified:?}");
    let asked = Source {
        name: Some("fashion-mnist".to_owned()),
        path: Some(path),
        ..Source::default()
    };
    let message = asked.load().unwrap_err().to_string();
    assert!(
        message.contains("MNIST") && message.contains("fashion-mnist"),
        "{message}"
    );
}

#[test]
fn cifar10() {
    let Some(path) = shared("cifar-10-binary.tar.gz") else {
        return;
    };
    let data = Source::at(&path).load().unwrap();
    assert_eq!(
        (data.name.as_str(), data.train.len(), data.test.len()),
        ("cifar10", 50_000, 10_000)
    );
    assert_eq!(
        (data.shape, data.classes[6].as_str()),
        (ImageShape::new(3, 32, 32), "frog")
    );
    assert_eq!(data.train.class_counts(10), [5000; 10]);
    assert_eq!(data.test.class_counts(10), [1000; 10]);
    let Statistics { mean, std } = data.statistics();
    assert!(close(&mean, &[0.4914, 0.4822, 0.4465]), "{mean:?}");
    assert!(close(&std, &[0.2470, 0.2435, 0.2616]), "{std:?}");
    assert_eq!(
        data.train.labels()[..8],
        [6, 9, 9, 4, 1, 1, 2, 7],
        "a frog, two trucks, .."
    );
    drop(data);

    // The training files are the published ones; the test file differs in 23 images.
    let verified = catalog::verify(catalog::find("cifar10").unwrap(), &path).unwrap();
    let status: Vec<_> = verified
        .files
        .iter()
        .map(|file| (file.name.as_str(), file.status))
        .collect();
    let archive = "cifar-10-binary.tar.gz";
    assert_eq!(status[0], (archive, FileStatus::Differs));
    for (k, found) in status[1..6].iter().enumerate() {
        let name = format!("{archive}/data_batch_{}.bin", k + 1);
        assert_eq!(*found, (name.as_str(), FileStatus::Published));
    }
    assert_eq!(status[6].1, FileStatus::Differs);
    assert_eq!(verified.files[6].md5, "93c50caff54ea4ec07fd1329bab59d6e");
    assert!(verified.counts_match && !verified.is_published());
}

#[test]
fn idx_files_may_be_packed_or_not_and_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("letters");
    write_idx(&plain);
    let data = Source::at(&plain).load().unwrap();
    assert_eq!(
        (data.name.as_str(), data.classes.len(), data.shape),
        ("letters", 3, ImageShape::new(1, 5, 5))
    );
    assert_eq!(
        (data.train.labels(), data.test.labels()),
        (&[0, 1, 2, 0, 1, 2][..], &[2, 1, 0, 0][..])
    );
    assert_eq!(data.train.image(1)[0], 175, "25 pixels on, at 7 each");

    let packed = folder.path().join("packed");
    fs::create_dir(&packed).unwrap();
    for name in IDX_NAMES {
        let bytes = fs::read(plain.join(name)).unwrap();
        fs::write(packed.join(format!("{name}.gz")), gzip(&bytes)).unwrap();
    }
    let again = Source::at(&packed).load().unwrap();
    assert_eq!((again.train, again.test), (data.train, data.test));
    assert!(again.checksums.keys().all(|name| name.ends_with(".gz")));
}

#[test]
fn cifar100_takes_the_fine_labels_from_archive_or_folder() {
    let folder = tempfile::tempdir().unwrap();
    let labels = |index: usize| vec![(index % 20) as u8, (index * 7 % 100) as u8];
    let (train, test) = (cifar_records(50_000, labels), cifar_records(10_000, labels));
    let unpacked = folder.path().join("cifar100/cifar-100-binary");
    fs::create_dir_all(&unpacked).unwrap();
    fs::write(unpacked.join("train.bin"), &train).unwrap();
    fs::write(unpacked.join("test.bin"), &test).unwrap();
    let places = Places {
        variable: Some(folder.path().to_path_buf()),
        ..Places::default()
    };
    let data = Source::named("CIFAR-100").load_from(&places).unwrap();
    assert_eq!(
        (data.train.len(), data.test.len(), data.classes.len()),
        (50_000, 10_000, 100)
    );
    assert_eq!(data.train.labels()[..4], [0, 7, 14, 21]);
    assert_eq!(data.classes[7], "beetle");
    assert_eq!(data.train.image(5), [5; 3072]);

    let archive = folder.path().join("mine.tar.gz");
    let entries = [
        ("cifar-100-binary/train.bin", &train[..]),
        ("cifar-100-binary/test.bin", &test[..]),
    ];
    fs::write(&archive, tar_gz(&entries)).unwrap();
    let packed = Source::at(&archive).load().unwrap();
    assert_eq!(
        (
            packed.name.as_str(),
            packed.train == data.train,
            packed.test == data.test
        ),
        ("cifar100", true, true)
    );
}

#[test]
fn places_are_searched_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name);
    let places = Places {
        variable: Some(below("variable")),
        checkouts: vec![below("checkout/deep/inside")],
        cache: Some(below("cache")),
    };
    let set = catalog::find("mnist").unwrap();
    fs::create_dir_all(below("checkout/data")).unwrap();
    let message = Source::named("mnist")
        .load_from(&places)
        .unwrap_err()
        .to_string();
    for part in [
        "variable",
        "checkout/data",
        "cache",
        "onecycle data get mnist",
        "ONECYCLE_DATA",
    ] {
        assert!(message.contains(part), "{message}");
    }
    for place in [
        "cache/mnist",
        "checkout/data/mnist",
        "variable/MNIST/raw",
        "variable",
    ] {
        write_idx(&below(place));
        assert_eq!(places.find(set).unwrap(), below(place));
    }
    // Four files are a set; three are not.
    fs::remove_file(below("variable").join(IDX_NAMES[2])).unwrap();
    assert_eq!(places.find(set).unwrap(), below("variable/MNIST/raw"));
}

#[test]
fn files_of_another_known_set_are_not_taken_for_it() {
    let places = Places {
        variable: Some(embedded()),
        ..Places::default()
    };
    assert!(places.find(catalog::find("fashion-mnist").unwrap()).is_ok());
    let error = places.find(catalog::find("mnist").unwrap()).unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
}

#[test]
fn changed_labels_are_noticed_by_verification() {
    let folder = tempfile::tempdir().unwrap();
    for name in IDX_NAMES {
        let name = format!("{name}.gz");
        fs::copy(embedded().join(&name), folder.path().join(&name)).unwrap();
    }
    let labels: Vec<u8> = (0..10_000).map(|i| (i % 10) as u8).collect();
    fs::remove_file(folder.path().join(format!("{}.gz", IDX_NAMES[3]))).unwrap();
    fs::write(folder.path().join(IDX_NAMES[3]), idx_labels(&labels)).unwrap();
    let verified = catalog::verify(catalog::find("fashion-mnist").unwrap(), folder.path()).unwrap();
    let status: Vec<_> = verified.files.iter().map(|file| file.status).collect();
    use FileStatus::{Differs, Published};
    assert_eq!(status, [Published, Published, Published, Differs]);
    assert!(!verified.is_published());
}
