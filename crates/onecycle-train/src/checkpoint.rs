//! Checkpoints: the whole state of a run in one checksummed file.
//!
//! A file is `1CYCKPT1`, the SHA-256 of what follows, then a safetensors file. It holds the weights under
//! `model/NAME`, the optimizer's state under `optimizer/NAME`, and [`Progress`] as JSON in its metadata. Files are
//! named after their step and the newest two are kept: should the last one be damaged, the one before it serves.
//!
//! Checkpoints that every run of a configuration writes at the same steps are named `step-..`; one that was written
//! because somebody asked the run to stop is named `stop-..` and kept beside the two until the next of these. A run
//! that goes back after a divergence goes back to one of the former, so that it matters not whether it was stopped.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use onecycle_burn::state::TensorMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    FileError, RunError, TrainError, files, metrics::MetricSums, tensors, trainer::Cursor,
};

const MAGIC: &[u8; 8] = b"1CYCKPT1";
const DIGEST_LEN: usize = 32;
/// Checkpoints that are kept.
const KEPT: usize = 2;
/// How names of checkpoints end.
const ENDING: &str = ".ckpt";
/// Name of the progress in the metadata.
const PROGRESS: &str = "onecycle.progress";

/// Why a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointKind {
    /// The configuration says so: the start, the end of an epoch, every `checkpoint_steps`.
    Regular,
    /// Somebody asked the run to stop.
    Stop,
}

impl CheckpointKind {
    fn prefix(self) -> &'static str {
        match self {
            CheckpointKind::Stop => "stop-",
            CheckpointKind::Regular => "step-",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Updates made.
    pub step: u64,
    /// Epoch that the next update belongs to.
    pub epoch: u64,
    /// Images of that epoch that were used.
    pub images_of_epoch: u64,
    /// Sum of the losses of these images.
    pub loss: f64,
    /// Images among these that were classified rightly.
    pub correct: u64,
    /// Time spent training in this epoch, in seconds.
    pub seconds: f64,
    /// What an evaluation in progress has seen so far: of the validation images, where `images_of_epoch` have been
    /// trained on, of the test images else.
    #[serde(default, skip_serializing_if = "nothing_seen")]
    pub evaluated: MetricSums,
}

fn nothing_seen(tally: &MetricSums) -> bool {
    tally.images == 0
}

impl Progress {
    /// Position of the trainer.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor {
            step: self.step,
            epoch: self.epoch,
            images_of_epoch: self.images_of_epoch,
        }
    }

    /// Losses and correct answers of the epoch's images so far.
    pub(crate) fn trained(&self) -> MetricSums {
        MetricSums {
            loss: self.loss,
            correct: self.correct,
            images: self.images_of_epoch,
        }
    }
}

/// The state of a run: all that a resumed run needs besides its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Where the run stands.
    pub progress: Progress,
    /// Weights and running statistics.
    pub weights: TensorMap,
    /// State of the optimizer.
    pub optimizer: TensorMap,
}

impl Checkpoint {
    /// Writes the checkpoint into `folder` and removes those that it makes needless: all but the newest two, and any
    /// older one of a stop.
    ///
    /// # Errors
    /// Files that cannot be written or removed.
    pub fn save(&self, folder: &Path, kind: CheckpointKind) -> Result<PathBuf, FileError> {
        let path = self.write(folder, kind)?;
        let mut regular = 0;
        for old in list(folder)?.iter().rev() {
            let needless = match old.kind {
                CheckpointKind::Regular => {
                    regular += 1;
                    regular > KEPT
                }
                CheckpointKind::Stop => old.path != path,
            };
            if needless {
                remove(&old.path)?;
            }
        }
        Ok(path)
    }

    /// Writes the checkpoint into `folder`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn write(&self, folder: &Path, kind: CheckpointKind) -> Result<PathBuf, FileError> {
        let name = format!("{}{:09}{ENDING}", kind.prefix(), self.progress.step);
        let path = folder.join(name);
        files::write_whole(&path, &self.to_bytes()?)?;
        Ok(path)
    }

    /// Reads one checkpoint.
    ///
    /// # Errors
    /// [`FileError::DamagedCheckpoint`] for a file that is cut short, altered, or something else.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bytes = fs::read(path).map_err(FileError::io("read", path))?;
        Self::from_bytes(&bytes).map_err(|why| FileError::DamagedCheckpoint {
            path: path.to_path_buf(),
            why,
        })
    }

    /// Reads the newest checkpoint of `folder` that is whole; with it, those newer ones that are not, and why.
    ///
    /// # Errors
    /// The newest one's error where none is whole, [`RunError::NoCheckpoint`] where there is none.
    pub fn newest(folder: &Path) -> Result<(Self, Vec<FileError>), TrainError> {
        let mut damaged = Vec::new();
        for saved in list(folder)?.iter().rev() {
            match Self::read(&saved.path) {
                Ok(checkpoint) => return Ok((checkpoint, damaged)),
                Err(error) => damaged.push(error),
            }
        }
        Err(if damaged.is_empty() {
            RunError::NoCheckpoint {
                folder: folder.to_path_buf(),
            }
            .into()
        } else {
            damaged.swap_remove(0).into()
        })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        let progress = serde_json::to_string(&self.progress)
            .map_err(FileError::to_json("the progress of a run"))?;
        let named = |prefix: &'static str, map: &TensorMap| -> Vec<_> {
            map.iter()
                .map(|(name, data)| (format!("{prefix}/{name}"), data.clone()))
                .collect()
        };
        let mut all = named("model", &self.weights);
        all.extend(named("optimizer", &self.optimizer));
        let metadata = HashMap::from([(PROGRESS.to_owned(), progress)]);
        let payload = tensors::to_safetensors(all.into_iter().collect(), metadata)?;
        let mut bytes = Vec::with_capacity(MAGIC.len() + DIGEST_LEN + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&Sha256::digest(&payload));
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("it does not begin like a checkpoint")?;
        let (digest, payload) = rest
            .split_at_checked(DIGEST_LEN)
            .ok_or("it is cut short within its checksum")?;
        if Sha256::digest(payload).as_slice() != digest {
            return Err("its checksum does not match its contents".to_owned());
        }
        let (all, metadata) = tensors::from_safetensors(payload)?;
        let progress = metadata
            .get(PROGRESS)
            .ok_or("it has no record of progress")?;
        let mut checkpoint = Checkpoint {
            progress: serde_json::from_str(progress).map_err(|error| error.to_string())?,
            weights: TensorMap::new(),
            optimizer: TensorMap::new(),
        };
        for (name, data) in all {
            if let Some(name) = name.strip_prefix("model/") {
                checkpoint.weights.insert(name.to_owned(), data);
            } else if let Some(name) = name.strip_prefix("optimizer/") {
                checkpoint.optimizer.insert(name.to_owned(), data);
            } else {
                return Err(format!(
                    "tensor `{name}` is neither the model's nor the optimizer's"
                ));
            }
        }
        Ok(checkpoint)
    }
}

/// A checkpoint by its name. Ordered by step; of the same step that of a stop is the later: it may stand in the middle of
/// an evaluation, and the regular one that follows takes it away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Saved {
    pub(crate) step: u64,
    pub(crate) kind: CheckpointKind,
    pub(crate) path: PathBuf,
}

impl Saved {
    /// `None` for any other file.
    pub(crate) fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
        let (kind, step) = [CheckpointKind::Regular, CheckpointKind::Stop]
            .into_iter()
            .find_map(|kind| Some((kind, name.strip_prefix(kind.prefix())?)))?;
        Some(Saved {
            step: step.parse().ok()?,
            kind,
            path,
        })
    }
}

/// All checkpoints in `folder`, oldest first.
pub(crate) fn list(folder: &Path) -> Result<Vec<Saved>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::io("read the folder", folder))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::io("read the folder", folder))?;
        found.extend(Saved::of(entry.path()));
    }
    found.sort();
    Ok(found)
}

/// Removes the checkpoint of a stop from `folder`, if there is one.
///
/// # Errors
/// A file that cannot be removed.
pub(crate) fn remove_stop(folder: &Path) -> Result<(), FileError> {
    for saved in list(folder)? {
        if saved.kind == CheckpointKind::Stop {
            remove(&saved.path)?;
        }
    }
    Ok(())
}

/// Removes a checkpoint.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(FileError::io("remove", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn checkpoint(step: u64) -> Checkpoint {
        Checkpoint {
            progress: Progress {
                step,
                loss: 0.1 + 0.2,
                ..Progress::default()
            },
            weights: TensorMap::from([(
                "fc.weight".to_owned(),
                TensorData::new(vec![1.5f32, -2.0], [2, 1]),
            )]),
            optimizer: TensorMap::from([(
                "fc.weight/counters".to_owned(),
                TensorData::new(vec![3.0f64, -1.0], [2]),
            )]),
        }
    }

    #[test]
    fn what_was_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = checkpoint(7)
            .save(folder.path(), CheckpointKind::Regular)
            .unwrap();
        assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint(7));
    }

    #[test]
    fn the_newest_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for step in [9, 10, 100, 1000] {
            checkpoint(step)
                .save(folder.path(), CheckpointKind::Regular)
                .unwrap();
        }
        assert_eq!(
            names(folder.path()),
            ["step-000000100.ckpt", "step-000001000.ckpt"]
        );
    }

    fn names(folder: &Path) -> Vec<String> {
        let saved = list(folder).unwrap();
        let name = |saved: &Saved| saved.path.file_name()?.to_str().map(str::to_owned);
        saved.iter().filter_map(name).collect()
    }

    /// A stop takes nothing away that a run without it would have.
    #[test]
    fn a_stop_is_kept_beside_the_two_until_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let save = |step, kind| drop(checkpoint(step).save(folder.path(), kind).unwrap());
        for step in [10, 20] {
            save(step, CheckpointKind::Regular);
        }
        let two = ["step-000000010.ckpt", "step-000000020.ckpt"];
        for step in [23, 25] {
            save(step, CheckpointKind::Stop);
            let stop = format!("stop-0000000{step}.ckpt");
            assert_eq!(names(folder.path()), [two[0], two[1], &stop]);
            assert_eq!(
                Checkpoint::newest(folder.path()).unwrap().0,
                checkpoint(step)
            );
        }
        save(30, CheckpointKind::Regular);
        assert_eq!(names(folder.path()), [two[1], "step-000000030.ckpt"]);
        // The end of an epoch has two: before its evaluation, and after.
        save(40, CheckpointKind::Stop);
        save(40, CheckpointKind::Regular);
        assert_eq!(
            names(folder.path()),
            ["step-000000030.ckpt", "step-000000040.ckpt"]
        );
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let whole = checkpoint(1).to_bytes().unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            assert!(Checkpoint::from_bytes(&altered).is_err(), "byte {at}");
            assert!(Checkpoint::from_bytes(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_damaged_one_gives_way_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(1)
            .save(folder.path(), CheckpointKind::Regular)
            .unwrap();
        let newest = checkpoint(2)
            .save(folder.path(), CheckpointKind::Regular)
            .unwrap();
        fs::write(&newest, b"1CYCKPT1").unwrap();
        let (found, damaged) = Checkpoint::newest(folder.path()).unwrap();
        assert_eq!(found, checkpoint(1));
        assert!(matches!(
            damaged.as_slice(),
            [FileError::DamagedCheckpoint { path, .. }] if *path == newest
        ));
    }

    #[test]
    fn an_empty_folder_says_so() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            Checkpoint::newest(folder.path()),
            Err(TrainError::Run(RunError::NoCheckpoint { .. }))
        ));
    }
}
