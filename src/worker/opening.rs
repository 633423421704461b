//! Everything that stands before a running cluster (the lock, the store, who the cluster is), and the copy of one.

use std::rc::Rc;

use shore_base::{Random, Uuid};
use shore_log::memory::MemoryStore;
use shore_view::message::{FromWorker, Refusal};
use shore_web::lock::StoreLock;
use shore_web::store::{IdbStore, OpenError, TabStore};

use super::clients::{self, CLIENTS_NOTE};
use super::port;

/// When the present owner opened the store, for a second tab to say.
const OPENED_NOTE: &str = "opened";
const CLUSTER_NOTE: &str = "cluster id";

pub struct Opened {
    pub store: TabStore,
    pub lock: Option<StoreLock>,
    pub cluster_id: Uuid,
    /// Why the store lies in memory, if it does.
    pub volatile: Option<Rc<str>>,
    /// As they were when the store was last used; `None` for a new store.
    pub clients: Option<clients::Clients>,
}

pub async fn open(name: &str) -> Result<Opened, Refusal> {
    let Some(lock) = take_lock(name).await? else {
        let opened = IdbStore::peek_note(name, OPENED_NOTE).await;
        let since_millis = opened.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        return Err(Refusal::Held { since_millis });
    };
    let store = match IdbStore::open(name).await {
        Ok(store) => store,
        Err(OpenError::Missing(why)) => {
            return Ok(in_memory(&format!("This browser keeps no data for this page: {why}.")));
        }
        Err(error @ OpenError::Newer { .. }) => return Err(Refusal::Newer { why: error.to_string().into() }),
        Err(error @ OpenError::Failed(_)) => return Err(Refusal::Failed { why: error.to_string().into() }),
    };
    let failed = |error: shore_log::storage::StoreError| Refusal::Failed { why: error.to_string().into() };
    let known = store.get_note(CLUSTER_NOTE).await.map_err(failed)?;
    let known = known.and_then(|text| Uuid::parse(std::str::from_utf8(&text).ok()?));
    let cluster_id = known.unwrap_or_else(fresh_cluster_id);
    // A store without room still opens: what is in it can be read, and deleted.
    let _ = store.put_note(CLUSTER_NOTE, cluster_id.to_string().as_bytes()).await;
    let _ = store.put_note(OPENED_NOTE, (js_sys::Date::now() as i64).to_string().as_bytes()).await;
    let clients = store.get_note(CLIENTS_NOTE).await.map_err(failed)?;
    let clients = clients.map(|text| clients::Clients::parse(&String::from_utf8_lossy(&text)));
    Ok(Opened { store: TabStore::Indexed(Box::new(store)), lock: Some(lock), cluster_id, volatile: None, clients })
}

/// A cluster that is gone with its tab, and why.
pub fn in_memory(why: &str) -> Opened {
    Opened {
        store: TabStore::Memory(MemoryStore::new()),
        lock: None,
        cluster_id: fresh_cluster_id(),
        volatile: Some(why.into()),
        clients: None,
    }
}

fn fresh_cluster_id() -> Uuid {
    Uuid::random(&mut Random::stream(port::entropy(), "cluster id"))
}

/// The worker of a page that was just reloaded or restarted may not be quite gone yet.
async fn take_lock(name: &str) -> Result<Option<StoreLock>, Refusal> {
    for _ in 0..10 {
        match StoreLock::take(name).await {
            Ok(None) => port::sleep(100).await,
            Ok(lock) => return Ok(lock),
            Err(why) => return Err(Refusal::Failed { why: format!("the browser's lock: {why:?}").into() }),
        }
    }
    Ok(None)
}

/// The name of the file that says whose directory it is, as the native broker's `--data` has it.
const CLUSTER_FILE: &str = "cluster.id";

/// Hands the page the store in one archive. Unpacked it is a directory that the native broker runs on.
pub async fn export(store: Rc<str>) {
    match IdbStore::export(&store).await {
        Ok(files) => {
            let id = IdbStore::peek_note(&store, CLUSTER_NOTE).await;
            hand_over(&store, id.as_deref().unwrap_or_default(), files);
        }
        Err(why) => {
            let result = Err(format!("It could not be read: {why}").into());
            port::post(&FromWorker::Done { id: 0, result });
        }
    }
}

pub fn hand_over(store: &str, cluster_id: &[u8], files: impl IntoIterator<Item = (String, Vec<u8>)>) {
    let id = (CLUSTER_FILE.to_owned(), [cluster_id, b"\n"].concat());
    let files: Vec<_> = std::iter::once(id).filter(|_| !cluster_id.is_empty()).chain(files).collect();
    let files = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    port::post(&FromWorker::Exported { name: format!("{store}.tar").into(), bytes: shore_web::tar::archive(files) });
}
