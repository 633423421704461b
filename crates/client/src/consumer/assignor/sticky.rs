//! The sticky assignor: balance first, then as few moves as that allows.
//!
//! If all members want the same topics, everybody keeps up to their share and the rest goes round. If
//! not, partitions go to those who have least, and move from member to member while that evens out what
//! they have. Both come to what Java's assignor comes to, as a group whose members are led by different
//! clients must not shuffle at each change of its leader.

use shore_base::collections::{BTreeMap, BTreeSet, sort_by};

use super::{Assignment, Member, give};
use crate::cluster::TopicPartition;
use crate::consumer::protocol;

/// Members and partitions by index: members by id, partitions by topic and number.
struct Group<'a> {
    members: Vec<&'a Member>,
    partitions: Vec<TopicPartition>,
    /// By topic, the number of its partitions.
    counts: &'a BTreeMap<String, i32>,
    /// What each member says it had, in a generation.
    memories: Vec<(i32, Vec<TopicPartition>)>,
    /// What of that counts: claimed by none, or by older generations, besides.
    owned: Vec<Vec<usize>>,
    /// Claimed by several of one generation, of whom nobody keeps it. Only where members keep what they have while
    /// they join.
    disputed: BTreeSet<usize>,
}

/// What is shared out, and what of it somebody else has to give back first.
struct Shared {
    shares: Vec<Vec<usize>>,
    changing_hands: BTreeSet<usize>,
}

pub fn assign(counts: &BTreeMap<String, i32>, members: &[&Member], assignment: &mut Assignment, cooperative: bool) {
    if members.is_empty() {
        return;
    }
    let wanted: BTreeMap<String, i32> = counts
        .iter()
        .filter(|(topic, count)| **count > 0 && members.iter().any(|member| member.wants(topic)))
        .map(|(topic, count)| (topic.clone(), *count))
        .collect();
    let group = Group::new(&wanted, members, cooperative);
    let Shared { shares, changing_hands } = if group.wants_are_equal() {
        Shares::new(&group).share_out()
    } else {
        let shares = Balance::new(&group).balance();
        Shared { changing_hands: group.changing_hands(&shares), shares }
    };
    for (member, share) in group.members.iter().zip(shares) {
        let share: BTreeSet<usize> = share.into_iter().collect();
        for partition in share.into_iter().filter(|partition| !cooperative || !changing_hands.contains(partition)) {
            give(assignment, member, group.partitions[partition].clone());
        }
    }
}

impl<'a> Group<'a> {
    fn new(counts: &'a BTreeMap<String, i32>, members: &[&'a Member], cooperative: bool) -> Self {
        let mut members = members.to_vec();
        sort_by(&mut members, |left, right| left.id.cmp(&right.id));
        let of_topic = |(topic, count): (&String, &i32)| {
            (0..*count).map(|index| TopicPartition::new(topic.clone(), index)).collect::<Vec<_>>()
        };
        let partitions: Vec<TopicPartition> = counts.iter().flat_map(of_topic).collect();
        let memory = if cooperative { kept } else { remembered };
        let memories = members.iter().map(|member| memory(member)).collect();
        let (owned, disputed) = (Vec::new(), BTreeSet::new());
        let mut group = Self { members, partitions, counts, memories, owned, disputed };
        if cooperative {
            group.settle_claims();
        } else {
            group.owned = group.claims();
        }
        group
    }

    /// Who has what: the later of two generations that claim the same, none of two of one generation.
    fn settle_claims(&mut self) {
        let mut owners: BTreeMap<usize, usize> = BTreeMap::new();
        let mut owned = vec![Vec::new(); self.members.len()];
        let mut disputed = BTreeSet::new();
        for member in self.in_java_order() {
            let (generation, claimed) = &self.memories[member];
            for partition in claimed.iter().filter_map(|at| self.index_of(at)) {
                let Some(other) = owners.insert(partition, member) else {
                    owned[member].push(partition);
                    continue;
                };
                let others = self.memories[other].0;
                if *generation < others {
                    owners.insert(partition, other);
                    continue;
                }
                owned[other].retain(|kept| *kept != partition);
                if *generation == others {
                    disputed.insert(partition);
                } else {
                    owned[member].push(partition);
                }
            }
        }
        (self.owned, self.disputed) = (owned, disputed);
    }

    /// What somebody is given that somebody else has, who does not keep it.
    fn changing_hands(&self, shares: &[Vec<usize>]) -> BTreeSet<usize> {
        let has = |member: usize| self.memories[member].1.iter().filter_map(|at| self.index_of(at));
        let mut revoked: BTreeSet<usize> = BTreeSet::new();
        let mut added: BTreeSet<usize> = BTreeSet::new();
        for (member, share) in shares.iter().enumerate() {
            let had: BTreeSet<usize> = has(member).collect();
            revoked.extend(had.iter().copied().filter(|partition| !share.contains(partition)));
            added.extend(share.iter().copied().filter(|partition| !had.contains(partition)));
        }
        added.retain(|partition| revoked.contains(partition));
        added
    }

    /// Who had what: the later of two generations that claim the same.
    fn claims(&self) -> Vec<Vec<usize>> {
        let mut owners: BTreeMap<usize, usize> = BTreeMap::new();
        for member in self.in_java_order() {
            let (generation, owned) = &self.memories[member];
            for partition in owned.iter().filter_map(|at| self.index_of(at)) {
                let owner = owners.entry(partition).or_insert(member);
                if *generation > self.memories[*owner].0 {
                    *owner = member;
                }
            }
        }
        let mut owned = vec![Vec::new(); self.members.len()];
        for (partition, owner) in owners {
            owned[owner].push(partition);
        }
        owned
    }

    fn index_of(&self, at: &TopicPartition) -> Option<usize> {
        self.partitions.binary_search(at).ok()
    }

    fn topic(&self, partition: usize) -> &str {
        &self.partitions[partition].topic
    }

    fn wants(&self, member: usize, partition: usize) -> bool {
        self.members[member].wants(self.topic(partition))
    }

    fn wants_are_equal(&self) -> bool {
        let topics = |member: &Member| member.topics.iter().cloned().collect::<BTreeSet<String>>();
        let first = topics(self.members[0]);
        self.members.iter().all(|member| topics(member) == first)
    }

    /// Members as a Java `HashMap` names them.
    fn in_java_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        let size = order.len();
        let bucket = |member: &usize| bucket(string_hash(&self.members[*member].id), size);
        sort_by(&mut order, |left, right| bucket(left).cmp(&bucket(right)));
        order
    }
}

/// Everybody wants the same: shares differ by one at most, and so many are the larger ones.
struct Shares<'a> {
    group: &'a Group<'a>,
    least: usize,
    larger: usize,
    shares: Vec<Vec<usize>>,
    /// What was owned and is not kept, and who owned it.
    revoked: BTreeMap<usize, usize>,
    /// Who has less than the least, and who has just that and may get one more.
    below: Vec<usize>,
    at_least: Vec<usize>,
}

impl<'a> Shares<'a> {
    fn new(group: &'a Group<'a>) -> Self {
        let (partitions, members) = (group.partitions.len(), group.members.len());
        Self {
            group,
            least: partitions / members,
            larger: partitions % members,
            shares: vec![Vec::new(); members],
            revoked: BTreeMap::new(),
            below: Vec::new(),
            at_least: Vec::new(),
        }
    }

    fn share_out(mut self) -> Shared {
        self.keep_owned();
        let kept: BTreeSet<usize> = self.shares.iter().flatten().copied().collect();
        let free = (0..self.group.partitions.len()).filter(|partition| !kept.contains(partition));
        sort_by(&mut self.below, Ord::cmp);
        sort_by(&mut self.at_least, Ord::cmp);
        let free: Vec<usize> = free.collect();
        self.go_round(&free);
        let owner = |partition: &usize| self.shares.iter().position(|share| share.contains(partition));
        let from_another = |partition: &usize| {
            let before = self.revoked.get(partition);
            before.is_some_and(|before| owner(partition) != Some(*before)) || self.group.disputed.contains(partition)
        };
        let changing_hands = free.iter().copied().filter(from_another).collect();
        Shared { shares: self.shares, changing_hands }
    }

    fn keep_owned(&mut self) {
        let mut larger = 0;
        for member in self.group.in_java_order() {
            let mut owned = self.group.owned[member].clone();
            owned.retain(|partition| !self.group.disputed.contains(partition));
            // By number before topic, so that a topic does not stay with one member.
            let key = |partition: &usize| {
                let at = &self.group.partitions[*partition];
                (at.partition, &at.topic)
            };
            sort_by(&mut owned, |left, right| key(left).cmp(&key(right)));
            let most = self.least + usize::from(self.larger > 0);
            let mut revoked = Vec::new();
            if owned.len() < self.least {
                self.below.push(member);
            } else if owned.len() >= most && larger < self.larger {
                larger += 1;
                revoked = owned.split_off(most);
                if larger == self.larger {
                    self.at_least.clear();
                }
            } else {
                revoked = owned.split_off(self.least);
                if larger < self.larger {
                    self.at_least.push(member);
                }
            }
            self.shares[member] = owned;
            self.revoked.extend(revoked.into_iter().map(|partition| (partition, member)));
        }
    }

    fn go_round(&mut self, free: &[usize]) {
        let mut turn = 0;
        for &partition in free {
            if turn >= self.below.len() && !self.below.is_empty() {
                turn = 0;
            }
            if self.below.is_empty() {
                self.shares[self.at_least.remove(0)].push(partition);
                continue;
            }
            let member = self.below[turn];
            self.shares[member].push(partition);
            if self.shares[member].len() == self.least {
                self.below.remove(turn);
                self.at_least.push(member);
            } else {
                turn += 1;
            }
        }
    }
}

/// Members want different topics: partitions move while that makes shares more equal.
struct Balance<'a> {
    group: &'a Group<'a>,
    shares: Vec<Vec<usize>>,
    owner: Vec<Option<usize>>,
    /// Those that take part, by what they have and then by id.
    sorted: BTreeSet<(usize, usize)>,
    /// Who had a partition in a generation before the last.
    before: BTreeMap<usize, usize>,
    /// A member remembers a topic that it no longer wants.
    revoked: bool,
    /// Where moved partitions came from and went.
    moves: BTreeMap<usize, (usize, usize)>,
}

impl<'a> Balance<'a> {
    fn new(group: &'a Group<'a>) -> Self {
        let mut shares = group.owned.clone();
        let mut revoked = false;
        for (member, share) in shares.iter_mut().enumerate() {
            share.retain(|partition| {
                let keeps = group.wants(member, *partition);
                revoked |= !keeps;
                keeps
            });
        }
        let mut owner = vec![None; group.partitions.len()];
        for (member, share) in shares.iter().enumerate() {
            share.iter().for_each(|partition| owner[*partition] = Some(member));
        }
        let sorted = shares.iter().enumerate().map(|(member, share)| (share.len(), member)).collect();
        let last = group.memories.iter().map(|(generation, _)| *generation).max().unwrap_or(-1);
        let mut before: BTreeMap<usize, usize> = BTreeMap::new();
        for member in group.in_java_order() {
            let (generation, owned) = &group.memories[member];
            for partition in owned.iter().filter(|_| *generation < last).filter_map(|at| group.index_of(at)) {
                let known = before.entry(partition).or_insert(member);
                if *generation > group.memories[*known].0 {
                    *known = member;
                }
            }
        }
        Self { group, shares, owner, sorted, before, revoked, moves: BTreeMap::new() }
    }

    fn balance(mut self) -> Vec<Vec<usize>> {
        let initializing = self.sorted.last().is_none_or(|(most, _)| *most == 0);
        let takers = |partition: usize| {
            (0..self.group.members.len()).filter(|member| self.group.wants(*member, partition)).count()
        };
        // Topics that few want come first.
        let mut all: Vec<usize> = (0..self.group.partitions.len()).collect();
        sort_by(&mut all, |left, right| (takers(*left), left).cmp(&(takers(*right), right)));
        all.retain(|partition| takers(*partition) > 0);
        let contested: BTreeSet<usize> = all.iter().copied().filter(|partition| takers(*partition) > 1).collect();
        let mut free: Vec<usize> = all.iter().copied().filter(|partition| self.owner[*partition].is_none()).collect();
        for partition in &free {
            self.give_to_least(*partition);
        }
        all.retain(|partition| contested.contains(partition));
        free.retain(|partition| contested.contains(partition));
        for member in 0..self.group.members.len() {
            let has_all = self.shares[member].len() >= self.largest_share(member);
            if has_all && !self.shares[member].iter().any(|partition| contested.contains(partition)) {
                self.sorted.remove(&(self.shares[member].len(), member));
            }
        }
        let unmoved = self.shares.clone();
        if !self.revoked {
            self.reassign(&free);
        }
        let moved = self.reassign(&all);
        if !initializing && moved && self.unevenness(&self.shares) >= self.unevenness(&unmoved) {
            return unmoved;
        }
        self.shares
    }

    fn give_to_least(&mut self, partition: usize) {
        let taker = self.sorted.iter().copied().find(|(_, member)| self.group.wants(*member, partition));
        if let Some((size, member)) = taker {
            self.sorted.remove(&(size, member));
            self.shares[member].push(partition);
            self.owner[partition] = Some(member);
            self.sorted.insert((size + 1, member));
        }
    }

    /// All partitions of all topics that a member wants.
    fn largest_share(&self, member: usize) -> usize {
        let topics: BTreeSet<&String> = self.group.members[member].topics.iter().collect();
        topics.iter().filter_map(|topic| self.group.counts.get(*topic)).map(|count| *count as usize).sum()
    }

    /// Nobody who takes part could have one that somebody has two more of.
    fn is_balanced(&self) -> bool {
        let (Some((least, _)), Some((most, _))) = (self.sorted.first(), self.sorted.last()) else { return true };
        if least + 1 >= *most {
            return true;
        }
        !self.sorted.iter().any(|&(size, member)| {
            size != self.largest_share(member)
                && (0..self.group.partitions.len()).any(|partition| {
                    let owner = self.owner[partition].filter(|owner| *owner != member && self.takes_part(*owner));
                    self.group.wants(member, partition)
                        && owner.is_some_and(|owner| size + 1 < self.shares[owner].len())
                })
        })
    }

    fn takes_part(&self, member: usize) -> bool {
        self.sorted.contains(&(self.shares[member].len(), member))
    }

    fn reassign(&mut self, partitions: &[usize]) -> bool {
        let mut any = false;
        loop {
            let mut moved = false;
            for &partition in partitions {
                if self.is_balanced() {
                    break;
                }
                let Some(owner) = self.owner[partition] else { continue };
                let has_two_more = |than: usize| self.shares[owner].len() > self.shares[than].len() + 1;
                let taker = match self.before.get(&partition) {
                    Some(&before) if has_two_more(before) => Some(before),
                    _ => {
                        let wants = |member: usize| self.group.wants(member, partition);
                        let anybody = (0..self.shares.len()).any(|member| wants(member) && has_two_more(member));
                        let least = self.sorted.iter().map(|(_, member)| *member).find(|member| wants(*member));
                        least.filter(|_| anybody)
                    }
                };
                if let Some(taker) = taker {
                    self.move_to(self.really_moved(partition, owner, taker), taker);
                    moved = true;
                    any = true;
                }
            }
            if !moved {
                return any;
            }
        }
    }

    /// Rather than exchange two partitions of a topic, the one that came the other way goes back.
    fn really_moved(&self, partition: usize, owner: usize, taker: usize) -> usize {
        let source = self.moves.get(&partition).map_or(owner, |(from, _)| *from);
        let topic = self.group.topic(partition);
        let came_back = |(moved, way): (&usize, &(usize, usize))| {
            (*way == (taker, source) && self.group.topic(*moved) == topic).then_some(*moved)
        };
        let candidates: Vec<usize> = self.moves.iter().filter_map(came_back).collect();
        let hash = |moved: &usize| {
            let at = &self.group.partitions[*moved];
            let number = 31_i32.wrapping_add(at.partition).wrapping_mul(31);
            bucket(number.wrapping_add(string_hash(&at.topic)), candidates.len())
        };
        candidates.iter().min_by_key(|moved| hash(moved)).copied().unwrap_or(partition)
    }

    fn move_to(&mut self, partition: usize, taker: usize) {
        let Some(owner) = self.owner[partition] else { return };
        for member in [owner, taker] {
            self.sorted.remove(&(self.shares[member].len(), member));
        }
        match self.moves.remove(&partition) {
            Some((from, _)) if from == taker => {}
            Some((from, _)) => drop(self.moves.insert(partition, (from, taker))),
            None => drop(self.moves.insert(partition, (owner, taker))),
        }
        self.shares[owner].retain(|owned| *owned != partition);
        self.shares[taker].push(partition);
        self.owner[partition] = Some(taker);
        for member in [owner, taker] {
            self.sorted.insert((self.shares[member].len(), member));
        }
    }

    /// The sum of all differences between two members that take part.
    fn unevenness(&self, shares: &[Vec<usize>]) -> usize {
        let members: Vec<usize> = self.sorted.iter().map(|(_, member)| *member).collect();
        let pairs = members.iter().enumerate().flat_map(|(index, left)| {
            members[index + 1..].iter().map(|right| shares[*left].len().abs_diff(shares[*right].len()))
        });
        pairs.sum()
    }
}

/// What an eager member remembers that it had.
fn remembered(member: &Member) -> (i32, Vec<TopicPartition>) {
    let told = member.user_data.as_deref().and_then(|told| protocol::decode_sticky(told).ok());
    told.map_or((-1, Vec::new()), |(owned, generation)| (generation, owned))
}

/// What a member has kept. Old clients have no field for its generation.
fn kept(member: &Member) -> (i32, Vec<TopicPartition>) {
    let told = || member.user_data.as_deref().and_then(|told| protocol::decode_generation(told).ok());
    let generation = if member.generation >= 0 { member.generation } else { told().unwrap_or(-1) };
    (generation, member.owned.clone())
}

/// Java's `String.hashCode`.
fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Where a Java `HashMap` of so many entries keeps this one.
fn bucket(hash: i32, size: usize) -> u32 {
    let buckets = (size as u32).saturating_mul(4).div_ceil(3).next_power_of_two().max(16);
    let hash = hash as u32;
    (hash ^ (hash >> 16)) & (buckets - 1)
}
