//! Registration, heartbeats and fencing of brokers.

use shore_base::{Instant, Uuid};
use shore_wire::error::ErrorCode;
use shore_wire::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use shore_wire::records::metadata::{
    BrokerRegistrationChangeRecord, EndPoint, MetadataRecord, PartitionChangeRecord, RegisterBrokerRecord,
    SupportedFeature,
};

use super::{Call, Controller, NOT_STORED};
use crate::api::{from_wire, text};

impl Controller {
    /// A broker's first word. It stays fenced until it has caught up with its own registration.
    pub(super) fn register_broker(&mut self, call: Call, request: BrokerRegistrationRequest) {
        let mut response = BrokerRegistrationResponse::default();
        let incarnation_id = from_wire(request.incarnation_id);
        let refusal = if Uuid::parse(&request.cluster_id) != Some(self.node.cluster_id) {
            Some(ErrorCode::InconsistentClusterId)
        } else if !self.is_active() {
            Some(ErrorCode::NotController)
        } else {
            None
        };
        if let Some(error) = refusal {
            response.error_code = error.code();
            response.broker_epoch = -1;
            return self.respond(call, &response);
        }
        self.contacts.insert(request.broker_id, self.now);
        let known = self.image.brokers.get(&request.broker_id);
        response.broker_epoch = match known.filter(|broker| broker.incarnation_id == incarnation_id) {
            Some(broker) => broker.epoch,
            None => {
                let mut records = self.leadership_records(request.broker_id, -1);
                // The epoch is the offset of the registration's own record.
                let epoch = self.log.end_offset() + records.len() as i64;
                records.push(MetadataRecord::RegisterBroker(registration(&request, epoch)));
                self.propose(&records);
                epoch
            }
        };
        let mut failed = response.clone();
        failed.error_code = NOT_STORED.code();
        failed.broker_epoch = -1;
        self.respond_when_committed(call, &response, &failed);
    }

    pub(super) fn broker_heartbeat(&mut self, call: Call, request: BrokerHeartbeatRequest) {
        let mut response = BrokerHeartbeatResponse::default();
        let id = request.broker_id;
        let Some(broker) = self.image.brokers.get(&id).filter(|broker| broker.epoch == request.broker_epoch) else {
            response.error_code = ErrorCode::StaleBrokerEpoch.code();
            return self.respond(call, &response);
        };
        self.contacts.insert(id, self.now);
        let (epoch, fenced) = (broker.epoch, broker.fenced);
        let is_caught_up = request.current_metadata_offset >= epoch;
        if request.want_shut_down {
            if !fenced {
                self.change_fencing(id, epoch, true);
            }
        } else if fenced && is_caught_up && !request.want_fence {
            self.change_fencing(id, epoch, false);
        }
        response.is_caught_up = is_caught_up;
        response.is_fenced = self.image.brokers[&id].fenced;
        response.should_shut_down = request.want_shut_down;
        let mut failed = BrokerHeartbeatResponse::default();
        failed.error_code = NOT_STORED.code();
        failed.is_fenced = true;
        self.respond_when_committed(call, &response, &failed);
    }

    /// Strikes a broker off. One that runs finds out with its next heartbeat, and registers again.
    pub(super) fn unregister_broker(&mut self, call: Call, request: &UnregisterBrokerRequest) {
        let id = request.broker_id;
        let mut response = UnregisterBrokerResponse::default();
        let Some(epoch) = self.image.brokers.get(&id).map(|broker| broker.epoch) else {
            response.error_code = ErrorCode::BrokerIdNotRegistered.code();
            response.error_message = Some(text(&format!("Broker ID {id} is not currently registered")));
            return self.respond(call, &response);
        };
        let mut records = self.leadership_records(id, -1);
        records.push(MetadataRecord::UnregisterBroker { broker_id: id, broker_epoch: epoch });
        self.propose(&records);
        response.error_message = None;
        let mut failed = UnregisterBrokerResponse::default();
        failed.error_code = NOT_STORED.code();
        failed.error_message = Some(text(NOT_STORED.message()));
        self.respond_when_committed(call, &response, &failed);
    }

    /// Fences a broker and takes its leaderships, or unfences it and gives them back.
    fn change_fencing(&mut self, id: i32, epoch: i64, fence: bool) {
        let mut records = vec![MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
            broker_id: id,
            broker_epoch: epoch,
            fenced: if fence { 1 } else { -1 },
            in_controlled_shutdown: 0,
        })];
        records.extend(self.leadership_records(id, if fence { -1 } else { id }));
        self.propose(&records);
    }

    /// What gives the partitions that only this broker can lead the leader `leader`: itself or none.
    ///
    /// With eligible leader replicas, whoever is the last to leave stays eligible, and a partition without
    /// a leader has nobody in sync.
    fn leadership_records(&self, broker: i32, leader: i32) -> Vec<MetadataRecord> {
        let keeps_eligible = self.image.features.contains_key("eligible.leader.replicas.version");
        let only = |ids: &Option<Vec<i32>>| ids.as_deref() == Some(&[broker]);
        let mut records = Vec::new();
        for (&topic_id, topic) in &self.image.topics {
            for record in &topic.partitions {
                let may_lead = record.isr == [broker]
                    || record.isr.is_empty()
                        && (only(&record.eligible_leader_replicas) || only(&record.last_known_elr));
                if record.leader == leader || !may_lead {
                    continue;
                }
                let mut change = PartitionChangeRecord {
                    partition: record.partition,
                    topic_id,
                    leader: Some(leader),
                    ..PartitionChangeRecord::default()
                };
                if leader == broker && record.isr.is_empty() {
                    change.isr = Some(vec![broker]);
                    (change.eligible_leader_replicas, change.last_known_elr) = (Some(Vec::new()), Some(Vec::new()));
                } else if leader != broker && keeps_eligible {
                    change.isr = Some(Vec::new());
                    (change.eligible_leader_replicas, change.last_known_elr) = (Some(vec![broker]), Some(vec![broker]));
                }
                records.push(MetadataRecord::PartitionChange(change));
            }
        }
        records
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let live = self.image.live_brokers().filter_map(|(id, _)| self.contacts.get(&id));
        live.min().map(|&contact| contact + self.session_timeout)
    }

    /// Fences brokers that were not heard of for a session's length.
    pub(super) fn expire_brokers(&mut self) {
        let expired: Vec<(i32, i64)> = self
            .image
            .live_brokers()
            .filter(|(id, _)| self.contacts.get(id).is_some_and(|&contact| contact + self.session_timeout <= self.now))
            .map(|(id, broker)| (id, broker.epoch))
            .collect();
        for (id, epoch) in expired {
            self.change_fencing(id, epoch, true);
        }
    }
}

fn registration(request: &BrokerRegistrationRequest, broker_epoch: i64) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: request.broker_id,
        incarnation_id: from_wire(request.incarnation_id),
        broker_epoch,
        end_points: request
            .listeners
            .iter()
            .map(|listener| EndPoint {
                name: listener.name.to_string(),
                host: listener.host.to_string(),
                port: listener.port,
                security_protocol: listener.security_protocol,
            })
            .collect(),
        features: request
            .features
            .iter()
            .map(|feature| SupportedFeature {
                name: feature.name.to_string(),
                min: feature.min_supported_version,
                max: feature.max_supported_version,
            })
            .collect(),
        rack: request.rack.as_ref().map(|rack| rack.to_string()),
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: request.log_dirs.iter().map(|&id| from_wire(id)).collect(),
    }
}
