//! Flags for the linker.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("ARCH") != "x86_64" || target("OS") != "linux" || target("ENV") != "gnu" {
        return;
    }
    // Thirteen thousand addresses are moved at the start; packed (DT_RELR), their table is a thirtieth as large, and so it is in
    // memory. Known to glibc since 2.36, and to GNU ld for this machine since 2.38.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // What unwinds the stack comes along, if the compiler has it as an archive: a library less to load, at each start.
    let found = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    let found = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if found.is_ok_and(|path| Path::new(&path).is_absolute()) {
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}
