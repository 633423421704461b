//! The broker, and the legend that stands where nothing was chosen.

use shore_view::api::Kind;
use shore_view::happening::About;
use shore_view::state::App;
use shore_view::text;
use yew::prelude::*;

use super::{Sheet, events, facts};

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
            { events::list(&events::of(app, &About::Broker)) }
        </Sheet>
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
                    <li><span class="batch fate-open">{ "44" }</span><span>{ "Of an open transaction. " }<code>{ "read_committed" }</code>{ " readers wait before it." }</span></li>
                    <li><span class="batch fate-aborted">{ "45" }</span><span>{ "Aborted: no reader of what is committed gets to see it." }</span></li>
                    <li><span class="batch fate-commit-marker">{ "C" }</span><span>{ "The marker that committed a transaction; A for one that aborted it." }</span></li>
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
