//! Certificates that a server must show: Mozilla's, or those of a file that the environment names.

use std::{env, fs, path::Path};

use ureq::tls::{PemItem, RootCerts, parse_pem};

/// Variable with the path of a PEM file of root certificates, as for OpenSSL and curl. Networks whose
/// proxy signs connections with a certificate of its own need it.
const FILE: &str = "SSL_CERT_FILE";

/// The root certificates to trust in a connection to `url`.
///
/// # Errors
/// The file that `SSL_CERT_FILE` names cannot be read or has no certificate; a message that says so.
pub(super) fn roots(url: &str) -> Result<RootCerts, String> {
    match env::var_os(FILE) {
        Some(path) if !path.is_empty() && url.starts_with("https://") => read(Path::new(&path)),
        _ => Ok(RootCerts::WebPki),
    }
}

fn read(path: &Path) -> Result<RootCerts, String> {
    let fault = |why: String| format!("{FILE} = {}: {why}", path.display());
    let pem = fs::read(path).map_err(|error| fault(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(fault(error.to_string())),
        }
    }
    match certificates.is_empty() {
        true => Err(fault("no certificate in PEM form".to_owned())),
        false => Ok(RootCerts::from(certificates)),
    }
}

/// Advice to append to the error of a connection; empty if there is none.
pub(super) fn remedy(error: &str) -> &'static str {
    match error.contains("UnknownIssuer") {
        true => {
            " (behind a proxy that signs connections itself, set SSL_CERT_FILE to a PEM file with its certificate)"
        }
        false => "",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        let error = read(&missing).unwrap_err();
        assert!(
            error.starts_with(FILE) && error.contains("missing.pem"),
            "{error}"
        );
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "not PEM\n").unwrap();
        let error = read(&empty).unwrap_err();
        assert!(error.ends_with("no certificate in PEM form"), "{error}");
    }

    #[test]
    fn certificates_of_a_file_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        // The reader does not look into the bytes; the connection does.
        let one = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
        fs::write(&path, one.repeat(2)).unwrap();
        let RootCerts::Specific(certificates) = read(&path).unwrap() else {
            panic!("not those of the file");
        };
        assert_eq!(certificates.len(), 2);
    }

    #[test]
    fn an_unknown_issuer_has_a_remedy() {
        assert!(remedy("invalid peer certificate: UnknownIssuer").contains(FILE));
        assert_eq!(remedy("connection refused"), "");
    }
}
