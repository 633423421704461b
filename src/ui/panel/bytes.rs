//! Batches and requests, down to their bytes.

use std::rc::Rc;

use shore_view::api::{self, Kind};
use shore_view::fields::Field;
use shore_view::message::{BatchDetails, Details, FrameDetails, RecordDetails};
use shore_view::state::{App, Dialog};
use shore_view::text;
use yew::prelude::*;

use super::{Sheet, facts, pending};
use crate::ui::context::use_ui;

pub fn batch(topic: &Rc<str>, partition: i32, offset: i64, details: Option<&Details>) -> Html {
    let title = format!("Batch at {}", text::grouped(offset));
    let subtitle = format!("{topic}-{partition}");
    let content = match details {
        Some(Details::Batch(batch)) => html! { <BatchBody batch={Rc::new(batch.clone())} /> },
        other => pending(other),
    };
    html! {
        <Sheet {title} {subtitle}>
            <DeleteBefore topic={topic.clone()} {partition} {offset} />
            { content }
        </Sheet>
    }
}

#[derive(PartialEq, Properties)]
struct DeleteBeforeProps {
    topic: Rc<str>,
    partition: i32,
    offset: i64,
}

#[component]
fn DeleteBefore(props: &DeleteBeforeProps) -> Html {
    let ui = use_ui();
    let DeleteBeforeProps { topic, partition, offset } = props;
    let dialog = Dialog::DeleteRecords { topic: topic.clone(), partition: *partition, offset: *offset };
    html! {
        <div class="actions">
            <button class="button" onclick={ui.on_open(dialog)}>{ "Delete what is before it" }</button>
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct BatchProps {
    batch: Rc<BatchDetails>,
}

#[component]
fn BatchBody(props: &BatchProps) -> Html {
    let batch = &props.batch;
    html! {
        <>
            <section>
                <h3>{ format!("Records ({})", text::grouped(i64::from(batch.total_records))) }</h3>
                if let Some(why) = &batch.unreadable {
                    <p class="quiet">{ why.clone() }</p>
                }
                <ul class="records">{ for batch.records.iter().map(record) }</ul>
                if batch.records.len() < batch.total_records as usize {
                    <p class="small quiet">{ format!("and {} more", batch.total_records as usize - batch.records.len()) }</p>
                }
            </section>
            <Dissection title="Header" fields={batch.fields.clone()} bytes={batch.bytes.clone()} total={batch.total_bytes} />
        </>
    }
}

fn record(record: &RecordDetails) -> Html {
    html! {
        <li class="record" key={record.offset}>
            <header>
                <b>{ text::grouped(record.offset) }</b>
                <time class="small">{ text::timestamp(record.timestamp) }</time>
            </header>
            <dl>
                <dt>{ "key" }</dt>{ value(record.key.as_ref()) }
                <dt>{ "value" }</dt>{ value(record.value.as_ref()) }
                { for record.headers.iter().map(|(name, content)| html! {
                    <><dt>{ "header" }</dt><dd>{ name.clone() }{ ": " }{ content.clone().unwrap_or_else(|| "null".into()) }</dd></>
                }) }
            </dl>
        </li>
    }
}

fn value(text: Option<&Rc<str>>) -> Html {
    match text {
        Some(text) if text.is_empty() => html! { <dd class="null">{ "empty" }</dd> },
        Some(text) => html! { <dd>{ text.clone() }</dd> },
        None => html! { <dd class="null">{ "null" }</dd> },
    }
}

pub fn exchange(app: &App, id: u64, details: Option<&Details>) -> Html {
    let Some(exchange) = app.log.iter().find(|exchange| exchange.id == id) else {
        return html! { <Sheet title="Request"><p class="quiet">{ "It has left the log." }</p></Sheet> };
    };
    let title = format!("{} v{}", api::name(exchange.api_key), exchange.version);
    let mut rows = vec![
        ("From", exchange.client.to_string()),
        ("Sent at", text::clock(exchange.sent_micros)),
        ("Correlation id", exchange.correlation.to_string()),
    ];
    match &exchange.answer {
        Some(answer) => {
            rows.push(("Answered after", text::duration(answer.micros)));
            rows.push(("Error", answer.error.as_deref().unwrap_or("none").to_owned()));
        }
        None => rows.push(("Answered after", "it waits".into())),
    }
    let content = match details {
        Some(Details::Exchange(found)) => html! {
            <>
                <FrameBody title="Request" frame={Rc::new(found.request.clone())} />
                if let Some(response) = &found.response {
                    <FrameBody title="Response" frame={Rc::new(response.clone())} />
                }
            </>
        },
        other => pending(other),
    };
    html! {
        <Sheet {title} subtitle={exchange.about.to_string()}>
            <p class={format!("group kind-{}", Kind::of(exchange.api_key).slug())}>
                <i class="swatch"></i>{ Kind::of(exchange.api_key).label() }
            </p>
            { facts(&rows) }
            { content }
        </Sheet>
    }
}

#[derive(PartialEq, Properties)]
struct FrameProps {
    title: AttrValue,
    frame: Rc<FrameDetails>,
}

#[component]
fn FrameBody(props: &FrameProps) -> Html {
    let frame = &props.frame;
    html! { <Dissection title={props.title.clone()} fields={frame.fields.clone()} bytes={frame.bytes.clone()} total={frame.total_bytes} /> }
}

#[derive(PartialEq, Properties)]
struct DissectionProps {
    title: AttrValue,
    fields: Vec<Field>,
    bytes: Vec<u8>,
    total: u64,
}

/// Fields beside their bytes: pointing at a field lights its bytes up.
#[component]
fn Dissection(props: &DissectionProps) -> Html {
    let lit = use_state(|| None::<(u32, u32)>);
    let light = |range: Option<(u32, u32)>| {
        let lit = lit.clone();
        Callback::from(move |_: MouseEvent| lit.set(range))
    };
    html! {
        <section>
            <h3>{ props.title.clone() }{ " " }<span class="quiet small">{ text::size(props.total) }</span></h3>
            <table class="fields" onmouseleave={light(None)}>
                <tbody>
                    { for props.fields.iter().enumerate().map(|(place, field)| html! {
                        <tr key={place} onmouseenter={light(field.bytes)}
                            class={classes!((field.bytes.is_some() && field.bytes == *lit).then_some("lit"))}>
                            <td class={format!("depth-{}", field.depth.min(5))}>{ field.name.clone() }</td>
                            <td>
                                <span class="value">{ field.value.clone() }</span>
                                if !field.meaning.is_empty() {
                                    <small>{ field.meaning.clone() }</small>
                                }
                            </td>
                        </tr>
                    }) }
                </tbody>
            </table>
            { hex(&props.bytes, *lit) }
            if (props.bytes.len() as u64) < props.total {
                <p class="small quiet">{ format!("the first {} of {}", text::size(props.bytes.len() as u64), text::size(props.total)) }</p>
            }
        </section>
    }
}

const BYTES_PER_LINE: usize = 8;

fn hex(bytes: &[u8], lit: Option<(u32, u32)>) -> Html {
    let is_lit = |at: usize| lit.is_some_and(|(start, len)| (start as usize..(start + len) as usize).contains(&at));
    html! {
        <pre class="hex" tabindex="0" aria-label="Bytes">
            { for bytes.chunks(BYTES_PER_LINE).enumerate().map(|(row, line)| {
                let start = row * BYTES_PER_LINE;
                let padding = " ".repeat(3 * (BYTES_PER_LINE - line.len()));
                let letters: String = line.iter().map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { byte as char } else { '·' }).collect();
                html! {
                    <>
                        <span class="offset">{ format!("{start:04x}  ") }</span>
                        { for line.iter().enumerate().map(|(place, byte)| {
                            let text = format!("{byte:02x}");
                            if is_lit(start + place) { html! { <><mark>{ text }</mark>{ " " }</> } } else { html! { { format!("{text} ") } } }
                        }) }
                        { padding }
                        <span class="offset">{ " " }</span>{ letters }{ "\n" }
                    </>
                }
            }) }
        </pre>
    }
}
