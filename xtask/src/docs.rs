//! The documents that are made from code, so that they cannot be wrong.

use std::fs;

use crate::runner::{Outcome, Run, root};

/// A document, and the command that prints it.
struct Document {
    path: &'static str,
    made_by: &'static str,
}

const DOCUMENTS: &[Document] =
    &[Document { path: "docs/apis.md", made_by: "cargo run --locked --quiet -p shore-broker --example apis" }];

pub fn run(arguments: &[String]) -> Outcome {
    let only_check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("the one option is --check".to_owned()),
    };
    for Document { path, made_by } in DOCUMENTS {
        let there = root().join(path);
        let text = Run::line(made_by).output()?;
        if fs::read_to_string(&there).is_ok_and(|old| old == text) {
            continue;
        }
        if only_check {
            return Err(format!("{path} is not what the code says; run `cargo xtask docs`"));
        }
        fs::write(&there, text).map_err(|error| format!("{path}: {error}"))?;
        println!("wrote {path}");
    }
    Ok(())
}
