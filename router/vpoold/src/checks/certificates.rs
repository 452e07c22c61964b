//! How long certificates are good for.
//!
//! Owns: the files that the daemon knows: those of the NBD door and the CA files of pools. Does not own:
//! what they are good for besides (`vpool-tls`, the stores).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use vpool_api::{Check, CheckState, Location, Pool, time};
use x509_parser::pem::Pem;

use crate::config::Settings;

/// More than any file of certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

const DAY_S: i64 = 24 * 3600;

/// Time enough to have another one made.
const SOON_S: i64 = 30 * DAY_S;

/// Looks at all of them.
pub(super) fn checks(settings: &Settings, pools: &[Pool]) -> Vec<Check> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let mut files: BTreeSet<(&str, PathBuf)> = BTreeSet::new();
    if let Some(tls) = &settings.nbd_tls {
        files.insert(("nbd_certificate", tls.certificate.clone()));
        files.insert(("nbd_client_ca", tls.client_ca.clone()));
    }
    if let Some(tls) = &settings.api_tls {
        files.insert(("api_certificate", tls.certificate.clone()));
        files.insert(("api_client_ca", tls.client_ca.clone()));
    }
    files.extend(pools.iter().filter_map(|pool| match &pool.location {
        Location::S3 { ca_file, .. } | Location::Swift { ca_file, .. } => {
            ca_file.as_ref().map(|file| ("pool_ca", file.into()))
        }
        Location::Fs { .. } => None,
    }));
    files
        .iter()
        .map(|(code, path)| check(code, path, now))
        .collect()
}

fn check(code: &str, path: &Path, now: i64) -> Check {
    let shown = path.display();
    let remedy = "put new certificates there in time, then: systemctl reload vpoold";
    let pem = match read(path) {
        Ok(pem) => pem,
        Err(error) => {
            let detail = format!("{shown} cannot be read: {error}");
            return Check::new(code, CheckState::Wrong, detail).with_remedy("see who may read it");
        }
    };
    let times = match times(&pem) {
        Ok(times) => times,
        Err(why) => {
            let check = Check::new(code, CheckState::Wrong, format!("{shown}: {why}"));
            return check.with_remedy("it holds certificates, in PEM");
        }
    };
    let from = times
        .iter()
        .map(|(from, _)| *from)
        .max()
        .unwrap_or(i64::MIN);
    let until = times
        .iter()
        .map(|(_, until)| *until)
        .min()
        .unwrap_or(i64::MAX);
    let at = |seconds: i64| {
        let ms = u64::try_from(seconds.max(0))
            .unwrap_or(0)
            .saturating_mul(1000);
        time::rfc3339(ms)
    };
    if now < from {
        let detail = format!("{shown} is not good before {}", at(from));
        Check::new(code, CheckState::Wrong, detail).with_remedy("set the clock, or wait")
    } else if now > until {
        let detail = format!("{shown} is not good since {}", at(until));
        Check::new(code, CheckState::Wrong, detail).with_remedy(remedy)
    } else if until - now < SOON_S {
        let days = (until - now) / DAY_S;
        let detail = format!(
            "{shown} is good for {days} more day(s), until {}",
            at(until)
        );
        Check::new(code, CheckState::Warning, detail).with_remedy(remedy)
    } else {
        Check::ok(code, format!("{shown} is good until {}", at(until)))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// From when and until when each is good, in seconds since 1970.
fn times(pem: &[u8]) -> Result<Vec<(i64, i64)>, String> {
    let mut found = Vec::new();
    for one in Pem::iter_from_buffer(pem) {
        let one = one.map_err(|error| error.to_string())?;
        if one.label != "CERTIFICATE" {
            continue;
        }
        let certificate = one.parse_x509().map_err(|error| error.to_string())?;
        let validity = certificate.validity();
        found.push((
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ));
    }
    match found.is_empty() {
        true => Err("there is no certificate in it".to_owned()),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    //! Certificates of any age.

    use super::{DAY_S, SOON_S, check, times};
    use vpool_api::CheckState;

    /// Good from 2020-01-01 to 2030-01-01.
    const FROM: i64 = 1_577_836_800;
    const UNTIL: i64 = 1_893_456_000;

    fn pem() -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut wanted = rcgen::CertificateParams::new(vec!["host".to_owned()]).expect("a name");
        wanted.not_before = rcgen::date_time_ymd(2020, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(2030, 1, 1);
        wanted.self_signed(&key).expect("it is signed").pem()
    }

    #[test]
    fn ages() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, pem()).expect("a file");
        assert_eq!(times(pem().as_bytes()), Ok(vec![(FROM, UNTIL)]));
        for (now, state, word) in [
            (FROM - 1, CheckState::Wrong, "before 2020-01-01"),
            (FROM, CheckState::Ok, "until 2030-01-01"),
            (UNTIL - SOON_S, CheckState::Ok, "until 2030"),
            (UNTIL - 2 * DAY_S, CheckState::Warning, "2 more day"),
            (UNTIL + 1, CheckState::Wrong, "since 2030"),
        ] {
            let check = check("pool_ca", &path, now);
            assert_eq!(check.state, state, "{check:?}");
            assert!(check.detail.contains(word), "{check:?}");
            assert_eq!(check.remedy.is_some(), state != CheckState::Ok);
        }
    }

    #[test]
    fn what_is_none() {
        let broken = pem().replace('M', "N");
        for bad in ["", "no PEM", &broken, &pem()[..100]] {
            assert!(times(bad.as_bytes()).is_err(), "{bad}");
        }
        let absent = check("pool_ca", std::path::Path::new("/nowhere"), FROM);
        assert_eq!(absent.state, CheckState::Wrong);
    }
}
