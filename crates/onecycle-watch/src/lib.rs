//! A live web page that follows the folders of runs and studies.
//!
//! The principal type is [`Server`]. It reads the run folders that `onecycle-train` and
//! `onecycle-studies` write, no matter which process or machine writes them, and reports to the page in
//! a browser by server-sent events.
//!
//! ```no_run
//! use onecycle_watch::{Options, Server};
//!
//! let server = Server::bind(&Options {
//!     paths: vec!["runs".into()],
//!     host: "127.0.0.1".to_owned(),
//!     port: 0,
//! })?;
//! println!("{}", server.url());
//! server.run()?;
//! # Ok::<(), onecycle_watch::WatchError>(())
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `follow` | new lines of a growing file |
//! | `steps`, `downsample` | updates of a run in memory, and the points of them that a page draws |
//! | `run`, `study`, `library` | a run, the table of a study, all of them below the watched folders |
//! | `labels` | how runs differ |
//! | `view` | what a page shows, as messages with only what has changed |
//! | `place`, `security` | which files are read; who may talk to the server |
//! | `http`, `server`, `assets` | connections; requests and answers; the files of the page |
//!
//! It writes one file only: the request to stop a run
//! ([`RunFolder::request_stop`](onecycle_train::RunFolder::request_stop)).

mod assets;
mod downsample;
mod error;
mod follow;
mod http;
mod labels;
mod library;
mod place;
mod run;
mod security;
mod server;
mod steps;
mod study;
mod view;

pub use error::WatchError;
pub use server::{Options, Server};
