//! Whose certificates are trusted: the authorities that Mozilla trusts, and the operator's own.
//!
//! The system's store is never asked: the image has none, and the answer should not depend on
//! where the process runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Longest file of authorities, in bytes. A whole system's store is a twentieth of it.
const LONGEST: u64 = 4 << 20;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities is not there, or not for us.
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The file of authorities is more than anybody's authorities.
    #[error("{}: is longer than {LONGEST} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file of authorities has none.
    #[error("{}: has no certificate (expected PEM, with BEGIN CERTIFICATE)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate of the file cannot be used.
    #[error("{}: certificate {number} cannot be read: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Its place among the file's certificates, from 1.
        number: usize,
        /// What rustls said.
        reason: String,
    },
    /// rustls found its own parts not to fit.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// TLS 1.2 and 1.3 as a client, trusting the bundled authorities and those in `ca_file`, PEM.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(path) = ca_file else { return Ok(roots) };
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let length = file.take(LONGEST + 1).read_to_end(&mut pem).map_err(unreadable)?;
    if length as u64 > LONGEST {
        return Err(TlsError::TooLong { path: path.to_owned() });
    }
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        count += 1;
        let broken =
            |reason| TlsError::Certificate { path: path.to_owned(), number: count, reason };
        let certificate = certificate.map_err(|error| broken(error.to_string()))?;
        roots.add(certificate).map_err(|error| broken(error.to_string()))?;
    }
    if count == 0 {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::default();
        params.self_signed(&key).expect("a certificate").pem()
    }

    /// What `roots` says of a file with this in it.
    fn with(contents: impl AsRef<[u8]>) -> Result<usize, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("authorities.pem");
        std::fs::write(&path, contents).expect("a file");
        roots(Some(&path)).map(|roots| roots.len()).map_err(|error| {
            let text = error.to_string();
            let name = format!("{}: ", path.display());
            text.strip_prefix(&name).unwrap_or_else(|| panic!("no file named: {text}")).to_owned()
        })
    }

    #[test]
    fn the_operators_authorities_are_trusted_beside_the_bundled_ones() {
        let bundled = roots(None).expect("the bundled ones").len();
        assert!(bundled > 50, "{bundled}");
        let two = format!("The first:\n{}and the second:\r\n{}", authority(), authority());
        assert_eq!(with(two), Ok(bundled + 2));
    }

    #[test]
    fn a_file_without_usable_authorities_is_an_error_that_names_it() {
        let whole = authority();
        let cut = &whole[..whole.len() / 2];
        let other = whole.replace("CERTIFICATE", "PUBLIC KEY");
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let empty = "has no certificate (expected PEM, with BEGIN CERTIFICATE)";
        for (contents, expected) in [
            ("", empty),
            ("authority", empty),
            (other.as_str(), empty),
            (cut, "certificate 1 cannot be read: "),
            (nonsense, "certificate 1 cannot be read: "),
            (&format!("{whole}{nonsense}"), "certificate 2 cannot be read: "),
        ] {
            let error = with(contents).expect_err(contents);
            assert!(error.starts_with(expected), "{error}");
        }
        let long = vec![b'\n'; usize::try_from(LONGEST).unwrap() + 1];
        assert_eq!(with(long), Err("is longer than 4194304 bytes".to_owned()));
    }

    #[test]
    fn a_file_that_is_not_there_or_none_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().join("missing.pem"), folder.path().to_owned()] {
            let error = roots(Some(&path)).expect_err("no file").to_string();
            assert!(error.starts_with(&format!("{}: cannot be read: ", path.display())), "{error}");
        }
    }
}
