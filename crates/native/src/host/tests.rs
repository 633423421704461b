//! A node behind its port, on a store that does as it is told.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use shore_base::Uuid;
use shore_broker::NodeConfig;
use shore_broker::node::Durability;
use shore_log::memory::MemoryStore;
use shore_wire::error::ErrorCode;

use super::*;
use crate::listener;
use crate::serve::{CONFIGS, NODE, run_node};
use crate::store::tests::{Health, SickStore};
use client::Client;

#[path = "../../tests/it/client.rs"]
mod client;

const TOPIC: &str = "orders";

#[test]
fn a_node_that_breaks_hangs_up_and_comes_back_with_all_that_it_acknowledged() {
    let running = Running::start();
    let (mut client, mut other) = (running.connect(), running.connect());
    for offset in 0..3 {
        assert_eq!(client.produce(TOPIC, 0, b"acknowledged"), offset);
    }
    assert_eq!(other.topics(), [(TOPIC.to_owned(), 1)]);
    running.is_now(Health::Breaking);
    client.ask_to_produce(TOPIC, 0, b"never acknowledged");
    assert_eq!(client.answer_to_produce(), None, "a hang-up, not an answer");
    assert!(other.is_closed());
    let mut client = running.connect();
    let kept: Vec<_> = (0..3).map(|offset| (offset, b"acknowledged".to_vec())).collect();
    assert_eq!(client.read_all(TOPIC, 0), kept);
    assert_eq!(client.produce(TOPIC, 0, b"after"), 3);
    let (result, traces) = running.stop();
    assert_eq!(result, Ok(()));
    assert!(traces.len() == 1 && traces[0].contains("broken on purpose"), "{traces:?}");
}

#[test]
fn a_full_or_read_only_disk_is_a_storage_error_until_it_heals() {
    let running = Running::start();
    let (mut client, mut other) = (running.connect(), running.connect());
    let mut acknowledged = Vec::new();
    for sickness in [Health::Full, Health::ReadOnly] {
        acknowledged.push(client.produce(TOPIC, 0, b"acknowledged"));
        running.is_now(sickness);
        for _ in 0..3 {
            client.ask_to_produce(TOPIC, 0, b"refused");
            let answer = client.answer_to_produce().expect("no hang-up");
            assert_eq!(answer, Err(ErrorCode::KafkaStorageError.code()), "{sickness:?}");
        }
        // Who reads is served meanwhile.
        assert_eq!(other.topics(), [(TOPIC.to_owned(), 1)]);
        let read = other.read_all(TOPIC, 0);
        assert!(read.iter().map(|(offset, _)| offset).eq(&acknowledged), "{sickness:?}: {read:?}");
        running.is_now(Health::Well);
    }
    acknowledged.push(client.produce(TOPIC, 0, b"acknowledged"));
    assert_eq!(acknowledged, [0, 1, 2], "what was refused is not there");
    assert_eq!(running.stop(), (Ok(()), Vec::new()));
}

struct Running {
    address: String,
    health: Arc<Mutex<Health>>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    traces: PathBuf,
    thread: JoinHandle<Result<(), String>>,
}

impl Running {
    fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("shore-host-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let traces = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&traces).unwrap();
        let listeners = listener::listen(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], 0).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let poll = Poll::new().unwrap();
        let waker = Ground::waker(&poll).unwrap();
        let (stop, health) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Health::Well)));
        let store = Store::Sick(SickStore { store: MemoryStore::new(), health: health.clone() });
        let limits =
            Limits { max_request_bytes: 1 << 20, max_connections: 10, max_idle: None, max_queued_bytes: 1 << 20 };
        let config = NodeConfig {
            node_id: NODE,
            cluster_id: Uuid([1; 16]),
            directory: "n1/d0".into(),
            advertised_host: "127.0.0.1".to_owned(),
            advertised_port: address.port(),
            static_configs: CONFIGS.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            durability: Durability::Written,
            cache_bytes: 1 << 20,
            memory_ceiling_bytes: None,
            seed: 1,
        };
        let (ready, is_ready) = channel();
        let (asked, kept) = (stop.clone(), traces.clone());
        let thread = std::thread::spawn(move || {
            let mut ground = Ground::new(poll, listeners, store, Buffers::default(), asked, limits).unwrap();
            run_node(&mut ground, &config, &[(TOPIC.to_owned(), 1)], &kept, move || {
                let _ = ready.send(());
            })
        });
        is_ready.recv().expect("a node that is ready");
        Self { address: address.to_string(), health, stop, waker, traces, thread }
    }

    fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    fn is_now(&self, health: Health) {
        *self.health.lock().unwrap() = health;
    }

    /// How it ended, and the traces that it left.
    fn stop(self) -> (Result<(), String>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake().unwrap();
        let result = self.thread.join().expect("it catches panics");
        let files = std::fs::read_dir(&self.traces).unwrap();
        let traces = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        std::fs::remove_dir_all(&self.traces).unwrap();
        (result, traces)
    }
}
