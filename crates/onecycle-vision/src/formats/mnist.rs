//! Data sets of four IDX files with the names of MNIST's files.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::idx;
use crate::catalog::{self, Format, KnownSet};
use crate::dataset::{Dataset, ImageShape, Split, TestOrigin};
use crate::error::DataError;
use crate::files;

/// Names without `.gz`: training images and labels, test images and labels.
const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

const LAYOUT: &str = "the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each with .gz or without";

/// The file of this name, with `.gz` or without.
pub(crate) fn file(folder: &Path, name: &str) -> Option<PathBuf> {
    [format!("{name}.gz"), name.to_owned()]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

/// Whether the folder has at least one of the four files, so that it is treated as such a set.
pub(crate) fn looks_like(folder: &Path) -> bool {
    FILES.iter().any(|name| file(folder, name).is_some())
}

/// Whether all four files exist.
pub(crate) fn is_whole(folder: &Path) -> bool {
    FILES.iter().all(|name| file(folder, name).is_some())
}

/// Recognises a known set by its test labels; `None` for another set or unreadable labels.
pub(crate) fn identify(folder: &Path) -> Option<&'static KnownSet> {
    let path = file(folder, FILES[3])?;
    let md5 = contents_md5(&path, &files::read(&path, "labels").ok()?).ok()?;
    catalog::all().iter().find(|set| {
        set.format == Format::Idx
            && set
                .files
                .iter()
                .any(|file| file.name.starts_with(FILES[3]) && file.content_md5 == Some(&md5))
    })
}

/// MD5 of the uncompressed contents of an IDX file.
pub(crate) fn contents_md5(path: &Path, file: &[u8]) -> Result<String, DataError> {
    let mut contents = Vec::new();
    if idx::is_gzip(file) {
        let mut decoder = MultiGzDecoder::new(file).take(CONTENTS_LIMIT);
        decoder
            .read_to_end(&mut contents)
            .map_err(|error| idx::gzip_error(path, &error))?;
    } else {
        contents.extend_from_slice(file);
    }
    Ok(files::md5(&contents))
}

/// Limit on the uncompressed size, larger than any published file.
const CONTENTS_LIMIT: u64 = 1 << 28;

/// Reads the set in `folder`, which should be `known`. An unknown set gets the name of the folder,
/// and its labels determine the number of classes.
pub(crate) fn load(folder: &Path, known: Option<&KnownSet>) -> Result<Dataset, DataError> {
    let mut checksums = BTreeMap::new();
    let train = part(folder, FILES[0], FILES[1], &mut checksums)?;
    let test = part(folder, FILES[2], FILES[3], &mut checksums)?;
    if test.shape != train.shape {
        return Err(DataError::Shape {
            path: test.images_path,
            expected: train.shape.to_string(),
            found: test.shape.to_string(),
        });
    }
    let shape = train.shape;
    let (name, classes) = match known {
        Some(set) => (
            set.name.to_owned(),
            set.classes.iter().map(|&class| class.to_owned()).collect(),
        ),
        None => {
            let highest = train.labels.iter().copied().max().unwrap_or(0);
            let name = folder.file_name().unwrap_or(folder.as_os_str());
            let classes = (0..=highest)
                .map(|label| label.to_string())
                .collect::<Vec<_>>();
            (name.to_string_lossy().into_owned(), classes)
        }
    };
    if let Some(first) = train
        .labels
        .first()
        .filter(|&first| train.labels.iter().all(|label| label == first))
    {
        let class = classes
            .get(usize::from(*first))
            .cloned()
            .unwrap_or_else(|| first.to_string());
        return Err(DataError::OneClass {
            path: train.labels_path,
            class,
        });
    }
    Ok(Dataset {
        train: train.split(classes.len())?,
        test: test.split(classes.len())?,
        name,
        classes,
        shape,
        test_origin: TestOrigin::Test,
        validation: None,
        contents: None,
        source: folder.to_path_buf(),
        checksums,
        notes: Vec::new(),
    })
}

/// Images and labels of one part, before the labels are checked.
struct Part {
    shape: ImageShape,
    images: Vec<u8>,
    labels: Vec<u8>,
    images_path: PathBuf,
    labels_path: PathBuf,
}

impl Part {
    fn split(self, classes: usize) -> Result<Split, DataError> {
        for (index, &label) in self.labels.iter().enumerate() {
            if usize::from(label) >= classes {
                return Err(DataError::Label {
                    path: self.labels_path,
                    index,
                    label: u32::from(label),
                    classes,
                });
            }
        }
        Split::new(
            self.shape,
            self.images,
            self.labels.into_iter().map(u32::from).collect(),
        )
    }
}

fn part(
    folder: &Path,
    images: &str,
    labels: &str,
    checksums: &mut BTreeMap<String, String>,
) -> Result<Part, DataError> {
    let mut read = |name: &str| {
        let path = file(folder, name).ok_or_else(|| DataError::MissingFile {
            path: folder.to_path_buf(),
            file: format!("{name}.gz"),
            expected: LAYOUT.to_owned(),
        })?;
        let bytes = files::read(&path, "an IDX file")?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        checksums.insert(name, files::sha256(&bytes));
        Ok::<_, DataError>((path, bytes))
    };
    let (labels_path, bytes) = read(labels)?;
    let labels = idx::labels(&labels_path, &bytes)?;
    let (images_path, bytes) = read(images)?;
    let (count, shape, images) = idx::images(&images_path, &bytes)?;
    if count != labels.len() {
        return Err(DataError::Count {
            images_path,
            images: count,
            labels_path,
            labels: labels.len(),
        });
    }
    Ok(Part {
        shape,
        images,
        labels,
        images_path,
        labels_path,
    })
}
