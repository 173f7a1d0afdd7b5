//! The head of a request, however it was read.

use hyper::Method;
use hyper::http::request::Parts;

use super::head_fields::HeadFields;
use super::routing::{self, Route};

/// All that answers depend on, save the body.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// What is asked for.
    pub route: Route,
    /// How.
    pub method: &'a Method,
    /// The path behind the base path; empty outside of it.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// Length of path and query, as they were sent.
    pub target_length: usize,
    /// The fields that count.
    pub fields: HeadFields<'a>,
}

impl<'a> RequestHead<'a> {
    /// The head that hyper read.
    pub fn of(base_path: &str, head: &'a Parts) -> Self {
        let (path, query) = (head.uri.path(), head.uri.query());
        let target_length = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        let fields = HeadFields::of(&head.headers);
        Self::new(base_path, &head.method, (path, query), target_length, fields)
    }

    /// The head of a request for a path, with a query or without.
    #[inline]
    pub fn new(
        base_path: &str,
        method: &'a Method,
        (path, query): (&'a str, Option<&'a str>),
        target_length: usize,
        fields: HeadFields<'a>,
    ) -> Self {
        let (route, path) = match path.strip_prefix(base_path) {
            Some(path) => (routing::find(path), path),
            None => (Route::OUTSIDE, ""),
        };
        Self { route, method, path, query, target_length, fields }
    }

    /// Whether the body is for us to read; else it must not have one.
    pub fn reads_body(&self) -> bool {
        self.route.reads_body(self.method)
    }
}
