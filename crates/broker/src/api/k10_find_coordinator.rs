//! FindCoordinator (key 10, versions 0 to 6): which broker coordinates a group or a transactional id.
//!
//! v1 adds the kind of coordinator, v4 asks for several keys at once, v6 adds share groups.

use shore_base::Uuid;
use shore_wire::error::ErrorCode;
use shore_wire::messages::find_coordinator_response::Coordinator as Found;
use shore_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};

use crate::broker::Coordinator;
use crate::group::partition_for;

const BATCH_VERSION: i16 = 4;
const SHARE_VERSION: i16 = 6;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// What FindCoordinator asks of the metadata image.
pub(crate) trait Coordinators {
    /// How many partitions a coordinator's topic has; `None` if it is not there, and is being created
    /// from here on.
    fn partitions(&mut self, coordinator: Coordinator) -> Option<i32>;
    /// Id, host and port of the live leader of one of its partitions.
    fn leader(&self, coordinator: Coordinator, partition: i32) -> Option<(i32, StrBytes, i32)>;
}

pub(crate) fn handle(
    version: i16,
    request: &FindCoordinatorRequest,
    coordinators: &mut dyn Coordinators,
) -> FindCoordinatorResponse {
    let mut response = FindCoordinatorResponse::default();
    if version >= BATCH_VERSION {
        for key in &request.coordinator_keys {
            response.coordinators.push(find(version, request.key_type, key, coordinators));
        }
        return response;
    }
    let found = find(version, request.key_type, &request.key, coordinators);
    response.error_code = found.error_code;
    if version >= 1 {
        let message = ErrorCode::from_code(found.error_code).unwrap_or(ErrorCode::UnknownServerError).message();
        response.error_message = Some(message.into());
    }
    response.node_id = found.node_id;
    response.host = found.host;
    response.port = found.port;
    response
}

fn find(version: i16, key_type: i8, key: &StrBytes, coordinators: &mut dyn Coordinators) -> Found {
    let mut found = Found::default();
    found.key = key.clone();
    (found.node_id, found.port) = (-1, -1);
    let leader = match key_type {
        GROUP => leader_for(Coordinator::Groups, key, coordinators),
        TRANSACTION => leader_for(Coordinator::Transactions, key, coordinators),
        // Not there yet: docs/FIDELITY.md.
        SHARE if version >= SHARE_VERSION && is_share_key(key) => Err(ErrorCode::CoordinatorNotAvailable),
        SHARE => Err(ErrorCode::InvalidRequest),
        _ => {
            found.error_message = Some(ErrorCode::InvalidRequest.message().into());
            Err(ErrorCode::InvalidRequest)
        }
    };
    match leader {
        Ok((id, host, port)) => (found.node_id, found.host, found.port) = (id, host, port),
        Err(error) => found.error_code = error.code(),
    }
    found
}

fn leader_for(
    coordinator: Coordinator,
    key: &str,
    coordinators: &mut dyn Coordinators,
) -> Result<(i32, StrBytes, i32), ErrorCode> {
    let partitions = coordinators.partitions(coordinator).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let partition = partition_for(key, partitions);
    coordinators.leader(coordinator, partition).ok_or(ErrorCode::CoordinatorNotAvailable)
}

/// `group:topic id:partition`.
fn is_share_key(key: &str) -> bool {
    let mut parts = key.rsplitn(3, ':');
    let partition = parts.next().is_some_and(|partition| partition.parse::<i32>().is_ok());
    let topic = parts.next().and_then(Uuid::parse).is_some();
    partition && topic && parts.next().is_some_and(|group| !group.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five partitions, of which the first has no leader.
    struct Five {
        there: bool,
        created: bool,
    }

    impl Coordinators for Five {
        fn partitions(&mut self, _: Coordinator) -> Option<i32> {
            self.created |= !self.there;
            self.there.then_some(5)
        }

        fn leader(&self, coordinator: Coordinator, partition: i32) -> Option<(i32, StrBytes, i32)> {
            let first = if coordinator == Coordinator::Groups { 0 } else { 10 };
            (partition != 0).then(|| (first + partition, "host".into(), 9092))
        }
    }

    /// As Apache Kafka 4.3.1 answers, apart from share groups, which are not there yet.
    #[test]
    fn a_key_leads_to_the_leader_of_its_partition() {
        let cases: &[(i16, i8, &str, i16, i32)] = &[
            // "g" hashes to 103: partition 3. The empty name hashes to 0, whose partition has no leader.
            (0, GROUP, "g", 0, 3),
            (3, GROUP, "g", 0, 3),
            (4, GROUP, "g", 0, 3),
            (6, GROUP, "", 15, -1),
            (1, TRANSACTION, "g", 0, 13),
            (6, TRANSACTION, "", 15, -1),
            (5, SHARE, "g:AAAAAAAAAAAAAAAAAAAABQ:0", 42, -1),
            (6, SHARE, "g", 42, -1),
            (6, SHARE, "g:AAAAAAAAAAAAAAAAAAAABQ:0", 15, -1),
            (1, 3, "g", 42, -1),
            (4, -1, "g", 42, -1),
        ];
        for &(version, key_type, key, error, node) in cases {
            let mut request = FindCoordinatorRequest::default();
            request.key_type = key_type;
            if version >= BATCH_VERSION {
                request.coordinator_keys = vec![key.into()];
            } else {
                request.key = key.into();
            }
            let response = handle(version, &request, &mut Five { there: true, created: false });
            let found = match response.coordinators.first() {
                Some(found) => (found.error_code, found.node_id),
                None => (response.error_code, response.node_id),
            };
            assert_eq!(found, (error, node), "version {version}, type {key_type}, key {key:?}");
        }
    }

    #[test]
    fn the_first_question_creates_the_internal_topic() {
        let mut request = FindCoordinatorRequest::default();
        request.key = "g".into();
        let mut coordinators = Five { there: false, created: false };
        let response = handle(3, &request, &mut coordinators);
        assert_eq!((response.error_code, coordinators.created), (ErrorCode::CoordinatorNotAvailable.code(), true));
    }

    #[test]
    fn every_version_can_say_what_it_is_told() {
        for version in 0..=6 {
            for key in ["g", ""] {
                let mut request = FindCoordinatorRequest::default();
                request.key = key.into();
                request.coordinator_keys = vec![key.into()];
                let response = handle(version, &request, &mut Five { there: true, created: false });
                shore_wire::frame::encode_response(1, version, &response)
                    .unwrap_or_else(|error| panic!("v{version}: {error}"));
            }
        }
    }
}
