//! Producers that fence one another, a store that fails, markers that come late, restarts: whatever
//! happens in which order, a transaction has one fate, and who was fenced stays fenced.

use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Duration, Instant, Random, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use shore_wire::messages::{EndTxnRequest, InitProducerIdRequest};

use super::super::TxnResponse;
use super::{Markers, TxnConfig, TxnCoordinator, TxnOutput, WALL, load};
use crate::api::RequestId;
use crate::group::{Records, WriteId};

const SEEDS: u64 = 300;
const STEPS: usize = 400;
const IDS: [&str; 2] = ["x", "y"];
const CLIENTS: usize = 4;

/// A producer as it knows itself; clients share transactional ids.
type Identity = (i64, i16);

#[derive(Clone, Copy, Debug)]
enum Asked {
    Init,
    /// By whom, and who was the newest of the id then.
    Add(Identity, Option<Identity>),
    End(Identity, Option<Identity>),
}

struct Swarm {
    seed: u64,
    random: Random,
    transactions: TxnCoordinator,
    epoch: i32,
    now: Instant,
    ids: std::ops::Range<i64>,
    log: Records,
    writes: Vec<(WriteId, Records)>,
    markers: Vec<Markers>,
    clients: [Option<Identity>; CLIENTS],
    asked: BTreeMap<RequestId, (usize, Asked)>,
    next_request: u64,
    /// The newest identity that each transactional id has given out.
    newest: [Option<Identity>; IDS.len()],
    /// What each transaction came to, by the identity in its markers.
    fates: BTreeMap<Identity, bool>,
}

fn coordinator() -> TxnCoordinator {
    TxnCoordinator::new(TxnConfig { partitions: 1, ..TxnConfig::default() })
}

impl Swarm {
    fn new(seed: u64) -> Self {
        let mut swarm = Self {
            seed,
            random: Random::stream(seed, "transactions"),
            transactions: coordinator(),
            epoch: 1,
            now: Instant::ZERO,
            ids: 0..1_000,
            log: Vec::new(),
            writes: Vec::new(),
            markers: Vec::new(),
            clients: [None; CLIENTS],
            asked: BTreeMap::default(),
            next_request: 0,
            newest: [None; IDS.len()],
            fates: BTreeMap::default(),
        };
        swarm.load();
        swarm
    }

    fn wall(&self) -> Wall {
        WALL.at(self.now)
    }

    fn load(&mut self) {
        load(&mut self.transactions, &self.log, self.epoch, self.now);
        self.drain();
    }

    fn step(&mut self) {
        let client = self.random.below(CLIENTS as u64) as usize;
        match self.random.below(20) {
            0..=2 => self.init(client),
            3..=6 => self.add(client),
            7..=9 => self.end(client),
            10..=13 => self.store(),
            14 => self.fail(),
            15..=17 => self.mark(),
            18 => self.advance(),
            _ => self.restart(),
        }
        self.drain();
    }

    fn ask(&mut self, client: usize, asked: Asked) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(id, (client, asked));
        id
    }

    fn init(&mut self, client: usize) {
        let id = self.ask(client, Asked::Init);
        let mut request = InitProducerIdRequest::default();
        request.transactional_id = Some(IDS[client % IDS.len()].into());
        request.transaction_timeout_ms = 30_000;
        (request.producer_id, request.producer_epoch) = (-1, -1);
        self.transactions.init_producer_id(self.now, self.wall(), (id, 5), &request, &mut self.ids);
    }

    fn add(&mut self, client: usize) {
        let Some(identity) = self.clients[client] else { return };
        let newest = self.newest[client % IDS.len()];
        let id = self.ask(client, Asked::Add(identity, newest));
        let mut topic = AddPartitionsToTxnTopic::default();
        topic.name = "t".into();
        topic.partitions = vec![self.random.below(3) as i32];
        let mut transaction = AddPartitionsToTxnTransaction::default();
        transaction.transactional_id = IDS[client % IDS.len()].into();
        (transaction.producer_id, transaction.producer_epoch) = identity;
        transaction.topics = vec![topic];
        self.transactions.add_partitions(self.now, self.wall(), (id, 5), &[transaction], vec![None]);
    }

    fn end(&mut self, client: usize) {
        let Some(identity) = self.clients[client] else { return };
        let newest = self.newest[client % IDS.len()];
        let id = self.ask(client, Asked::End(identity, newest));
        let mut request = EndTxnRequest::default();
        request.transactional_id = IDS[client % IDS.len()].into();
        (request.producer_id, request.producer_epoch) = identity;
        request.committed = self.random.below(2) == 0;
        self.transactions.end_txn(self.now, self.wall(), (id, 5), &request, &mut self.ids);
    }

    /// The oldest write is safe.
    fn store(&mut self) {
        if !self.writes.is_empty() {
            let (write, records) = self.writes.remove(0);
            self.log.extend(records);
            self.transactions.written(self.now, self.wall(), write, Ok(()));
        }
    }

    /// The store fails: all that it has not taken is gone.
    fn fail(&mut self) {
        for (write, _) in std::mem::take(&mut self.writes) {
            self.transactions.written(self.now, self.wall(), write, Err(ErrorCode::KafkaStorageError));
        }
    }

    /// Some markers are written, some have to be tried again, some come twice.
    fn mark(&mut self) {
        if self.markers.is_empty() {
            return;
        }
        let at = self.random.below(self.markers.len() as u64) as usize;
        let markers = self.markers[at].clone();
        if self.random.below(4) > 0 {
            self.markers.remove(at);
        }
        let results: Vec<_> = markers
            .partitions
            .iter()
            .map(|(topic, partition)| {
                let failed = self.random.below(4) == 0;
                let error = if failed { ErrorCode::NotLeaderOrFollower } else { ErrorCode::None };
                (topic.clone(), *partition, error)
            })
            .collect();
        self.transactions.markers_answered(self.now, self.wall(), &markers, results);
    }

    fn advance(&mut self) {
        self.now = self.now + Duration::from_millis(self.random.below(12_000));
        self.transactions.wake(self.now, self.wall(), &mut self.ids);
    }

    /// What is not safe is gone, and nobody hears of what was asked.
    fn restart(&mut self) {
        self.writes.clear();
        self.markers.clear();
        self.asked.clear();
        self.epoch += 1;
        self.transactions = coordinator();
        self.load();
    }

    fn drain(&mut self) {
        while let Some(output) = self.transactions.poll() {
            match output {
                TxnOutput::Append { records, write } => self.writes.push((write, records)),
                TxnOutput::Respond { request, response } => {
                    let (client, asked) = self.asked.remove(&request).expect("one response per request");
                    self.answered(client, asked, &response);
                }
                TxnOutput::SendMarkers(markers) => {
                    // All markers of a transaction say the same, over restarts too.
                    let identity = (markers.producer_id, markers.producer_epoch);
                    let fate = *self.fates.get(&identity).unwrap_or(&markers.commit);
                    assert_eq!(fate, markers.commit, "seed {}: {identity:?} has two fates", self.seed);
                    self.fates.insert(identity, fate);
                    self.markers.push(markers);
                }
                TxnOutput::Event(_) => {}
            }
        }
    }

    fn answered(&mut self, client: usize, asked: Asked, response: &TxnResponse) {
        let newest = &mut self.newest[client % IDS.len()];
        match (asked, response) {
            (Asked::Init, TxnResponse::InitProducerId(body)) if body.error_code == 0 => {
                let identity = (body.producer_id, body.producer_epoch);
                assert!(newest.is_none_or(|newest| identity > newest), "seed {}: {identity:?} twice", self.seed);
                *newest = Some(identity);
                self.clients[client] = Some(identity);
            }
            (Asked::Add(identity, before), TxnResponse::AddPartitionsToTxn(body)) => {
                let code = body.results_by_transaction[0].topic_results[0].results_by_partition[0].partition_error_code;
                let is_fenced = before.is_some_and(|newest| identity < newest);
                assert!(code != 0 || !is_fenced, "seed {}: {identity:?} was fenced by {before:?}", self.seed);
            }
            (Asked::End(identity, before), TxnResponse::EndTxn(body)) if body.error_code == 0 => {
                let is_fenced = before.is_some_and(|newest| identity < newest);
                assert!(!is_fenced, "seed {}: {identity:?} was fenced by {before:?}", self.seed);
                let next = (body.producer_id, body.producer_epoch);
                assert!(next > identity, "seed {}: {identity:?} goes on as {next:?}", self.seed);
                if self.clients[client] == Some(identity) {
                    self.clients[client] = Some(next);
                    *newest = (*newest).max(Some(next));
                }
            }
            _ => {}
        }
    }

    /// Everything that is under way comes to its end.
    fn settle(&mut self) {
        for _ in 0..20 {
            while !self.writes.is_empty() || !self.markers.is_empty() {
                self.store();
                for markers in std::mem::take(&mut self.markers) {
                    let results: Vec<_> = markers
                        .partitions
                        .iter()
                        .map(|(topic, partition)| (topic.clone(), *partition, ErrorCode::None))
                        .collect();
                    self.transactions.markers_answered(self.now, self.wall(), &markers, results);
                }
                self.drain();
            }
            self.now = self.now + Duration::from_secs(10);
            self.transactions.wake(self.now, self.wall(), &mut self.ids);
            self.drain();
        }
    }
}

#[test]
fn a_transaction_has_one_fate_and_who_is_fenced_stays_fenced() {
    let mut fates = BTreeSet::default();
    for seed in 0..SEEDS {
        let mut swarm = Swarm::new(seed);
        for _ in 0..STEPS {
            swarm.step();
        }
        swarm.settle();
        let settled = swarm.transactions.view();
        for view in &settled {
            // Timeouts have ended what nobody did.
            assert!(view.pending.is_none() && view.state.may_expire(), "seed {seed}: {view:?}");
        }
        swarm.restart();
        // An id whose first record was never stored is not there any more.
        let known: Vec<_> = settled.into_iter().filter(|view| view.producer_epoch >= 0).collect();
        assert_eq!(swarm.transactions.view(), known, "seed {seed}: a restart is a replay");
        fates.extend(swarm.fates.values().copied());
    }
    assert_eq!(fates.len(), 2, "some are committed and some aborted");
}
