//! librdkafka, called as a C program would call it: payloads are not copied, messages go in and out in bulk; and
//! kafkajs, in a process of its own.

use std::ffi::{CStr, CString, c_char, c_void};
use std::io::Write;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka_sys as rd;
use rdkafka_sys::bindings as raw;

use crate::peers::PARTITIONS;

/// How many messages one call takes.
const BULK: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

static FAILED: AtomicU64 = AtomicU64::new(0);

/// One client handle.
struct Client(*mut raw::rd_kafka_t);

impl Client {
    fn new(kind: rd::RDKafkaType, settings: &[(&str, &str)]) -> Self {
        let mut why = [0 as c_char; 512];
        // SAFETY: the strings live through the calls; the configuration is handed over to the client.
        unsafe {
            let conf = raw::rd_kafka_conf_new();
            for (key, value) in settings {
                let (name, text) = (c(key), c(value));
                let set = raw::rd_kafka_conf_set(conf, name.as_ptr(), text.as_ptr(), why.as_mut_ptr(), why.len());
                assert!(set == rd::RDKafkaConfRes::RD_KAFKA_CONF_OK, "{key}: {:?}", CStr::from_ptr(why.as_ptr()));
            }
            if kind == rd::RDKafkaType::RD_KAFKA_PRODUCER {
                raw::rd_kafka_conf_set_dr_msg_cb(conf, Some(delivered));
            }
            let client = raw::rd_kafka_new(kind, conf, why.as_mut_ptr(), why.len());
            assert!(!client.is_null(), "{:?}", CStr::from_ptr(why.as_ptr()));
            Self(client)
        }
    }

    fn poll(&self) {
        // SAFETY: the client lives.
        unsafe { raw::rd_kafka_poll(self.0, 0) };
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle.
        unsafe { raw::rd_kafka_destroy(self.0) };
    }
}

/// Only failures are reported (`delivery.report.only.error`).
unsafe extern "C" fn delivered(_: *mut raw::rd_kafka_t, _: *const raw::rd_kafka_message_t, _: *mut c_void) {
    FAILED.fetch_add(1, Ordering::Relaxed);
}

/// Produces `count` records and waits until every one is acknowledged.
pub fn produce(bootstrap: &str, topic: &str, record: usize, batch: usize, count: usize) -> Duration {
    let settings = [
        ("bootstrap.servers", bootstrap),
        ("acks", "all"),
        ("linger.ms", "5"),
        ("batch.size", &batch.to_string()),
        ("batch.num.messages", "100000"),
        ("message.max.bytes", "1200000"),
        ("queue.buffering.max.messages", "500000"),
        ("queue.buffering.max.kbytes", "262144"),
        ("delivery.report.only.error", "true"),
        ("topic.metadata.refresh.sparse", "true"),
    ];
    let client = Client::new(rd::RDKafkaType::RD_KAFKA_PRODUCER, &settings);
    let name = c(topic);
    let payload = payload(record);
    FAILED.store(0, Ordering::Relaxed);
    // SAFETY: payload and messages outlive every delivery, because the flush below waits for all of them.
    unsafe {
        let topic = raw::rd_kafka_topic_new(client.0, name.as_ptr(), ptr::null_mut());
        wait_for_metadata(&client, topic);
        let mut message: raw::rd_kafka_message_t = std::mem::zeroed();
        message.payload = payload.as_ptr() as *mut c_void;
        message.len = payload.len();
        let mut messages = vec![message; BULK];
        let begin = Instant::now();
        let mut sent = 0;
        let mut partition = 0;
        while sent < count {
            let wanted = BULK.min(count - sent);
            let taken = raw::rd_kafka_produce_batch(topic, partition, 0, messages.as_mut_ptr(), wanted as i32) as usize;
            sent += taken;
            partition = (partition + 1) % PARTITIONS;
            if taken < wanted {
                raw::rd_kafka_poll(client.0, 1);
                assert!(begin.elapsed() < PATIENCE, "{bootstrap}: {sent} of {count} after {PATIENCE:?}");
            }
        }
        let flushed = raw::rd_kafka_flush(client.0, PATIENCE.as_millis() as i32);
        let time = begin.elapsed();
        assert!(flushed == rd::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, "{bootstrap}: not all was acknowledged");
        assert_eq!(FAILED.load(Ordering::Relaxed), 0, "{bootstrap}: records failed");
        raw::rd_kafka_topic_destroy(topic);
        time
    }
}

/// Reads `count` records from the beginning of all partitions. The time runs from the first ones that come, so
/// that finding brokers and offsets is left out; returned with how many were read in it.
pub fn consume(bootstrap: &str, topic: &str, count: usize) -> (Duration, usize) {
    let settings = [
        ("bootstrap.servers", bootstrap),
        ("group.id", "bench"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "earliest"),
        ("queued.max.messages.kbytes", "262144"),
        ("fetch.wait.max.ms", "100"),
        ("check.crcs", "true"),
    ];
    let client = Client::new(rd::RDKafkaType::RD_KAFKA_CONSUMER, &settings);
    let name = c(topic);
    // SAFETY: handles are destroyed in the order that librdkafka asks for; messages once read.
    unsafe {
        raw::rd_kafka_poll_set_consumer(client.0);
        let queue = raw::rd_kafka_queue_get_consumer(client.0);
        let list = raw::rd_kafka_topic_partition_list_new(PARTITIONS);
        for partition in 0..PARTITIONS {
            (*raw::rd_kafka_topic_partition_list_add(list, name.as_ptr(), partition)).offset =
                raw::RD_KAFKA_OFFSET_BEGINNING.into();
        }
        let mut begin = Instant::now();
        let mut before = 0;
        raw::rd_kafka_assign(client.0, list);
        let mut messages: Vec<*mut raw::rd_kafka_message_t> = vec![ptr::null_mut(); BULK];
        let mut read = 0;
        while read < count {
            let got = raw::rd_kafka_consume_batch_queue(queue, 100, messages.as_mut_ptr(), messages.len());
            for &message in &messages[..got.max(0) as usize] {
                read += usize::from((*message).err == rd::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
                raw::rd_kafka_message_destroy(message);
            }
            assert!(begin.elapsed() < PATIENCE, "{bootstrap}: read {read} of {count} after {PATIENCE:?}");
            if before == 0 && read > 0 {
                (begin, before) = (Instant::now(), read);
            }
        }
        let time = begin.elapsed();
        raw::rd_kafka_topic_partition_list_destroy(list);
        raw::rd_kafka_queue_destroy(queue);
        raw::rd_kafka_consumer_close(client.0);
        (time, read - before)
    }
}

/// The median time in microseconds that kafkajs waits for a send.
pub fn kafkajs_send(bootstrap: &str, topic: &str) -> Result<f64, String> {
    const WARMUP: &str = "500";
    const COUNT: &str = "2000";
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/send.mjs");
    let mut node = Command::new("node");
    let ended =
        node.args([script, bootstrap, topic, WARMUP, COUNT]).output().map_err(|error| format!("node: {error}"))?;
    let text = String::from_utf8_lossy(&ended.stdout);
    text.trim().parse().map_err(|_| format!("kafkajs at {bootstrap}: {}", String::from_utf8_lossy(&ended.stderr)))
}

pub fn create_topic(bootstrap: &str, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let client = Client::new(rd::RDKafkaType::RD_KAFKA_PRODUCER, &[("bootstrap.servers", bootstrap)]);
    let name = c(topic);
    let mut why = [0 as c_char; 512];
    // SAFETY: what is made here is destroyed here.
    unsafe {
        let wanted = raw::rd_kafka_NewTopic_new(name.as_ptr(), partitions, 1, why.as_mut_ptr(), why.len());
        for (key, value) in configs {
            let (key, value) = (c(key), c(value));
            raw::rd_kafka_NewTopic_set_config(wanted, key.as_ptr(), value.as_ptr());
        }
        let queue = raw::rd_kafka_queue_new(client.0);
        raw::rd_kafka_CreateTopics(client.0, &mut wanted.clone(), 1, ptr::null(), queue);
        expect_good(queue, topic);
        raw::rd_kafka_NewTopic_destroy(wanted);
        raw::rd_kafka_queue_destroy(queue);
    }
}

pub fn delete_topic(bootstrap: &str, topic: &str) {
    let client = Client::new(rd::RDKafkaType::RD_KAFKA_PRODUCER, &[("bootstrap.servers", bootstrap)]);
    let name = c(topic);
    // SAFETY: as above.
    unsafe {
        let unwanted = raw::rd_kafka_DeleteTopic_new(name.as_ptr());
        let queue = raw::rd_kafka_queue_new(client.0);
        raw::rd_kafka_DeleteTopics(client.0, &mut unwanted.clone(), 1, ptr::null(), queue);
        expect_good(queue, topic);
        raw::rd_kafka_DeleteTopic_destroy(unwanted);
        raw::rd_kafka_queue_destroy(queue);
    }
}

/// librdkafka's own broker, until this process is killed.
pub fn serve_mock() {
    let client = Client::new(rd::RDKafkaType::RD_KAFKA_PRODUCER, &[("log_level", "3")]);
    // SAFETY: the cluster lives as long as the process.
    unsafe {
        let cluster = raw::rd_kafka_mock_cluster_new(client.0, 1);
        let bootstrap = CStr::from_ptr(raw::rd_kafka_mock_cluster_bootstraps(cluster));
        println!("{}", bootstrap.to_str().expect("an address is ASCII"));
    }
    std::io::stdout().flush().expect("whoever started this listens");
    loop {
        std::thread::sleep(PATIENCE);
        client.poll();
    }
}

/// The measurement begins when the client knows the topic's leaders and is connected to them.
unsafe fn wait_for_metadata(client: &Client, topic: *mut raw::rd_kafka_topic_t) {
    let begin = Instant::now();
    loop {
        let mut metadata: *const raw::rd_kafka_metadata = ptr::null();
        // SAFETY: what is given out is destroyed.
        unsafe {
            let error = raw::rd_kafka_metadata(client.0, 0, topic, &mut metadata, 5_000);
            if error == rd::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let known = &*(*metadata).topics;
                let good = (*metadata).topic_cnt == 1 && known.partition_cnt == PARTITIONS && known.err == error;
                raw::rd_kafka_metadata_destroy(metadata);
                if good {
                    return;
                }
            }
        }
        assert!(begin.elapsed() < PATIENCE, "the topic does not appear");
        std::thread::sleep(Duration::from_millis(20));
    }
}

unsafe fn expect_good(queue: *mut raw::rd_kafka_queue_t, topic: &str) {
    // SAFETY: the event is ours.
    unsafe {
        let event = raw::rd_kafka_queue_poll(queue, PATIENCE.as_millis() as i32);
        assert!(!event.is_null(), "{topic}: no answer");
        let error = raw::rd_kafka_event_error(event);
        assert!(error == rd::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, "{topic}: {error:?}");
        raw::rd_kafka_event_destroy(event);
    }
}

/// Bytes that no codec and no clever broker can shrink away.
fn payload(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

fn c(text: &str) -> CString {
    CString::new(text).expect("no zero byte in it")
}
