//! Semantic versions (`SemVer` 2.0), read strictly and in place.
//!
//! Numbers may have any size and nothing is allocated: a context value is read anew for every
//! request.

use std::cmp::Ordering;

use super::python::compare_digits;

/// A version; its build metadata is checked and dropped, since no comparison heeds it.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    core: [&'a str; 3],
    pre_release: Option<&'a str>,
}

impl<'a> Version<'a> {
    /// Reads `major.minor.patch`, `-pre.release` and `+build`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let (patch, rest) = number(rest.strip_prefix('.')?)?;
        let core = [major, minor, patch];
        if rest.is_empty() {
            return Some(Self { core, pre_release: None });
        }
        let (rest, build) = split(rest, '+');
        let pre_release = if rest.is_empty() { None } else { Some(rest.strip_prefix('-')?) };
        let pre_release_ok =
            |part: &str| is_identifier(part) && (!is_number(part) || is_canonical(part));
        let valid = pre_release.is_none_or(|parts| parts.split('.').all(pre_release_ok))
            && build.is_none_or(|parts| parts.split('.').all(is_identifier));
        valid.then_some(Self { core, pre_release })
    }

    /// Which comes first, as the standard's section 11 says.
    pub fn compare(self, other: Version<'_>) -> Ordering {
        let core = self.core.iter().zip(other.core).map(|(a, b)| compare_digits(a, b));
        core.fold(Ordering::Equal, Ordering::then).then_with(|| {
            match (self.pre_release, other.pre_release) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(a), Some(b)) => compare_pre_releases(a, b),
            }
        })
    }
}

/// The numbers of a version that has neither pre-release nor build metadata and no large numbers, as
/// nearly all have. Their order is the versions'.
pub fn release(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    let mut bytes = text.bytes();
    for (at, number) in numbers.iter_mut().enumerate() {
        let mut digits = 0;
        loop {
            match bytes.next() {
                Some(digit @ b'0'..=b'9') if digits < 9 && (digits == 0 || *number > 0) => {
                    *number = 10 * *number + u32::from(digit - b'0');
                    digits += 1;
                }
                Some(b'.') if digits > 0 && at < 2 => break,
                None if digits > 0 && at == 2 => break,
                _ => return None,
            }
        }
    }
    Some(numbers)
}

/// The number at the start, and what follows it.
fn number(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    (digits > 0 && is_canonical(number)).then_some((number, rest))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_canonical(number: &str) -> bool {
    number.len() == 1 || !number.starts_with('0')
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn compare_pre_releases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (is_number(a), is_number(b)) {
                (true, true) => compare_digits(a, b),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_releases_are_ordered_like_versions() {
        let texts = [
            "0.0.0",
            "0.0.1",
            "0.10.0",
            "1.2.3",
            "1.2.10",
            "10.2.3",
            "999999999.0.1",
            "1000000000.0.0",
            "1.2.3-a",
            "1.2.3+b",
            "01.2.3",
            "1.02.3",
            "1.2.03",
            "1.2",
            "1.2.3.4",
            "",
            ".1.2",
            "1..2",
            "1.2.",
            "a.b.c",
            "1.2.3 ",
        ];
        for a in texts {
            assert!(release(a).is_none() || Version::parse(a).is_some(), "{a}");
            for b in texts {
                if let (Some(ours), Some(theirs)) = (release(a), release(b)) {
                    let (a, b) = (Version::parse(a).unwrap(), Version::parse(b).unwrap());
                    assert_eq!(ours.cmp(&theirs), a.compare(b));
                }
            }
        }
        assert_eq!(release("999999999.0.10"), Some([999_999_999, 0, 10]));
        assert_eq!(texts.iter().filter(|text| release(text).is_some()).count(), 7);
    }

    #[test]
    fn versions_are_read_strictly() {
        for text in [
            "1.2.3",
            "0.0.0",
            "1.2.3-alpha.1",
            "1.2.3+001.x",
            "1.0.0--.a-b+-",
            "99999999999999999999.0.0",
        ] {
            assert!(Version::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3+",
            "v1.2.3",
            " 1.2.3",
            "1.2.x",
            "1.2.3-a..b",
            "1.2.3-é",
        ] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_order_of_the_standard() {
        let ascending = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.9",
            "1.0.10",
            "2.0.0",
            "18446744073709551616.0.0",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let order = Version::parse(a).unwrap().compare(Version::parse(b).unwrap());
                assert_eq!(order, i.cmp(&j), "{a} {b}");
            }
        }
        let built = Version::parse("1.0.0+b").unwrap().compare(Version::parse("1.0.0+c").unwrap());
        assert_eq!(built, Ordering::Equal);
    }
}
