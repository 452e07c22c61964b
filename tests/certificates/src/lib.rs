//! Certificates for tests, good and bad ones.
//!
//! Owns: authorities and what they sign. Does not own: what is done with it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Who signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be a server.
    Server,
    /// To be a client.
    Client,
}

/// When a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// In January 2020.
    Past,
    /// From the year 3000 on.
    Future,
}

/// A certificate with its key, in PEM.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("make a key")?;
        let pem = params.self_signed(&key).context("sign itself")?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate for hosts or addresses; for a client they are no more than names.
    pub fn sign(
        &self,
        purpose: Purpose,
        names: &[&str],
        validity: Validity,
    ) -> anyhow::Result<Certified> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let common = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).context("take the names")?;
        params.distinguished_name.push(DnType::CommonName, common);
        params.use_authority_key_identifier_extension = true;
        // QEMU 7 refuses to use a certificate without the latter, which no key exchange of TLS 1.3 needs.
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let (from, to) = match validity {
            Validity::Now => ((2020, 1, 1), (3000, 1, 1)),
            Validity::Past => ((2020, 1, 1), (2020, 2, 1)),
            Validity::Future => ((3000, 1, 1), (3001, 1, 1)),
        };
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign")?;
        Ok(Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// A client's certificate that is good.
    pub fn client(&self) -> anyhow::Result<Certified> {
        self.sign(Purpose::Client, &["client.example"], Validity::Now)
    }

    /// A certificate for a server on this host that is good.
    pub fn server(&self) -> anyhow::Result<Certified> {
        self.sign(Purpose::Server, &["localhost", "127.0.0.1"], Validity::Now)
    }

    /// Writes the files of a client as QEMU and libnbd look for them in a directory.
    pub fn write_client(&self, directory: &Path, client: &Certified) -> anyhow::Result<()> {
        fs::create_dir_all(directory).context("make the directory")?;
        for (name, text) in [
            ("ca-cert.pem", &self.pem),
            ("client-cert.pem", &client.certificate),
            ("client-key.pem", &client.key),
        ] {
            fs::write(directory.join(name), text).with_context(|| format!("write {name}"))?;
        }
        Ok(())
    }
}
