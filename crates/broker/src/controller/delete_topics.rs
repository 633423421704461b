//! DeleteTopics, by name and by id.

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::error::ErrorCode;
use shore_wire::messages::delete_topics_response::DeletableTopicResult;
use shore_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use shore_wire::records::metadata::MetadataRecord;

use super::{Call, Controller, NOT_STORED};
use crate::api::{from_wire, text, to_wire};

impl Controller {
    pub(super) fn delete_topics(&mut self, call: Call, request: DeleteTopicsRequest) {
        let mut results = Results { version: call.version, response: DeleteTopicsResponse::default() };
        if request.timeout_ms <= 0 {
            // Its time is over before its turn comes.
            for name in &request.topic_names {
                results.push(Some(name), Uuid::ZERO, ErrorCode::RequestTimedOut, None);
            }
            for topic in &request.topics {
                results.push(topic.name.as_deref(), from_wire(topic.topic_id), ErrorCode::RequestTimedOut, None);
            }
            return self.respond_when_committed(call, &results.response, &results.response);
        }
        let mut names = Given::default();
        let mut ids = Given::default();
        for name in &request.topic_names {
            names.add(name.to_string());
        }
        for topic in &request.topics {
            let id = from_wire(topic.topic_id);
            match &topic.name {
                None if id == Uuid::ZERO => {
                    results.refuse(None, id, ErrorCode::InvalidRequest, "Neither topic name nor id were specified.");
                }
                None => ids.add(id),
                Some(name) if id == Uuid::ZERO => names.add(name.to_string()),
                Some(name) => {
                    let why = "You may not specify both topic name and topic id.";
                    results.refuse(Some(name), id, ErrorCode::InvalidRequest, why);
                }
            }
        }
        for name in &names.repeated {
            results.refuse(Some(name), Uuid::ZERO, ErrorCode::InvalidRequest, "Duplicate topic name.");
        }
        for &id in &ids.repeated {
            results.refuse(None, id, ErrorCode::InvalidRequest, "Duplicate topic id.");
        }
        let mut doomed = BTreeMap::new();
        for &id in &ids.once {
            match self.image.topics.get(&id) {
                Some(topic) => {
                    doomed.insert(id, topic.name.to_string());
                }
                None => results.refuse(None, id, ErrorCode::UnknownTopicId, ErrorCode::UnknownTopicId.message()),
            }
        }
        for name in &names.once {
            let Some(id) = self.image.topic_id(name) else {
                let error = ErrorCode::UnknownTopicOrPartition;
                results.refuse(Some(name), Uuid::ZERO, error, error.message());
                continue;
            };
            if ids.repeated.contains(&id) || doomed.insert(id, name.clone()).is_some() {
                doomed.remove(&id);
                let why = "The provided topic name maps to an ID that was already supplied.";
                results.refuse(Some(name), id, ErrorCode::InvalidRequest, why);
            }
        }
        let mut failed = results.clone();
        let mut records = Vec::new();
        for (&topic_id, name) in &doomed {
            records.push(MetadataRecord::RemoveTopic { topic_id });
            results.push(Some(name), topic_id, ErrorCode::None, None);
            failed.push(Some(name), topic_id, NOT_STORED, Some(NOT_STORED.message()));
        }
        self.propose(&records);
        self.respond_when_committed(call, &results.response, &failed.response);
    }
}

/// What was asked for once, and what more than once.
struct Given<T> {
    once: BTreeSet<T>,
    repeated: BTreeSet<T>,
}

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self { once: BTreeSet::new(), repeated: BTreeSet::new() }
    }
}

impl<T: Ord + Clone> Given<T> {
    fn add(&mut self, item: T) {
        if self.repeated.contains(&item) || self.once.remove(&item) {
            self.repeated.insert(item);
        } else {
            self.once.insert(item);
        }
    }
}

#[derive(Clone)]
struct Results {
    version: i16,
    response: DeleteTopicsResponse,
}

impl Results {
    fn refuse(&mut self, name: Option<&str>, id: Uuid, error: ErrorCode, message: &str) {
        self.push(name, id, error, Some(message));
    }

    fn push(&mut self, name: Option<&str>, id: Uuid, error: ErrorCode, message: Option<&str>) {
        let mut result = DeletableTopicResult::default();
        result.name = name.map(text);
        if self.version >= 6 {
            result.topic_id = to_wire(id);
        }
        result.error_code = error.code();
        if self.version >= 5 {
            result.error_message = message.map(text);
        }
        self.response.responses.push(result);
    }
}
