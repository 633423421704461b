//! Records that are sent by hand, and records that are deleted.

use std::rc::Rc;

use shore_view::message::{Command, Record};
use shore_view::model::{Partition, Topic};
use shore_view::text;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use super::{Form, Frame, OnSubmit};

#[derive(PartialEq, Properties)]
pub struct SendProps {
    pub topics: Vec<Rc<str>>,
    pub topic: Option<Rc<str>>,
    pub all: Vec<Rc<Topic>>,
}

#[component]
pub fn SendRecord(props: &SendProps) -> Html {
    let onsubmit = OnSubmit::from(|form: Form| Some(Command::Send(record(&form))));
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
    let headers = form.text("headers");
    Record {
        topic: form.text("topic").into(),
        partition: form.text("partition").parse().ok(),
        key: form.given("key"),
        value: (!form.checked("tombstone")).then(|| form.text("value").into()),
        headers: headers
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().into(), value.trim().into()))
            .collect(),
    }
}

#[derive(PartialEq, Properties)]
pub struct TopicFieldProps {
    #[prop_or("topic")]
    pub name: &'static str,
    #[prop_or("Topic")]
    pub label: &'static str,
    pub topics: Vec<Rc<str>>,
    pub chosen: Option<Rc<str>>,
}

#[component]
pub fn TopicField(props: &TopicFieldProps) -> Html {
    let chosen = props.chosen.as_ref().or(props.topics.first());
    html! {
        <label class="field"><span>{ props.label }</span>
            <select name={props.name} required=true>
                { for props.topics.iter().map(|topic| html! {
                    <option value={topic.to_string()} selected={chosen == Some(topic)}>{ topic.clone() }</option>
                }) }
            </select>
        </label>
    }
}

#[derive(PartialEq, Properties)]
pub struct DeleteRecordsProps {
    pub topic: Rc<str>,
    /// As it is now: the log goes on growing while the dialog is open.
    pub partition: Rc<Partition>,
    pub offset: i64,
}

#[component]
pub fn DeleteRecords(props: &DeleteRecordsProps) -> Html {
    let offset = use_state(|| props.offset);
    let (topic, partition) = (props.topic.clone(), &props.partition);
    let index = partition.index;
    let onsubmit = {
        let (topic, offset) = (topic.clone(), *offset);
        OnSubmit::from(move |_| Some(Command::DeleteRecords { topic: topic.clone(), partition: index, offset }))
    };
    let oninput = {
        let offset = offset.clone();
        Callback::from(move |event: InputEvent| {
            if let Ok(value) = event.target_unchecked_into::<HtmlInputElement>().value().parse() {
                offset.set(value);
            }
        })
    };
    let gone = (*offset - partition.log_start).max(0);
    html! {
        <Frame title={format!("Delete records of {topic}-{index}")} action="Delete" danger=true {onsubmit}>
            <label class="field"><span>{ "Before offset" }</span>
                <input type="number" name="offset" required=true value={offset.to_string()} oninput={oninput.clone()} />
            </label>
            <input type="range" aria-label="Before offset" min={partition.log_start.to_string()} max={partition.high_watermark.to_string()}
                value={offset.to_string()} {oninput} />
            <p class="ends-of-range small quiet">
                <span>{ format!("log start {}", text::grouped(partition.log_start)) }</span>
                <span>{ format!("high watermark {}", text::grouped(partition.high_watermark)) }</span>
            </p>
            <p>{ format!("{} offsets will be gone for every reader. Segments that lie wholly before it are deleted.", text::grouped(gone)) }</p>
        </Frame>
    }
}
