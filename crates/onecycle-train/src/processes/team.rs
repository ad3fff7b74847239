use std::{
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
};

use super::{Group, Order};
use crate::{ConfigError, FileError, RunError, TrainError, metrics::MetricSums};

/// The processes of a run, as one of them sees them.
#[derive(Debug, Clone)]
pub struct Team {
    group: Arc<dyn Group>,
    signal: Arc<AtomicI32>,
    state: Arc<Mutex<State>>,
}

/// What the other processes are doing, as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// They wait for an order.
    Waiting,
    /// They carry out an order that this process has not finished.
    Busy,
    /// They have returned.
    Ended,
}

/// Bytes of the metrics of a shard: loss, correct images, images.
const METRICS: usize = 3 * 8;

impl Team {
    /// A team of the processes of `group`. `signal` is 0 until this process receives a signal, and
    /// then its number. After an update or a message of a range test, the number of a signal that any process has received is in
    /// the `signal` of every process.
    pub fn new(group: Arc<dyn Group>, signal: Arc<AtomicI32>) -> Self {
        Team {
            group,
            signal,
            state: Arc::new(Mutex::new(State::Waiting)),
        }
    }

    /// Whether this process leads.
    pub fn leads(&self) -> bool {
        self.group.rank() == 0
    }

    /// Number of this process, from 0.
    pub(crate) fn rank(&self) -> usize {
        self.group.rank()
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.group.size()
    }

    /// The shards of this process, of `shards` in all.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if the number of processes is not a power of two, or if there are
    /// fewer shards.
    pub fn shards(&self, shards: usize) -> Result<Range<usize>, ConfigError> {
        let (rank, size) = (self.group.rank(), self.group.size());
        if !size.is_power_of_two() {
            let expected = "1, 2, 4, 8 or another power of two";
            return Err(ConfigError::setting("number of processes", size, expected));
        }
        if shards < size {
            let expected = format!("at least {size}, the number of processes");
            return Err(ConfigError::setting("shards", shards, expected));
        }
        let each = shards / size;
        Ok(rank * each..(rank + 1) * each)
    }

    /// Tells the other processes to return, if this one leads and has not done so yet.
    ///
    /// # Errors
    /// They cannot be reached, or wait for a part of an update or range test that failed here: end the group.
    pub fn end(&self) -> Result<(), TrainError> {
        let mut state = self.state();
        if !self.leads() || *state == State::Ended {
            return Ok(());
        }
        if *state == State::Busy {
            let why = "an update or a range test failed in process 0".to_owned();
            return Err(RunError::Processes { why }.into());
        }
        *state = State::Ended;
        self.give(&Order::End)
    }

    /// Gives an order to all other processes.
    ///
    /// # Errors
    /// A process cannot be reached.
    pub(crate) fn give(&self, order: &Order) -> Result<(), TrainError> {
        let bytes = serde_json::to_vec(order).map_err(FileError::to_json("an order"))?;
        self.broadcast(bytes)?;
        Ok(())
    }

    /// Waits for the next order of the leader.
    ///
    /// # Errors
    /// A process cannot be reached, or runs another version.
    pub(crate) fn receive(&self) -> Result<Order, RunError> {
        let bytes = self.broadcast(Vec::new())?;
        serde_json::from_slice(&bytes).map_err(|error| RunError::Processes {
            why: format!(
                "an order of process 0 was not understood ({error}); all must run the same command"
            ),
        })
    }

    /// Carries out `work`, which the other processes carry out as well.
    ///
    /// # Errors
    /// Those of `work`. The other processes then still wait.
    pub(crate) fn at_work<T>(
        &self,
        work: impl FnOnce() -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        *self.state() = State::Busy;
        let result = work()?;
        *self.state() = State::Waiting;
        Ok(result)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is fine: the value is always consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a vector over all processes, in the tree of the [module](super) from the level of the
    /// processes on. Recursive halving, then doubling (Thakur et al. 2005, section 4.5): each process
    /// sends and receives `2 n (1 - 1 / size)` values.
    pub(crate) fn sum(&self, values: &mut [f32]) -> Result<(), RunError> {
        let (rank, size) = (self.group.rank(), self.group.size());
        let levels = size.trailing_zeros();
        let mut mine = 0..values.len();
        let mut theirs = vec![0.0; values.len() / 2 + 1];
        let mut given = Vec::new();
        for level in 0..levels {
            let partner = rank ^ (1 << level);
            let middle = mine.start + mine.len() / 2;
            let (kept, sent) = match rank < partner {
                true => (mine.start..middle, middle..mine.end),
                false => (middle..mine.end, mine.start..middle),
            };
            let theirs = &mut theirs[..kept.len()];
            self.group.swap(partner, &values[sent.clone()], theirs)?;
            for (value, other) in values[kept.clone()].iter_mut().zip(theirs) {
                *value += *other;
            }
            given.push(sent);
            mine = kept;
        }
        for (level, missing) in given.into_iter().enumerate().rev() {
            let partner = rank ^ (1 << level);
            let theirs = &mut theirs[..missing.len()];
            self.group.swap(partner, &values[mine.clone()], theirs)?;
            values[missing.clone()].copy_from_slice(theirs);
            mine = mine.start.min(missing.start)..mine.end.max(missing.end);
        }
        Ok(())
    }

    /// Adds the metrics of all shards in their order, given those of this process. Learns of signals
    /// to other processes.
    pub(crate) fn add_metrics(&self, mine: &[MetricSums]) -> Result<MetricSums, RunError> {
        let mut bytes = Vec::with_capacity(mine.len() * METRICS);
        for sums in mine {
            bytes.extend(sums.loss.to_le_bytes());
            bytes.extend(sums.correct.to_le_bytes());
            bytes.extend(sums.images.to_le_bytes());
        }
        let all = self.exchange(&bytes)?;
        let mut total = MetricSums::default();
        for sums in all.chunks_exact(METRICS) {
            total.add(MetricSums {
                loss: f64::from_le_bytes(word(&sums[..8])),
                correct: u64::from_le_bytes(word(&sums[8..16])),
                images: u64::from_le_bytes(word(&sums[16..])),
            });
        }
        Ok(total)
    }

    /// Returns the bytes of all processes in the order of their numbers; all have as many. Learns of
    /// signals to other processes.
    pub(crate) fn exchange(&self, mine: &[u8]) -> Result<Vec<u8>, RunError> {
        let own = self.signal.load(Ordering::SeqCst).to_le_bytes();
        let message = [&own[..], mine].concat();
        let all = self.group.gather(&message)?;
        let mut bytes = Vec::with_capacity(all.len());
        for one in all.chunks_exact(message.len()) {
            let (number, theirs) = one.split_at(own.len());
            let signal = i32::from_le_bytes(word(number));
            if signal != 0 {
                // Only the first signal counts.
                let _ =
                    (self.signal).compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
            }
            bytes.extend_from_slice(theirs);
        }
        Ok(bytes)
    }

    /// Whether this process, or one that it has heard of, has received a signal.
    pub(crate) fn signalled(&self) -> bool {
        self.signal.load(Ordering::SeqCst) != 0
    }

    /// Returns the bytes of all processes, of any length, in the order of their numbers.
    pub(crate) fn gather_of_any_length(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RunError> {
        let lengths = self.group.gather(&(mine.len() as u64).to_le_bytes())?;
        let length = |bytes: &[u8]| u64::from_le_bytes(word(bytes)) as usize;
        let lengths: Vec<usize> = lengths.chunks_exact(8).map(length).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut padded = mine.to_vec();
        padded.resize(longest, 0);
        let all = self.group.gather(&padded)?;
        let each = all.chunks_exact(longest.max(1)).zip(lengths);
        Ok(each
            .map(|(bytes, length)| bytes[..length].to_vec())
            .collect())
    }

    /// Returns the values of all processes in the order of their numbers; all have as many.
    pub(crate) fn gather(&self, values: &[f32]) -> Result<Vec<f32>, RunError> {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let all = self.group.gather(&bytes)?;
        let value = |bytes: &[u8]| f32::from_le_bytes(word(bytes));
        Ok(all.chunks_exact(4).map(value).collect())
    }

    /// Returns the bytes of the leader.
    pub(crate) fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, RunError> {
        self.group.broadcast(bytes)
    }
}

/// The bytes of a number; 0 if there are too few.
fn word<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}
