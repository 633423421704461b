//! One partition as a tape of batches.

use std::rc::Rc;

use shore_view::model::{Fate, Partition};
use shore_view::state::Selection;
use shore_view::tape::{Block, lay_out};
use shore_view::text;
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlElement, ResizeObserver};
use yew::prelude::*;

use super::browser;
use super::context::{Ui, use_ui};
use super::stage::mark_class;

/// Where a member stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Marker {
    pub partition: i32,
    pub offset: i64,
    pub place: usize,
    pub who: Rc<str>,
}

#[derive(PartialEq, Properties)]
pub struct PartitionProps {
    pub topic: Rc<str>,
    pub partition: Rc<Partition>,
    pub markers: Vec<Marker>,
    pub chosen: Option<Option<i64>>,
}

#[component]
pub fn PartitionRow(props: &PartitionProps) -> Html {
    let ui = use_ui();
    let (rail, track) = (use_node_ref(), use_node_ref());
    let room = use_width(&rail);
    let partition = &props.partition;
    let tape = lay_out(partition, (room - 8.0).max(0.0));
    let newest = tape.blocks.last();
    let fresh = use_fresh(newest.map(|block| block.batch.base_offset));
    use_slide(newest.map(|block| block.batch.base_offset), newest.map_or(0.0, |block| block.width), &track);
    let selection = Selection::Partition { topic: props.topic.clone(), partition: partition.index };
    let name = format!("{}-{}", props.topic, partition.index);
    html! {
        <div class="partition" data-anchor={format!("partition:{name}")}>
            <button class={classes!("index", (props.chosen == Some(None)).then_some("chosen"))}
                aria-label={format!("Partition {}", partition.index)} onclick={ui.on_select(selection)}>
                { partition.index }
            </button>
            <div class="tape" ref={rail} role="toolbar" aria-label={format!("Batches of {name}")} onkeydown={Callback::from(move_focus)}>
                if partition.log_end == partition.log_start {
                    <span class="start">{ if partition.log_end == 0 { "empty".into() } else { format!("empty from {}", partition.log_start) } }</span>
                }
                <div class="track" ref={track} style={format!("width:{:.0}px;right:4px", tape.width)}>
                    { for tape.blocks.iter().enumerate().map(|(place, block)| batch(&ui, props, block, place + 1 == tape.blocks.len(), block.batch.base_offset > fresh)) }
                    { for props.markers.iter().filter(|marker| tape.oldest_offset().is_some_and(|oldest| marker.offset >= oldest)).map(|marker| html! {
                        <i key={format!("at {}", marker.who)} class={classes!("mark", "position", mark_class(marker.place))}
                            style={format!("left:{:.1}px", tape.x_of(marker.offset))}
                            title={format!("{} reads {} next", marker.who, marker.offset)}></i>
                    }) }
                    if partition.last_stable < partition.high_watermark && tape.oldest_offset().is_some_and(|oldest| partition.last_stable >= oldest) {
                        <i class="stable" style={format!("left:{:.1}px", tape.x_of(partition.last_stable))}
                            title={format!("last stable offset {}: read_committed goes no further", partition.last_stable)}></i>
                    }
                </div>
            </div>
            <p class="ends" title={format!("log start {}, last stable {}, high watermark {}, log end {}", partition.log_start, partition.last_stable, partition.high_watermark, partition.log_end)}>
                <b>{ text::grouped(partition.log_end) }</b>
                <span>{ if partition.high_watermark == partition.log_end { text::size(partition.bytes) } else { format!("hw {}", text::grouped(partition.high_watermark)) } }</span>
            </p>
        </div>
    }
}

fn batch(ui: &Ui, props: &PartitionProps, block: &Block, newest: bool, fresh: bool) -> Html {
    let (partition, batch) = (&props.partition, &block.batch);
    let chosen = props.chosen == Some(Some(batch.base_offset));
    let selection =
        Selection::Batch { topic: props.topic.clone(), partition: partition.index, offset: batch.base_offset };
    let label = if batch.records == 1 {
        format!("Offset {}, 1 record, {}", batch.base_offset, text::size(u64::from(batch.bytes)))
    } else {
        format!(
            "Offsets {} to {}, {} records, {}",
            batch.base_offset,
            batch.last_offset,
            batch.records,
            text::size(u64::from(batch.bytes))
        )
    };
    let label = format!("{label}{}", fate_words(batch.fate));
    html! {
        <button key={batch.base_offset} tabindex={if newest { "0" } else { "-1" }}
            class={classes!("batch", fresh.then_some("fresh"), fate_class(batch.fate), (!block.visible).then_some("hidden-yet"), chosen.then_some("chosen"))}
            style={format!("left:{:.1}px;width:{:.1}px", block.x, block.width)}
            title={label.clone()} aria-label={label} onclick={ui.on_select(selection)}>
            { match batch.fate {
                Fate::CommitMarker => html! { "C" },
                Fate::AbortMarker => html! { "A" },
                _ => html! { { batch.base_offset } },
            } }
        </button>
    }
}

const fn fate_class(fate: Fate) -> Option<&'static str> {
    match fate {
        Fate::Plain | Fate::Committed => None,
        Fate::Open => Some("fate-open"),
        Fate::Aborted => Some("fate-aborted"),
        Fate::CommitMarker => Some("fate-commit-marker"),
        Fate::AbortMarker => Some("fate-abort-marker"),
    }
}

const fn fate_words(fate: Fate) -> &'static str {
    match fate {
        Fate::Plain => "",
        Fate::Open => ", in an open transaction",
        Fate::Committed => ", in a committed transaction",
        Fate::Aborted => ", aborted",
        Fate::CommitMarker => ", the marker of a commit",
        Fate::AbortMarker => ", the marker of an abort",
    }
}

/// The newest offset before the last change: what lies beyond it has just come.
#[hook]
fn use_fresh(newest: Option<i64>) -> i64 {
    let seen = use_mut_ref(|| (newest, newest));
    let mut seen = seen.borrow_mut();
    if seen.1 != newest {
        *seen = (seen.1, newest);
    }
    seen.0.unwrap_or(-1)
}

/// Moves the tape to the left when a batch came, instead of letting it jump there.
#[hook]
fn use_slide(newest: Option<i64>, by: f64, track: &NodeRef) {
    let track = track.clone();
    let before = use_mut_ref(|| newest);
    use_effect_with(newest, move |&newest| {
        let known = before.replace(newest);
        if known.is_some()
            && known < newest
            && let Some(track) = track.cast::<Element>()
        {
            browser::slide(&track, &format!("translateX({by:.0}px)"), 320.0);
        }
    });
}

/// The width of an element, kept up to date.
#[hook]
fn use_width(node: &NodeRef) -> f64 {
    let width = use_state(|| 0.0);
    let (node, set) = (node.clone(), width.setter());
    use_effect_with((), move |()| {
        let element = node.cast::<HtmlElement>();
        let measured = element.clone();
        let on_resize = Closure::<dyn Fn()>::new(move || {
            if let Some(element) = &measured {
                set.set(f64::from(element.client_width()));
            }
        });
        let observer = ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, &element) {
            observer.observe(element);
        }
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop(on_resize);
        }
    });
    *width
}

/// The arrow keys walk along a tape; Tab leaves it.
fn move_focus(event: KeyboardEvent) {
    let focused = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let Some(batch) = focused.filter(|element| element.class_list().contains("batch")) else { return };
    let next = match event.key().as_str() {
        "ArrowLeft" => batch.previous_element_sibling(),
        "ArrowRight" => batch.next_element_sibling(),
        _ => return,
    };
    event.prevent_default();
    if let Some(next) = next.and_then(|next| next.dyn_into::<HtmlElement>().ok()) {
        let _ = next.focus();
    }
}
