//! What rebalances do to those who read: which member read which partition when. Eager members give back all they have
//! before anybody gets anything; cooperative ones read on, and only what changes hands stands still.

use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use shore_base::collections::BTreeMap;
use shore_broker::event::Event as NodeEvent;
use shore_broker::group::{GroupEvent, StateName};
use shore_sim::{Action, ActorEvent, ActorId, Event, EventKind};

use crate::model::{Assigned, Hold, Screen};

/// As many are kept of each group.
const KEPT: usize = 3;
/// A partition that nobody has taken so long after the group was stable is not waited for.
const PATIENCE_MICROS: u64 = 10_000_000;

/// One rebalance of a group, with all the generations that it took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalance {
    pub id: u64,
    pub group: Rc<str>,
    pub assignor: Rc<str>,
    pub began_micros: u64,
    /// When every partition had its reader; `None` until then.
    pub ended_micros: Option<u64>,
    /// When each generation began, and its number.
    pub generations: Vec<(u64, i32)>,
    /// By topic and partition.
    pub lanes: Vec<Lane>,
}

/// Who read one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    pub topic: Rc<str>,
    pub partition: i32,
    /// In order. The first may have begun long before the rebalance.
    pub spans: Vec<Span>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The name of the client.
    pub reader: Rc<str>,
    pub from_micros: u64,
    pub until_micros: Option<u64>,
}

impl Rebalance {
    pub fn is_cooperative(&self) -> bool {
        &*self.assignor == "cooperative-sticky"
    }

    pub fn end(&self, now_micros: u64) -> u64 {
        self.ended_micros.unwrap_or(now_micros).max(self.began_micros)
    }

    /// When nobody read a partition, while it lasted.
    pub fn gaps(&self, lane: &Lane, now_micros: u64) -> Vec<(u64, u64)> {
        let end = self.end(now_micros);
        let mut gaps = Vec::new();
        let mut read_until = self.began_micros;
        for span in &lane.spans {
            if span.from_micros > read_until {
                gaps.push((read_until, span.from_micros.min(end)));
            }
            read_until = read_until.max(span.until_micros.unwrap_or(end));
        }
        if read_until < end {
            gaps.push((read_until, end));
        }
        gaps
    }

    /// How many partitions stood still, and the longest that one did.
    pub fn stood_still(&self, now_micros: u64) -> (usize, u64) {
        let still = |lane| self.gaps(lane, now_micros).iter().map(|(from, to)| to - from).sum::<u64>();
        let stills = self.lanes.iter().map(still).filter(|still| *still > 0);
        stills.fold((0, 0), |(count, longest), still| (count + 1, longest.max(still)))
    }

    /// What a member read when it began and does not read any more, with who does.
    fn given_back<'a>(&'a self, reader: &'a str) -> impl Iterator<Item = (&'a Lane, Option<&'a Span>)> {
        self.lanes.iter().filter_map(move |lane| {
            let last = lane.spans.last()?;
            let reads = |span: &Span| *span.reader == *reader;
            let has_read = lane.spans.iter().any(|span| reads(span) && span.until_micros.is_some());
            let now = Some(last).filter(|span| span.until_micros.is_none());
            (has_read && !now.is_some_and(reads)).then_some((lane, now))
        })
    }
}

/// Follows the groups of a world.
#[derive(Default)]
pub struct Rebalances {
    next_id: u64,
    names: BTreeMap<ActorId, Rc<str>>,
    /// The group of each client, by the client's name.
    groups_of: BTreeMap<Rc<str>, Rc<str>>,
    groups: BTreeMap<Rc<str>, Followed>,
}

#[derive(Default)]
struct Followed {
    assignor: Rc<str>,
    generation: i32,
    members: u32,
    /// How many of them have heard what they got in this generation.
    assigned: u32,
    /// Since when it is stable.
    stable_since: Option<u64>,
    lanes: BTreeMap<(Rc<str>, i32), Vec<Span>>,
    /// The newest last. Invariant: only that one may be under way.
    rebalances: VecDeque<Rc<Rebalance>>,
}

impl Rebalances {
    pub fn note(&mut self, event: &Event) {
        let now = event.at.as_micros();
        match &event.kind {
            EventKind::Acted(Action::AddConsumer(spec)) => self.belongs(&spec.name, &spec.group),
            EventKind::Acted(Action::AddCopier(spec)) => self.belongs(&spec.name, &spec.group),
            EventKind::ActorAdded { actor, name } => drop(self.names.insert(*actor, name.as_str().into())),
            EventKind::Actor { actor, event } => self.of_member(now, *actor, event),
            EventKind::Node { event: NodeEvent::Group(event), .. } => self.of_group(now, event),
            _ => {}
        }
    }

    fn belongs(&mut self, name: &str, group: &str) {
        self.groups_of.insert(name.into(), group.into());
    }

    fn of_member(&mut self, now: u64, actor: ActorId, event: &ActorEvent) {
        let (taken, given, is_gone) = match event {
            ActorEvent::Assigned { partitions, .. } => (Some(partitions), None, false),
            ActorEvent::Revoked { partitions } | ActorEvent::Lost { partitions } => (None, Some(partitions), false),
            ActorEvent::Gone => (None, None, true),
            _ => return,
        };
        let Some(reader) = self.names.get(&actor).cloned() else { return };
        let Some(group) = self.groups_of.get(&reader) else { return };
        let followed = self.groups.entry(group.clone()).or_default();
        if let ActorEvent::Assigned { generation, .. } = event
            && *generation == followed.generation
        {
            followed.assigned += 1;
        }
        for (topic, partition) in taken.into_iter().flatten() {
            followed.take(now, (topic.as_str().into(), *partition), &reader);
        }
        for (topic, partition) in given.into_iter().flatten() {
            followed.leave(now, &(topic.as_str().into(), *partition), &reader);
        }
        if is_gone {
            let all: Vec<_> = followed.lanes.keys().cloned().collect();
            all.iter().for_each(|at| followed.leave(now, at, &reader));
            self.names.remove(&actor);
            self.groups_of.remove(&reader);
        }
        followed.settle(now);
    }

    fn of_group(&mut self, now: u64, event: &GroupEvent) {
        match event {
            GroupEvent::StateChanged { group, to, .. } => {
                let group: Rc<str> = group.as_ref().into();
                let followed = self.groups.entry(group.clone()).or_default();
                followed.stable_since = (*to == StateName::Stable).then_some(now);
                match to {
                    StateName::PreparingRebalance => followed.begin(now, group, &mut self.next_id),
                    StateName::Empty | StateName::Dead => followed.end(now),
                    StateName::CompletingRebalance | StateName::Stable => followed.settle(now),
                }
            }
            GroupEvent::GenerationStarted { group, generation, protocol, members, .. } => {
                let followed = self.groups.entry(group.as_ref().into()).or_default();
                followed.assignor = protocol.as_deref().unwrap_or_default().into();
                (followed.generation, followed.members, followed.assigned) = (*generation, *members, 0);
                let assignor = followed.assignor.clone();
                followed.change(|rebalance| {
                    rebalance.assignor = assignor;
                    rebalance.generations.push((now, *generation));
                });
            }
            GroupEvent::GroupDeleted { group } => drop(self.groups.remove(&Rc::<str>::from(group.as_ref()))),
            _ => {}
        }
    }

    /// Draws them, and what members have given back in those under way.
    pub fn complete(&mut self, screen: &mut Screen) {
        let now = screen.clock.now_micros;
        for followed in self.groups.values_mut() {
            followed.lose_patience(now);
        }
        screen.rebalances = self.groups.values().flat_map(|followed| followed.rebalances.iter().cloned()).collect();
        for group in &mut screen.groups {
            let Some(rebalance) = self.groups.get(&group.id).and_then(Followed::under_way) else { continue };
            let group = Rc::make_mut(group);
            for member in &mut group.members {
                let Some(reader) = member.actor.clone() else { continue };
                let gone = rebalance.given_back(&reader).map(|(lane, now)| Assigned {
                    topic: lane.topic.clone(),
                    partition: lane.partition,
                    hold: Hold::GivenBack { to: now.map(|span| span.reader.clone()) },
                    ..Assigned::default()
                });
                let gone: Vec<_> = gone.collect();
                let member = Rc::make_mut(member);
                for gone in gone {
                    let is_known = |known: &Assigned| known.topic == gone.topic && known.partition == gone.partition;
                    if !member.assignment.iter().any(is_known) {
                        member.assignment.push(gone);
                    }
                }
            }
        }
    }
}

impl Followed {
    fn under_way(&self) -> Option<&Rc<Rebalance>> {
        self.rebalances.back().filter(|rebalance| rebalance.ended_micros.is_none())
    }

    /// Changes the one that is under way.
    fn change(&mut self, change: impl FnOnce(&mut Rebalance)) {
        if let Some(rebalance) = self.rebalances.back_mut().filter(|rebalance| rebalance.ended_micros.is_none()) {
            change(Rc::make_mut(rebalance));
        }
    }

    /// One begins, unless what another has left without a reader goes on to its new one, or nobody has read yet.
    fn begin(&mut self, now: u64, group: Rc<str>, next_id: &mut u64) {
        if self.under_way().is_some() || self.lanes.is_empty() {
            return;
        }
        *next_id += 1;
        // A member that leaves gives back first and tells its group then.
        let left = self.lanes.values().filter_map(|spans| spans.last()?.until_micros);
        let began_micros = left.min().unwrap_or(now).min(now);
        if self.rebalances.len() == KEPT {
            self.rebalances.pop_front();
        }
        self.rebalances.push_back(Rc::new(Rebalance {
            id: *next_id,
            group,
            assignor: self.assignor.clone(),
            began_micros,
            ..Rebalance::default()
        }));
        self.redraw();
    }

    fn redraw(&mut self) {
        let lane = |((topic, partition), spans): (&(Rc<str>, i32), &Vec<Span>)| Lane {
            topic: topic.clone(),
            partition: *partition,
            spans: spans.clone(),
        };
        let lanes = self.lanes.iter().map(lane).collect();
        self.change(|rebalance| rebalance.lanes = lanes);
    }

    fn take(&mut self, now: u64, at: (Rc<str>, i32), reader: &Rc<str>) {
        let spans = self.lanes.entry(at).or_default();
        if let Some(last) = spans.last_mut().filter(|last| last.until_micros.is_none()) {
            if last.reader == *reader {
                return;
            }
            last.until_micros = Some(now);
        }
        spans.push(Span { reader: reader.clone(), from_micros: now, until_micros: None });
        self.redraw();
    }

    fn leave(&mut self, now: u64, at: &(Rc<str>, i32), reader: &str) {
        let last = self.lanes.get_mut(at).and_then(|spans| spans.last_mut());
        if let Some(last) = last.filter(|last| last.until_micros.is_none() && *last.reader == *reader) {
            last.until_micros = Some(now);
            self.redraw();
        }
    }

    /// It is over when all members have heard what they got and every partition is read.
    fn settle(&mut self, now: u64) {
        let is_read = |spans: &Vec<Span>| spans.last().is_some_and(|last| last.until_micros.is_none());
        if self.stable_since.is_some() && self.assigned >= self.members && self.lanes.values().all(is_read) {
            self.end(now);
        }
    }

    /// A partition that is not there any more has no reader ever again.
    fn lose_patience(&mut self, now: u64) {
        if self.under_way().is_some() && self.stable_since.is_some_and(|since| since + PATIENCE_MICROS < now) {
            self.end(self.stable_since.unwrap_or(now));
        }
    }

    fn end(&mut self, now: u64) {
        self.change(|rebalance| rebalance.ended_micros = Some(now));
        // What comes next begins with who reads now.
        self.lanes.retain(|_, spans| {
            spans.retain(|span| span.until_micros.is_none());
            !spans.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use shore_base::{Duration, Instant, NodeId, Uuid};
    use shore_broker::{Durability, NodeConfig};
    use shore_sim::action::ConsumerSpec;
    use shore_sim::{Disk, DiskModel, World};

    use super::*;
    use crate::model::Clock;

    /// Two members of a group read four partitions; a third one comes.
    fn third_member_comes(assignors: &str) -> Rebalance {
        let mut world = World::new(7);
        world.subscribe();
        let config = NodeConfig {
            node_id: NodeId(1),
            cluster_id: Uuid([1; 16]),
            directory: "n1/d0".into(),
            advertised_host: "localhost".into(),
            advertised_port: 9092,
            static_configs: [("offsets.topic.replication.factor".to_owned(), "1".to_owned())].into(),
            durability: Durability::Written,
            cache_bytes: 1 << 20,
            memory_ceiling_bytes: None,
            seed: 3,
        };
        world.boot(config, Disk::Model(DiskModel::default()));
        let mut rebalances = Rebalances::default();
        let mut pass = |world: &mut World, seconds: u64| {
            world.advance(world.now() + Duration::from_secs(seconds));
            world.events().iter().for_each(|event| rebalances.note(event));
            let clock = Clock { now_micros: world.now().as_micros(), ..Clock::default() };
            let mut screen = Screen { clock, ..Screen::default() };
            rebalances.complete(&mut screen);
            screen.rebalances
        };
        pass(&mut world, 2);
        let topic = "create-topic name=orders partitions=4 replication=1";
        world.act(topic.parse().expect("an action")).expect("a topic");
        pass(&mut world, 2);
        let member = |name: &str| {
            let mut spec = ConsumerSpec::new(name, "billing", "orders");
            spec.set_assignors(assignors).expect("assignors");
            Action::AddConsumer(spec)
        };
        for name in ["a", "b"] {
            world.act(member(name)).expect("a member");
        }
        assert_eq!(pass(&mut world, 20), [], "a first assignment takes nothing from anybody");
        let before = world.now();
        world.act(member("c")).expect("a member");
        let drawn = pass(&mut world, 20);
        let [rebalance] = drawn.as_slice() else { panic!("one rebalance: {drawn:?}") };
        assert!(Instant::from_micros(rebalance.began_micros) >= before);
        (**rebalance).clone()
    }

    /// The readers of each partition, one after the other.
    fn readers(rebalance: &Rebalance) -> Vec<String> {
        let names = |lane: &Lane| lane.spans.iter().map(|span| &*span.reader).collect::<Vec<_>>().join(" ");
        rebalance.lanes.iter().map(names).collect()
    }

    #[test]
    fn eager_members_all_stop() {
        let rebalance = third_member_comes("range");
        let end = rebalance.ended_micros.expect("it came to an end");
        assert!(!rebalance.is_cooperative() && rebalance.generations.len() == 1);
        assert_eq!(readers(&rebalance), ["a a", "a a", "b b", "b c"], "even what stays was given back");
        assert_eq!(rebalance.stood_still(end).0, 4);
        let gaps = rebalance.lanes.iter().flat_map(|lane| rebalance.gaps(lane, end));
        let (from, to) = gaps.fold((0, u64::MAX), |(from, to), gap| (from.max(gap.0), to.min(gap.1)));
        assert!(from < to, "there is a time when nobody reads anything");
    }

    #[test]
    fn cooperative_members_read_on() {
        let rebalance = third_member_comes("cooperative-sticky");
        let end = rebalance.ended_micros.expect("it came to an end");
        assert!(rebalance.is_cooperative());
        assert_eq!(rebalance.generations.len(), 2, "one to give back, one to hand on");
        let changed = readers(&rebalance).iter().filter(|readers| readers.contains(' ')).count();
        assert_eq!((changed, rebalance.stood_still(end).0), (1, 1), "only what changes hands stands still");
    }

    #[test]
    fn a_gap_lies_between_readers() {
        let span = |reader: &str, from_micros, until_micros| Span { reader: reader.into(), from_micros, until_micros };
        let lane = Lane { spans: vec![span("a", 0, Some(120)), span("b", 150, None)], ..Lane::default() };
        let mut rebalance = Rebalance { began_micros: 100, lanes: vec![lane.clone()], ..Rebalance::default() };
        assert_eq!(rebalance.gaps(&lane, 200), [(120, 150)]);
        rebalance.ended_micros = Some(150);
        assert_eq!(rebalance.stood_still(999), (1, 30));
        let left = Lane { spans: vec![span("a", 0, Some(120))], ..Lane::default() };
        assert_eq!(rebalance.gaps(&left, 999), [(120, 150)]);
    }
}
