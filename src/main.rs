//! The program's entry: parse, run, exit with a named code.
#![forbid(unsafe_code)]

fn main() {}
