//! The consumer that reads everything once a run is at rest.

use shore_sim::{ActorEvent, ActorId, Event, EventKind};

use crate::records::Read;

/// Its name, and its group's.
pub(crate) const AUDITOR: &str = "auditor";

#[derive(Default)]
pub(crate) struct Auditor {
    id: Option<ActorId>,
    pub read: Read,
}

impl Auditor {
    pub fn is_there(&self) -> bool {
        self.id.is_some()
    }

    pub fn observe(&mut self, event: &Event) {
        match &event.kind {
            EventKind::ActorAdded { actor, name } if name == AUDITOR => self.id = Some(*actor),
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
