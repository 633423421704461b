//! `shore`: a Kafka broker behind a TCP port.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::args::Command;
use crate::serve::Failure;

mod args;
mod buffers;
mod clock;
mod connection;
mod directory;
mod file_store;
mod host;
mod inbound;
mod listener;
mod outbound;
mod serve;
mod store;
mod supervisor;
mod topics;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let failure = match args::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => return print(args::HELP),
        Ok(Command::Version) => return print(concat!("shore ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Serve(serve)) => match serve::run(serve) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) => failure,
        },
        Err(why) => Failure::Usage(why),
    };
    say(format_args!("{failure}"));
    ExitCode::from(failure.exit_code())
}

fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Tells the operator. A terminal that is gone is no reason to stop.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "shore: {line}");
}
