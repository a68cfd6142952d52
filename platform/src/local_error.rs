//! Which errors are the supervisor's own trouble and say nothing about the process it talks to.
//! Errno is compared as a value. Refuses to guess: an error without an errno is nobody's own.

use std::io;

/// Whether an error means that this process or machine ran out of something: descriptors (EMFILE, ENFILE), buffers
/// (ENOBUFS), memory (ENOMEM), processes (EAGAIN), or local ports (EADDRNOTAVAIL, connect(2)).
///
/// EAGAIN stands for "would block" as well; callers that ask have handled that before.
#[must_use]
pub fn is_local_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL | libc::EAGAIN)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_is_our_trouble_and_a_refusal_is_not() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL] {
            assert!(is_local_error(&io::Error::from_raw_os_error(errno)), "errno {errno}");
        }
        for errno in [libc::ECONNREFUSED, libc::ECONNRESET, libc::ETIMEDOUT] {
            assert!(!is_local_error(&io::Error::from_raw_os_error(errno)), "errno {errno}");
        }
        assert!(!is_local_error(&io::ErrorKind::ConnectionRefused.into()));
    }
}
