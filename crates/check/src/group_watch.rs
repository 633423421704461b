//! Promises to the members of groups: who is let go and when, who gets what, and whose offsets stay.

use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Instant, Wall};
use shore_broker::NodeView;
use shore_broker::group::{Departure, GroupEvent, GroupView, MemberView, StateName};
use shore_client::TopicPartition;

use crate::topics::Topics;
use crate::wire_watch::Broken;

/// A group and a member of it, or an instance id.
type Member = (String, String);
/// A group and a partition that it has committed an offset of.
type Spot = (String, String, i32);

pub(crate) struct GroupWatch {
    /// The node's `offsets.retention.minutes` and `offsets.retention.check.interval.ms`.
    retention: Duration,
    check_interval: Duration,
    members: BTreeMap<Member, Heard>,
    /// Who asked to leave, by member id; by an empty one if the instance alone was named.
    leaving: BTreeSet<Member>,
    /// When a group's current state began.
    since: BTreeMap<String, Instant>,
    /// How many partitions of a topic a group was seen to have.
    partitions: BTreeMap<(String, String), i32>,
    offsets: BTreeMap<Spot, Offset>,
    /// Generations of cooperative groups in which something changes hands, and since when.
    settling: BTreeMap<String, (i32, Instant)>,
    /// Groups one of whose static members was replaced in the present generation.
    replaced: BTreeSet<String>,
    /// Those of them in which something is nobody's.
    left_to_nobody: BTreeSet<String>,
    /// What the members of a group's newest generation said that they have, when they joined it.
    claims: BTreeMap<String, (i32, BTreeMap<String, Claim>)>,
}

/// What a cooperative member has, and since which generation.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub generation: i32,
    pub owned: Vec<TopicPartition>,
}

/// When a member was heard of.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// At all. Its session cannot have begun later than this.
    last: Instant,
    /// By a heartbeat that was answered well. Its session cannot have begun earlier.
    beat: Option<Instant>,
    session: Duration,
    rebalance: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Offset {
    /// Whether the group was stable and subscribed to it.
    wanted: bool,
    /// From when on its retention counts, at the earliest.
    from: Wall,
}

/// Between two looks at a node, and until its store has taken what is to go.
const SLACK: Duration = Duration::from_secs(2);
/// In which a cooperative member that gave something back has joined again, or was let go.
const TIME_TO_SETTLE: Duration = Duration::from_secs(60);

impl Default for GroupWatch {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(7 * 86_400),
            check_interval: Duration::from_secs(600),
            members: BTreeMap::new(),
            leaving: BTreeSet::new(),
            since: BTreeMap::new(),
            partitions: BTreeMap::new(),
            offsets: BTreeMap::new(),
            settling: BTreeMap::new(),
            replaced: BTreeSet::new(),
            left_to_nobody: BTreeSet::new(),
            claims: BTreeMap::new(),
        }
    }
}

impl GroupWatch {
    /// A node whose offsets are kept for this long and looked through this often.
    pub fn set_retention(&mut self, retention: Duration, check_interval: Duration) {
        (self.retention, self.check_interval) = (retention, check_interval);
    }

    /// A request of this member arrived.
    pub fn heard(&mut self, at: Instant, group: &str, member: &str) {
        if let Some(heard) = self.members.get_mut(&(group.to_owned(), member.to_owned())) {
            heard.last = at;
        }
    }

    /// A heartbeat that arrived then was answered well.
    pub fn beat(&mut self, arrived: Instant, group: &str, member: &str) {
        if let Some(heard) = self.members.get_mut(&(group.to_owned(), member.to_owned())) {
            heard.beat = Some(arrived);
        }
    }

    /// A member was answered that it has joined.
    pub fn joined(&mut self, at: Instant, group: &str, member: &str, session: Duration, rebalance: Duration) {
        let heard = Heard { last: at, beat: None, session, rebalance };
        self.members.insert((group.to_owned(), member.to_owned()), heard);
    }

    /// A member joined a generation and said what it has.
    pub fn claims(&mut self, group: &str, generation: i32, member: &str, claim: Claim) {
        let (known, claims) = self.claims.entry(group.to_owned()).or_insert_with(|| (generation, BTreeMap::new()));
        if core::mem::replace(known, generation) != generation {
            *claims = BTreeMap::new();
        }
        claims.insert(member.to_owned(), claim);
    }

    /// 33: what a cooperative member has it gives back before another gets it, in a later generation. What it has not
    /// joined with since a generation that others were in does not bind.
    pub fn shared_out(&self, group: &str, at: i32, shares: &[(String, Vec<TopicPartition>)]) -> Option<Broken> {
        let (_, claims) = self.claims.get(group).filter(|(generation, _)| *generation == at)?;
        let newest = claims.values().map(|claim| claim.generation).max()?;
        for (member, partition) in shares.iter().flat_map(|(member, all)| all.iter().map(move |at| (member, at))) {
            let has = |claim: &Claim| claim.generation == newest && claim.owned.contains(partition);
            let mut owners = claims.iter().filter(|(_, claim)| has(claim)).map(|(owner, _)| owner);
            // What two say that they have is nobody's.
            if let (Some(owner), None) = (owners.next(), owners.next())
                && owner != member
            {
                let what = format!("{member} gets {partition} of {group} in generation {at}, where {owner} has it");
                return Some(("33: what changes hands is nobody's in between", what));
            }
        }
        None
    }

    pub fn wants_to_leave(&mut self, group: &str, member: &str) {
        self.leaving.insert((group.to_owned(), member.to_owned()));
    }

    /// What the node holds in memory alone is gone with it; sessions begin anew.
    pub fn node_is_down(&mut self) {
        self.members.clear();
        self.leaving.clear();
        self.since.clear();
        self.offsets.clear();
    }

    /// Commits that were not stored are taken back.
    pub fn store_failed(&mut self) {
        self.offsets.clear();
    }

    /// What was committed of it goes too.
    pub fn topic_is_gone(&mut self, topic: &str) {
        self.partitions.retain(|(_, name), _| name != topic);
        self.offsets.retain(|(_, name, _), _| name != topic);
    }

    pub fn event(&mut self, at: Instant, event: &GroupEvent) -> Vec<Broken> {
        match event {
            GroupEvent::StateChanged { group, .. } => {
                self.since.insert(group.to_string(), at);
                Vec::new()
            }
            GroupEvent::MemberGone { group, member, why } => self.gone(at, group, member, *why),
            // Or back again, where the store did not take it: its session begins anew.
            GroupEvent::MemberReplaced { group, new, .. } => {
                self.heard(at, group, new);
                self.replaced.insert(group.to_string());
                Vec::new()
            }
            GroupEvent::GenerationStarted { group, .. } => {
                self.replaced.remove(&**group);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// 34: nobody is let go without a reason.
    fn gone(&mut self, at: Instant, group: &str, member: &str, why: Departure) -> Vec<Broken> {
        let key = (group.to_owned(), member.to_owned());
        let heard = self.members.remove(&key);
        let rebalanced = || {
            let since = self.since.get(group)?;
            let heard = heard?;
            Some((at.since(*since), heard.rebalance))
        };
        let early = match why {
            Departure::SessionTimeout => {
                heard.and_then(|heard| Some((at.since(heard.beat?), heard.session))).filter(|(was, is)| was < is)
            }
            Departure::RebalanceTimeout | Departure::SyncTimeout => rebalanced().filter(|(was, is)| was < is),
            Departure::Left => {
                let asked = self.leaving.contains(&key) || self.leaving.contains(&(key.0, String::new()));
                (!asked).then_some((Duration::ZERO, Duration::MAX))
            }
            Departure::GroupTooLarge => None,
        };
        let Some((after, time)) = early else { return Vec::new() };
        let what = format!("{member} of {group} was let go ({why:?}) after {after:?}, where it has {time:?}");
        vec![("34: a member is let go only when its time is over", what)]
    }

    /// Looks into a node.
    pub fn look(&mut self, now: Instant, wall: Wall, node: &NodeView, topics: &Topics) -> Vec<Broken> {
        let mut broken = Vec::new();
        // A node that starts or stops does not have its groups in memory.
        if !node.is_ready {
            self.offsets.clear();
            return broken;
        }
        for group in &node.groups {
            for member in &group.members {
                broken.extend(self.kept(now, &group.group, member));
            }
            if group.state == StateName::Stable && !group.members.is_empty() {
                broken.extend(self.assigned(now, group, topics));
            }
        }
        // A node cannot let offsets go while its disk does not take that.
        let deleted = |topic: &str| topics.asked(topic).delete || topics.id(topic).is_none();
        broken.extend(self.expired(wall, &node.groups, deleted, node.store.failing.is_none()));
        broken
    }

    /// 34: nobody is kept who was not heard of for its session.
    fn kept(&mut self, now: Instant, group: &str, member: &MemberView) -> Option<Broken> {
        let millis = |millis: i32| Duration::from_millis(millis.max(0) as u64);
        let (session, rebalance) = (millis(member.session_timeout_ms), millis(member.rebalance_timeout_ms));
        let key = (group.to_owned(), member.member.to_string());
        let heard = self.members.entry(key).or_insert(Heard { last: now, beat: None, session, rebalance });
        if member.awaits_join || member.awaits_sync {
            heard.last = now;
        }
        let silent = now.since(heard.last);
        (silent > session + SLACK).then(|| {
            let what = format!("{} of {group} is kept after {silent:?} of its {session:?}", member.member);
            ("34: a member that is not heard of is let go", what)
        })
    }

    /// Groups in which something is nobody's until the next rebalance: a cooperative member gave it back, and was
    /// replaced by another with its instance id before it joined again. The coordinator gives the other the same share
    /// without a rebalance, and nothing to give back is no reason for it to join again. So it is in Apache Kafka 4.3.1.
    pub fn left_to_nobody(&self) -> &BTreeSet<String> {
        &self.left_to_nobody
    }

    /// 32: who is in the group has everything between them, nobody has what another has, and the shares are
    /// even where the assignor says so.
    fn assigned(&mut self, now: Instant, group: &GroupView, topics: &Topics) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut unsettled = Vec::new();
        let mut owners: BTreeMap<(&str, i32), &str> = BTreeMap::new();
        for member in &group.members {
            for (topic, partition) in &member.assignment {
                if let Some(other) = owners.insert((topic, *partition), &member.member) {
                    let what = format!("{topic}-{partition} of {} is {other}'s and {}'s", group.group, member.member);
                    broken.push(("32: what is assigned is assigned once", what));
                }
                let count = self.partitions.entry((group.group.to_string(), topic.to_string())).or_default();
                *count = (partition + 1).max(*count);
            }
        }
        let subscribed: BTreeSet<&str> = group.members.iter().flat_map(|m| m.subscribed.iter().map(|t| &**t)).collect();
        // One that was made anew may have fewer partitions than are assigned for now.
        for topic in subscribed.into_iter().filter(|topic| !topics.asked(topic).delete) {
            let count = self.partitions.get(&(group.group.to_string(), topic.to_owned())).copied().unwrap_or(0);
            for partition in (0..count).filter(|partition| !owners.contains_key(&(topic, *partition))) {
                let what =
                    format!("nobody in {} has {topic}-{partition} in generation {}", group.group, group.generation);
                unsettled.push(("32: all that is subscribed is assigned", what));
            }
        }
        let is_even = matches!(group.protocol.as_deref(), Some("roundrobin" | "sticky" | "cooperative-sticky"));
        let alike = group.members.windows(2).all(|pair| pair[0].subscribed == pair[1].subscribed);
        let shares = group.members.iter().map(|member| member.assignment.len());
        let (least, most) = (shares.clone().min().unwrap_or(0), shares.max().unwrap_or(0));
        if is_even && alike && most > least + 1 {
            let what = format!("{} shares {least} to {most} in generation {}", group.group, group.generation);
            unsettled.push(("32: shares are even", what));
        }
        // What changes hands between cooperative members is nobody's until it was given back.
        let settles = group.protocol.as_deref() == Some("cooperative-sticky") && !unsettled.is_empty();
        let known = self.settling.remove(&*group.group).filter(|(generation, _)| *generation == group.generation);
        self.left_to_nobody.remove(&*group.group);
        if settles {
            let (generation, since) = known.unwrap_or((group.generation, now));
            self.settling.insert(group.group.to_string(), (generation, since));
            if now.since(since) < TIME_TO_SETTLE {
                return broken;
            }
            if self.replaced.contains(&*group.group) {
                self.left_to_nobody.insert(group.group.to_string());
                return broken;
            }
        }
        broken.append(&mut unsettled);
        broken
    }

    /// 37: the offsets of a stable group stay, those of an empty one for their retention and not much longer.
    fn expired(
        &mut self,
        wall: Wall,
        groups: &[GroupView],
        deleted: impl Fn(&str) -> bool,
        store_works: bool,
    ) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut now = BTreeMap::new();
        let age = |from: Wall| Duration::from_millis((wall.as_millis() - from.as_millis()).max(0) as u64);
        let most = self.retention + self.check_interval + SLACK;
        for group in groups {
            for offset in &group.offsets {
                let subscribed = group.members.iter().any(|member| member.subscribed.contains(&offset.topic));
                let wanted = group.state == StateName::Stable && subscribed;
                let from = group.since.filter(|_| group.state == StateName::Empty).unwrap_or(offset.committed_at);
                let spot = (group.group.to_string(), offset.topic.to_string(), offset.partition);
                if group.state == StateName::Empty && store_works && age(from) > most {
                    let what = format!("{} still has {}-{} after {:?}", spot.0, spot.1, spot.2, age(from));
                    broken.push(("37: an empty group's offsets go when their time is over", what));
                }
                now.insert(spot, Offset { wanted, from });
            }
        }
        for (spot, offset) in std::mem::replace(&mut self.offsets, now) {
            if self.offsets.contains_key(&spot) || deleted(&spot.1) {
                continue;
            }
            if offset.wanted || age(offset.from) < self.retention {
                let what = format!("{} lost {}-{} after {:?}", spot.0, spot.1, spot.2, age(offset.from));
                broken.push(("37: offsets stay while somebody may come back for them", what));
            }
        }
        broken
    }
}
