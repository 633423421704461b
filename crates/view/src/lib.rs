//! What a screen shows, without the screen: models of the cluster, messages between the worker that
//! runs it and the page that draws it, and the pure reducers of the page's state.

pub mod api;
pub mod decode;
pub mod extent;
pub mod fate;
pub mod fields;
pub mod happening;
pub mod machine;
pub mod message;
pub mod model;
pub mod rebalance;
pub mod screen;
pub mod state;
pub mod tape;
pub mod text;
pub mod watch;
