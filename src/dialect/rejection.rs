//! The only errors that a client sees.

use std::borrow::Cow;

/// Why a request is not answered. Words from inside never get in here: a message is either fixed
/// or names what the client itself sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No key, or one that belongs to no environment. The two are not told apart.
    UnknownKey,
    /// The key is known but may not be used so.
    Forbidden(Forbidden),
    /// The request cannot be understood; what is wrong with it.
    Invalid(Cow<'static, str>),
    /// Where the body ends cannot be told for sure; why.
    Framing(&'static str),
    /// No such path.
    UnknownPath,
    /// The path exists for other methods: the value of `Allow`.
    Method(&'static str),
    /// The body is longer than this many bytes.
    BodyTooLarge(usize),
    /// The URL is longer than this many bytes.
    UrlTooLong(usize),
    /// The head is longer, or has more fields, than is read.
    HeadTooLarge,
    /// A body with `Content-Encoding`.
    EncodedBody,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The environment has no data yet.
    NotReady,
    /// The data is older than the environment allows.
    Stale,
    /// Too much is being received at once.
    Overloaded,
    /// As many clients are on event streams as may be; whole seconds after which another try makes
    /// sense, another number for each client.
    TooManyStreams(u32),
    /// This call needs the vendor's service, and this edge does not forward it.
    NotForwarded,
    /// The environment's rules are another vendor's, and not all of them have an exact equal here:
    /// which, and what to do.
    Untranslated(Box<str>),
    /// The body or a parameter is not what the call takes: where, what, and the kind of fault, in
    /// the words of Flagsmith's proxies.
    Unprocessable(Fault),
    /// There is no such flag, or the key may not see it.
    UnknownFlag(Box<str>),
    /// The flag's definition cannot be evaluated.
    BrokenFlag,
    /// A fault of ours.
    Internal,
}

/// What is wrong with one place of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From the outside in: `body` or `query`, names of members, numbers of elements.
    pub place: Vec<Cow<'static, str>>,
    /// For people.
    pub message: Cow<'static, str>,
    /// For machines.
    pub kind: &'static str,
}

/// Ways in which a known key may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// A publishable key where a secret one is required.
    SecretRequired,
    /// A secret key in a URL, where logs and browser histories keep it.
    SecretInUrl,
}

impl Rejection {
    /// Value of the metric label `reason`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::Forbidden(Forbidden::SecretRequired) => "secret_required",
            Self::Forbidden(Forbidden::SecretInUrl) => "secret_in_url",
            Self::Invalid(_) => "invalid",
            Self::Framing(_) => "framing",
            Self::UnknownPath => "unknown_path",
            Self::Method(_) => "method",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::UrlTooLong(_) => "url_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::EncodedBody => "encoded_body",
            Self::BodyTimeout => "body_timeout",
            Self::NotReady => "not_ready",
            Self::Stale => "stale",
            Self::Overloaded => "overloaded",
            Self::TooManyStreams(_) => "streams",
            Self::NotForwarded => "not_forwarded",
            Self::Untranslated(_) => "untranslated",
            Self::Unprocessable(_) => "unprocessable",
            Self::UnknownFlag(_) => "unknown_flag",
            Self::BrokenFlag => "broken_flag",
            Self::Internal => "internal",
        }
    }

    /// Every value of [`Rejection::label`].
    pub const LABELS: [&'static str; 22] = [
        "unknown_key",
        "secret_required",
        "secret_in_url",
        "invalid",
        "framing",
        "unknown_path",
        "method",
        "body_too_large",
        "url_too_long",
        "head_too_large",
        "encoded_body",
        "body_timeout",
        "not_ready",
        "stale",
        "overloaded",
        "streams",
        "not_forwarded",
        "untranslated",
        "unprocessable",
        "unknown_flag",
        "broken_flag",
        "internal",
    ];

    /// The status that most protocols use; a dialect may have its own.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownKey => 401,
            Self::Forbidden(_) => 403,
            Self::Invalid(_) | Self::Framing(_) | Self::BrokenFlag => 400,
            Self::UnknownPath | Self::UnknownFlag(_) => 404,
            Self::Method(_) => 405,
            Self::BodyTimeout => 408,
            Self::BodyTooLarge(_) => 413,
            Self::UrlTooLong(_) => 414,
            Self::EncodedBody => 415,
            Self::HeadTooLarge => 431,
            Self::Unprocessable(_) => 422,
            Self::Internal => 500,
            Self::Untranslated(_) => 501,
            Self::NotReady
            | Self::Stale
            | Self::Overloaded
            | Self::TooManyStreams(_)
            | Self::NotForwarded => 503,
        }
    }

    /// For the client's developer.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::UnknownKey => "no key was sent, or none that belongs to an environment here",
            Self::Forbidden(Forbidden::SecretRequired) => "this call needs a secret key",
            Self::Forbidden(Forbidden::SecretInUrl) => {
                "a secret key must not be sent in a URL; it should be replaced"
            }
            Self::Invalid(what) => return what.clone(),
            Self::Framing(what) => what,
            Self::UnknownPath => "there is nothing at this path",
            Self::Method(allowed) => {
                return format!("this path answers only {allowed}").into();
            }
            Self::BodyTooLarge(limit) => {
                return format!("the body is longer than {limit} bytes").into();
            }
            Self::UrlTooLong(limit) => {
                return format!("the URL is longer than {limit} bytes").into();
            }
            Self::HeadTooLarge => "the head of the request is too large",
            Self::EncodedBody => "bodies with a Content-Encoding are not read",
            Self::BodyTimeout => "the body did not arrive in time",
            Self::NotReady => "the environment has no flags yet",
            Self::Stale => "the flags are older than this environment allows",
            Self::Overloaded => "too many bodies are being received",
            Self::TooManyStreams(_) => "too many clients are on event streams",
            Self::NotForwarded => "this edge does not forward this call to the vendor's service",
            Self::Untranslated(what) => return what.to_string().into(),
            Self::Unprocessable(fault) => return fault.message.clone(),
            Self::UnknownFlag(name) => return format!("feature '{name}' not found").into(),
            Self::BrokenFlag => "the definition of this flag cannot be evaluated",
            Self::Internal => "internal error",
        })
    }

    /// Whole seconds after which another try makes sense.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Overloaded => Some(1),
            Self::NotReady | Self::Stale => Some(5),
            Self::NotForwarded => Some(60),
            Self::TooManyStreams(seconds) => Some(*seconds),
            _ => None,
        }
    }

    /// Whether the rest of the connection cannot be trusted or is not worth reading.
    pub fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey
                | Self::Framing(_)
                | Self::BodyTooLarge(_)
                | Self::BodyTimeout
                | Self::EncodedBody
                | Self::HeadTooLarge
                | Self::Overloaded
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_listed() {
        let all = [
            Rejection::UnknownKey,
            Rejection::Forbidden(Forbidden::SecretRequired),
            Rejection::Forbidden(Forbidden::SecretInUrl),
            Rejection::Invalid("".into()),
            Rejection::Framing(""),
            Rejection::UnknownPath,
            Rejection::Method(""),
            Rejection::BodyTooLarge(0),
            Rejection::UrlTooLong(0),
            Rejection::HeadTooLarge,
            Rejection::EncodedBody,
            Rejection::BodyTimeout,
            Rejection::NotReady,
            Rejection::Stale,
            Rejection::Overloaded,
            Rejection::TooManyStreams(1),
            Rejection::NotForwarded,
            Rejection::Untranslated("".into()),
            Rejection::Unprocessable(Fault { place: vec![], message: "".into(), kind: "" }),
            Rejection::UnknownFlag("".into()),
            Rejection::BrokenFlag,
            Rejection::Internal,
        ];
        assert_eq!(all.map(|rejection| rejection.label()), Rejection::LABELS);
    }
}
