//! HTTP/1.1 over a connection, one request each: [`Request`].
//!
//! A connection has a thread of its own and ends after its answer, so a page that stays open cannot
//! keep another one waiting. Only the head is parsed, by `httparse`; a request's body is short.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Longest head of a request, in bytes.
const MOST_HEAD: usize = 16 << 10;
/// Most headers of a request.
const MOST_HEADERS: usize = 64;
/// Longest body of a request, in bytes.
const MOST_BODY: usize = 4096;
/// Longest wait for a part of a request.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for a page to take an answer.
const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// A request, and the connection for its answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    stream: TcpStream,
}

impl Request {
    /// Reads a request; `None` if the connection has none that can be understood.
    ///
    /// # Errors
    /// The connection ends or stalls.
    pub(crate) fn read(mut stream: TcpStream) -> io::Result<Option<Self>> {
        stream.set_read_timeout(Some(READ_WITHIN))?;
        stream.set_write_timeout(Some(WRITE_WITHIN))?;
        stream.set_nodelay(true)?;
        let mut bytes = Vec::new();
        loop {
            let mut part = [0; 4096];
            let count = stream.read(&mut part)?;
            bytes.extend_from_slice(&part[..count]);
            let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut head = httparse::Request::new(&mut headers);
            let length = match head.parse(&bytes) {
                Ok(httparse::Status::Complete(length)) => length,
                Ok(httparse::Status::Partial) if count > 0 && bytes.len() < MOST_HEAD => continue,
                _ => return Ok(None),
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut request = Request {
                method: head.method.unwrap_or_default().to_owned(),
                target: head.path.unwrap_or_default().to_owned(),
                headers: head
                    .headers
                    .iter()
                    .map(|header| (header.name.to_owned(), text(header.value)))
                    .collect(),
                body: Vec::new(),
                stream,
            };
            let body = request
                .header("Content-Length")
                .and_then(|length| length.parse().ok());
            let body = body.unwrap_or(0_usize);
            if body > MOST_BODY {
                return Ok(None);
            }
            request.body = bytes.split_off(length);
            request.body.truncate(body);
            let read = request.body.len();
            request.body.resize(body, 0);
            request.stream.read_exact(&mut request.body[read..])?;
            return Ok(Some(request));
        }
    }

    /// The value of the only header with this name; `None` if there are several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value.trim()),
            _ => None,
        }
    }

    /// Sends an answer and ends the connection. A page that was closed needs none.
    pub(crate) fn respond(mut self, code: u16, headers: &[(&str, String)], body: &str) {
        let length = ("Content-Length", body.len().to_string());
        let mut answer = head(code, headers.iter().chain([&length]));
        if self.method != "HEAD" {
            answer += body;
        }
        let _ = self.stream.write_all(answer.as_bytes());
    }

    /// Sends the head of an answer without a length, which ends with the connection.
    ///
    /// # Errors
    /// The page was closed.
    pub(crate) fn stream(mut self, headers: &[(&str, String)]) -> io::Result<TcpStream> {
        self.stream
            .write_all(head(200, headers.iter()).as_bytes())?;
        Ok(self.stream)
    }
}

fn head<'a>(code: u16, headers: impl Iterator<Item = &'a (&'a str, String)>) -> String {
    let reason = match code {
        200 => "OK",
        202 => "Accepted",
        303 => "See Other",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        415 => "Unsupported Media Type",
        500 => "Internal Server Error",
        _ => "Service Unavailable",
    };
    let lines = headers.map(|(name, value)| format!("{name}: {value}\r\n"));
    format!(
        "HTTP/1.1 {code} {reason}\r\nConnection: close\r\n{}\r\n",
        lines.collect::<String>()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// What is read of a connection on which `parts` arrive one after another.
    fn read(parts: &'static [&'static str]) -> io::Result<Option<Request>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let writer = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            for part in parts {
                let _ = stream.write_all(part.as_bytes());
                thread::sleep(Duration::from_millis(20));
            }
        });
        let request = Request::read(listener.accept().unwrap().0);
        writer.join().unwrap();
        request
    }

    #[test]
    fn a_request_is_read_in_parts() {
        let parts = &[
            "POST /stop HT",
            "TP/1.1\r\nhost: a:1\r\nContent-Length: 4\r\n\r\nab",
            "cd, and more",
        ];
        let request = read(parts).unwrap().unwrap();
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("POST", "/stop")
        );
        assert_eq!(request.header("Host"), Some("a:1"));
        assert_eq!(request.header("Origin"), None);
        assert_eq!(request.body, b"abcd");
    }

    #[test]
    fn other_bytes_are_no_request() {
        assert!(read(&["\u{16}\u{3}\u{1}"]).unwrap().is_none());
        assert!(
            read(&["GET / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"])
                .unwrap()
                .is_none()
        );
        assert!(
            read(&["GET / HTTP/1.1\r\nHost: a\r\n"]).unwrap().is_none(),
            "cut off"
        );
        read(&["POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"]).unwrap_err();
        let twice = read(&["GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"])
            .unwrap()
            .unwrap();
        assert_eq!(twice.header("Host"), None);
    }
}
