//! What is going to happen, in the order in which it will.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Instant, NodeId};

use crate::action::Action;
use crate::actor::ActorId;
use crate::event::EventId;
use crate::links::Asked;

/// Something that is under way.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    /// A client's dialling reaches the node.
    Dialled { conn: ConnId },
    /// The news that the connection stands reaches the client.
    Accepted { conn: ConnId },
    /// A request reaches its node.
    Request { conn: ConnId, frame: Bytes, sent_at: Instant },
    /// A response reaches its client.
    Response { conn: ConnId, frame: Bytes, asked: Option<Asked>, sent_at: Instant },
    /// The news that the connection is gone reaches the client.
    ClosedForClient { conn: ConnId },
    /// The news that the connection is gone reaches the node.
    ClosedForNode { conn: ConnId },
    /// A disk has carried out the oldest request it was given. Void if the node was killed since.
    Disk { node: NodeId, life: u32 },
    /// Something that was to be done at this moment.
    Act(Action),
}

/// Whoever asked to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sleeper {
    Node(NodeId),
    Actor(ActorId),
}

/// The next thing to do.
#[derive(Debug)]
pub(crate) enum Due {
    Pending(Pending, Option<EventId>),
    Wake(Sleeper, &'static str),
}

/// Things under way by time and then by order of their sending; and everybody's next wake-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    pending: BTreeMap<(Instant, u64), (Pending, Option<EventId>)>,
    sent: u64,
    wakes: BTreeMap<(Instant, Sleeper), &'static str>,
    /// Where in `wakes` a sleeper stands.
    alarms: BTreeMap<Sleeper, Instant>,
}

impl Queue {
    pub fn push(&mut self, at: Instant, pending: Pending, cause: Option<EventId>) {
        self.pending.insert((at, self.sent), (pending, cause));
        self.sent += 1;
    }

    /// Sets, moves or removes somebody's wake-up.
    pub fn set_wake(&mut self, sleeper: Sleeper, wake: Option<(Instant, &'static str)>) {
        let at = wake.map(|(at, _)| at);
        let old = self.alarms.get(&sleeper).copied();
        if let Some(old) = old
            && Some(old) != at
        {
            self.wakes.remove(&(old, sleeper));
        }
        match wake {
            Some((at, reason)) => {
                self.wakes.insert((at, sleeper), reason);
                self.alarms.insert(sleeper, at);
            }
            None if old.is_some() => {
                self.alarms.remove(&sleeper);
            }
            None => {}
        }
    }

    pub fn next_due(&self) -> Option<(Instant, &'static str)> {
        let pending = self.pending.first_key_value().map(|((at, _), (pending, _))| (*at, pending.reason()));
        let wake = self.wakes.first_key_value().map(|((at, _), reason)| (*at, *reason));
        match (pending, wake) {
            (Some(pending), Some(wake)) if wake.0 < pending.0 => Some(wake),
            (None, wake) => wake,
            (pending, _) => pending,
        }
    }

    /// Takes the next thing that is due at `until` or before. What was sent comes before those who only
    /// wait for the time.
    pub fn pop(&mut self, until: Instant) -> Option<(Instant, Due)> {
        let pending = self.pending.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= until);
        let wake = self.wakes.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= until);
        match (pending, wake) {
            (Some(pending), wake) if wake.is_none_or(|wake| pending <= wake) => {
                let ((at, _), (pending, cause)) = self.pending.pop_first()?;
                Some((at, Due::Pending(pending, cause)))
            }
            (_, Some(_)) => {
                let ((at, sleeper), reason) = self.wakes.pop_first()?;
                self.alarms.remove(&sleeper);
                Some((at, Due::Wake(sleeper, reason)))
            }
            _ => None,
        }
    }

    /// Everything under way, soonest first.
    pub fn pending(&self) -> impl Iterator<Item = (Instant, &Pending)> {
        self.pending.iter().map(|((at, _), (pending, _))| (*at, pending))
    }
}

impl Pending {
    /// The connection it travels over.
    pub fn conn(&self) -> Option<ConnId> {
        match *self {
            Self::Dialled { conn }
            | Self::Accepted { conn }
            | Self::Request { conn, .. }
            | Self::Response { conn, .. }
            | Self::ClosedForClient { conn }
            | Self::ClosedForNode { conn } => Some(conn),
            Self::Disk { .. } | Self::Act(_) => None,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Dialled { .. } | Self::Accepted { .. } => "a connection opens",
            Self::Request { .. } => "a request arrives",
            Self::Response { .. } => "a response arrives",
            Self::ClosedForClient { .. } | Self::ClosedForNode { .. } => "a connection closes",
            Self::Disk { .. } => "the disk is done",
            Self::Act(_) => "an action of the script",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn what_was_sent_first_comes_first_and_messages_come_before_wakes() {
        let mut queue = Queue::default();
        queue.set_wake(Sleeper::Node(NodeId(1)), Some((at(5), "timer")));
        queue.push(at(5), Pending::Dialled { conn: ConnId(2) }, None);
        queue.push(at(5), Pending::Dialled { conn: ConnId(1) }, None);
        queue.push(at(4), Pending::Dialled { conn: ConnId(3) }, None);
        assert_eq!(queue.next_due().map(|(at, _)| at), Some(at(4)));
        let mut order = Vec::new();
        while let Some((_, due)) = queue.pop(at(5)) {
            order.push(match due {
                Due::Pending(Pending::Dialled { conn }, _) => conn.0,
                Due::Pending(..) => unreachable!("only dials were sent"),
                Due::Wake(..) => 99,
            });
        }
        assert_eq!(order, [3, 2, 1, 99]);
    }

    #[test]
    fn a_wake_up_moves_and_goes() {
        let mut queue = Queue::default();
        let sleeper = Sleeper::Node(NodeId(1));
        queue.set_wake(sleeper, Some((at(5), "one")));
        queue.set_wake(sleeper, Some((at(9), "two")));
        assert_eq!(queue.next_due(), Some((at(9), "two")));
        assert!(queue.pop(at(8)).is_none());
        queue.set_wake(sleeper, None);
        assert_eq!(queue.next_due(), None);
    }
}
