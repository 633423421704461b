//! The requests of the cluster, and what happened inside the broker, newest first.

use std::rc::Rc;

use shore_view::api::{self, Kind};
use shore_view::happening::{About, Happening};
use shore_view::model::Exchange;
use shore_view::state::{Filter, Msg, Selection, Tab};
use shore_view::text;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::context::use_ui;
use super::panel::words;

#[derive(PartialEq, Properties)]
pub struct LogProps {
    /// There are requests, whether or not the filter shows one.
    pub any: bool,
    pub log: Vec<Rc<Exchange>>,
    pub filter: Filter,
    pub selection: Option<Selection>,
}

#[component]
pub fn Log(props: &LogProps) -> Html {
    let chosen = match props.selection {
        Some(Selection::Exchange { id }) => Some(id),
        _ => None,
    };
    html! {
        <>
            <LogHead filter={props.filter.clone()} tab={Tab::Requests} />
            <div class="log-scroll" tabindex="0" aria-label="Requests, newest first">
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
                        { for props.log.iter().map(|exchange| html! {
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
    pub filter: Filter,
}

#[component]
pub fn Events(props: &EventsProps) -> Html {
    html! {
        <>
            <LogHead filter={props.filter.clone()} tab={Tab::Events} />
            <div class="log-scroll" tabindex="0" aria-label="Events, newest first">
                <table class="log events">
                    <thead>
                        <tr>
                            <th class="col-time">{ "Time" }</th>
                            <th class="col-about">{ "Of" }</th>
                            <th>{ "What happened" }</th>
                        </tr>
                    </thead>
                    <tbody>{ for props.happenings.iter().map(|happening| html! { <EventRow key={happening.id} happening={happening.clone()} /> }) }</tbody>
                </table>
                if props.happenings.is_empty() {
                    <p class="log-empty">{ "Nothing happened yet." }</p>
                }
            </div>
        </>
    }
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
struct HeadProps {
    filter: Filter,
    tab: Tab,
}

#[component]
fn LogHead(props: &HeadProps) -> Html {
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
    html! {
        <div class="log-head">
            <div class="tabs" role="tablist" aria-label="What is listed">
                { for [(Tab::Requests, "Requests"), (Tab::Events, "Events")].map(|(tab, label)| {
                    let ui = ui.clone();
                    html! {
                        <button class="button slim" role="tab" aria-selected={(tab == props.tab).to_string()}
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
