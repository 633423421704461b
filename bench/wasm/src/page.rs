//! What JavaScript calls, in Node and in a tab.

use shore_log::storage::{StoreReply, StoreRequest};
use shore_web::store::IdbStore;
use shore_wire::compress::Codec;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::node::{Node, Store, base_offset};
use crate::wire::{batch, produce};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// One round: a line a case, `name;megabytes per second`.
#[wasm_bindgen]
pub fn round(bench: &str) -> String {
    let lines = crate::round(bench, &|| now());
    lines.iter().map(|case| format!("{};{}\n", case.name, case.megabytes_per_second)).collect()
}

/// A batch of 100-byte records, no longer than `size`.
#[wasm_bindgen]
pub fn records(size: usize) -> Vec<u8> {
    batch(size, Codec::None).to_vec()
}

/// The request that appends it.
#[wasm_bindgen]
pub fn request(records: Vec<u8>) -> Vec<u8> {
    produce(&records.into()).to_vec()
}

impl Store for IdbStore {
    async fn carry_out(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreReply> {
        IdbStore::carry_out(self, requests).await
    }
}

/// A node over a store in IndexedDB.
#[wasm_bindgen]
pub struct Tab(Node<IdbStore>);

#[wasm_bindgen]
impl Tab {
    pub async fn open(name: String) -> Result<Tab, String> {
        let store = IdbStore::open(&name).await.map_err(|error| error.to_string())?;
        Ok(Self(Node::boot(store).await))
    }

    /// Sends a Produce request; its batch's base offset once it is acknowledged.
    pub async fn append(&mut self, request: Vec<u8>) -> f64 {
        base_offset(&self.0.ask(request.into()).await) as f64
    }
}
