//! Room for the bodies of calls: what all of them hold together has a bound.
//!
//! A body takes its whole length before any of it is read, and keeps it until its call is answered:
//! who waits for room holds none, so nobody waits for ever. Short bodies have room of their own and
//! never stand behind a long one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest body: a list of 200,000 companies with ids of 36 characters has room in it.
pub(crate) const LONGEST: usize = 8 << 20;
/// Bytes of all long bodies at once: the longest one, or several that are shorter.
pub(crate) const LONG_BODIES: usize = LONGEST;
/// Bytes of all others at once.
pub(crate) const SHORT_BODIES: usize = 1 << 20;
/// Bodies are short up to here.
const SHORT: u64 = 16 * 1024;
/// Longest wait for room.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Room for bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    long: Semaphore,
    short: Semaphore,
}

/// Why a body was not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoBody {
    /// It is longer than [`LONGEST`], or than its caller said.
    TooLong,
    /// It broke off.
    Broken,
    /// It did not arrive in time.
    Late,
    /// There was no room for it in time.
    NoRoom,
}

/// A body with its room, which is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) bytes: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    pub(super) fn new() -> Self {
        Self { long: Semaphore::new(LONG_BODIES), short: Semaphore::new(SHORT_BODIES) }
    }

    /// Receives a body of at most `longest` bytes, as soon as there is room.
    pub(super) async fn receive(
        &self,
        body: Incoming,
        longest: usize,
    ) -> Result<Received<'_>, NoBody> {
        // One whose length is not told may be as long as any.
        let told = body.size_hint().upper().unwrap_or(longest as u64);
        if told > longest as u64 {
            let _ = tokio::time::timeout(BODY_TIMEOUT, read(body, 0)).await;
            return Err(NoBody::TooLong);
        }
        let room = self.room(told).await?;
        match tokio::time::timeout(BODY_TIMEOUT, read(body, longest)).await {
            Ok(bytes) => Ok(Received { bytes: bytes?, _room: room }),
            Err(_) => Err(NoBody::Late),
        }
    }

    async fn room(&self, length: u64) -> Result<Option<SemaphorePermit<'_>>, NoBody> {
        if length == 0 {
            return Ok(None);
        }
        let all = if length > SHORT { &self.long } else { &self.short };
        let length = u32::try_from(length).map_err(|_| NoBody::TooLong)?;
        match tokio::time::timeout(ROOM_TIMEOUT, all.acquire_many(length)).await {
            Ok(room) => Ok(room.ok()),
            Err(_) => Err(NoBody::NoRoom),
        }
    }
}

/// All of a body. One that is too long is read to its end and dropped as it comes: who still sends
/// would not see the answer.
async fn read(mut body: Incoming, longest: usize) -> Result<Bytes, NoBody> {
    let mut bytes = Vec::new();
    let mut is_too_long = false;
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|_| NoBody::Broken)?.into_data() else { continue };
        is_too_long |= bytes.len() + part.len() > longest;
        if is_too_long {
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(&part);
        }
    }
    if is_too_long { Err(NoBody::TooLong) } else { Ok(Bytes::from(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_bodies_together_have_a_bound_and_short_ones_stand_behind_no_long_one() {
        let bodies = Bodies::new();
        let longest = bodies.room(LONGEST as u64).await.unwrap();
        assert_eq!(
            bodies.room(SHORT + 1).await.unwrap_err(),
            NoBody::NoRoom,
            "no room for a second"
        );
        let short = bodies.room(SHORT).await.unwrap();
        drop(longest);
        let mut held = Vec::new();
        while let Ok(room) = bodies.room(1 << 20).await {
            held.push(room);
        }
        assert_eq!(held.len(), 8);
        while let Ok(room) = bodies.room(SHORT).await {
            held.push(room);
        }
        assert_eq!(held.len() - 8 + 1, SHORT_BODIES / SHORT as usize);
        drop((held, short));
        assert!(bodies.room(LONGEST as u64).await.is_ok(), "room is given back");
        assert!(bodies.room(0).await.unwrap().is_none());
    }
}
