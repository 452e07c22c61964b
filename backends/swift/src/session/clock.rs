//! Times as Keystone writes them.
//!
//! Owns: reading them, pure. Does not own: any clock.

/// Seconds since 1970 of `2026-11-21T20:51:00.123456Z`, the fraction left out. `None` where
/// it is no such time. (Days of a date after Howard Hinnant's `days_from_civil`.)
pub(super) fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits {
        return None;
    }
    // Years begin in March: a leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Three numbers without signs.
fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let parts: Vec<i64> = text
        .split(between)
        .map(|part| {
            let digits = !part.is_empty() && part.len() <= 4;
            let digits = digits && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        })
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    //! Known times, and texts that are none.

    use super::seconds;

    #[test]
    fn times() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(seconds(text), expect, "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:34:56.789Z", Some(951_827_696));
        check("2000-03-01T00:00:00.000000Z", Some(951_868_800));
        check("2026-11-21T20:51:00.123456Z", Some(1_795_294_260));
        check("2100-03-01T00:00:00Z", Some(4_107_542_400));
        for text in [
            "",
            "Z",
            "2026-11-21",
            "2026-11-21T20:51:00",
            "2026-11-21 20:51:00Z",
            "2026-13-21T20:51:00Z",
            "2026-11-00T20:51:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T20:51Z",
            "+026-11-21T20:51:00Z",
            "99999-11-21T20:51:00Z",
        ] {
            check(text, None);
        }
    }
}
