//! Questions that are asked before something is done.

mod clients;
mod configs;
mod records;
mod topics;

use std::rc::Rc;

use shore_view::message::{Command, Config};
use shore_view::state::{App, Asked, Dialog, Msg};
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlDialogElement, HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

use self::clients::{NewCopier, NewMember, NewProducer};
use self::records::{DeleteRecords, SendRecord};
use self::topics::{AlterConfigs, CreatePartitions, NewTopic};
use super::browser;
use super::context::use_ui;
use super::panel::Marks;

/// What a dialog waits for, and whether time stands while it does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waiting {
    pub asked: Option<Asked>,
    pub paused: bool,
}

pub fn dialogs(app: &App) -> Html {
    let Some(dialog) = &app.dialog else { return Html::default() };
    let topics: Vec<Rc<str>> =
        app.screen.topics.iter().filter(|topic| !topic.internal).map(|topic| topic.name.clone()).collect();
    let content = match dialog {
        Dialog::NewTopic => html! { <NewTopic configs={app.defaults.clone()} /> },
        Dialog::AlterConfigs { topic } => {
            let configs = app.configs.as_ref().filter(|(of, _)| of == topic).map(|(_, configs)| configs.clone());
            html! { <AlterConfigs topic={topic.clone()} {configs} /> }
        }
        Dialog::CreatePartitions { topic } => {
            let present = app.screen.topic(topic).map_or(0, |topic| topic.partitions.len() as i32);
            html! { <CreatePartitions topic={topic.clone()} {present} /> }
        }
        Dialog::DeleteRecords { topic, partition, offset } => match app.screen.partition(topic, *partition) {
            Some(now) => {
                html! { <DeleteRecords topic={topic.clone()} partition={now.clone()} offset={*offset} /> }
            }
            None => Html::default(),
        },
        Dialog::NewProducer => html! { <NewProducer {topics} /> },
        Dialog::NewMember => {
            let groups = app.screen.groups.iter().map(|group| group.id.clone()).collect::<Vec<_>>();
            html! { <NewMember {topics} {groups} /> }
        }
        Dialog::NewCopier => html! { <NewCopier {topics} /> },
        Dialog::Send { topic } => {
            html! { <SendRecord {topics} topic={topic.clone()} all={app.screen.topics.clone()} /> }
        }
        Dialog::DeleteTopic { topic } => html! {
            <Confirm title={format!("Delete topic {topic}?")} text="Its records are deleted with it. Producers that still send to it make it anew, if the broker may create topics on its own."
                action="Delete" command={Command::DeleteTopic { name: topic.clone() }} />
        },
        Dialog::Reset => html! {
            <Confirm title="Reset the cluster?" text="Every topic, record, group and client is deleted from this browser, and the cluster begins anew."
                action="Reset" command={Command::Reset} />
        },
        Dialog::Help => html! { <Help /> },
    };
    let waiting = Waiting { asked: app.asked.clone(), paused: app.screen.clock.paused };
    html! { <ContextProvider<Waiting> context={waiting}>{ content }</ContextProvider<Waiting>> }
}

/// What a dialog makes of its form: a command, or none and the form stays.
type OnSubmit = Callback<Form, Option<Command>>;

#[derive(PartialEq, Properties)]
struct FrameProps {
    title: AttrValue,
    /// The word on the button that does it; none where there is nothing to do.
    #[prop_or_default]
    action: Option<AttrValue>,
    #[prop_or_default]
    danger: bool,
    #[prop_or_default]
    wide: bool,
    /// The dialog closes when the command is done. If it is refused, everything stays as it was filled in.
    #[prop_or_default]
    onsubmit: Option<OnSubmit>,
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

    fn trimmed(&self, name: &str) -> Rc<str> {
        self.text(name).trim().into()
    }

    /// `None` where nothing was filled in.
    fn given(&self, name: &str) -> Option<Rc<str>> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(Into::into)
    }

    fn checked(&self, name: &str) -> bool {
        let control = self.0.query_selector(&format!("[name={name}]")).ok().flatten();
        control.and_then(|control| control.dyn_into::<HtmlInputElement>().ok()).is_some_and(|input| input.checked())
    }
}

#[component]
fn Frame(props: &FrameProps) -> Html {
    let ui = use_ui();
    let waiting: Waiting = use_context().unwrap_or_default();
    let node = use_node_ref();
    {
        let node = node.clone();
        use_effect_with((), move |()| {
            let opener = browser::focused();
            let dialog = node.cast::<HtmlDialogElement>();
            if let Some(dialog) = &dialog {
                let _ = dialog.show_modal();
            }
            // Who had the focus before gets it back. The browser sees to that only where the dialog closed by itself.
            move || {
                dialog.iter().filter(|dialog| dialog.open()).for_each(HtmlDialogElement::close);
                if let Some((opener, _)) = opener {
                    let _ = opener.focus();
                }
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
            let command = onsubmit.as_ref().and_then(|onsubmit| onsubmit.emit(Form(event.target_unchecked_into())));
            if let Some(command) = command {
                ui.command_of_dialog(command);
            }
        })
    };
    let refused = waiting.asked.as_ref().and_then(|asked| asked.refused.clone());
    let is_asking = waiting.asked.is_some() && refused.is_none();
    html! {
        <dialog ref={node} {onclose} aria-label={props.title.clone()} class={classes!(props.wide.then_some("wide"))}>
            <form {onsubmit}>
                <header><h2>{ props.title.clone() }</h2></header>
                { props.children.clone() }
                if let Some(why) = refused {
                    <p class="refusal" role="alert"><b>{ "Refused. " }</b>{ why }</p>
                } else if is_asking && waiting.paused {
                    <p class="small quiet" role="status">{ "Time is paused: the broker answers when it goes on." }</p>
                }
                <footer>
                    <button type="button" class="button" onclick={close}>{ if props.action.is_some() { "Cancel" } else { "Close" } }</button>
                    if let Some(action) = &props.action {
                        <button type="submit" disabled={is_asking} class={classes!("button", if props.danger { "danger" } else { "primary" })}>{ action.clone() }</button>
                    }
                </footer>
            </form>
        </dialog>
    }
}

#[derive(PartialEq, Properties)]
struct InputProps {
    name: &'static str,
    #[prop_or("text")]
    kind: &'static str,
    /// What it is filled in with to begin with.
    value: AttrValue,
    #[prop_or_default]
    min: Option<&'static str>,
    #[prop_or_default]
    max: Option<&'static str>,
    #[prop_or_default]
    step: Option<&'static str>,
    #[prop_or_default]
    list: Option<&'static str>,
}

/// A field that has something in it from the beginning, and then what the visitor writes, whatever is drawn anew.
#[component]
fn Input(props: &InputProps) -> Html {
    let value = use_state(|| props.value.clone());
    let oninput = {
        let value = value.clone();
        Callback::from(move |event: InputEvent| {
            value.set(event.target_unchecked_into::<HtmlInputElement>().value().into());
        })
    };
    html! {
        <input type={props.kind} name={props.name} required=true autocomplete="off" min={props.min} max={props.max} step={props.step}
            list={props.list} value={(*value).clone()} {oninput} />
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
    let onsubmit = OnSubmit::from(move |_| Some(command.clone()));
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
        ("Tab", "To the next thing; Enter looks into it"),
        ("←  →", "Along a tape; Home and End go to its ends"),
        ("Esc", "Close the panel or the dialog, and go back"),
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

/// The configs of a topic once the worker has told them.
type Known = Option<Rc<Vec<Config>>>;
