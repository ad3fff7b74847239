//! Stops a command before its end: after a signal, or when its time limit is over.
//!
//! While a run trains, a signal asks it to stop after the current step, so that a checkpoint keeps
//! the step. At all other times (reading data, range tests, writing results) a signal ends the
//! process at once with a message that says how to continue. This is safe because the files on disk
//! are complete at any moment.

use std::{
    io,
    process::{self, ExitCode},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{on_finish, output, processes};

/// Why a command stops early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It received the signal with this number.
    Signal(i32),
    /// The time limit `--max-time` is over.
    TimeIsUp,
}

impl Reason {
    /// Exit code: 128 plus the signal number as in shells (130 for SIGINT, 143 for SIGTERM), or 124
    /// as in `timeout`.
    pub(crate) fn code(self) -> u8 {
        match self {
            // The signals we listen to have small numbers.
            Reason::Signal(number) => u8::try_from(128 + number).unwrap_or(1),
            Reason::TimeIsUp => 124,
        }
    }
}

/// Tells whether the command should stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    signals: Arc<Signals>,
    end: Option<Instant>,
}

/// State shared with the signal handler.
#[derive(Debug)]
struct Signals {
    /// Number of the first signal received, also by another process of a team; 0 if there was none.
    first: Arc<AtomicI32>,
    /// Whether a signal that stops the run is announced.
    announces: bool,
    /// Message with which a signal ends the process at once. `None` while a run trains.
    exit_message: Mutex<Option<String>>,
}

impl Stop {
    /// Listens to signals from now on, and stops `max_time` after `start`. Until
    /// [`stop_after_step`](Self::stop_after_step) is called, a signal ends the process at once with
    /// `exit_message`.
    pub(crate) fn listen(
        start: Instant,
        max_time: Option<Duration>,
        exit_message: impl Into<String>,
    ) -> Self {
        // A time limit beyond the range of the clock is no limit.
        let end = max_time.and_then(|time| start.checked_add(time));
        Stop::with(true, end, exit_message.into())
    }

    /// Listens to signals without any message, for a process that another one stops.
    #[cfg(feature = "mpi")]
    pub(crate) fn listen_quietly() -> Self {
        Stop::with(false, None, String::new())
    }

    fn with(announces: bool, end: Option<Instant>, exit_message: String) -> Self {
        let signals = Arc::new(Signals {
            first: processes::signal(),
            announces,
            exit_message: Mutex::new(Some(exit_message)),
        });
        if let Err(error) = system::listen(Arc::clone(&signals)) {
            output::note(&format!(
                "cannot listen to signals ({error}): Ctrl-C will stop without a checkpoint"
            ));
        }
        Stop { signals, end }
    }

    /// From now on, a signal asks to stop after the current step.
    pub(crate) fn stop_after_step(&self) {
        *self.signals.exit_message() = None;
    }

    /// From now on, a signal ends the process at once with `exit_message`. So does a signal that
    /// arrived before and has not stopped the run yet.
    pub(crate) fn stop_at_once(&self, exit_message: impl Into<String>) {
        let mut message = self.signals.exit_message();
        let message = message.insert(exit_message.into());
        let first = self.signals.first.load(Ordering::SeqCst);
        if first != 0 {
            end(first, message);
        }
    }

    /// Prints that the command has stopped and how to continue, and that the time limit is over, if
    /// that is the reason. Returns the exit code.
    pub(crate) fn announce(&self, message: &str) -> ExitCode {
        let prefix = match self.reason() {
            Some(Reason::TimeIsUp) => "time limit reached: ",
            _ => "",
        };
        let message = format!("{prefix}{message}");
        output::note(&message);
        // Without a signal and a limit, a file in the folder of the run asked to stop, as Ctrl-C does.
        let code = self.reason().unwrap_or(Reason::Signal(SIGINT)).code();
        on_finish::stopped(&message, code);
        ExitCode::from(code)
    }

    /// Why the command should stop, if it should.
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
    /// Locks the message. The lock is held while a signal is handled and while the handling
    /// changes, so that no signal arrives in between.
    fn exit_message(&self) -> MutexGuard<'_, Option<String>> {
        // A poisoned lock is fine: the value is always consistent.
        self.exit_message
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles a signal. While a run trains, the first signal asks it to stop. A second SIGINT ends
    /// the process at once, because the files on disk are complete at any moment. A second SIGTERM
    /// does not: batch systems and `timeout` may send it several times.
    fn received(&self, number: i32, name: &str) {
        let exit_message = self.exit_message();
        let first = self
            .first
            .compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
        match (&*exit_message, first) {
            (Some(message), _) => end(number, message),
            (None, Ok(_)) if !self.announces => {}
            (None, Ok(_)) => output::note(&format!(
                "{name}: stopping after this step; press Ctrl-C {}to stop at once",
                if number == SIGINT { "again " } else { "" }
            )),
            (None, Err(_)) if number == SIGINT => process::exit(128 + SIGINT),
            (None, Err(_)) => {}
        }
    }
}

/// Ends the process at once with the exit code of a signal.
fn end(number: i32, exit_message: &str) -> ! {
    output::note(exit_message);
    let code = Reason::Signal(number).code();
    on_finish::stopped(exit_message, code);
    on_finish::run(None);
    process::exit(i32::from(code))
}

/// Number of the signal of Ctrl-C, the same on all systems.
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

/// Parses a duration: a number above 0 followed by `s`, `m`, `h` or `d`.
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
    // Each unit is one byte long.
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
    fn durations_are_parsed() {
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
    fn exit_codes_are_those_of_shells_and_timeout() {
        let codes = [
            Reason::Signal(2),
            Reason::Signal(15),
            Reason::Signal(1),
            Reason::TimeIsUp,
        ];
        assert_eq!(codes.map(Reason::code), [130, 143, 129, 124]);
    }
}
