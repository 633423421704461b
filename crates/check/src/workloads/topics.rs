//! What befalls topics: deleted and made anew, given partitions, trimmed by retention and by hand, compacted, with
//! configs that change under way.

use shore_client::Acks;
use shore_sim::{Action, ConsumerSpec, ProducerSpec};

use super::Plan;

const ANEW: &str = "anew";
const GROWN: &str = "grown";
const TRIMMED: &str = "trimmed";
const COMPACTED: &str = "compacted";

pub(super) fn begin(plan: &mut Plan<'_>) {
    plan.needs_topic_ids = true;
    made_anew(plan);
    given_partitions(plan);
    trimmed(plan);
    compacted(plan);
    let assignor = plan.assignor();
    let topics: Vec<String> = [ANEW, GROWN, TRIMMED, COMPACTED].map(str::to_owned).to_vec();
    for name in ["watcher-a", "watcher-b"] {
        let spec = plan.member(name, "watchers", ANEW, assignor);
        plan.within(1_000..8_000, Action::AddConsumer(ConsumerSpec { topics: topics.clone(), ..spec }));
    }
    for _ in 0..plan.below(6) {
        let topic = plan.one_of(&[ANEW, GROWN, TRIMMED, COMPACTED]);
        let (name, value) = plan.one_of(&[
            ("compression.type", "gzip"),
            ("compression.type", "zstd"),
            ("compression.type", "uncompressed"),
            ("compression.type", "producer"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.type", "CreateTime"),
            ("segment.ms", "300"),
            ("index.interval.bytes", "64"),
            ("max.message.bytes", "600"),
            ("max.message.bytes", "1048588"),
        ]);
        let alter = plan.alter(topic, name, value);
        plan.within(1_000..18_000, alter);
    }
}

fn made_anew(plan: &mut Plan<'_>) {
    let partitions = 1 + plan.below(3) as i32;
    let create = plan.create(ANEW, partitions, &[]);
    plan.within(0..500, create);
    let spec = plan.producer("phoenix", ANEW);
    plan.within(0..2_000, Action::AddProducer(spec));
    let mut at = plan.millis(2_000..6_000);
    for _ in 0..1 + plan.below(3) {
        plan.at(at, Action::DeleteTopic { topic: ANEW.to_owned() });
        at += plan.millis(0..1_500);
        let partitions = 1 + plan.below(4) as i32;
        let create = plan.create(ANEW, partitions, &[]);
        plan.at(at, create);
        at += plan.millis(500..5_000);
    }
}

fn given_partitions(plan: &mut Plan<'_>) {
    let create = plan.create(GROWN, 1, &[]);
    plan.within(0..500, create);
    let spec = plan.producer("grower", GROWN);
    plan.within(0..2_000, Action::AddProducer(spec));
    let mut total = 1;
    for _ in 0..1 + plan.below(3) {
        total += 1 + plan.below(3) as i32;
        plan.within(1_000..16_000, Action::CreatePartitions { topic: GROWN.to_owned(), total });
    }
}

/// Segments that are rolled soon, so that retention has something to take.
fn trimmed(plan: &mut Plan<'_>) {
    let partitions = 1 + plan.below(2) as i32;
    let kept = plan.one_of(&["1000", "4000", "60000"]);
    let create = plan.create(TRIMMED, partitions, &[("segment.ms", "500"), ("retention.ms", kept)]);
    plan.within(0..500, create);
    let spec = plan.producer("trimmer", TRIMMED);
    plan.within(0..2_000, Action::AddProducer(ProducerSpec { limit: Some(300), ..spec }));
    for _ in 0..plan.below(5) {
        let partition = plan.below(partitions as u64) as i32;
        let offset = plan.one_of(&[-1, 5, 20, 60, 100]);
        plan.within(2_000..18_000, Action::DeleteRecords { topic: TRIMMED.to_owned(), partition, offset });
    }
}

/// Few keys, so that most records are followed by another of their key.
fn compacted(plan: &mut Plan<'_>) {
    let policy = plan.one_of(&["compact", "compact", "compact,delete"]);
    let configs = [("cleanup.policy", policy), ("segment.ms", "400"), ("min.cleanable.dirty.ratio", "0.01")];
    let create = plan.create(COMPACTED, 2, &configs);
    plan.within(0..500, create);
    for name in ["keeper", "holder"] {
        let spec = plan.producer(name, COMPACTED);
        let keys = 1 + plan.below(8) as u32;
        let idempotence = plan.percent(70);
        let spec = ProducerSpec { keys, idempotence, acks: Acks::All, limit: Some(250), ..spec };
        plan.within(0..3_000, Action::AddProducer(spec));
    }
}
