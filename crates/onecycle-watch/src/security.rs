//! Who may talk to the server: [`Gate`].
//!
//! - Another web site cannot: the `Host` of a request must be this server's (a name that was rebound
//!   to 127.0.0.1 is another host), and so must the `Origin`, if there is one.
//! - Another machine cannot, unless the server was told to listen to it. Then every request needs a
//!   random token. The address that is printed has it; the first answer moves it into a cookie, so it
//!   stays neither in the address bar nor in a `Referer`.

use std::net::IpAddr;

use crate::WatchError;

/// Bytes of a token.
const TOKEN_BYTES: usize = 24;

/// Checks requests.
#[derive(Debug)]
pub(crate) struct Gate {
    host: String,
    port: u16,
    token: Option<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `Host` names another server.
    Host,
    /// `Origin` names another site.
    Origin,
    /// The token is missing or wrong.
    Token,
}

/// The headers of a request that matter here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Headers<'a> {
    pub(crate) host: Option<&'a str>,
    pub(crate) origin: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
}

impl Gate {
    /// A gate of the server at `host` (as given) and `port`. With `needs_token`, it draws one.
    ///
    /// # Errors
    /// [`WatchError::NoRandomness`].
    pub(crate) fn new(host: &str, port: u16, needs_token: bool) -> Result<Self, WatchError> {
        let token = match needs_token {
            false => None,
            true => {
                let mut bytes = [0; TOKEN_BYTES];
                getrandom::fill(&mut bytes).map_err(|error| WatchError::NoRandomness {
                    reason: error.to_string(),
                })?;
                Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
        };
        Ok(Gate {
            host: host.to_owned(),
            port,
            token,
        })
    }

    /// The token, if requests need one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether `token` is the right one. Takes the same time for every wrong one of its length.
    pub(crate) fn is_token(&self, token: &str) -> bool {
        let Some(right) = &self.token else {
            return false;
        };
        let (right, token) = (right.as_bytes(), token.as_bytes());
        let differing = right
            .iter()
            .zip(token)
            .fold(0, |differing, (a, b)| differing | (a ^ b));
        right.len() == token.len() && std::hint::black_box(differing) == 0
    }

    /// The header that stores the token in the browser.
    pub(crate) fn cookie(&self) -> Option<String> {
        let token = self.token.as_deref()?;
        Some(format!(
            "{}={token}; Path=/; HttpOnly; SameSite=Strict",
            self.cookie_name()
        ))
    }

    /// Cookies ignore the port, so their name has it.
    fn cookie_name(&self) -> String {
        format!("onecycle_watch_{}", self.port)
    }

    /// Checks `Host` and `Origin`, of any request.
    ///
    /// # Errors
    /// [`Refusal::Host`] and [`Refusal::Origin`].
    pub(crate) fn check_origin(&self, headers: &Headers<'_>) -> Result<(), Refusal> {
        let host = headers
            .host
            .filter(|host| self.is_own(host))
            .ok_or(Refusal::Host)?;
        match headers.origin {
            Some(origin) if origin.strip_prefix("http://") != Some(host) => Err(Refusal::Origin),
            _ => Ok(()),
        }
    }

    /// Checks that the request has the token, if one is needed.
    ///
    /// # Errors
    /// [`Refusal::Token`].
    pub(crate) fn check_token(&self, headers: &Headers<'_>) -> Result<(), Refusal> {
        if self.token.is_none() {
            return Ok(());
        }
        let name = self.cookie_name();
        let cookies = headers.cookie.unwrap_or_default().split(';');
        let mut values = cookies.filter_map(|cookie| cookie.trim().split_once('='));
        match values.any(|(key, value)| key == name && self.is_token(value)) {
            true => Ok(()),
            false => Err(Refusal::Token),
        }
    }

    /// Whether `Host` names this server: the host as given, `localhost`, or any address (a site that
    /// was rebound has a name), with the right port.
    fn is_own(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_loopback_or_allowed = match bare.parse::<IpAddr>() {
            Ok(address) => self.token.is_some() || address.is_loopback(),
            Err(_) => bare.eq_ignore_ascii_case("localhost"),
        };
        port == Some(self.port) && (is_loopback_or_allowed || bare.eq_ignore_ascii_case(&self.host))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    fn from<'a>(host: &'a str, origin: Option<&'a str>) -> Headers<'a> {
        Headers {
            host: Some(host),
            origin,
            cookie: None,
        }
    }

    #[test]
    fn other_hosts_and_sites_are_refused() {
        let gate = Gate::new("127.0.0.1", 8080, false).unwrap();
        for host in [
            "127.0.0.1:8080",
            "localhost:8080",
            "LOCALHOST:8080",
            "[::1]:8080",
        ] {
            assert_eq!(gate.check_origin(&from(host, None)), Ok(()), "{host}");
        }
        for host in [
            "example.com:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1.example.com:8080",
            "192.168.1.5:8080",
            "localhost.:8080",
            "[::1]",
            "",
            ":8080",
        ] {
            assert_eq!(
                gate.check_origin(&from(host, None)),
                Err(Refusal::Host),
                "{host}"
            );
        }
        assert_eq!(gate.check_origin(&Headers::default()), Err(Refusal::Host));
        let own = from("127.0.0.1:8080", Some("http://127.0.0.1:8080"));
        assert_eq!(gate.check_origin(&own), Ok(()));
        for origin in [
            "http://example.com",
            "null",
            "http://127.0.0.1:8081",
            "https://127.0.0.1:8080",
            "",
        ] {
            let other = from("127.0.0.1:8080", Some(origin));
            assert_eq!(gate.check_origin(&other), Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn a_token_is_needed_beyond_this_machine() {
        let gate = Gate::new("0.0.0.0", 8080, true).unwrap();
        let token = gate.token().unwrap().to_owned();
        assert_eq!(token.len(), 2 * TOKEN_BYTES);
        assert_ne!(
            Some(token.as_str()),
            Gate::new("0.0.0.0", 8080, true).unwrap().token()
        );
        assert_eq!(gate.check_origin(&from("192.168.1.5:8080", None)), Ok(()));
        assert_eq!(
            gate.check_origin(&from("example.com:8080", None)),
            Err(Refusal::Host)
        );
        let cookie = gate.cookie().unwrap();
        let pair = cookie.split(';').next().unwrap().to_owned();
        let check = |cookie: &str| {
            gate.check_token(&Headers {
                cookie: Some(cookie),
                ..Headers::default()
            })
        };
        assert_eq!(check(&format!("other=1; {pair}")), Ok(()));
        for wrong in [
            "",
            "onecycle_watch_8080=",
            &pair[..pair.len() - 1],
            &pair.replace("8080", "8081"),
            &format!("{pair}0"),
        ] {
            assert_eq!(check(wrong), Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(gate.check_token(&Headers::default()), Err(Refusal::Token));
    }
}
