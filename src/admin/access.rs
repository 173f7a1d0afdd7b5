//! Who may ask for status and explanations.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};

use super::Refusal;
use crate::snapshot::KeyDigests;

/// The token, as a digest, if there is one.
#[derive(Debug)]
pub(super) struct Access {
    digests: KeyDigests,
    token: Option<u128>,
}

impl Access {
    pub(super) fn new(digests: KeyDigests, token: Option<&str>) -> Self {
        let token = token.map(|token| digests.digest(token.as_bytes()));
        Self { digests, token }
    }

    /// Lets through whoever has the token, and whoever is on this machine and names it so.
    pub(super) fn check<B>(&self, request: &Request<B>, local: bool) -> Result<(), Refusal> {
        let sent = request.headers().get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
        });
        if let (Some(token), Some(sent)) = (self.token, sent) {
            return if self.digests.digest(sent) ^ token == 0 {
                Ok(())
            } else {
                let what = "the token is not the one of this process";
                Err(Refusal::new(StatusCode::FORBIDDEN, "FORBIDDEN", what))
            };
        }
        if !local {
            let what = "this needs the admin token: `Authorization: Bearer TOKEN`";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "TOKEN_REQUIRED", what));
        }
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        if names_this_machine(host) {
            Ok(())
        } else {
            let what = "`Host` must be an address or localhost, or send the admin token";
            Err(Refusal::new(StatusCode::FORBIDDEN, "FOREIGN_HOST", what))
        }
    }
}

/// A name that a foreign page could have pointed here is not ours; an address or `localhost` is.
fn names_this_machine(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').or(Some(rest))),
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let is_ours = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    host.is_empty() || (is_ours && port.is_none_or(is_port))
}

/// Whether a peer is on this machine.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        token: Option<&str>,
        host: &str,
        bearer: Option<&str>,
        local: bool,
    ) -> Result<(), u16> {
        let access = Access::new(KeyDigests::random().unwrap(), token);
        let mut request = Request::builder().header(HOST, host);
        if let Some(bearer) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        access.check(&request.body(()).unwrap(), local).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn this_machine_needs_no_token_but_must_be_meant() {
        assert_eq!(check(None, "127.0.0.1:8001", None, true), Ok(()));
        assert_eq!(check(Some("token"), "[::1]:8001", None, true), Ok(()));
        assert_eq!(check(None, "localhost", None, true), Ok(()));
        for foreign in [
            "evil.example:8001",
            "127.0.0.1:80@evil.example",
            "[::1]evil.example",
            "[::1]:80@evil.example",
            ":8001",
        ] {
            assert_eq!(check(None, foreign, None, true), Err(403), "{foreign}");
        }
    }

    #[test]
    fn others_need_the_token_whatever_they_call_us() {
        assert_eq!(check(None, "10.0.0.1", None, false), Err(401));
        assert_eq!(check(None, "10.0.0.1", Some("token"), false), Err(401));
        assert_eq!(check(Some("token"), "burgee.internal", Some("token"), false), Ok(()));
        assert_eq!(check(Some("token"), "burgee.internal", Some("tokem"), false), Err(403));
        assert_eq!(check(Some("token"), "127.0.0.1", Some("tokem"), true), Err(403));
    }
}
