//! Data sets made of a folder of images, one folder for each class.
//!
//! ```text
//! pets/train/cat/*.png      pets/cat/*.png
//! pets/train/dog/*.jpg      pets/dog/*.jpg      the validation part is
//! pets/val/cat/*.png                            taken from each class
//! pets/val/dog/*.jpg                            by the seed
//! ```
//!
//! The classes are the names of the folders, sorted. The folder for validation may be called `val`,
//! `valid`, `validation` or `test`. Hidden files, and files of other kinds, are passed over. Each
//! image is turned upright, made RGB with 8 bits, cropped to its central square and resized. All are
//! decoded once, in parallel, into a cache file; another set of files, or another size, is another
//! cache. Cache files may be deleted at any time.

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
    /// Share of each class that is kept for validation where there is no folder for it, above 0 and
    /// below 1; 0.2 by default.
    pub validation: f64,
    /// Seed of the choice of these images; 0 by default.
    pub seed: u64,
    /// Whether decoded images are kept in a cache file; true by default.
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

/// Reads one image file as bytes `[channel, row, column]` of `shape`, to be classified by a network that takes
/// images of this shape: its central square, resized; brightness alone for one channel.
///
/// # Errors
/// [`DataError::Image`] for a file that is not an image; [`DataError::Setting`] for a shape that is not square or
/// has neither one nor three channels.
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
/// A [`DataError`] with the folder or file that is missing or wrong, and what to do.
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
    let (train, test) = split(&tree, shape, decoded, options)?;
    Ok(Dataset {
        checksums: BTreeMap::from([(name.clone(), checksum)]),
        name,
        classes: tree.classes,
        shape,
        train,
        test,
        source: path.to_path_buf(),
        notes,
    })
}

/// All images of a tree in its order, those for validation last.
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
