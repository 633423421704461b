//! FindCoordinator (key 10, versions 0 to 6): which broker coordinates a group.
//!
//! v1 adds the kind of coordinator, v4 asks for several keys at once, v6 adds share groups.

use shore_wire::error::ErrorCode;
use shore_wire::messages::find_coordinator_response::Coordinator;
use shore_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};

use crate::group::partition_for;

const BATCH_VERSION: i16 = 4;
const SHARE_VERSION: i16 = 6;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

/// What FindCoordinator asks of the metadata image.
pub trait Coordinators {
    /// How many partitions `__consumer_offsets` has; `None` if it is not there, and is being created
    /// from here on.
    fn offsets_partitions(&mut self) -> Option<i32>;
    /// Id, host and port of the live leader of a partition of `__consumer_offsets`.
    fn offsets_leader(&self, partition: i32) -> Option<(i32, StrBytes, i32)>;
}

pub fn handle(
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

fn find(version: i16, key_type: i8, key: &StrBytes, coordinators: &mut dyn Coordinators) -> Coordinator {
    let mut found = Coordinator::default();
    found.key = key.clone();
    (found.node_id, found.port) = (-1, -1);
    let leader = match key_type {
        GROUP => group_coordinator(key, coordinators),
        // Neither is there yet: docs/FIDELITY.md.
        TRANSACTION => Err(ErrorCode::CoordinatorNotAvailable),
        SHARE if version >= SHARE_VERSION => Err(ErrorCode::CoordinatorNotAvailable),
        _ => Err(ErrorCode::InvalidRequest),
    };
    match leader {
        Ok((id, host, port)) => (found.node_id, found.host, found.port) = (id, host, port),
        Err(error) => found.error_code = error.code(),
    }
    found
}

fn group_coordinator(key: &str, coordinators: &mut dyn Coordinators) -> Result<(i32, StrBytes, i32), ErrorCode> {
    let partitions = coordinators.offsets_partitions().ok_or(ErrorCode::CoordinatorNotAvailable)?;
    coordinators.offsets_leader(partition_for(key, partitions)).ok_or(ErrorCode::CoordinatorNotAvailable)
}
