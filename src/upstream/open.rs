//! Answers that are read while they are made, such as event streams: a head, then pieces.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT_ENCODING, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};

use super::body::Coding;
use super::{Client, EncodingError, Phase, SendError};

/// An answer of which only the head has come.
pub struct Opened {
    /// Any status: redirects and refusals are answers too.
    pub status: StatusCode,
    /// All fields.
    pub headers: HeaderMap,
    /// The body, which nobody has read yet.
    pub pieces: Pieces,
}

/// A body that goes on for as long as it is read. Dropping it closes the connection, unless it had
/// ended.
#[derive(Debug)]
pub struct Pieces(Incoming);

impl Pieces {
    /// The next piece, as large as it came: at most as much as is read at once, 64 KiB. None at the
    /// end. An error when nothing came `within` this time.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, SendError> {
        let next = async {
            while let Some(frame) = self.0.frame().await {
                let frame = frame.map_err(|error| SendError::exchange(&error, Phase::Body))?;
                // Trailers say nothing that is needed here.
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
            Ok(None)
        };
        let silent = |_| Err(SendError::Silent { after: within });
        tokio::time::timeout(within, next).await.unwrap_or_else(silent)
    }
}

impl Client {
    /// Sends `request` as [`Client::send`] does and gives its answer as soon as there is a head,
    /// which has to be there before `timeout` is over. The body is asked for as it is: a compressed
    /// one would come in pieces that mean nothing, and is an error.
    pub async fn open(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Opened, SendError> {
        let mut deadline = pin!(tokio::time::sleep(timeout));
        let missed = |phase| SendError::Timeout { phase, after: timeout };
        let mut request = self.complete(request)?;
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let response = self.head(request, deadline.as_mut(), missed).await?;
        let (head, body) = response.into_parts();
        if !body.is_end_stream() && Coding::of(&head.headers)? == Coding::Gzip {
            return Err(EncodingError::Unsupported("gzip").into());
        }
        Ok(Opened { status: head.status, headers: head.headers, pieces: Pieces(body) })
    }
}

/// Status only: fields of vendors hold keys.
impl fmt::Debug for Opened {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Opened").field("status", &self.status).finish_non_exhaustive()
    }
}
