//! `onecycle watch`: a live web page for runs and studies.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use clap::Args as ClapArgs;
use onecycle_watch::{Options, Server, WatchError};

use crate::output::{self, AnyError};

/// Folder of the runs that `train` and `fit` number themselves.
const RUNS: &str = "runs";

/// Arguments of `onecycle watch`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Watch {
    /// Folders of runs, of studies, or that contain some; new runs appear by themselves [default:
    /// runs]
    #[arg(value_name = "RUN|STUDY|FOLDER")]
    pub(crate) paths: Vec<PathBuf>,
    /// Port of the page [default: a free one]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// Address to listen on. Any but this machine's own needs the token that is printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: String,
    /// Open the page in the browser
    #[arg(long)]
    pub(crate) open: bool,
}

/// Serves the page until the process is ended.
pub(crate) fn run(args: &Watch) -> Result<ExitCode, AnyError> {
    for path in &args.paths {
        if !path.is_dir() {
            return Err(Box::new(WatchError::NoFolder { path: path.clone() }));
        }
    }
    let paths = match args.paths.as_slice() {
        [] => vec![PathBuf::from(RUNS)],
        paths => paths.to_vec(),
    };
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let server = Server::bind(&Options {
        paths,
        host: args.host.clone(),
        port: args.port,
    })?;
    let url = server.url();
    output::text(&url)?;
    output::note(&format!(
        "watching {}; Ctrl-C ends the page, not the runs",
        names.join(", ")
    ));
    if args.open
        && let Err(error) = open(&url)
    {
        output::note(&format!(
            "cannot open a browser ({error}): open the address above"
        ));
    }
    server.run()?;
    Ok(ExitCode::SUCCESS)
}

/// Opens an address in the user's browser.
fn open(url: &str) -> std::io::Result<()> {
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}
