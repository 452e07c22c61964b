//! T29, at the NBD door: who may speak, what a stranger hears, real clients with certificates.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
use crate::real::{has, run, text};
use crate::transmission::pattern;

const MIB: usize = 1 << 20;

/// Nothing here takes longer, but what waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than may be strangers at a time.
const CROWD: usize = 200;

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

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let door = Door::new(true).await;
    let other = Authority::new("another grid").unwrap();
    let sign = |purpose, validity| door.ca.sign(purpose, &["x.example"], validity).unwrap();
    let table = [
        ("no certificate", None),
        ("of another CA", Some(other.client().unwrap())),
        ("expired", Some(sign(Purpose::Client, Validity::Past))),
        (
            "not good yet",
            Some(sign(Purpose::Client, Validity::Future)),
        ),
        ("a server's", Some(sign(Purpose::Server, Validity::Now))),
    ];
    for (what, own) in table {
        let config = config(&door.ca, own.as_ref());
        let started = start_tls(door.plain().await, config, "localhost").await;
        // In TLS 1.3 the client is done before the server has looked at its certificate.
        let Ok(mut client) = started else { continue };
        let mut bytes = Vec::new();
        ClientOption::List.encode(&mut bytes);
        // The server may have gone already.
        let _sent = client.stream.write_all(&bytes).await;
        let (heard, ended) = rest(&mut client.stream).await;
        assert!(heard.is_empty(), "{what}: {heard:?}");
        assert!(ended.is_err(), "{what}: it ends with an alert");
    }
    assert!(door.nothing_leaked());
    // And the same, with a good one, is not.
    let listed = door.client().await.option(&ClientOption::List).await;
    assert_eq!(listed.len(), 3);
}

#[tokio::test]
async fn old_versions_are_refused() {
    let door = Door::new(true).await;
    // TLS 1.0, 1.1 and 1.2, as clients of their time begin.
    for minor in [1, 2, 3] {
        let mut client = door.plain().await;
        assert_eq!(client.option(&ClientOption::StartTls).await, [Answer::Ack]);
        let mut hello = vec![3, minor];
        hello.extend_from_slice(&[7; 32]);
        hello.push(0);
        let suites: [u8; 8] = [0, 6, 0xc0, 0x2f, 0x00, 0x9c, 0x00, 0x2f];
        hello.extend_from_slice(&suites);
        hello.extend_from_slice(&[1, 0, 0, 24]);
        // Signatures, groups, points: all but the versions that a client of today lists.
        hello.extend_from_slice(&[0, 13, 0, 6, 0, 4, 4, 3, 4, 1]);
        hello.extend_from_slice(&[0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0]);
        let length = u8::try_from(hello.len()).unwrap();
        let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
        client.stream.write_all(&record).await.unwrap();
        let (heard, _ended) = rest(&mut client.stream).await;
        // An alert, fatal: protocol_version.
        assert_eq!(
            (heard[0], &heard[5..]),
            (21, &[2, 70][..]),
            "TLS 1.{}",
            minor - 1
        );
    }
    assert!(door.nothing_leaked());
}

#[tokio::test]
async fn plain_text_behind_starttls_is_not_taken_for_more() {
    let door = Door::new(true).await;
    let mut both = Vec::new();
    ClientOption::StartTls.encode(&mut both);
    let ack = 20;
    // Somebody between lays options into the pipe, for the server to take as the client's.
    for behind in [ClientOption::List, go("d"), ClientOption::StartTls] {
        let mut bytes = both.clone();
        behind.encode(&mut bytes);
        let mut client = door.plain().await;
        client.stream.write_all(&bytes).await.unwrap();
        let (heard, _ended) = rest(&mut client.stream).await;
        // What follows the acknowledgement is an alert of TLS, and nothing of NBD.
        assert!(
            heard.len() == ack || heard[ack] == 21,
            "{behind:?}: {heard:?}"
        );
        assert!(heard.len() < ack + 16, "{behind:?}: {heard:?}");
    }
    // The same with the client's own, good handshake behind it.
    let mut client = door.plain().await;
    ClientOption::List.encode(&mut both);
    client.stream.write_all(&both).await.unwrap();
    assert_eq!(client.answers().await, Some(vec![Answer::Ack]));
    let own = door.ca.client().unwrap();
    let connector = TlsConnector::from(config(&door.ca, Some(&own)));
    let name = ServerName::try_from("localhost").unwrap();
    assert!(connector.connect(name, client.stream).await.is_err());
    assert!(door.nothing_leaked());
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
        assert!(
            matches!(error, Some(TlsError::ClientCa(_))),
            "{bad}: {error:?}"
        );
    }
    for bad in ["", "x", good] {
        let error = with(good, bad, clients);
        assert!(matches!(error, Some(TlsError::Key(_))), "{bad}: {error:?}");
    }
    let error = with(good, &other.key, clients);
    assert!(matches!(error, Some(TlsError::Pair(_))), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_strangers_keeps_others_waiting_for_so_long_only() {
    let limits = Limits {
        handshake_time_max: Duration::from_secs(2),
        ..Limits::default()
    };
    let door = Door::with(true, limits, &["localhost"]).await;
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for index in 0..CROWD {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        if index % 2 == 0 {
            // Half of them begin a handshake, and say no more.
            let mut bytes = vec![0, 0, 0, 3];
            ClientOption::StartTls.encode(&mut bytes);
            stream.write_all(&bytes).await.unwrap();
        }
        crowd.push(stream);
    }
    // Who comes by another door is not kept waiting.
    let mut local = Client::open(&door.fixture.socket, Mode::Simple).await;
    assert_eq!(local.write(0, 0, &[5; 512]).await, Content::Done);
    assert!(door.fixture.server.connections() < CROWD);
    let mut client = timeout(PATIENCE, door.client()).await.expect("in its turn");
    client.choose(Mode::Simple).await;
    assert_eq!(client.read(0, 512).await, Content::Data(vec![5; 512]));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for stream in &mut crowd {
        let (heard, _ended) = rest(stream).await;
        assert!(
            heard.len() <= 18 + 20,
            "the greeting, and perhaps one answer"
        );
    }
}

/// What real clients need: a directory for GnuTLS.
fn credentials(door: &Door, own: &Certified) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    door.ca.write_client(folder.path(), own).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_comes_with_certificates() {
    if !has("qemu-img", &["--version"]).await || !has("qemu-io", &["--version"]).await {
        return;
    }
    let door = Door::new(true).await;
    let good = credentials(&door, &door.ca.client().unwrap());
    let object = |folder: &Path| {
        let folder = text(folder);
        format!("tls-creds-x509,id=t,endpoint=client,dir={folder},verify-peer=yes")
    };
    let port = door.address.port();
    let image = format!("driver=nbd,host=127.0.0.1,port={port},export=d,tls-creds=t");
    let object = object(good.path());
    let info = run(
        "qemu-img",
        &["info", "--object", &object, "--image-opts", &image],
    )
    .await;
    assert!(info.contains("24 MiB"), "{info}");
    let io = [
        "--object",
        &object,
        "--image-opts",
        &image,
        "-c",
        "write -P 0x5a 1M 3M",
    ];
    run(
        "qemu-io",
        &[&io[..], &["-c", "read -P 0x5a 1M 3M", "-c", "flush"]].concat(),
    )
    .await;

    // Without certificates, and with one that has expired.
    let plain = format!("nbd://127.0.0.1:{port}/d");
    let past = door
        .ca
        .sign(Purpose::Client, &["x"], Validity::Past)
        .unwrap();
    // QEMU itself refuses to use it, unless it is told not to look.
    let old = credentials(&door, &past);
    let old = format!(
        "tls-creds-x509,id=t,endpoint=client,dir={},sanity-check=no",
        text(old.path())
    );
    for arguments in [
        vec!["info", &plain],
        vec!["info", "--object", &old, "--image-opts", &image],
    ] {
        let output = tokio::process::Command::new("qemu-img")
            .args(&arguments)
            .output();
        let output = timeout(PATIENCE, output).await.expect("no hang").unwrap();
        assert!(!output.status.success(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libnbd_comes_with_certificates() {
    if !has("nbdinfo", &["--version"]).await || !has("nbdcopy", &["--version"]).await {
        return;
    }
    let door = Door::new(true).await;
    let good = credentials(&door, &door.ca.client().unwrap());
    let at = format!("127.0.0.1:{}", door.address.port());
    let uri = format!("nbds://{at}/d?tls-certificates={}", text(good.path()));
    let info = run("nbdinfo", &["--json", &uri]).await;
    assert!(info.contains("\"TLS\": true"), "{info}");
    let list = run("nbdinfo", &["--list", &uri]).await;
    assert_eq!(list.matches("export=").count(), 2, "{list}");

    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let bytes = pattern(24 * MIB, 1);
    std::fs::write(&there, &bytes).unwrap();
    run("nbdcopy", &["--flush", text(&there), &uri]).await;
    let several = ["--connections=4", "--requests=64", "--request-size=65536"];
    run("nbdcopy", &[&several[..], &[&uri, text(&back)]].concat()).await;
    assert!(std::fs::read(&back).unwrap() == bytes);

    // Somebody between who strips TLS looks like a server without it.
    let any = "127.0.0.1:0".parse().unwrap();
    let stripped = door.fixture.server.listen_tcp(any).await.unwrap();
    let stripped = format!("nbds://{stripped}/d?tls-certificates={}", text(good.path()));

    let seen = *door.fixture.shelf.listed.lock().unwrap();
    let other = Authority::new("another").unwrap();
    let bad = credentials(&door, &other.client().unwrap());
    for uri in [
        format!("nbd://{at}/d"),
        format!("nbds://{at}/d?tls-certificates={}", text(bad.path())),
        stripped,
    ] {
        let output = tokio::process::Command::new("nbdinfo")
            .args(["--list", &uri])
            .output();
        let output = timeout(PATIENCE, output).await.expect("no hang").unwrap();
        assert!(!output.status.success(), "{uri}");
    }
    assert_eq!(*door.fixture.shelf.listed.lock().unwrap(), seen);
}
