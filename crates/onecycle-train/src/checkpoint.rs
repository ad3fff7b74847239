//! Checkpoints: the complete state of a run in one checksummed file. The main type is
//! [`Checkpoint`].
//!
//! A file consists of `1CYCKPT1`, the SHA-256 of the rest, and a safetensors file. This has the
//! weights as `model/NAME`, the optimizer state as `optimizer/NAME`, the average of the weights as
//! `average/NAME` if there is one, the best network so far as `best/NAME` if the run keeps it, and [`Progress`] as JSON in its metadata. The newest two checkpoints are kept: if the last one is damaged, the one before it
//! is used.
//!
//! Names start with the kind and the step. Checkpoints at the steps that the configuration sets are
//! named `step-..`. A checkpoint written because the run was asked to stop is named `stop-..` and
//! kept, in addition to the two, until the next checkpoint. Rollback after a divergence only uses
//! `step-` checkpoints, so a manual stop never changes the result.

mod file;

pub use file::CheckpointKind;
pub(crate) use file::{CheckpointFile, list, remove, remove_stop};

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use onecycle_burn::state::{self, TensorMap};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    FileError, RunError, TrainError,
    averaging::AverageState,
    best::{Best, BestEpoch},
    files,
    metrics::MetricSums,
    tensors,
    trainer::{Cursor, Trainer},
};

const MAGIC: &[u8; 8] = b"1CYCKPT1";
const DIGEST_LEN: usize = 32;
/// Number of `step-` checkpoints to keep.
const KEPT: usize = 2;
/// Metadata key of the progress.
const PROGRESS: &str = "onecycle.progress";

/// Position of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Updates made.
    pub step: u64,
    /// Epoch of the next update, counted from 0.
    pub epoch: u64,
    /// Images of that epoch already trained on.
    pub images_of_epoch: u64,
    /// Images of earlier epochs trained on since the last evaluation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images_before: u64,
    /// Sum of the losses of all these images.
    pub loss: f64,
    /// Correctly classified images among these.
    pub correct: u64,
    /// Time spent training on them, in seconds.
    pub seconds: f64,
    /// Metrics of an evaluation in progress: on the validation images if `images_of_epoch` is above
    /// 0, otherwise on the test images.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub evaluated: MetricSums,
    /// Number of lines of `epochs.jsonl`; `None` for one per epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Number of networks in the average of the weights.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub averaged: u64,
    /// The epoch with the best network so far, if the run keeps the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestEpoch>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_empty(sums: &MetricSums) -> bool {
    sums.images == 0
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

    /// Training metrics since the last evaluation.
    pub(crate) fn train_metrics(&self) -> MetricSums {
        MetricSums {
            loss: self.loss,
            correct: self.correct,
            images: self.images_before + self.images_of_epoch,
        }
    }

    /// Number of lines of `epochs.jsonl`. Older checkpoints do not say it; there was one per epoch.
    pub(crate) fn records(&self) -> u64 {
        self.records.unwrap_or(self.epoch)
    }
}

/// State of a run: everything that a resumed run needs besides its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Position of the run.
    pub progress: Progress,
    /// Weights and running statistics of the network.
    pub weights: TensorMap,
    /// State of the optimizer.
    pub optimizer: TensorMap,
    /// Average of the weights.
    pub average: AverageState,
    /// Weights of the best network so far, if the run keeps the best one.
    pub best: Option<TensorMap>,
}

impl Checkpoint {
    /// The state of `trainer` at the position `progress`, with the best network so far.
    pub(crate) fn of(trainer: &Trainer, progress: Progress, best: Option<&Best>) -> Self {
        let average = trainer.averager().state();
        Checkpoint {
            progress: Progress {
                averaged: average.count,
                best: best.map(|best| best.epoch),
                ..progress
            },
            weights: state::weights(&trainer.model),
            optimizer: trainer.optimizer.state(),
            average,
            best: best.map(|best| best.weights.clone()),
        }
    }

    /// The best network so far.
    pub(crate) fn best(&self) -> Option<Best> {
        let (epoch, weights) = (self.progress.best?, self.best.clone()?);
        Some(Best { epoch, weights })
    }

    /// Writes the checkpoint into `folder` and removes obsolete ones: all but the newest two of the
    /// kind [`Regular`](CheckpointKind::Regular), and every older one of the kind
    /// [`Stop`](CheckpointKind::Stop).
    ///
    /// # Errors
    /// A file cannot be written or removed.
    pub fn save(&self, folder: &Path, kind: CheckpointKind) -> Result<PathBuf, FileError> {
        let path = self.write(folder, kind)?;
        let mut regular = 0;
        for old in list(folder)?.iter().rev() {
            let obsolete = match old.kind {
                CheckpointKind::Regular => {
                    regular += 1;
                    regular > KEPT
                }
                CheckpointKind::Stop => old.path != path,
            };
            if obsolete {
                remove(&old.path)?;
            }
        }
        Ok(path)
    }

    /// Writes the checkpoint into `folder`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, folder: &Path, kind: CheckpointKind) -> Result<PathBuf, FileError> {
        let name = kind.file_name(self.progress.step);
        let path = folder.join(name);
        files::write_whole(&path, &self.to_bytes()?)?;
        Ok(path)
    }

    /// Reads one checkpoint.
    ///
    /// # Errors
    /// [`FileError::DamagedCheckpoint`] if the file is truncated, altered, or not a checkpoint.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bytes = fs::read(path).map_err(FileError::io("read", path))?;
        Self::from_bytes(&bytes).map_err(|why| FileError::DamagedCheckpoint {
            path: path.to_path_buf(),
            why,
        })
    }

    /// Reads the newest complete checkpoint of `folder`. Also returns the errors of newer ones that
    /// are damaged.
    ///
    /// # Errors
    /// The error of the newest one if all are damaged; [`RunError::NoCheckpoint`] if there is none.
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

    /// The contents of its file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        let progress = serde_json::to_string(&self.progress)
            .map_err(FileError::to_json("the progress of a run"))?;
        let named = |prefix: &'static str, map: &TensorMap| -> Vec<_> {
            map.iter()
                .map(|(name, data)| (format!("{prefix}/{name}"), data.clone()))
                .collect()
        };
        let mut all = named("model", &self.weights);
        all.extend(named("optimizer", &self.optimizer));
        all.extend(named("average", &self.average.tensors));
        if let Some(best) = &self.best {
            all.extend(named("best", best));
        }
        let metadata = HashMap::from([(PROGRESS.to_owned(), progress)]);
        let payload = tensors::to_safetensors(all.into_iter().collect(), metadata)?;
        let mut bytes = Vec::with_capacity(MAGIC.len() + DIGEST_LEN + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&Sha256::digest(&payload));
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }

    /// Reads the contents of a file.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("it does not start like a checkpoint")?;
        let (digest, payload) = rest
            .split_at_checked(DIGEST_LEN)
            .ok_or("it is truncated within its checksum")?;
        if Sha256::digest(payload).as_slice() != digest {
            return Err("its checksum does not match its contents".to_owned());
        }
        let (all, metadata) = tensors::from_safetensors(payload)?;
        let progress = metadata
            .get(PROGRESS)
            .ok_or("it has no progress in its metadata")?;
        let progress: Progress =
            serde_json::from_str(progress).map_err(|error| error.to_string())?;
        let mut checkpoint = Checkpoint {
            progress,
            weights: TensorMap::new(),
            optimizer: TensorMap::new(),
            average: AverageState {
                tensors: TensorMap::new(),
                count: progress.averaged,
            },
            best: progress.best.map(|_| TensorMap::new()),
        };
        for (name, data) in all {
            if let Some(name) = name.strip_prefix("model/") {
                checkpoint.weights.insert(name.to_owned(), data);
            } else if let Some(name) = name.strip_prefix("optimizer/") {
                checkpoint.optimizer.insert(name.to_owned(), data);
            } else if let Some(name) = name.strip_prefix("average/") {
                checkpoint.average.tensors.insert(name.to_owned(), data);
            } else if let (Some(name), Some(best)) =
                (name.strip_prefix("best/"), checkpoint.best.as_mut())
            {
                best.insert(name.to_owned(), data);
            } else {
                return Err(format!(
                    "tensor `{name}` belongs to no part of a checkpoint"
                ));
            }
        }
        Ok(checkpoint)
    }
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
                averaged: 3,
                best: Some(BestEpoch {
                    epoch: 1,
                    val_accuracy: 0.1 + 0.2,
                    val_loss: 2.5,
                }),
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
            average: AverageState {
                tensors: TensorMap::from([(
                    "fc.weight".to_owned(),
                    TensorData::new(vec![1.0f32, -1.0], [2]),
                )]),
                count: 3,
            },
            best: Some(TensorMap::from([(
                "fc.weight".to_owned(),
                TensorData::new(vec![2.5f32, -7.0], [2, 1]),
            )])),
        }
    }

    #[test]
    fn a_saved_checkpoint_is_read_back() {
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
        let name = |saved: &CheckpointFile| saved.path.file_name()?.to_str().map(str::to_owned);
        saved.iter().filter_map(name).collect()
    }

    /// A manual stop removes no checkpoint that an uninterrupted run would have.
    #[test]
    fn a_stop_checkpoint_is_kept_in_addition_until_the_next_one() {
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
        // The end of an epoch writes two: before its evaluation, and after.
        save(40, CheckpointKind::Stop);
        save(40, CheckpointKind::Regular);
        assert_eq!(
            names(folder.path()),
            ["step-000000030.ckpt", "step-000000040.ckpt"]
        );
    }

    #[test]
    fn every_flipped_byte_and_every_truncation_is_detected() {
        let whole = checkpoint(1).to_bytes().unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            assert!(Checkpoint::from_bytes(&altered).is_err(), "byte {at}");
            assert!(Checkpoint::from_bytes(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_replaced_by_the_previous_one() {
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
    fn an_empty_folder_has_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            Checkpoint::newest(folder.path()),
            Err(TrainError::Run(RunError::NoCheckpoint { .. }))
        ));
    }
}
