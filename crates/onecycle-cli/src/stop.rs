//! Why a run is to stop before its end: a signal, or its time is up.

use std::{
    io,
    process::{self, ExitCode},
    sync::{
        Arc,
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

/// Knows whether the run is to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Number of the first signal, 0 before.
    signal: Arc<AtomicI32>,
    end: Option<Instant>,
}

impl Stop {
    /// Listens to signals from now on, and stops `max_time` after `start`.
    pub(crate) fn listen(start: Instant, max_time: Option<Duration>) -> Self {
        let signal = Arc::new(AtomicI32::new(0));
        if let Err(error) = system::listen(Arc::clone(&signal)) {
            output::note(&format!("Ctrl-C will stop without a checkpoint: {error}"));
        }
        Stop {
            signal,
            // A time that no clock can hold never ends.
            end: max_time.and_then(|time| start.checked_add(time)),
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
        match self.signal.load(Ordering::SeqCst) {
            0 => self
                .end
                .is_some_and(|end| Instant::now() >= end)
                .then_some(Reason::TimeIsUp),
            number => Some(Reason::Signal(number)),
        }
    }
}

/// The first signal asks to stop; a second SIGINT stops at once, since what is on disk is whole at any instant. A second
/// SIGTERM does not: batch systems and `timeout` send several to make sure.
fn received(number: i32, name: &str, signal: &AtomicI32) {
    let first = signal.compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
    if first.is_ok() {
        output::note(&format!(
            "{name}: stopping after this step; press Ctrl-C {}to stop at once",
            if number == SIGINT { "again " } else { "" }
        ));
    } else if number == SIGINT {
        process::exit(128 + SIGINT);
    }
}

/// The number of Ctrl-C's signal, the same on all systems.
const SIGINT: i32 = 2;

#[cfg(unix)]
mod system {
    use std::thread;

    use signal_hook::{
        consts::{SIGHUP, SIGINT, SIGTERM},
        iterator::Signals,
        low_level::signal_name,
    };

    use super::*;

    pub(super) fn listen(signal: Arc<AtomicI32>) -> io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let listener = move || {
            for number in signals.forever() {
                received(number, signal_name(number).unwrap_or("signal"), &signal);
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

    pub(super) fn listen(signal: Arc<AtomicI32>) -> io::Result<()> {
        ctrlc::set_handler(move || received(SIGINT, "Ctrl-C", &signal)).map_err(io::Error::other)
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
