//! The error type of this crate, with one variant per cause.
//!
//! A message names the file, what was expected, and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use crate::models::ModelError;

/// Any error of this crate: reading, checking, downloading and loading image data, and networks.
///
/// A function that also calls other crates of the workspace can return
/// `Box<dyn std::error::Error>`, or the `TrainError` of `onecycle-train`: every error of the
/// workspace converts into both by `?`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// There is no known data set of this name.
    #[error(
        "unknown data set `{name}`: the known ones are {known}; for your own images give the path of a folder instead"
    )]
    UnknownSet {
        /// The name as given.
        name: String,
        /// The known names, separated by commas.
        known: String,
    },

    /// A known data set was not found in any of the places searched.
    #[error(
        "data set `{name}` was not found in {}; run `onecycle data get {name}`, or set ONECYCLE_DATA to the folder that has it",
        list(looked_in)
    )]
    NotFound {
        /// Canonical name of the set.
        name: String,
        /// The places, in the order in which they were searched.
        looked_in: Vec<PathBuf>,
    },

    /// There are no known weights of this name.
    #[error(
        "unknown weights `{name}`: {}the known ones are {known}; for other weights give the path of a safetensors file",
        near.map(|near| format!("did you mean `{near}`? Or else: ")).unwrap_or_default()
    )]
    UnknownWeights {
        /// The name as given.
        name: String,
        /// The most similar known name, if one is similar.
        near: Option<&'static str>,
        /// The known names, separated by commas.
        known: String,
    },

    /// Known weights were not downloaded.
    #[error(
        "weights `{name}` are not in {}; run `onecycle weights get {name}`, or give the path of a safetensors file",
        list(looked_in)
    )]
    WeightsNotFound {
        /// Name of the weights.
        name: &'static str,
        /// The folders that were searched.
        looked_in: Vec<PathBuf>,
    },

    /// A file of weights was written by `torch.save`.
    #[error(
        "{}: a file of PyTorch, which runs programs when it is read; convert it to safetensors: python3 -c \
        'import torch, safetensors.torch; weights = torch.load({path:?}, map_location=\"cpu\", weights_only=True); \
        safetensors.torch.save_file({{name: w.contiguous() for name, w in weights.get(\"state_dict\", weights).items()}}, {converted:?})'",
        path.display()
    )]
    PickledWeights {
        /// The file.
        path: PathBuf,
        /// Path for the converted file.
        converted: PathBuf,
    },

    /// Published weights cannot be unpacked.
    #[error("{}: the weights cannot be unpacked: {why}; download them again", path.display())]
    BadWeights {
        /// The downloaded file.
        path: PathBuf,
        /// The cause.
        why: String,
    },

    /// A path does not exist.
    #[error("{}: there is no such file or folder; expected {expected}", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
        /// What was expected there.
        expected: String,
    },

    /// A folder or archive lacks a file of the set.
    #[error("{}: `{file}` is missing from it; expected {expected}; add it, or fetch the set again", path.display())]
    MissingFile {
        /// Folder or archive.
        path: PathBuf,
        /// Name of the missing file.
        file: String,
        /// The files of a complete set.
        expected: String,
    },

    /// An operation on a file or folder failed.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The operation, to complete "cannot ..": "read it", "write it", ...
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },

    /// A file is empty.
    #[error("{}: the file is empty; expected {expected}; fetch it again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The expected contents.
        expected: String,
    },

    /// The gzip data are truncated or damaged.
    #[error("{}: the gzip data is {reason}; the file is damaged, fetch it again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// "cut off", or "damaged" with the message of the decoder.
        reason: String,
    },

    /// The file has fewer bytes than its header or format requires.
    #[error(
        "{}: cut off: expected {expected} bytes of {what}, found {found}; fetch the file again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Meaning of the bytes: "header", "pixels", ...
        what: &'static str,
        /// Expected number of bytes.
        expected: u64,
        /// Number of bytes found.
        found: u64,
    },

    /// The file has more bytes than its header or format allows.
    #[error(
        "{}: expected {expected} bytes of {what}, but there are more; the header and the contents disagree, fetch the file again",
        path.display()
    )]
    Excess {
        /// The file.
        path: PathBuf,
        /// Meaning of the bytes.
        what: &'static str,
        /// Expected number of bytes.
        expected: u64,
    },

    /// The file does not start with the magic number of the format.
    #[error("{}: expected {expected}, but the first bytes are {found:#010x}, which is {meaning}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The expected format with its magic number.
        expected: String,
        /// The first four bytes, big-endian.
        found: u32,
        /// Meaning of such bytes, and the remedy.
        meaning: String,
    },

    /// The sizes in a header are impossible.
    #[error("{}: the header says {claim}, which cannot be: {reason}; fetch the file again", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The sizes in the header.
        claim: String,
        /// Why they are impossible.
        reason: String,
    },

    /// The numbers of images and labels differ.
    #[error(
        "{} has {images} images, but {} has {labels} labels; the two belong to different sets, fetch both again",
        images_path.display(), labels_path.display()
    )]
    Count {
        /// File of the images.
        images_path: PathBuf,
        /// Number of images.
        images: usize,
        /// File of the labels.
        labels_path: PathBuf,
        /// Number of labels.
        labels: usize,
    },

    /// Training and test images differ in size.
    #[error(
        "{}: the images are {found}, but the training images are {expected}; use files of one set",
        path.display()
    )]
    Shape {
        /// File of the test images.
        path: PathBuf,
        /// Shape of the training images.
        expected: String,
        /// Shape found.
        found: String,
    },

    /// A label is outside the range of the classes.
    #[error(
        "{}: the label of image {index} is {label}, but there are {classes} classes (0 to {}); these are not the labels of this set, or the file is damaged",
        path.display(), classes.saturating_sub(1)
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// Index of the image from 0.
        index: usize,
        /// The label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },

    /// There are no images.
    #[error("{}: no images; expected {expected}", path.display())]
    NoImages {
        /// File or folder.
        path: PathBuf,
        /// The supported layout.
        expected: String,
    },

    /// There are images, but none in the folder of a class.
    #[error("{}: its images ({images}) are in no folder of a class; expected {expected}", path.display())]
    NoClasses {
        /// The folder.
        path: PathBuf,
        /// Number of images directly in the folder.
        images: usize,
        /// The supported layout.
        expected: String,
    },

    /// The folder of a class has no image.
    #[error(
        "{}: the folder of class `{class}` has no image that can be read ({found}); add some, or remove \
         the folder",
        path.display()
    )]
    EmptyClass {
        /// The folder.
        path: PathBuf,
        /// Name of the class.
        class: String,
        /// What is there instead, in words.
        found: String,
    },

    /// There is only one class.
    #[error(
        "{}: `{class}` is the only class; expected images of two or more, add those of another class",
        path.display()
    )]
    OneClass {
        /// File or folder.
        path: PathBuf,
        /// The class.
        class: String,
    },

    /// The validation folder has a class that the training folder does not have.
    #[error(
        "{}: class `{class}` is not in the training folder; add images of it there, or remove this folder",
        path.display()
    )]
    UnknownClass {
        /// The class's folder in the validation folder.
        path: PathBuf,
        /// Name of the class.
        class: String,
    },

    /// A folder has a class that the network was not trained on.
    #[error(
        "{}: `{class}` is none of the classes that the network was trained on ({}); rename or remove \
         this folder",
        path.display(), known.join(", ")
    )]
    OtherClass {
        /// The class's folder.
        path: PathBuf,
        /// Name of the class.
        class: String,
        /// The classes of the network.
        known: Vec<String>,
    },

    /// The folder name of a class is not UTF-8, so it could not be distinguished from another one.
    #[error(
        "{}: the name of this class is not UTF-8; rename the folder",
        path.display()
    )]
    NotText {
        /// The folder.
        path: PathBuf,
    },

    /// A pipe, device or similar has the name of an image.
    #[error("{}: not a regular file, but it has the name of an image; remove it", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },

    /// An image that cannot be decoded.
    #[error(
        "{}: not a readable image ({reason}); repair or remove it",
        path.display()
    )]
    Image {
        /// The file.
        path: PathBuf,
        /// The message of the decoder.
        reason: String,
    },

    /// Images of a data set that cannot be decoded.
    #[error(
        "{} cannot be read: {}; repair or remove, or leave out with --skip-bad",
        number_of_images(failures.len()), list_failures(failures)
    )]
    Images {
        /// Each file with the message of the decoder.
        failures: Vec<(PathBuf, String)>,
    },

    /// A table of labels that cannot be used.
    #[error(
        "{}: {reason}; expected a CSV file with a header, the names of image files in the column \
         `file` and their classes in the column `label`",
        path.display()
    )]
    Labels {
        /// The table.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// An archive that cannot be read.
    #[error("{}: not a readable archive ({reason}); fetch or make it again", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// An entry of an archive points outside of it.
    #[error(
        "{}: refused, since its entry `{entry}` points outside of the archive; fetch or make it again",
        path.display()
    )]
    ArchivePath {
        /// The archive.
        path: PathBuf,
        /// Path of the entry.
        entry: String,
    },

    /// The path has none of the supported layouts.
    #[error("{}: not a data set: {found}; expected {expected}", path.display())]
    Layout {
        /// File or folder.
        path: PathBuf,
        /// What was found.
        found: String,
        /// The supported layouts.
        expected: String,
    },

    /// A file is not the published one.
    #[error(
        "{origin}: the {algorithm} is {found}, expected {expected}; nothing was kept, try again or use another mirror"
    )]
    Checksum {
        /// Address or file.
        origin: String,
        /// "sha256" or "md5".
        algorithm: &'static str,
        /// Published checksum, hexadecimal.
        expected: String,
        /// Checksum of the downloaded file.
        found: String,
    },

    /// A download failed.
    #[error("{url}: download failed: {reason}; check the network and try again")]
    Download {
        /// Address.
        url: String,
        /// The cause.
        reason: String,
    },

    /// The crate was built without the feature `download`.
    #[error(
        "`{name}` cannot be downloaded: this build lacks the feature `download`; fetch {url} yourself and give its path instead of the name"
    )]
    NoDownload {
        /// Name of the set or of the weights.
        name: String,
        /// Address of the published files.
        url: String,
    },

    /// A setting is outside of its range.
    #[error("`{key}` is {value}; expected {expected}")]
    Setting {
        /// Name of the setting.
        key: &'static str,
        /// The value, as text.
        value: String,
        /// The range.
        expected: String,
    },

    /// A batch size is 0.
    #[error("batch {batch} of the epoch was given the size 0; expected at least 1")]
    BatchSize {
        /// Index of the batch from 0.
        batch: u64,
    },

    /// An image cannot be drawn as a picture.
    #[error("an image of {shape} cannot be drawn: {reason}")]
    Picture {
        /// Shape of the image: channels, height and width.
        shape: String,
        /// The cause.
        reason: String,
    },

    /// A network cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),

    /// A training step failed. It converts, so that one function can read batches and train.
    #[error(transparent)]
    Burn(#[from] onecycle_burn::BurnError),

    /// The outputs of a network cannot be read back from the device.
    #[error("cannot read the outputs of the network: {reason}")]
    Compute {
        /// The message of the backend.
        reason: String,
    },

    /// The prefetching thread panicked or could not be started.
    #[error("the loader's thread stopped: {reason}")]
    Prefetch {
        /// The message of the panic or of the operating system.
        reason: String,
    },
}

impl DataError {
    /// An error of the operating system during `action`.
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            action,
            source,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "any place (there was none to look in)".to_owned();
    }
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn number_of_images(number: usize) -> String {
    match number {
        1 => "1 image".to_owned(),
        n => format!("{n} images"),
    }
}

fn list_failures(failures: &[(PathBuf, String)]) -> String {
    let one = |(path, reason): &(PathBuf, String)| format!("{} ({reason})", path.display());
    failures.iter().map(one).collect::<Vec<_>>().join(", ")
}
