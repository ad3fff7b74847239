//! The published sets, read whole and held to what is known of them.

use std::fs;

use crate::bad_data::files::{
    IDX_NAMES, cifar_records, embedded, gunzip, gzip, gzip_best, idx_images, idx_labels, shared,
    tar_gz, write_idx,
};
use onecycle_vision::catalog::{self, Format, KnownFile, KnownSet, Member};
use onecycle_vision::files;
use onecycle_vision::integrity::{self, FileStatus};
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

    let verified = integrity::verify(set, &embedded()).unwrap();
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
    assert_eq!(data.limit(100, 1).train.len(), 100);
}

#[test]
#[ignore = "needs the MNIST files: set ONECYCLE_SHARED"]
fn published_mnist() {
    let path = shared("mnist");
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
    // This copy was compressed again: other files with the published contents.
    let verified = integrity::verify(catalog::find("mnist").unwrap(), &path).unwrap();
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
#[ignore = "needs the CIFAR-10 files: set ONECYCLE_SHARED"]
fn published_cifar10() {
    let path = shared("cifar-10-binary.tar.gz");
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
    let verified = integrity::verify(catalog::find("cifar10").unwrap(), &path).unwrap();
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
fn files_compressed_again_have_the_published_contents() {
    let folder = tempfile::tempdir().unwrap();
    for name in IDX_NAMES {
        let name = format!("{name}.gz");
        let bytes = fs::read(embedded().join(&name)).unwrap();
        fs::write(folder.path().join(&name), gzip(&gunzip(&bytes))).unwrap();
    }
    let data = Source::at(folder.path()).load().unwrap();
    assert_eq!(
        data.name, "fashion-mnist",
        "recognised by its contents, whatever the folder is called"
    );
    let set = catalog::find("fashion-mnist").unwrap();
    let verified = integrity::verify(set, folder.path()).unwrap();
    let status: Vec<_> = verified.files.iter().map(|file| file.status).collect();
    assert_eq!(status, [FileStatus::SameContents; 4]);
    assert!(verified.is_published(), "{verified:?}");
    let other = Source {
        name: Some("mnist".to_owned()),
        ..Source::at(folder.path())
    };
    let message = other.load().unwrap_err().to_string();
    assert!(
        message.contains("Fashion-MNIST") && message.contains("`mnist`"),
        "{message}"
    );
}

#[test]
fn a_known_name_gives_its_classes_to_other_images() {
    let folder = tempfile::tempdir().unwrap();
    let digits: Vec<u8> = (0..40).map(|i| i % 10).collect();
    let files = [
        idx_images(40, 28),
        idx_labels(&digits),
        idx_images(20, 28),
        idx_labels(&digits[..20]),
    ];
    for (name, bytes) in IDX_NAMES.iter().zip(files) {
        fs::write(folder.path().join(format!("{name}.gz")), gzip(&bytes)).unwrap();
    }
    let source = Source {
        name: Some("MNIST".to_owned()),
        ..Source::at(folder.path())
    };
    let data = source.load().unwrap();
    assert_eq!(
        (data.name.as_str(), data.train.len(), data.test.len()),
        ("mnist", 40, 20)
    );
    assert_eq!(data.shape, ImageShape::new(1, 28, 28));
    assert_eq!(data.classes[9], "9");
    assert_eq!(data.train.class_counts(10), [4; 10]);
    let verified = integrity::verify(catalog::find("mnist").unwrap(), folder.path()).unwrap();
    let status: Vec<_> = verified.files.iter().map(|file| file.status).collect();
    assert_eq!(status, [FileStatus::Differs; 4]);
    assert!(!verified.counts_match && !verified.is_published());
}

/// A catalogue entry in the layout of CIFAR-10 with few images, and its files of records.
fn small_cifar() -> (&'static KnownSet, [(&'static str, Vec<u8>); 3]) {
    let records = |count| cifar_records(count, |index| vec![(index % 2) as u8]);
    let files = [
        ("small_1.bin", records(6)),
        ("small_2.bin", records(4)),
        ("small_test.bin", records(5)),
    ];
    let member = |(name, bytes): &(&'static str, Vec<u8>)| Member {
        name,
        records: bytes.len() / 3073,
        md5: Some(files::md5(bytes).leak()),
    };
    let members: Vec<Member> = files.iter().map(member).collect();
    let set = KnownSet {
        name: "small",
        title: "Small",
        classes: &["even", "odd"],
        shape: ImageShape::new(3, 32, 32),
        train: 10,
        test: 5,
        licence: "none",
        urls: &["https://example.com/"],
        files: Vec::leak(vec![KnownFile {
            name: "small.tar.gz",
            size: 0,
            md5: files::md5(&small_archive(&files)).leak(),
            sha256: None,
            content_md5: None,
        }]),
        format: Format::Cifar {
            label_bytes: 1,
            members: members.leak(),
            folder: "small-batches-bin",
        },
        folders: &["small"],
    };
    (Box::leak(Box::new(set)), files)
}

fn small_archive(files: &[(&'static str, Vec<u8>); 3]) -> Vec<u8> {
    let paths = files
        .each_ref()
        .map(|(name, _)| format!("small-batches-bin/{name}"));
    let entries: Vec<(&str, &[u8])> = (paths.iter().zip(files))
        .map(|(path, (_, bytes))| (path.as_str(), bytes.as_slice()))
        .collect();
    tar_gz(&entries)
}

#[test]
fn verification_compares_an_archive_and_the_files_in_it() {
    use FileStatus::{Differs, Published};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.tar.gz");
    let (set, mut files) = small_cifar();
    let verify = || {
        let verified = integrity::verify(set, &path).unwrap();
        let status: Vec<_> = verified.files.iter().map(|file| file.status).collect();
        (status, verified)
    };
    let archive = small_archive(&files);
    fs::write(&path, &archive).unwrap();
    let (status, verified) = verify();
    assert_eq!(status, [Published; 4]);
    assert!(verified.is_published());
    assert_eq!(verified.files[1].name, "small.tar.gz/small_1.bin");
    assert_eq!(verified.train_counts, [5, 5]);
    assert_eq!(verified.test_counts, [3, 2]);

    // The same files compressed another way.
    fs::write(&path, gzip_best(&gunzip(&archive))).unwrap();
    let (status, verified) = verify();
    assert_eq!(status, [Differs, Published, Published, Published]);
    assert!(
        verified.is_published(),
        "its contents are the published ones"
    );

    // One pixel of one test image.
    files[2].1[3000] ^= 1;
    fs::write(&path, small_archive(&files)).unwrap();
    let (status, verified) = verify();
    assert_eq!(status, [Differs, Published, Published, Differs]);
    assert_eq!(verified.files[3].md5, files::md5(&files[2].1));
    assert!(verified.counts_match && !verified.is_published());
}

#[test]
fn cifar10_is_read_from_its_six_files() {
    let folder = tempfile::tempdir().unwrap();
    let records = cifar_records(10_000, |index| vec![(index % 10) as u8]);
    for name in (1..=5).map(|k| format!("data_batch_{k}.bin")) {
        fs::write(folder.path().join(name), &records).unwrap();
    }
    fs::write(folder.path().join("test_batch.bin"), &records).unwrap();
    let data = Source::at(folder.path()).load().unwrap();
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
    assert_eq!(
        data.train.image(10_003),
        [3; 3072],
        "in the order of the files"
    );
    assert_eq!(data.checksums.len(), 6);
    // The pixels are not the published ones.
    let verified = integrity::verify(catalog::find("cifar10").unwrap(), folder.path()).unwrap();
    let differs = |file: &integrity::FileReport| file.status == FileStatus::Differs;
    assert!(verified.files.len() == 6 && verified.files.iter().all(differs));
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
    let verified =
        integrity::verify(catalog::find("fashion-mnist").unwrap(), folder.path()).unwrap();
    let status: Vec<_> = verified.files.iter().map(|file| file.status).collect();
    use FileStatus::{Differs, Published};
    assert_eq!(status, [Published, Published, Published, Differs]);
    assert!(!verified.is_published());
}

/// Guessing the contents of an archive stops where no CIFAR archive has anything: names of entries
/// can be gigabytes long, and a few megabytes can decompress to terabytes.
#[test]
fn guessing_an_archive_has_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photos.tar.gz");
    let long_name = |length: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_path("././@LongLink").unwrap();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(length as u64);
        header.set_cksum();
        header
    };
    let mut name = tar::Header::new_gnu();
    name.set_path("data_batch_1.bin").unwrap();
    name.set_size(0);
    name.set_cksum();
    for (length, known) in [(1 << 10, true), (300 << 20, false)] {
        let file = fs::File::create(&path).unwrap();
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
            file,
            flate2::Compression::fast(),
        ));
        let zeros = std::io::Read::take(std::io::repeat(b'a'), length as u64);
        archive.append(&long_name(length), zeros).unwrap();
        archive.append(&name, std::io::empty()).unwrap();
        archive.into_inner().unwrap().finish().unwrap();
        let error = Source::at(&path).load().unwrap_err();
        // Not as a CIFAR archive, but as one of images, whose names have a limit too.
        let recognised = !matches!(error, DataError::Archive { .. });
        assert_eq!(recognised, known, "{length}: {error}");
    }
}
