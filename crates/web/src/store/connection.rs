//! What rexie does not reach: strict durability, the reason for an abort, and the events that end a
//! connection. The one place that speaks to `idb` and below it.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use idb::{Database, Factory};
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use shore_log::storage::StoreError;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DomException, IdbDatabase, IdbKeyRange, IdbObjectStore, IdbRequest, IdbTransaction};

use super::files::{Change, ChunkKey};

pub const NAMES: &str = "names";
pub const CHUNKS: &str = "chunks";
pub const META: &str = "meta";
pub const EPOCH: &str = "epoch";

/// A second connection to a store that rexie has opened: for writing.
pub struct Connection {
    raw: IdbDatabase,
    closed: Rc<Cell<bool>>,
    /// Keeps the event handlers alive.
    _handlers: Database,
}

impl Connection {
    pub async fn open(name: &str) -> Result<Self, StoreError> {
        let factory = Factory::new().map_err(failed)?;
        let raw: IdbDatabase = factory.open(name, None).map_err(failed)?.await.map_err(failed)?.into();
        let closed = Rc::new(Cell::new(false));
        let mut handlers: Database = raw.clone().into();
        let on_close = closed.clone();
        handlers.on_close(move |_| on_close.set(true));
        // Another tab deletes or upgrades the store: get out of its way instead of blocking it.
        let (on_change, database) = (closed.clone(), raw.clone());
        handlers.on_version_change(move |_| {
            on_change.set(true);
            database.close();
        });
        Ok(Self { raw, closed, _handlers: handlers })
    }

    /// Whether the browser, or a tab that deletes the store, has ended this connection.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub fn close(&self) {
        self.closed.set(true);
        self.raw.close();
    }

    /// Carries out changes in one transaction and waits for its commit. All requests are issued in one
    /// turn. Nothing is written if the store's epoch is no longer `epoch`.
    pub async fn write(&self, changes: &[Change], epoch: u32, sync: bool) -> Result<(), StoreError> {
        let transaction = self.begin(sync)?;
        let done = completion(&transaction);
        let fenced = Rc::new(Cell::new(false));
        if let Err(why) = issue(&transaction, changes, epoch, &fenced) {
            let _ = transaction.abort();
            let _ = JsFuture::from(done).await;
            return Err(store_error(&why));
        }
        match JsFuture::from(done).await {
            Ok(_) => Ok(()),
            Err(_) if fenced.get() => Err(StoreError::Failed("another tab has taken this store over".into())),
            Err(why) => Err(store_error(&why)),
        }
    }

    /// Writes entries beside the files, all or none. (A transaction that rexie has aborted for want of space
    /// looks like one that is done.)
    pub async fn put_meta(&self, entries: &[(&str, JsValue)]) -> Result<(), StoreError> {
        let transaction = self.begin(false)?;
        let done = completion(&transaction);
        let put = || {
            let meta = transaction.object_store(META)?;
            entries.iter().try_for_each(|(key, value)| meta.put_with_key(value, &(*key).into()).map(drop))
        };
        if let Err(why) = put() {
            let _ = transaction.abort();
            let _ = JsFuture::from(done).await;
            return Err(store_error(&why));
        }
        JsFuture::from(done).await.map(drop).map_err(|why| store_error(&why))
    }

    fn begin(&self, sync: bool) -> Result<IdbTransaction, StoreError> {
        let stores = Array::of3(&NAMES.into(), &CHUNKS.into(), &META.into());
        let options = Object::new();
        let durability = if sync { "strict" } else { "relaxed" };
        let _ = Reflect::set(&options, &"durability".into(), &durability.into());
        let transaction = Reflect::get(&self.raw, &"transaction".into())
            .and_then(JsCast::dyn_into::<Function>)
            .and_then(|begin| begin.call3(&self.raw, &stores, &"readwrite".into(), &options))
            .map_err(|why| store_error(&why))?;
        Ok(transaction.unchecked_into())
    }
}

fn issue(transaction: &IdbTransaction, changes: &[Change], epoch: u32, fenced: &Rc<Cell<bool>>) -> Result<(), JsValue> {
    let (names, chunks) = (transaction.object_store(NAMES)?, transaction.object_store(CHUNKS)?);
    check_epoch(transaction, epoch, fenced)?;
    for change in changes {
        match change {
            Change::Name { name, id } => drop(names.put_with_key(&(*id as f64).into(), &name.as_str().into())?),
            Change::Unname { name } => drop(names.delete(&name.as_str().into())?),
            Change::Put { key, parts } => drop(chunks.put_with_key(&joined(parts), &js_key(*key))?),
            Change::Delete { key } => drop(chunks.delete(&js_key(*key))?),
            Change::DeleteFrom { key } => drop(chunks.delete(&to_the_end_of_its_file(*key)?)?),
            Change::Cut { key, len } => cut(&chunks, *key, *len)?,
        }
    }
    Ok(())
}

/// The first request of each transaction: aborts it if somebody else has opened the store since.
fn check_epoch(transaction: &IdbTransaction, epoch: u32, fenced: &Rc<Cell<bool>>) -> Result<(), JsValue> {
    let read = transaction.object_store(META)?.get(&EPOCH.into())?;
    let (request, transaction, fenced) = (read.clone(), transaction.clone(), fenced.clone());
    on_success(&read, move || {
        // A store that was made without space for anything has none.
        if request.result().ok().and_then(|value| value.as_f64()).unwrap_or(0.0) != f64::from(epoch) {
            fenced.set(true);
            let _ = transaction.abort();
        }
    });
    Ok(())
}

/// Shortens a chunk that an earlier transaction wrote.
fn cut(chunks: &IdbObjectStore, key: ChunkKey, len: u32) -> Result<(), JsValue> {
    let read = chunks.get(&js_key(key))?;
    let (request, chunks) = (read.clone(), chunks.clone());
    on_success(&read, move || {
        if let Ok(value) = request.result()
            && let Some(bytes) = value.dyn_ref::<Uint8Array>()
        {
            let _ = chunks.put_with_key(&bytes.slice(0, len), &js_key(key));
        }
    });
    Ok(())
}

fn on_success(request: &IdbRequest, then: impl FnOnce() + 'static) {
    request.set_onsuccess(Some(Closure::once_into_js(then).unchecked_ref()));
}

/// Settles when the transaction has committed, or with the reason for its abort.
fn completion(transaction: &IdbTransaction) -> Promise {
    Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        let aborted = transaction.clone();
        let on_abort = Closure::once_into_js(move || {
            let why = aborted.error().map_or(JsValue::NULL, JsValue::from);
            let _ = reject.call1(&JsValue::NULL, &why);
        });
        transaction.set_onabort(Some(on_abort.unchecked_ref()));
    })
}

pub fn js_key(key: ChunkKey) -> JsValue {
    Array::of2(&(key.file as f64).into(), &(key.position as f64).into()).into()
}

fn to_the_end_of_its_file(key: ChunkKey) -> Result<JsValue, JsValue> {
    let end = js_key(ChunkKey { file: key.file, position: (1 << 53) - 1 });
    Ok(IdbKeyRange::bound(&js_key(key), &end)?.into())
}

fn joined(parts: &[Bytes]) -> JsValue {
    let len: usize = parts.iter().map(Bytes::len).sum();
    let array = Uint8Array::new_with_length(len as u32);
    let mut at = 0;
    for part in parts {
        array.subarray(at, at + part.len() as u32).copy_from(part);
        at += part.len() as u32;
    }
    array.into()
}

/// A full store is told apart from a sick one: only the first gets better when something is deleted.
pub fn store_error(why: &JsValue) -> StoreError {
    match why.dyn_ref::<DomException>() {
        Some(exception) if exception.name() == "QuotaExceededError" => {
            StoreError::Full("the browser gives this site no more space".into())
        }
        Some(exception) => StoreError::Failed(format!("{}: {}", exception.name(), exception.message())),
        None => StoreError::Failed(js_sys::Error::from(why.clone()).message().into()),
    }
}

pub fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}
