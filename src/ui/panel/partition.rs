//! A partition: its whole log, the producers that it knows, its files.

use std::rc::Rc;

use shore_view::extent::{self, Extent};
use shore_view::happening::{About, Happening};
use shore_view::message::{Details, PartitionDetails, ProducerState, Question, SegmentDetails};
use shore_view::model::{Cleaning, Partition};
use shore_view::state::{App, Dialog};
use shore_view::text;
use yew::prelude::*;

use super::{Sheet, events, facts};
use crate::ui::context::{use_question, use_ui};

pub fn partition(app: &App, topic: &Rc<str>, index: i32) -> Html {
    let Some(partition) = app.screen.partition(topic, index) else { return Html::default() };
    let details = app.details.as_ref().filter(|details| match &***details {
        // An answer about another partition may still have been on its way.
        Details::Partition(found) => found.directory.ends_with(&format!("/{topic}-{index}")),
        _ => true,
    });
    html! {
        <PartitionPanel topic={topic.clone()} partition={partition.clone()} details={details.cloned()}
            internal={app.screen.topic(topic).is_some_and(|topic| topic.internal)}
            happenings={events::of(app, &About::Partition(topic.clone(), index))} />
    }
}

#[derive(PartialEq, Properties)]
struct PartitionProps {
    topic: Rc<str>,
    partition: Rc<Partition>,
    internal: bool,
    details: Option<Rc<Details>>,
    happenings: Vec<Rc<Happening>>,
}

#[component]
fn PartitionPanel(props: &PartitionProps) -> Html {
    let ui = use_ui();
    let (topic, partition) = (&props.topic, &props.partition);
    let index = partition.index;
    use_question(Question::Partition { topic: topic.clone(), partition: index }, partition.clone());
    let rows = [
        ("Log start offset", text::grouped(partition.log_start)),
        ("Last stable offset", text::grouped(partition.last_stable)),
        ("High watermark", text::grouped(partition.high_watermark)),
        ("Durable end", text::grouped(partition.durable_end)),
        ("Log end offset", text::grouped(partition.log_end)),
        ("Leader epoch", partition.leader_epoch.to_string()),
        ("Size", text::size(partition.bytes)),
    ];
    let delete = Dialog::DeleteRecords { topic: topic.clone(), partition: index, offset: partition.high_watermark };
    let found = match props.details.as_deref() {
        Some(Details::Partition(found)) => Some(found),
        _ => None,
    };
    html! {
        <Sheet title={format!("{topic}-{index}")} subtitle="Partition">
            if let Some(found) = found {
                { log(partition, found) }
            }
            if !props.internal {
                <div class="actions">
                    <button class="button" disabled={partition.high_watermark == partition.log_start} onclick={ui.on_open(delete)}>{ "Delete records" }</button>
                </div>
            }
            { facts(&rows) }
            if let Some(cleaning) = &partition.cleaning {
                { compaction(cleaning) }
            }
            if let Some(found) = found {
                { producers(&found.producers) }
                { events::list(&props.happenings) }
                <section><h3>{ "Segments and files" }</h3>{ segments(found) }</section>
            } else {
                { super::pending(props.details.as_deref()) }
            }
        </Sheet>
    }
}

const WIDTH: f64 = 320.0;

/// The log from its start to its end, segments by their bytes.
fn log(partition: &Partition, found: &PartitionDetails) -> Html {
    let extent = extent::lay_out(&found.segments, found.cleaning.as_ref(), WIDTH);
    let marks = [
        ("start", "log start", partition.log_start),
        ("stable", "last stable offset", partition.last_stable),
        ("watermark", "high watermark", partition.high_watermark),
    ];
    // One mark where two lie at the same offset.
    let marks: Vec<_> =
        marks.iter().filter(|(slug, _, offset)| *slug != "stable" || *offset < partition.high_watermark).collect();
    let label =
        format!("Log of {} segments, offsets {} to {}", found.segments.len(), partition.log_start, partition.log_end);
    html! {
        <figure class="extent">
            <svg viewBox={format!("-5 0 {} 44", WIDTH + 10.0)} role="img" aria-label={label}>
                { pieces(&extent) }
                { for marks.iter().map(|(slug, what, offset)| {
                    let x = extent.x_of(*offset);
                    html! {
                        <g key={*slug} class={format!("at {slug}")}>
                            <title>{ format!("{what} {offset}") }</title>
                            <path d={format!("M{x:.1} 2v34M{:.1} 42l4-6 4 6z", x - 4.0)} />
                        </g>
                    }
                }) }
            </svg>
            <figcaption class="small">
                { for extent.looks().iter().map(|look| html! { <span key={look.slug()}><i class={format!("swatch look-{}", look.slug())}></i>{ look.label() }</span> }) }
                { for marks.iter().map(|(slug, what, _)| html! { <span key={*slug}><i class={format!("swatch at-{slug}")}></i>{ *what }</span> }) }
            </figcaption>
        </figure>
    }
}

fn pieces(extent: &Extent) -> Html {
    html! {
        { for extent.pieces.iter().map(|piece| html! {
            <rect key={piece.base_offset} class={format!("look-{}", piece.look.slug())} x={format!("{:.1}", piece.x)} y="6"
                width={format!("{:.1}", piece.width)} height="24" rx="2">
                <title>{ format!("Segment {} to {}, {}", piece.base_offset, piece.end_offset, piece.look.label()) }</title>
            </rect>
        }) }
    }
}

fn compaction(cleaning: &Cleaning) -> Html {
    let rows = [
        ("Dirty", format!("{}, {}%", text::size(cleaning.dirty_bytes), cleaning.dirty_percent())),
        ("Clean", text::size(cleaning.clean_bytes)),
        ("First dirty offset", text::grouped(cleaning.first_dirty)),
        ("Cleanable up to", text::grouped(cleaning.first_uncleanable)),
        ("Log cleaner", if cleaning.under_way { "at work on it" } else { "waits" }.to_owned()),
    ];
    html! { <section><h3>{ "Compaction" }</h3>{ facts(&rows) }</section> }
}

fn producers(producers: &[ProducerState]) -> Html {
    if producers.is_empty() {
        return Html::default();
    }
    html! {
        <section>
            <h3>{ "Producers and their last batch" }</h3>
            <table class="table">
                <thead><tr><th>{ "Id" }</th><th>{ "Epoch" }</th><th>{ "Sequence" }</th><th>{ "Offset" }</th><th>{ "Open from" }</th></tr></thead>
                <tbody>
                    { for producers.iter().map(|producer| html! {
                        <tr key={producer.id}>
                            <td>{ producer.id }</td>
                            <td>{ producer.epoch }</td>
                            <td>{ number(i64::from(producer.last_sequence)) }</td>
                            <td>{ number(producer.last_offset) }</td>
                            <td>{ producer.transaction_start.map_or("none".into(), text::grouped) }</td>
                        </tr>
                    }) }
                </tbody>
            </table>
        </section>
    }
}

fn number(number: i64) -> String {
    if number < 0 { "\u{2013}".into() } else { text::grouped(number) }
}

fn segments(found: &PartitionDetails) -> Html {
    html! {
        <>
            <p class="small quiet"><code>{ found.directory.clone() }</code></p>
            <ul class="records">{ for found.segments.iter().rev().map(segment) }</ul>
        </>
    }
}

fn segment(segment: &SegmentDetails) -> Html {
    html! {
        <li class="record" key={segment.base_offset}>
            <header>
                <b>{ format!("{} to {}", text::grouped(segment.base_offset), text::grouped(segment.end_offset)) }</b>
                <span>{ text::size(segment.bytes) }{ if segment.active { ", active" } else { "" } }</span>
            </header>
            if let Some(newest) = segment.newest_millis {
                <p class="small quiet">{ "newest record " }<time>{ text::timestamp(newest) }</time></p>
            }
            { for segment.files.iter().map(|file| html! { <p class="small"><code>{ file.clone() }</code></p> }) }
        </li>
    }
}
