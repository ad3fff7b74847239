//! `onecycle`: trains image classifiers fast by the 1cycle policy.
//!
//! This crate parses arguments, shows progress and chooses exit codes; what is computed, `onecycle-lab` computes.
//!
//! Exit codes: 0 for success, 1 for an error, 2 for a wrong command line, 130 for a run that was stopped by Ctrl-C.

mod args;
mod commands;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

// A training step allocates and frees large buffers all the time; the system's allocator returns them to the
// kernel and pays for every page again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match commands::run(args) {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("onecycle: {error}"));
            ExitCode::FAILURE
        }
    }
}
