//! Batches and their iterator, which prepares them on a thread of its own.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use super::producer::{Buffers, Producer};
use crate::error::DataError;

/// Images and labels of one step.
///
/// A dropped batch returns its memory to the loader, which uses it for a later batch. To keep
/// `images`, take them out with [`std::mem::take`].
#[derive(Debug)]
pub struct Batch {
    /// Normalised values `[image, channel, row, column]`.
    pub images: Vec<f32>,
    /// Label of each image.
    pub labels: Vec<i64>,
    /// Index of each image in its split.
    pub indices: Vec<u32>,
    /// Number of images.
    pub len: usize,
    /// Returns the memory to the producer.
    recycle: Option<Sender<Buffers>>,
}

impl Batch {
    pub(super) fn new(buffers: Buffers, recycle: Sender<Buffers>) -> Self {
        let Buffers {
            images,
            labels,
            indices,
        } = buffers;
        Self {
            len: labels.len(),
            images,
            labels,
            indices,
            recycle: Some(recycle),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(recycle) = self.recycle.take() {
            // If the producer is gone, sending fails and the memory is freed.
            let _ = recycle.send(Buffers {
                images: std::mem::take(&mut self.images),
                labels: std::mem::take(&mut self.labels),
                indices: std::mem::take(&mut self.indices),
            });
        }
    }
}

/// The batches of one [`Pass`](super::Pass), in order.
///
/// An error is the last item. Dropping the iterator early waits for the batch being prepared and
/// ends the thread.
#[derive(Debug)]
pub struct Batches {
    state: State,
    remaining: usize,
}

#[derive(Debug)]
enum State {
    /// The consumer's thread makes each batch.
    Inline(Box<Producer>),
    /// A separate thread makes the batches.
    Ahead {
        batches: Receiver<Result<Batch, DataError>>,
        thread: JoinHandle<()>,
    },
    /// The thread could not be started.
    Failed(DataError),
    /// There is nothing left.
    Done,
}

impl Batches {
    pub(super) fn start(producer: Producer, prefetch: bool) -> Self {
        let remaining = producer.remaining();
        let state = match prefetch && remaining > 0 {
            true => Self::spawn(producer),
            false => State::Inline(Box::new(producer)),
        };
        Self { state, remaining }
    }

    fn spawn(mut producer: Producer) -> State {
        // A channel without capacity: the thread prepares one batch, then waits for its delivery.
        let (sender, batches) = mpsc::sync_channel(0);
        let work = move || {
            while let Some(batch) = producer.next() {
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        match thread::Builder::new()
            .name("onecycle-loader".to_owned())
            .spawn(work)
        {
            Ok(thread) => State::Ahead { batches, thread },
            Err(error) => State::Failed(DataError::Prefetch {
                reason: error.to_string(),
            }),
        }
    }

    /// Number of images still to come.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Ends the thread. Returns an error if it panicked.
    fn finish(&mut self) -> Option<DataError> {
        let State::Ahead { batches, thread } = std::mem::replace(&mut self.state, State::Done)
        else {
            return None;
        };
        // Without a receiver, a thread that waits for a delivery fails to send and returns.
        drop(batches);
        let panic = thread.join().err()?;
        let reason = (panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "it panicked".to_owned());
        Some(DataError::Prefetch { reason })
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match &mut self.state {
            State::Inline(producer) => producer.next(),
            State::Ahead { batches, .. } => batches.recv().ok(),
            State::Failed(_) => match std::mem::replace(&mut self.state, State::Done) {
                State::Failed(error) => Some(Err(error)),
                _ => None,
            },
            State::Done => None,
        };
        match item {
            Some(Ok(batch)) => {
                self.remaining -= batch.len;
                Some(Ok(batch))
            }
            Some(Err(error)) => {
                self.remaining = 0;
                self.finish();
                self.state = State::Done;
                Some(Err(error))
            }
            None => {
                self.remaining = 0;
                self.finish().map(Err)
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.finish();
    }
}
