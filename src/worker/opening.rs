//! Everything that stands before a running cluster: the lock, the store, who the cluster is.

use std::rc::Rc;

use shore_base::Uuid;
use shore_view::message::{FromWorker, Refusal};
use shore_web::lock::StoreLock;
use shore_web::store::{IdbStore, OpenError};

use super::clients::{self, CLIENTS_NOTE};
use super::port;

/// When the present owner opened the store, for a second tab to say.
const OPENED_NOTE: &str = "opened";
const CLUSTER_NOTE: &str = "cluster id";

pub struct Opened {
    pub store: IdbStore,
    pub lock: StoreLock,
    pub cluster_id: Uuid,
    /// As they were when the store was last used; `None` for a new store.
    pub clients: Option<clients::Clients>,
}

pub async fn open(name: &str) -> Result<Opened, Refusal> {
    let Some(lock) = take_lock(name).await? else {
        let opened = IdbStore::peek_note(name, OPENED_NOTE).await;
        let since_millis = opened.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        return Err(Refusal::Held { since_millis });
    };
    let store = IdbStore::open(name).await.map_err(|error| match error {
        OpenError::Newer { .. } => Refusal::Newer { why: error.to_string().into() },
        OpenError::Failed(_) => Refusal::Failed { why: error.to_string().into() },
    })?;
    let failed = |error: shore_log::storage::StoreError| Refusal::Failed { why: error.to_string().into() };
    let known = store.get_note(CLUSTER_NOTE).await.map_err(failed)?;
    let known = known.and_then(|text| Uuid::parse(std::str::from_utf8(&text).ok()?));
    let cluster_id =
        known.unwrap_or_else(|| Uuid::random(&mut shore_base::Random::stream(port::entropy(), "cluster id")));
    // A store without room still opens: what is in it can be read, and deleted.
    let _ = store.put_note(CLUSTER_NOTE, cluster_id.to_string().as_bytes()).await;
    let _ = store.put_note(OPENED_NOTE, (js_sys::Date::now() as i64).to_string().as_bytes()).await;
    let clients = store.get_note(CLIENTS_NOTE).await.map_err(failed)?;
    let clients = clients.map(|text| clients::Clients::parse(&String::from_utf8_lossy(&text)));
    Ok(Opened { store, lock, cluster_id, clients })
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

/// Hands the page every file in one archive.
pub async fn export(store: Rc<str>) {
    let message = match IdbStore::export(&store).await {
        Ok(files) => {
            let files = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
            FromWorker::Exported { name: format!("{store}.tar").into(), bytes: shore_web::tar::archive(files) }
        }
        Err(why) => FromWorker::Done { id: 0, result: Err(format!("It could not be read: {why}").into()) },
    };
    port::post(&message);
}
