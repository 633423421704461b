//! The protocol.

pub mod frame {
    /// A whole request or response.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Frame;
}
