//! Why a command is to stop before its end: a signal, or its time is up.
//!
//! Where steps are made that a checkpoint can keep, a signal asks to stop after the one in progress. Everywhere else (data
//! are read, a range test is made, results are written) nothing is to be gained by going on: what is on disk is whole at any
//! instant, so a signal ends the process at once, with words on how to go on.

use std::{
    io,
    process::{self, ExitCode},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::output;

/// Why a run was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A signal of this number.
    Signal(i32),
    /// `--max-time` is over.
    TimeIsUp,
}

impl Reason {
    /// Exit code: 128 and the signal, as shells have it (130 for SIGINT, 143 for SIGTERM); 124 as of `timeout`.
    pub(crate) fn code(self) -> u8 {
        match self {
            // Signals that are listened to are small numbers.
            Reason::Signal(number) => u8::try_from(128 + number).unwrap_or(1),
            Reason::TimeIsUp => 124,
        }
    }
}

/// Knows whether the command is to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    signals: Arc<Signals>,
    end: Option<Instant>,
}

/// What is known of signals.
#[derive(Debug)]
struct Signals {
    /// Number of the first one, 0 before.
    first: AtomicI32,
    /// What the process says when one ends it at once; none while steps are made.
    last_words: Mutex<Option<String>>,
}

impl Stop {
    /// Listens to signals from now on, and stops `max_time` after `start`. Until [`after_step`](Self::after_step) a signal
    /// ends the process at once, with `last_words`.
    pub(crate) fn listen(
        start: Instant,
        max_time: Option<Duration>,
        last_words: impl Into<String>,
    ) -> Self {
        let signals = Arc::new(Signals {
            first: AtomicI32::new(0),
            last_words: Mutex::new(Some(last_words.into())),
        });
        if let Err(error) = system::listen(Arc::clone(&signals)) {
            output::note(&format!("Ctrl-C will stop without a checkpoint: {error}"));
        }
        Stop {
            signals,
            // A time that no clock can hold never ends.
            end: max_time.and_then(|time| start.checked_add(time)),
        }
    }

    /// Steps are made from now on: a signal asks to stop after the one in progress.
    pub(crate) fn after_step(&self) {
        *self.signals.last_words() = None;
    }

    /// No steps are made from now on: a signal ends the process at once, with `last_words`. So does one that came already and
    /// was not obeyed yet.
    pub(crate) fn at_once(&self, last_words: impl Into<String>) {
        let mut words = self.signals.last_words();
        let words = words.insert(last_words.into());
        let first = self.signals.first.load(Ordering::SeqCst);
        if first != 0 {
            end(first, words);
        }
    }

    /// The exit code of what was stopped.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.reason()
            .map_or(ExitCode::FAILURE, |reason| ExitCode::from(reason.code()))
    }

    /// What to put before the news of a stop: that the time is up, if that is why.
    pub(crate) fn why(&self) -> &'static str {
        match self.reason() {
            Some(Reason::TimeIsUp) => "the time is up: ",
            _ => "",
        }
    }

    /// Why the run is to stop, if it is.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self.signals.first.load(Ordering::SeqCst) {
            0 => self
                .end
                .is_some_and(|end| Instant::now() >= end)
                .then_some(Reason::TimeIsUp),
            number => Some(Reason::Signal(number)),
        }
    }
}

impl Signals {
    /// Held while a signal is obeyed or what it does is changed, so that none falls in between.
    fn last_words(&self) -> MutexGuard<'_, Option<String>> {
        // Whoever panicked with it left it whole.
        self.last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// While steps are made the first signal asks to stop; a second SIGINT stops at once, since what is on disk is whole at
    /// any instant. A second SIGTERM does not: batch systems and `timeout` send several to make sure.
    fn received(&self, number: i32, name: &str) {
        let last_words = self.last_words();
        let first = self
            .first
            .compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        match (&*last_words, first) {
            (Some(words), _) => end(number, words),
            (None, Ok(_)) => output::note(&format!(
                "{name}: stopping after this step; press Ctrl-C {}to stop at once",
                if number == SIGINT { "again " } else { "" }
            )),
            (None, Err(_)) if number == SIGINT => process::exit(128 + SIGINT),
            (None, Err(_)) => {}
        }
    }
}

/// Ends the process by a signal, at once.
fn end(number: i32, last_words: &str) -> ! {
    output::note(last_words);
    process::exit(i32::from(Reason::Signal(number).code()))
}

/// The number of Ctrl-C's signal, the same on all systems.
const SIGINT: i32 = 2;

#[cfg(unix)]
mod system {
    use std::thread;

    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator,
        low_level::signal_name,
    };

    use super::*;

    pub(super) fn listen(signals: Arc<Signals>) -> io::Result<()> {
        let mut queue = iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let listener = move || {
            for number in queue.forever() {
                signals.received(number, signal_name(number).unwrap_or("signal"));
            }
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(listener)?;
        Ok(())
    }
}

#[cfg(not(unix))]
mod system {
    use super::*;

    pub(super) fn listen(signals: Arc<Signals>) -> io::Result<()> {
        ctrlc::set_handler(move || signals.received(SIGINT, "Ctrl-C")).map_err(io::Error::other)
    }
}

/// Reads a duration: a number and `s`, `m`, `h` or `d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected =
        || "expected a number above 0 with s, m, h or d, such as 90s, 10m or 1.5h".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        'd' => 86400.0,
        _ => return Err(expected()),
    };
    // The units are one byte long.
    let number: f64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    if number.is_nan() || number <= 0.0 {
        return Err(expected());
    }
    Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("10m", 600.0),
            ("1.5h", 5400.0),
            ("2d", 172_800.0),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_secs_f64(seconds)),
                "{text}"
            );
        }
        for text in [
            "", "s", "10", "-1s", "0s", "nans", "infs", "1e300h", "1 week", "1µ",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn codes_are_those_of_shells() {
        let codes = [
            Reason::Signal(2),
            Reason::Signal(15),
            Reason::Signal(1),
            Reason::TimeIsUp,
        ];
        assert_eq!(codes.map(Reason::code), [130, 143, 129, 124]);
    }
}
