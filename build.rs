//! Gives the page and its worker the same build id, a hash of the sources: a browser that kept an old
//! worker beside a new page is noticed at their first words.

use std::path::{Path, PathBuf};

fn main() {
    let mut files = Vec::new();
    for root in ["src", "crates", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={root}");
        collect(Path::new(root), &mut files);
    }
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        for byte in std::fs::read(&file).unwrap_or_default() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    println!("cargo::rustc-env=SHORE_BUILD={hash:016x}");
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name != "target" && name != "node_modules" && name != "tests" {
            collect(&entry.path(), files);
        }
    }
}
