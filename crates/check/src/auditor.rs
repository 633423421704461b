//! The consumers that read everything once a run is at rest: one all that there is, one what is committed.

use shore_client::{Isolation, OffsetReset};
use shore_sim::{Action, ActorEvent, ActorId, ConsumerSpec, Event, EventKind};

use crate::records::Read;

pub(crate) struct Auditor {
    /// And that of its group.
    name: &'static str,
    isolation: Isolation,
    id: Option<ActorId>,
    pub read: Read,
}

impl Auditor {
    pub fn of_everything() -> Self {
        Self { name: "auditor", isolation: Isolation::ReadUncommitted, id: None, read: Read::new() }
    }

    pub fn of_what_is_committed() -> Self {
        Self { name: "committed-auditor", isolation: Isolation::ReadCommitted, ..Self::of_everything() }
    }

    pub fn begins(&self, topics: &[String]) -> Action {
        Action::AddConsumer(ConsumerSpec {
            reset: OffsetReset::Earliest,
            isolation: self.isolation,
            topics: topics.to_vec(),
            ..ConsumerSpec::new(self.name, self.name, "")
        })
    }

    pub fn observe(&mut self, event: &Event) {
        match &event.kind {
            EventKind::ActorAdded { actor, name } if name == self.name => self.id = Some(*actor),
            EventKind::Actor { actor, event: ActorEvent::Consumed { topic, partition, records } }
                if Some(*actor) == self.id =>
            {
                let log = self.read.entry((topic.clone(), *partition)).or_default();
                log.extend(records.iter().map(|(offset, value)| (*offset, value.clone().unwrap_or_default())));
            }
            _ => {}
        }
    }
}
