//! The broker, a partition, and the legend that stands where nothing was chosen.

use shore_view::api::Kind;
use shore_view::message::{Details, PartitionDetails, SegmentDetails};
use shore_view::state::App;
use shore_view::text;
use yew::prelude::*;

use super::{Sheet, facts, pending};

pub fn broker(app: &App) -> Html {
    let broker = &app.screen.broker;
    let topics = app.screen.topics.iter().filter(|topic| !topic.internal).count();
    let partitions: usize = app.screen.topics.iter().map(|topic| topic.partitions.len()).sum();
    let rows = [
        ("Cluster id", broker.cluster_id.to_string()),
        ("State", if broker.ready { "serving clients" } else { "starting" }.to_owned()),
        ("Connections", text::grouped(i64::from(broker.connections))),
        ("Requests served", text::grouped(broker.requests as i64)),
        ("Topics", text::grouped(topics as i64)),
        ("Partitions, internal too", text::grouped(partitions as i64)),
        ("Wall clock", text::timestamp(app.screen.clock.wall_millis)),
    ];
    html! {
        <Sheet title={format!("Broker {}", broker.node)} subtitle="A KRaft cluster of one: broker and controller">
            { facts(&rows) }
        </Sheet>
    }
}

pub fn partition(app: &App, topic: &str, index: i32, details: Option<&Details>) -> Html {
    let Some(partition) = app.screen.partition(topic, index) else { return Html::default() };
    let rows = [
        ("Log start offset", text::grouped(partition.log_start)),
        ("High watermark", text::grouped(partition.high_watermark)),
        ("Durable end", text::grouped(partition.durable_end)),
        ("Log end offset", text::grouped(partition.log_end)),
        ("Leader epoch", partition.leader_epoch.to_string()),
        ("Size", text::size(partition.bytes)),
        ("Segments", partition.segments.to_string()),
    ];
    let files = match details {
        Some(Details::Partition(found)) => segments(found),
        other => pending(other),
    };
    html! {
        <Sheet title={format!("{topic}-{index}")} subtitle="Partition">
            { facts(&rows) }
            <section><h3>{ "Segments and files" }</h3>{ files }</section>
        </Sheet>
    }
}

fn segments(found: &PartitionDetails) -> Html {
    html! {
        <>
            <p class="small quiet"><code>{ found.directory.clone() }</code></p>
            <ul class="records">{ for found.segments.iter().map(segment) }</ul>
        </>
    }
}

fn segment(segment: &SegmentDetails) -> Html {
    html! {
        <li class="record">
            <header>
                <b>{ format!("{} to {}", text::grouped(segment.base_offset), text::grouped(segment.end_offset)) }</b>
                <span>{ text::size(segment.bytes) }{ if segment.active { ", active" } else { "" } }</span>
            </header>
            { for segment.files.iter().map(|file| html! { <p class="small"><code>{ file.clone() }</code></p> }) }
        </li>
    }
}

/// Stands where nothing was chosen.
#[component]
pub fn Legend() -> Html {
    html! {
        <div class="panel">
            <header><div>
                <h2>{ "What you see" }</h2>
                <p class="small quiet">{ "Click anything to look into it." }</p>
            </div></header>
            <Marks />
        </div>
    }
}

/// What the marks of the stage mean.
#[component]
pub fn Marks() -> Html {
    let kinds = [
        (Kind::Produce, "records on their way to a partition"),
        (Kind::Fetch, "a consumer asks; records come back"),
        (Kind::Group, "joining, syncing, heartbeats"),
        (Kind::Offsets, "how far a group has read"),
        (Kind::Metadata, "who leads what, which versions"),
        (Kind::Admin, "topics, configs, producer ids"),
    ];
    html! {
        <>
            <section>
                <h3>{ "On the tapes" }</h3>
                <ul class="legend">
                    <li><span class="batch">{ "42" }</span><span>{ "A record batch and its first offset. The newest is on the right." }</span></li>
                    <li><span class="batch hidden-yet">{ "43" }</span><span>{ "At or above the high watermark: no consumer may read it yet." }</span></li>
                    <li><i class="mark mark-0"></i><span>{ "The next record a group member will read. Its colour is on the member's card." }</span></li>
                </ul>
            </section>
            <section>
                <h3>{ "On the way" }</h3>
                <ul class="legend">
                    { for kinds.iter().map(|(kind, what)| html! {
                        <li><i class={format!("swatch kind-{}", kind.slug())}></i><span><b>{ kind.label() }</b>{ ": " }{ *what }</span></li>
                    }) }
                </ul>
                <p class="small quiet">{ "A bar carries records, a dot asks, a ring answers." }</p>
            </section>
        </>
    }
}
