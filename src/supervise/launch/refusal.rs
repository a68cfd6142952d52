//! Why exec(2) refuses a program that is there: in words, where its errno names the wrong thing or nothing.
//!
//! A script whose interpreter is missing is "No such file or directory", as is a program whose loader is; a program for
//! another machine and a script without a first line are "Exec format error"; a variable that is too long is "Argument
//! list too long". Exec is the judge of a start: this is asked after it has refused, and by `--dry-run`, which asks it
//! beforehand. It says what is certain, reads the first few kilobytes of the program, and runs nothing.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use platform::SpawnError;

use super::program::{ResolveError, resolve};
use crate::error::{SHOWN_BYTES_MAX, escape};

/// How much of a program is read: its first line, or its headers.
const HEAD_BYTES: u64 = 4096;

/// How much of a first line the kernels look at: BINPRM_BUF_SIZE of Linux, the least of them.
const FIRST_LINE_BYTES: usize = 256;

/// The longest that all arguments and variables together can be: three quarters of Linux's default stack, ARG_MAX
/// elsewhere.
const TOGETHER_BYTES_MAX: usize = match () {
    () if cfg!(target_os = "linux") => 6 << 20,
    () if cfg!(target_os = "macos") => 1 << 20,
    () => 512 << 10,
};

/// Of elf.h: the machines that this one runs, its own first.
const MACHINES: &[u16] = match () {
    () if cfg!(target_arch = "x86_64") => &[62, 3],
    () if cfg!(target_arch = "aarch64") => &[183, 40],
    () => &[],
};

/// A spawn that was refused, in one line that says what to mend.
pub(crate) fn explain(error: &SpawnError, command: &platform::Command<'_>) -> String {
    let path = command.env.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
    let fault = match error.cause.raw_os_error() {
        Some(E2BIG) => too_long(command.args, command.env)
            .or_else(|| longest(command.args, command.env).map(|(_, longest)| all_too_long(&longest))),
        Some(_) => fault(&error.path, path.map(OsStr::from_bytes), command.dir),
        None => None,
    };
    fault.map_or_else(|| error.to_string(), |fault| format!("cannot run program {:?}: {fault}", error.path))
}

/// The same number on every system.
const E2BIG: i32 = 7;

/// What keeps this file from being executed, if that can be told. `path`: the PATH that it will have. `dir`: where it
/// will run.
pub fn fault(program: &Path, path: Option<&OsStr>, dir: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(program).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    match head.as_slice() {
        [] => Some("it is empty".to_owned()),
        [b'#', b'!', line @ ..] => fault_of_script(line, path, dir),
        [0x7f, b'E', b'L', b'F', ..] if cfg!(target_os = "macos") => Some(foreign("another system than macOS")),
        [0x7f, b'E', b'L', b'F', ..] => fault_of_elf(&head),
        // Mach-O, of either byte order, and the same for several machines.
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => {
            (!cfg!(target_os = "macos")).then(|| foreign("macOS"))
        }
        [b'M', b'Z', ..] => Some(foreign("Windows")),
        _ => {
            Some("it is no program, and has no first line such as \"#!/bin/sh\" that names its interpreter".to_owned())
        }
    }
}

fn foreign(system: &str) -> String {
    format!("it is a program for {system}")
}

fn fault_of_script(line: &[u8], path: Option<&OsStr>, dir: &Path) -> Option<String> {
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        let shown = escape(line, SHOWN_BYTES_MAX);
        return Some(format!("its first line \"#!{shown}\" ends in CR, as Windows ends lines; save it with LF alone"));
    }
    let line = &line[..line.len().min(FIRST_LINE_BYTES)];
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(OsStr::from_bytes);
    let Some(interpreter) = words.next() else { return Some("its first line names no interpreter".to_owned()) };
    let found = dir.join(interpreter);
    if let Err(error) = platform::check_executable(&found) {
        return Some(format!("its first line names the interpreter {interpreter:?}: {error}"));
    }
    // env(1) looks for the program in turn; -S splits what follows, which it is given as one word.
    let sought = words.find(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'='))?;
    let is_env = found.file_name() == Some(OsStr::new("env"));
    match resolve(sought.to_str()?, path, dir) {
        Err(ResolveError::NotInPath { searched, .. }) if is_env => {
            Some(format!("its first line looks for {sought:?}, which is in no directory of PATH {searched:?}"))
        }
        Ok(_) | Err(_) => None,
    }
}

/// Of elf.h: byte 4 says whether the rest is for 64 bits, byte 5 whether it is little-endian.
fn fault_of_elf(head: &[u8]) -> Option<String> {
    let is_little = *head.get(5)? == 1;
    let machine: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let machine = if is_little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    if !MACHINES.is_empty() && !MACHINES.contains(&machine) {
        let name = match machine {
            3 => "x86",
            40 => "arm",
            62 => "x86_64",
            183 => "aarch64",
            243 => "riscv",
            _ => "another kind of machine",
        };
        return Some(format!("it is built for {name}, and this machine is {}", std::env::consts::ARCH));
    }
    let loader = (head.get(4) == Some(&2) && is_little).then(|| loader_of(head)).flatten()?;
    let error = platform::check_executable(loader).err()?;
    Some(format!("it is built for another C library: its loader {loader:?}: {error}"))
}

/// The program that loads a dynamically linked one: its header PT_INTERP, as far as it lies in what was read.
fn loader_of(head: &[u8]) -> Option<&Path> {
    let number = |at: usize, bytes: usize| {
        let bytes = head.get(at..at.checked_add(bytes)?)?;
        bytes.iter().rev().try_fold(0_usize, |number, &byte| number.checked_mul(256)?.checked_add(byte.into()))
    };
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let headers = (0..count.min(64)).filter_map(|index| start.checked_add(index * size));
    let interpreter = headers.into_iter().find(|&at| number(at, 4) == Some(3))?;
    let (at, length) = (number(interpreter + 8, 8)?, number(interpreter + 32, 8)?);
    let name = head.get(at..at.checked_add(length)?)?.split(|&byte| byte == 0).next()?;
    Some(Path::new(OsStr::from_bytes(name)))
}

/// The argument or variable that no program can be given, if there is one, or that all are too long together.
pub fn too_long(args: &[CString], env: &[CString]) -> Option<String> {
    let (bytes, longest) = longest(args, env)?;
    let max = platform::exec_string_bytes_max();
    if bytes > max {
        return Some(format!("{longest}, and with name and NUL no program can be given more than {max} in one"));
    }
    let together: usize = args.iter().chain(env).map(|text| text.as_bytes_with_nul().len()).sum();
    (together > TOGETHER_BYTES_MAX).then(|| all_too_long(&longest))
}

fn all_too_long(longest: &str) -> String {
    format!("its arguments and variables are too long together; the longest: {longest}")
}

/// How many bytes the longest one has, with the NUL at its end, and what it is: never what it says.
fn longest(args: &[CString], env: &[CString]) -> Option<(usize, String)> {
    let bytes = |text: &CString| text.as_bytes_with_nul().len();
    let argument = args.iter().enumerate().max_by_key(|(_, text)| bytes(text));
    let argument =
        argument.map(|(at, text)| (bytes(text), format!("argument {at} has {} bytes", text.as_bytes().len())));
    let variable = env.iter().max_by_key(|text| bytes(text)).map(|text| (bytes(text), described(text)));
    argument.into_iter().chain(variable).max_by_key(|(bytes, _)| *bytes)
}

/// A variable by name and length, never by value.
fn described(entry: &CString) -> String {
    let bytes = entry.as_bytes();
    let name = bytes.split(|&byte| byte == b'=').next().unwrap_or_default();
    format!("variable {} has {} bytes", escape(name, SHOWN_BYTES_MAX), bytes.len().saturating_sub(name.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// What is wrong with a file of this content.
    fn fault_of(name: &str, content: &[u8]) -> Option<String> {
        let file = std::env::temp_dir().join(format!("ws-refusal-{}-{name}", std::process::id()));
        std::fs::write(&file, content).unwrap();
        let found = fault(&file, Some(OsStr::new("/none:/bin:/usr/bin")), Path::new("/"));
        std::fs::remove_file(file).unwrap();
        found
    }

    /// An ELF file of 64 bits for a machine, with this loader.
    fn elf(machine: u16, loader: &str) -> Vec<u8> {
        let mut head = vec![0; 64 + 56];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head[32] = 64;
        head[54] = 56;
        head[56] = 1;
        head[64] = 3;
        head[64 + 8] = 120;
        head[64 + 32] = u8::try_from(loader.len() + 1).unwrap();
        head.extend(loader.as_bytes());
        head.push(0);
        head
    }

    #[test]
    fn scripts_that_cannot_run_say_what_their_first_line_lacks() {
        for (name, content, fault) in [
            ("missing", "#!/no/such/sh -e\n", Some("names the interpreter \"/no/such/sh\": ")),
            ("relative", "#! no/such/sh\n", Some("names the interpreter \"no/such/sh\": ")),
            ("cr", "#!/bin/sh\r\necho\r\n", Some("\"#!/bin/sh\\r\" ends in CR")),
            ("env-cr", "#!/usr/bin/env node\r\n", Some("ends in CR")),
            (
                "env",
                "#!/usr/bin/env no-such-node\n",
                Some("looks for \"no-such-node\", which is in no directory of PATH"),
            ),
            ("env-split", "#!/usr/bin/env -S A=1 no-such-node -x\n", Some("looks for \"no-such-node\"")),
            ("none", "#!  \n", Some("names no interpreter")),
            ("plain", "echo hi\n", Some("it is no program, and has no first line such as")),
            ("empty", "", Some("it is empty")),
            ("well", "#!/bin/sh\n", None),
            ("well-spaces", "#! /bin/sh -e", None),
            ("well-env", "#!/usr/bin/env sh\n", None),
            ("windows", "MZ\x7f", Some("for Windows")),
        ] {
            let found = fault_of(name, content.as_bytes());
            assert_eq!(found.is_some(), fault.is_some(), "{name}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()), "{name}");
        }
    }

    #[test]
    fn programs_for_elsewhere_are_told_by_their_headers() {
        assert_eq!(fault(&std::env::current_exe().unwrap(), None, Path::new("/")), None);
        if cfg!(target_os = "macos") {
            assert_eq!(
                fault_of("elf", &elf(62, "/x")).as_deref(),
                Some("it is a program for another system than macOS")
            );
            return;
        }
        assert_eq!(fault_of("mach-o", b"\xcf\xfa\xed\xfe").as_deref(), Some("it is a program for macOS"));
        let Some(machine) = MACHINES.first().copied() else { return };
        let other = if machine == 62 { (183, "aarch64") } else { (62, "x86_64") };
        let found = fault_of("other", &elf(other.0, "/x")).unwrap();
        assert!(found.starts_with(&format!("it is built for {}, and this machine is ", other.1)), "{found}");
        assert!(fault_of("loader", &elf(machine, "/no/ld.so")).unwrap().contains("its loader \"/no/ld.so\": "));
        assert_eq!(fault_of("loaded", &elf(machine, "/bin/sh")), None);
        for length in 4..120 {
            // Whatever is missing, nothing panics.
            fault_of("cut", &elf(machine, "/no/ld.so")[..length]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_says_nothing() {
        assert_eq!(fault(&PathBuf::from("/no/such/program"), None, Path::new("/")), None);
    }

    #[test]
    fn the_variable_that_is_too_long_is_named_without_its_value() {
        let entry = |name: &str, length| CString::new(format!("{name}={}", "x".repeat(length))).unwrap();
        assert_eq!(too_long(&[], &[entry("A", 1), entry("B", 100)]), None);
        let all = vec![entry("A", 1), entry("LONG", TOGETHER_BYTES_MAX), entry("B", 9)];
        let found = too_long(&[], &all).unwrap();
        assert!(found.contains(&format!("variable LONG has {TOGETHER_BYTES_MAX} bytes")), "{found}");
        let max = platform::exec_string_bytes_max();
        if max < TOGETHER_BYTES_MAX {
            assert_eq!(too_long(&[], &[entry("A", max - 3)]), None);
            assert!(too_long(&[], &[entry("A", max - 2)]).unwrap().starts_with("variable A has "));
        }
        let found = too_long(&[entry("a", 1), entry("b", TOGETHER_BYTES_MAX)], &all[..1]).unwrap();
        assert!(found.contains(&format!("argument 1 has {} bytes", TOGETHER_BYTES_MAX + 2)), "{found}");
        let many = vec![entry("a", TOGETHER_BYTES_MAX / 99); 100];
        assert!(too_long(&many, &[]).unwrap().starts_with("its arguments and variables are too long together"));
    }
}
