//! The address of an upstream: its host, and what precedes every path there.
//!
//! Parsed by hand, because the accepted form is much narrower than a URL: nothing in it may carry
//! a key or a password, so that it can be logged, shown in a status and compared as it is. Never
//! resolves a name.

use std::fmt;
use std::net::Ipv6Addr;

/// Where an upstream is reached: `http` or `https`, a host, perhaps a port and a path. It has no
/// user, no query and no fragment, and no slash at its end.
///
/// Its `Display` is the shortest spelling: lower case up to the path, without the port that the
/// scheme implies.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct BaseUrl {
    https: bool,
    host: String,
    port: u16,
    path: String,
}

impl BaseUrl {
    /// Reflag's service.
    pub(super) fn reflag() -> Self {
        Self {
            https: true,
            host: "front.reflag.com".to_owned(),
            port: HTTPS_PORT,
            path: String::new(),
        }
    }

    /// Flagsmith's service.
    pub(super) fn flagsmith() -> Self {
        Self {
            https: true,
            host: "edge.api.flagsmith.com".to_owned(),
            port: HTTPS_PORT,
            path: "/api/v1".to_owned(),
        }
    }

    /// Where the event streams of a Flagsmith at this address are (flagsmith.md section 15): for the
    /// vendor's own service a host beside it, else the same host, without the `/api/v1` that only
    /// the other routes have before them.
    pub(super) fn realtime(&self) -> Self {
        if self.https && ["edge.api.flagsmith.com", "api.flagsmith.com"].contains(&self.host()) {
            return Self {
                https: true,
                host: "realtime.flagsmith.com".to_owned(),
                port: HTTPS_PORT,
                path: String::new(),
            };
        }
        let path = self.path.strip_suffix("/api/v1").unwrap_or(&self.path).to_owned();
        Self { path, ..self.clone() }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_path = path.is_empty() || path[1..].split('/').all(is_segment);
        // Nobody listens on port 0.
        if !is_path || port == Some(0) {
            return None;
        }
        Some(Self {
            https,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(if https { HTTPS_PORT } else { HTTP_PORT }),
            path: path.to_owned(),
        })
    }

    /// A name or an address to connect to, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port as they stand in the header field `Host`: without the port that the scheme
    /// implies, an IPv6 address in brackets.
    fn authority(&self) -> String {
        match (self.https, self.port) {
            (true, HTTPS_PORT) | (false, HTTP_PORT) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Scheme, host and port: what has to be equal for a key to be sent.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// What precedes every path of the upstream: empty, or with a leading and no trailing slash.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.origin(), self.path)
    }
}

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// What stands between `scheme://` and the path, if it is a host and perhaps a port.
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of "[::1]" belongs to the address.
        Some((host, port)) if !port.ends_with(']') => {
            // `parse` alone would take a sign as well.
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            (host, Some(port.parse::<u16>().ok().filter(|_| digits)?))
        }
        _ => (authority, None),
    };
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    is_host.then_some((host, port))
}

/// RFC 3986, 3.3, without `@`: it would look like a password to whoever reads the URL.
fn is_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    let mut is_valid = true;
    while let Some(byte) = bytes.next() {
        is_valid &= match byte {
            b'%' => [bytes.next(), bytes.next()]
                .into_iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:".contains(&byte),
        };
    }
    // Dot segments would be resolved on the way, so that the path meant is not the one asked.
    is_valid && !matches!(segment, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_shown_in_its_shortest_spelling() {
        for (written, shown) in [
            ("https://front.reflag.com", "https://front.reflag.com"),
            ("https://front.reflag.com/", "https://front.reflag.com"),
            ("HTTPS://Front.Reflag.com:443/", "https://front.reflag.com"),
            ("http://edge:80", "http://edge"),
            ("http://edge:443", "http://edge:443"),
            ("http://127.0.0.1:8000/Flags/", "http://127.0.0.1:8000/Flags"),
            ("http://[::1]:8000/a/b~1;c=%2F:d", "http://[::1]:8000/a/b~1;c=%2F:d"),
            ("https://[FE80::1]", "https://[fe80::1]"),
        ] {
            assert_eq!(BaseUrl::parse(written).unwrap().to_string(), shown, "{written}");
        }
        assert_eq!(BaseUrl::parse("https://front.reflag.com"), Some(BaseUrl::reflag()));
        let flagsmith = "https://edge.api.flagsmith.com/api/v1/";
        assert_eq!(BaseUrl::parse(flagsmith), Some(BaseUrl::flagsmith()));
    }

    #[test]
    fn its_parts_are_those_that_a_client_needs() {
        let url = BaseUrl::parse("https://[::1]:8443/flags/").unwrap();
        assert!(url.https);
        assert_eq!((url.host(), url.port), ("::1", 8443));
        assert_eq!((url.authority().as_str(), url.path()), ("[::1]:8443", "/flags"));
        let url = BaseUrl::parse("http://edge").unwrap();
        assert!(!url.https);
        assert_eq!((url.host(), url.port), ("edge", 80));
        assert_eq!((url.authority().as_str(), url.path()), ("edge", ""));
        assert_eq!(BaseUrl::reflag().port, 443);
    }

    #[test]
    fn anything_else_is_no_base_url() {
        for written in [
            "",
            "front.reflag.com",
            "//front.reflag.com",
            "ftp://front.reflag.com",
            "https:/front.reflag.com",
            "https://",
            "https:///flags",
            "https://:443",
            "https://edge:",
            "https://edge:0",
            "https://edge:65536",
            "https://edge:+1",
            "https://ed ge",
            "https://[::1",
            "https://[edge]",
            "https://user@edge",
            "https://user:password@edge",
            "https://edge?a=b",
            "https://edge/?a=b",
            "https://edge#a",
            "https://edge/a b",
            "https://edge/ä",
            "https://edge//",
            "https://edge/a//b",
            "https://edge/../a",
            "https://edge/%2",
            "https://edge/%zz",
            " https://edge",
            "https://edge\n",
        ] {
            assert_eq!(BaseUrl::parse(written), None, "{written}");
        }
    }
}
