//! The page's end of the line to the worker, and the supervisor that brings a crashed one back.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::{Array, ArrayBuffer, Uint8Array};
use shore_view::message::{Command, FromWorker, Question, Start, ToWorker, decode, encode};
use shore_view::state::{Link, Msg};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, Worker};

use super::browser;
use crate::BUILD;

/// A worker that crashes more often than this within a visit is not started again.
const MAX_RESTARTS: u32 = 3;

pub struct WorkerLink {
    myself: Weak<Self>,
    store: Rc<str>,
    worker: RefCell<Option<Running>>,
    restarts: Cell<u32>,
    next_id: Cell<u32>,
    hear: RefCell<Box<dyn Fn(Msg)>>,
}

struct Running {
    worker: Worker,
    start: Start,
    ready: bool,
    /// A crash was reported: what follows from this worker is of no interest.
    crashed: bool,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn Fn(ErrorEvent)>,
}

impl WorkerLink {
    pub fn new(store: &str) -> Rc<Self> {
        Rc::new_cyclic(|myself| Self {
            myself: myself.clone(),
            store: store.into(),
            worker: RefCell::new(None),
            restarts: Cell::new(0),
            next_id: Cell::new(1),
            hear: RefCell::new(Box::new(|_| {})),
        })
    }

    /// Says where messages go, and starts the worker.
    pub fn start(&self, hear: impl Fn(Msg) + 'static) {
        *self.hear.borrow_mut() = Box::new(hear);
        self.spawn(Start::Kept);
    }

    /// Ends the worker and starts another: after a reset, and when a held store may have come free.
    pub fn restart(&self, start: Start) {
        self.tell(Msg::Link(Link::Starting));
        self.spawn(start);
    }

    /// Sends a command; its answer has the number that this returns.
    pub fn command(&self, command: Command) -> u32 {
        let id = self.take_id();
        self.send(&ToWorker::Do { id, command });
        id
    }

    pub fn ask(&self, question: Question) {
        self.send(&ToWorker::Ask { id: self.take_id(), question });
    }

    pub fn send(&self, message: &ToWorker) {
        let worker = self.worker.borrow();
        let Some(running) = worker.as_ref().filter(|running| running.ready) else { return };
        let bytes = Uint8Array::from(encode(message).as_slice());
        let buffer = bytes.buffer();
        let _ = running.worker.post_message_with_transfer(&buffer, &Array::of1(&buffer));
    }

    fn spawn(&self, start: Start) {
        self.stop();
        // Its files are called the same in every build; the query keeps a cache from mixing them.
        let Ok(worker) = Worker::new(&format!("./worker_loader.js?{BUILD}")) else {
            self.tell(Msg::Link(Link::Dead));
            return;
        };
        let link = self.myself.clone();
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            let Some(link) = link.upgrade() else { return };
            let Ok(buffer) = event.data().dyn_into::<ArrayBuffer>() else { return };
            link.receive(&Uint8Array::new(&buffer).to_vec());
        });
        let link = self.myself.clone();
        let on_error = Closure::<dyn Fn(ErrorEvent)>::new(move |event: ErrorEvent| {
            if let Some(link) = link.upgrade() {
                link.failed(&event.message());
            }
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        *self.worker.borrow_mut() =
            Some(Running { worker, start, ready: false, crashed: false, _on_message: on_message, _on_error: on_error });
    }

    fn stop(&self) {
        if let Some(running) = self.worker.borrow_mut().take() {
            running.worker.set_onmessage(None);
            running.worker.set_onerror(None);
            running.worker.terminate();
            // Its closures may be running right now: let them go when this turn is over.
            wasm_bindgen_futures::spawn_local(async move { drop(running) });
        }
    }

    fn receive(&self, bytes: &[u8]) {
        match decode::<FromWorker>(bytes) {
            Some(FromWorker::Ready { build }) if *build == *BUILD => {
                let Some(start) = self.worker.borrow_mut().as_mut().map(|running| {
                    running.ready = true;
                    running.start
                }) else {
                    return;
                };
                self.send(&ToWorker::Start { store: self.store.clone(), start });
                if start == Start::Rescue {
                    self.tell(Msg::Link(Link::Broken));
                }
            }
            // Either a build that says so, or one so different that it cannot be understood.
            Some(FromWorker::Ready { .. }) | None => {
                self.stop();
                self.tell(Msg::Link(Link::Stale));
            }
            Some(FromWorker::Crashed { trace }) => self.crashed(trace),
            Some(FromWorker::Exported { name, bytes }) => browser::save(&name, &bytes),
            Some(FromWorker::Gone) => match self.start_of_worker() {
                Some(Start::InMemory) => self.restart(Start::InMemory),
                _ => self.restart(Start::Kept),
            },
            Some(message) => self.tell(Msg::FromWorker(message)),
        }
    }

    fn start_of_worker(&self) -> Option<Start> {
        self.worker.borrow().as_ref().map(|running| running.start)
    }

    /// The browser says that the worker threw, or that its script could not be loaded.
    fn failed(&self, why: &str) {
        let Some((ready, crashed)) = self.worker.borrow().as_ref().map(|running| (running.ready, running.crashed))
        else {
            return;
        };
        if ready && !crashed {
            self.crashed(why.into());
        } else if !ready {
            self.stop();
            self.tell(Msg::Link(Link::Dead));
        }
    }

    fn crashed(&self, trace: Rc<str>) {
        let Some(start) = self.worker.borrow_mut().as_mut().map(|running| {
            running.crashed = true;
            running.start
        }) else {
            return;
        };
        self.tell(Msg::FromWorker(FromWorker::Crashed { trace }));
        self.restarts.set(self.restarts.get() + 1);
        match start {
            Start::Rescue => {
                self.stop();
                self.tell(Msg::Link(Link::Dead));
            }
            _ if self.restarts.get() > MAX_RESTARTS => self.spawn(Start::Rescue),
            _ => self.spawn(start),
        }
    }

    fn tell(&self, message: Msg) {
        (self.hear.borrow())(message);
    }

    fn take_id(&self) -> u32 {
        self.next_id.replace(self.next_id.get().wrapping_add(1))
    }
}
