//! What happens when an invariant breaks: the trace is kept, the node starts again from its store.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::say;

/// A node that breaks this often within [`SPAN`] is not started again.
const ATTEMPTS: usize = 3;
const SPAN: Duration = Duration::from_secs(60);

thread_local! {
    static TRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `node` until it returns, anew each time that it panics. Traces go to files in `traces`.
pub fn supervise(traces: &Path, mut node: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    panic::set_hook(Box::new(|info| {
        let trace = format!("{info}\n\n{}", Backtrace::force_capture());
        TRACE.with_borrow_mut(|kept| *kept = Some(trace));
    }));
    let mut broken: Vec<Instant> = Vec::new();
    loop {
        let Err(_) = (match panic::catch_unwind(AssertUnwindSafe(&mut node)) {
            Ok(result) => return result,
            panicked => panicked,
        }) else {
            unreachable!("a return is handled above")
        };
        let trace = TRACE.take().unwrap_or_else(|| "no trace was kept".to_owned());
        let place = match keep(traces, &trace) {
            Ok(file) => format!("the trace is in {}", file.display()),
            Err(error) => format!("the trace cannot be kept ({error}): {trace}"),
        };
        broken.retain(|moment| moment.elapsed() < SPAN);
        broken.push(Instant::now());
        let what = trace.lines().take(2).collect::<Vec<_>>().join(" ");
        if broken.len() >= ATTEMPTS {
            return Err(format!("broken again, giving up: {what}; {place}"));
        }
        say(format_args!("a fault of its own: {what}; {place}; starting again from the store"));
    }
}

fn keep(directory: &Path, trace: &str) -> std::io::Result<PathBuf> {
    for number in 1..1_000 {
        let file = directory.join(format!("shore-fault-{number}.txt"));
        match std::fs::File::create_new(&file) {
            Ok(mut written) => {
                std::io::Write::write_all(&mut written, trace.as_bytes())?;
                return Ok(file);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::Error::other("999 traces are there already"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_node_starts_again_and_a_hopeless_one_does_not() {
        let directory = std::env::temp_dir().join(format!("shore-supervisor-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut runs = 0;
        let result = supervise(&directory, || {
            runs += 1;
            assert!(runs > 2, "broken on purpose in run {runs}");
            Ok(())
        });
        assert_eq!((result, runs), (Ok(()), 3));
        let given_up = supervise(&directory, || panic!("always")).unwrap_err();
        let traces = std::fs::read_dir(&directory).unwrap().count();
        let first = std::fs::read_to_string(directory.join("shore-fault-1.txt")).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let _ = panic::take_hook();
        assert!(given_up.starts_with("broken again, giving up"), "{given_up}");
        assert_eq!(traces, 5);
        assert!(first.contains("broken on purpose in run 1"));
    }
}
