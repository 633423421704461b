//! One partition as a tape of batches.

use std::rc::Rc;

use gloo_timers::callback::Timeout;
use shore_view::model::{Fate, Partition};
use shore_view::state::Selection;
use shore_view::tape::{Block, Tape, lay_out};
use shore_view::text;
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlElement, IntersectionObserver, IntersectionObserverEntry, NodeList};
use yew::prelude::*;

use super::browser;
use super::context::{Ui, use_ui};
use super::size::use_size;
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
    let rail = use_node_ref();
    let seen = use_seen(&rail);
    let partition = use_calm(&props.partition, seen);
    let selection = Selection::Partition { topic: props.topic.clone(), partition: partition.index };
    let name = format!("{}-{}", props.topic, partition.index);
    html! {
        <div class="partition" data-anchor={format!("partition:{name}")}>
            <button class={classes!("index", (props.chosen == Some(None)).then_some("chosen"))}
                aria-label={format!("Partition {}", partition.index)} onclick={ui.on_select(selection)}>
                { partition.index }
            </button>
            <div class="tape" ref={rail.clone()} role="toolbar" aria-label={format!("Batches of {name}")} onkeydown={Callback::from(move_focus)}>
                if partition.log_end == partition.log_start {
                    <span class="start">{ if partition.log_end == 0 { "empty".into() } else { format!("empty from {}", partition.log_start) } }</span>
                }
                <Track rail={rail} topic={props.topic.clone()} partition={partition.clone()} markers={props.markers.clone()} chosen={props.chosen.flatten()} />
            </div>
            <p class="ends" title={format!("log start {}, last stable {}, high watermark {}, log end {}", partition.log_start, partition.last_stable, partition.high_watermark, partition.log_end)}>
                <b>{ text::grouped(partition.log_end) }</b>
                <span>{ if partition.high_watermark == partition.log_end { text::size(partition.bytes) } else { format!("hw {}", text::grouped(partition.high_watermark)) } }</span>
            </p>
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct TrackProps {
    rail: NodeRef,
    topic: Rc<str>,
    partition: Rc<Partition>,
    markers: Vec<Marker>,
    /// The first offset of the batch in the panel.
    chosen: Option<i64>,
}

#[component]
fn Track(props: &TrackProps) -> Html {
    let ui = use_ui();
    let track = use_node_ref();
    let (room, _) = use_size(&props.rail);
    let partition = &props.partition;
    let tape = lay_out(partition, (room - 8.0).max(0.0));
    let fresh = use_arrivals(&tape, &track);
    html! {
        <div class="track" ref={track} style={format!("width:{:.0}px;right:4px", tape.width)}>
            <>{ for tape.blocks.iter().enumerate().map(|(place, block)| batch(&ui, props, block, place + 1 == tape.blocks.len(), block.batch.base_offset > fresh)) }</>
            <>{ for props.markers.iter().filter(|marker| tape.oldest_offset().is_some_and(|oldest| marker.offset >= oldest)).map(|marker| html! {
                <i key={format!("at {}", marker.who)} class={classes!("mark", "position", mark_class(marker.place))}
                    style={format!("left:{:.1}px", tape.x_of(marker.offset))}
                    title={format!("{} reads {} next", marker.who, marker.offset)}></i>
            }) }</>
            if partition.last_stable < partition.high_watermark && tape.oldest_offset().is_some_and(|oldest| partition.last_stable >= oldest) {
                <i class="stable" style={format!("left:{:.1}px", tape.x_of(partition.last_stable))}
                    title={format!("last stable offset {}: read_committed goes no further", partition.last_stable)}></i>
            }
        </div>
    }
}

fn batch(ui: &Ui, props: &TrackProps, block: &Block, newest: bool, fresh: bool) -> Html {
    let (partition, batch) = (&props.partition, &block.batch);
    let chosen = props.chosen == Some(batch.base_offset);
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

/// Shows what has just come: the tape moves to the left for it instead of jumping, and it stands out for a while. Says
/// beyond which offset. Where more comes than an eye can follow nothing moves: each movement would be drawn for hundreds
/// of milliseconds, and there would be no end to them.
#[hook]
fn use_arrivals(tape: &Tape, track: &NodeRef) -> i64 {
    let newest = tape.blocks.last().map(|block| block.batch.base_offset);
    let seen = use_mut_ref(|| (newest, newest));
    if seen.borrow().1 != newest {
        let before = seen.borrow().1;
        *seen.borrow_mut() = (before, newest);
    }
    let known = seen.borrow().0;
    let come = tape.blocks.iter().rev().take_while(|block| Some(block.batch.base_offset) > known).count();
    let few = known.is_some() && come <= MOST_ARRIVALS;
    let by = tape.blocks.last().filter(|_| few).map_or(0.0, |block| block.width);
    let track = track.clone();
    let before = use_mut_ref(|| newest);
    use_effect_with(newest, move |&newest| {
        if before.replace(newest) < newest
            && by > 0.0
            && let Some(track) = track.cast::<Element>()
        {
            browser::slide(&track, &format!("translateX({by:.0}px)"), 320.0);
        }
    });
    if few { known.unwrap_or(-1) } else { i64::MAX }
}

/// Batches that come to one tape at once and are still told apart.
const MOST_ARRIVALS: usize = 3;

/// A tape that nobody sees is drawn so often.
const CALM_MILLIS: f64 = 1_000.0;

/// What is to be drawn of a partition: what it is, or what it lately was while nobody sees it.
#[hook]
fn use_calm(live: &Rc<Partition>, seen: bool) -> Rc<Partition> {
    let again = use_force_update();
    let now = browser::now_millis();
    let drawn = use_mut_ref(|| (live.clone(), now, None::<Timeout>));
    let mut drawn = drawn.borrow_mut();
    let (shown, since, waits) = &mut *drawn;
    if seen || now - *since >= CALM_MILLIS {
        (*shown, *since, *waits) = (live.clone(), now, None);
    } else if shown != live && waits.is_none() {
        let left = (CALM_MILLIS - (now - *since)) as u32 + 1;
        *waits = Some(Timeout::new(left, move || again.force_update()));
    }
    shown.clone()
}

/// Whether any of an element is in sight.
#[hook]
fn use_seen(node: &NodeRef) -> bool {
    let seen = use_state_eq(|| true);
    let (node, set) = (node.clone(), seen.setter());
    use_effect_with((), move |()| {
        let on_change = Closure::<dyn Fn(js_sys::Array)>::new(move |entries: js_sys::Array| {
            if let Ok(entry) = entries.pop().dyn_into::<IntersectionObserverEntry>() {
                set.set(entry.is_intersecting());
            }
        });
        let observer = IntersectionObserver::new(on_change.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, node.cast::<Element>()) {
            observer.observe(&element);
        }
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop(on_change);
        }
    });
    *seen
}

/// The arrow keys walk along a tape, Home and End go to its ends; Tab leaves it.
fn move_focus(event: KeyboardEvent) {
    let focused = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let Some(batch) = focused.filter(|element| element.class_list().contains("batch")) else { return };
    let next = match event.key().as_str() {
        "ArrowLeft" => batch.previous_element_sibling(),
        "ArrowRight" => batch.next_element_sibling().filter(|next| next.class_list().contains("batch")),
        "Home" | "End" => {
            let all = batch.parent_element().and_then(|track| track.query_selector_all(".batch").ok());
            let place = |all: &NodeList| if event.key() == "Home" { 0 } else { all.length().saturating_sub(1) };
            all.and_then(|all| all.item(place(&all))).and_then(|node| node.dyn_into::<Element>().ok())
        }
        _ => return,
    };
    event.prevent_default();
    if let Some(next) = next.and_then(|next| next.dyn_into::<HtmlElement>().ok()) {
        let _ = next.focus();
    }
}
