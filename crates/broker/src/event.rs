//! What happened inside a node, for whoever watches: the page, a test, a log.

/// Something worth showing or asserting.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {}
