//! The bar on top: how the cluster stands, its clock, the store. Below it what has to be said at once.

use std::rc::Rc;

use gloo_timers::callback::Timeout;
use shore_view::happening::Happening;
use shore_view::message::Command;
use shore_view::model::{Broker, Clock, Storage};
use shore_view::state::{Crash, Dialog, Link, Msg, Notice};
use shore_view::text;
use wasm_bindgen::JsCast;
use web_sys::{HtmlSelectElement, Node};
use yew::prelude::*;

use super::browser;
use super::context::use_ui;

/// Speeds in percent. The last two are as fast as the store is, up to that.
const SPEEDS: [(u32, &str); 10] = [
    (5, "0.05×"),
    (10, "0.1×"),
    (25, "0.25×"),
    (50, "0.5×"),
    (100, "1×"),
    (200, "2×"),
    (500, "5×"),
    (2_000, "20×"),
    (10_000, "100×"),
    (100_000, "1000×"),
];

#[derive(PartialEq, Properties)]
pub struct HeaderProps {
    pub clock: Clock,
    pub broker: Rc<Broker>,
    pub storage: Rc<Storage>,
    pub link: Link,
}

#[component]
pub fn Header(props: &HeaderProps) -> Html {
    let (dot, state) = match props.link {
        Link::Running if props.clock.paused => ("busy", "Paused"),
        Link::Running if props.broker.ready => ("on", "Running"),
        Link::Running | Link::Starting => ("busy", "Starting"),
        _ => ("off", "Not running"),
    };
    html! {
        <header class="bar">
            <h1 class="brand">{ wave() }{ "kafka-shore" }</h1>
            <p class="broker-state group" role="status"><i class={classes!("dot", dot)}></i>{ state }</p>
            if props.link == Link::Running {
                <Transport clock={props.clock} />
            }
            <div class="group push">
                if props.link == Link::Running {
                    <StorageMenu storage={props.storage.clone()} />
                }
                <ThemeButton />
                <HelpButton />
            </div>
        </header>
    }
}

#[derive(PartialEq, Properties)]
struct TransportProps {
    clock: Clock,
}

#[component]
fn Transport(props: &TransportProps) -> Html {
    let ui = use_ui();
    let Clock { now_micros, paused, percent, .. } = props.clock;
    let onchange = {
        let ui = ui.clone();
        Callback::from(move |event: Event| {
            if let Ok(percent) = event.target_unchecked_into::<HtmlSelectElement>().value().parse() {
                ui.command(Command::Speed { percent });
            }
        })
    };
    let (label, icon, command) = if paused {
        ("Go on", "M7 5l11 7-11 7z", Command::Resume)
    } else {
        ("Pause", "M8 5v14M16 5v14", Command::Pause)
    };
    html! {
        <div class="transport" role="group" aria-label="Cluster time">
            <button class="button" onclick={ui.on_command(command)} title={format!("{label} (space)")}>
                { icon_path(icon) }<span>{ label }</span>
            </button>
            <button class="button" disabled={!paused} onclick={ui.on_command(Command::Step)}
                title="Do the next thing that is due (.)">
                { icon_path("M6 5l8 7-8 7zM18 5v14") }<span>{ "Step" }</span>
            </button>
            <select aria-label="Speed" {onchange} title="Virtual time against real time. Beyond 20× it goes as fast as the store keeps up.">
                { for SPEEDS.iter().map(|&(value, label)| html! {
                    <option value={value.to_string()} selected={value == percent}>{ label }</option>
                }) }
            </select>
            <time class="cluster-time" title="Cluster time since it was started">
                { text::clock(now_micros / 100_000 * 100_000).trim_end_matches("00").to_owned() }
            </time>
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct StorageProps {
    storage: Rc<Storage>,
}

#[component]
fn StorageMenu(props: &StorageProps) -> Html {
    let ui = use_ui();
    let open = use_state(|| false);
    let button = use_node_ref();
    let toggle = {
        let open = open.clone();
        Callback::from(move |_| open.set(!*open))
    };
    let keep = {
        let (ui, open, button) = (ui.clone(), open.clone(), button.clone());
        Callback::from(move |_| {
            let ui = ui.clone();
            open.set(false);
            browser::focus(&button);
            wasm_bindgen_futures::spawn_local(async move {
                if browser::persist().await {
                    ui.say("The browser will keep this data until you delete it.", false);
                } else {
                    ui.say(
                        "The browser did not promise to keep this data. It may be deleted when space is short.",
                        true,
                    );
                }
            });
        })
    };
    let choose = |command: Option<Command>| {
        let (ui, open, button) = (ui.clone(), open.clone(), button.clone());
        Callback::from(move |_| {
            open.set(false);
            // A dialog gives the focus back to who had it.
            browser::focus(&button);
            match &command {
                Some(command) => ui.command(command.clone()),
                None => ui.open(Dialog::Reset),
            }
        })
    };
    let storage = &props.storage;
    let share = (storage.used * 100).checked_div(storage.quota).unwrap_or(0).clamp(1, 100);
    let on_escape = {
        let (open, button) = (open.clone(), button.clone());
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" && *open {
                // The panel stays.
                event.stop_propagation();
                open.set(false);
                browser::focus(&button);
            }
        })
    };
    let on_leave = {
        let open = open.clone();
        Callback::from(move |event: FocusEvent| {
            let menu = event.current_target().and_then(|menu| menu.dyn_into::<Node>().ok());
            let next = event.related_target().and_then(|next| next.dyn_into::<Node>().ok());
            if next.is_some() && !menu.is_some_and(|menu| menu.contains(next.as_ref())) {
                open.set(false);
            }
        })
    };
    html! {
        <div class="menu" onkeydown={on_escape} onfocusout={on_leave}>
            <button class="button plain" ref={button.clone()} onclick={toggle} aria-expanded={open.to_string()}>
                { icon_path("M4 7c0-4 16-4 16 0v10c0 4-16 4-16 0zM4 7c0 4 16 4 16 0M4 12c0 4 16 4 16 0") }
                <span class="sr">{ "Storage: " }</span>{ text::size(storage.used) }
            </button>
            if *open {
                <ul>
                    <li class="note small">
                        <p>{ format!("Kept in {}", storage.kind) }</p>
                        if storage.quota > 0 {
                            <p class="quiet">{ format!("{} of {}", text::size(storage.used), text::size(storage.quota)) }</p>
                            <div class="meter"><i style={format!("width:{share}%")}></i></div>
                        }
                    </li>
                    if storage.volatile.is_some() {
                        <li class="note small quiet">{ "It is gone when this tab is closed or reloaded." }</li>
                    } else if storage.persisted {
                        <li class="note small quiet">{ "The browser has promised to keep it." }</li>
                    } else {
                        <li><button class="button plain" onclick={keep}>{ "Ask the browser to keep it" }</button></li>
                    }
                    <li><button class="button plain" onclick={choose(Some(Command::Export))}>{ "Save a copy" }</button></li>
                    <li><button class="button plain" onclick={choose(None)}>{ "Reset the cluster" }</button></li>
                </ul>
            }
        </div>
    }
}

#[component]
fn ThemeButton() -> Html {
    let dark = use_state(browser::is_dark);
    let onclick = {
        let dark = dark.clone();
        Callback::from(move |_| {
            let next = !browser::is_dark();
            browser::set_theme(Some(if next { "dark" } else { "light" }));
            dark.set(next);
        })
    };
    let (label, icon) = if *dark {
        (
            "Light colours",
            "M12 4V2M12 22v-2M4 12H2M22 12h-2M6.3 6.3L4.9 4.9M19.1 19.1l-1.4-1.4M6.3 17.7l-1.4 1.4M19.1 4.9l-1.4 1.4M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0",
        )
    } else {
        ("Dark colours", "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z")
    };
    html! {
        <button class="button plain icon" {onclick} aria-label={label} title={label}>{ icon_path(icon) }</button>
    }
}

#[component]
fn HelpButton() -> Html {
    let ui = use_ui();
    html! {
        <button class="button plain icon" onclick={ui.on_open(Dialog::Help)} aria-label="Help" title="Help (?)">
            { icon_path("M9.2 9a3 3 0 1 1 4.2 3.2c-.9.5-1.4 1-1.4 2M12 17.5v.01M21.5 12a9.5 9.5 0 1 1-19 0 9.5 9.5 0 0 1 19 0") }
        </button>
    }
}

#[derive(PartialEq, Properties)]
pub struct BannersProps {
    pub running: bool,
    pub storage: Rc<Storage>,
    pub crash: Option<Crash>,
}

#[component]
pub fn Banners(props: &BannersProps) -> Html {
    let ui = use_ui();
    let dismiss = {
        let ui = ui.clone();
        Callback::from(move |_| ui.message(Msg::DismissCrash))
    };
    let known = use_state(|| false);
    let know = {
        let known = known.clone();
        Callback::from(move |_| known.set(true))
    };
    let save = || html! { <button class="button" onclick={ui.on_command(Command::Export)}>{ "Save a copy" }</button> };
    let reset =
        || html! { <button class="button danger" onclick={ui.on_open(Dialog::Reset)}>{ "Reset the cluster" }</button> };
    html! {
        <>
            if let Some(why) = props.storage.volatile.as_ref().filter(|_| !*known) {
                <div class="banner calm" role="status">
                    <p><b>{ "Nothing is kept. " }</b>{ why.clone() }{ " The cluster runs in memory and is gone with this tab." }</p>
                    <button class="button" onclick={know}>{ "Dismiss" }</button>
                </div>
            }
            if let Some(why) = &props.storage.full {
                <div class="banner bad" role="alert">
                    <p>
                        <b>{ "Nothing more can be stored: " }</b>{ why.clone() }
                        { ". What is stored is safe. Producers get KAFKA_STORAGE_ERROR until there is space: make some on this device, or save a copy and reset the cluster." }
                    </p>
                    { save() }
                    { reset() }
                </div>
            }
            if let Some(Crash { trace, lost }) = &props.crash {
                <div class="banner bad" role="alert">
                    <p><b>{ "The cluster crashed. " }</b>{ match (props.running, lost) {
                        (false, _) => "",
                        (true, true) => "It ran in memory, so it has begun anew.",
                        (true, false) => "It was started again from its store: what was acknowledged is there.",
                    } }</p>
                    if props.running {
                        { save() }
                        { reset() }
                    }
                    <button class="button" onclick={dismiss}>{ "Dismiss" }</button>
                    <details><summary>{ "What it said" }</summary><pre>{ trace.clone() }</pre></details>
                </div>
            }
        </>
    }
}

#[derive(PartialEq, Properties)]
pub struct ToastProps {
    pub notice: Option<Notice>,
}

#[component]
pub fn Toast(props: &ToastProps) -> Html {
    let ui = use_ui();
    {
        let ui = ui.clone();
        use_effect_with(props.notice.as_ref().map(|notice| notice.number), move |number| {
            let pending = number.map(|_| gloo_timers::callback::Timeout::new(6_000, move || ui.message(Msg::Dismiss)));
            move || drop(pending)
        });
    }
    let dismiss = Callback::from(move |_| ui.message(Msg::Dismiss));
    html! {
        <div role="status" aria-live="polite">
            if let Some(notice) = &props.notice {
                <div class={classes!("toast", notice.bad.then_some("bad"))}>
                    <span>{ notice.text.clone() }</span>
                    <button class="button plain slim" onclick={dismiss}>{ "Close" }</button>
                </div>
            }
        </div>
    }
}

#[derive(PartialEq, Properties)]
pub struct AnnouncerProps {
    /// What matters most of what happened last, newest first.
    pub happenings: Vec<Rc<Happening>>,
}

/// Words come no faster than they can be spoken.
const ANNOUNCE_MILLIS: u32 = 1_500;

/// Tells who cannot see the page what happens on it.
#[component]
pub fn Announcer(props: &AnnouncerProps) -> Html {
    // The newest one that was told, and the words.
    let told = use_state(|| (0, String::new()));
    // Whether one is under way, and what will end it.
    let next = use_mut_ref(|| (false, None::<Timeout>));
    let newest = use_mut_ref(Vec::new);
    newest.borrow_mut().clone_from(&props.happenings);
    let has_news = props.happenings.first().is_some_and(|happening| happening.id != told.0);
    if has_news && !next.borrow().0 {
        let (told, under_way, newest) = (told.clone(), next.clone(), newest.clone());
        let known = told.0;
        let timeout = Timeout::new(ANNOUNCE_MILLIS, move || {
            let newest = newest.borrow();
            let news = newest.iter().rev().filter(|happening| happening.id > known);
            let words: Vec<_> = news.map(|happening| happening.words()).collect();
            under_way.borrow_mut().0 = false;
            told.set((newest.first().map_or(known, |happening| happening.id), words.join(". ")));
        });
        *next.borrow_mut() = (true, Some(timeout));
    }
    html! { <p class="sr" role="log" aria-label="What happens" aria-live="polite">{ told.1.clone() }</p> }
}

pub fn icon_path(path: &'static str) -> Html {
    html! { <svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true"><path d={path} /></svg> }
}

fn wave() -> Html {
    let line = |y: u32| format!("M2 {y}c3-3 5-3 7 0s4 3 6 0 4-3 7 0");
    html! {
        <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true">
            <path d={[line(8), line(13), line(18)].concat()} />
        </svg>
    }
}
