//! TLS with a private authority, and without.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::upstream::{FailureKind, Phase};

/// A certificate authority of the test's own.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("An authority of tests")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), folder }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Somebody with a certificate for `name`.
    pub(super) fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a configuration");
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts this authority too.
    pub(super) fn client(&self) -> Client {
        Client::new(&ClientSettings { ca_file: Some(self.file()), ..settings() }).expect("a client")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The same peer behind TLS.
    pub(super) async fn secured(self, acceptor: &TlsAcceptor) -> io::Result<Peer<TlsStream<S>>> {
        acceptor.accept(self.0).await.map(Peer)
    }
}

/// Asks a peer with a certificate for `name` at its address, which is 127.0.0.1.
async fn asked_over_tls(
    client: &Client,
    authority: &Authority,
    name: &str,
) -> Result<Answer, SendError> {
    let listener = Listener::bind().await;
    let acceptor = authority.acceptor(name);
    let asked = get(&format!("https://{}/features", listener.address()));
    let (answer, ()) = play(client.send(asked, BOUNDS), async {
        if let Ok(mut peer) = listener.accept().await.secured(&acceptor).await {
            peer.request().await;
            peer.answer("over TLS").await;
        }
    })
    .await;
    answer
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_its_file_is_given() {
    let authority = Authority::new();
    let answer = asked_over_tls(&authority.client(), &authority, "127.0.0.1").await;
    assert_eq!(answer.expect("an answer").body, "over TLS");
}

#[tokio::test]
async fn an_authority_that_nobody_named_is_not_trusted() {
    let (authority, other) = (Authority::new(), Authority::named("Another"));
    for client in [client(), other.client()] {
        let error = asked_over_tls(&client, &authority, "127.0.0.1").await.expect_err("no TLS");
        assert_eq!(error.kind(), FailureKind::Network);
        let text = error.to_string();
        assert!(text.starts_with("no TLS with 127.0.0.1:"), "{text}");
        assert!(text.contains("UnknownIssuer"), "{text}");
        assert!(text.ends_with("(a private authority has to be in the CA file)"), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_for_somebody_else_is_refused() {
    let authority = Authority::new();
    let answer = asked_over_tls(&authority.client(), &authority, "other.example").await;
    let text = answer.expect_err("no TLS").to_string();
    assert!(text.contains("other.example"), "{text}");
}

#[tokio::test]
async fn a_peer_without_tls_is_said() {
    let listener = Listener::bind().await;
    let asked = get(&format!("https://{}/", listener.address()));
    let client = client();
    let (answer, _peer) = play(client.send(asked, BOUNDS), async {
        let mut peer = listener.accept().await;
        peer.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        peer
    })
    .await;
    let error = answer.expect_err("no TLS");
    assert!(matches!(error, SendError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn over_tls_a_body_without_a_length_that_is_cut_off_is_noticed() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("127.0.0.1");
    let client = authority.client();
    for whole in [true, false] {
        let listener = Listener::bind().await;
        let asked = get(&format!("https://{}/", listener.address()));
        let (answer, ()) = play(client.send(asked, BOUNDS), async {
            let mut peer = listener.accept().await.secured(&acceptor).await.expect("TLS");
            peer.request().await;
            peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na body").await;
            if whole {
                // Says that it is the end; otherwise only TCP does.
                peer.0.shutdown().await.expect("an open connection");
            }
        })
        .await;
        if whole {
            assert_eq!(answer.expect("an answer").body, "a body");
        } else {
            assert_eq!(answer.expect_err("cut off"), SendError::BrokenOff(Phase::Body));
        }
    }
}

#[tokio::test]
async fn connections_with_tls_are_kept_too() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("127.0.0.1");
    let listener = Listener::bind().await;
    let url = format!("https://{}/", listener.address());
    let client = authority.client();
    let ours = async {
        client.send(get(&url), BOUNDS).await.expect("an answer");
        client.send(get(&url), BOUNDS).await.expect("an answer").body
    };
    let (body, _peer) = play(ours, async {
        let mut peer = listener.accept().await.secured(&acceptor).await.expect("TLS");
        for body in ["first", "second"] {
            peer.request().await;
            peer.answer(body).await;
        }
        peer
    })
    .await;
    assert_eq!(body, "second");
    assert!(listener.nobody_waits());
}
