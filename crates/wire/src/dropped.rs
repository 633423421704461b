//! Request versions that Apache Kafka 4 dropped and 3.9 still served, as rewrites of their bytes.
//!
//! The generated messages begin with the oldest version that Kafka kept. A request of an older one is rewritten into
//! that before it is read, and its response from that after it was written. No dropped version is flexible, and their
//! headers are alike, so only bodies change. ListOffsets 0 is not here: it asks for something else.

use bytes::Bytes;

use crate::api::ApiKey;
use crate::codec::{DecodeError, Reader, Writer};

/// A piece of a body, in the order of the wire.
enum Step {
    /// So many bytes stay.
    Keep(usize),
    /// A string, or null, stays.
    Text,
    /// Bytes after their length stay, or null.
    Bytes,
    /// An array stays, or null; each element is rewritten by these steps.
    Each(&'static [Step]),
    /// What these steps go over is left out.
    Drop(&'static [Step]),
    /// Bytes that the other version has in addition.
    Add(&'static [u8]),
    /// All that is left stays.
    Rest,
}

use Step::{Add, Bytes as Blob, Drop, Each, Keep, Rest, Text};

/// How one dropped version differs from the oldest one that was kept.
struct Dropped {
    api: ApiKey,
    version: i16,
    /// The version that it is rewritten to and from.
    kept: i16,
    request: &'static [Step],
    response: &'static [Step],
}

const fn dropped(api: ApiKey, version: i16, kept: i16, request: &'static [Step], response: &'static [Step]) -> Dropped {
    Dropped { api, version, kept, request, response }
}

/// The bodies of both versions are the same.
const SAME: &[Step] = &[Rest];
const NO_THROTTLE_TIME: Step = Drop(&[Keep(4)]);
const MINUS_ONE: &[u8] = &[0xff; 4];
/// The pattern type of an ACL's resource: LITERAL.
const LITERAL: Step = Add(&[3]);

const DROPPED: &[Dropped] = &[
    // Version 3 begins with a transactional id, which is null here. Version 1 added the throttle time at the end,
    // version 2 each partition's log append time.
    dropped(ApiKey::Produce, 0, 3, PRODUCE, &[PRODUCED_TOPICS, NO_THROTTLE_TIME]),
    dropped(ApiKey::Produce, 1, 3, PRODUCE, &[PRODUCED_TOPICS, Rest]),
    dropped(ApiKey::Produce, 2, 3, PRODUCE, SAME),
    // After replica, wait and least bytes, version 3 added the most bytes, version 4 the isolation level; and to the
    // response version 1 the throttle time, version 4 last stable offset and aborted transactions.
    dropped(ApiKey::Fetch, 0, 4, FETCH, &[NO_THROTTLE_TIME, FETCHED_TOPICS]),
    dropped(ApiKey::Fetch, 1, 4, FETCH, &[Keep(4), FETCHED_TOPICS]),
    dropped(ApiKey::Fetch, 2, 4, FETCH, &[Keep(4), FETCHED_TOPICS]),
    dropped(ApiKey::Fetch, 3, 4, &[Keep(16), Add(&[0]), Rest], &[Keep(4), FETCHED_TOPICS]),
    // Version 1 added generation, member and a time of each commit, which version 2 replaced by a retention of all.
    dropped(ApiKey::OffsetCommit, 0, 2, &[Text, Add(MINUS_ONE), Add(&[0, 0]), Add(&[0xff; 8]), Rest], SAME),
    dropped(
        ApiKey::OffsetCommit,
        1,
        2,
        &[Text, Keep(4), Text, Add(&[0xff; 8]), Each(&[Text, Each(&[Keep(12), Drop(&[Keep(8)]), Text])])],
        SAME,
    ),
    dropped(ApiKey::OffsetFetch, 0, 1, SAME, SAME),
    // Version 1 added validate_only and error messages, version 2 the throttle time.
    dropped(ApiKey::CreateTopics, 0, 2, &[Rest, Add(&[0])], &[NO_THROTTLE_TIME, Each(&[Text, Keep(2), Drop(&[Text])])]),
    dropped(ApiKey::CreateTopics, 1, 2, SAME, &[NO_THROTTLE_TIME, Rest]),
    dropped(ApiKey::DeleteTopics, 0, 1, SAME, &[NO_THROTTLE_TIME, Rest]),
    // Version 1 added the epoch that was found, version 2 the reader's current epoch and the throttle time.
    dropped(
        ApiKey::OffsetForLeaderEpoch,
        0,
        2,
        EPOCHS,
        &[NO_THROTTLE_TIME, Each(&[Text, Each(&[Keep(6), Drop(&[Keep(4)]), Keep(8)])])],
    ),
    dropped(ApiKey::OffsetForLeaderEpoch, 1, 2, EPOCHS, &[NO_THROTTLE_TIME, Rest]),
    // Version 1 added the pattern types of ACLs.
    dropped(
        ApiKey::DescribeAcls,
        0,
        1,
        &[Keep(1), Text, LITERAL, Rest],
        &[Keep(6), Text, Each(&[Keep(1), Text, Drop(&[Keep(1)]), Each(&[Text, Text, Keep(2)])])],
    ),
    dropped(ApiKey::CreateAcls, 0, 1, ACLS, SAME),
    dropped(
        ApiKey::DeleteAcls,
        0,
        1,
        ACLS,
        &[
            Keep(4),
            Each(&[Keep(2), Text, Each(&[Keep(2), Text, Keep(1), Text, Drop(&[Keep(1)]), Text, Text, Keep(2)])]),
        ],
    ),
    // Version 1 added synonyms, and put a config's source where version 0 said whether it is a default. Apache Kafka
    // 3.9 had come to say of none that it is.
    dropped(
        ApiKey::DescribeConfigs,
        0,
        1,
        &[Rest, Add(&[0])],
        &[
            Keep(4),
            Each(&[
                Keep(2),
                Text,
                Keep(1),
                Text,
                Each(&[
                    Text,
                    Text,
                    Keep(1),
                    Drop(&[Keep(1)]),
                    Add(&[0]),
                    Keep(1),
                    Drop(&[Each(&[Text, Text, Keep(1)])]),
                ]),
            ]),
        ],
    ),
    dropped(ApiKey::AlterReplicaLogDirs, 0, 1, SAME, SAME),
    dropped(ApiKey::DescribeLogDirs, 0, 1, SAME, SAME),
    dropped(ApiKey::CreateDelegationToken, 0, 1, SAME, SAME),
    dropped(ApiKey::RenewDelegationToken, 0, 1, SAME, SAME),
    dropped(ApiKey::ExpireDelegationToken, 0, 1, SAME, SAME),
    dropped(ApiKey::DescribeDelegationToken, 0, 1, SAME, SAME),
];

const PRODUCE: &[Step] = &[Add(&[0xff, 0xff]), Rest];
const PRODUCED_TOPICS: Step = Each(&[Text, Each(&[Keep(14), Drop(&[Keep(8)])])]);
const FETCH: &[Step] = &[Keep(12), Add(&[0x7f, 0xff, 0xff, 0xff, 0]), Rest];
const FETCHED_TOPICS: Step = Each(&[Text, Each(&[Keep(14), Drop(&[Keep(8), Each(&[Keep(16)])]), Blob])]);
const EPOCHS: &[Step] = &[Each(&[Text, Each(&[Keep(4), Add(MINUS_ONE), Keep(4)])])];
const ACLS: &[Step] = &[Each(&[Keep(1), Text, LITERAL, Text, Text, Keep(2)])];

/// No API dropped a version after this one.
const LAST_DROPPED: i16 = 3;

fn find(api_key: i16, version: i16) -> Option<&'static Dropped> {
    if version > LAST_DROPPED {
        return None;
    }
    DROPPED.iter().find(|dropped| dropped.api.key() == api_key && dropped.version == version)
}

/// The version in which a generated message is read and written for a client that speaks `version`.
pub(crate) fn kept_version(api_key: i16, version: i16) -> i16 {
    find(api_key, version).map_or(version, |dropped| dropped.kept)
}

/// A request's body in the oldest version that was kept, if this one was dropped.
pub(crate) fn rewrite_request(api_key: i16, version: i16, body: Bytes) -> Result<Bytes, DecodeError> {
    match find(api_key, version) {
        Some(dropped) => rewrite(dropped.request, &body),
        None => Ok(body),
    }
}

/// The body in this version of a response that was written in [`kept_version`], if this one was dropped.
pub(crate) fn rewrite_response(api_key: i16, version: i16, body: &[u8]) -> Option<Bytes> {
    let dropped = find(api_key, version)?;
    Some(rewrite(dropped.response, body).expect("a response that was written in the version that is read"))
}

fn rewrite(steps: &[Step], body: &[u8]) -> Result<Bytes, DecodeError> {
    let mut reader = Reader::new(body);
    let mut writer = Writer::with_capacity(body.len() + 16);
    run(steps, &mut reader, &mut writer)?;
    reader.finish()?;
    Ok(writer.into_bytes())
}

fn run(steps: &[Step], reader: &mut Reader<'_>, writer: &mut Writer) -> Result<(), DecodeError> {
    for step in steps {
        match step {
            Keep(count) => writer.raw(reader.take(*count)?),
            Text => {
                let length = reader.i16()?;
                writer.i16(length);
                writer.raw(reader.take(usize::try_from(length).unwrap_or(0))?);
            }
            Blob => {
                let length = reader.i32()?;
                writer.i32(length);
                writer.raw(reader.take(usize::try_from(length).unwrap_or(0))?);
            }
            Each(element) => {
                let count = reader.i32()?;
                writer.i32(count);
                // Every element takes bytes, so that a false count comes to the end of them.
                for _ in 0..count {
                    run(element, reader, writer)?;
                }
            }
            Drop(left_out) => run(left_out, reader, &mut Writer::new())?,
            Add(bytes) => writer.raw(bytes),
            Rest => writer.raw(reader.take(reader.remaining())?),
        }
    }
    Ok(())
}
