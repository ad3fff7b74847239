//! Downloads from a local server: complete files are kept, wrong ones leave nothing behind, and
//! interrupted ones continue.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bad_data::files::embedded;
use onecycle_vision::download::{Progress, get};
use onecycle_vision::{DataError, Source};

/// The server's response for a file of this name.
type Answer = fn(name: &str, contents: Vec<u8>) -> Vec<u8>;

fn response(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn good(_: &str, contents: Vec<u8>) -> Vec<u8> {
    response("200 OK", contents.len(), &contents)
}

/// Serves the files of Fashion-MNIST; returns the address and the number of requests.
fn serve(answer: Answer) -> (String, Arc<AtomicUsize>) {
    serve_with(answer, false)
}

/// A server that answers requests for the rest of a file, too.
fn serve_parts(answer: Answer) -> (String, Arc<AtomicUsize>) {
    serve_with(answer, true)
}

fn serve_with(answer: Answer, parts: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/files/", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    // The thread ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counter.fetch_add(1, Ordering::SeqCst);
            serve_one(stream, answer, parts);
        }
    });
    (address, requests)
}

fn serve_one(stream: TcpStream, answer: Answer, parts: bool) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let from = headers.iter().find_map(|header| {
        let (name, value) = header.split_once(": bytes=")?;
        let from = value.strip_suffix('-')?.parse::<usize>().ok()?;
        (name.eq_ignore_ascii_case("range") && parts).then_some(from)
    });
    let name = request
        .split(' ')
        .nth(1)
        .and_then(|path| path.strip_prefix("/files/"))
        .unwrap_or_default();
    let contents = fs::read(embedded().join(name)).unwrap_or_default();
    let bytes = match from {
        None => answer(name, contents),
        Some(from) => {
            let (last, all) = (contents.len() - 1, contents.len());
            let status = format!("206 Partial Content\r\nContent-Range: bytes {from}-{last}/{all}");
            response(&status, all - from, &contents[from..])
        }
    };
    // The client may have closed the connection.
    let _ = (&stream).write_all(&bytes);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn whole_files_are_kept_and_not_fetched_twice() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("sets/fashion-mnist");
    let (address, requests) = serve(good);
    let mut seen: Vec<Progress> = Vec::new();
    let found = get("fashion-mnist", Some(&target), Some(&address), &mut |p| {
        seen.push(p)
    })
    .unwrap();
    assert_eq!((found, names(&target).len()), (target.clone(), 4));
    assert_eq!(requests.load(Ordering::SeqCst), 4);
    for name in names(&target) {
        assert_eq!(
            fs::read(target.join(&name)).unwrap(),
            fs::read(embedded().join(&name)).unwrap()
        );
    }
    for index in 0..4 {
        let of_file: Vec<_> = seen.iter().filter(|p| p.index == index).collect();
        assert!(of_file.is_sorted_by(|a, b| a.bytes <= b.bytes));
        let (first, last) = (of_file.first().unwrap(), of_file.last().unwrap());
        assert_eq!(
            (first.bytes, last.bytes, last.files, last.present),
            (0, last.total, 4, false)
        );
    }
    assert_eq!(Source::at(&target).load().unwrap().name, "fashion-mnist");

    // A second time only what is damaged is fetched, and it is replaced.
    let damaged = target.join("t10k-labels-idx1-ubyte.gz");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    seen.clear();
    get(
        "fashion-mnist",
        Some(&target),
        Some(address.trim_end_matches('/')),
        &mut |p| seen.push(p),
    )
    .unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 5);
    assert_eq!(seen.iter().filter(|p| p.present).count(), 3);
    assert_eq!(
        fs::read(&damaged).unwrap(),
        fs::read(embedded().join("t10k-labels-idx1-ubyte.gz")).unwrap()
    );
}

#[test]
fn what_goes_wrong_leaves_nothing_behind() {
    fn changed(_: &str, mut contents: Vec<u8>) -> Vec<u8> {
        contents[1000] ^= 1;
        response("200 OK", contents.len(), &contents)
    }
    fn short(_: &str, contents: Vec<u8>) -> Vec<u8> {
        response(
            "200 OK",
            contents.len() - 1,
            &contents[..contents.len() - 1],
        )
    }
    fn long(_: &str, contents: Vec<u8>) -> Vec<u8> {
        response(
            "200 OK",
            contents.len() + 1,
            &[&contents[..], &[0]].concat(),
        )
    }
    fn missing(_: &str, _: Vec<u8>) -> Vec<u8> {
        response("404 Not Found", 9, b"not found")
    }
    fn page(_: &str, _: Vec<u8>) -> Vec<u8> {
        response("200 OK", 13, b"<html></html>")
    }
    fn silent(_: &str, _: Vec<u8>) -> Vec<u8> {
        Vec::new()
    }
    let cases: [(&str, Answer, &[&str]); 6] = [
        (
            "changed",
            changed,
            &["train-images-idx3-ubyte.gz", "sha256", "3aede38d6186"],
        ),
        (
            "short",
            short,
            &[
                "train-images-idx3-ubyte.gz",
                "ended after 26421879 of 26421880",
            ],
        ),
        (
            "long",
            long,
            &[
                "train-images-idx3-ubyte.gz",
                "longer than the 26421880 bytes",
            ],
        ),
        ("missing", missing, &["train-images-idx3-ubyte.gz", "404"]),
        (
            "page",
            page,
            &["train-images-idx3-ubyte.gz", "ended after 13 of"],
        ),
        (
            "silent",
            silent,
            &["train-images-idx3-ubyte.gz", "download failed"],
        ),
    ];
    for (name, answer, says) in cases {
        let folder = tempfile::tempdir().unwrap();
        let (address, _) = serve(answer);
        let error = get(
            "fashion-mnist",
            Some(folder.path()),
            Some(&address),
            &mut |_| (),
        )
        .unwrap_err();
        let message = error.to_string();
        println!("{name}: {message}");
        for piece in says {
            assert!(
                message.contains(piece),
                "{name}: `{piece}` is not in: {message}"
            );
        }
        assert!(message.contains("try again"), "{name}: {message}");
        assert_eq!(names(folder.path()), Vec::<String>::new(), "{name}");
    }
}

/// Closes the connection after half of the file.
fn cut_off(_: &str, contents: Vec<u8>) -> Vec<u8> {
    response("200 OK", contents.len(), &contents[..contents.len() / 2])
}

const FIRST: &str = "train-images-idx3-ubyte.gz";
const HALF: u64 = 26_421_880 / 2;

fn assert_complete(folder: &Path) {
    assert_eq!(names(folder).len(), 4, "{:?}", names(folder));
    for name in names(folder) {
        let found = fs::read(folder.join(&name)).unwrap();
        assert!(found == fs::read(embedded().join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn an_interrupted_download_continues() {
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve_parts(cut_off);
    let attempt = || {
        let mut begins = None;
        let result = get(
            "fashion-mnist",
            Some(folder.path()),
            Some(&address),
            &mut |p| {
                if !p.present {
                    begins.get_or_insert(p.bytes);
                }
            },
        );
        (result, begins)
    };
    let (result, begins) = attempt();
    let message = result.unwrap_err().to_string();
    let kept = format!("after {HALF} of 26421880 bytes, which are kept");
    assert!(message.contains(&kept), "{message}");
    assert_eq!(begins, Some(0));
    let partial = format!("{FIRST}.partial");
    let kept = fs::metadata(folder.path().join(&partial)).unwrap().len();
    assert_eq!(kept, HALF);
    assert_eq!(names(folder.path()), [partial]);

    // Each attempt finishes a file and loses the connection in the middle of the next one.
    for finished in 1..4 {
        let (result, begins) = attempt();
        assert!(result.is_err());
        assert!(begins > Some(0), "attempt {finished} began at {begins:?}");
        assert_eq!(names(folder.path()).len(), finished + 1);
    }
    attempt().0.unwrap();
    assert_complete(folder.path());
    // Half of each file, and the other half.
    assert_eq!(requests.load(Ordering::SeqCst), 8);
}

#[test]
fn what_cannot_be_continued_is_fetched_again() {
    // The server sends only whole files; the part is not from this file; it is longer than the file.
    let (whole, parts) = (serve(good).0, serve_parts(good).0);
    let published = fs::read(embedded().join(FIRST)).unwrap();
    let too_long = [&published[..], &[0]].concat();
    for (address, part) in [
        (&whole, &published[..1000]),
        (&parts, &b"<html></html>"[..]),
        (&parts, &too_long),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!("{FIRST}.partial")), part).unwrap();
        get(
            "fashion-mnist",
            Some(folder.path()),
            Some(address),
            &mut |_| (),
        )
        .unwrap();
        assert_complete(folder.path());
    }
}

#[test]
fn two_processes_do_not_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let partial = fs::File::create(folder.path().join(format!("{FIRST}.partial"))).unwrap();
    partial.lock().unwrap();
    let (address, requests) = serve(good);
    let refused = get(
        "fashion-mnist",
        Some(folder.path()),
        Some(&address),
        &mut |_| (),
    );
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("another process is downloading it"),
        "{message}"
    );
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    drop(partial);
    get(
        "fashion-mnist",
        Some(folder.path()),
        Some(&address),
        &mut |_| (),
    )
    .unwrap();
    assert_complete(folder.path());
}

#[test]
fn files_fetched_before_a_failure_stay() {
    fn labels_missing(name: &str, contents: Vec<u8>) -> Vec<u8> {
        match name {
            "t10k-images-idx3-ubyte.gz" => response("503 Service Unavailable", 0, b""),
            _ => good(name, contents),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, _) = serve(labels_missing);
    let error = get(
        "fashion-mnist",
        Some(folder.path()),
        Some(&address),
        &mut |_| (),
    )
    .unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    assert_eq!(
        names(folder.path()),
        ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    );
}

#[test]
fn no_server_and_no_such_set() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("http://127.0.0.1:{port}/");
    let error = get("mnist", Some(folder.path()), Some(&address), &mut |_| ()).unwrap_err();
    assert!(matches!(error, DataError::Download { .. }), "{error}");
    // A server without TLS: the client's TLS implementation reports it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = get("mnist", Some(folder.path()), Some(&address), &mut |_| ()).unwrap_err();
    assert!(matches!(error, DataError::Download { .. }), "{error}");
    assert!(error.to_string().contains("corrupt message"), "{error}");
    let error = get(
        "mnist",
        Some(folder.path()),
        Some("file:///tmp"),
        &mut |_| (),
    )
    .unwrap_err();
    assert!(error.to_string().contains("http:// or https://"), "{error}");
    let error = get("imagenet", Some(folder.path()), None, &mut |_| ()).unwrap_err();
    assert!(matches!(error, DataError::UnknownSet { .. }), "{error}");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}
