//! Data sets from a folder of images, with a folder for each class.
//!
//! ```text
//! pets/train/cat/*.jpg      pets/cat/*.jpg                          pets/labels.csv
//! pets/train/dog/*.png      pets/dog/*.png                          pets/images/*.jpg
//! pets/val/cat/*.jpg
//! pets/test/cat/*.jpg       the seed chooses the validation         LabelFile says which
//!                           images from each class                  column is what
//! ```
//!
//! - The classes are the sorted names of the folders. Their images may be in folders of any depth.
//! - The parts may be called `train` or `training`; `val`, `valid` or `validation`; `test` or
//!   `testing`. One folder around everything, or a zip, tar or tar.gz archive of it, is opened.
//! - PNG, JPEG, WebP, GIF, BMP, TIFF, PNM and QOI are read, of an animation the first image. The
//!   contents decide the format, not the name. A truncated file is an error.
//! - Each image is turned upright, laid on [`FolderOptions::background`] where it is transparent,
//!   converted to RGB with 8 bits, and resized ([`Resize`]).
//! - Files that are not used are listed with a reason in [`Contents::skipped`].
//!
//! The decoded images are kept in a cache file; if the files or the options change, another cache
//! file is used. Cache files may be deleted at any time.

mod archive;
mod cache;
mod cached;
mod contents;
mod decode;
mod formats;
mod labels;
mod scale;
mod scan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use archive::is_archive;
pub use cached::{Cached, CachedKind, cached};
pub use contents::{Contents, PartName, Skipped};
pub use labels::LabelFile;

use crate::dataset::{Dataset, ImageShape, ImageSize, Split, TestOrigin};
use crate::error::DataError;
use crate::files;
use crate::locate;
use decode::{Failure, Target};
use scan::Tree;

/// How an image becomes one of the network's height and width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The largest part around its centre with the right ratio of height to width is cut out, then
    /// scaled.
    #[default]
    Crop,
    /// The whole image is scaled, which distorts it.
    Squish,
    /// The whole image is scaled without distortion; the rest is filled with the background.
    Pad,
}

/// How a folder of images is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FolderOptions {
    /// Height and width of the images, 1 to 1024 pixels; 64 by default.
    pub size: ImageSize,
    /// How images become that size.
    pub resize: Resize,
    /// Colour behind transparent pixels and around padded images: red, green, blue. White by
    /// default.
    pub background: [u8; 3],
    /// Fraction of each class that is held out if there is no validation folder, at least 0 and
    /// below 1; 0.2 by default. With 0, all images are test images and none are for training.
    pub validation: f64,
    /// Seed for choosing the validation images; 0 by default.
    pub seed: u64,
    /// Whether unreadable images are left out instead of being an error; false by default.
    pub skip_bad: bool,
    /// A table of labels, if the folders are not the classes.
    pub labels: Option<LabelFile>,
    /// The classes that there may be, in the order of their labels; some of them may have no image.
    /// By default, the classes are those that are found.
    pub classes: Option<Vec<String>>,
    /// Whether to keep decoded images in a cache file; true by default.
    pub cache: bool,
    /// Folder of the cache files; by default `folders` in the user's cache folder.
    pub cache_folder: Option<PathBuf>,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            size: ImageSize::square(64),
            resize: Resize::Crop,
            background: [255; 3],
            validation: 0.2,
            seed: 0,
            skip_bad: false,
            labels: None,
            classes: None,
            cache: true,
            cache_folder: None,
        }
    }
}

impl FolderOptions {
    fn check(&self) -> Result<(), DataError> {
        let ImageSize { height, width } = self.size;
        match [height, width]
            .iter()
            .all(|side| (1..=LARGEST_SIZE).contains(side))
        {
            true => Ok(()),
            false => Err(DataError::Setting {
                key: "size",
                value: self.size.to_string(),
                expected: format!("1 to {LARGEST_SIZE} pixels"),
            }),
        }
    }

    fn target(&self) -> Target {
        Target {
            height: self.size.height as u32,
            width: self.size.width as u32,
            resize: self.resize,
            background: self.background,
        }
    }

    /// The folder of cache files, if there is one.
    fn cache_place(&self) -> Option<PathBuf> {
        self.cache_folder
            .clone()
            .or_else(|| locate::cache_folder().map(|folder| folder.join("folders")))
    }
}

/// Largest side that images are resized to.
const LARGEST_SIZE: usize = 1024;

/// Mean share of the area that cropping may remove before a note says so.
const CROPPED: f64 = 0.2;

/// Number of examples in a note.
const EXAMPLES: usize = 3;

/// Reads one image file for a network that takes images of `shape`, as bytes
/// `[channel, row, column]`. With one channel it is converted to grey.
///
/// # Errors
/// [`DataError::Image`] if the file is not an image; [`DataError::Setting`] if the shape does not
/// have one or three channels.
pub fn read_image(
    path: &Path,
    shape: ImageShape,
    resize: Resize,
    background: [u8; 3],
) -> Result<Vec<u8>, DataError> {
    if !matches!(shape.channels, 1 | 3) {
        return Err(DataError::Setting {
            key: "shape",
            value: shape.to_string(),
            expected: "one or three channels".to_owned(),
        });
    }
    let target = Target {
        height: shape.height as u32,
        width: shape.width as u32,
        resize,
        background,
    };
    decode::decode_one(path, shape, target)
}

/// Lists the image files below a folder, at any depth, sorted by path.
///
/// # Errors
/// A folder cannot be listed.
pub fn image_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    scan::image_files(folder)
}

/// Reads the images in the folder or archive `path`.
///
/// # Errors
/// A [`DataError`] that names the missing or wrong folder or file and the remedy.
pub fn load(path: &Path, options: &FolderOptions) -> Result<Dataset, DataError> {
    options.check()?;
    let root = match path.is_dir() {
        true => path.to_path_buf(),
        false => archive::extract(path, &extraction_place(options))?,
    };
    let mut tree = scan::scan(&root, options.labels.as_ref(), options.classes.as_ref())?;
    let shape = ImageShape::new(3, options.size.height, options.size.width);
    let mut notes = std::mem::take(&mut tree.notes);
    let (mut decoded, failures) = decode(&tree, options, shape, &mut notes);
    if !failures.is_empty() {
        if !options.skip_bad {
            return Err(unreadable(&tree, failures));
        }
        leave_out(&mut tree, &mut decoded, failures, shape)?;
    }
    let contents = contents(&mut tree, &decoded, options);
    notes.extend(remarks(&tree, &contents, options));
    let name = name_of(path);
    let checksum = decoded.checksum();
    let parts = Parts::of(&tree, shape, decoded, options)?;
    Ok(Dataset {
        checksums: BTreeMap::from([(name.clone(), checksum)]),
        name,
        classes: tree.classes,
        shape,
        train: parts.train,
        validation: parts.validation,
        test: parts.test,
        test_origin: parts.test_origin,
        source: path.to_path_buf(),
        contents: Some(contents),
        notes,
    })
}

/// Name of a folder or archive, without the extensions of an archive.
fn name_of(path: &Path) -> String {
    let real = path.canonicalize().ok();
    let name = real
        .as_deref()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "images".to_owned());
    match path.is_dir() {
        true => name,
        false => name.split('.').next().unwrap_or("images").to_owned(),
    }
}

/// The folder for the files of archives.
fn extraction_place(options: &FolderOptions) -> PathBuf {
    let place = options.cache_place();
    place
        .unwrap_or_else(|| std::env::temp_dir().join("onecycle"))
        .join("archives")
}

/// The facts of an image file.
#[derive(Clone, Copy, Debug, Default)]
struct FileFacts {
    width: u32,
    height: u32,
    /// One of [`formats::NAMES`]; empty for a file that cannot be read.
    format: &'static str,
    /// The first 16 bytes of the SHA-256 of the file.
    checksum: [u8; 16],
}

/// All images of a tree, in its order.
struct Decoded {
    labels: Vec<u32>,
    images: Vec<u8>,
    facts: Vec<FileFacts>,
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

/// Reads the images of a tree from their cache file, or decodes them and writes it.
fn decode(
    tree: &Tree,
    options: &FolderOptions,
    shape: ImageShape,
    notes: &mut Vec<String>,
) -> (Decoded, Vec<Failure>) {
    let settings = format!("{} {:?} {:?}", shape, options.resize, options.background);
    let key = tree.key(&settings);
    let header = cache::Header {
        key: &key,
        files: tree.files.len(),
        length: shape.len(),
    };
    let place = match options.cache {
        true => options.cache_place(),
        false => None,
    };
    if options.cache && place.is_none() {
        notes.push(
            "the images will be decoded again next time: no home folder is known for a cache"
                .to_owned(),
        );
    }
    let file = place.map(|place| place.join(format!("{key}.images")));
    let cached = file.as_deref().and_then(|file| cache::read(file, &header));
    cached.unwrap_or_else(|| {
        let (decoded, failures) = decode::decode_all(&tree.files, options.target());
        if let Some(file) = &file
            && let Err(error) = cache::write(file, &header, &decoded, &failures)
        {
            notes.push(format!(
                "the images will be decoded again next time: {error}"
            ));
        }
        (decoded, failures)
    })
}

fn unreadable(tree: &Tree, failures: Vec<Failure>) -> DataError {
    let path = |failure: &Failure| tree.files[failure.index].path.clone();
    DataError::Images {
        failures: failures
            .into_iter()
            .map(|failure| (path(&failure), failure.reason))
            .collect(),
    }
}

/// Removes unreadable files from the tree and the decoded images.
fn leave_out(
    tree: &mut Tree,
    decoded: &mut Decoded,
    failures: Vec<Failure>,
    shape: ImageShape,
) -> Result<(), DataError> {
    let mut readable = vec![true; tree.files.len()];
    for failure in failures {
        readable[failure.index] = false;
        tree.skipped.push(Skipped {
            file: tree.files[failure.index].name.clone(),
            reason: format!("unreadable: {}", failure.reason),
        });
    }
    let mut images = Vec::with_capacity(decoded.images.len());
    for (image, _) in decoded
        .images
        .chunks_exact(shape.len())
        .zip(&readable)
        .filter(|(_, readable)| **readable)
    {
        images.extend_from_slice(image);
    }
    decoded.images = images;
    let keep = |index: &mut usize| {
        *index += 1;
        readable[*index - 1]
    };
    let mut index = 0;
    decoded.labels.retain(|_| keep(&mut index));
    index = 0;
    decoded.facts.retain(|_| keep(&mut index));
    index = 0;
    tree.files.retain(|_| keep(&mut index));
    let trained = |label: usize| {
        tree.files
            .iter()
            .any(|file| file.part == PartName::Train && file.label as usize == label)
    };
    match (0..tree.classes.len()).find(|label| !trained(*label)) {
        None => Ok(()),
        Some(label) => Err(DataError::NoImages {
            path: PathBuf::from(&tree.classes[label]),
            expected: "at least one readable image of each class".to_owned(),
        }),
    }
}

/// What was found, from the files that are left.
fn contents(tree: &mut Tree, decoded: &Decoded, options: &FolderOptions) -> Contents {
    let facts = &decoded.facts;
    let mut formats = BTreeMap::new();
    for one in facts {
        *formats.entry(one.format.to_owned()).or_default() += 1;
    }
    let mut first: BTreeMap<[u8; 16], usize> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for (index, one) in facts.iter().enumerate() {
        match first.get(&one.checksum) {
            Some(&earlier) => {
                duplicates.push([index, earlier].map(|index| tree.files[index].name.clone()))
            }
            None => {
                first.insert(one.checksum, index);
            }
        }
    }
    let cropped = match options.resize {
        Resize::Crop if !facts.is_empty() => {
            let share =
                |one: &FileFacts| decode::cropped_share(one.width, one.height, options.target());
            facts.iter().map(share).sum::<f64>() / facts.len() as f64
        }
        _ => 0.0,
    };
    Contents {
        formats,
        widths: contents::three(facts.iter().map(|one| one.width)),
        heights: contents::three(facts.iter().map(|one| one.height)),
        skipped: std::mem::take(&mut tree.skipped),
        duplicates,
        cropped,
    }
}

/// Remarks for the user on what was found.
fn remarks(tree: &Tree, contents: &Contents, options: &FolderOptions) -> Vec<String> {
    let mut notes = Vec::new();
    if contents.cropped > CROPPED {
        notes.push(format!(
            "cropping to {} x {} pixels removes {:.0} % of the average image: data.resize = \
             \"pad\" or \"squish\" keeps all of it",
            options.size.width,
            options.size.height,
            100.0 * contents.cropped
        ));
    }
    let part: BTreeMap<&str, PartName> = tree
        .files
        .iter()
        .map(|file| (file.name.as_str(), file.part))
        .collect();
    let across = |pair: &&[String; 2]| part.get(pair[0].as_str()) != part.get(pair[1].as_str());
    let examples = |pairs: &[&[String; 2]]| {
        let shown = pairs.iter().take(EXAMPLES);
        let shown: Vec<String> = shown.map(|[a, b]| format!("{a} = {b}")).collect();
        shown.join(", ")
    };
    let (across, within): (Vec<_>, Vec<_>) = contents.duplicates.iter().partition(across);
    if !across.is_empty() {
        notes.push(format!(
            "{} images are exact copies of images in another part ({}): the accuracy looks higher \
             than it is",
            across.len(),
            examples(&across)
        ));
    }
    if !within.is_empty() {
        notes.push(format!(
            "{} images are exact copies of others ({})",
            within.len(),
            examples(&within)
        ));
    }
    notes
}

/// The parts of a data set.
struct Parts {
    train: Split,
    validation: Option<Split>,
    test: Split,
    test_origin: TestOrigin,
}

impl Parts {
    fn of(
        tree: &Tree,
        shape: ImageShape,
        decoded: Decoded,
        options: &FolderOptions,
    ) -> Result<Self, DataError> {
        let count = |part| tree.files.iter().filter(|file| file.part == part).count();
        let [train, validation] = [PartName::Train, PartName::Validation].map(count);
        let test = tree.files.len() - train - validation;
        let names = tree.files.iter().map(|file| file.name.clone()).collect();
        let all = Split::new(shape, decoded.images, decoded.labels)?.with_names(names)?;
        if validation + test == 0 && options.validation == 0.0 {
            let (train, test) = all.split_at(0);
            return Ok(Parts {
                train,
                validation: None,
                test,
                test_origin: TestOrigin::Drawn,
            });
        }
        if validation + test == 0 {
            let (train, test) = all.hold_out_stratified(options.validation, options.seed)?;
            return Ok(Parts {
                train,
                validation: None,
                test,
                test_origin: TestOrigin::Drawn,
            });
        }
        let (train, others) = all.split_at(train);
        let (validation, test) = match (validation, test) {
            (_, 0) => (None, (others, TestOrigin::Validation)),
            (0, _) => (None, (others, TestOrigin::Test)),
            (count, _) => {
                let (validation, test) = others.split_at(count);
                (Some(validation), (test, TestOrigin::Test))
            }
        };
        let (test, test_origin) = test;
        Ok(Parts {
            train,
            validation,
            test,
            test_origin,
        })
    }
}
