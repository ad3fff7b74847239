//! Folders of images: layouts, kinds of images, sizes, and the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::bad_data::{ANIMATED_GIF, files::write_png};
use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba};
use onecycle_vision::{Dataset, FolderOptions, ImageShape, Source, files};

/// Bytes of a cache file before the labels: magic number, key, number and size of the images.
const HEADER: usize = 8 + 64 + 8 + 8;

fn options(root: &Path) -> FolderOptions {
    FolderOptions {
        size: 8.into(),
        cache_folder: Some(root.join("cache")),
        ..FolderOptions::default()
    }
}

fn load(root: &Path) -> Dataset {
    Source {
        folder: options(root),
        ..Source::at(root.join("data"))
    }
    .load()
    .unwrap()
}

/// Ten cats and five dogs, each image of its own colour.
fn write_pets(folder: &Path) {
    for k in 0..15_u8 {
        let class = if k < 10 { "cat" } else { "dog" };
        write_png(
            &folder.join(format!("{class}/{k:02}.png")),
            8,
            8,
            [k, 100, 200],
        );
    }
}

fn caches(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(root.join("cache"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn classes_are_folders_and_validation_is_split_off_by_class() {
    let root = tempfile::tempdir().unwrap();
    write_pets(&root.path().join("data"));
    fs::write(root.path().join("data/.hidden"), "x").unwrap();
    fs::write(root.path().join("data/cat/readme.txt"), "x").unwrap();
    let data = load(root.path());
    assert_eq!(
        (data.name.as_str(), data.classes.as_slice()),
        ("data", &["cat".to_owned(), "dog".to_owned()][..])
    );
    assert_eq!(data.shape, ImageShape::new(3, 8, 8));
    assert_eq!(
        (data.train.class_counts(2), data.test.class_counts(2)),
        (vec![8, 4], vec![2, 1])
    );
    // Each image is in one of the two parts, with its label.
    let mut seen: Vec<(u8, u32)> = [&data.train, &data.test]
        .iter()
        .flat_map(|split| (0..split.len()).map(|i| (split.image(i)[1], split.label(i))))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        (0..15).map(|k| (k, u32::from(k >= 10))).collect::<Vec<_>>()
    );
    assert!(data.notes.is_empty());

    let other = FolderOptions {
        seed: 1,
        ..options(root.path())
    };
    let other = Source {
        folder: other,
        ..Source::at(root.path().join("data"))
    }
    .load()
    .unwrap();
    assert_ne!(other.test, data.test);
    assert_eq!(other.checksums, data.checksums, "the same images");
}

#[test]
fn train_and_validation_folders_are_kept_apart() {
    for validation in ["val", "valid", "validation", "test"] {
        let root = tempfile::tempdir().unwrap();
        write_pets(&root.path().join("data/train"));
        write_png(
            &root.path().join("data").join(validation).join("dog/1.PNG"),
            8,
            8,
            [77, 0, 0],
        );
        let data = load(root.path());
        assert_eq!((data.train.len(), data.test.len()), (15, 1), "{validation}");
        assert_eq!((data.test.label(0), data.test.image(0)[1]), (1, 77));
        // The second time from the cache.
        assert_eq!(load(root.path()), data);
    }
}

#[test]
fn every_kind_of_image_becomes_rgb_with_8_bits() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data/train");
    write_png(&folder.join("b/rgb.png"), 8, 8, [1, 2, 3]);
    fs::create_dir_all(folder.join("a")).unwrap();
    GrayImage::from_pixel(8, 8, Luma([90]))
        .save(folder.join("a/1.png"))
        .unwrap();
    let deep: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_pixel(8, 8, Luma([257 * 40]));
    deep.save(folder.join("a/2.png")).unwrap();
    let alpha = ImageBuffer::from_pixel(8, 8, Rgba([5_u8, 6, 7, 0]));
    alpha.save(folder.join("a/3.png")).unwrap();
    RgbImage::from_pixel(8, 8, Rgb([128; 3]))
        .save(folder.join("a/4.jpg"))
        .unwrap();
    // A JPEG by another name.
    fs::copy(folder.join("a/4.jpg"), folder.join("a/5.png")).unwrap();
    write_png(&root.path().join("data/val/a/1.png"), 8, 8, [0; 3]);
    let data = load(root.path());
    let middle = |index: usize| [0, 1, 2].map(|channel| data.train.image(index)[channel * 64 + 36]);
    assert_eq!(
        [middle(0), middle(1), middle(2)],
        [[90; 3], [40; 3], [255; 3]],
        "the last one is transparent, on white"
    );
    for index in [3, 4] {
        assert!(
            middle(index).iter().all(|value| value.abs_diff(128) <= 2),
            "{:?}",
            middle(index)
        );
    }
    assert_eq!(middle(5), [1, 2, 3]);
}

#[test]
fn images_are_cropped_to_their_centre_and_resized() {
    let root = tempfile::tempdir().unwrap();
    // A wide image: red, then a square that is green above and blue below, then red.
    let wide = RgbImage::from_fn(64, 16, |x, y| match (x, y) {
        (24..40, 0..8) => Rgb([0, 255, 0]),
        (24..40, _) => Rgb([0, 0, 255]),
        _ => Rgb([255, 0, 0]),
    });
    let folder = root.path().join("data/train");
    for class in ["a", "b"] {
        fs::create_dir_all(folder.join(class)).unwrap();
        wide.save(folder.join(class).join("1.png")).unwrap();
    }
    write_png(&root.path().join("data/val/a/1.png"), 3, 5, [50; 3]);
    let data = load(root.path());
    let [red, green, blue] = [0, 1, 2].map(|channel| &data.train.image(0)[channel * 64..][..64]);
    assert!(
        red.iter().all(|&value| value == 0),
        "nothing from beside the square"
    );
    assert!(
        green[..24].iter().all(|&value| value == 255)
            && green[40..].iter().all(|&value| value == 0)
    );
    assert!(
        blue[..24].iter().all(|&value| value == 0) && blue[40..].iter().all(|&value| value == 255)
    );
    assert_eq!(data.test.image(0)[63], 50, "a small image is made larger");
}

#[test]
fn photographs_are_turned_upright() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data/train");
    for class in ["a", "b"] {
        fs::create_dir_all(folder.join(class)).unwrap();
        // White on the left, black on the right.
        let image = RgbImage::from_fn(16, 16, |x, _| Rgb([if x < 8 { 255 } else { 0 }; 3]));
        let path = folder.join(class).join("1.jpg");
        image.save(&path).unwrap();
        if class == "b" {
            // An Exif segment that says: turn by 90 degrees clockwise (orientation 6).
            let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
            let jpeg = fs::read(&path).unwrap();
            let length = (exif.len() as u16 + 2).to_be_bytes();
            fs::write(
                &path,
                [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat(),
            )
            .unwrap();
        }
    }
    write_png(&root.path().join("data/val/a/1.png"), 8, 8, [0; 3]);
    let data = load(root.path());
    let bright =
        |image: usize, row: usize, column: usize| data.train.image(image)[row * 8 + column] > 127;
    assert_eq!(
        (bright(0, 1, 1), bright(0, 1, 6), bright(0, 6, 1)),
        (true, false, true)
    );
    assert_eq!(
        (bright(1, 1, 1), bright(1, 1, 6), bright(1, 6, 1)),
        (true, true, false),
        "white is above"
    );
}

#[test]
fn of_an_animation_the_first_image_is_read() {
    let root = tempfile::tempdir().unwrap();
    write_pets(&root.path().join("data"));
    fs::write(root.path().join("data/dog/99.png"), ANIMATED_GIF).unwrap();
    let data = load(root.path());
    let contents = data.contents.unwrap();
    assert_eq!((contents.formats["GIF"], contents.formats["PNG"]), (1, 15));
    assert_eq!(data.train.len() + data.test.len(), 16);
}

#[test]
fn the_cache_is_used_and_follows_changes() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    write_pets(&folder);
    let first = load(root.path());
    let [cache] = &caches(root.path())[..] else {
        panic!("{:?}", caches(root.path()))
    };
    // A sound cache with other pixels than the files: only the cache can give them.
    let mut bytes = fs::read(cache).unwrap();
    let (body, sum) = (HEADER..bytes.len() - 64, bytes.len() - 64..);
    *bytes[body.clone()].last_mut().unwrap() ^= 1;
    let checksum = files::sha256(&bytes[body]);
    bytes[sum].copy_from_slice(checksum.as_bytes());
    fs::write(cache, bytes).unwrap();
    assert_ne!(load(root.path()).checksums, first.checksums);
    // Another time: another cache.
    write_png(&folder.join("cat/00.png"), 8, 8, [250, 100, 200]);
    let second = load(root.path());
    assert_ne!(second.checksums, first.checksums);
    assert_eq!(caches(root.path()).len(), 2);
    assert!(cache.exists());
    // Another size, too.
    let larger = FolderOptions {
        size: 12.into(),
        ..options(root.path())
    };
    let larger = Source {
        folder: larger,
        ..Source::at(&folder)
    }
    .load()
    .unwrap();
    assert_eq!((larger.shape.height, caches(root.path()).len()), (12, 3));
}

/// Reproducible archives and package managers give all files one time, and images can have one size:
/// a cat and a dog that change places look the same to anything but the inode.
#[test]
fn files_that_change_places_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("data");
    let (cat, dog) = (
        folder.join("train/cat/0.bmp"),
        folder.join("train/dog/0.bmp"),
    );
    write_png(&cat, 8, 8, [1, 100, 200]);
    write_png(&dog, 8, 8, [2, 100, 200]);
    write_png(&folder.join("val/dog/1.png"), 8, 8, [3, 100, 200]);
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    for path in [&cat, &dog] {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(epoch).unwrap();
    }
    let sizes = [&cat, &dog].map(|path| fs::metadata(path).unwrap().len());
    assert_eq!(sizes[0], sizes[1]);
    let red = |data: &Dataset| [0, 1].map(|index| data.train.image(index)[1]);
    let before = load(root.path());
    assert_eq!(red(&before), [1, 2]);

    let aside = root.path().join("aside.png");
    fs::rename(&cat, &aside).unwrap();
    fs::rename(&dog, &cat).unwrap();
    fs::rename(&aside, &dog).unwrap();
    let after = load(root.path());
    assert_eq!(red(&after), [2, 1]);
    assert_ne!(before.checksums, after.checksums);
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    write_pets(&root.path().join("data"));
    let expected = load(root.path());
    let cache = caches(root.path()).remove(0);
    let whole = fs::read(&cache).unwrap();
    let mut pixel = whole.clone();
    let middle = pixel.len() / 2;
    pixel[middle] ^= 1;
    let mut magic = whole.clone();
    magic[0] ^= 1;
    for damaged in [
        pixel,
        magic,
        whole[..middle].to_vec(),
        [&whole[..], &[0]].concat(),
        Vec::new(),
    ] {
        fs::write(&cache, damaged).unwrap();
        assert_eq!(load(root.path()), expected);
        assert_eq!(fs::read(&cache).unwrap(), whole, "it is written again");
    }
}

#[test]
fn without_a_place_for_the_cache_it_works_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    write_pets(&root.path().join("data"));
    let expected = load(root.path());
    // A file where the folder should be.
    fs::remove_dir_all(root.path().join("cache")).unwrap();
    fs::write(root.path().join("cache"), "in the way").unwrap();
    let data = load(root.path());
    assert_eq!((data.train, data.test), (expected.train, expected.test));
    assert!(data.notes[0].contains("decoded again"), "{:?}", data.notes);
    let off = FolderOptions {
        cache: false,
        ..options(root.path())
    };
    let off = Source {
        folder: off,
        ..Source::at(root.path().join("data"))
    }
    .load()
    .unwrap();
    assert!(off.notes.is_empty());
}
