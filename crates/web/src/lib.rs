//! The browser as a host: a store in IndexedDB, the lock that keeps two tabs off one store, and real
//! time turned into virtual time. What needs no browser is compiled, and tested, everywhere.

pub mod pace;
pub mod store;
pub mod tar;

#[cfg(target_arch = "wasm32")]
pub mod lock;
