//! The iterator over batches, which prepares them on a thread of its own.

use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use super::batch::Batch;
use super::producer::Producer;
use crate::error::DataError;

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

    /// Number of images still to come, those of an incomplete last batch included.
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
