//! Which requests go through a proxy, by the variables that curl reads.
//!
//! Takes their text from whoever has it; never reads a variable, never prints a proxy's URL, which
//! may hold a password.

use std::fmt;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// Proxies, as the usual variables name them. All empty: every request goes directly.
///
/// A proxy is `[http://|https://][USER[:PASSWORD]@]HOST[:PORT]`; user and password may be
/// percent-encoded, the port is 80 or 443 when it is left out (curl would take 1080). Requests for
/// `https:` go through a tunnel (`CONNECT`), those for `http:` are handed to the proxy as they are.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct ProxySettings {
    /// `HTTP_PROXY`: for `http:` URLs.
    pub http: String,
    /// `HTTPS_PROXY`: for `https:` URLs.
    pub https: String,
    /// `ALL_PROXY`: for whichever of the two has none of its own.
    pub all: String,
    /// `NO_PROXY`: whom to ask directly. Names (each with all names below it), addresses, networks
    /// (`10.0.0.0/8`) or `*`, separated by commas or white space.
    ///
    /// As with curl nothing else is exempt: `localhost` and `127.0.0.1` go through the proxy
    /// unless they are named here.
    pub no_proxy: String,
}

/// A proxy that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{variable}: is not the URL of an HTTP proxy, such as http://proxy.example:3128")]
pub struct ProxyError {
    /// The variable's upper-case name.
    pub variable: &'static str,
}

impl ProxySettings {
    /// The rules, once every proxy is known to be one. hyper-util would leave out what it cannot
    /// read, and requests would go directly without anybody having said so.
    pub(super) fn matcher(&self) -> Result<Matcher, ProxyError> {
        let checked = |variable, text: &str| {
            let text = text.trim();
            if text.is_empty() || is_http_proxy(text) {
                Ok(text.to_owned())
            } else {
                Err(ProxyError { variable })
            }
        };
        let exempt: Vec<&str> = self.no_proxy.split_whitespace().collect();
        Ok(Matcher::builder()
            .http(checked("HTTP_PROXY", &self.http)?)
            .https(checked("HTTPS_PROXY", &self.https)?)
            .all(checked("ALL_PROXY", &self.all)?)
            .no(exempt.join(","))
            .build())
    }
}

/// Says which are set, not to what.
impl fmt::Debug for ProxySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| if text.is_empty() { "" } else { "[redacted]" };
        formatter
            .debug_struct("ProxySettings")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("all", &shown(&self.all))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// Whether hyper-util reads it as a proxy that speaks HTTP. It knows SOCKS too; we do not.
fn is_http_proxy(text: &str) -> bool {
    let anything = Uri::from_static("http://anything.invalid/");
    let proxy = Matcher::builder().all(text).build().intercept(&anything);
    let speaks_http =
        |proxy: &Intercept| matches!(proxy.uri().scheme_str(), Some("http" | "https"));
    let has_host = |proxy: &Intercept| proxy.uri().host().is_some_and(|host| !host.is_empty());
    proxy.is_some_and(|proxy| speaks_http(&proxy) && has_host(&proxy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(settings: &ProxySettings, url: &str) -> Option<String> {
        let matcher = settings.matcher().expect("usable proxies");
        matcher.intercept(&url.parse().expect("a URL")).map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn each_scheme_has_its_proxy_and_all_is_for_the_one_that_has_none() {
        let settings = ProxySettings {
            https: "https://secure.example:8443".to_owned(),
            all: " proxy.example:3128 ".to_owned(),
            ..ProxySettings::default()
        };
        let http = through(&settings, "http://a.example/x?y");
        assert_eq!(http.as_deref(), Some("http://proxy.example:3128/"));
        let https = through(&settings, "https://a.example/x?y");
        assert_eq!(https.as_deref(), Some("https://secure.example:8443/"));
        assert_eq!(through(&ProxySettings::default(), "https://a.example/"), None);
    }

    #[test]
    fn no_proxy_exempts_names_addresses_and_networks() {
        let with = |no_proxy: &str| ProxySettings {
            all: "http://proxy.example:3128".to_owned(),
            no_proxy: no_proxy.to_owned(),
            ..ProxySettings::default()
        };
        for (no_proxy, url, direct) in [
            ("a.example", "https://a.example/", true),
            ("a.example", "https://A.Example:8443/", true),
            ("a.example", "https://b.a.example/", true),
            (".a.example", "https://b.a.example/", true),
            (".a.example", "https://a.example/", true),
            ("a.example", "https://nota.example/", false),
            ("b.example, a.example", "https://a.example/", true),
            ("b.example a.example", "https://a.example/", true),
            ("127.0.0.1", "http://127.0.0.1:8000/", true),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("::1", "http://[::1]:8000/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("*", "https://a.example/", true),
            ("", "http://localhost/", false),
            ("", "http://127.0.0.1/", false),
        ] {
            let proxy = through(&with(no_proxy), url);
            assert_eq!(proxy.is_none(), direct, "{no_proxy:?} for {url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_its_text_stays_unsaid() {
        for text in ["socks5://me:pa55word@h:1", "ftp://h", "http://", "http://a b", "://", "/x"] {
            let settings = ProxySettings { https: text.to_owned(), ..ProxySettings::default() };
            let error = settings.matcher().expect_err(text);
            assert_eq!(error.variable, "HTTPS_PROXY", "{text}");
            assert!(!error.to_string().contains("pa55word"));
            assert!(!format!("{settings:?}").contains("pa55word"));
        }
    }
}
