//! The buffer that sysctl(3) fills for KERN_PROCARGS2 on macOS: number of arguments, program, arguments, environment.
//! Pure, so that it is tested on every system.
//!
//! XNU 11417, `sysctl_procargsx` (bsd/kern/kern_sysctl.c:1323): an int with argc; the program's path; NULs up to an
//! alignment; argc strings; the environment; then the strings for dyld. Each ends with a NUL. It is read from the
//! process's own stack, as exec left it, for processes of the same user or to root. The environment is left out of
//! processes that are restricted (system programs, under System Integrity Protection), and all may be cut at the end.

/// The value of an environment variable; None where there is none, or the buffer is not what it should be.
pub(super) fn variable<'a>(buffer: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (argc, rest) = buffer.split_first_chunk::<4>()?;
    let argc = usize::try_from(i32::from_ne_bytes(*argc)).ok()?;
    let program_end = rest.iter().position(|&byte| byte == 0)?;
    let arguments = program_end + rest[program_end..].iter().position(|&byte| byte != 0)?;
    // A string that was cut off has no NUL, and is none.
    let strings = rest[arguments..].split_inclusive(|&byte| byte == 0).filter_map(|string| string.strip_suffix(b"\0"));
    strings.skip(argc).find_map(|string| string.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(argc: i32, strings: &[u8]) -> Vec<u8> {
        [&argc.to_ne_bytes()[..], strings].concat()
    }

    #[test]
    fn the_environment_begins_behind_the_arguments() {
        let strings = b"/bin/bun\0\0\0\0bun\0A=argument\0A=1\0B=\0AB=2\0\0ptr_munge=\0";
        let of = |name| variable(&buffer(2, strings), name).map(<[u8]>::to_vec);
        assert_eq!(of("A"), Some(b"1".to_vec()));
        assert_eq!(of("B"), Some(Vec::new()));
        assert_eq!(of("AB"), Some(b"2".to_vec()));
        assert_eq!(of("C"), None);
    }

    #[test]
    fn an_empty_argument_is_one() {
        assert_eq!(variable(&buffer(3, b"/bin/a\0\0a\0\0\0A=1\0"), "A"), Some(&b"1"[..]));
    }

    #[test]
    fn a_restricted_process_shows_no_environment() {
        assert_eq!(variable(&buffer(2, b"/bin/launchctl\0\0launchctl\0A=1\0"), "A"), None);
    }

    #[test]
    fn a_cut_or_senseless_buffer_says_nothing_and_harms_nobody() {
        let whole = buffer(1, b"/bin/a\0\0\0a\0A=12345\0");
        for length in 0..whole.len() {
            assert_eq!(variable(&whole[..length], "A"), None, "{length} bytes");
        }
        for argc in [-1, i32::MIN, i32::MAX] {
            assert_eq!(variable(&buffer(argc, b"/bin/a\0a\0A=1\0"), "A"), None);
        }
        assert_eq!(variable(&buffer(0, b"\0\0\0\0"), "A"), None);
    }
}
