//! Runs the cluster, in a Web Worker: opens the store that the page names, and then serves the page.

mod clients;
mod cluster;
mod history;
mod opening;
mod port;

use std::cell::RefCell;
use std::rc::Rc;

use shore_view::message::{Command, Details, FromWorker, Start, ToWorker};
use shore_web::store::IdbStore;
use wasm_bindgen_futures::spawn_local;

use crate::BUILD;
use cluster::Cluster;

pub fn start() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = format!("{panic}\n{}", stack());
        port::post(&FromWorker::Crashed { trace: trace.into() });
    }));
    let worker = Rc::new(Worker::default());
    port::listen(move |message| worker.hear(message));
    port::post(&FromWorker::Ready { build: BUILD.into() });
}

#[derive(Default)]
struct Worker {
    store: RefCell<Rc<str>>,
    cluster: RefCell<Option<Cluster>>,
}

impl Worker {
    fn hear(self: &Rc<Self>, message: ToWorker) {
        match message {
            ToWorker::Start { store, start } => {
                *self.store.borrow_mut() = store;
                match start {
                    Start::Kept => spawn_local(self.clone().open()),
                    Start::InMemory => self.run(opening::in_memory("You chose so.")),
                    Start::Rescue => {}
                }
            }
            ToWorker::Do { command: Command::Export, .. } => self.export(),
            ToWorker::Do { id, command: Command::Reset } => spawn_local(self.clone().reset(id)),
            ToWorker::Do { id, command } => self.with_cluster(|cluster| cluster.command(id, command)),
            ToWorker::Ask { id, question } => match &*self.cluster.borrow() {
                Some(cluster) => cluster.ask(id, question),
                None => {
                    port::post(&FromWorker::Details { id, details: Details::Gone { why: "No cluster runs.".into() } })
                }
            },
            ToWorker::Frame => self.with_cluster(Cluster::frame),
            ToWorker::Space { used, quota, persisted } => {
                self.with_cluster(|cluster| cluster.space(used, quota, persisted))
            }
        }
    }

    fn with_cluster(&self, act: impl FnOnce(&Cluster)) {
        if let Some(cluster) = &*self.cluster.borrow() {
            act(cluster);
        }
    }

    async fn open(self: Rc<Self>) {
        let store = self.store.borrow().clone();
        match opening::open(&store).await {
            Ok(opened) => self.run(opened),
            Err(refusal) => port::post(&FromWorker::Refused(refusal)),
        }
    }

    fn run(&self, opened: opening::Opened) {
        port::post(&FromWorker::Opened);
        let cluster = Cluster::start(opened);
        *self.cluster.borrow_mut() = Some(cluster);
    }

    fn export(&self) {
        let store = self.store.borrow().clone();
        if let Some(cluster) = &*self.cluster.borrow()
            && let Some(files) = cluster.memory_files()
        {
            return opening::hand_over(&store, cluster.cluster_id().as_bytes(), files);
        }
        spawn_local(opening::export(store));
    }

    async fn reset(self: Rc<Self>, id: u32) {
        let cluster = self.cluster.borrow_mut().take();
        if let Some(cluster) = cluster {
            let in_memory = cluster.memory_files().is_some();
            cluster.stop().await;
            if in_memory {
                return port::post(&FromWorker::Gone);
            }
        }
        let store = self.store.borrow().clone();
        match IdbStore::delete(&store).await {
            Ok(()) => port::post(&FromWorker::Gone),
            Err(why) => {
                port::post(&FromWorker::Done { id, result: Err(format!("It could not be deleted: {why}").into()) })
            }
        }
    }
}

/// Where this was called from, as the browser writes it.
fn stack() -> String {
    let error = js_sys::Error::new("");
    let stack = js_sys::Reflect::get(&error, &"stack".into()).ok().and_then(|stack| stack.as_string());
    stack.unwrap_or_default()
}
