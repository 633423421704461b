//! The bytes are what a client sends to a broker that serves a few topics. It answers or hangs up, and
//! goes on; a second client is then served as ever. The first byte says how the stream is cut.
#![no_main]

use std::cell::LazyCell;
use std::time::Duration;

use shore_fuzz::server::Server;
use shore_wire::messages::{MetadataRequest, MetadataResponse};

thread_local! {
    static BOOTED: LazyCell<Server> = LazyCell::new(Server::boot);
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let mut server = BOOTED.with(|booted| (**booted).clone());
    server.feed(stream, usize::from(cut) * 16 + 1);
    server.let_pass(Duration::from_secs(45));
    let metadata = server.ask::<_, MetadataResponse>(12, &MetadataRequest::default());
    assert!(metadata.brokers.len() == 1);
});
