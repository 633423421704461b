//! AllocateProducerIds: blocks of producer ids, none of which is handed out twice.

use shore_wire::error::ErrorCode;
use shore_wire::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
use shore_wire::records::metadata::MetadataRecord;

use super::{Call, Controller, NOT_STORED};

const BLOCK: i32 = 1000;

impl Controller {
    pub(super) fn allocate_producer_ids(&mut self, call: Call, request: AllocateProducerIdsRequest) {
        let mut response = AllocateProducerIdsResponse::default();
        let known = self.image.brokers.get(&request.broker_id);
        if known.is_none_or(|broker| broker.epoch != request.broker_epoch) {
            response.error_code = ErrorCode::StaleBrokerEpoch.code();
            return self.respond(call, &response);
        }
        let start = self.image.next_producer_id;
        self.propose(&[MetadataRecord::ProducerIds {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            next_producer_id: start + i64::from(BLOCK),
        }]);
        response.producer_id_start = start;
        response.producer_id_len = BLOCK;
        let mut failed = AllocateProducerIdsResponse::default();
        failed.error_code = NOT_STORED.code();
        self.respond_when_committed(call, &response, &failed);
    }
}
