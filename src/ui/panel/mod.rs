//! The thing that was clicked, close up.

mod bytes;
mod clients;
mod cluster;
mod events;
mod machine;
mod partition;
mod topic;
mod transaction;

pub use cluster::Marks;
pub use events::words;

use std::rc::Rc;

use shore_view::message::Details;
use shore_view::state::{App, Msg, Selection};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};
use yew::prelude::*;

use super::browser;
use super::context::use_ui;
use super::header::icon_path;

#[derive(PartialEq, Properties)]
pub struct PanelProps {
    pub app: Rc<App>,
}

#[component]
pub fn Panel(props: &PanelProps) -> Html {
    let app = &props.app;
    let details = app.details.as_deref();
    let node = use_node_ref();
    use_focus(&node, &app.selection);
    let content = match &app.selection {
        None => html! { <cluster::Legend /> },
        Some(Selection::Broker) => cluster::broker(app),
        Some(Selection::Topic { name }) => topic::topic(app, name),
        Some(Selection::Partition { topic, partition }) => partition::partition(app, topic, *partition),
        Some(Selection::Batch { topic, partition, offset }) => bytes::batch(topic, *partition, *offset, details),
        Some(Selection::Exchange { id }) => bytes::exchange(app, *id, details),
        Some(Selection::Producer { name }) => clients::producer(app, name),
        Some(Selection::Group { id }) => clients::group(app, id),
        Some(Selection::Member { group, member_id }) => clients::member(app, group, member_id),
        Some(Selection::Transaction { id }) => transaction::transaction(app, id),
    };
    html! {
        <aside ref={node} class={classes!("panel-region", app.selection.is_none().then_some("empty"))} aria-label="Details">
            { content }
        </aside>
    }
}

/// Who opens the panel by the keyboard goes on in it, and comes back to where they were when it closes.
#[hook]
fn use_focus(panel: &NodeRef, selection: &Option<Selection>) {
    let opener = use_mut_ref(|| None::<HtmlElement>);
    let panel = panel.clone();
    use_effect_with(selection.clone(), move |selection| {
        let Some(panel) = panel.cast::<Element>() else { return };
        let focused = browser::focused();
        let is_inside = focused.as_ref().is_some_and(|(element, _)| panel.contains(Some(element)));
        match (selection, focused) {
            (Some(_), Some((element, is_shown))) if is_shown || is_inside => {
                if !is_inside {
                    *opener.borrow_mut() = Some(element);
                }
                let heading = panel.query_selector("h2").ok().flatten();
                if let Some(heading) = heading.and_then(|heading| heading.dyn_into::<HtmlElement>().ok()) {
                    let _ = heading.focus();
                }
            }
            (Some(_), _) => *opener.borrow_mut() = None,
            (None, _) => {
                let opener = opener.borrow_mut().take();
                let opener = opener.filter(|opener| opener.is_connected());
                // A batch may have left its tape meanwhile.
                let main = || panel.closest("main").ok().flatten()?.dyn_into::<HtmlElement>().ok();
                if let Some(element) = opener.or_else(|| if is_inside { main() } else { None }) {
                    let _ = element.focus();
                }
            }
        }
    });
}

#[derive(PartialEq, Properties)]
struct SheetProps {
    title: AttrValue,
    #[prop_or_default]
    subtitle: AttrValue,
    children: Html,
}

/// The frame of every panel: what it is, and a way to close it.
#[component]
fn Sheet(props: &SheetProps) -> Html {
    let ui = use_ui();
    let close = Callback::from(move |_| ui.message(Msg::Select(None)));
    html! {
        <div class="panel">
            <header>
                <div>
                    <h2 tabindex="-1">{ props.title.clone() }</h2>
                    if !props.subtitle.is_empty() {
                        <p class="small quiet">{ props.subtitle.clone() }</p>
                    }
                </div>
                <button class="button plain icon" onclick={close} aria-label="Close" title="Close (Esc)">{ icon_path("M6 6l12 12M18 6L6 18") }</button>
            </header>
            { props.children.clone() }
        </div>
    }
}

/// Names and values.
fn facts(rows: &[(&'static str, String)]) -> Html {
    html! {
        <dl class="facts">
            { for rows.iter().map(|(name, value)| html! { <><dt>{ *name }</dt><dd>{ value }</dd></> }) }
        </dl>
    }
}

/// While the worker looks, or when there is nothing any more.
fn pending(details: Option<&Details>) -> Html {
    match details {
        Some(Details::Gone { why }) => html! { <p class="quiet">{ why.clone() }</p> },
        _ => html! { <p class="quiet">{ "Reading" }</p> },
    }
}
