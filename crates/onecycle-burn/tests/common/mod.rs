//! Where the reference data lie: beside the repository, or where `ONECYCLE_SHARED` says.

use std::path::PathBuf;

/// Path of a reference file, or `None` (and a word about it) where the reference data are absent.
pub(crate) fn golden(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("ONECYCLE_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("goldens").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {name} is not here; set ONECYCLE_SHARED to the folder of reference data");
    None
}
