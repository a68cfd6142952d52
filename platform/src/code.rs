//! The memory that the program's own code takes.
//!
//! Most of the code that a start runs, reading the command line and the configuration, is not run again, but stays in
//! memory: the kernel takes back mapped pages of files only when memory is short. Here it is given back at once. It is
//! a favour, not a need: nothing is reported, and elsewhere than on Linux nothing is done.

/// Gives back the memory of all code and constants. What is needed again is mapped again, from the cache of the file
/// system: about 2 µs for each 64 KiB.
#[cfg(target_os = "linux")]
pub fn give_back_code() {
    // SAFETY: the callback keeps to the contract of dl_iterate_phdr(3), and is done with `info` when it returns.
    unsafe { libc::dl_iterate_phdr(Some(give_back_segments), std::ptr::null_mut()) };
}

/// Does nothing here.
#[cfg(not(target_os = "linux"))]
pub fn give_back_code() {}

/// Called for the program and for each library that it has loaded.
#[cfg(target_os = "linux")]
unsafe extern "C" fn give_back_segments(
    info: *mut libc::dl_phdr_info,
    _bytes: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: valid for the time of the call, as dl_iterate_phdr(3) has it, and so are the headers that it names.
    let headers = unsafe { std::slice::from_raw_parts((*info).dlpi_phdr, usize::from((*info).dlpi_phnum)) };
    // SAFETY: as before.
    let base = unsafe { (*info).dlpi_addr };
    for header in headers.iter().filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W == 0) {
        // A segment may begin inside a page, which is then mapped from its file too.
        let begin = (base + header.p_vaddr) & !(page_bytes() - 1);
        let end = base + header.p_vaddr + header.p_memsz;
        // SAFETY: the pages are a private mapping of a file that nobody may write to, so they are the file's own, and
        // the same ones come back. Only a debugger's breakpoints are lost.
        unsafe { libc::madvise(begin as *mut libc::c_void, (end - begin) as usize, libc::MADV_DONTNEED) };
    }
    0
}

/// The size of a page, in bytes: a power of two.
#[cfg(target_os = "linux")]
fn page_bytes() -> u64 {
    // SAFETY: sysconf takes an integer and touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).expect("sysconf(3) knows the size of a page")
}
