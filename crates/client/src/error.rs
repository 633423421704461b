//! Errors as a client's owner sees them, and which of the broker's are worth another try.

use core::fmt;

use shore_wire::error::ErrorCode;

/// Why something was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The broker said so.
    Broker(ErrorCode),
    /// An error code that this build does not know.
    UnknownCode(i16),
    /// It took longer than it may take; what was being waited for.
    Timeout(&'static str),
    /// The broker has no version of an API in common with this client.
    Unsupported(&'static str),
    /// An answer that could not be read.
    BadResponse(String),
    /// The owner aborted the transaction.
    Aborted,
}

impl ClientError {
    /// The error of a code that is not 0.
    pub fn from_code(code: i16) -> Self {
        ErrorCode::from_code(code).map_or(Self::UnknownCode(code), Self::Broker)
    }

    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker(code) => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker(code) => f.write_str(code.name()),
            Self::UnknownCode(code) => write!(f, "error code {code}"),
            Self::Timeout(what) => write!(f, "timed out: {what}"),
            Self::Unsupported(api) => write!(f, "the broker has no version of {api} that this client knows"),
            Self::BadResponse(why) => write!(f, "unreadable response: {why}"),
            Self::Aborted => f.write_str("the transaction was aborted"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Kafka's `RetriableException`s: the same request may succeed a little later.
pub(crate) fn is_retriable(code: i16) -> bool {
    ErrorCode::from_code(code).is_some_and(ErrorCode::is_retriable)
}

/// Errors that say that what the client knows about leaders is old.
pub(crate) fn is_stale_metadata(code: i16) -> bool {
    use ErrorCode::*;
    const STALE: [ErrorCode; 10] = [
        UnknownTopicOrPartition,
        LeaderNotAvailable,
        NotLeaderOrFollower,
        ReplicaNotAvailable,
        KafkaStorageError,
        FencedLeaderEpoch,
        ListenerNotFound,
        UnknownTopicId,
        InconsistentTopicId,
        NetworkException,
    ];
    ErrorCode::from_code(code).is_some_and(|code| STALE.contains(&code))
}

/// Errors that say that the coordinator is elsewhere, or not there yet.
pub(crate) fn is_wrong_coordinator(code: i16) -> bool {
    [ErrorCode::CoordinatorNotAvailable, ErrorCode::NotCoordinator].iter().any(|wrong| wrong.code() == code)
}
