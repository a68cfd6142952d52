//! What strings of a config must look like where they are used: names, addresses, endpoints, variables, paths.
//!
//! Each check takes what was typed and returns what is meant, or the end of a sentence that starts with the key's name.
//! Nothing here knows where in a file a string stood.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Host;
use crate::error::{SHOWN_BYTES_MAX, escape};

/// The longest worker name: it must fit into file names with suffixes.
const NAME_BYTES_MAX: usize = 64;
/// The longest launchd label.
const LABEL_BYTES_MAX: usize = 128;
/// The longest endpoint.
const ENDPOINT_BYTES_MAX: usize = 2048;
/// The longest Host header.
const HOST_HEADER_BYTES_MAX: usize = 255;

fn shown(text: &str) -> String {
    format!("\"{}\"", escape(text, SHOWN_BYTES_MAX))
}

/// A string that names files.
pub(super) fn name(text: &str) -> Result<String, String> {
    short_name(text, NAME_BYTES_MAX)
}

/// A string that names a launchd job.
pub(super) fn label(text: &str) -> Result<String, String> {
    short_name(text, LABEL_BYTES_MAX)
}

fn short_name(text: &str, bytes_max: usize) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !text.is_empty() && text.len() <= bytes_max && !text.starts_with('.') && text.bytes().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "must be 1 to {bytes_max} letters, digits, '.', '_' or '-' and not start with '.', not {}",
        shown(text)
    ))
}

impl FromStr for Host {
    type Err = String;

    /// An address without a name lookup, in brackets or not.
    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let ip: IpAddr = bare.parse().map_err(|_| {
            let advice = if text == "localhost" { "; write \"127.0.0.1\" (or \"::1\")" } else { "" };
            format!("must be an IPv4 or IPv6 address, not {}{advice}", shown(text))
        })?;
        // A listener on the one stands in the tables of the other: who that is could not be told.
        if let Some(plain) = mapped(ip) {
            let plain = if plain.is_unspecified() { Ipv4Addr::LOCALHOST } else { plain };
            return Err(format!("must be an IPv4 address in its own form, not {}; write \"{plain}\"", shown(text)));
        }
        // Beside a listener on one address XNU lets a bind of all of them succeed (`in_pcbbind`), so that neither the
        // port could be tried nor a stranger be told from the worker.
        if ip.is_unspecified() {
            let one = if ip.is_ipv4() { "127.0.0.1" } else { "::1" };
            let advice = format!("write \"{one}\", also for a worker that listens on all addresses");
            return Err(format!("must be the one address that is probed, not {}; {advice}", shown(text)));
        }
        let is_no_host = match ip {
            IpAddr::V4(ip) => ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        if is_no_host || ip.is_multicast() {
            let what = "must be an address of one machine, and need no interface named with it";
            return Err(format!("{what}, not {}; write \"127.0.0.1\" or \"::1\"", shown(text)));
        }
        Ok(Self(ip))
    }
}

/// The IPv4 address that is written as one of IPv6, RFC 4291 section 2.5.5.2.
fn mapped(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
    }
}

/// A path that goes into a request line.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("must start with \"/\", not {}", shown(text)));
    }
    visible_ascii(text, ENDPOINT_BYTES_MAX, "encode others as %XX")
}

/// A value that goes into a header line.
pub(super) fn host_header(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty; leave it out for HOST:PORT".into());
    }
    visible_ascii(text, HOST_HEADER_BYTES_MAX, "write a name or address and a port")
}

fn visible_ascii(text: &str, bytes_max: usize, advice: &str) -> Result<String, String> {
    if text.len() > bytes_max {
        return Err(format!("must be at most {bytes_max} bytes long, not {}", text.len()));
    }
    match text.chars().find(|character| !character.is_ascii_graphic()) {
        None => Ok(text.to_owned()),
        Some(wrong) => Err(format!(
            "may hold only visible ASCII characters, no space, CR or LF, but has {:?}; {advice}",
            escape(wrong.to_string(), SHOWN_BYTES_MAX)
        )),
    }
}

/// The name of an environment variable.
pub(super) fn variable(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err(format!("{} can't name a variable; it must not be empty or hold '=' or NUL", shown(text)));
    }
    Ok(())
}

/// A string that becomes an argument, a path or a variable's value.
pub(super) fn no_nul(text: &str) -> Result<String, String> {
    if text.contains('\0') { Err("must not hold a NUL character; delete \\u0000".into()) } else { Ok(text.to_owned()) }
}

/// What `~` and relative paths start from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roots<'a> {
    /// The config file's directory, absolute.
    pub(super) dir: &'a Path,
    /// HOME, as the environment has it.
    pub(super) home: Option<&'a OsStr>,
}

impl Roots<'_> {
    /// A typed path as an absolute one.
    pub(super) fn path(self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() {
            return Err("must not be empty".into());
        }
        no_nul(text)?;
        self.expand_home(text).map(|path| self.dir.join(path))
    }

    /// A program's name or path. `~` expands in it; where a relative one starts from is not decided here.
    pub(super) fn program(self, text: &str) -> Result<String, String> {
        if text.is_empty() {
            return Err("must start with a program, not with an empty string".into());
        }
        no_nul(text)?;
        let program = self.expand_home(text)?.into_os_string().into_string();
        program.map_err(|path| format!("starts with {path:?}, which is not valid UTF-8; write an absolute path"))
    }

    /// A typed path with `~` expanded, otherwise as it was typed.
    fn expand_home(self, text: &str) -> Result<PathBuf, String> {
        let Some(rest) = text.strip_prefix('~') else { return Ok(text.into()) };
        let Some(rest) = rest.strip_prefix('/').or(rest.is_empty().then_some("")) else {
            return Err(format!("is {}, but only `~/` expands; write the absolute path", shown(text)));
        };
        let home = Path::new(self.home.unwrap_or_default());
        let advice = "set HOME or write an absolute path";
        if home.as_os_str().is_empty() {
            return Err(format!("needs HOME for {}, but HOME is not set; {advice}", shown(text)));
        }
        if home.is_relative() {
            return Err(format!("needs HOME for {}, but HOME is {home:?}, a relative path; {advice}", shown(text)));
        }
        // Joining an empty rest would add a slash.
        Ok(if rest.is_empty() { home.into() } else { home.join(rest.trim_start_matches('/')) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_is_missing_or_relative_is_an_error_only_where_it_is_needed() {
        for home in [None, Some(OsStr::new("")), Some(OsStr::new("rel"))] {
            let roots = Roots { dir: Path::new("/etc"), home };
            assert_eq!(roots.path("/a"), Ok("/a".into()));
            assert_eq!(roots.path("a/b"), Ok("/etc/a/b".into()));
            assert!(roots.path("~/a").expect_err("no home").contains("HOME"), "{home:?}");
        }
    }

    #[test]
    fn a_tilde_expands_only_at_the_start_and_only_to_the_own_home() {
        let roots = Roots { dir: Path::new("/etc"), home: Some(OsStr::new("/home/joe")) };
        assert_eq!(roots.path("~"), Ok("/home/joe".into()));
        assert_eq!(roots.path("~/x y"), Ok("/home/joe/x y".into()));
        assert_eq!(roots.path("~//etc"), Ok("/home/joe/etc".into()));
        assert_eq!(roots.path("a~/b"), Ok("/etc/a~/b".into()));
        assert!(roots.path("~root/x").is_err());
        assert!(roots.path("").is_err());
        assert!(roots.path("a\0b").is_err());
    }

    #[test]
    fn a_host_is_an_address_in_brackets_or_not() {
        for (text, address) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1")] {
            assert_eq!(text.parse::<Host>().map(|host| host.0.to_string()), Ok(address.into()));
        }
        for wrong in ["", "localhost", "127.0.0.1:80", "127.1", "[::1", "::1%lo0", "a b"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
        for (wrong, part) in [
            ("0.0.0.0", "write \"127.0.0.1\""),
            ("::", "write \"::1\""),
            ("::ffff:0.0.0.0", "write \"127.0.0.1\""),
            ("[::ffff:192.0.2.1]", "write \"192.0.2.1\""),
            ("224.0.0.1", "of one machine"),
            ("ff02::1", "of one machine"),
            ("255.255.255.255", "of one machine"),
            ("fe80::1", "no interface"),
        ] {
            assert!(wrong.parse::<Host>().is_err_and(|error| error.contains(part)), "{wrong}");
        }
    }

    #[test]
    fn names_cannot_leave_their_directory() {
        for right in ["a", "worker-1", "A.b_c", &"x".repeat(64)] {
            assert_eq!(name(right), Ok(right.to_string()));
        }
        for wrong in ["", ".", "..", ".x", "a/b", "a b", "ä", "a\0", &"x".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
