//! Incremental fetch sessions (KIP-227): a consumer names its partitions once, and then only what changed; an answer
//! leaves out the partitions of which there is nothing new to say.

use shore_base::collections::BTreeMap;
use shore_base::{Duration, Instant, Random, Uuid};
use shore_wire::error::ErrorCode;
use shore_wire::messages::FetchRequest;

/// From this version on, requests name topics by id.
const FIRST_VERSION_WITH_TOPIC_IDS: i16 = 13;
const NO_SESSION: i32 = 0;
/// Asks for a full fetch that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// Asks for a full fetch without one.
const FINAL_EPOCH: i32 = -1;
/// A session that was not used for this long may be evicted for any other.
const STALE_AFTER: Duration = Duration::from_secs(120);

/// A topic as the request names it. The other name is unknown to a session: a topic may get one, or lose it, while the
/// session lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    Name(String),
    Id(Uuid),
}

/// What a fetch asks of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub topic: TopicKey,
    pub partition: i32,
    pub fetch_offset: i64,
    /// -1 where the client does not know it.
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
    pub log_start_offset: i64,
    pub max_bytes: i32,
}

/// What a session remembers of an answer, to see whether the next one differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub has_records: bool,
    /// An error, a preferred replica or a diverging epoch: the client must always be told.
    pub must_tell: bool,
    pub is_error: bool,
}

/// How a fetch is to be answered, decided when it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchContext {
    Sessionless {
        wanted: Vec<Wanted>,
    },
    /// A session is opened when it is answered, if there is room for one.
    Full {
        wanted: Vec<Wanted>,
        uses_topic_ids: bool,
        from_follower: bool,
    },
    /// `epoch` is what the session's epoch has to be when it is answered.
    Incremental {
        session: i32,
        epoch: i32,
        wanted: Vec<Wanted>,
    },
    Refused(ErrorCode),
}

impl FetchContext {
    pub fn wanted(&self) -> &[Wanted] {
        match self {
            Self::Sessionless { wanted } | Self::Full { wanted, .. } | Self::Incremental { wanted, .. } => wanted,
            Self::Refused(_) => &[],
        }
    }
}

/// The head of a fetch's answer: its session, and an error that stands instead of any partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub session_id: i32,
    pub error: ErrorCode,
}

/// The sessions of one broker.
#[derive(Clone, Debug)]
pub(crate) struct FetchSessions {
    /// `max.incremental.fetch.session.cache.slots`.
    slots: usize,
    random: Random,
    sessions: BTreeMap<i32, Session>,
    /// The sessions by the time of their last use. Invariant: one entry per session.
    by_use: BTreeMap<(Instant, i32), ()>,
    /// The sessions by worth, least first: consumers before followers, small before large. Invariant: as `by_use`.
    by_worth: BTreeMap<Worth, ()>,
}

/// Whether it is a follower's, how many partitions it has, its id.
type Worth = (bool, usize, i32);

#[derive(Clone, Debug)]
struct Session {
    from_follower: bool,
    uses_topic_ids: bool,
    created: Instant,
    last_used: Instant,
    /// How many partitions it had when it was last used: the key in `by_worth` until then.
    ranked_size: usize,
    epoch: i32,
    /// In the order in which they are read; a partition that had records goes to the end, so that each gets its turn.
    partitions: BTreeMap<u64, Cached>,
    /// Invariant: one entry per partition.
    places: BTreeMap<(TopicKey, i32), u64>,
    next_place: u64,
}

#[derive(Clone, Debug)]
struct Cached {
    wanted: Wanted,
    /// As last told; -1 where the client has to be told again.
    high_watermark: i64,
    log_start_offset: i64,
}

impl FetchSessions {
    pub fn new(slots: usize, random: Random) -> Self {
        Self { slots, random, sessions: BTreeMap::new(), by_use: BTreeMap::new(), by_worth: BTreeMap::new() }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Decides how a request is to be answered, and which partitions it is about.
    pub fn begin(&mut self, now: Instant, request: &FetchRequest, version: i16) -> FetchContext {
        let uses_topic_ids = version >= FIRST_VERSION_WITH_TOPIC_IDS;
        let wanted = wanted(request, uses_topic_ids);
        if matches!(request.session_epoch, INITIAL_EPOCH | FINAL_EPOCH) {
            self.remove(request.session_id);
            return if request.session_epoch == FINAL_EPOCH {
                FetchContext::Sessionless { wanted }
            } else {
                let replica = if version >= 15 { request.replica_state.replica_id } else { request.replica_id };
                FetchContext::Full { wanted, uses_topic_ids, from_follower: replica >= 0 }
            };
        }
        let Some(session) = self.sessions.get_mut(&request.session_id) else {
            return FetchContext::Refused(ErrorCode::FetchSessionIdNotFound);
        };
        if session.epoch != request.session_epoch {
            return FetchContext::Refused(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return FetchContext::Refused(ErrorCode::FetchSessionTopicIdError);
        }
        for partition in &wanted {
            session.want(partition);
        }
        for key in forgotten(request, uses_topic_ids) {
            session.forget(&key);
        }
        if session.partitions.is_empty() {
            self.remove(request.session_id);
            return FetchContext::Sessionless { wanted };
        }
        session.epoch = next_epoch(session.epoch);
        let epoch = session.epoch;
        let wanted = session.partitions.values().map(|cached| cached.wanted.clone()).collect();
        self.touch(now, request.session_id);
        FetchContext::Incremental { session: request.session_id, epoch, wanted }
    }

    /// Decides the head of the answer and, of `answers` (one per partition of the context, in its order), which ones
    /// the client has to be told: the others are taken out.
    pub fn finish<A>(
        &mut self,
        now: Instant,
        context: &FetchContext,
        answers: &mut Vec<A>,
        answered: impl Fn(&A) -> Answered,
    ) -> Verdict {
        match context {
            FetchContext::Sessionless { .. } => Verdict { session_id: NO_SESSION, error: ErrorCode::None },
            FetchContext::Refused(error) => {
                answers.clear();
                Verdict { session_id: NO_SESSION, error: *error }
            }
            FetchContext::Full { wanted, uses_topic_ids, from_follower } => {
                let told = wanted.iter().zip(answers.iter().map(answered));
                let session_id = self.open(now, told, wanted.len(), *uses_topic_ids, *from_follower);
                Verdict { session_id, error: ErrorCode::None }
            }
            FetchContext::Incremental { session: id, epoch, wanted } => {
                let Some(session) = self.sessions.get_mut(id).filter(|session| session.epoch == *epoch) else {
                    answers.clear();
                    return Verdict { session_id: *id, error: ErrorCode::InvalidFetchSessionEpoch };
                };
                let mut partitions = wanted.iter();
                answers.retain(|answer| {
                    partitions.next().is_none_or(|partition| session.tell(partition, answered(answer)))
                });
                Verdict { session_id: *id, error: ErrorCode::None }
            }
        }
    }

    fn open<'a>(
        &mut self,
        now: Instant,
        told: impl Iterator<Item = (&'a Wanted, Answered)>,
        size: usize,
        uses_topic_ids: bool,
        from_follower: bool,
    ) -> i32 {
        if self.sessions.len() >= self.slots && !self.evict(now, (from_follower, size, 0)) {
            return NO_SESSION;
        }
        let id = loop {
            let id = (self.random.next_u32() >> 1) as i32;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            from_follower,
            uses_topic_ids,
            created: now,
            last_used: now,
            ranked_size: 0,
            epoch: next_epoch(INITIAL_EPOCH),
            partitions: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
        };
        for (wanted, answered) in told {
            session.add(Cached {
                wanted: wanted.clone(),
                high_watermark: answered.high_watermark,
                log_start_offset: answered.log_start_offset,
            });
        }
        session.ranked_size = session.partitions.len();
        self.by_use.insert((now, id), ());
        self.by_worth.insert((from_follower, session.ranked_size, id), ());
        self.sessions.insert(id, session);
        id
    }

    /// Makes room for a session that is worth `newcomer`: takes a stale one, or else one that is worth less and that
    /// the newcomer may push out. A consumer pushes out none that is younger than [`STALE_AFTER`].
    fn evict(&mut self, now: Instant, newcomer: Worth) -> bool {
        let Some((&(last_used, oldest), ())) = self.by_use.first_key_value() else { return false };
        if now.since(last_used) > STALE_AFTER {
            self.remove(oldest);
            return true;
        }
        let may_go = |session: &Session| {
            let is_old = now.since(session.created) > STALE_AFTER;
            is_old || (newcomer.0 && !session.from_follower)
        };
        let least = self.by_worth.keys().find(|(_, _, id)| self.sessions.get(id).is_some_and(may_go));
        match least {
            Some(&worth) if newcomer >= worth => {
                self.remove(worth.2);
                true
            }
            _ => false,
        }
    }

    fn touch(&mut self, now: Instant, id: i32) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        self.by_use.remove(&(session.last_used, id));
        self.by_worth.remove(&(session.from_follower, session.ranked_size, id));
        session.last_used = now;
        session.ranked_size = session.partitions.len();
        self.by_use.insert((now, id), ());
        self.by_worth.insert((session.from_follower, session.ranked_size, id), ());
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.by_use.remove(&(session.last_used, id));
            self.by_worth.remove(&(session.from_follower, session.ranked_size, id));
        }
    }
}

impl Session {
    fn want(&mut self, wanted: &Wanted) {
        let key = (wanted.topic.clone(), wanted.partition);
        match self.places.get(&key).and_then(|place| self.partitions.get_mut(place)) {
            Some(cached) => cached.wanted = wanted.clone(),
            None => self.add(Cached { wanted: wanted.clone(), high_watermark: -1, log_start_offset: -1 }),
        }
    }

    fn add(&mut self, cached: Cached) {
        let key = (cached.wanted.topic.clone(), cached.wanted.partition);
        if let Some(old) = self.places.insert(key, self.next_place) {
            self.partitions.remove(&old);
        }
        self.partitions.insert(self.next_place, cached);
        self.next_place += 1;
    }

    fn forget(&mut self, key: &(TopicKey, i32)) {
        if let Some(place) = self.places.remove(key) {
            self.partitions.remove(&place);
        }
    }

    /// Whether the client has to be told this answer; remembers it if so.
    fn tell(&mut self, wanted: &Wanted, answered: Answered) -> bool {
        let key = (wanted.topic.clone(), wanted.partition);
        let Some(place) = self.places.get(&key).copied() else { return true };
        let Some(cached) = self.partitions.get_mut(&place) else { return true };
        let is_news = cached.high_watermark != answered.high_watermark
            || cached.log_start_offset != answered.log_start_offset
            || answered.has_records
            || answered.must_tell;
        cached.log_start_offset = answered.log_start_offset;
        // Once the error is gone, the client has to be told even if nothing else changed.
        cached.high_watermark = if answered.is_error { -1 } else { answered.high_watermark };
        if answered.has_records
            && let Some(cached) = self.partitions.remove(&place)
        {
            self.add(cached);
        }
        is_news
    }
}

fn wanted(request: &FetchRequest, uses_topic_ids: bool) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let key = topic_key(topic.topic.as_str(), topic.topic_id.to_bytes(), uses_topic_ids);
        wanted.extend(topic.partitions.iter().map(|partition| Wanted {
            topic: key.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
            log_start_offset: partition.log_start_offset,
            max_bytes: partition.partition_max_bytes,
        }));
    }
    wanted
}

fn forgotten(request: &FetchRequest, uses_topic_ids: bool) -> impl Iterator<Item = (TopicKey, i32)> {
    request.forgotten_topics_data.iter().flat_map(move |topic| {
        let key = topic_key(topic.topic.as_str(), topic.topic_id.to_bytes(), uses_topic_ids);
        topic.partitions.iter().map(move |&partition| (key.clone(), partition))
    })
}

fn topic_key(name: &str, id: [u8; 16], uses_topic_ids: bool) -> TopicKey {
    if uses_topic_ids { TopicKey::Id(Uuid(id)) } else { TopicKey::Name(name.to_owned()) }
}

/// Epochs wrap to 1: 0 opens a session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shore_wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

    const V12: i16 = 12;

    fn sessions(slots: usize) -> FetchSessions {
        FetchSessions::new(slots, Random::stream(1, "fetch sessions"))
    }

    /// A request for partitions of the topic `t`, each with an offset, that forgets others.
    fn request(session: i32, epoch: i32, partitions: &[(i32, i64)], forgotten: &[i32]) -> FetchRequest {
        let mut request = FetchRequest::default();
        request.replica_id = -1;
        request.session_id = session;
        request.session_epoch = epoch;
        if !partitions.is_empty() {
            let mut topic = FetchTopic::default();
            topic.topic = "t".into();
            for &(index, offset) in partitions {
                let mut partition = FetchPartition::default();
                partition.partition = index;
                partition.fetch_offset = offset;
                topic.partitions.push(partition);
            }
            request.topics.push(topic);
        }
        if !forgotten.is_empty() {
            let mut topic = ForgottenTopic::default();
            topic.topic = "t".into();
            topic.partitions = forgotten.to_vec();
            request.forgotten_topics_data.push(topic);
        }
        request
    }

    /// Answers a context, each partition with a high watermark and whether there are records; hands back the verdict
    /// and the partitions that the client is told of.
    fn answer(
        sessions: &mut FetchSessions,
        context: &FetchContext,
        say: impl Fn(i32) -> (i64, bool),
    ) -> (Verdict, Vec<i32>) {
        let mut told: Vec<i32> = context.wanted().iter().map(|wanted| wanted.partition).collect();
        let verdict = sessions.finish(Instant::ZERO, context, &mut told, |&partition| {
            let (high_watermark, has_records) = say(partition);
            Answered { high_watermark, log_start_offset: 0, has_records, must_tell: false, is_error: false }
        });
        (verdict, told)
    }

    fn open(sessions: &mut FetchSessions, partitions: &[(i32, i64)]) -> i32 {
        let context = sessions.begin(Instant::ZERO, &request(0, 0, partitions, &[]), V12);
        answer(sessions, &context, |_| (0, false)).0.session_id
    }

    fn partitions(context: &FetchContext) -> Vec<(i32, i64)> {
        context.wanted().iter().map(|wanted| (wanted.partition, wanted.fetch_offset)).collect()
    }

    #[test]
    fn a_full_fetch_opens_a_session_and_is_answered_whole() {
        let mut sessions = sessions(10);
        let context = sessions.begin(Instant::ZERO, &request(0, 0, &[(0, 5), (1, 6)], &[]), V12);
        let (verdict, told) = answer(&mut sessions, &context, |_| (9, false));
        assert_ne!(verdict.session_id, 0);
        assert_eq!(told, [0, 1]);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn the_final_epoch_closes_a_session_and_opens_none() {
        let mut sessions = sessions(10);
        let id = open(&mut sessions, &[(0, 0)]);
        let context = sessions.begin(Instant::ZERO, &request(id, -1, &[(0, 5)], &[]), V12);
        assert_eq!(answer(&mut sessions, &context, |_| (9, false)).0.session_id, 0);
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn an_incremental_fetch_is_about_all_partitions_and_tells_only_news() {
        let mut sessions = sessions(10);
        let id = open(&mut sessions, &[(0, 0), (1, 0), (2, 0)]);
        let context = sessions.begin(Instant::ZERO, &request(id, 1, &[(1, 7)], &[]), V12);
        assert_eq!(partitions(&context), [(0, 0), (1, 7), (2, 0)]);
        let (verdict, told) = answer(&mut sessions, &context, |partition| (i64::from(partition == 2), false));
        assert_eq!((verdict.session_id, told), (id, vec![2]));
    }

    #[test]
    fn a_partition_that_had_records_goes_to_the_end() {
        let mut sessions = sessions(10);
        let id = open(&mut sessions, &[(0, 0), (1, 0), (2, 0)]);
        let context = sessions.begin(Instant::ZERO, &request(id, 1, &[], &[]), V12);
        answer(&mut sessions, &context, |partition| (0, partition == 0));
        let context = sessions.begin(Instant::ZERO, &request(id, 2, &[], &[]), V12);
        assert_eq!(partitions(&context), [(1, 0), (2, 0), (0, 0)]);
    }

    #[test]
    fn a_healed_partition_is_told_again() {
        let mut sessions = sessions(10);
        let id = open(&mut sessions, &[(0, 0)]);
        for (epoch, is_error, told) in [(1, true, 1), (2, false, 1), (3, false, 0)] {
            let context = sessions.begin(Instant::ZERO, &request(id, epoch, &[], &[]), V12);
            let mut answers = vec![()];
            sessions.finish(Instant::ZERO, &context, &mut answers, |()| Answered {
                high_watermark: 0,
                log_start_offset: 0,
                has_records: false,
                must_tell: is_error,
                is_error,
            });
            assert_eq!(answers.len(), told, "epoch {epoch}");
        }
    }

    #[test]
    fn forgetting_the_last_partition_closes_the_session() {
        let mut sessions = sessions(10);
        let id = open(&mut sessions, &[(0, 0), (1, 0)]);
        let context = sessions.begin(Instant::ZERO, &request(id, 1, &[], &[0]), V12);
        assert_eq!(partitions(&context), [(1, 0)]);
        let context = sessions.begin(Instant::ZERO, &request(id, 2, &[], &[1]), V12);
        assert_eq!(context, FetchContext::Sessionless { wanted: vec![] });
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn refusals() {
        let mut sessions = sessions(10);
        let id = open(&mut sessions, &[(0, 0)]);
        let cases = [
            (id.wrapping_add(1), 1, V12, ErrorCode::FetchSessionIdNotFound),
            (0, 1, V12, ErrorCode::FetchSessionIdNotFound),
            (id, 2, V12, ErrorCode::InvalidFetchSessionEpoch),
            (id, -2, V12, ErrorCode::InvalidFetchSessionEpoch),
            (id, 1, 13, ErrorCode::FetchSessionTopicIdError),
        ];
        for (session, epoch, version, error) in cases {
            let context = sessions.begin(Instant::ZERO, &request(session, epoch, &[], &[]), version);
            assert_eq!(context, FetchContext::Refused(error), "session {session} epoch {epoch} v{version}");
        }
    }

    #[test]
    fn an_answer_that_a_later_request_overtook_is_refused() {
        let mut sessions = sessions(10);
        let id = open(&mut sessions, &[(0, 0)]);
        let first = sessions.begin(Instant::ZERO, &request(id, 1, &[], &[]), V12);
        sessions.begin(Instant::ZERO, &request(id, 2, &[], &[]), V12);
        let (verdict, told) = answer(&mut sessions, &first, |_| (9, true));
        assert_eq!((verdict.error, told), (ErrorCode::InvalidFetchSessionEpoch, vec![]));
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!([next_epoch(0), next_epoch(i32::MAX)], [1, 1]);
    }

    #[test]
    fn a_full_cache_gives_way_only_to_what_is_worth_more() {
        let young = Instant::from_millis(1_000);
        let old = Instant::from_millis(121_000);
        // When the newcomer comes, whether it is a follower's, how many partitions it has, whether it gets a session.
        let cases = [(young, false, 9, false), (young, true, 1, true), (old, false, 1, true)];
        for (now, from_follower, size, gets_one) in cases {
            let mut sessions = sessions(1);
            open(&mut sessions, &[(0, 0), (1, 0)]);
            let wanted = [(0..size).map(|partition| (partition, 0)).collect::<Vec<_>>()];
            let mut request = request(0, 0, &wanted[0], &[]);
            request.replica_id = if from_follower { 2 } else { -1 };
            let context = sessions.begin(now, &request, V12);
            let mut answers = vec![(); size as usize];
            let verdict = sessions.finish(now, &context, &mut answers, |()| Answered {
                high_watermark: 0,
                log_start_offset: 0,
                has_records: false,
                must_tell: false,
                is_error: false,
            });
            assert_eq!(verdict.session_id != 0, gets_one, "at {now}, follower {from_follower}, {size} partitions");
            assert_eq!(sessions.len(), 1);
        }
    }

    #[test]
    fn no_slots_mean_no_sessions() {
        let mut sessions = sessions(0);
        assert_eq!(open(&mut sessions, &[(0, 0)]), 0);
    }
}
