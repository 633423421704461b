//! Who reads which partition: Kafka's range, round-robin, sticky and cooperative sticky assignors.

mod sticky;

use bytes::Bytes;
use core::fmt;
use shore_base::collections::{BTreeMap, sort_by};

use crate::cluster::TopicPartition;

/// How a group's leader shares out partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    Range,
    RoundRobin,
    Sticky,
    /// As sticky, for members that keep what they have while they join: what changes hands is given to nobody until
    /// it was given back.
    CooperativeSticky,
}

impl Assignor {
    pub const ALL: [Self; 4] = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];

    /// As it is called in JoinGroup.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Whether members may keep what they have while the group rebalances. All assignors of a member have to allow it.
    pub const fn is_cooperative(self) -> bool {
        matches!(self, Self::CooperativeSticky)
    }

    /// `counts` has the partitions of every topic that is there.
    pub fn assign(self, counts: &BTreeMap<String, i32>, members: &[Member]) -> BTreeMap<String, Vec<TopicPartition>> {
        let mut members: Vec<&Member> = members.iter().collect();
        sort_by(&mut members, |a, b| a.rank().cmp(&b.rank()));
        let mut assignment: BTreeMap<String, Vec<TopicPartition>> =
            members.iter().map(|member| (member.id.clone(), Vec::new())).collect();
        match self {
            Self::Range => range(counts, &members, &mut assignment),
            Self::RoundRobin => round_robin(counts, &members, &mut assignment),
            Self::Sticky => sticky::assign(counts, &members, &mut assignment, false),
            Self::CooperativeSticky => sticky::assign(counts, &members, &mut assignment, true),
        }
        assignment
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub instance_id: Option<String>,
    pub topics: Vec<String>,
    pub user_data: Option<Bytes>,
    /// What it has kept, and from which generation; -1 for none.
    pub owned: Vec<TopicPartition>,
    pub generation: i32,
}

impl Default for Member {
    fn default() -> Self {
        let id = String::new();
        Self { id, instance_id: None, topics: Vec::new(), user_data: None, owned: Vec::new(), generation: -1 }
    }
}

impl Member {
    /// Members with an instance id come first, by it; the others by member id.
    fn rank(&self) -> (bool, &str) {
        match &self.instance_id {
            Some(id) => (false, id),
            None => (true, &self.id),
        }
    }

    fn wants(&self, topic: &str) -> bool {
        self.topics.iter().any(|wanted| wanted == topic)
    }
}

type Assignment = BTreeMap<String, Vec<TopicPartition>>;

fn give(assignment: &mut Assignment, member: &Member, at: TopicPartition) {
    assignment.get_mut(&member.id).expect("every member has an entry").push(at);
}

/// Each topic on its own: consecutive partitions, the first members get one more.
fn range(counts: &BTreeMap<String, i32>, members: &[&Member], assignment: &mut Assignment) {
    for (topic, &count) in counts {
        let takers: Vec<&&Member> = members.iter().filter(|member| member.wants(topic)).collect();
        let shares = takers.len() as i32;
        if shares == 0 {
            continue;
        }
        let mut next = 0;
        for (index, member) in takers.into_iter().enumerate() {
            let share = count / shares + i32::from((index as i32) < count % shares);
            for partition in next..next + share {
                give(assignment, member, TopicPartition::new(topic.clone(), partition));
            }
            next += share;
        }
    }
}

/// All partitions of all topics, one after the other, to the members in turn.
fn round_robin(counts: &BTreeMap<String, i32>, members: &[&Member], assignment: &mut Assignment) {
    let mut turn = 0;
    for (topic, &count) in counts {
        if !members.iter().any(|member| member.wants(topic)) {
            continue;
        }
        for partition in 0..count {
            while !members[turn % members.len()].wants(topic) {
                turn += 1;
            }
            give(assignment, members[turn % members.len()], TopicPartition::new(topic.clone(), partition));
            turn += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol;
    use super::*;

    fn member(id: &str, topics: &[&str]) -> Member {
        Member { id: id.into(), topics: topics.iter().map(|topic| (*topic).to_owned()).collect(), ..Member::default() }
    }

    fn counts(topics: &[(&str, i32)]) -> BTreeMap<String, i32> {
        topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn shown(assignment: &BTreeMap<String, Vec<TopicPartition>>) -> String {
        let member = |(id, partitions): (&String, &Vec<TopicPartition>)| {
            let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{id}: {}", partitions.join(" "))
        };
        assignment.iter().map(member).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn range_and_round_robin_share_as_kafka_documents() {
        let two = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
        let topics = counts(&[("t0", 3), ("t1", 3)]);
        assert_eq!(shown(&Assignor::Range.assign(&topics, &two)), "C0: t0-0 t0-1 t1-0 t1-1; C1: t0-2 t1-2");
        assert_eq!(shown(&Assignor::RoundRobin.assign(&topics, &two)), "C0: t0-0 t0-2 t1-1; C1: t0-1 t1-0 t1-2");
        let unequal = [member("C0", &["t0"]), member("C1", &["t0", "t1"]), member("C2", &["t0", "t1", "t2"])];
        let topics = counts(&[("t0", 1), ("t1", 2), ("t2", 3)]);
        assert_eq!(
            shown(&Assignor::RoundRobin.assign(&topics, &unequal)),
            "C0: t0-0; C1: t1-0; C2: t1-1 t2-0 t2-1 t2-2"
        );
    }

    #[test]
    fn members_with_an_instance_id_come_first() {
        let mut late = member("z", &["t"]);
        late.instance_id = Some("instance".into());
        let members = [member("a", &["t"]), late];
        assert_eq!(shown(&Assignor::Range.assign(&counts(&[("t", 3)]), &members)), "a: t-2; z: t-0 t-1");
    }

    #[test]
    fn nobody_is_given_what_they_do_not_want() {
        let members = [member("a", &["x"]), member("b", &["y"]), member("c", &[])];
        for assignor in Assignor::ALL {
            let shares = assignor.assign(&counts(&[("x", 2), ("y", 2), ("z", 2)]), &members);
            assert_eq!(shown(&shares), "a: x-0 x-1; b: y-0 y-1; c: ", "{assignor}");
        }
    }

    #[test]
    fn sticky_moves_no_more_than_balance_asks() {
        let topics = counts(&[("t", 6)]);
        let with = |id: &str, owned: &[i32], generation| {
            let owned: Vec<TopicPartition> = owned.iter().map(|p| TopicPartition::new("t", *p)).collect();
            Member { user_data: Some(protocol::encode_sticky(&owned, generation)), ..member(id, &["t"]) }
        };
        let joined = [with("a", &[0, 2, 4], 1), with("b", &[1, 3, 5], 1), member("c", &["t"])];
        assert_eq!(shown(&Assignor::Sticky.assign(&topics, &joined)), "a: t-0 t-2; b: t-1 t-3; c: t-4 t-5");
        let left = [with("a", &[0, 2], 2), with("c", &[4, 5], 2)];
        assert_eq!(shown(&Assignor::Sticky.assign(&topics, &left)), "a: t-0 t-1 t-2; c: t-3 t-4 t-5");
        let both = [with("a", &[0, 1], 3), with("b", &[0, 1], 4)];
        assert_eq!(shown(&Assignor::Sticky.assign(&counts(&[("t", 2)]), &both)), "a: t-1; b: t-0");
    }

    #[test]
    fn every_partition_is_given_once_and_shares_differ_by_one() {
        for partitions in 0..12 {
            for count in 1..6 {
                let members: Vec<Member> = (0..count).map(|index| member(&format!("m{index}"), &["t"])).collect();
                for assignor in Assignor::ALL {
                    let shares = assignor.assign(&counts(&[("t", partitions)]), &members);
                    let mut given: Vec<i32> = shares.values().flatten().map(|at| at.partition).collect();
                    given.sort_unstable();
                    assert_eq!(given, (0..partitions).collect::<Vec<_>>());
                    let sizes = shares.values().map(Vec::len);
                    assert!(sizes.clone().max().unwrap_or(0) - sizes.min().unwrap_or(0) <= 1);
                }
            }
        }
    }

    /// What Java's assignors of kafka-clients 4.3.1 made of random groups: partitions of each topic, then
    /// members as `id/instance/topics/generation:owned`, then what each was given. The sticky ones go on
    /// for some rounds in which members, topics and memories come and go.
    const JAVAS: &[(&str, &str)] = &[
        ("equal subscriptions", include_str!("assignor/equal.txt")),
        ("different subscriptions", include_str!("assignor/different.txt")),
        ("cooperative, equal and different subscriptions", include_str!("assignor/cooperative.txt")),
    ];

    #[test]
    fn java_would_assign_the_same() {
        for (name, vectors) in JAVAS {
            for line in vectors.lines() {
                let (given, expected) = line.split_once(" =").expect("an assignment");
                let mut words = given.split(' ');
                let assignor = words.next().and_then(Assignor::from_name).expect("an assignor");
                let topics = words.next().expect("topics").split(',').map(|topic| topic.split_at(1));
                let topics = topics.map(|(topic, count)| (topic.to_owned(), count.parse().expect("a count"))).collect();
                let members: Vec<Member> = words.map(|word| described(word, assignor)).collect();
                let shares = assignor.assign(&topics, &members);
                let shown = |id: &str| {
                    let share: Vec<String> =
                        shares[id].iter().map(|at| format!("{}{}", at.topic, at.partition)).collect();
                    if share.is_empty() { " -".to_owned() } else { format!(" {}", share.join(",")) }
                };
                let shown: String = members.iter().map(|member| shown(&member.id)).collect();
                assert_eq!(shown, expected, "{name}: {line}");
            }
        }
    }

    fn described(word: &str, assignor: Assignor) -> Member {
        let mut parts = word.split('/');
        let mut next = || parts.next().expect("four parts");
        let (id, instance, topics, memory) = (next(), next(), next(), next());
        let mut member = Member {
            id: id.to_owned(),
            instance_id: (instance != "-").then(|| instance.to_owned()),
            topics: topics.chars().map(String::from).collect(),
            ..Member::default()
        };
        if let Some((generation, owned)) = memory.split_once(':') {
            let owned = owned.split(',').filter(|at| *at != "-").map(|at| at.split_at(1));
            let owned: Vec<TopicPartition> =
                owned.map(|(topic, index)| TopicPartition::new(topic, index.parse().expect("a partition"))).collect();
            let generation = generation.parse().expect("a generation");
            match assignor.is_cooperative() {
                true => (member.owned, member.generation) = (owned, generation),
                false => member.user_data = Some(protocol::encode_sticky(&owned, generation)),
            }
        }
        member
    }
}
