//! The client against peers on loopback that follow a script.

mod bodies;
mod connections;
mod deadlines;
mod heads;
mod memory;
mod pieces;
mod proxies;
mod secrecy;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::header::AUTHORIZATION;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Answer, Bounds, Client, ClientSettings, ProxySettings, SendError};

const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(10), body: 1 << 20 };

/// Every request carries it, so that every test of texts can look for it.
const KEY: &str = "sec_orange0123456789abcdef";

fn settings() -> ClientSettings {
    ClientSettings {
        ca_file: None,
        proxy: ProxySettings::default(),
        connect_timeout: Duration::from_secs(3),
    }
}

fn client() -> Client {
    Client::new(&settings()).expect("a client")
}

fn request(method: &str, url: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(url);
    let request = request.header(AUTHORIZATION, format!("Bearer {KEY}"));
    request.body(body.into()).expect("a request")
}

fn get(url: &str) -> Request<Bytes> {
    request("GET", url, "")
}

/// Runs the client's side and the peer's side of a test together. Longer than any deadline of
/// the tests, so that it ends only those that hang.
async fn play<A, B>(ours: impl Future<Output = A>, theirs: impl Future<Output = B>) -> (A, B) {
    let both = async { tokio::join!(ours, theirs) };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("both sides to end")
}

/// One request of a new client, one connection, and whatever the script does with it. The peer
/// is kept until the client has its answer.
async fn answered_by<F>(script: impl FnOnce(Peer<TcpStream>) -> F) -> Result<Answer, SendError>
where
    F: Future<Output = Peer<TcpStream>>,
{
    let listener = Listener::bind().await;
    let url = listener.url("/features");
    let (client, asked) = (client(), get(&url));
    let theirs = async {
        let mut peer = listener.accept().await;
        peer.request().await;
        script(peer).await
    };
    play(client.send(asked, BOUNDS), theirs).await.0
}

/// Like [`answered_by`], where the script is one text.
async fn answered_with(text: impl AsRef<[u8]>) -> Result<Answer, SendError> {
    answered_by(async |mut peer| {
        peer.send(text).await;
        peer
    })
    .await
}

struct Listener(TcpListener);

impl Listener {
    async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    async fn accept(&self) -> Peer<TcpStream> {
        Peer(self.0.accept().await.expect("a connection").0)
    }

    /// Whether nobody is waiting to be accepted.
    fn nobody_waits(self) -> bool {
        let listener = self.0.into_std().expect("a listener");
        listener.accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A port that is taken, so that nobody else gets it, and where nobody listens.
struct ClosedPort(TcpSocket);

impl ClosedPort {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }
}

/// The other end of a connection.
struct Peer<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The head of the next request, and its body if `Content-Length` says that there is one.
    async fn request(&mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            text.push(char::from(self.0.read_u8().await.expect("more of a head")));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a length"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("a body");
        text + &String::from_utf8(body).expect("text")
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("somebody who reads");
        self.0.flush().await.expect("somebody who reads");
    }

    async fn answer(&mut self, body: &str) {
        self.send(ok(body)).await;
    }

    /// Waits until the client has closed the connection; nothing more may come.
    async fn ended(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too: the client leaves what it did not want unread.
        let _ = self.0.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

/// An answer with a length.
fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
