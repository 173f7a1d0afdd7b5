//! Patience with clients of the ports that are not made for the public: whoever leaves its answers
//! unread would hold one of their few connections for good.
//!
//! Connections of the public port have a patience of their own, which costs a request nothing
//! ([`super::connection`]).

use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::TimeoutStream;

/// Longest wait for a client to take some of what it is sent.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream whose writes fail once nothing was taken for [`WRITE_TIMEOUT`].
pub fn bounded<S: AsyncRead + AsyncWrite>(stream: S) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}
