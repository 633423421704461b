//! Topics that are made, configured anew, or given more partitions.

use std::rc::Rc;

use shore_view::message::Command;
use web_sys::HtmlSelectElement;
use yew::prelude::*;

use super::configs::{ConfigRows, Row, next_number, rows};
use super::{Form, Frame, Input, Known, OnSubmit};

#[derive(PartialEq, Properties)]
pub struct NewTopicProps {
    pub configs: Known,
}

/// Configs to begin with. Those to watch are made for a fast clock.
type Beginning = (&'static str, &'static [(&'static str, &'static str)]);

const BEGINNINGS: [Beginning; 3] = [
    ("Kafka's defaults", &[]),
    (
        "Compacted, quick to watch",
        &[
            ("cleanup.policy", "compact"),
            ("segment.ms", "10000"),
            ("min.cleanable.dirty.ratio", "0.8"),
            ("delete.retention.ms", "60000"),
        ],
    ),
    ("Short retention, quick to watch", &[("retention.ms", "120000"), ("segment.ms", "30000")]),
];

#[component]
pub fn NewTopic(props: &NewTopicProps) -> Html {
    let chosen = use_state(Vec::<Row>::new);
    let onsubmit = {
        let chosen = chosen.clone();
        OnSubmit::from(move |form: Form| {
            Some(Command::CreateTopic {
                name: form.trimmed("name"),
                partitions: form.text("partitions").parse().unwrap_or(-1),
                configs: chosen.iter().map(|row| (row.name.clone(), row.value.trim().into())).collect(),
            })
        })
    };
    let onchange = {
        let chosen = chosen.clone();
        Callback::from(move |rows| chosen.set(rows))
    };
    let begin = {
        let chosen = chosen.clone();
        Callback::from(move |event: Event| {
            let place = event.target_unchecked_into::<HtmlSelectElement>().selected_index();
            let beginning = BEGINNINGS.get(place as usize).map_or(&[][..], |(_, configs)| configs);
            chosen.set(rows(next_number(&chosen), beginning));
        })
    };
    html! {
        <Frame title="New topic" action="Create" wide=true {onsubmit}>
            <div class="pair">
                <label class="field"><span>{ "Name" }</span>
                    <input type="text" name="name" required=true autocomplete="off" spellcheck="false" placeholder="payments" />
                </label>
                <label class="field"><span>{ "Partitions" }</span>
                    <Input kind="number" name="partitions" value="3" />
                </label>
            </div>
            <label class="field"><span>{ "Begin with" }</span>
                <select onchange={begin}>{ for BEGINNINGS.iter().enumerate().map(|(place, (name, _))| html! { <option selected={place == 0}>{ *name }</option> }) }</select>
            </label>
            <ConfigRows configs={props.configs.clone()} rows={(*chosen).clone()} {onchange} />
        </Frame>
    }
}

#[derive(PartialEq, Properties)]
pub struct AlterConfigsProps {
    pub topic: Rc<str>,
    pub configs: Known,
}

#[component]
pub fn AlterConfigs(props: &AlterConfigsProps) -> Html {
    match &props.configs {
        Some(_) => html! { <AlterKnown topic={props.topic.clone()} configs={props.configs.clone()} /> },
        None => {
            html! { <Frame title={format!("Configs of {}", props.topic)}><p class="quiet">{ "Reading" }</p></Frame> }
        }
    }
}

/// What the topic had when the dialog was opened is what is altered.
#[component]
fn AlterKnown(props: &AlterConfigsProps) -> Html {
    let own = use_memo((), |()| {
        let configs = props.configs.iter().flat_map(|configs| configs.iter());
        configs
            .filter(|config| config.own)
            .map(|config| (config.name.clone(), config.value.clone()))
            .collect::<Vec<_>>()
    });
    let chosen = {
        let own = own.clone();
        use_state(move || {
            let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (&**name, &**value)).collect();
            rows(0, &own)
        })
    };
    let onchange = {
        let chosen = chosen.clone();
        Callback::from(move |rows| chosen.set(rows))
    };
    let onsubmit = {
        let (topic, chosen) = (props.topic.clone(), chosen.clone());
        OnSubmit::from(move |_| {
            let reset = own.iter().filter(|(name, _)| !chosen.iter().any(|row| row.name == *name));
            let reset = reset.map(|(name, _)| (name.clone(), None));
            let set = chosen.iter().map(|row| (row.name.clone(), Some(row.value.trim().into())));
            Some(Command::AlterConfigs { topic: topic.clone(), configs: reset.chain(set).collect() })
        })
    };
    html! {
        <Frame title={format!("Configs of {}", props.topic)} action="Apply" wide=true {onsubmit}>
            if chosen.is_empty() {
                <p class="small quiet">{ "It has none of its own: the broker's defaults count." }</p>
            }
            <ConfigRows configs={props.configs.clone()} rows={(*chosen).clone()} {onchange} />
        </Frame>
    }
}

#[derive(PartialEq, Properties)]
pub struct CreatePartitionsProps {
    pub topic: Rc<str>,
    pub present: i32,
}

#[component]
pub fn CreatePartitions(props: &CreatePartitionsProps) -> Html {
    let onsubmit = {
        let topic = props.topic.clone();
        OnSubmit::from(move |form: Form| {
            let total = form.text("total").parse().ok()?;
            Some(Command::CreatePartitions { topic: topic.clone(), total })
        })
    };
    html! {
        <Frame title={format!("Add partitions to {}", props.topic)} action="Add" {onsubmit}>
            <label class="field"><span>{ "Partitions in all" }</span>
                <Input kind="number" name="total" value={(props.present + 1).to_string()} />
                <small>{ format!("It has {} now. Partitions are never taken away.", props.present) }</small>
            </label>
            <p class="small quiet">{ "Keys may go to other partitions from then on: the records of a key are then in two." }</p>
        </Frame>
    }
}
