//! Bodies that are the same for everybody, made once per publish.

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::HeaderValue;

/// A body with its tag and, a little later, its compressed form.
#[derive(Debug)]
pub struct PreparedBody {
    plain: Bytes,
    etag: HeaderValue,
    /// Boxed: most bodies are too short to have one.
    gzip: OnceLock<Option<Box<(Bytes, HeaderValue)>>>,
}

/// Shorter bodies fit one packet: compressing them helps nobody.
const WORTH_COMPRESSING: usize = 1_400;

impl PreparedBody {
    /// `tag` must change exactly when `body` does.
    pub fn new(body: Bytes, tag: u64) -> Self {
        Self { plain: body, etag: quoted(&format!("{tag:016x}")), gzip: OnceLock::new() }
    }

    /// Makes the compressed form. Called after the body is published: compressing a large document
    /// must not hold up the change in it.
    pub fn compress(&self) {
        self.gzip.get_or_init(|| {
            if self.plain.len() < WORTH_COMPRESSING {
                return None;
            }
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&self.plain).ok()?;
            let gzip = Bytes::from(encoder.finish().ok()?);
            let tag = self.etag.to_str().ok()?.trim_matches('"');
            let tagged = || Box::new((gzip.clone(), quoted(&format!("{tag}-gzip"))));
            (gzip.len() < self.plain.len()).then(tagged)
        });
    }

    /// The body as it is.
    pub fn plain(&self) -> (&Bytes, &HeaderValue) {
        (&self.plain, &self.etag)
    }

    /// The compressed body, once there is one and it is shorter.
    pub fn gzip(&self) -> Option<(&Bytes, &HeaderValue)> {
        self.gzip.get()?.as_deref().map(|(body, etag)| (body, etag))
    }
}

fn quoted(tag: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_compressed_form_is_the_same_body_under_its_own_tag() {
        let text = "burgee ".repeat(1_000);
        let body = PreparedBody::new(Bytes::from(text.clone()), 7);
        assert!(body.gzip().is_none(), "not before it is asked for");
        body.compress();
        let (gzip, etag) = body.gzip().unwrap();
        let mut inflated = String::new();
        flate2::read::GzDecoder::new(&gzip[..]).read_to_string(&mut inflated).unwrap();
        assert_eq!(inflated, text);
        assert_ne!(etag, body.plain().1);
    }

    #[test]
    fn short_bodies_stay_plain() {
        let body = PreparedBody::new(Bytes::from_static(b"{}"), 7);
        body.compress();
        assert!(body.gzip().is_none());
    }
}
