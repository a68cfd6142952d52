//! Access control lists, where they grant what a file's mode does not show: on macOS. Linux and FreeBSD's UFS show what
//! a list grants to others in the bits of the group, since these are its mask then (acl(5)).
//!
//! Asked for with getattrlist(2), which is one system call, not with acl_get_file(3): what that gives takes a library
//! and the system's directory of users to be read. XNU 11417, `attr_pack_common` (bsd/vfs/vfs_attrlist.c): the length
//! of it all; an offset, counted from itself, and a length; there a `struct kauth_filesec` (sys/kauth.h), or nothing
//! for a file without a list: a magic number, two GUIDs that are null, how many entries, flags, the entries.

#[cfg(target_os = "macos")]
use std::path::Path;

/// The most that a list takes (KAUTH_ACL_MAX_ENTRIES), and some.
#[cfg(target_os = "macos")]
const BUFFER_BYTES: usize = 4096;

// Of sys/kauth.h and sys/acl.h.
const MAGIC: u32 = 0x012c_c16d;
const GUID_BYTES: usize = 16;
const ENTRY_BYTES: usize = GUID_BYTES + 4 + 4;
const KIND: u32 = 0xf;
const PERMIT: u32 = 1;
/// For what will be made in the directory, not for itself.
const ONLY_INHERIT: u32 = 1 << 8;
/// To write, delete, append, delete what is in it, set the list or the owner; all, or what counts as writing.
const TO_CHANGE: u32 = 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 12 | 1 << 13 | GENERIC_ALL | GENERIC_WRITE;
const GENERIC_ALL: u32 = 1 << 21;
const GENERIC_WRITE: u32 = 1 << 23;

/// Whether a list lets somebody change a file, or what is in a directory, that its mode may not let. False also where
/// it can't be read.
#[cfg(target_os = "macos")]
pub(crate) fn lets_change(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;

    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    let mut wanted = libc::attrlist {
        bitmapcount: libc::ATTR_BIT_MAP_COUNT,
        reserved: 0,
        commonattr: libc::ATTR_CMN_EXTENDED_SECURITY,
        volattr: 0,
        dirattr: 0,
        fileattr: 0,
        forkattr: 0,
    };
    let mut buffer = [0; BUFFER_BYTES];
    let (list, out) = ((&raw mut wanted).cast(), buffer.as_mut_ptr().cast());
    // SAFETY: a C string, a live list of attributes, and a buffer that we own, of the size that is said.
    let asked = unsafe { libc::getattrlist(path.as_ptr(), list, out, BUFFER_BYTES, libc::FSOPT_NOFOLLOW) };
    asked == 0 && permits_change(&buffer)
}

/// Whether there is such an entry in what getattrlist(2) gave.
fn permits_change(buffer: &[u8]) -> bool {
    list(buffer).is_some_and(|entries| {
        entries.chunks_exact(ENTRY_BYTES).any(|entry| {
            let (Some(flags), Some(rights)) = (number(entry, GUID_BYTES), number(entry, GUID_BYTES + 4)) else {
                return false;
            };
            flags & KIND == PERMIT && flags & ONLY_INHERIT == 0 && rights & TO_CHANGE != 0
        })
    })
}

/// The entries; None: there are none, or it is not what it should be.
fn list(buffer: &[u8]) -> Option<&[u8]> {
    let (offset, length) = (number(buffer, 4)? as usize, number(buffer, 8)? as usize);
    let security = buffer.get(4_usize.checked_add(offset)?..)?.get(..length)?;
    let count = number(security, 4 + 2 * GUID_BYTES)? as usize;
    let entries = security.get(4 + 2 * GUID_BYTES + 8..)?.get(..count.checked_mul(ENTRY_BYTES)?)?;
    (number(security, 0)? == MAGIC).then_some(entries)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: u32 = 2;
    const INHERITED: u32 = 1 << 4;
    const READ: u32 = 1 << 1 | 1 << 3 | 1 << 7 | 1 << 9 | 1 << 11;
    const ADD_FILE: u32 = 1 << 2;
    const DELETE: u32 = 1 << 4;

    fn answer(entries: &[(u32, u32)]) -> Vec<u8> {
        let mut security = [&MAGIC.to_ne_bytes()[..], &[0; 2 * GUID_BYTES]].concat();
        security.extend((entries.len() as u32).to_ne_bytes());
        security.extend(0_u32.to_ne_bytes());
        for (flags, rights) in entries {
            security.extend([0xab; GUID_BYTES]);
            security.extend([flags.to_ne_bytes(), rights.to_ne_bytes()].concat());
        }
        let length = security.len() as u32;
        let head = [12 + length, 8, length].map(u32::to_ne_bytes).concat();
        [head, security, vec![0; 100]].concat()
    }

    #[test]
    fn an_entry_that_permits_a_change_is_found_among_others() {
        for rights in [ADD_FILE, GENERIC_ALL, GENERIC_WRITE] {
            assert!(permits_change(&answer(&[(PERMIT, rights)])), "{rights:x}");
        }
        assert!(permits_change(&answer(&[(DENY, DELETE), (PERMIT, READ), (PERMIT | INHERITED, READ | DELETE)])));
    }

    #[test]
    fn what_denies_or_permits_to_read_or_is_for_heirs_permits_no_change() {
        // The first is what macOS gives every home: group:everyone deny delete.
        for entry in [(DENY, DELETE), (PERMIT, READ), (PERMIT | ONLY_INHERIT, ADD_FILE)] {
            assert!(!permits_change(&answer(&[entry])), "{entry:?}");
        }
        assert!(!permits_change(&answer(&[])));
    }

    #[test]
    fn a_file_without_a_list_has_no_entry() {
        let head = [12_u32, 8, 0].map(u32::to_ne_bytes).concat();
        assert!(!permits_change(&[head, vec![0; 100]].concat()));
    }

    #[test]
    fn a_cut_or_senseless_answer_permits_nothing_and_harms_nobody() {
        let whole = answer(&[(PERMIT, ADD_FILE)]);
        let length = whole.len() - 100;
        for length in 0..length {
            assert!(!permits_change(&whole[..length]), "{length} bytes");
        }
        assert!(permits_change(&whole[..length]));
        for at in (4..60).step_by(4) {
            let mut broken = whole.clone();
            broken[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            permits_change(&broken);
        }
        // KAUTH_FILESEC_NOACL for a count, and another magic number.
        for at in [12, 12 + 4 + 2 * GUID_BYTES] {
            let mut broken = whole.clone();
            broken[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert!(!permits_change(&broken), "{at}");
        }
    }
}
