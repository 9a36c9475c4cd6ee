//! One flag for the linker.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Thirteen thousand addresses are moved at the start; packed (DT_RELR), their table is a thirtieth as large, and so it is in
    // memory. Known to glibc since 2.36, and to GNU ld for this machine since 2.38.
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("ARCH") == "x86_64" && target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
