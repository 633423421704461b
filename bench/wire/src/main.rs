//! Prints each case natively, in WebAssembly under Node, and their ratio.

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    use std::collections::BTreeMap;
    use std::time::Instant;

    let start = Instant::now();
    let native = bench_wire::measure(&|| start.elapsed().as_secs_f64() * 1e3);
    let wasm: BTreeMap<String, (f64, f64)> = match in_wasm() {
        Ok(text) => text.lines().filter_map(parse).collect(),
        Err(why) => {
            println!("WebAssembly is left out: {why}");
            BTreeMap::new()
        }
    };
    println!("| case | native GB/s | native us | wasm GB/s | wasm us | wasm / native |");
    println!("|---|---|---|---|---|---|");
    for case in native {
        let (gigabytes, microseconds) = wasm.get(&case.name).copied().unwrap_or((f64::NAN, f64::NAN));
        println!(
            "| {} | {:.2} | {:.2} | {gigabytes:.2} | {microseconds:.2} | {:.2} |",
            case.name,
            case.gigabytes,
            case.microseconds,
            case.microseconds / microseconds
        );
    }
}

#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
fn parse(line: &str) -> Option<(String, (f64, f64))> {
    let mut words = line.split(';');
    Some((words.next()?.to_owned(), (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
}

/// Builds the library for WebAssembly and runs it in Node.
#[cfg(not(target_arch = "wasm32"))]
fn in_wasm() -> Result<String, String> {
    use std::path::Path;
    use std::process::Command;

    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = |program: &str, arguments: &[&str]| -> Result<String, String> {
        let output = Command::new(program).args(arguments).current_dir(here).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    run("cargo", &["build", "--release", "--lib", "--target", "wasm32-unknown-unknown"])?;
    let wasm = "target/wasm32-unknown-unknown/release/bench_wire.wasm";
    run("wasm-bindgen", &["--target", "nodejs", "--out-dir", "target/node", wasm])?;
    run("node", &["-e", "process.stdout.write(require('./target/node/bench_wire.js').run())"])
}
