//! Answers about many groups, which wait for the writes of every partition that holds some of them.

use std::sync::Arc;

use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;
use shore_wire::messages::delete_groups_response::DeletableGroupResult;
use shore_wire::messages::offset_fetch_response::OffsetFetchResponseGroup;
use shore_wire::messages::{DeleteGroupsResponse, OffsetFetchResponse};

use super::call::{Caller, GroupResponse, RequestId};
use super::coordinator::GroupCoordinator;
use super::member::Waiting;
use super::shard::{Effects, Then, response_error};
use crate::api::k09_offset_fetch;

/// A response that waits.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    waiting: Waiting,
    answers: Answers,
    /// How many shards have writes under way that it waits for.
    parts: usize,
}

/// What is answered, group by group.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    Fetched(Vec<OffsetFetchResponseGroup>),
    Deleted(Vec<DeletableGroupResult>),
}

impl GroupCoordinator {
    /// Answers once everything is safe that these shards have proposed so far. With each shard come the
    /// places of its groups in the answer.
    pub(super) fn gather(&mut self, caller: &Caller<'_>, answers: Answers, shards: BTreeMap<i32, Vec<usize>>) {
        let waiting = Waiting::of(caller);
        if shards.is_empty() {
            return self.fx.respond_gathered(waiting, answers);
        }
        self.fx.gathered.insert(caller.request, Gathered { waiting, answers, parts: shards.len() });
        for (partition, groups) in shards {
            let Some(shard) = self.shards.get_mut(&partition) else { continue };
            let then = Then::Gathered { request: caller.request, groups };
            Arc::make_mut(shard).after_writes(&mut self.fx, then);
        }
    }
}

impl Effects {
    /// The writes of one shard are safe, or have failed.
    pub fn gathered_part(&mut self, request: RequestId, groups: &[usize], result: Result<(), ErrorCode>) {
        let Some(gathered) = self.gathered.get_mut(&request) else { return };
        if let Err(error) = result {
            gathered.answers.fail(groups, response_error(error));
        }
        gathered.parts -= 1;
        if gathered.parts == 0
            && let Some(done) = self.gathered.remove(&request)
        {
            self.respond_gathered(done.waiting, done.answers);
        }
    }

    pub fn respond_gathered(&mut self, waiting: Waiting, answers: Answers) {
        let response = match answers {
            Answers::Fetched(groups) => {
                let mut response = OffsetFetchResponse::default();
                response.groups = groups;
                GroupResponse::OffsetFetch(k09_offset_fetch::fit(response, waiting.version))
            }
            Answers::Deleted(results) => {
                let mut response = DeleteGroupsResponse::default();
                response.results = results;
                GroupResponse::DeleteGroups(response)
            }
        };
        self.respond(waiting.request, response);
    }
}

impl Answers {
    fn fail(&mut self, groups: &[usize], error: ErrorCode) {
        match self {
            Self::Fetched(answers) => {
                let error = match error {
                    // Consumers before 3.9 do not retry this one.
                    ErrorCode::CoordinatorNotAvailable => ErrorCode::NotCoordinator,
                    other => other,
                };
                for index in groups {
                    k09_offset_fetch::fail_group(&mut answers[*index], error);
                }
            }
            Self::Deleted(results) => {
                for index in groups {
                    results[*index].error_code = error.code();
                }
            }
        }
    }
}
