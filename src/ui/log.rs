//! The requests of the cluster, and what happened inside the broker, newest first.

use std::rc::Rc;

use shore_view::api::{self, Kind};
use shore_view::happening::{About, Happening};
use shore_view::model::Exchange;
use shore_view::state::{Filter, Msg, Selection, Tab};
use shore_view::text;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement};
use yew::prelude::*;

use super::context::use_ui;
use super::panel::words;
use super::size::use_size;

#[derive(PartialEq, Properties)]
pub struct LogProps {
    /// There are requests, whether or not the filter shows one.
    pub any: bool,
    pub log: Vec<Rc<Exchange>>,
    pub selection: Option<Selection>,
}

#[component]
pub fn Log(props: &LogProps) -> Html {
    let chosen = match props.selection {
        Some(Selection::Exchange { id }) => Some(id),
        _ => None,
    };
    let scroll = use_node_ref();
    let (rows, onscroll) = use_rows(&scroll);
    html! {
        <>
            <div class="log-scroll" id="listed" ref={scroll} {onscroll} tabindex="0" role="tabpanel" aria-label="Requests, newest first">
                <table class="log">
                    <thead>
                        <tr>
                            <th class="col-time">{ "Time" }</th>
                            <th class="col-api">{ "Request" }</th>
                            <th class="col-client">{ "From" }</th>
                            <th class="wide">{ "About" }</th>
                            <th class="col-size number wide">{ "Sent" }</th>
                            <th class="col-size number wide">{ "Got" }</th>
                            <th class="col-latency number">{ "Took" }</th>
                        </tr>
                    </thead>
                    <tbody>
                        { for props.log.iter().take(rows).map(|exchange| html! {
                            <Row key={exchange.id} exchange={exchange.clone()} chosen={chosen == Some(exchange.id)} />
                        }) }
                    </tbody>
                </table>
                if props.log.is_empty() {
                    <p class="log-empty">{ if props.any { "No request that the filter lets through." } else { "No requests yet." } }</p>
                }
            </div>
        </>
    }
}

#[derive(PartialEq, Properties)]
pub struct EventsProps {
    /// Newest first.
    pub happenings: Vec<Rc<Happening>>,
}

#[component]
pub fn Events(props: &EventsProps) -> Html {
    let scroll = use_node_ref();
    let (rows, onscroll) = use_rows(&scroll);
    html! {
        <>
            <div class="log-scroll" id="listed" ref={scroll} {onscroll} tabindex="0" role="tabpanel" aria-label="Events, newest first">
                <table class="log events">
                    <thead>
                        <tr>
                            <th class="col-time">{ "Time" }</th>
                            <th class="col-about">{ "Of" }</th>
                            <th>{ "What happened" }</th>
                        </tr>
                    </thead>
                    <tbody>{ for props.happenings.iter().take(rows).map(|happening| html! { <EventRow key={happening.id} happening={happening.clone()} /> }) }</tbody>
                </table>
                if props.happenings.is_empty() {
                    <p class="log-empty">{ "Nothing happened yet." }</p>
                }
            </div>
        </>
    }
}

/// No row is lower than this.
const ROW_HEIGHT: f64 = 24.0;

/// How many rows are drawn: those in sight and as many below them. The list is made anew many times in a second, and each
/// row costs a part of a frame.
#[hook]
fn use_rows(scroll: &NodeRef) -> (usize, Callback<Event>) {
    let (_, height) = use_size(scroll);
    let scrolled = use_state_eq(|| 0);
    let onscroll = {
        let scrolled = scrolled.setter();
        Callback::from(move |event: Event| {
            let rows = f64::from(event.target_unchecked_into::<Element>().scroll_top()) / ROW_HEIGHT;
            // In steps, so that scrolling draws seldom.
            scrolled.set((rows / 8.0).ceil() as usize * 8);
        })
    };
    let fit = (height / ROW_HEIGHT).ceil() as usize;
    (*scrolled + fit + fit.min(8), onscroll)
}

#[derive(PartialEq, Properties)]
struct EventProps {
    happening: Rc<Happening>,
}

#[component]
fn EventRow(props: &EventProps) -> Html {
    let ui = use_ui();
    let happening = &props.happening;
    let select = ui.on_select(match &happening.about {
        About::Broker => Selection::Broker,
        About::Topic(name) => Selection::Topic { name: name.clone() },
        About::Partition(topic, partition) => Selection::Partition { topic: topic.clone(), partition: *partition },
        About::Group(id) => Selection::Group { id: id.clone() },
        About::Transaction(id) => Selection::Transaction { id: id.clone() },
    });
    html! {
        <tr onclick={select}>
            <td class="mono quiet">{ text::clock(happening.at_micros) }</td>
            <td>
                <button>
                    <i class={format!("swatch kind-{}", happening.about.slug())}></i>
                    <span class="name">{ happening.about.label() }</span>
                </button>
            </td>
            <td class="told">{ words(happening) }</td>
        </tr>
    }
}

#[derive(PartialEq, Properties)]
pub struct HeadProps {
    pub filter: Filter,
    pub tab: Tab,
}

/// What is listed, and of that what is let through.
#[component]
pub fn LogHead(props: &HeadProps) -> Html {
    let ui = use_ui();
    let on_text = {
        let ui = ui.clone();
        Callback::from(move |event: InputEvent| {
            let text = event.target_unchecked_into::<HtmlInputElement>().value();
            ui.message(Msg::FilterText(text.into()));
        })
    };
    let hold = {
        let (ui, held) = (ui.clone(), props.filter.held);
        Callback::from(move |_| ui.message(Msg::HoldLog(!held)))
    };
    // As in any list of tabs: Tab goes to the chosen one, the arrows choose.
    let on_arrow = {
        let (ui, tab) = (ui.clone(), props.tab);
        Callback::from(move |event: KeyboardEvent| {
            let focused = event.target().and_then(|target| target.dyn_into::<Element>().ok());
            let (next, other) = match (event.key().as_str(), tab) {
                ("ArrowRight" | "ArrowLeft", Tab::Requests) => {
                    (Tab::Events, focused.and_then(|tab| tab.next_element_sibling()))
                }
                ("ArrowRight" | "ArrowLeft", Tab::Events) => {
                    (Tab::Requests, focused.and_then(|tab| tab.previous_element_sibling()))
                }
                _ => return,
            };
            event.prevent_default();
            ui.message(Msg::Show(next));
            if let Some(other) = other.and_then(|other| other.dyn_into::<HtmlElement>().ok()) {
                let _ = other.focus();
            }
        })
    };
    html! {
        <div class="log-head">
            <div class="tabs" role="tablist" aria-label="What is listed" onkeydown={on_arrow}>
                { for [(Tab::Requests, "Requests"), (Tab::Events, "Events")].map(|(tab, label)| {
                    let ui = ui.clone();
                    html! {
                        <button key={label} class="button slim" role="tab" aria-selected={(tab == props.tab).to_string()} aria-controls="listed"
                            tabindex={if tab == props.tab { "0" } else { "-1" }}
                            onclick={Callback::from(move |_| ui.message(Msg::Show(tab)))}>{ label }</button>
                    }
                }) }
            </div>
            if props.tab == Tab::Requests {
            { for Kind::ALL.iter().map(|&kind| {
                let ui = ui.clone();
                html! {
                    <button key={kind.slug()} class="chip" aria-pressed={props.filter.shows(kind).to_string()}
                        onclick={Callback::from(move |_| ui.message(Msg::Filter(kind)))}>
                        <i class={format!("swatch kind-{}", kind.slug())}></i>{ kind.label() }
                    </button>
                }
            }) }
            <input type="search" placeholder="Find" aria-label="Find in requests" value={props.filter.text.to_string()} oninput={on_text} />
            <button class="chip" aria-pressed={props.filter.held.to_string()} onclick={hold}>
                { if props.filter.held { "Held" } else { "Hold" } }
            </button>
            }
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct RowProps {
    exchange: Rc<Exchange>,
    chosen: bool,
}

#[component]
fn Row(props: &RowProps) -> Html {
    let ui = use_ui();
    let exchange = &props.exchange;
    let select = ui.on_select(Selection::Exchange { id: exchange.id });
    let (got, took) = match &exchange.answer {
        Some(answer) => (text::size(u64::from(answer.bytes)), text::duration(answer.micros)),
        None => (String::new(), "waits".into()),
    };
    let error = exchange.answer.as_ref().and_then(|answer| answer.error.clone());
    html! {
        <tr class={classes!(props.chosen.then_some("chosen"))} onclick={select}>
            <td class="mono quiet">{ text::clock(exchange.sent_micros) }</td>
            <td>
                <button aria-label={format!("{} version {}", api::name(exchange.api_key), exchange.version)}>
                    <i class={format!("swatch kind-{}", Kind::of(exchange.api_key).slug())}></i>
                    <span class="name">{ api::name(exchange.api_key) }</span>
                    <span class="quiet small">{ format!("v{}", exchange.version) }</span>
                </button>
            </td>
            <td>{ exchange.client.clone() }</td>
            <td class="wide">
                if let Some(error) = error {
                    <span class="error">{ error }{ " " }</span>
                }
                { exchange.about.clone() }
            </td>
            <td class="number wide">{ text::size(u64::from(exchange.request_bytes)) }</td>
            <td class="number wide">{ got }</td>
            <td class="number">{ took }</td>
        </tr>
    }
}
