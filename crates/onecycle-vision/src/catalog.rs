//! The data sets known by name: classes, files, checksums and licences.
//!
//! ```
//! let set = onecycle_vision::catalog::find("cifar-10")?;
//! assert_eq!((set.name, set.classes.len(), set.train), ("cifar10", 10, 50_000));
//! # Ok::<(), onecycle_vision::DataError>(())
//! ```

use crate::dataset::ImageShape;
use crate::error::DataError;

/// File format of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Four IDX files, optionally compressed with gzip, as LeCun published MNIST.
    Idx,
    /// An archive of records, each with label bytes and 3072 pixel values, as Krizhevsky published
    /// CIFAR.
    Cifar {
        /// Number of bytes before the pixels; the last one is the label.
        label_bytes: usize,
        /// The files of records: training files first, the test file last.
        members: &'static [Member],
        /// Folder within the archive.
        folder: &'static str,
    },
}

/// A file of records within a CIFAR archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the file.
    pub name: &'static str,
    /// Number of records.
    pub records: usize,
    /// Published MD5, if there is one.
    pub md5: Option<&'static str>,
}

/// A published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// Name of the file. Its address is one of [`KnownSet::urls`] followed by this name.
    pub name: &'static str,
    /// Size in bytes.
    pub size: u64,
    /// Published MD5.
    pub md5: &'static str,
    /// SHA-256 of the published file, if known.
    pub sha256: Option<&'static str>,
    /// MD5 of the uncompressed contents of a file compressed with gzip.
    pub content_md5: Option<&'static str>,
}

/// A data set that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSet {
    /// Canonical name.
    pub name: &'static str,
    /// Name as in the literature.
    pub title: &'static str,
    /// Class names; label `k` is `classes[k]`.
    pub classes: &'static [&'static str],
    /// Shape of the images.
    pub shape: ImageShape,
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
    /// Licence, if the authors state one.
    pub licence: &'static str,
    /// Addresses of folders with the published files, in order of preference. Each ends in a slash.
    pub urls: &'static [&'static str],
    /// The published files.
    pub files: &'static [KnownFile],
    /// Format of the files.
    pub format: Format,
    /// Names of the set's folder within a folder of data sets, including those that other tools use.
    pub folders: &'static [&'static str],
}

/// All known sets.
pub fn all() -> &'static [KnownSet] {
    &SETS
}

/// The set of this name. Case, hyphens, underscores and spaces are ignored.
///
/// # Errors
/// [`DataError::UnknownSet`] with the known names.
pub fn find(name: &str) -> Result<&'static KnownSet, DataError> {
    let plain = |name: &str| name.replace(['-', '_', ' '], "").to_lowercase();
    let wanted = plain(name);
    SETS.iter()
        .find(|set| plain(set.name) == wanted)
        .ok_or_else(|| DataError::UnknownSet {
            name: name.to_owned(),
            known: SETS
                .iter()
                .map(|set| set.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}

const fn gz(
    name: &'static str,
    size: u64,
    md5: &'static str,
    sha256: &'static str,
    content: &'static str,
) -> KnownFile {
    KnownFile {
        name,
        size,
        md5,
        sha256: Some(sha256),
        content_md5: Some(content),
    }
}

const fn member(name: &'static str, records: usize, md5: Option<&'static str>) -> Member {
    Member { name, records, md5 }
}

static SETS: [KnownSet; 4] = [
    KnownSet {
        name: "fashion-mnist",
        title: "Fashion-MNIST",
        classes: &[
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
        shape: ImageShape::new(1, 28, 28),
        train: 60_000,
        test: 10_000,
        licence: "MIT, Zalando SE",
        urls: &[
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ],
        files: &[
            gz(
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            ),
            gz(
                "train-labels-idx1-ubyte.gz",
                29_515,
                "25c81989df183df01b3e8a0aad5dffbe",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "9018921c3c673c538a1fc5bad174d6f9",
            ),
            gz(
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "bef4ecab320f06d8554ea6380940ec79",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "8181f5470baa50b63fa0f6fddb340f0a",
            ),
            gz(
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "bb300cfdad3c16e7a12a480ee83cd310",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
        ],
        format: Format::Idx,
        folders: &[
            "fashion-mnist",
            "FashionMNIST/raw",
            "fashion_mnist",
            "fashion",
        ],
    },
    KnownSet {
        name: "mnist",
        title: "MNIST",
        classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        shape: ImageShape::new(1, 28, 28),
        train: 60_000,
        test: 10_000,
        licence: "CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
        urls: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ],
        files: &[
            gz(
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "6bbc9ace898e44ae57da46a324031adb",
            ),
            gz(
                "train-labels-idx1-ubyte.gz",
                28_881,
                "d53e105ee54ea40749a09fcbcd1e9432",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "a25bea736e30d166cdddb491f175f624",
            ),
            gz(
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "9fb629c4189551a2d022fa330f9573f3",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "2646ac647ad5339dbf082846283269ea",
            ),
            gz(
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "ec29112dd5afa0611ce80d1b7f02629c",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "27ae3e4e09519cfbb04c329615203637",
            ),
        ],
        format: Format::Idx,
        folders: &["mnist", "MNIST/raw", "MNIST"],
    },
    KnownSet {
        name: "cifar10",
        title: "CIFAR-10",
        classes: &[
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ],
        shape: ImageShape::new(3, 32, 32),
        train: 50_000,
        test: 10_000,
        licence: "none stated by its authors (Krizhevsky, Nair, Hinton)",
        urls: &["https://www.cs.toronto.edu/~kriz/"],
        files: &[KnownFile {
            name: "cifar-10-binary.tar.gz",
            size: 170_052_171,
            md5: "c32a1d4ab5d03f1284b67883e8d87530",
            sha256: Some("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
            content_md5: None,
        }],
        format: Format::Cifar {
            label_bytes: 1,
            members: &[
                member(
                    "data_batch_1.bin",
                    10_000,
                    Some("5dd7e06a14cb22eb9f671a540d1b7c25"),
                ),
                member(
                    "data_batch_2.bin",
                    10_000,
                    Some("5ea93a67294ea407fff1d09f752e9692"),
                ),
                member(
                    "data_batch_3.bin",
                    10_000,
                    Some("942cd6a4bcdd0dd3c604fbe906cb4421"),
                ),
                member(
                    "data_batch_4.bin",
                    10_000,
                    Some("ae636b3ba5c66a11e91e8cb52e771fcb"),
                ),
                member(
                    "data_batch_5.bin",
                    10_000,
                    Some("53f37980c15c3d472c316c40844f3f0d"),
                ),
                member(
                    "test_batch.bin",
                    10_000,
                    Some("803d5f7f4d78ea53de84dbe85f74fb6d"),
                ),
            ],
            folder: "cifar-10-batches-bin",
        },
        folders: &["cifar10", "cifar-10", "CIFAR10"],
    },
    KnownSet {
        name: "cifar100",
        title: "CIFAR-100",
        classes: &CIFAR100_CLASSES,
        shape: ImageShape::new(3, 32, 32),
        train: 50_000,
        test: 10_000,
        licence: "none stated by its authors (Krizhevsky, Nair, Hinton)",
        urls: &["https://www.cs.toronto.edu/~kriz/"],
        files: &[KnownFile {
            name: "cifar-100-binary.tar.gz",
            size: 168_513_733,
            md5: "03b5dce01913d631647c71ecec9e9cb8",
            sha256: None,
            content_md5: None,
        }],
        format: Format::Cifar {
            label_bytes: 2,
            members: &[
                member("train.bin", 50_000, None),
                member("test.bin", 10_000, None),
            ],
            folder: "cifar-100-binary",
        },
        folders: &["cifar100", "cifar-100", "CIFAR100"],
    },
];

/// The fine labels, in the order of `fine_label_names.txt`.
#[rustfmt::skip]
static CIFAR100_CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_spelling() {
        for (spelling, name) in [
            ("fashion-mnist", "fashion-mnist"),
            ("FashionMNIST", "fashion-mnist"),
            ("fashion_mnist", "fashion-mnist"),
            ("MNIST", "mnist"),
            ("CIFAR-10", "cifar10"),
            ("cifar_100", "cifar100"),
        ] {
            assert_eq!(find(spelling).unwrap().name, name);
        }
        let message = find("imagenet").unwrap_err().to_string();
        assert!(
            message.contains("imagenet") && message.contains("fashion-mnist, mnist, cifar10"),
            "{message}"
        );
    }

    #[test]
    fn entries_are_consistent() {
        for set in all() {
            let hex = |text: &str, length| {
                text.len() == length
                    && text
                        .bytes()
                        .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
            };
            assert!(
                !set.urls.is_empty() && set.urls.iter().all(|url| url.ends_with('/')),
                "{}",
                set.name
            );
            assert!(set.folders.contains(&set.name), "{}", set.name);
            for file in set.files {
                assert!(
                    hex(file.md5, 32) && file.sha256.is_none_or(|sum| hex(sum, 64)),
                    "{}",
                    file.name
                );
            }
            let mut classes = set.classes.to_vec();
            classes.sort_unstable();
            classes.dedup();
            assert_eq!(classes.len(), set.classes.len(), "{}", set.name);
            if let Format::Cifar { members, .. } = set.format {
                let records: Vec<usize> = members.iter().map(|member| member.records).collect();
                let (test, train) = records.split_last().unwrap();
                assert_eq!((train.iter().sum(), *test), (set.train, set.test));
            }
        }
        assert!(CIFAR100_CLASSES.is_sorted());
    }
}
