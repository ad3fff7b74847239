//! `onecycle`: trains image classifiers fast by the 1cycle policy.
//!
//! This crate parses arguments, shows progress and chooses exit codes; what is computed, the crates below computes.
//!
//! Exit codes: 0 for success, 1 for an error, 2 for a wrong command line. A run that was stopped with a checkpoint to go
//! on from: 124 by its `--max-time`, 130 by SIGINT (Ctrl-C), 143 by SIGTERM, 129 by SIGHUP.

mod args;
mod bar;
mod commands;
mod output;
mod progress;
mod stop;

use std::{process::ExitCode, time::Instant};

use clap::Parser;

// A training step allocates and frees large buffers all the time; the system's allocator returns them to the
// kernel and pays for every page again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let start = Instant::now();
    let args = commands::Args::parse();
    args::deprecations(std::env::args_os())
        .iter()
        .for_each(|text| output::note(&format!("onecycle: {text}")));
    match commands::run(args, start) {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&output::one_line(&format!("onecycle: {error}")));
            ExitCode::FAILURE
        }
    }
}
