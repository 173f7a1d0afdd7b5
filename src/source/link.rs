//! Links to other pages: the header field `Link` (RFC 8288), and what its targets and those of
//! redirects mean (RFC 3986).

use std::borrow::Cow;

use hyper::Uri;
use hyper::header::{HeaderMap, LINK};

/// There is a link to a next page, and it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The target of the first link to the next page. What cannot be read counts only where it may be
/// that link: a page that is not asked for is a part of the document that is lost.
pub(super) fn next_page(headers: &HeaderMap) -> Result<Option<String>, Unreadable> {
    for value in headers.get_all(LINK) {
        let found = value.to_str().map_err(|_| Unreadable).and_then(next_of);
        match found {
            Ok(Some(target)) => return Ok(Some(target.to_owned())),
            Err(Unreadable) if speaks_of_next(value.as_bytes()) => return Err(Unreadable),
            Ok(None) | Err(Unreadable) => {}
        }
    }
    Ok(None)
}

fn speaks_of_next(value: &[u8]) -> bool {
    value.windows(4).any(|window| window.eq_ignore_ascii_case(b"next"))
}

fn next_of(mut text: &str) -> Result<Option<&str>, Unreadable> {
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        if text.is_empty() {
            return Ok(None);
        }
        let link = text.strip_prefix('<').and_then(|text| text.split_once('>'));
        let (target, behind) = link.ok_or(Unreadable)?;
        let (relation, behind) = relation(behind)?;
        let mut names = relation.unwrap_or_default().split_ascii_whitespace();
        if names.any(|name| name.eq_ignore_ascii_case("next")) {
            return Ok(Some(target.trim()));
        }
        text = behind;
    }
}

/// Reads a link's parameters: the value of its first `rel`, and the text behind them.
fn relation(mut text: &str) -> Result<(Option<&str>, &str), Unreadable> {
    let mut relation = None;
    loop {
        text = text.trim_start_matches([' ', '\t']);
        let Some(parameter) = text.strip_prefix(';') else {
            let ends = text.is_empty() || text.starts_with(',');
            return if ends { Ok((relation, text)) } else { Err(Unreadable) };
        };
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..end].trim();
        text = &parameter[end..];
        if let Some(value) = text.strip_prefix('=') {
            let (value, behind) = parameter_value(value.trim_start())?;
            if name.eq_ignore_ascii_case("rel") {
                relation = relation.or(Some(value));
            }
            text = behind;
        }
    }
}

/// A token or text in quotes, without them, and the text behind it. Escapes stay: no relation that
/// is looked for has any.
fn parameter_value(text: &str) -> Result<(&str, &str), Unreadable> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return Ok((text[..end].trim_end(), &text[end..]));
    };
    let mut is_escaped = false;
    let is_end = |character| {
        let ends = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        ends
    };
    let end = quoted.find(is_end).ok_or(Unreadable)?;
    Ok((&quoted[..end], &quoted[end + 1..]))
}

/// What a target means that came with the page at `page`, an absolute `http:` or `https:` URL: path
/// and query. None for another scheme, host or port, where the page's key must not go.
pub(super) fn resolve(page: &Uri, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or_default();
    let target: Cow<'_, str> = match target.find(['/', '?', ':']) {
        Some(at) if target[at..].starts_with("://") => {
            let is_same = target[..at].eq_ignore_ascii_case(page.scheme_str()?);
            behind_authority(page, is_same.then(|| &target[at + 3..])?)?
        }
        // Any other scheme.
        Some(at) if target[at..].starts_with(':') => return None,
        _ => match target.strip_prefix("//") {
            Some(rest) => behind_authority(page, rest)?,
            None => target.into(),
        },
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*target, None),
    };
    let path = if path.is_empty() {
        page.path().to_owned()
    } else if path.starts_with('/') {
        without_dots(path)
    } else {
        let page = page.path();
        let folder = page.rfind('/').map_or("/", |slash| &page[..=slash]);
        without_dots(&format!("{folder}{path}"))
    };
    Some(query.map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
}

/// Path and query behind host and port, if those are the page's.
fn behind_authority<'a>(page: &Uri, text: &'a str) -> Option<Cow<'a, str>> {
    let (authority, behind) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
    let host = page.host()?;
    let implied = if page.scheme_str() == Some("https") { 443 } else { 80 };
    let port = page.port_u16().unwrap_or(implied);
    let with_port = format!("{host}:{port}");
    let is_same = authority.eq_ignore_ascii_case(&with_port)
        || port == implied && authority.eq_ignore_ascii_case(host);
    let has_path = behind.starts_with('/');
    is_same.then(|| if has_path { behind.into() } else { format!("/{behind}").into() })
}

/// RFC 3986, 5.2.4, for a path that starts with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path[1..].split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if at + 1 == segments.len() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn next(values: &[&str]) -> Result<Option<String>, Unreadable> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        next_page(&headers)
    }

    #[test]
    fn the_next_page_is_found_among_other_links() {
        for values in [
            &["</p?a=1,2;3>; rel=\"next\""][..],
            &["</p?a=1,2;3>;rel=next"],
            &["</p?a=1,2;3> ; REL = \"Next\""],
            &["</p?a=1,2;3>; title=\"a, b; rel=prev \\\" c\"; rel=\"last next\"; rel=prev"],
            &["<x>; rel=prev, </p?a=1,2;3>; rel=next, <y>; rel=next"],
            &["<x>; rel=preload; as=style", "</p?a=1,2;3>;; x; rel=next;"],
            &["gibberish", "< /p?a=1,2;3 >; rel=next"],
        ] {
            assert_eq!(next(values), Ok(Some("/p?a=1,2;3".to_owned())), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &["</p>"],
            &["</p>; rel=prev"],
            &["</p>; rel=prev; rel=next"],
            &["</next>; rel=\"nextish\""],
            &["gibberish"],
        ] {
            assert_eq!(next(values), Ok(None), "{values:?}");
        }
        for values in [
            &["/p; rel=next"][..],
            &["</p; rel=next"],
            &["</p>; rel=\"next"],
            &["</p> rel=next"],
            &["</é>; rel=next"],
        ] {
            assert_eq!(next(values), Err(Unreadable), "{values:?}");
        }
    }

    #[test]
    fn targets_mean_what_they_mean_in_a_browser_and_stay_at_home() {
        let edge = Uri::from_static("https://edge.example/api/v1/environment-document/");
        let local = Uri::from_static("http://[::1]:8000/api/v1/environment-document/?page=1");
        for (page, target, expected) in [
            (&edge, "?page_id=a%3Ab", Some("/api/v1/environment-document/?page_id=a%3Ab")),
            (&edge, "/api/v1/x/?a=//b:c", Some("/api/v1/x/?a=//b:c")),
            (&edge, "https://edge.example/x?y#z", Some("/x?y")),
            (&edge, "HTTPS://Edge.Example:443/x", Some("/x")),
            (&edge, "//edge.example/x", Some("/x")),
            (&edge, "https://edge.example?x", Some("/?x")),
            (&edge, "2?x", Some("/api/v1/environment-document/2?x")),
            (&edge, "./?x", Some("/api/v1/environment-document/?x")),
            (&edge, "../pages/./2", Some("/api/v1/pages/2")),
            (&edge, "../../../../..", Some("/")),
            (&edge, "", Some("/api/v1/environment-document/")),
            (&local, "", Some("/api/v1/environment-document/")),
            (&local, "http://[::1]:8000/x", Some("/x")),
            (&edge, "http://edge.example/x", None),
            (&edge, "https://edge.example:444/x", None),
            (&edge, "https://edge.example.evil/x", None),
            (&edge, "https://edge.example@evil/x", None),
            (&edge, "https://user@edge.example/x", None),
            (&edge, "//evil/x", None),
            (&edge, "file:///etc/passwd", None),
            (&edge, "data:text/plain,x", None),
            (&local, "http://[::1]/x", None),
            (&local, "http://[::1]:80/x", None),
        ] {
            assert_eq!(resolve(page, target).as_deref(), expected, "{target}");
        }
    }
}
