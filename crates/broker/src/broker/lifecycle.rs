//! A broker's life: it registers, catches up with the metadata log, opens its partitions, is unfenced
//! and serves, and asks to be fenced before it stops.

use bytes::Bytes;
use shore_base::Duration;
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::messages::broker_registration_request::{Feature, Listener};
use shore_wire::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
};

use super::{Broker, BrokerOutput, Timer};
use crate::api::{text, to_wire};
use crate::features::FEATURES;
use crate::link::Asked;

/// Starting -> Registering -> CatchingUp -> Running -> ShuttingDown; a broker whose epoch is stale goes
/// from any of them back to Registering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    Starting,
    Registering,
    /// Registered and fenced, until the metadata log is applied and all partitions are open.
    CatchingUp {
        epoch: i64,
    },
    Running {
        epoch: i64,
    },
    ShuttingDown {
        epoch: i64,
    },
}

impl Lifecycle {
    fn epoch(self) -> Option<i64> {
        match self {
            Self::Starting | Self::Registering => None,
            Self::CatchingUp { epoch } | Self::Running { epoch } | Self::ShuttingDown { epoch } => Some(epoch),
        }
    }
}

const REGISTRATION_VERSION: i16 = 4;
const HEARTBEAT_VERSION: i16 = 1;
const REGISTRATION_BACKOFF: Duration = Duration::from_millis(100);

impl Broker {
    pub fn is_starting(&self) -> bool {
        self.lifecycle == Lifecycle::Starting
    }

    pub fn is_running(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Running { .. })
    }

    /// The epoch of the registration, once there is one.
    pub fn epoch(&self) -> Option<i64> {
        self.lifecycle.epoch()
    }

    pub fn register(&mut self) {
        self.lifecycle = Lifecycle::Registering;
        let mut request = BrokerRegistrationRequest::default();
        request.broker_id = self.id();
        request.cluster_id = text(&self.node.cluster_id.to_string());
        request.incarnation_id = to_wire(self.incarnation_id);
        let mut listener = Listener::default();
        listener.name = text("PLAINTEXT");
        listener.host = text(&self.node.advertised_host);
        listener.port = self.node.advertised_port;
        request.listeners = vec![listener];
        request.features = FEATURES
            .iter()
            .map(|feature| {
                let mut range = Feature::default();
                range.name = text(feature.name);
                range.min_supported_version = feature.min;
                range.max_supported_version = feature.max;
                range
            })
            .collect();
        request.rack = self.settings.given("broker.rack").map(text);
        request.log_dirs = vec![to_wire(self.directory_id)];
        request.previous_broker_epoch = -1;
        self.link.send(self.node.node_id.0, REGISTRATION_VERSION, &request, Asked::Registration);
    }

    pub(super) fn registered(&mut self, version: i16, response: Bytes) {
        let answer = frame::decode_response::<BrokerRegistrationResponse>(response, version);
        match answer {
            Ok((_, response)) if response.error_code == 0 => {
                let was_following = std::mem::replace(&mut self.follows, true);
                self.lifecycle = Lifecycle::CatchingUp { epoch: response.broker_epoch };
                if !was_following {
                    self.fetch_metadata();
                }
                self.heartbeat();
            }
            Ok((_, response)) if response.error_code == ErrorCode::InconsistentClusterId.code() => {
                self.log_line("the controller is of another cluster".to_owned());
            }
            _ => self.set_timer(self.now + REGISTRATION_BACKOFF, Timer::Register),
        }
    }

    pub(super) fn heartbeat(&mut self) {
        let Some(epoch) = self.lifecycle.epoch() else { return };
        let mut request = BrokerHeartbeatRequest::default();
        request.broker_id = self.id();
        request.broker_epoch = epoch;
        request.current_metadata_offset = self.image_end - 1;
        request.want_fence = !self.opening.is_empty() || self.image_end <= epoch;
        request.want_shut_down = matches!(self.lifecycle, Lifecycle::ShuttingDown { .. });
        self.timers.retain(|(_, timer)| *timer != Timer::Heartbeat);
        self.set_timer(self.now + self.settings.millis("broker.heartbeat.interval.ms"), Timer::Heartbeat);
        self.link.send(self.node.node_id.0, HEARTBEAT_VERSION, &request, Asked::Heartbeat);
    }

    pub(super) fn heartbeat_answered(&mut self, version: i16, response: Bytes) {
        let Ok((_, response)) = frame::decode_response::<BrokerHeartbeatResponse>(response, version) else { return };
        match (self.lifecycle, ErrorCode::from_code(response.error_code)) {
            (_, Some(ErrorCode::StaleBrokerEpoch)) => self.register(),
            (Lifecycle::CatchingUp { epoch }, Some(ErrorCode::None)) if !response.is_fenced => {
                self.lifecycle = Lifecycle::Running { epoch };
                self.drop_strays();
                let delay = self.settings.given("log.initial.task.delay.ms").and_then(|text| text.parse().ok());
                self.set_timer(self.now + Duration::from_millis(delay.unwrap_or(30_000)), Timer::Maintenance);
                self.outputs.push_back(BrokerOutput::Ready);
            }
            (Lifecycle::ShuttingDown { .. }, _) => self.outputs.push_back(BrokerOutput::ShutDown),
            _ => {}
        }
    }

    /// Asks to be fenced; [`BrokerOutput::ShutDown`] follows.
    pub fn shut_down(&mut self) {
        match self.lifecycle.epoch() {
            Some(epoch) => {
                self.lifecycle = Lifecycle::ShuttingDown { epoch };
                self.heartbeat();
            }
            None => self.outputs.push_back(BrokerOutput::ShutDown),
        }
    }

    /// Writes what recovery would have to scan for.
    pub fn close_logs(&mut self) {
        for id in self.replicas.ids_after(None).collect::<Vec<_>>() {
            if let Some(partition) = self.replicas.get_mut(id) {
                partition.log.close();
            }
        }
    }
}
