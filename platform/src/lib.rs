//! The system seam: everything that is unsafe or differs between Linux, macOS and FreeBSD.
