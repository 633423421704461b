//! Questions that are asked before something is done.

use std::rc::Rc;

use shore_view::message::{Command, Record};
use shore_view::model::{Group, Topic};
use shore_view::state::{Dialog, Msg};
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlDialogElement, HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

use super::context::{Ui, use_ui};
use super::panel::Marks;

#[derive(PartialEq, Properties)]
pub struct DialogsProps {
    pub dialog: Option<Dialog>,
    pub topics: Vec<Rc<Topic>>,
    pub groups: Vec<Rc<Group>>,
}

#[component]
pub fn Dialogs(props: &DialogsProps) -> Html {
    let topics: Vec<Rc<str>> =
        props.topics.iter().filter(|topic| !topic.internal).map(|topic| topic.name.clone()).collect();
    match &props.dialog {
        None => Html::default(),
        Some(Dialog::NewTopic) => html! { <NewTopic /> },
        Some(Dialog::NewProducer) => html! { <NewProducer {topics} /> },
        Some(Dialog::NewMember) => {
            html! { <NewMember {topics} groups={props.groups.iter().map(|group| group.id.clone()).collect::<Vec<_>>()} /> }
        }
        Some(Dialog::Send { topic }) => {
            html! { <SendRecord {topics} topic={topic.clone()} all={props.topics.clone()} /> }
        }
        Some(Dialog::DeleteTopic { topic }) => html! {
            <Confirm title={format!("Delete topic {topic}?")} text="Its records are deleted with it. Producers that still send to it make it anew, if the broker may create topics on its own."
                action="Delete" command={Command::DeleteTopic { name: topic.clone() }} />
        },
        Some(Dialog::Reset) => html! {
            <Confirm title="Reset the cluster?" text="Every topic, record, group and client is deleted from this browser, and the cluster begins anew."
                action="Reset" command={Command::Reset} />
        },
        Some(Dialog::Help) => html! { <Help /> },
    }
}

#[derive(PartialEq, Properties)]
struct FrameProps {
    title: AttrValue,
    /// The word on the button that does it; none where there is nothing to do.
    #[prop_or_default]
    action: Option<AttrValue>,
    #[prop_or_default]
    danger: bool,
    /// Gets the form when it is sent. The dialog then closes.
    #[prop_or_default]
    onsubmit: Callback<Form>,
    children: Html,
}

/// A form's controls, by name.
pub struct Form(Element);

impl Form {
    fn text(&self, name: &str) -> String {
        let control = self.0.query_selector(&format!("[name={name}]")).ok().flatten();
        control.map_or(String::new(), |control| {
            if let Some(input) = control.dyn_ref::<HtmlInputElement>() {
                input.value()
            } else if let Some(select) = control.dyn_ref::<HtmlSelectElement>() {
                select.value()
            } else {
                control.dyn_ref::<HtmlTextAreaElement>().map_or(String::new(), HtmlTextAreaElement::value)
            }
        })
    }

    fn checked(&self, name: &str) -> bool {
        let control = self.0.query_selector(&format!("[name={name}]")).ok().flatten();
        control.and_then(|control| control.dyn_into::<HtmlInputElement>().ok()).is_some_and(|input| input.checked())
    }
}

#[component]
fn Frame(props: &FrameProps) -> Html {
    let ui = use_ui();
    let node = use_node_ref();
    {
        let node = node.clone();
        use_effect_with((), move |()| {
            if let Some(dialog) = node.cast::<HtmlDialogElement>() {
                let _ = dialog.show_modal();
            }
        });
    }
    let close = {
        let ui = ui.clone();
        Callback::from(move |_: MouseEvent| ui.message(Msg::Open(None)))
    };
    let onclose = {
        let ui = ui.clone();
        Callback::from(move |_: Event| ui.message(Msg::Open(None)))
    };
    let onsubmit = {
        let (ui, onsubmit) = (ui.clone(), props.onsubmit.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            onsubmit.emit(Form(event.target_unchecked_into()));
            ui.message(Msg::Open(None));
        })
    };
    html! {
        <dialog ref={node} {onclose} aria-label={props.title.clone()}>
            <form {onsubmit}>
                <header><h2>{ props.title.clone() }</h2></header>
                { props.children.clone() }
                <footer>
                    <button type="button" class="button" onclick={close}>{ if props.action.is_some() { "Cancel" } else { "Close" } }</button>
                    if let Some(action) = &props.action {
                        <button type="submit" class={classes!("button", if props.danger { "danger" } else { "primary" })}>{ action.clone() }</button>
                    }
                </footer>
            </form>
        </dialog>
    }
}

#[component]
fn NewTopic() -> Html {
    let onsubmit = with_ui(use_ui(), |ui, form| {
        let name = form.text("name").trim().to_owned();
        let partitions = form.text("partitions").parse().unwrap_or(1);
        ui.command(Command::CreateTopic { name: name.into(), partitions });
    });
    html! {
        <Frame title="New topic" action="Create" {onsubmit}>
            <label class="field"><span>{ "Name" }</span>
                <input type="text" name="name" required=true maxlength="249" pattern="[a-zA-Z0-9._\\-]+" autocomplete="off" placeholder="payments" />
                <small>{ "Letters, digits, dots, dashes and underscores." }</small>
            </label>
            <label class="field"><span>{ "Partitions" }</span>
                <input type="number" name="partitions" min="1" max="100" value="3" required=true />
            </label>
        </Frame>
    }
}

#[derive(PartialEq, Properties)]
struct TopicsProps {
    topics: Vec<Rc<str>>,
}

#[component]
fn NewProducer(props: &TopicsProps) -> Html {
    let onsubmit = with_ui(use_ui(), |ui, form| {
        let rate = form.text("rate").parse::<f64>().unwrap_or(1.0);
        let rate_milli = (rate * 1_000.0).clamp(0.0, 10_000_000.0) as u32;
        ui.command(Command::AddProducer { topic: form.text("topic").into(), rate_milli });
    });
    html! {
        <Frame title="Add a producer" action="Add" {onsubmit}>
            <TopicField topics={props.topics.clone()} chosen={None::<Rc<str>>} />
            <label class="field"><span>{ "Records per second" }</span>
                <input type="number" name="rate" min="0.1" max="10000" step="0.1" value="2" required=true />
            </label>
            <p class="small quiet">{ "Idempotent, acks=all, keyed records. It goes on after a reload." }</p>
        </Frame>
    }
}

#[derive(PartialEq, Properties)]
struct NewMemberProps {
    topics: Vec<Rc<str>>,
    groups: Vec<Rc<str>>,
}

#[component]
fn NewMember(props: &NewMemberProps) -> Html {
    let onsubmit = with_ui(use_ui(), |ui, form| {
        let group = form.text("group").trim().to_owned();
        ui.command(Command::AddMember { group: group.into(), topic: form.text("topic").into() });
    });
    let group = props.groups.first().map_or("readers".to_owned(), ToString::to_string);
    html! {
        <Frame title="Add a consumer" action="Add" {onsubmit}>
            <label class="field"><span>{ "Group" }</span>
                <input type="text" name="group" required=true maxlength="200" value={group} list="groups" autocomplete="off" />
                <datalist id="groups">{ for props.groups.iter().map(|group| html! { <option value={group.to_string()} /> }) }</datalist>
                <small>{ "Members of one group share the partitions. A new name begins a new group." }</small>
            </label>
            <TopicField topics={props.topics.clone()} chosen={None::<Rc<str>>} />
        </Frame>
    }
}

#[derive(PartialEq, Properties)]
struct SendProps {
    topics: Vec<Rc<str>>,
    topic: Option<Rc<str>>,
    all: Vec<Rc<Topic>>,
}

#[component]
fn SendRecord(props: &SendProps) -> Html {
    let onsubmit = with_ui(use_ui(), |ui, form| ui.command(Command::Send(record(form))));
    let chosen = props.topic.clone().or_else(|| props.topics.first().cloned());
    let partitions = chosen
        .as_ref()
        .and_then(|name| props.all.iter().find(|topic| topic.name == *name))
        .map_or(0, |topic| topic.partitions.len());
    html! {
        <Frame title="Send a record" action="Send" {onsubmit}>
            <div class="pair">
                <TopicField topics={props.topics.clone()} {chosen} />
                <label class="field"><span>{ "Partition" }</span>
                    <input type="number" name="partition" min="0" max={partitions.saturating_sub(1).to_string()} placeholder="by key" />
                </label>
            </div>
            <label class="field"><span>{ "Key" }</span>
                <input type="text" name="key" autocomplete="off" placeholder="none" />
            </label>
            <label class="field"><span>{ "Value" }</span>
                <textarea name="value" placeholder="Anything" />
            </label>
            <label class="group small"><input type="checkbox" name="tombstone" />{ "No value at all (a tombstone)" }</label>
            <label class="field"><span>{ "Headers" }</span>
                <textarea name="headers" rows="2" placeholder="trace-id: 42" />
                <small>{ "One per line, name and value with a colon between." }</small>
            </label>
        </Frame>
    }
}

fn record(form: &Form) -> Record {
    let given = |name: &str| Some(form.text(name)).filter(|text| !text.is_empty());
    let headers = form.text("headers");
    Record {
        topic: form.text("topic").into(),
        partition: form.text("partition").parse().ok(),
        key: given("key").map(Into::into),
        value: (!form.checked("tombstone")).then(|| form.text("value").into()),
        headers: headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().into(), value.trim().into()))
            .collect(),
    }
}

#[derive(PartialEq, Properties)]
struct TopicFieldProps {
    topics: Vec<Rc<str>>,
    chosen: Option<Rc<str>>,
}

#[component]
fn TopicField(props: &TopicFieldProps) -> Html {
    html! {
        <label class="field"><span>{ "Topic" }</span>
            <select name="topic" required=true>
                { for props.topics.iter().map(|topic| html! {
                    <option value={topic.to_string()} selected={props.chosen.as_ref() == Some(topic)}>{ topic.clone() }</option>
                }) }
            </select>
        </label>
    }
}

#[derive(PartialEq, Properties)]
struct ConfirmProps {
    title: AttrValue,
    text: AttrValue,
    action: AttrValue,
    command: Command,
}

#[component]
fn Confirm(props: &ConfirmProps) -> Html {
    let command = props.command.clone();
    let onsubmit = with_ui(use_ui(), move |ui, _| ui.command(command.clone()));
    html! {
        <Frame title={props.title.clone()} action={props.action.clone()} danger=true {onsubmit}>
            <p>{ props.text.clone() }</p>
        </Frame>
    }
}

#[component]
fn Help() -> Html {
    let keys = [
        ("Space", "Pause, go on"),
        (".", "One step, while paused"),
        ("←  →", "Along a tape"),
        ("Esc", "Close the panel"),
        ("?", "This help"),
    ];
    html! {
        <Frame title="A Kafka cluster in this tab">
            <p>{ "A broker that speaks Kafka's protocol and keeps Kafka's log format runs here, in a worker, with its store in this browser. \
                  Producers and consumers reach it with real requests: each one is in the log below, byte by byte." }</p>
            <p>{ "Click a batch, a request, a client or a partition to look into it. Close the tab and it stands still; open it again and everything goes on." }</p>
            <Marks />
            <dl class="keys">
                { for keys.iter().map(|(key, what)| html! { <><dt><kbd>{ *key }</kbd></dt><dd>{ *what }</dd></> }) }
            </dl>
        </Frame>
    }
}

fn with_ui(ui: Ui, act: impl Fn(&Ui, &Form) + 'static) -> Callback<Form> {
    Callback::from(move |form: Form| act(&ui, &form))
}
