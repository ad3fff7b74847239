//! The `onecycle` command: trains image classifiers fast with the 1cycle policy.
//!
//! This crate parses arguments, shows progress, prints results and chooses exit codes. All
//! computation is in `onecycle-train` (one run) and `onecycle-studies` (many runs).
//!
//! Exit codes: 0 for success, 1 for an error, 2 for a wrong command line. Stopped before the end:
//! 124 by `--max-time`, 130 by SIGINT (Ctrl-C), 143 by SIGTERM, 129 by SIGHUP.

mod args;
mod bar;
mod commands;
mod dashboard;
mod on_finish;
mod output;
mod processes;
mod progress;
mod screen;
mod stop;

use std::{process::ExitCode, time::Instant};

use clap::Parser;

// Training allocates and frees large buffers in every step. The system's allocator would return
// them to the kernel and take every page fault again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let start = Instant::now();
    let args = commands::Args::parse();
    args::deprecations(std::env::args_os())
        .iter()
        .for_each(|text| output::note(&format!("onecycle: {text}")));
    // Dropped at the end, after an error is printed: it may end the other processes of a team.
    let mut joined = None;
    match commands::run(args, start, &mut joined) {
        Ok(code) => {
            on_finish::run(None);
            code
        }
        Err(error) if output::is_closed_pipe(&*error) => {
            on_finish::run(None);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let message = output::one_line(&error.to_string());
            output::note(&format!("onecycle: {message}"));
            on_finish::run(Some(&message));
            ExitCode::FAILURE
        }
    }
}
