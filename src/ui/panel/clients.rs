//! Producers, groups and their members.

use std::rc::Rc;

use shore_view::happening::About;
use shore_view::message::Command;
use shore_view::model::{Assigned, Group, Hold, Member, Producer};
use shore_view::state::{App, Selection};
use shore_view::text;
use yew::prelude::*;

use super::{Sheet, events, facts, machine};
use crate::ui::context::use_ui;
use crate::ui::rebalance;
use crate::ui::stage::RateControl;

pub fn producer(app: &App, name: &str) -> Html {
    let Some(producer) = app.screen.producers.iter().find(|producer| &*producer.name == name) else {
        return Html::default();
    };
    html! { <ProducerPanel producer={producer.clone()} /> }
}

#[derive(PartialEq, Properties)]
struct ProducerProps {
    producer: Rc<Producer>,
}

#[component]
fn ProducerPanel(props: &ProducerProps) -> Html {
    let ui = use_ui();
    let producer = &props.producer;
    let waiting = producer.sent.saturating_sub(producer.acked + producer.failed);
    let mut rows = vec![
        ("Topic", producer.topic.to_string()),
        ("Records made", text::grouped(producer.sent as i64)),
        ("Acknowledged", text::grouped(producer.acked as i64)),
        ("On their way", text::grouped(waiting as i64)),
        ("Given up", text::grouped(producer.failed as i64)),
        ("Last error", producer.last_error.as_deref().unwrap_or("none").to_owned()),
    ];
    if let Some(transactions) = &producer.transactions {
        rows.push(("Transactional id", transactions.id.to_string()));
        rows.push(("Records in the last one", text::grouped(transactions.records as i64)));
        rows.push(("Committed", text::grouped(transactions.committed as i64)));
        rows.push(("Aborted", text::grouped(transactions.aborted as i64)));
    }
    html! {
        <Sheet title={producer.name.to_string()} subtitle="Producer">
            <RateControl producer={producer.clone()} />
            { facts(&rows) }
            <div class="actions">
                <button class="button" onclick={ui.on_command(Command::Remove { actor: producer.name.clone() })}>{ "Stop and remove" }</button>
            </div>
        </Sheet>
    }
}

pub fn group(app: &App, id: &Rc<str>) -> Html {
    let Some(group) = app.screen.groups.iter().find(|group| group.id == *id) else { return Html::default() };
    let happenings = events::of(app, &About::Group(id.clone()));
    let mut rows = vec![
        ("State", group.state.to_string()),
        ("Generation", group.generation.to_string()),
        ("Assignor", if group.protocol.is_empty() { "none chosen".into() } else { group.protocol.to_string() }),
        (
            "Its members",
            if group.cooperative {
                "keep what they have while they rebalance"
            } else {
                "give back all for a rebalance"
            }
            .into(),
        ),
    ];
    if let Some(since) = group.since_millis {
        rows.push(("In this state since", text::timestamp(since)));
    }
    html! {
        <Sheet title={group.id.to_string()} subtitle="Consumer group">
            { machine::drawing(&shore_view::machine::GROUP, &group.state, &happenings) }
            { facts(&rows) }
            { members(group) }
            { rebalance::sheet(&app.screen, group) }
            <section>
                <h3>{ "Committed offsets" }</h3>
                if group.committed.is_empty() {
                    <p class="quiet">{ "None yet." }</p>
                } else {
                    <table class="table offsets">
                        <thead><tr><th>{ "Partition" }</th><th>{ "Committed" }</th><th>{ "End" }</th><th>{ "Lag" }</th></tr></thead>
                        <tbody>
                            { for group.committed.iter().map(|committed| {
                                let end = app.screen.partition(&committed.topic, committed.partition).map(|partition| partition.high_watermark);
                                html! {
                                    <tr>
                                        <td><code>{ format!("{}-{}", committed.topic, committed.partition) }</code></td>
                                        <td>{ text::grouped(committed.offset) }</td>
                                        <td>{ end.map_or("–".into(), text::grouped) }</td>
                                        <td>{ end.map_or("–".into(), |end| text::grouped((end - committed.offset).max(0))) }</td>
                                    </tr>
                                }
                            }) }
                        </tbody>
                    </table>
                }
            </section>
            { events::list(&happenings) }
        </Sheet>
    }
}

fn members(group: &Group) -> Html {
    if group.members.is_empty() {
        return html! { <section><h3>{ "Members" }</h3><p class="quiet">{ "None." }</p></section> };
    }
    html! {
        <section>
            <h3>{ "Members" }</h3>
            <table class="table members">
                <thead><tr><th>{ "Member" }</th><th>{ "State" }</th><th>{ "Partitions" }</th></tr></thead>
                <tbody>
                    { for group.members.iter().map(|member| html! {
                        <tr key={&*member.member_id}>
                            <td>
                                { member.client_id.clone() }
                                if member.leader { <small>{ " leader" }</small> }
                                if let Some(instance) = &member.instance { <small>{ format!(" static: {instance}") }</small> }
                            </td>
                            <td>{ member.state.clone() }</td>
                            <td>{ held(member) }</td>
                        </tr>
                    }) }
                </tbody>
            </table>
        </section>
    }
}

/// What a member reads, and of what else there is something to say.
fn held(member: &Member) -> String {
    let words = |assigned: &Assigned| {
        let at = format!("{}-{}", assigned.topic, assigned.partition);
        match assigned.hold {
            Hold::Reads => at,
            Hold::Leaving => format!("{at} (to give back)"),
            Hold::GivenBack { .. } => format!("{at} (given back)"),
            Hold::Awaited => format!("{at} (awaited)"),
        }
    };
    member.assignment.iter().map(words).collect::<Vec<_>>().join(", ")
}

pub fn member(app: &App, group: &str, member_id: &str) -> Html {
    let found = app.screen.groups.iter().find(|known| &*known.id == group);
    let Some(member) = found.and_then(|group| group.members.iter().find(|member| &*member.member_id == member_id))
    else {
        return Html::default();
    };
    html! { <MemberPanel member={member.clone()} group={Rc::<str>::from(group)} /> }
}

#[derive(PartialEq, Properties)]
struct MemberProps {
    member: Rc<Member>,
    group: Rc<str>,
}

#[component]
fn MemberPanel(props: &MemberProps) -> Html {
    let ui = use_ui();
    let member = &props.member;
    let mut rows = vec![
        ("Group", props.group.to_string()),
        ("State", member.state.to_string()),
        ("Instance id", member.instance.as_deref().unwrap_or("none: a dynamic member").to_owned()),
        ("Leader", if member.leader { "yes, it computes the assignment" } else { "no" }.to_owned()),
        ("Member id", member.member_id.to_string()),
    ];
    if let Some(copies) = &member.copies {
        rows.push(("Copies", format!("{} to {}", copies.from, copies.to)));
        rows.push(("Records copied", text::grouped(copies.copied as i64)));
        rows.push(("Transactional id", copies.transactions.id.to_string()));
        rows.push(("Transaction", if copies.is_open { "open" } else { "none open" }.to_owned()));
        rows.push(("Records in the last one", text::grouped(copies.transactions.records as i64)));
        rows.push(("Committed", text::grouped(copies.transactions.committed as i64)));
        rows.push(("Aborted", text::grouped(copies.transactions.aborted as i64)));
    } else {
        rows.push(("Records read", text::grouped(member.read as i64)));
    }
    html! {
        <Sheet title={member.client_id.to_string()} subtitle={if member.copies.is_some() { "Copier" } else { "Group member" }}>
            { facts(&rows) }
            if let Some(actor) = &member.actor {
                <div class="actions">
                    if member.copies.is_none() {
                        <button class="button" onclick={ui.on_command(Command::PauseMember { actor: actor.clone(), paused: member.running })}>
                            { if member.running { "Pause fetching" } else { "Fetch again" } }
                        </button>
                    }
                    <button class="button" onclick={ui.on_command(Command::Remove { actor: actor.clone() })}>{ "Leave the group" }</button>
                </div>
            }
            <section>
                <h3>{ "Assignment" }</h3>
                if member.assignment.is_empty() {
                    <p class="quiet">{ "Nothing." }</p>
                } else {
                    <table class="table">
                        <thead><tr><th>{ "Partition" }</th><th>{ "Reads next" }</th><th>{ "Lag" }</th></tr></thead>
                        <tbody>
                            { for member.assignment.iter().map(|assigned| {
                                let selection = Selection::Partition { topic: assigned.topic.clone(), partition: assigned.partition };
                                html! {
                                    <tr>
                                        <td><button class="button plain slim" onclick={ui.on_select(selection)}><code>{ format!("{}-{}", assigned.topic, assigned.partition) }</code></button></td>
                                        <td>{ assigned.position.map_or("–".into(), text::grouped) }</td>
                                        <td>{ assigned.lag.map_or("–".into(), text::grouped) }</td>
                                    </tr>
                                }
                            }) }
                        </tbody>
                    </table>
                }
            </section>
        </Sheet>
    }
}
