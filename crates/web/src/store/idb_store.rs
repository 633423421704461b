//! A store: rexie opens and reads it, a second connection writes it.

use bytes::{Bytes, BytesMut};
use js_sys::{Array, Uint8Array};
use rexie::{KeyRange, ObjectStore, Rexie, TransactionMode};
use shore_base::collections::BTreeMap;
use shore_log::storage::{FileEntry, FileName, ReadRange, StoreError, StoreOp, StoreReply, StoreRequest, Token};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DomException;

use super::FORMAT;
use super::connection::{CHUNKS, Connection, EPOCH, META, NAMES, failed, js_key, store_error};
use super::files::{ChunkKey, Files, WriteSet};

const FORMAT_KEY: &str = "format";
/// IndexedDB's own version of the schema, raised only when an object store is added.
const SCHEMA: u32 = 1;

pub struct IdbStore {
    name: String,
    reader: Rexie,
    writer: Connection,
    epoch: u32,
    files: Files,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OpenError {
    /// A later build wrote this store.
    Newer {
        found: u32,
    },
    /// The browser keeps nothing for this page: it has no IndexedDB, or denies it.
    Missing(String),
    Failed(String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { found } => write!(
                f,
                "this store was written by a newer version (format {found}, this version knows {FORMAT}): \
                 reload to get that version, or reset the store"
            ),
            Self::Missing(why) => write!(f, "this browser keeps no data for this page: {why}"),
            Self::Failed(why) => write!(f, "the store cannot be opened: {why}"),
        }
    }
}

impl IdbStore {
    /// Opens the store, or makes it. Whoever held it before can write no more.
    pub async fn open(name: &str) -> Result<Self, OpenError> {
        let reader = open_schema(name).await?;
        let format = get_number(&reader, FORMAT_KEY).await?;
        if format > FORMAT {
            reader.close();
            return Err(OpenError::Newer { found: format });
        }
        let broken = |error: StoreError| OpenError::Failed(error.to_string());
        let before = get_number(&reader, EPOCH).await?;
        let writer = Connection::open(name).await.map_err(broken)?;
        let entries = [(FORMAT_KEY, FORMAT.into()), (EPOCH, (before + 1).into())];
        let epoch = match writer.put_meta(&entries).await {
            Ok(()) => before + 1,
            // What is in a store without space can be read, and saved. The lock keeps a second tab out of it.
            Err(StoreError::Full(_)) => before,
            Err(error) => return Err(broken(error)),
        };
        let files = read_files(&reader).await?;
        Ok(Self { name: name.into(), reader, writer, epoch, files })
    }

    /// Deletes the store, whatever is in it.
    pub async fn delete(name: &str) -> Result<(), OpenError> {
        Rexie::delete(name).await.map_err(|error| open_error(&error))
    }

    pub fn close(self) {
        self.writer.close();
        self.reader.close();
    }

    /// Bytes in files.
    pub fn bytes(&self) -> u64 {
        self.files.bytes()
    }

    /// Answers requests, in their order. Neighbouring `Store`s share one transaction.
    pub async fn carry_out(&mut self, requests: Vec<StoreRequest>) -> Vec<StoreReply> {
        let mut replies = Vec::with_capacity(requests.len());
        let mut stores: Vec<(Token, Vec<StoreOp>)> = Vec::new();
        for request in requests {
            match request {
                StoreRequest::Store { token, ops } => stores.push((token, ops)),
                StoreRequest::Load { token, reads } => {
                    self.store_all(&mut stores, &mut replies).await;
                    replies.push(StoreReply::Loaded { token, result: self.load(&reads).await });
                }
                StoreRequest::List { token, directory } => {
                    self.store_all(&mut stores, &mut replies).await;
                    replies.push(StoreReply::Listed { token, result: Ok(self.files.list(&directory)) });
                }
            }
        }
        self.store_all(&mut stores, &mut replies).await;
        replies
    }

    /// What the host keeps beside the cluster under a name of its own.
    pub async fn get_note(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.reader.transaction(&[META], TransactionMode::ReadOnly).map_err(rexie_error)?;
        let store = transaction.store(META).map_err(rexie_error)?;
        let value = store.get(note_key(key)).await.map_err(rexie_error)?;
        Ok(value.and_then(|value| value.dyn_into::<Uint8Array>().ok()).map(|bytes| bytes.to_vec()))
    }

    pub async fn put_note(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer.put_meta(&[(&note_name(key), Uint8Array::from(bytes).into())]).await
    }

    /// The files below a directory.
    pub fn list(&self, directory: &FileName) -> Vec<FileEntry> {
        self.files.list(directory)
    }

    /// A note of a store that somebody else may have open.
    pub async fn peek_note(name: &str, key: &str) -> Option<Vec<u8>> {
        let reader = open_schema(name).await.ok()?;
        let read =
            || async { reader.transaction(&[META], TransactionMode::ReadOnly)?.store(META)?.get(note_key(key)).await };
        let value = read().await.ok().flatten();
        reader.close();
        value.and_then(|value| value.dyn_into::<Uint8Array>().ok()).map(|bytes| bytes.to_vec())
    }

    /// The bytes of every file, whether or not this version could run on them.
    pub async fn export(name: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        let reader = Rexie::builder(name).build().await.map_err(|error| describe(&error))?;
        let read = || async {
            let transaction = reader.transaction(&[NAMES, CHUNKS], TransactionMode::ReadOnly)?;
            let (names, chunks) = (transaction.store(NAMES)?, transaction.store(CHUNKS)?);
            let mut files = Vec::new();
            for name in names.get_all_keys(None, None).await? {
                let Some(id) = names.get(name.clone()).await?.and_then(|id| id.as_f64()) else { continue };
                let ends = [0, u64::MAX >> 11].map(|position| js_key(ChunkKey { file: id as u64, position }));
                let range = KeyRange::bound(&ends[0], &ends[1], None, None).map_err(rexie::Error::from)?;
                let parts = chunks.get_all(Some(range), None).await?;
                let parts = parts.into_iter().filter_map(|part| part.dyn_into::<Uint8Array>().ok());
                let bytes = parts.flat_map(|part| part.to_vec()).collect();
                files.push((name.as_string().unwrap_or_default(), bytes));
            }
            Ok::<_, rexie::Error>(files)
        };
        let files = read().await.map_err(|error| describe(&error));
        reader.close();
        files
    }

    async fn store_all(&mut self, stores: &mut Vec<(Token, Vec<StoreOp>)>, replies: &mut Vec<StoreReply>) {
        if stores.is_empty() {
            return;
        }
        let stores = std::mem::take(stores);
        let mut results = self.store_together(&stores).await;
        // One that needs space must not take down its neighbours that give some back.
        if stores.len() > 1 && results.iter().any(|result| matches!(result, Err(StoreError::Full(_)))) {
            results.clear();
            for store in &stores {
                results.extend(self.store_together(std::slice::from_ref(store)).await);
            }
        }
        let answered = stores.iter().zip(results);
        replies.extend(answered.map(|((token, _), result)| StoreReply::Stored { token: *token, result }));
    }

    /// One transaction for all. If it fails, all of them have failed and nothing was written.
    async fn store_together(&mut self, stores: &[(Token, Vec<StoreOp>)]) -> Vec<Result<(), StoreError>> {
        let mut set = WriteSet::default();
        let planned: Vec<_> =
            stores.iter().map(|(_, ops)| ops.iter().try_for_each(|op| self.files.plan(op.clone(), &mut set))).collect();
        if set.changes.is_empty() && !set.sync {
            return planned;
        }
        match self.write(&set).await {
            Ok(()) => planned,
            Err(error) => {
                // The table ran ahead of the store: take it back to what is there.
                if let Ok(files) = read_files(&self.reader).await {
                    self.files = files;
                }
                stores.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn write(&mut self, set: &WriteSet) -> Result<(), StoreError> {
        // Browsers drop connections of tabs in the background (WebKit 197050); the store is still there.
        if self.writer.is_closed() {
            self.writer = Connection::open(&self.name).await?;
            self.reader = open_schema(&self.name).await.map_err(|error| StoreError::Failed(error.to_string()))?;
        }
        self.writer.write(&set.changes, self.epoch, set.sync).await
    }

    async fn load(&self, reads: &[ReadRange]) -> Result<Vec<Bytes>, StoreError> {
        let mut loaded = Vec::with_capacity(reads.len());
        for range in reads {
            let keys = self.files.locate(range)?;
            let mut bytes = BytesMut::new();
            for (key, chunk) in keys.iter().zip(self.read_chunks(&keys).await?) {
                let from = range.position.saturating_sub(key.position) as u32;
                let to =
                    (range.position.saturating_add(range.len) - key.position).min(u64::from(chunk.length())) as u32;
                let at = bytes.len();
                bytes.resize(at + (to - from) as usize, 0);
                chunk.subarray(from, to).copy_to(&mut bytes[at..]);
            }
            loaded.push(bytes.freeze());
        }
        Ok(loaded)
    }

    async fn read_chunks(&self, keys: &[ChunkKey]) -> Result<Vec<Uint8Array>, StoreError> {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return Ok(Vec::new()) };
        let transaction = self.reader.transaction(&[CHUNKS], TransactionMode::ReadOnly).map_err(rexie_error)?;
        let store = transaction.store(CHUNKS).map_err(rexie_error)?;
        let range = KeyRange::bound(&js_key(*first), &js_key(*last), None, None).map_err(failed)?;
        let values = store.get_all(Some(range), None).await.map_err(rexie_error)?;
        let chunks: Vec<_> = values.into_iter().filter_map(|value| value.dyn_into::<Uint8Array>().ok()).collect();
        if chunks.len() != keys.len() {
            return Err(StoreError::Failed(format!("{} chunks are missing", keys.len() - chunks.len())));
        }
        Ok(chunks)
    }
}

async fn open_schema(name: &str) -> Result<Rexie, OpenError> {
    let opened = Rexie::builder(name)
        .version(SCHEMA)
        .add_object_store(ObjectStore::new(NAMES))
        .add_object_store(ObjectStore::new(CHUNKS))
        .add_object_store(ObjectStore::new(META))
        .build()
        .await;
    opened.map_err(|error| open_error(&error))
}

fn open_error(error: &rexie::Error) -> OpenError {
    let rexie::Error::IdbError(inner) = error else { return OpenError::Failed(describe(error)) };
    let exception = match inner {
        idb::Error::IndexedDbNotFound(_) => return OpenError::Missing("it has no IndexedDB".into()),
        idb::Error::DomException(exception) => Some(exception),
        idb::Error::IndexedDbOpenFailed(why) | idb::Error::IndexedDbDeleteFailed(why) => why.dyn_ref(),
        _ => None,
    };
    match exception.map(DomException::name).as_deref() {
        // Opening at a lower version than the database has.
        Some("VersionError") => OpenError::Newer { found: FORMAT + 1 },
        // Site data is blocked, the page has no origin, or the window is a private one of an older browser.
        Some(name @ ("SecurityError" | "InvalidStateError" | "NotAllowedError")) => {
            OpenError::Missing(format!("it denies IndexedDB ({name})"))
        }
        _ => OpenError::Failed(describe(error)),
    }
}

/// Names, and the chunks of each file. A chunk is as long as the way to the next one; only the last of
/// a file has to be looked at.
async fn read_files(reader: &Rexie) -> Result<Files, OpenError> {
    let read = || async {
        let transaction = reader.transaction(&[NAMES, CHUNKS], TransactionMode::ReadOnly)?;
        let (names, chunks) = (transaction.store(NAMES)?, transaction.store(CHUNKS)?);
        let (keys, ids) = (names.get_all_keys(None, None).await?, names.get_all(None, None).await?);
        let named: Vec<_> = keys
            .iter()
            .zip(&ids)
            .filter_map(|(name, id)| Some((FileName::from(name.as_string()?.as_str()), id.as_f64()? as u64)))
            .collect();
        let mut positions: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for key in chunks.get_all_keys(None, None).await? {
            let key: Array = key.unchecked_into();
            let number = |index| key.get(index).as_f64().unwrap_or_default() as u64;
            positions.entry(number(0)).or_default().push(number(1));
        }
        let mut sized = BTreeMap::new();
        for (file, positions) in positions {
            let mut lens: Vec<(u64, u32)> =
                positions.windows(2).map(|pair| (pair[0], (pair[1] - pair[0]) as u32)).collect();
            let last = *positions.last().expect("an entry was made for a position");
            let value = chunks.get(js_key(ChunkKey { file, position: last })).await?;
            let len = value.and_then(|value| value.dyn_into::<Uint8Array>().ok()).map_or(0, |bytes| bytes.length());
            lens.push((last, len));
            sized.insert(file, lens);
        }
        Ok::<_, rexie::Error>((named, sized))
    };
    let (named, sized) = read().await.map_err(|error| OpenError::Failed(describe(&error)))?;
    Files::read(named, sized).map_err(OpenError::Failed)
}

async fn get_number(reader: &Rexie, key: &str) -> Result<u32, OpenError> {
    let read = || async { reader.transaction(&[META], TransactionMode::ReadOnly)?.store(META)?.get(key.into()).await };
    let value = read().await.map_err(|error| OpenError::Failed(describe(&error)))?;
    Ok(value.and_then(|value| value.as_f64()).map_or(0, |number| number as u32))
}

fn note_key(key: &str) -> JsValue {
    note_name(key).into()
}

fn note_name(key: &str) -> String {
    format!("note:{key}")
}

fn rexie_error(error: rexie::Error) -> StoreError {
    match error {
        rexie::Error::IdbError(idb::Error::DomException(exception)) => store_error(&exception),
        other => StoreError::Failed(describe(&other)),
    }
}

fn describe(error: &rexie::Error) -> String {
    match error {
        rexie::Error::IdbError(error) => error.to_string(),
        other => other.to_string(),
    }
}
