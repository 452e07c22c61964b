//! T29, at the NBD door: who may speak, what a stranger hears, real clients with certificates.

mod clients;
mod strangers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vpool_nbd::{Limits, Secure, Stream};
use vpool_nbd_wire::{
    BASE_ALLOCATION, ClientOption, Command, InfoQuery, MetaQuery, Mode, OptionCode,
    OptionErrorCode, OptionHeader,
};
use vpool_test_certificates::{Authority, Certified, Purpose, Validity};
use vpool_tls::{Identity, Tls, TlsError};

use crate::client::{Answer, Client, Content};
use crate::fake::{FakeDisk, Fixture};
use crate::transmission::pattern;

const MIB: usize = 1 << 20;

/// Nothing here takes longer, but what waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// TLS, as the door takes it.
#[derive(Debug)]
struct Keeper(Arc<Tls>);

impl Secure for Keeper {
    fn accept(&self, stream: Box<dyn Stream>) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async {
            let secured = self.0.accept(stream).await?;
            Ok(Box::new(secured) as Box<dyn Stream>)
        }
        .boxed()
    }
}

struct Door {
    fixture: Fixture,
    ca: Authority,
    tls: Arc<Tls>,
    address: SocketAddr,
}

fn identity(server: &Certified, clients: &Authority) -> Identity {
    let (certificate, key) = (server.certificate.as_bytes(), server.key.as_bytes());
    Identity::from_pem(certificate, key, clients.pem().as_bytes()).unwrap()
}

impl Door {
    async fn new(required: bool) -> Door {
        Door::with(required, Limits::default(), &["localhost", "127.0.0.1"]).await
    }

    async fn with(required: bool, limits: Limits, names: &[&str]) -> Door {
        let fixture = Fixture::with(FakeDisk::new(24 * MIB), limits);
        let ca = Authority::new("the grid").unwrap();
        let server = ca.sign(Purpose::Server, names, Validity::Now).unwrap();
        let tls = Tls::new(identity(&server, &ca));
        let any = "127.0.0.1:0".parse().unwrap();
        let keeper = Arc::new(Keeper(tls.clone()));
        let listening = fixture.server.listen_tls(any, keeper, required);
        let address = listening.await.unwrap();
        Door {
            fixture,
            ca,
            tls,
            address,
        }
    }

    async fn plain(&self) -> Client<TcpStream> {
        Client::greet(TcpStream::connect(self.address).await.unwrap()).await
    }

    /// A client whose certificate is good.
    async fn client(&self) -> Client<TlsStream<TcpStream>> {
        let own = self.ca.client().unwrap();
        let config = config(&self.ca, Some(&own));
        let plain = self.plain().await;
        start_tls(plain, config, "localhost").await.unwrap()
    }

    /// No disk was looked for, and no list of them made.
    fn nothing_leaked(&self) -> bool {
        let shelf = &self.fixture.shelf;
        shelf.attached.lock().unwrap().is_empty() && *shelf.listed.lock().unwrap() == 0
    }
}

/// A client that takes servers of `servers`.
fn config(servers: &Authority, own: Option<&Certified>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(servers.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![chain], key).unwrap()
        }
    })
}

async fn start_tls(
    mut plain: Client<TcpStream>,
    config: Arc<ClientConfig>,
    name: &str,
) -> io::Result<Client<TlsStream<TcpStream>>> {
    assert_eq!(plain.option(&ClientOption::StartTls).await, [Answer::Ack]);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let handshake = TlsConnector::from(config).connect(name, plain.stream);
    let stream = timeout(PATIENCE, handshake).await.expect("no hang")?;
    Ok(Client::negotiating(stream))
}

fn go(name: &str) -> ClientOption<'_> {
    ClientOption::Go(InfoQuery {
        name,
        requests: vec![],
    })
}

fn meta(name: &str) -> MetaQuery<'_> {
    MetaQuery {
        name,
        queries: vec![BASE_ALLOCATION],
    }
}

/// All that comes until the connection ends.
async fn rest<S: AsyncReadExt + Unpin>(stream: &mut S) -> (Vec<u8>, io::Result<usize>) {
    let mut all = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    (all, ended.expect("the server ends the connection"))
}

#[tokio::test]
async fn before_tls_nothing_is_said() {
    let door = Door::new(true).await;
    let mut client = door.plain().await;
    let options = [
        ClientOption::List,
        ClientOption::Info(InfoQuery {
            name: "d",
            requests: vec![],
        }),
        go("d"),
        go("nothing"),
        ClientOption::StructuredReply,
        ClientOption::ExtendedHeaders,
        ClientOption::ListMetaContext(meta("d")),
        ClientOption::SetMetaContext(meta("d")),
        ClientOption::Unknown(OptionCode(77)),
    ];
    for option in &options {
        let answers = client.option(option).await;
        assert_eq!(
            answers,
            [Answer::Error(OptionErrorCode::TLS_REQUIRED)],
            "{option:?}"
        );
    }
    // Nor is the data looked at, whatever it is.
    for length in [1_u32, 511, 512, 513, 60_000] {
        let code = OptionCode::GO;
        let mut bytes = OptionHeader { code, length }.encode().to_vec();
        bytes.resize(bytes.len() + usize::try_from(length).unwrap(), 0xff);
        client.stream.write_all(&bytes).await.unwrap();
        let answers = client.answers().await;
        assert_eq!(
            answers,
            Some(vec![Answer::Error(OptionErrorCode::TLS_REQUIRED)])
        );
    }
    assert_eq!(client.option(&ClientOption::Abort).await, [Answer::Ack]);
    assert!(client.is_closed().await);

    // An option that cannot be refused ends the connection without a byte.
    for option in [ClientOption::ExportName("d"), ClientOption::ExportName("")] {
        let mut client = door.plain().await;
        let mut bytes = Vec::new();
        option.encode(&mut bytes);
        client.stream.write_all(&bytes).await.unwrap();
        assert!(client.is_closed().await);
    }
    assert!(door.nothing_leaked());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_certificate_is_served() {
    let door = Door::new(true).await;
    for mode in [Mode::Simple, Mode::Structured, Mode::Extended] {
        let mut client = door.client().await;
        let listed = client.option(&ClientOption::List).await;
        let names = ["", "d"].map(|name| Answer::Server(name.to_owned()));
        assert_eq!(listed, [&names[..], &[Answer::Ack]].concat());
        client.choose(mode).await;
        let data = pattern(3 * MIB, 7);
        assert_eq!(client.write(0, 4096, &data).await, Content::Done);
        let read = client.read(4096, data.len() as u64).await;
        assert!(read == Content::Data(data), "{mode:?}");
        client.send(Command::Disconnect, 0, 0, 0).await;
        // It says good-bye, so that nobody between can have cut the connection.
        let (left, ended) = rest(&mut client.stream).await;
        assert!(left.is_empty() && ended.is_ok(), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_arrive_whole_at_a_client_that_takes_its_time() {
    const READS: u64 = 96;
    const LENGTH: u64 = 256 << 10;
    let door = Door::new(true).await;
    let mut client = door.client().await;
    client.choose(Mode::Structured).await;
    let data = pattern(24 * MIB, 3);
    for (index, part) in data.chunks(4 * MIB).enumerate() {
        let offset = (index * 4 * MIB) as u64;
        assert_eq!(client.write(0, offset, part).await, Content::Done);
    }
    // All of them asked for before the first is taken: the socket is full, and TLS too.
    let mut wanted = std::collections::HashMap::new();
    for index in 0..READS {
        let cookie = client.send(Command::Read, 0, index * LENGTH, LENGTH).await;
        wanted.insert(cookie, index * LENGTH);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    while !wanted.is_empty() {
        let (cookie, content) = client.reply().await.expect("the server answers");
        let at = usize::try_from(wanted.remove(&cookie).expect("once")).unwrap();
        let length = usize::try_from(LENGTH).unwrap();
        assert!(
            content == Content::Data(data[at..at + length].to_vec()),
            "at {at}"
        );
    }
}

#[tokio::test]
async fn what_was_chosen_in_plain_text_is_forgotten() {
    let door = Door::new(false).await;
    let mut plain = door.plain().await;
    assert_eq!(
        plain.option(&ClientOption::StructuredReply).await,
        [Answer::Ack]
    );
    let chosen = plain.option(&ClientOption::SetMetaContext(meta("d"))).await;
    assert_eq!(chosen.len(), 2);
    // With data it is malformed, and begins nothing.
    let code = OptionCode::STARTTLS;
    let bytes = OptionHeader { code, length: 1 }.encode();
    plain.stream.write_all(&bytes).await.unwrap();
    plain.stream.write_all(b"x").await.unwrap();
    let refused = Some(vec![Answer::Error(OptionErrorCode::INVALID)]);
    assert_eq!(plain.answers().await, refused);
    let own = door.ca.client().unwrap();
    let config = config(&door.ca, Some(&own));
    let mut client = start_tls(plain, config, "localhost").await.unwrap();
    let again = client.option(&ClientOption::StartTls).await;
    assert_eq!(again, [Answer::Error(OptionErrorCode::INVALID)]);
    // Contexts want structured replies, which nobody has chosen.
    let context = client
        .option(&ClientOption::SetMetaContext(meta("d")))
        .await;
    assert_eq!(context, [Answer::Error(OptionErrorCode::INVALID)]);
    client.choose(Mode::Extended).await;
    assert_eq!(client.write(0, 0, &[9; 512]).await, Content::Done);
    // Where TLS is not required, the others are served too.
    let mut plain = door.plain().await;
    plain.choose(Mode::Simple).await;
    assert_eq!(plain.read(0, 512).await, Content::Data(vec![9; 512]));
}

#[tokio::test]
async fn a_server_of_another_name_is_not_spoken_to() {
    let door = Door::with(true, Limits::default(), &["elsewhere.example"]).await;
    let own = door.ca.client().unwrap();
    let config = config(&door.ca, Some(&own));
    let plain = door.plain().await;
    let error = start_tls(plain, config.clone(), "localhost").await.err();
    let error = error.expect("it is another").to_string();
    assert!(error.contains("not valid for name"), "{error}");
    let plain = door.plain().await;
    assert!(start_tls(plain, config, "elsewhere.example").await.is_ok());
    assert!(door.nothing_leaked());
}

#[tokio::test]
async fn certificates_are_replaced_while_it_runs() {
    let door = Door::new(true).await;
    let mut before = door.client().await;
    before.choose(Mode::Simple).await;
    let next = Authority::new("the next").unwrap();
    door.tls.replace(identity(&next.server().unwrap(), &next));
    // Those that are there stay; new ones prove themselves to the new.
    assert_eq!(before.write(0, 0, &[1; 512]).await, Content::Done);
    let old = config(&door.ca, Some(&door.ca.client().unwrap()));
    assert!(
        start_tls(door.plain().await, old, "localhost")
            .await
            .is_err()
    );
    let new = config(&next, Some(&next.client().unwrap()));
    let mut after = start_tls(door.plain().await, new, "localhost")
        .await
        .unwrap();
    after.choose(Mode::Simple).await;
    assert_eq!(after.read(0, 512).await, Content::Data(vec![1; 512]));
}

#[tokio::test]
async fn files_that_are_no_identity_are_named() {
    let ca = Authority::new("the grid").unwrap();
    let (server, other) = (ca.server().unwrap(), ca.server().unwrap());
    let with = |certificate: &str, key: &str, clients: &str| {
        let texts = [certificate, key, clients].map(str::as_bytes);
        Identity::from_pem(texts[0], texts[1], texts[2]).err()
    };
    let (good, key, clients) = (&server.certificate, &server.key, ca.pem());
    assert!(with(good, key, clients).is_none());
    for bad in ["", "x", key, "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        let error = with(bad, key, clients);
        assert!(
            matches!(error, Some(TlsError::Certificate(_))),
            "{bad}: {error:?}"
        );
        let error = with(good, key, bad);
        assert!(matches!(error, Some(TlsError::Ca(_))), "{bad}: {error:?}");
    }
    for bad in ["", "x", good] {
        let error = with(good, bad, clients);
        assert!(matches!(error, Some(TlsError::Key(_))), "{bad}: {error:?}");
    }
    let error = with(good, &other.key, clients);
    assert!(matches!(error, Some(TlsError::Pair(_))), "{error:?}");
}
