//! What can be wrong with data, one variant for each cause.
//!
//! A message names the file, what was expected of it, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of reading, checking, fetching or loading image data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The name is none of the known data sets.
    #[error(
        "unknown data set `{name}`: the known ones are {known}; for your own images give the path of a folder instead"
    )]
    UnknownSet {
        /// The name as given.
        name: String,
        /// The known names, separated by commas.
        known: String,
    },

    /// A known data set is in none of the places where it could be.
    #[error(
        "data set `{name}` was not found in {}; run `onecycle data get {name}`, or say where it is with --data or ONECYCLE_DATA",
        list(looked_in)
    )]
    NotFound {
        /// Canonical name of the set.
        name: String,
        /// The places, in the order of the search.
        looked_in: Vec<PathBuf>,
    },

    /// A path does not exist.
    #[error("{}: there is no such file or folder; expected {expected}", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
        /// What should have been there.
        expected: String,
    },

    /// A folder or archive lacks a file of the set.
    #[error("{}: `{file}` is missing from it; expected {expected}; add it, or fetch the set again", path.display())]
    MissingFile {
        /// Folder or archive.
        path: PathBuf,
        /// Name of the file that is missing.
        file: String,
        /// What a whole set consists of.
        expected: String,
    },

    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The system's own error.
        source: io::Error,
    },

    /// A file has no bytes at all.
    #[error("{}: the file is empty; expected {expected}; fetch it again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
    },

    /// The gzip stream is cut off or damaged.
    #[error("{}: the gzip data is {reason}; the file is damaged, fetch it again", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// "cut off", or what the decoder said.
        reason: String,
    },

    /// Fewer bytes than the header, or the format, says.
    #[error(
        "{}: cut off: expected {expected} bytes of {what}, found {found}; fetch the file again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What the bytes are: "header", "pixels", ...
        what: &'static str,
        /// Bytes that should be there.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },

    /// More bytes than the header, or the format, says.
    #[error(
        "{}: expected {expected} bytes of {what}, but there are more; the header and the contents disagree, fetch the file again",
        path.display()
    )]
    Excess {
        /// The file.
        path: PathBuf,
        /// What the bytes are.
        what: &'static str,
        /// Bytes that should be there.
        expected: u64,
    },

    /// The first bytes are not those of the format.
    #[error("{}: expected {expected}, but the first bytes are {found:#010x}, which is {meaning}", path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The format that was expected, with its magic number.
        expected: String,
        /// The first four bytes, big-endian.
        found: u32,
        /// What such bytes mean, and what to do.
        meaning: String,
    },

    /// A header whose sizes cannot be true.
    #[error("{}: the header says {claim}, which cannot be: {reason}; fetch the file again", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What the header claims.
        claim: String,
        /// Why that is refused.
        reason: String,
    },

    /// Images and labels differ in number.
    #[error(
        "{} has {images} images, but {} has {labels} labels; the two belong to different sets, fetch both again",
        images_path.display(), labels_path.display()
    )]
    Count {
        /// File of the images.
        images_path: PathBuf,
        /// Images in it.
        images: usize,
        /// File of the labels.
        labels_path: PathBuf,
        /// Labels in it.
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

    /// A label that names no class.
    #[error(
        "{}: the label of image {index} is {label}, but there are {classes} classes (0 to {}); these are not the labels of this set, or the file is damaged",
        path.display(), classes.saturating_sub(1)
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// Index of the image from 0.
        index: usize,
        /// The label found.
        label: u32,
        /// Number of classes.
        classes: usize,
    },

    /// There is no image at all.
    #[error("{}: no images; expected {expected}", path.display())]
    NoImages {
        /// File or folder.
        path: PathBuf,
        /// The layout that would be understood.
        expected: String,
    },

    /// A folder of a class has no image in it.
    #[error(
        "{}: the folder of class `{class}` holds no .png, .jpg or .jpeg image; add some, or remove the folder",
        path.display()
    )]
    EmptyClass {
        /// The folder.
        path: PathBuf,
        /// Name of the class.
        class: String,
    },

    /// Only one class: nothing to tell apart.
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

    /// The validation folder has a class that training lacks.
    #[error(
        "{}: class `{class}` is not in the training folder; add images of it there, or remove this folder",
        path.display()
    )]
    UnknownClass {
        /// The folder in the validation part.
        path: PathBuf,
        /// Name of the class.
        class: String,
    },

    /// A folder of a class whose name is no text: it could not be told from another such.
    #[error(
        "{}: the name of this class is not UTF-8; rename the folder",
        path.display()
    )]
    NotText {
        /// The folder.
        path: PathBuf,
    },

    /// A pipe, a device or the like by the name of an image.
    #[error("{}: no regular file, though it is named as an image; remove it", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },

    /// An image that cannot be decoded.
    #[error(
        "{}: not a readable PNG or JPEG image ({reason}){}; repair or remove it",
        path.display(), also(*others)
    )]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
        /// How many more images are unreadable as well.
        others: usize,
    },

    /// An archive that cannot be read.
    #[error("{}: not a readable .tar.gz archive ({reason}); fetch it again", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// An archive with an entry that points outside of it.
    #[error(
        "{}: refused, since its entry `{entry}` points outside of the archive; expected the published archive, fetch it again",
        path.display()
    )]
    ArchivePath {
        /// The archive.
        path: PathBuf,
        /// Path of the entry.
        entry: String,
    },

    /// The path holds none of the layouts that can be read.
    #[error("{}: not a data set: {found}; expected {expected}", path.display())]
    Layout {
        /// File or folder.
        path: PathBuf,
        /// What was found.
        found: String,
        /// The layouts that would be understood.
        expected: String,
    },

    /// A file is not the published one.
    #[error(
        "{origin}: the {algorithm} is {found}, expected {expected}; nothing of it was kept, try again or take another mirror"
    )]
    Checksum {
        /// Address or file.
        origin: String,
        /// "sha256" or "md5".
        algorithm: &'static str,
        /// Published checksum, hexadecimal.
        expected: String,
        /// Checksum found.
        found: String,
    },

    /// A download failed.
    #[error(
        "{url}: download failed: {reason}; nothing of it was kept, check the network and try again"
    )]
    Download {
        /// Address.
        url: String,
        /// What happened.
        reason: String,
    },

    /// This build cannot download.
    #[error(
        "`{name}` cannot be downloaded: this build lacks the feature `download`; fetch {url} yourself and give its folder with --data"
    )]
    NoDownload {
        /// Name of the set.
        name: String,
        /// Address of the published files.
        url: String,
    },

    /// A setting outside of its range.
    #[error("`{key}` is {value}; expected {expected}")]
    Setting {
        /// Name of the setting.
        key: &'static str,
        /// The value, as text.
        value: String,
        /// The range.
        expected: String,
    },

    /// A batch size of zero was asked for.
    #[error("batch {batch} of the epoch was given the size 0; expected at least 1")]
    BatchSize {
        /// Index of the batch from 0.
        batch: u64,
    },

    /// The prefetching thread ended early.
    #[error("the loader's thread stopped: {reason}")]
    Prefetch {
        /// The panic's message, or the system's.
        reason: String,
    },
}

impl DataError {
    /// Wraps an error of the system, with what was tried.
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

fn also(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", nor are {n} other files"),
    }
}
