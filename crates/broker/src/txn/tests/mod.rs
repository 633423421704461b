//! Every rule of the coordinator as a transcript.
//!
//! `init i1 x` sends an InitProducerId for the transactional id `x` as request `i1`. Lines that begin with
//! `=` are what is expected. Everything goes through frames of the version that a line names with `v=`
//! (the newest otherwise). Markers wait for `marked`; `marked t:0=NOT_ENOUGH_REPLICAS` answers one of them
//! with an error.

mod swarm;

use std::ops::Range;
use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_base::{Duration, Instant, Wall};
use shore_wire::api::ApiKey;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{self, Frame};
use shore_wire::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use shore_wire::messages::add_partitions_to_txn_response::AddPartitionsToTxnTopicResult;
use shore_wire::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, KafkaRequest, KafkaResponse, ListTransactionsRequest, StrBytes,
};
use shore_wire::records::transaction::TransactionRecord;

use super::{Markers, TransactionState, TxnConfig, TxnCoordinator, TxnEvent, TxnOutput};
use crate::api::RequestId;
use crate::group::{Records, WriteId};
use crate::transcript::{Bench as _, Line};

/// One file per subject; a blank line and a `#` begin a scenario with a coordinator of its own.
const TRANSCRIPTS: &[(&str, &str)] = &[
    ("init", include_str!("init.txt")),
    ("add", include_str!("add.txt")),
    ("end_v1", include_str!("end_v1.txt")),
    ("end_v2", include_str!("end_v2.txt")),
    ("markers", include_str!("markers.txt")),
    ("storage", include_str!("storage.txt")),
    ("time", include_str!("time.txt")),
    ("describe", include_str!("describe.txt")),
];

#[test]
fn transcripts_hold() {
    crate::transcript::hold::<Bench>(TRANSCRIPTS);
}

#[test]
fn every_transition_is_one_that_kafka_allows() {
    use TransactionState::{
        CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence,
    };
    let all = [Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, Dead, PrepareEpochFence];
    // What may come before each state, as Kafka's table has it.
    let allowed: &[(TransactionState, &[TransactionState])] = &[
        (Empty, &[Empty, CompleteCommit, CompleteAbort]),
        (Ongoing, &[Ongoing, Empty, CompleteCommit, CompleteAbort]),
        (PrepareCommit, &[Ongoing]),
        (PrepareAbort, &[Ongoing, PrepareEpochFence, Empty, CompleteCommit, CompleteAbort]),
        (CompleteCommit, &[PrepareCommit]),
        (CompleteAbort, &[PrepareAbort]),
        (Dead, &[Empty, CompleteAbort, CompleteCommit]),
        (PrepareEpochFence, &[Ongoing]),
    ];
    for (number, state) in all.into_iter().enumerate() {
        assert_eq!(usize::try_from(state.id()), Ok(number), "the numbers of the log");
        assert_eq!(TransactionState::from_id(state.id()), Some(state));
        assert_eq!(TransactionState::from_name(state.name()), Some(state));
    }
    for (next, before) in allowed {
        for state in all {
            assert_eq!(state.may_become(*next), before.contains(&state), "{state:?} to {next:?}");
        }
    }
}

fn number_at<T: std::str::FromStr>(line: &Line<'_>, index: usize) -> T {
    line.word(index).parse().unwrap_or_else(|_| panic!("{} is no number", line.word(index)))
}

/// The transactional id; `-` stands for an empty one.
fn transactional_id(line: &Line<'_>) -> StrBytes {
    if line.word(2) == "-" { StrBytes::default() } else { line.word(2).into() }
}

/// Partition 0 of `__transaction_state` becomes the coordinator's, with what its log says.
fn load(transactions: &mut TxnCoordinator, log: &Records, epoch: i32, now: Instant) {
    transactions.load_begin(0, epoch);
    for (key, value) in log {
        transactions.apply(0, key, value.as_deref()).expect("our own record");
    }
    transactions.load_end(now, WALL.at(now), 0);
}

/// A coordinator with a log that keeps what it is given, at a time that only `advance` moves.
struct Bench {
    transactions: TxnCoordinator,
    epoch: i32,
    now: Instant,
    ids: Range<i64>,
    requests: BTreeMap<RequestId, (String, ApiKey, i16)>,
    next_request: u64,
    /// Records that are safe, as a reload would find them.
    log: Records,
    /// Writes that wait for `written` or `fail`, while `hold` is on.
    writes: Vec<(WriteId, Records)>,
    hold: bool,
    markers: Vec<Markers>,
}

const WALL: Wall = Wall::from_millis(1_000_000);

fn config() -> TxnConfig {
    TxnConfig { partitions: 1, ..TxnConfig::default() }
}

impl crate::transcript::Bench for Bench {
    /// Options: `ids=` is how many producer ids there are.
    fn new(options: &str) -> Self {
        let options = Line::parse(options);
        let mut bench = Self {
            transactions: TxnCoordinator::new(config()),
            epoch: 1,
            now: Instant::ZERO,
            ids: 100..100 + options.number("ids", 100),
            requests: BTreeMap::new(),
            next_request: 0,
            log: Vec::new(),
            writes: Vec::new(),
            hold: false,
            markers: Vec::new(),
        };
        bench.load();
        bench
    }

    fn play(&mut self, text: &str) -> Vec<String> {
        let line = Line::parse(text);
        let (now, wall) = (self.now, self.wall());
        match line.words[0] {
            "init" => self.init(&line),
            "add" | "verify" => self.add(&line),
            "offsets" => self.offsets(&line),
            "end" => self.end(&line),
            "describe" => {
                let ids = line.words[1..].iter().map(|id| if *id == "-" { "" } else { id });
                return ids.map(|id| self.describe(id)).collect();
            }
            "list" => return vec![self.list(&line)],
            "advance" => return self.advance(number_at(&line, 1)),
            "hold" => self.hold = true,
            "written" => {
                self.hold = false;
                for (write, records) in std::mem::take(&mut self.writes) {
                    self.log.extend(records);
                    self.transactions.written(now, wall, write, Ok(()));
                }
            }
            "fail" => {
                self.hold = false;
                for (write, _) in std::mem::take(&mut self.writes) {
                    self.transactions.written(now, wall, write, Err(error_named(line.word(1))));
                }
            }
            "marked" => self.marked(&line),
            "restart" => {
                self.epoch += 1;
                self.markers.clear();
                self.writes.clear();
                self.transactions = TxnCoordinator::new(config());
                self.load();
            }
            "begin" => self.transactions.load_begin(0, self.epoch),
            "load" => self.load(),
            "unload" => self.transactions.unload(now, wall, 0),
            "watch" => self.transactions.observe(true),
            // Epochs are used up by writing one into the log.
            "forge" => self.forge(&line),
            "view" => return self.view(),
            other => panic!("{other} is no command"),
        }
        self.drain()
    }
}

impl Bench {
    fn wall(&self) -> Wall {
        WALL.at(self.now)
    }

    fn load(&mut self) {
        load(&mut self.transactions, &self.log, self.epoch, self.now);
    }

    fn ask<M: KafkaRequest>(&mut self, line: &Line<'_>, newest: i16, request: &M) -> (RequestId, i16) {
        let version = line.number("v", newest.into()) as i16;
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let api = ApiKey::try_from(M::API_KEY.value()).expect("a known key");
        self.requests.insert(id, (line.word(1).to_owned(), api, version));
        frame::encode_request(1, Some("client"), version, request).unwrap_or_else(|error| panic!("{error}"));
        (id, version)
    }

    /// `init REQUEST ID timeout= pid= epoch=`
    fn init(&mut self, line: &Line<'_>) {
        let mut request = InitProducerIdRequest::default();
        request.transactional_id = Some(transactional_id(line));
        request.transaction_timeout_ms = line.number("timeout", 60_000) as i32;
        if line.number("v", 5) >= 3 {
            request.producer_id = line.number("pid", -1);
            request.producer_epoch = line.number("epoch", -1) as i16;
        }
        let (id, version) = self.ask(line, 5, &request);
        let (now, wall) = (self.now, self.wall());
        self.transactions.init_producer_id(now, wall, (id, version), &request, &mut self.ids);
    }

    /// `add REQUEST ID PID EPOCH t:0 t:1 u:0`; several transactions of version 4 and later are divided by
    /// `/`, each beginning with its id. `verify` only asks.
    fn add(&mut self, line: &Line<'_>) {
        let mut transactions = Vec::new();
        for words in line.words[2..].split(|word| *word == "/") {
            let mut transaction = AddPartitionsToTxnTransaction::default();
            transaction.transactional_id = if words[0] == "-" { StrBytes::default() } else { words[0].into() };
            transaction.producer_id = words[1].parse().expect("a producer id");
            transaction.producer_epoch = words[2].parse().expect("an epoch");
            transaction.verify_only = line.words[0] == "verify";
            for word in &words[3..] {
                let (name, index) = partition(word);
                match transaction.topics.iter_mut().find(|topic| topic.name.as_str() == name) {
                    Some(topic) => topic.partitions.push(index),
                    None => {
                        let mut topic = AddPartitionsToTxnTopic::default();
                        topic.name = name.into();
                        topic.partitions.push(index);
                        transaction.topics.push(topic);
                    }
                }
            }
            transactions.push(transaction);
        }
        let newest = if line.words[0] == "verify" { 5 } else { 3 };
        let (id, version) = {
            let version = line.number("v", newest) as i16;
            let mut request = shore_wire::messages::AddPartitionsToTxnRequest::default();
            if version >= 4 {
                request.transactions.clone_from(&transactions);
            }
            self.ask(line, newest as i16, &request)
        };
        let (now, wall, decided) = (self.now, self.wall(), transactions.iter().map(|_| None).collect());
        self.transactions.add_partitions(now, wall, (id, version), &transactions, decided);
    }

    /// `offsets REQUEST ID PID EPOCH PARTITION`
    fn offsets(&mut self, line: &Line<'_>) {
        let request = shore_wire::messages::AddOffsetsToTxnRequest::default();
        let (id, version) = self.ask(line, 4, &request);
        let (now, wall) = (self.now, self.wall());
        let (producer, offsets) =
            ((number_at(line, 3), number_at(line, 4)), ("__consumer_offsets", number_at(line, 5)));
        self.transactions.add_offsets(now, wall, (id, version), &transactional_id(line), producer, offsets);
    }

    /// `end REQUEST ID PID EPOCH commit|abort`
    fn end(&mut self, line: &Line<'_>) {
        let mut request = EndTxnRequest::default();
        request.transactional_id = transactional_id(line);
        request.producer_id = number_at(line, 3);
        request.producer_epoch = number_at(line, 4);
        request.committed = line.word(5) == "commit";
        let (id, version) = self.ask(line, 5, &request);
        let (now, wall) = (self.now, self.wall());
        self.transactions.end_txn(now, wall, (id, version), &request, &mut self.ids);
    }

    fn marked(&mut self, line: &Line<'_>) {
        let errors: BTreeMap<&str, ErrorCode> = line.words[1..]
            .iter()
            .map(|word| word.split_once('=').unwrap_or_else(|| panic!("{word} is no answer")))
            .map(|(partition, error)| (partition, error_named(error)))
            .collect();
        let (now, wall) = (self.now, self.wall());
        for markers in std::mem::take(&mut self.markers) {
            let answer = |(topic, index): &(Arc<str>, i32)| {
                let error = errors.get(&*format!("{topic}:{index}")).copied().unwrap_or(ErrorCode::None);
                (topic.clone(), *index, error)
            };
            let results: Vec<_> = markers.partitions.iter().map(answer).collect();
            self.transactions.markers_answered(now, wall, &markers, results);
        }
    }

    /// `forge ID epoch=`: the id's last record with another epoch, then a restart.
    fn forge(&mut self, line: &Line<'_>) {
        let id = line.word(1);
        let last = self.log.iter().rev().find_map(|(key, value)| {
            match TransactionRecord::decode(key, value.as_deref()).expect("our own record") {
                TransactionRecord::Transaction { transactional_id, value: Some(value) }
                    if transactional_id.as_str() == id =>
                {
                    Some(value)
                }
                _ => None,
            }
        });
        let mut value = last.expect("a record of this id");
        value.producer_epoch = line.number("epoch", 0) as i16;
        let record = TransactionRecord::Transaction { transactional_id: id.into(), value: Some(value) };
        self.log.push(record.encode().expect("it fits"));
        self.play("restart");
    }

    /// Fires what is due on the way, and says when.
    fn advance(&mut self, millis: u64) -> Vec<String> {
        let until = self.now + Duration::from_millis(millis);
        let mut lines = Vec::new();
        while let Some((due, _)) = self.transactions.next_wake().filter(|(due, _)| *due <= until) {
            self.now = due.max(self.now);
            self.transactions.wake(self.now, self.wall(), &mut self.ids);
            let at = self.now.as_millis();
            lines.extend(self.drain().into_iter().map(|line| format!("{at}: {line}")));
        }
        self.now = until;
        lines
    }

    fn drain(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.transactions.poll() {
            match output {
                TxnOutput::Append { records, write } => {
                    lines.extend(records.iter().map(|(key, value)| show_record(key, value.as_deref())));
                    if self.hold {
                        self.writes.push((write, records));
                    } else {
                        self.log.extend(records);
                        self.transactions.written(self.now, self.wall(), write, Ok(()));
                    }
                }
                TxnOutput::Respond { request, response } => {
                    let (name, api, version) = self.requests.remove(&request).expect("one response per request");
                    let frame =
                        response.encode(1, version).unwrap_or_else(|error| panic!("{api:?} v{version}: {error}"));
                    lines.push(format!("{name} {}", show_response(api, version, &frame)));
                }
                TxnOutput::SendMarkers(markers) => {
                    lines.push(show_markers(&markers));
                    self.markers.push(markers);
                }
                TxnOutput::Event(event) => lines.push(show_event(&event)),
            }
        }
        lines
    }

    fn describe(&self, id: &str) -> String {
        let described = self.transactions.describe(&id.into());
        if described.error_code != 0 {
            return format!("{id} {}", error(described.error_code));
        }
        let topics = described.topics.iter().flat_map(|topic| {
            let name = topic.topic.as_str();
            topic.partitions.iter().map(move |index| format!("{name}:{index}"))
        });
        format!(
            "{id} {} {}/{} timeout={} started={} [{}]",
            described.transaction_state.as_str(),
            described.producer_id,
            described.producer_epoch,
            described.transaction_timeout_ms,
            described.transaction_start_time_ms,
            topics.collect::<Vec<_>>().join(" ")
        )
    }

    /// `list states=A,B pids=1,2 older=1000`
    fn list(&self, line: &Line<'_>) -> String {
        let of = |key| line.option(key).into_iter().flat_map(|all| all.split(','));
        let mut request = ListTransactionsRequest::default();
        request.state_filters = of("states").map(StrBytes::from).collect();
        request.producer_id_filters = of("pids").map(|id| id.parse().expect("an id")).collect();
        request.duration_filter = line.number("older", -1);
        let response = self.transactions.list(self.wall(), &request);
        let listed = response.transaction_states.iter().map(|listed| {
            format!("{} {} {}", listed.transactional_id.as_str(), listed.producer_id, listed.transaction_state.as_str())
        });
        let listed = listed.collect::<Vec<_>>().join(", ");
        let unknown: Vec<&str> = response.unknown_state_filters.iter().map(StrBytes::as_str).collect();
        let unknown = if unknown.is_empty() { String::new() } else { format!(" unknown: {}", unknown.join(" ")) };
        format!("{} [{listed}]{unknown}", error(response.error_code))
    }

    fn view(&self) -> Vec<String> {
        let views = self.transactions.view().into_iter().map(|view| {
            let pending = view.pending.map_or_else(String::new, |state| format!(" pending {state:?}"));
            let partitions = view.partitions.iter().map(|(topic, index)| format!("{topic}:{index}"));
            format!(
                "{} {:?}{pending} {}/{} [{}]",
                view.transactional_id,
                view.state,
                view.producer_id,
                view.producer_epoch,
                partitions.collect::<Vec<_>>().join(" ")
            )
        });
        views.collect()
    }
}

fn partition(word: &str) -> (&str, i32) {
    let (name, index) = word.split_once(':').unwrap_or_else(|| panic!("{word} is no partition"));
    (name, index.parse().expect("a partition's number"))
}

fn error_named(name: &str) -> ErrorCode {
    *ErrorCode::ALL.iter().find(|error| error.name() == name).unwrap_or_else(|| panic!("{name} is no error"))
}

fn error(code: i16) -> &'static str {
    if code == 0 { "ok" } else { ErrorCode::from_code(code).expect("a known code").name() }
}

fn decoded<R: KafkaResponse>(frame: &Frame, version: i16) -> R {
    frame::decode_response(frame.body(), version).unwrap_or_else(|error| panic!("{} v{version}: {error}", R::NAME)).1
}

fn show_response(api: ApiKey, version: i16, frame: &Frame) -> String {
    match api {
        ApiKey::InitProducerId => {
            let body: InitProducerIdResponse = decoded(frame, version);
            format!("{} {}/{}", error(body.error_code), body.producer_id, body.producer_epoch)
        }
        ApiKey::EndTxn => {
            let body: EndTxnResponse = decoded(frame, version);
            let told =
                if version >= 5 { format!(" {}/{}", body.producer_id, body.producer_epoch) } else { String::new() };
            format!("{}{told}", error(body.error_code))
        }
        ApiKey::AddOffsetsToTxn => {
            let body: AddOffsetsToTxnResponse = decoded(frame, version);
            error(body.error_code).to_owned()
        }
        ApiKey::AddPartitionsToTxn => {
            let body: AddPartitionsToTxnResponse = decoded(frame, version);
            if version < 4 {
                return show_results(&body.results_by_topic_v3_and_below);
            }
            let of_transaction = body
                .results_by_transaction
                .iter()
                .map(|result| format!("{}: {}", result.transactional_id.as_str(), show_results(&result.topic_results)));
            of_transaction.collect::<Vec<_>>().join(" / ")
        }
        other => panic!("{other:?} is none of these"),
    }
}

fn show_results(topics: &[AddPartitionsToTxnTopicResult]) -> String {
    let results = topics.iter().flat_map(|topic| {
        let name = topic.name.as_str();
        let show =
            move |result: &shore_wire::messages::add_partitions_to_txn_response::AddPartitionsToTxnPartitionResult| {
                format!("{name}:{} {}", result.partition_index, error(result.partition_error_code))
            };
        topic.results_by_partition.iter().map(show)
    });
    results.collect::<Vec<_>>().join(" ")
}

fn show_record(key: &[u8], value: Option<&[u8]>) -> String {
    let record = TransactionRecord::decode(key, value).expect("our own record");
    let TransactionRecord::Transaction { transactional_id, value } = record else { panic!("{record:?}") };
    let id = transactional_id.as_str();
    let Some(value) = value else { return format!("log {id} tombstone") };
    let state = TransactionState::from_id(value.status).expect("a state");
    let mut line = format!("log {id} {state:?} {}/{}", value.producer_id, value.producer_epoch);
    if value.previous_producer_id != value.producer_id {
        line += &format!(" before={}", value.previous_producer_id);
    }
    if value.next_producer_id != -1 {
        line += &format!(" next={}", value.next_producer_id);
    }
    line += &format!(" v{} timeout={}", value.client_transaction_version, value.timeout_ms);
    line += &format!(" start={} at={}", value.start_timestamp, value.last_update_timestamp);
    if let Some(topics) = value.partitions {
        let partitions = topics.iter().flat_map(|topic| {
            let name = topic.topic.as_str();
            topic.partitions.iter().map(move |index| format!("{name}:{index}"))
        });
        line += &format!(" [{}]", partitions.collect::<Vec<_>>().join(" "));
    }
    line
}

fn show_markers(markers: &Markers) -> String {
    let partitions = markers.partitions.iter().map(|(topic, index)| format!("{topic}:{index}"));
    format!(
        "markers {} {} {}/{} coordinator={} v{} [{}]",
        markers.transactional_id,
        if markers.commit { "commit" } else { "abort" },
        markers.producer_id,
        markers.producer_epoch,
        markers.coordinator_epoch,
        markers.version.0,
        partitions.collect::<Vec<_>>().join(" ")
    )
}

fn show_event(event: &TxnEvent) -> String {
    match event {
        TxnEvent::StateChanged { transactional_id, from, to, producer_id, producer_epoch, partitions } => {
            let from = from.map_or_else(|| "nothing".to_owned(), |from| format!("{from:?}"));
            format!("* {transactional_id} {from} to {to:?}, {producer_id}/{producer_epoch}, {partitions} partitions")
        }
        TxnEvent::TimedOut { transactional_id, producer_id, producer_epoch } => {
            format!("* {transactional_id} timed out, {producer_id}/{producer_epoch}")
        }
        TxnEvent::Expired { transactional_id } => format!("* {transactional_id} expired"),
    }
}
