//! The page as a whole.

use std::cell::Cell;
use std::rc::Rc;

use gloo_events::{EventListener, EventListenerOptions};
use gloo_timers::callback::Timeout;
use shore_view::message::{Command, FromWorker, ToWorker};
use shore_view::state::{Dialog, Link, Msg, Tab};
use wasm_bindgen::prelude::*;
use web_sys::{Element, KeyboardEvent};
use yew::prelude::*;

use super::browser;
use super::context::{Store, Ui};
use super::cover::Cover;
use super::dialogs::dialogs;
use super::header::{Announcer, Banners, Header, Toast};
use super::link::WorkerLink;
use super::log::{Events, Log, LogHead};
use super::motion::Motion;
use super::panel::Panel;
use super::stage::Stage;

/// The name of the store. Every tab of this site means the same one.
const STORE: &str = "kafka-shore";

#[component]
pub fn Page() -> Html {
    let state = use_reducer(Store::default);
    let link = use_memo((), |()| WorkerLink::new(STORE));
    let motion = use_memo((), |()| Motion::new());
    let ui = Ui { dispatch: state.dispatcher(), link: (*link).clone() };

    {
        let (ui, motion) = (ui.clone(), (*motion).clone());
        use_effect_with((), move |()| run(ui, motion));
    }
    {
        let ui = ui.clone();
        let paused = state.0.screen.clock.paused;
        use_effect_with(paused, move |&paused| {
            let listener = listen_to_keys(ui, paused);
            move || drop(listener)
        });
    }

    let app = &state.0;
    let class = if app.screen.clock.paused { "paused" } else { "" };
    let body = match &app.link {
        Link::Starting | Link::Running => html! {
            <main class="work" tabindex="-1">
                <section class="stage-region" aria-label="Cluster">
                    <Stage screen={app.screen.clone()} selection={app.selection.clone()}
                        internal_shown={app.internal_shown} motion={(*motion).clone()}
                        running={app.link == Link::Running && app.screen.broker.ready} />
                </section>
                <section class="log-region" aria-label="Requests and events">
                    <LogHead filter={app.filter.clone()} tab={app.tab} />
                    if app.tab == Tab::Events {
                        <Events happenings={app.happenings.iter().rev().take(SHOWN_ROWS).cloned().collect::<Vec<_>>()} />
                    } else {
                    <Log any={!app.log.is_empty()} log={app.shown_log().take(SHOWN_ROWS).cloned().collect::<Vec<_>>()}
                        selection={app.selection.clone()} />
                    }
                </section>
                <Panel app={Rc::new(app.clone())} />
            </main>
        },
        refused => html! { <Cover link={refused.clone()} /> },
    };
    html! {
        <ContextProvider<Ui> context={ui}>
            <div class={classes!("page", class)}>
                <Header clock={app.screen.clock} broker={app.screen.broker.clone()} storage={app.screen.storage.clone()}
                    link={app.link.clone()} />
                <Banners running={app.link == Link::Running} storage={app.screen.storage.clone()} crash={app.crash.clone()} />
                { body }
            </div>
            { dialogs(app) }
            <Toast notice={app.notice.clone()} />
            <Announcer happenings={app.happenings.iter().rev().filter(|happening| happening.matters).take(ANNOUNCED).cloned().collect::<Vec<_>>()} />
        </ContextProvider<Ui>>
    }
}

/// As many happenings are announced at once.
const ANNOUNCED: usize = 3;

/// More rows than this are not read; the filter finds what is older.
const SHOWN_ROWS: usize = 120;

/// A frame that takes longer is a late one.
const QUICK_FRAME_MILLIS: f64 = 25.0;

/// Starts the worker, and asks it for one delta per frame for as long as the page is there.
fn run(ui: Ui, motion: Motion) {
    let asked = Rc::new(Cell::new(false));
    let (link, dispatch) = (ui.link.clone(), ui.dispatch.clone());
    ui.link.start(move |message| {
        if let Msg::FromWorker(FromWorker::Delta(delta)) = &message {
            motion.feed(&delta.exchanges);
            asked.set(false);
        }
        if matches!(message, Msg::FromWorker(FromWorker::Opened)) {
            asked.set(false);
        }
        let wants_frame = matches!(message, Msg::FromWorker(FromWorker::Delta(_) | FromWorker::Opened));
        dispatch.dispatch(message);
        if wants_frame && !asked.replace(true) {
            let link = link.clone();
            browser::after_drawing(move |took| {
                // A page that draws slowly rests as long as it has drawn: what moves and what is pressed has frames too.
                let rest = if took > QUICK_FRAME_MILLIS { took as u32 } else { 0 };
                let send = move || link.send(&ToWorker::Frame);
                if rest == 0 { send() } else { drop(Timeout::new(rest, send).forget()) }
            });
        }
    });
    watch_space(ui.link.clone());
}

/// Tells the worker every few seconds what the browser says of this site's space.
fn watch_space(link: Rc<WorkerLink>) {
    wasm_bindgen_futures::spawn_local(async move {
        loop {
            if let Some((used, quota, persisted)) = browser::space().await {
                link.send(&ToWorker::Space { used, quota, persisted });
            }
            browser::sleep(5_000).await;
        }
    });
}

/// Space pauses, a full stop steps, a question mark helps; Escape closes the panel.
fn listen_to_keys(ui: Ui, paused: bool) -> EventListener {
    // Space would scroll.
    let may_prevent = EventListenerOptions::enable_prevent_default();
    EventListener::new_with_options(&browser::window(), "keydown", may_prevent, move |event| {
        let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
        if event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let within = |what: &str| target.as_ref().is_some_and(|element| element.closest(what).ok().flatten().is_some());
        let typing = within("input, textarea, select, dialog");
        match event.key().as_str() {
            // A dialog closes itself.
            "Escape" if !within("dialog") => ui.message(Msg::Select(None)),
            " " if !typing && !within("button, summary") => {
                event.prevent_default();
                ui.command(if paused { Command::Resume } else { Command::Pause });
            }
            "." if !typing && paused => ui.command(Command::Step),
            "?" if !typing => ui.open(Dialog::Help),
            _ => {}
        }
    })
}
