//! The log cleaner: one log at a time, the dirtiest first, a bounded number of bytes in one turn.

use bytes::Bytes;
use shore_base::Duration;
use shore_base::collections::BTreeSet;
use shore_log::storage::{FileName, ReadRange, StoreOp};
use shore_log::{CLEANER_OFFSET_CHECKPOINT, CleanStep, Cleaned, Cleaning, Dirt, MapLimits, OffsetCheckpoint};

use super::{Broker, BrokerOutput, LoadFor, Timer};
use crate::config::double::{ONE, billionths};
use crate::event::Event;
use crate::replica::{Partition, PartitionId};
use crate::view::CleaningView;

#[derive(Clone, Debug, Default)]
pub(crate) struct Cleaner {
    /// Up to where each log is clean.
    checkpoint: OffsetCheckpoint,
    round: Option<Round>,
    /// Whether the timer is set, or a round under way.
    is_awake: bool,
    /// Logs that could not be cleaned.
    uncleanable: BTreeSet<PartitionId>,
    /// Loads that wait until segments are swapped: meanwhile the files are neither the old ones nor the new.
    held: Vec<LoadFor>,
    /// The number of the last load or store that was asked for: answers to others are of rounds that are
    /// given up.
    asked: u64,
}

#[derive(Clone, Debug)]
struct Round {
    id: PartitionId,
    cleaning: Cleaning,
    waits: Waits,
    /// Bytes that may still be read in this turn.
    budget: u64,
}

#[derive(Clone, Debug)]
enum Waits {
    Turn,
    Load(ReadRange),
    Store,
}

/// Bytes that are read in one turn, and the least time between two.
const BUDGET: u64 = 1 << 20;
const TURN: Duration = Duration::from_millis(1);

impl Cleaner {
    pub fn new(checkpoint: OffsetCheckpoint) -> Self {
        Self { checkpoint, ..Self::default() }
    }

    /// The directory of the log whose files are being swapped.
    fn swapping<'a>(&self, broker: &'a Broker) -> Option<&'a FileName> {
        let round = self.round.as_ref().filter(|round| round.cleaning.is_swapping())?;
        Some(broker.replicas.get(round.id)?.log.directory())
    }
}

impl Broker {
    /// There is a compacted log: the cleaner looks at it from time to time.
    pub(super) fn wake_cleaner(&mut self) {
        if !self.cleaner.is_awake && self.settings.flag("log.cleaner.enable") {
            self.cleaner.is_awake = true;
            self.set_timer(self.now + self.settings.millis("log.cleaner.backoff.ms"), Timer::Cleaner);
        }
    }

    /// One turn: goes on with the round, or begins one if a log is dirty enough.
    pub(super) fn clean(&mut self) {
        if let Some(round) = &mut self.cleaner.round {
            if matches!(round.waits, Waits::Turn) {
                round.budget = BUDGET;
                self.clean_on();
            }
            return;
        }
        self.cleaner.is_awake = false;
        let Some((id, dirt)) = self.dirtiest() else {
            if self.maintain_compacted() {
                self.wake_cleaner();
            }
            return;
        };
        self.cleaner.is_awake = true;
        let limits = MapLimits {
            bytes: self.settings.long("log.cleaner.dedupe.buffer.size").max(0) as u64,
            load: self.settings.billionths("log.cleaner.io.buffer.load.factor").max(0) as u64,
        };
        let wall = self.wall;
        let Some(partition) = self.replicas.get_soft(id) else { return };
        let cleaning = partition.log.begin_cleaning(dirt, limits, wall);
        let topic = partition.topic.clone();
        self.cleaner.round = Some(Round { id, cleaning, waits: Waits::Turn, budget: BUDGET });
        self.emit(|| Event::CleaningBegan { topic, partition: id.partition, dirt });
        self.clean_on();
    }

    /// The log with the largest share of dirt, of those that have enough.
    fn dirtiest(&self) -> Option<(PartitionId, Dirt)> {
        let mut dirtiest: Option<(PartitionId, Dirt)> = None;
        for partition in self.replicas.iter().filter(|partition| !self.cleaner.uncleanable.contains(&partition.id)) {
            let cleaned_to = self.cleaner.checkpoint.get(partition.log.directory().base_name());
            let Some(dirt) = partition.log.dirt(cleaned_to, self.wall) else { continue };
            let is_dirtier = dirtiest.is_none_or(|(_, known)| dirt.is_dirtier_than(&known));
            if is_dirtier && dirt.is_enough(partition.log.config().min_cleanable_dirty_ratio) {
                dirtiest = Some((partition.id, dirt));
            }
        }
        dirtiest
    }

    /// How a compacted log stands; while a round is under way, how it stood when that began.
    pub fn cleaning_view(&self, partition: &Partition) -> Option<CleaningView> {
        if let Some(round) = self.cleaner.round.as_ref().filter(|round| round.id == partition.id) {
            return Some(CleaningView { dirt: *round.cleaning.dirt(), is_under_way: true });
        }
        let cleaned_to = self.cleaner.checkpoint.get(partition.log.directory().base_name());
        let dirt = partition.log.dirt(cleaned_to, self.wall)?;
        Some(CleaningView { dirt, is_under_way: false })
    }

    fn clean_on(&mut self) {
        let Some(mut round) = self.cleaner.round.take() else { return };
        let Some(partition) = self.replicas.get_soft(round.id) else { return self.next_turn(0) };
        match round.cleaning.step(&mut partition.log, &mut round.budget) {
            Ok(CleanStep::Load(range)) => {
                round.waits = Waits::Load(range.clone());
                self.cleaner.round = Some(round);
                self.cleaner.asked += 1;
                self.load(LoadFor::Cleaner { asked: self.cleaner.asked }, vec![range]);
            }
            Ok(CleanStep::Store(ops)) => {
                round.waits = Waits::Store;
                self.cleaner.round = Some(round);
                self.cleaner.asked += 1;
                self.outputs.push_back(BrokerOutput::Clean { ops, asked: self.cleaner.asked });
            }
            Ok(CleanStep::Pause) => {
                self.cleaner.round = Some(round);
                self.next_turn(BUDGET);
            }
            Ok(CleanStep::Done(cleaned)) => self.cleaned(round.id, cleaned),
            Err(error) => {
                self.cleaner.uncleanable.insert(round.id);
                let why = format!("{} at byte {} of segment {}", error.what, error.position, error.segment);
                self.give_up(round, &why);
            }
        }
    }

    fn cleaned(&mut self, id: PartitionId, cleaned: Cleaned) {
        let Some(partition) = self.replicas.get(id) else { return self.next_turn(0) };
        let (topic, name) = (partition.topic.clone(), partition.log.directory().base_name().to_owned());
        if self.cleaner.checkpoint.set(&name, Some(cleaned.to)) {
            self.write_cleaner_checkpoint();
        }
        self.await_deletion(id);
        self.emit(|| Event::LogCleaned { topic, partition: id.partition, cleaned });
        self.next_turn(BUDGET);
    }

    fn give_up(&mut self, round: Round, why: &str) {
        if let Some(partition) = self.replicas.get_soft(round.id) {
            let ops = round.cleaning.abandon(&mut partition.log);
            let directory = partition.log.directory().clone();
            self.outputs.extend(ops.into_iter().map(BrokerOutput::Store));
            self.log_line(format!("{directory} cannot be cleaned: {why}"));
        }
        self.next_turn(0);
    }

    /// The next turn comes when so many bytes may have been read (`log.cleaner.io.max.bytes.per.second`).
    fn next_turn(&mut self, bytes: u64) {
        let rate = self.settings.text("log.cleaner.io.max.bytes.per.second").and_then(|text| billionths(text.trim()));
        // A rate beyond what an integer holds is none.
        let rate = rate.map_or(u64::MAX, |rate| rate.max(0).unsigned_abs() / ONE.unsigned_abs()).max(1);
        let pause = Duration::from_millis(bytes.saturating_mul(1000) / rate);
        self.set_timer(self.now + pause.max(TURN), Timer::Cleaner);
    }

    pub(super) fn cleaner_loaded(&mut self, asked: u64, result: Result<Vec<Bytes>, String>) {
        let Some(mut round) = self.cleaner.round.take_if(|_| asked == self.cleaner.asked) else { return };
        let Waits::Load(range) = std::mem::replace(&mut round.waits, Waits::Turn) else { return };
        match result.map(|bytes| bytes.into_iter().next()) {
            Ok(bytes) => {
                round.cleaning.loaded(&range, bytes.unwrap_or_default());
                self.cleaner.round = Some(round);
                self.clean_on();
            }
            Err(why) => self.give_up(round, &why),
        }
    }

    /// The ops of a turn are stored.
    pub fn cleaner_stored(&mut self, asked: u64) {
        let wall = self.wall;
        let is_it = asked == self.cleaner.asked;
        let Some(round) = self.cleaner.round.as_mut().filter(|_| is_it) else { return };
        round.waits = Waits::Turn;
        if let Some(partition) = self.replicas.get_soft(round.id) {
            round.cleaning.stored(&mut partition.log, wall);
        }
        self.release_loads();
        self.clean_on();
    }

    /// A load of a log whose segments are being swapped waits until they are.
    pub(super) fn holds_load(&self, purpose: &LoadFor, reads: &[ReadRange]) -> bool {
        let swapping = self.cleaner.swapping(self);
        !matches!(purpose, LoadFor::Cleaner { .. })
            && swapping.is_some_and(|directory| reads.iter().any(|range| range.file.is_below(directory)))
    }

    pub(super) fn hold_load(&mut self, purpose: LoadFor) {
        self.cleaner.held.push(purpose);
    }

    /// What was held is asked again: the answer may lie elsewhere now.
    fn release_loads(&mut self) {
        if self.cleaner.swapping(self).is_none() {
            for purpose in std::mem::take(&mut self.cleaner.held) {
                self.loaded(purpose, Ok(Vec::new()));
            }
        }
    }

    /// A partition is there anew, or gone: nothing of it was cleaned.
    pub(super) fn cleaner_forgets(&mut self, id: PartitionId, directory: &FileName) {
        self.cleaner.uncleanable.remove(&id);
        if self.cleaner.round.take_if(|round| round.id == id).is_some() {
            self.next_turn(0);
        }
        if self.cleaner.checkpoint.set(directory.base_name(), None) {
            self.write_cleaner_checkpoint();
        }
        self.release_loads();
    }

    fn write_cleaner_checkpoint(&mut self) {
        let file = self.node.directory.join(CLEANER_OFFSET_CHECKPOINT);
        let op = StoreOp::Replace { file, bytes: self.cleaner.checkpoint.encode() };
        self.outputs.push_back(BrokerOutput::Store(op));
    }

    /// As in Kafka the cleaner sees to the retention of its logs, more often than the others' is. Says
    /// whether there are any.
    fn maintain_compacted(&mut self) -> bool {
        let is_compacted = |partition: &&Partition| partition.log.config().cleanup_policy.compact;
        let ids: Vec<PartitionId> = self.replicas.iter().filter(is_compacted).map(|partition| partition.id).collect();
        for &id in &ids {
            self.maintain_partition(id);
        }
        !ids.is_empty()
    }
}
