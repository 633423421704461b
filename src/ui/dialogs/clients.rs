//! Producers and group members that are added.

use std::rc::Rc;

use shore_view::message::{Command, Transactions};
use yew::prelude::*;

use super::records::TopicField;
use super::{Form, Frame, Input, OnSubmit};

#[derive(PartialEq, Properties)]
pub struct TopicsProps {
    pub topics: Vec<Rc<str>>,
}

#[component]
pub fn NewProducer(props: &TopicsProps) -> Html {
    let onsubmit = OnSubmit::from(|form: Form| {
        let rate = form.text("rate").parse::<f64>().unwrap_or(1.0);
        let rate_milli = (rate * 1_000.0).clamp(0.0, 10_000_000.0) as u32;
        let id = form.trimmed("transactional");
        let transactions = (!id.is_empty()).then(|| transactions(&form, id));
        Some(Command::AddProducer { topic: form.text("topic").into(), rate_milli, transactions })
    });
    html! {
        <Frame title="Add a producer" action="Add" {onsubmit}>
            <TopicField topics={props.topics.clone()} chosen={None::<Rc<str>>} />
            <label class="field"><span>{ "Records per second" }</span>
                <Input kind="number" name="rate" min="0.1" max="10000" step="0.1" value="2" />
            </label>
            <label class="field"><span>{ "Transactional id" }</span>
                <input type="text" name="transactional" autocomplete="off" placeholder="none" />
                <small>{ "With one it sends in transactions: readers of what is committed see all of one or nothing." }</small>
            </label>
            { transaction_fields("Records in each", "5") }
            <p class="small quiet">{ "Idempotent, acks=all, keyed records. It goes on after a reload." }</p>
        </Frame>
    }
}

fn transactions(form: &Form, id: Rc<str>) -> Transactions {
    Transactions {
        id,
        records: form.text("records").parse().unwrap_or(5),
        abort_percent: form.text("aborts").parse().unwrap_or(0),
    }
}

fn transaction_fields(label: &'static str, records: &'static str) -> Html {
    html! {
        <div class="pair">
            <label class="field"><span>{ label }</span>
                <Input kind="number" name="records" min="1" max="1000" value={records} />
            </label>
            <label class="field"><span>{ "Aborted, in percent" }</span>
                <Input kind="number" name="aborts" min="0" max="100" value="20" />
            </label>
        </div>
    }
}

/// A consumer and a producer in one: what it reads and where it stands are parts of one transaction.
#[component]
pub fn NewCopier(props: &TopicsProps) -> Html {
    let onsubmit = OnSubmit::from(|form: Form| {
        Some(Command::AddCopier {
            group: form.trimmed("group"),
            from: form.text("from").into(),
            to: form.text("to").into(),
            pace: form.text("pace").parse().unwrap_or(0),
            transactions: transactions(&form, form.trimmed("transactional")),
        })
    });
    // Into itself it would never come to an end.
    let target = props.topics.get(1).or(props.topics.first()).cloned();
    html! {
        <Frame title="Add a copier" action="Add" {onsubmit}>
            <p class="small">{ "It reads what is committed in one topic and writes it to another. The copies and its place in the source are one transaction: each record arrives exactly once." }</p>
            <div class="pair">
                <TopicField name="from" label="Source topic" topics={props.topics.clone()} chosen={None::<Rc<str>>} />
                <TopicField name="to" label="Target topic" topics={props.topics.clone()} chosen={target} />
            </div>
            <div class="pair">
                <label class="field"><span>{ "Group" }</span>
                    <Input name="group" value="copiers" />
                </label>
                <label class="field"><span>{ "Transactional id" }</span>
                    <input type="text" name="transactional" autocomplete="off" placeholder="its name" />
                </label>
            </div>
            { transaction_fields("Records in each, at most", "10") }
            <label class="field"><span>{ "Records per second" }</span>
                <Input kind="number" name="pace" min="1" max="10000" value="5" />
                <small>{ "It takes its time with a transaction open. What was in one that is aborted is read and written again." }</small>
            </label>
        </Frame>
    }
}

#[derive(PartialEq, Properties)]
pub struct NewMemberProps {
    pub topics: Vec<Rc<str>>,
    pub groups: Vec<Rc<str>>,
}

/// As Kafka's clients are configured with them, the default first.
const ASSIGNORS: [&str; 5] = ["range,cooperative-sticky", "range", "roundrobin", "sticky", "cooperative-sticky"];

const READ_COMMITTED: &str = "read_committed";

#[component]
pub fn NewMember(props: &NewMemberProps) -> Html {
    let onsubmit = OnSubmit::from(|form: Form| {
        Some(Command::AddMember {
            group: form.trimmed("group"),
            topic: form.text("topic").into(),
            assignors: form.text("assignors").into(),
            read_committed: form.text("isolation") == READ_COMMITTED,
            pace: form.text("pace").parse().unwrap_or(0),
            instance: Some(form.trimmed("instance")).filter(|instance| !instance.is_empty()),
        })
    });
    let group = props.groups.first().map_or("readers".to_owned(), ToString::to_string);
    html! {
        <Frame title="Add a consumer" action="Add" {onsubmit}>
            <label class="field"><span>{ "Group" }</span>
                <Input name="group" value={group} list="groups" />
                <datalist id="groups">{ for props.groups.iter().map(|group| html! { <option value={group.to_string()} /> }) }</datalist>
                <small>{ "Members of one group share the partitions. A new name begins a new group." }</small>
            </label>
            <div class="pair">
                <TopicField topics={props.topics.clone()} chosen={None::<Rc<str>>} />
                <label class="field"><span>{ "Reads" }</span>
                    <select name="isolation">
                        <option value="read_uncommitted" selected=true>{ "read_uncommitted" }</option>
                        <option value={READ_COMMITTED}>{ READ_COMMITTED }</option>
                    </select>
                </label>
            </div>
            <div class="pair">
                <label class="field"><span>{ "Assignors" }</span>
                    <select name="assignors">
                        { for ASSIGNORS.iter().map(|&name| html! { <option value={name} selected={name == ASSIGNORS[0]}>{ name }</option> }) }
                    </select>
                </label>
                <label class="field"><span>{ "Instance id" }</span>
                    <input type="text" name="instance" maxlength="200" autocomplete="off" placeholder="none" />
                </label>
            </div>
            <label class="field"><span>{ "Records per second" }</span>
                <input type="number" name="pace" min="1" max="10000" autocomplete="off" placeholder="as they come" />
                <small>{ "A slow one keeps a rebalance waiting until it is done with what it has." }</small>
            </label>
            <p class="small quiet">{ "All members of a group need an assignor in common. With an instance id the member is static: it may go and come back without a rebalance." }</p>
        </Frame>
    }
}
