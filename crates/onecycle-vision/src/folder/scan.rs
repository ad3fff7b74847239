//! Lists the image files of a folder, with their classes and parts.
//!
//! Nothing is dropped silently: whatever is not used is in [`Tree::skipped`] with a reason, except
//! for hidden files and the files that systems and tools add ([`is_junk`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use unicode_normalization::UnicodeNormalization;

use super::contents::{PartName, Skipped};
use super::formats::{self, Kind};
use super::labels::{self, LabelFile};
use crate::error::DataError;
use crate::files::Sha256Writer;

/// An image file.
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    /// Path relative to the root, with slashes.
    pub(super) name: String,
    pub(super) label: u32,
    pub(super) part: PartName,
    /// Bytes.
    size: u64,
    /// Nanoseconds since 1970.
    modified: u128,
    /// Number of the file and time of its last change on the file system; see [`identity`].
    identity: [u64; 3],
}

/// The contents of a folder of images.
pub(super) struct Tree {
    /// Sorted.
    pub(super) classes: Vec<String>,
    /// Sorted by part, class and name: training images first, then validation, then test images.
    pub(super) files: Vec<ImageFile>,
    /// Files that are not used.
    pub(super) skipped: Vec<Skipped>,
    /// Remarks for the user.
    pub(super) notes: Vec<String>,
}

const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];
const TEST: [&str; 2] = ["test", "testing"];

/// The layouts that are understood, for error messages.
const LAYOUT: &str = "a folder of images for each class (cat/, dog/, ..), or such folders in \
                      train/, val/ and test/, or a table of labels (--labels FILE.csv)";

/// Lists the images below `root`, without opening them.
///
/// Without `known` classes, the classes are those that are found, each with an image.
pub(super) fn scan(
    root: &Path,
    labels: Option<&LabelFile>,
    known: Option<&Vec<String>>,
) -> Result<Tree, DataError> {
    let mut scan = Scan {
        root,
        files: Vec::new(),
        skipped: Vec::new(),
        notes: Vec::new(),
        visited: BTreeSet::new(),
        classes_are_given: known.is_some(),
    };
    let classes = match labels {
        Some(labels) => scan.labelled(labels, known)?,
        None => scan.folders(known)?,
    };
    let Scan {
        mut files,
        skipped,
        notes,
        ..
    } = scan;
    files.sort_by(|a, b| (a.part, a.label, &a.name).cmp(&(b.part, b.label, &b.name)));
    Ok(Tree {
        classes,
        files,
        skipped,
        notes,
    })
}

/// Lists the images below a folder.
pub(super) fn image_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut scan = Scan {
        root: folder,
        files: Vec::new(),
        skipped: Vec::new(),
        notes: Vec::new(),
        visited: BTreeSet::new(),
        classes_are_given: true,
    };
    scan.add_images(folder, 0, PartName::Test)?;
    let mut files: Vec<PathBuf> = scan.files.into_iter().map(|file| file.path).collect();
    files.sort();
    Ok(files)
}

impl Tree {
    /// Key of the cache file: SHA-256 of `settings` and of all names, lengths, modification times
    /// and identities.
    pub(super) fn key(&self, settings: &str) -> String {
        let mut hash = Sha256Writer::default();
        hash.update(b"onecycle image folder 3");
        hash.update(settings.as_bytes());
        for file in &self.files {
            hash.update(&(file.name.len() as u64).to_le_bytes());
            hash.update(file.name.as_bytes());
            hash.update(&file.label.to_le_bytes());
            hash.update(&[file.part as u8]);
            hash.update(&file.size.to_le_bytes());
            hash.update(&file.modified.to_le_bytes());
            for number in file.identity {
                hash.update(&number.to_le_bytes());
            }
        }
        hash.finish()
    }
}

struct Scan<'a> {
    root: &'a Path,
    files: Vec<ImageFile>,
    skipped: Vec<Skipped>,
    notes: Vec<String>,
    /// Folders that were entered, without links: a link to one of them would never end.
    visited: BTreeSet<PathBuf>,
    /// Whether the caller gave the classes.
    classes_are_given: bool,
}

/// A visible entry of a folder.
#[derive(Clone)]
struct Entry {
    /// Composed Unicode: the same name can be stored in two ways (é, and e with an accent).
    name: String,
    path: PathBuf,
    is_folder: bool,
}

impl Scan<'_> {
    /// Finds classes and parts by the names of folders. Returns the classes.
    fn folders(&mut self, known: Option<&Vec<String>>) -> Result<Vec<String>, DataError> {
        let entries = unwrap(list(self.root)?)?;
        let parts = parts(&entries)?;
        let Some(train) = parts.get(&PartName::Train) else {
            return self.class_folders(entries, known);
        };
        let train_entries = list(&train.path)?;
        let classes = self.add_classes(&train.path, train_entries, PartName::Train, known)?;
        for (part, entry) in parts.iter().filter(|(part, _)| **part != PartName::Train) {
            let entries = list(&entry.path)?;
            if entries.iter().any(|entry| entry.is_folder) {
                self.add_classes(&entry.path, entries, *part, Some(&classes))?;
                if !self.files.iter().any(|file| file.part == *part) {
                    return Err(no_images(&entry.path));
                }
            } else {
                self.unlabelled(*part, entry, &entries)?;
            }
        }
        let is_part = |entry: &Entry| parts.values().any(|part| part.path == entry.path);
        for entry in entries.iter().filter(|entry| !is_part(entry)) {
            self.skip_all(entry, "next to the folder of training images")?;
        }
        Ok(classes)
    }

    /// A folder with class folders only.
    fn class_folders(
        &mut self,
        entries: Vec<Entry>,
        known: Option<&Vec<String>>,
    ) -> Result<Vec<String>, DataError> {
        let folders = entries.iter().filter(|entry| entry.is_folder);
        let names: Vec<&str> = folders.map(|entry| entry.name.as_str()).collect();
        let parts = [&VALIDATION[..], &TEST].concat();
        let is_part = |name: &&&str| parts.contains(&name.to_lowercase().as_str());
        if !names.is_empty() && names.iter().filter(is_part).count() == names.len() {
            return Err(DataError::Layout {
                path: self.root.to_path_buf(),
                found: format!("only the folders {}", names.join(", ")),
                expected: "a folder `train` next to them; rename the folder of training images"
                    .to_owned(),
            });
        }
        let root = self.root.to_path_buf();
        self.add_classes(&root, entries, PartName::Train, known)
    }

    /// Adds the images of each class folder of a part. Without `known` classes, every folder is a
    /// class. Returns the classes.
    fn add_classes(
        &mut self,
        place: &Path,
        entries: Vec<Entry>,
        part: PartName,
        known: Option<&Vec<String>>,
    ) -> Result<Vec<String>, DataError> {
        let (folders, files): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.is_folder);
        if let Some(entry) = folders.iter().find(|entry| entry.name.contains('\u{fffd}')) {
            return Err(DataError::NotText {
                path: entry.path.clone(),
            });
        }
        let mut classes: Vec<String> = folders.iter().map(|entry| entry.name.clone()).collect();
        classes.dedup();
        let classes = known.cloned().unwrap_or(classes);
        let mut images = vec![0; classes.len()];
        for folder in &folders {
            let Some(label) = classes.iter().position(|class| *class == folder.name) else {
                let (path, class) = (folder.path.clone(), folder.name.clone());
                return Err(match self.classes_are_given {
                    false => DataError::UnknownClass { path, class },
                    true => DataError::OtherClass {
                        path,
                        class,
                        known: classes,
                    },
                });
            };
            let before = self.files.len();
            self.add_images(&folder.path, label as u32, part)?;
            images[label] += self.files.len() - before;
        }
        for file in &files {
            self.skip_all(file, "not in the folder of a class")?;
        }
        if known.is_some() {
            return Ok(classes);
        }
        if let Some(label) = images.iter().position(|count| *count == 0) {
            let class = classes[label].clone();
            let folder = folders.into_iter().find(|folder| folder.name == class);
            let path = folder.map_or(place.to_path_buf(), |folder| folder.path);
            let found = self.found_in(&path);
            return Err(DataError::EmptyClass { path, class, found });
        }
        match classes.as_slice() {
            [] => match images_in(&list(place)?) {
                0 => Err(no_images(place)),
                images => Err(DataError::NoClasses {
                    path: place.to_path_buf(),
                    images,
                    expected: LAYOUT.to_owned(),
                }),
            },
            [class] => Err(DataError::OneClass {
                path: place.to_path_buf(),
                class: class.clone(),
            }),
            _ => Ok(classes),
        }
    }

    /// The reasons why nothing below a folder is used, in words.
    fn found_in(&self, folder: &Path) -> String {
        let name = relative(self.root, folder) + "/";
        let inside = |one: &&Skipped| one.file.starts_with(&name);
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for skipped in self.skipped.iter().filter(inside) {
            *reasons.entry(skipped.reason.as_str()).or_default() += 1;
        }
        let found: Vec<String> = reasons
            .into_iter()
            .map(|(reason, count)| format!("{count} × {reason}"))
            .collect();
        match found.is_empty() {
            true => "it is empty".to_owned(),
            false => found.join(", "),
        }
    }

    /// A part without class folders: its images have no labels.
    fn unlabelled(
        &mut self,
        part: PartName,
        folder: &Entry,
        entries: &[Entry],
    ) -> Result<(), DataError> {
        let images = images_in(entries);
        if images == 0 {
            return Err(no_images(&folder.path));
        }
        for entry in entries {
            self.skip_all(entry, "no label: not in the folder of a class")?;
        }
        let path = folder.path.display();
        let use_instead = match part {
            PartName::Test => {
                format!("; predict their classes with `onecycle predict RUN {path}`")
            }
            _ => String::new(),
        };
        self.notes.push(format!(
            "{path} has {images} images but no folders of classes, so they have no labels and are \
             not used{use_instead}"
        ));
        Ok(())
    }

    /// Adds all images below a folder, at any depth.
    fn add_images(&mut self, folder: &Path, label: u32, part: PartName) -> Result<(), DataError> {
        if !self.enter(folder)? {
            return Ok(());
        }
        for entry in list(folder)? {
            if entry.is_folder {
                self.add_images(&entry.path, label, part)?;
            } else {
                self.add_file(&entry.path, label, part)?;
            }
        }
        Ok(())
    }

    /// Whether this folder is entered for the first time.
    fn enter(&mut self, folder: &Path) -> Result<bool, DataError> {
        let real = folder
            .canonicalize()
            .map_err(|error| DataError::io(folder, "list the folder", error))?;
        let first = self.visited.insert(real);
        if !first {
            self.skip(folder, "a link to a folder that is read already");
        }
        Ok(first)
    }

    /// Adds a file if it is an image.
    fn add_file(&mut self, path: &Path, label: u32, part: PartName) -> Result<(), DataError> {
        let Ok(data) = fs::metadata(path) else {
            self.skip(path, "a link to a file that does not exist");
            return Ok(());
        };
        if !data.is_file() {
            // Opening a pipe could block forever.
            return Err(DataError::NotAFile {
                path: path.to_path_buf(),
            });
        }
        match formats::kind(path) {
            Kind::Image => {}
            Kind::OtherFormat(extension) => {
                self.skip(
                    path,
                    format!(".{extension} cannot be read: convert it to PNG or JPEG"),
                );
                return Ok(());
            }
            Kind::Other => {
                self.skip(path, "not an image");
                return Ok(());
            }
        }
        let modified = data
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        self.files.push(ImageFile {
            path: path.to_path_buf(),
            name: relative(self.root, path),
            label,
            part,
            size: data.len(),
            modified: modified.map_or(0, |time| time.as_nanos()),
            identity: identity(&data),
        });
        Ok(())
    }

    /// Skips a file, or every file of a folder.
    fn skip_all(&mut self, entry: &Entry, reason: &str) -> Result<(), DataError> {
        if !entry.is_folder {
            self.skip(&entry.path, reason);
            return Ok(());
        }
        if self.enter(&entry.path)? {
            for entry in list(&entry.path)? {
                self.skip_all(&entry, reason)?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, reason: impl Into<String>) {
        self.skipped.push(Skipped {
            file: relative(self.root, path),
            reason: reason.into(),
        });
    }

    /// Takes the labels from a table. Returns the classes.
    fn labelled(
        &mut self,
        table: &LabelFile,
        known: Option<&Vec<String>>,
    ) -> Result<Vec<String>, DataError> {
        let rows = labels::read(table, self.root)?;
        let classes: BTreeSet<&String> = rows.iter().map(|row| &row.label).collect();
        let found = classes.into_iter().cloned().collect();
        let classes: Vec<String> = known.cloned().unwrap_or(found);
        let mut labelled = BTreeSet::new();
        for row in &rows {
            let Some(label) = classes.iter().position(|class| *class == row.label) else {
                return Err(DataError::Labels {
                    path: table.path.clone(),
                    reason: format!("line {} has the unknown class `{}`", row.line, row.label),
                });
            };
            let Some(path) = &row.path else {
                self.skipped.push(Skipped {
                    file: row.file.clone(),
                    reason: format!(
                        "in line {} of the labels, but there is no such file",
                        row.line
                    ),
                });
                continue;
            };
            labelled.insert(path.clone());
            self.add_file(path, label as u32, PartName::Train)?;
        }
        labelled.extend(table.path.canonicalize().ok());
        for entry in list(self.root)? {
            self.skip_unlabelled(&entry, &labelled)?;
        }
        match classes.as_slice() {
            _ if self.files.is_empty() => Err(DataError::NoImages {
                path: self.root.to_path_buf(),
                expected: format!(
                    "the files named in {}; its first one is `{}`",
                    table.path.display(),
                    rows.first().map_or("", |row| &row.file)
                ),
            }),
            [class] if known.is_none() => Err(DataError::OneClass {
                path: table.path.clone(),
                class: class.clone(),
            }),
            _ => Ok(classes),
        }
    }

    /// Skips the images of an entry that have no label.
    fn skip_unlabelled(
        &mut self,
        entry: &Entry,
        labelled: &BTreeSet<PathBuf>,
    ) -> Result<(), DataError> {
        if entry.is_folder {
            if self.enter(&entry.path)? {
                for entry in list(&entry.path)? {
                    self.skip_unlabelled(&entry, labelled)?;
                }
            }
            return Ok(());
        }
        let real = entry.path.canonicalize().unwrap_or(entry.path.clone());
        if !labelled.contains(&real) {
            self.skip(&entry.path, "no label in the table");
        }
        Ok(())
    }
}

/// Number of entries that are images.
fn images_in(entries: &[Entry]) -> usize {
    let images = entries.iter();
    let images = images.filter(|entry| formats::kind(&entry.path) == Kind::Image);
    images.count()
}

fn no_images(folder: &Path) -> DataError {
    DataError::NoImages {
        path: folder.to_path_buf(),
        expected: LAYOUT.to_owned(),
    }
}

/// Removes wrapper folders: while there is nothing but one folder, and that one has folders itself,
/// its entries.
fn unwrap(mut entries: Vec<Entry>) -> Result<Vec<Entry>, DataError> {
    while let [only] = entries.as_slice() {
        if !only.is_folder || TRAIN.contains(&only.name.to_lowercase().as_str()) {
            break;
        }
        let inner = list(&only.path)?;
        if !inner.iter().any(|entry| entry.is_folder) {
            break;
        }
        entries = inner;
    }
    Ok(entries)
}

/// The folders that are parts. A folder called `train` that has images itself, or fewer than two
/// folders, is a class. Without training images, there are no parts.
fn parts(entries: &[Entry]) -> Result<BTreeMap<PartName, Entry>, DataError> {
    let mut parts = BTreeMap::new();
    let find = |names: &[&str]| {
        let named = |entry: &&Entry| names.contains(&entry.name.to_lowercase().as_str());
        entries.iter().filter(|entry| entry.is_folder).find(named)
    };
    let Some(train) = find(&TRAIN) else {
        return Ok(parts);
    };
    let inside = list(&train.path)?;
    let folders = inside.iter().filter(|entry| entry.is_folder).count();
    let others = entries.iter().any(|entry| {
        let name = entry.name.to_lowercase();
        VALIDATION.contains(&name.as_str()) || TEST.contains(&name.as_str())
    });
    let has_images = inside
        .iter()
        .any(|entry| !entry.is_folder && formats::kind(&entry.path) == Kind::Image);
    if has_images && !others || folders == 0 {
        return Ok(parts);
    }
    parts.insert(PartName::Train, train.clone());
    for (part, names) in [
        (PartName::Validation, &VALIDATION[..]),
        (PartName::Test, &TEST),
    ] {
        if let Some(entry) = find(names) {
            parts.insert(part, entry.clone());
        }
    }
    Ok(parts)
}

/// The visible entries of a folder, sorted by name.
fn list(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let failed = |error| DataError::io(folder, "list the folder", error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name: String = name.nfc().collect();
        if !is_junk(&name) {
            let is_folder = path.is_dir();
            entries.push(Entry {
                name,
                path,
                is_folder,
            });
        }
    }
    entries.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(entries)
}

/// Hidden files, and files and folders that systems and tools add to a folder.
fn is_junk(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "__MACOSX",
        "@eaDir",
        "Thumbs.db",
        "desktop.ini",
        "$RECYCLE.BIN",
    ];
    name.starts_with('.') || NAMES.iter().any(|junk| junk.eq_ignore_ascii_case(name))
}

/// A path relative to the root, with slashes.
fn relative(root: &Path, path: &Path) -> String {
    let name = path.strip_prefix(root).unwrap_or(path);
    name.iter()
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}

/// Numbers that change when a file is replaced, even by one of the same size and modification time,
/// as reproducible archives have them: the inode, and seconds and nanoseconds of the last change of
/// the inode, which no program can set.
#[cfg(unix)]
pub(super) fn identity(data: &fs::Metadata) -> [u64; 3] {
    use std::os::unix::fs::MetadataExt;
    [data.ino(), data.ctime() as u64, data.ctime_nsec() as u64]
}

/// Numbers that change when a file is replaced: seconds and nanoseconds of its creation.
#[cfg(not(unix))]
pub(super) fn identity(data: &fs::Metadata) -> [u64; 3] {
    let created = data.created().ok();
    let created = created.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    created.map_or([0; 3], |time| {
        [0, time.as_secs(), time.subsec_nanos().into()]
    })
}
