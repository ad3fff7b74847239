//! The server: [`Server`].

use std::{
    fmt,
    io::{self, Write},
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    WatchError, assets,
    http::Request,
    library::Library,
    run::State,
    security::{Gate, Headers, Refusal},
    steps::{Axis, Window},
    view::{MOST_RUNS, Message, Shown, View},
};

/// Content security policy: everything comes from this server, and no markup brings its own script or
/// style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Connections at once, each with a thread.
const MOST_CONNECTIONS: usize = 256;
/// Pages that are followed at once.
const MOST_STREAMS: usize = 64;
/// Time between two looks for a page.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A comment is sent after this time without a message, to notice a page that was closed.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Points per curve if the page does not say.
const BUCKETS: usize = 600;
/// Largest number of them.
const MOST_BUCKETS: usize = 4000;

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folders of runs, of studies, or that contain some, at any depth up to six.
    pub paths: Vec<PathBuf>,
    /// Address or name to listen on. If it is not a loopback address, requests need a token.
    pub host: String,
    /// Port to listen on; 0 for a free one.
    pub port: u16,
}

/// A server that follows folders. [`run`](Self::run) serves until the process ends.
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
}

/// Without the token.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What all threads use.
struct Shared {
    gate: Gate,
    library: Mutex<Library>,
    streams: AtomicUsize,
}

impl Server {
    /// Listens, but answers nothing yet.
    ///
    /// # Errors
    /// [`WatchError::PortInUse`], [`WatchError::Address`]; [`WatchError::NoRandomness`] if a token is
    /// needed.
    pub fn bind(options: &Options) -> Result<Self, WatchError> {
        let (host, port) = (options.host.as_str(), options.port);
        let failed = |reason: String| WatchError::Address {
            host: host.to_owned(),
            port,
            reason,
        };
        let addresses = (host, port)
            .to_socket_addrs()
            .map_err(|error| failed(error.to_string()))?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let listener = TcpListener::bind(&*addresses).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => WatchError::PortInUse {
                host: host.to_owned(),
                port,
            },
            _ => failed(error.to_string()),
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| failed(error.to_string()))?;
        let gate = Gate::new(host, address.port(), !address.ip().is_loopback())?;
        let shared = Shared {
            gate,
            library: Mutex::new(Library::new(options.paths.clone())),
            streams: AtomicUsize::new(0),
        };
        Ok(Server {
            shared: Arc::new(shared),
            listener,
            address,
        })
    }

    /// The address of the page, with the token if one is needed.
    pub fn url(&self) -> String {
        let host = match self.address.ip() {
            // A browser cannot open "all addresses".
            ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        let token = self
            .shared
            .gate
            .token()
            .map_or(String::new(), |token| format!("?token={token}"));
        format!("http://{host}:{}/{token}", self.address.port())
    }

    /// Answers requests until the process ends.
    ///
    /// # Errors
    /// [`WatchError::Accept`] if the listener fails.
    pub fn run(self) -> Result<(), WatchError> {
        let connections = Arc::new(AtomicUsize::new(0));
        for stream in self.listener.incoming() {
            let stream = match stream {
                Ok(stream) => stream,
                // The client left before it was accepted, or files are scarce for a moment.
                Err(error) if is_passing(&error) => {
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(error) => return Err(WatchError::Accept(error)),
            };
            if connections.fetch_add(1, Ordering::SeqCst) >= MOST_CONNECTIONS {
                connections.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let (shared, of_thread) = (Arc::clone(&self.shared), Arc::clone(&connections));
            let work = move || {
                let _counted = Counted(of_thread);
                // A connection that breaks needs no answer.
                if let Ok(Some(request)) = Request::read(stream) {
                    answer(&shared, request);
                }
            };
            let thread = thread::Builder::new().name("page".to_owned()).spawn(work);
            if thread.is_err() {
                connections.fetch_sub(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

/// Counts one less when it is dropped, also by a panic.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether accepting can succeed again.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    // Too many open files in this process and on the system.
    let scarce = matches!(error.raw_os_error(), Some(23 | 24));
    scarce
        || matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted
        )
}

impl Shared {
    fn library(&self) -> MutexGuard<'_, Library> {
        // A poisoned lock is fine: the next refresh reads again what is missing.
        self.library.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one request.
fn answer(shared: &Arc<Shared>, request: Request) {
    let url = request.target.clone();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let refusal = {
        let headers = Headers {
            host: request.header("Host"),
            origin: request.header("Origin"),
            cookie: request.header("Cookie"),
        };
        let checked = shared.gate.check_origin(&headers);
        checked.and_then(
            |()| match token(query).is_some_and(|token| shared.gate.is_token(token)) {
                true => Ok(()),
                false => shared.gate.check_token(&headers),
            },
        )
    };
    if let Err(refusal) = refusal {
        let text = match refusal {
            Refusal::Host => {
                "This address does not belong to this server: open the one that onecycle watch printed."
            }
            Refusal::Origin => "Another site may not use this server.",
            Refusal::Token => {
                "The token is missing or wrong: open the address that onecycle watch printed."
            }
        };
        return respond(request, 403, "text/plain; charset=utf-8", text.to_owned());
    }
    match (request.method.as_str(), path) {
        ("GET" | "HEAD", "/") if token(query).is_some() => to_page(shared, request),
        ("GET" | "HEAD", "/") => asset(request, assets::PAGE),
        ("GET", "/events") => follow(shared, request, query),
        ("GET" | "HEAD", "/state") => state(shared, request),
        ("POST", "/stop") => stop(shared, request),
        ("GET" | "HEAD", path) => match assets::find(path) {
            Some(found) => asset(request, found),
            None => plain(request, 404, "There is no such page."),
        },
        _ => plain(request, 405, "This server is read-only."),
    }
}

/// The value of a key of a query.
fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn token(query: &str) -> Option<&str> {
    value(query, "token")
}

/// The headers of every answer.
fn common(kind: &str) -> Vec<(&'static str, String)> {
    vec![
        ("Content-Type", kind.to_owned()),
        ("Content-Security-Policy", POLICY.to_owned()),
        ("Cache-Control", "no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Referrer-Policy", "no-referrer".to_owned()),
        ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
    ]
}

fn respond(request: Request, code: u16, kind: &str, body: String) {
    request.respond(code, &common(kind), &body);
}

fn plain(request: Request, code: u16, text: &str) {
    respond(request, code, "text/plain; charset=utf-8", text.to_owned());
}

fn asset(request: Request, asset: assets::Asset) {
    respond(request, 200, asset.kind, asset.contents.to_owned());
}

/// Moves the token into a cookie.
fn to_page(shared: &Shared, request: Request) {
    let mut headers = common("text/plain; charset=utf-8");
    headers.push(("Location", "/".to_owned()));
    headers.extend(shared.gate.cookie().map(|cookie| ("Set-Cookie", cookie)));
    request.respond(303, &headers, "");
}

/// All runs and studies as JSON, for programs.
fn state(shared: &Shared, request: Request) {
    let mut library = shared.library();
    library.refresh();
    let messages = View::new(Shown::default()).messages(&library);
    drop(library);
    let list = messages.into_iter().find(|message| message.event == "list");
    let body = list.map_or(String::new(), |message| message.data);
    respond(request, 200, "application/json", body);
}

/// What a page shows, from its query: `runs=ID.ID`, `axis=steps|epochs`, `from=X&to=X`, `points=N`.
fn shown(query: &str) -> Shown {
    let number = |key| {
        value(query, key)?
            .parse::<f64>()
            .ok()
            .filter(|x| x.is_finite())
    };
    let ids = value(query, "runs").unwrap_or_default().split('.');
    let buckets = value(query, "points").and_then(|points| points.parse().ok());
    Shown {
        runs: ids
            .filter(|id| !id.is_empty())
            .take(MOST_RUNS)
            .map(str::to_owned)
            .collect(),
        window: Window {
            axis: match value(query, "axis") {
                Some("epochs") => Axis::Epochs,
                _ => Axis::Steps,
            },
            range: number("from")
                .zip(number("to"))
                .filter(|(from, to)| from < to),
            buckets: buckets.unwrap_or(BUCKETS).clamp(10, MOST_BUCKETS),
        },
    }
}

/// Sends a page everything that it shows, and then whatever changes, until it is closed.
fn follow(shared: &Arc<Shared>, request: Request, query: &str) {
    let shown = shown(query);
    if shared.streams.fetch_add(1, Ordering::SeqCst) >= MOST_STREAMS {
        shared.streams.fetch_sub(1, Ordering::SeqCst);
        return plain(request, 503, "Too many pages are open.");
    }
    let _counted = Streaming(shared);
    shared.library().show(&shown.runs);
    // Fails when the page is closed.
    let _ = send(shared, &shown, request);
    shared.library().hide(&shown.runs);
}

/// Counts one page less when it is dropped.
struct Streaming<'a>(&'a Shared);

impl Drop for Streaming<'_> {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::SeqCst);
    }
}

fn send(shared: &Shared, shown: &Shown, request: Request) -> io::Result<()> {
    let mut page = io::BufWriter::new(request.stream(&common("text/event-stream"))?);
    // The browser tries again after a second.
    page.write_all(b"retry: 1000\n\n")?;
    let mut view = View::new(shown.clone());
    let mut last = Instant::now();
    loop {
        let messages = {
            let mut library = shared.library();
            library.refresh();
            view.messages(&library)
        };
        if !messages.is_empty() {
            last = Instant::now();
        } else if last.elapsed() >= ALIVE_EVERY {
            last = Instant::now();
            page.write_all(b":\n\n")?;
        }
        for Message { event, data } in messages {
            write!(page, "event: {event}\ndata: {data}\n\n")?;
        }
        page.flush()?;
        thread::sleep(LOOK_EVERY);
    }
}

/// The body of a request to stop.
#[derive(Deserialize)]
struct StopOrder {
    run: String,
}

/// Asks the process that trains a run to stop with a checkpoint.
fn stop(shared: &Shared, request: Request) {
    // Without these two, a form of another site could send the request. The origin was compared before.
    if request.header("Origin").is_none() {
        return plain(request, 403, "A request to stop needs an Origin header.");
    }
    if request.header("Content-Type") != Some("application/json") {
        return plain(
            request,
            415,
            "A request to stop needs the content type application/json.",
        );
    }
    let order = serde_json::from_slice::<StopOrder>(&request.body).ok();
    let Some(order) = order else {
        return plain(request, 400, "Expected {\"run\": ID}.");
    };
    let mut library = shared.library();
    library.refresh();
    let answer = match library.run_mut(&order.run) {
        None => Err((404, "There is no such run.".to_owned())),
        Some(run) if run.state() != State::Training => {
            let error = WatchError::NotTraining {
                run: run.name.clone(),
            };
            Err((409, error.to_string()))
        }
        Some(run) => run.request_stop().map_err(|error| (500, error.to_string())),
    };
    drop(library);
    match answer {
        Ok(()) => respond(request, 202, "application/json", "{}".to_owned()),
        Err((code, text)) => plain(request, code, &text),
    }
}
