//! All runs and studies below the watched folders: [`Library`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    place::Place,
    run::{Run, study_of},
    study::Study,
};

/// Time between two searches for new runs.
const SCAN_EVERY: Duration = Duration::from_secs(2);
/// Time between two looks at the files of runs in progress, for all pages together.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time between two looks at the files of finished runs.
const LOOK_AT_FINISHED_EVERY: Duration = Duration::from_secs(15);
/// Folders below a watched folder that are searched, and how deep.
const MOST_FOLDERS: usize = 20_000;
const DEEPEST: usize = 6;

/// The runs below the watched folders.
#[derive(Debug)]
pub(crate) struct Library {
    /// The folders as given, and whether each must exist.
    given: Vec<PathBuf>,
    runs: BTreeMap<PathBuf, Run>,
    /// Paths by identifier.
    ids: BTreeMap<String, PathBuf>,
    studies: BTreeMap<PathBuf, Study>,
    /// How many pages show the updates of a run, by identifier.
    shown: BTreeMap<String, usize>,
    scanned: Option<Instant>,
    looked: Option<Instant>,
    looked_at_finished: Option<Instant>,
    /// Whether the search stopped at [`MOST_FOLDERS`].
    pub(crate) incomplete: bool,
}

/// What a search has found.
#[derive(Default)]
struct Found {
    /// Folder of each run, with the watched folder.
    runs: BTreeMap<PathBuf, Place>,
    folders: usize,
}

impl Library {
    /// The runs in these folders. A folder that does not exist yet may appear later.
    pub(crate) fn new(given: Vec<PathBuf>) -> Self {
        Library {
            given,
            runs: BTreeMap::new(),
            ids: BTreeMap::new(),
            studies: BTreeMap::new(),
            shown: BTreeMap::new(),
            scanned: None,
            looked: None,
            looked_at_finished: None,
            incomplete: false,
        }
    }

    /// Reads what has changed on disk, unless that was done a moment ago.
    pub(crate) fn refresh(&mut self) {
        let is_due = |last: &mut Option<Instant>, every: Duration| {
            let due = last.is_none_or(|last| last.elapsed() >= every);
            if due {
                *last = Some(Instant::now());
            }
            due
        };
        if is_due(&mut self.scanned, SCAN_EVERY) {
            self.scan();
        }
        if !is_due(&mut self.looked, LOOK_EVERY) {
            return;
        }
        let all = is_due(&mut self.looked_at_finished, LOOK_AT_FINISHED_EVERY);
        for run in self.runs.values_mut() {
            if all || !run.is_final() || run.version == 0 {
                run.refresh();
            }
            if self.shown.contains_key(&run.id) {
                run.read_steps();
            }
        }
        for (root, study) in &mut self.studies {
            let runs = self.runs.values();
            study
                .refresh(runs.filter(|run| study_of(run.folder().root()).as_deref() == Some(root)));
        }
    }

    /// All runs, in the order of their paths.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// All studies, in the order of their paths.
    pub(crate) fn studies(&self) -> impl Iterator<Item = &Study> {
        self.studies.values()
    }

    /// The run with this identifier.
    pub(crate) fn run(&self, id: &str) -> Option<&Run> {
        self.runs.get(self.ids.get(id)?)
    }

    /// The same, to change it.
    pub(crate) fn run_mut(&mut self, id: &str) -> Option<&mut Run> {
        self.runs.get_mut(self.ids.get(id)?)
    }

    /// Begins to show the updates of these runs.
    pub(crate) fn show(&mut self, ids: &[String]) {
        for id in ids {
            *self.shown.entry(id.clone()).or_default() += 1;
        }
        self.looked = None;
    }

    /// Ends what [`show`](Self::show) began. Updates that no page shows are forgotten.
    pub(crate) fn hide(&mut self, ids: &[String]) {
        for id in ids {
            let Some(pages) = self.shown.get_mut(id) else {
                continue;
            };
            *pages -= 1;
            if *pages == 0 {
                self.shown.remove(id);
                let run = self.ids.get(id).and_then(|path| self.runs.get_mut(path));
                if let Some(run) = run {
                    run.forget_steps();
                }
            }
        }
    }

    fn scan(&mut self) {
        let mut found = Found::default();
        for given in &self.given {
            if let Some(place) = Place::new(given) {
                search(place.root(), &place, 0, &mut found);
            }
        }
        self.incomplete = found.folders > MOST_FOLDERS;
        self.runs.retain(|path, _| found.runs.contains_key(path));
        let several = self.given.len() > 1;
        for (root, place) in found.runs {
            if self.runs.contains_key(&root) {
                continue;
            }
            let study = study_of(&root).filter(|study| place.contains(study));
            let (id, name) = (identifier(&root), name(&root, &place, several));
            if let Some(path) = &study {
                let name = self::name(path, &place, several);
                let study = || Study::new(identifier(path), name);
                self.studies.entry(path.clone()).or_insert_with(study);
            }
            let run = Run::new(id, name, study.as_deref().map(identifier), &root, &place);
            self.runs.insert(root, run);
        }
        let alive: BTreeSet<PathBuf> = self.runs.keys().filter_map(|root| study_of(root)).collect();
        self.studies.retain(|path, _| alive.contains(path));
        self.ids = self
            .runs
            .iter()
            .map(|(path, run)| (run.id.clone(), path.clone()))
            .collect();
    }
}

/// Adds the runs in `folder` and below.
fn search(folder: &Path, place: &Place, depth: usize, found: &mut Found) {
    found.folders += 1;
    if depth > DEEPEST || found.folders > MOST_FOLDERS {
        return;
    }
    let is_run = Run::is_at(folder);
    if is_run {
        found
            .runs
            .entry(folder.to_path_buf())
            .or_insert_with(|| place.clone());
    }
    // The folder may have been removed, or belong to another user.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        // A run contains no others, except for the one that trained its last layer.
        if hidden || is_run && name != "head" && name != "runs" {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // Links are not followed, so a folder is never searched twice.
        if is_folder {
            search(&path, place, depth + 1, found);
        }
    }
}

/// Name of a folder on the page: its path in the watched folder.
fn name(root: &Path, place: &Place, several: bool) -> String {
    let inner = root.strip_prefix(place.root()).unwrap_or(root);
    let name = match (inner.as_os_str().is_empty(), several) {
        (true, false) => PathBuf::from(root.file_name().unwrap_or_default()),
        (false, false) => inner.to_path_buf(),
        (_, true) => place.given.join(inner),
    };
    let name = name.to_string_lossy();
    name.trim_end_matches('/').to_owned()
}

/// Identifier of a folder in addresses: FNV-1a of its path, in hexadecimal digits. It stays the same
/// after a restart of the server.
fn identifier(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    fn write(root: &Path, name: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn runs_and_studies_are_found_as_they_appear() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("runs");
        let mut library = Library::new(vec![root.clone()]);
        library.refresh();
        assert_eq!(library.runs().count(), 0, "the folder does not exist yet");
        for name in [
            "a/run.toml",
            "a/head/run.toml",
            "a/checkpoints/run.toml",
            "search/range_test.jsonl",
            "study/runs/one-seed1/run.toml",
            "study/runs/one-seed2/run.toml",
            ".hidden/run.toml",
            "other/summary.json",
        ] {
            write(&root, name);
        }
        library.scanned = None;
        library.refresh();
        let names: Vec<&str> = library.runs().map(|run| run.name.as_str()).collect();
        let expected = [
            "a",
            "a/head",
            "search",
            "study/runs/one-seed1",
            "study/runs/one-seed2",
        ];
        assert_eq!(names, expected);
        let studies: Vec<&str> = library.studies().map(|study| study.name()).collect();
        assert_eq!(studies, ["study"]);
        let ids: Vec<String> = library.runs().map(|run| run.id.clone()).collect();
        assert_eq!(library.run(&ids[2]).unwrap().name, "search");
        assert!(library.run("../a").is_none());
        fs::remove_dir_all(root.join("study")).unwrap();
        library.scanned = None;
        library.refresh();
        assert_eq!((library.runs().count(), library.studies().count()), (3, 0));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "outside/run.toml");
        write(folder.path(), "runs/a/run.toml");
        let link = folder.path().join("runs/link");
        std::os::unix::fs::symlink(folder.path().join("outside"), link).unwrap();
        let mut library = Library::new(vec![folder.path().join("runs")]);
        library.refresh();
        let names: Vec<&str> = library.runs().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["a"]);
    }
}
