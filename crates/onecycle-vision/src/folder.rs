//! Data sets from a folder of images, with one subfolder per class.
//!
//! ```text
//! pets/train/cat/*.png      pets/cat/*.png
//! pets/train/dog/*.jpg      pets/dog/*.jpg      the seed chooses the
//! pets/val/cat/*.png                            validation images
//! pets/val/dog/*.jpg                            from each class
//! ```
//!
//! The classes are the sorted names of the subfolders. The validation folder may be called `val`,
//! `valid`, `validation` or `test`. Hidden files and files of other types are ignored. Each image is
//! turned upright, converted to RGB with 8 bits, cropped to its central square and resized. The
//! decoded images are kept in a cache file; if the files or the size change, another cache file is
//! used. Cache files may be deleted at any time.

mod cache;
mod decode;
mod scan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, ImageShape, Split};
use crate::error::DataError;
use crate::files;
use crate::locate;

/// How a folder of images is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FolderOptions {
    /// Height and width of the images, 1 to 1024 pixels; 64 by default.
    pub size: usize,
    /// Fraction of each class that is held out if there is no validation folder, above 0 and below 1;
    /// 0.2 by default.
    pub validation: f64,
    /// Seed for choosing the validation images; 0 by default.
    pub seed: u64,
    /// Whether to keep decoded images in a cache file; true by default.
    pub cache: bool,
    /// Folder of the cache files; by default `folders` in the user's cache folder.
    pub cache_folder: Option<PathBuf>,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            size: 64,
            validation: 0.2,
            seed: 0,
            cache: true,
            cache_folder: None,
        }
    }
}

/// Largest side that images are resized to.
const LARGEST_SIZE: usize = 1024;

/// Reads one image file for a network that takes images of `shape`: the central square, resized, as
/// bytes `[channel, row, column]`. With one channel it is converted to grey.
///
/// # Errors
/// [`DataError::Image`] if the file is not an image; [`DataError::Setting`] if the shape is not
/// square or does not have one or three channels.
pub fn read_image(path: &Path, shape: ImageShape) -> Result<Vec<u8>, DataError> {
    if shape.height != shape.width || !matches!(shape.channels, 1 | 3) {
        return Err(DataError::Setting {
            key: "shape",
            value: shape.to_string(),
            expected: "a square of one or three channels".to_owned(),
        });
    }
    decode::decode_one(path, shape)
}

/// Reads the images in the folder `path`.
///
/// # Errors
/// A [`DataError`] that names the missing or wrong folder or file and the remedy.
pub fn load(path: &Path, options: &FolderOptions) -> Result<Dataset, DataError> {
    if !(1..=LARGEST_SIZE).contains(&options.size) {
        return Err(DataError::Setting {
            key: "size",
            value: options.size.to_string(),
            expected: format!("1 to {LARGEST_SIZE} pixels"),
        });
    }
    let tree = scan::scan(path)?;
    let shape = ImageShape::new(3, options.size, options.size);
    let mut notes = Vec::new();
    let cache = cache_file(&tree, options, &mut notes);
    let cached = cache
        .as_deref()
        .and_then(|file| cache::read(file, &tree, shape));
    let decoded = match cached {
        Some(decoded) => decoded,
        None => {
            let decoded = decode::decode_all(&tree, shape)?;
            if let Some(file) = &cache
                && let Err(error) = cache::write(file, &tree, shape, &decoded)
            {
                notes.push(format!(
                    "the images will be decoded again next time: {error}"
                ));
            }
            decoded
        }
    };
    let name = path
        .canonicalize()
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let name = name.unwrap_or_else(|| "images".to_owned());
    let checksum = decoded.checksum();
    let test_is_drawn = tree.train == tree.files.len();
    let (train, test) = split(&tree, shape, decoded, options)?;
    Ok(Dataset {
        checksums: BTreeMap::from([(name.clone(), checksum)]),
        name,
        classes: tree.classes,
        shape,
        train,
        test,
        test_is_drawn,
        source: path.to_path_buf(),
        notes,
    })
}

/// All images of a tree, in its order.
struct Decoded {
    labels: Vec<u32>,
    images: Vec<u8>,
}

impl Decoded {
    /// SHA-256 of labels and pixels.
    fn checksum(&self) -> String {
        let mut sums = files::Sha256Writer::default();
        for label in &self.labels {
            sums.update(&label.to_le_bytes());
        }
        sums.update(&self.images);
        sums.finish()
    }
}

fn split(
    tree: &scan::Tree,
    shape: ImageShape,
    decoded: Decoded,
    options: &FolderOptions,
) -> Result<(Split, Split), DataError> {
    let all = Split::new(shape, decoded.images, decoded.labels)?;
    match tree.train == tree.files.len() {
        true => all.hold_out_stratified(options.validation, options.seed),
        false => Ok(all.split_at(tree.train)),
    }
}

fn cache_file(
    tree: &scan::Tree,
    options: &FolderOptions,
    notes: &mut Vec<String>,
) -> Option<PathBuf> {
    if !options.cache {
        return None;
    }
    let folder = options
        .cache_folder
        .clone()
        .or_else(|| locate::cache_folder().map(|folder| folder.join("folders")));
    if folder.is_none() {
        notes.push(
            "the images will be decoded again next time: no home folder is known for a cache"
                .to_owned(),
        );
    }
    Some(folder?.join(format!("{}.images", tree.key(options.size))))
}
