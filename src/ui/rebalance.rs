//! A rebalance, drawn: a lane for each partition with who read it, and the time in which nobody did.

use std::rc::Rc;

use shore_view::model::{Group, Screen};
use shore_view::rebalance::{Lane, Rebalance};
use shore_view::text;
use yew::prelude::*;

use super::stage::{count, mark_class};

/// So long the last one stays on the stage.
const STAYS_MICROS: u64 = 20_000_000;
/// More lanes than this are not told apart.
const MOST_LANES: usize = 24;

/// The rebalance of a group that is under way or has just been, and the time that it is drawn at.
pub fn recent(screen: &Screen, group: &str) -> Option<(Rc<Rebalance>, u64)> {
    let now = screen.clock.now_micros;
    let last = last(screen, |rebalance| *rebalance.group == *group)?;
    match last.ended_micros {
        None => Some((last.clone(), now)),
        // Nothing of it changes any more.
        Some(end) => (end + STAYS_MICROS > now).then(|| (last.clone(), end)),
    }
}

fn last(screen: &Screen, which: impl Fn(&Rebalance) -> bool) -> Option<&Rc<Rebalance>> {
    screen.rebalances.iter().filter(|rebalance| which(rebalance)).max_by_key(|rebalance| rebalance.id)
}

/// On the stage: the lanes alone, and what came of it in a few words.
pub fn strip(rebalance: &Rebalance, group: &Group, now: u64) -> Html {
    html! {
        <figure class="rebalance strip" role="img" aria-label={label(rebalance, now)}>
            { lanes(rebalance, group, now) }
            <figcaption class="small">{ kind(rebalance) }{ ": " }{ brief(rebalance, now) }</figcaption>
        </figure>
    }
}

/// In a group's panel: its last rebalance, and beside it the last one of the other kind that any group had.
pub fn sheet(screen: &Screen, group: &Group) -> Html {
    let Some(own) = last(screen, |rebalance| *rebalance.group == *group.id) else { return Html::default() };
    let other = last(screen, |rebalance| rebalance.is_cooperative() != own.is_cooperative());
    let of = |rebalance: &Rebalance| screen.groups.iter().find(|group| group.id == rebalance.group).cloned();
    html! {
        <section class="rebalances">
            <h3>{ if own.ended_micros.is_none() { "Rebalance under way" } else { "Last rebalance" } }</h3>
            { figure(own, group, screen.clock.now_micros) }
            if let Some((other, group)) = other.and_then(|other| Some((other, of(other)?))) {
                <h3>{ format!("Beside it: {}, {}", group.id, kind(other).to_lowercase()) }</h3>
                { figure(other, &group, screen.clock.now_micros) }
            } else {
                <p class="small quiet">{ format!("To see a{} one beside it, have another group read with {}, and add a member to it.",
                    if own.is_cooperative() { "n eager" } else { " cooperative" }, if own.is_cooperative() { "range" } else { "cooperative-sticky" }) }</p>
            }
        </section>
    }
}

fn figure(rebalance: &Rebalance, group: &Group, now: u64) -> Html {
    let now = rebalance.end(now);
    html! {
        <figure class={classes!("rebalance", if rebalance.is_cooperative() { "cooperative" } else { "eager" })} role="img" aria-label={label(rebalance, now)}>
            { lanes(rebalance, group, now) }
            <figcaption class="small">
                <b>{ kind(rebalance) }</b>{ format!(" ({}), {} in all. ", rebalance.assignor, text::duration(now - rebalance.began_micros)) }
                { words(rebalance, now) }
            </figcaption>
        </figure>
    }
}

/// The time that is drawn: from a little before the first partition is without a reader, or the first generation, to a
/// little after the end. Until then nothing happens but that members do not know yet.
struct Window {
    from: f64,
    long: f64,
}

impl Window {
    fn of(rebalance: &Rebalance, now: u64) -> Self {
        let end = rebalance.end(now);
        let gaps = rebalance.lanes.iter().filter_map(|lane| Some(rebalance.gaps(lane, now).first()?.0));
        let generations = rebalance.generations.iter().map(|(at, _)| *at);
        let first = gaps.chain(generations).min().unwrap_or(rebalance.began_micros);
        let long = (end - first.min(end)).max(1_000) as f64;
        Self { from: first as f64 - long * 0.2, long: long * 1.4 }
    }

    /// In percent of the width.
    fn place(&self, micros: u64) -> f64 {
        ((micros as f64 - self.from) * 100.0 / self.long).clamp(0.0, 100.0)
    }

    fn span(&self, from: u64, until: u64) -> String {
        let (left, right) = (self.place(from), self.place(until));
        format!("left:{left:.2}%;width:{:.2}%", right - left)
    }
}

fn lanes(rebalance: &Rebalance, group: &Group, now: u64) -> Html {
    let shown = Window::of(rebalance, now);
    // What goes on beyond the end is drawn there; what is under way has no beyond yet.
    let beyond = if rebalance.ended_micros.is_some() { u64::MAX } else { now };
    let lane = |lane: &Lane| {
        html! {
            <li key={format!("{}-{}", lane.topic, lane.partition)}>
                <code>{ format!("{}-{}", lane.topic, lane.partition) }</code>
                <span class="lane">
                    { for lane.spans.iter().map(|span| html! {
                        <i class={classes!("read", mark_of(group, &span.reader))} title={format!("read by {}", span.reader)}
                            style={shown.span(span.from_micros, span.until_micros.unwrap_or(beyond))}></i>
                    }) }
                    { for rebalance.gaps(lane, now).iter().map(|(from, until)| html! {
                        <i class="gap" title={format!("read by nobody for {}", text::duration(until - from))} style={shown.span(*from, *until)}></i>
                    }) }
                    { for rebalance.generations.iter().map(|(at, _)| html! { <i class="generation" style={format!("left:{:.2}%", shown.place(*at))}></i> }) }
                </span>
            </li>
        }
    };
    let more = rebalance.lanes.len().saturating_sub(MOST_LANES);
    html! {
        <ul class="lanes" aria-hidden="true">
            { for rebalance.lanes.iter().take(MOST_LANES).map(lane) }
            <li class="small quiet">
                <span>{ if more > 0 { format!("{more} more") } else { String::new() } }</span>
                <span class="generations">
                    { for rebalance.generations.iter().map(|(at, number)| html! {
                        <span style={format!("left:{:.2}%", shown.place(*at))}>{ format!("gen {number}") }</span>
                    }) }
                </span>
            </li>
        </ul>
    }
}

/// The colour that a member has on its card and on the tapes. One that is gone has none.
fn mark_of(group: &Group, reader: &str) -> String {
    let place = group.members.iter().position(|member| member.actor.as_deref() == Some(reader));
    place.map_or("mark-gone".into(), mark_class)
}

fn kind(rebalance: &Rebalance) -> &'static str {
    if rebalance.is_cooperative() { "Cooperative" } else { "Eager" }
}

fn label(rebalance: &Rebalance, now: u64) -> String {
    format!("{} rebalance of {}: {}", kind(rebalance), rebalance.group, brief(rebalance, now))
}

fn brief(rebalance: &Rebalance, now: u64) -> String {
    let (still, longest) = rebalance.stood_still(now);
    match still {
        0 => "nothing stood still".into(),
        _ => format!(
            "{still} of {} stood still, up to {}",
            count(rebalance.lanes.len(), "partition"),
            text::duration(longest)
        ),
    }
}

fn words(rebalance: &Rebalance, now: u64) -> String {
    let (still, _) = rebalance.stood_still(now);
    let kept = rebalance.lanes.len() - still;
    let brief = brief(rebalance, now);
    let generations = count(rebalance.generations.len(), "generation");
    match (rebalance.is_cooperative(), rebalance.ended_micros.is_some()) {
        (false, true) => format!("Everybody gave back everything, also what it got again: {brief}."),
        (false, false) => format!("Everybody gives back everything and waits for all others: {brief} so far."),
        (true, true) => {
            format!("Everybody kept what stays with it: {kept} read on, {brief}. It took {generations}.")
        }
        (true, false) => format!("Everybody keeps what stays with it: {kept} read on, {brief} so far."),
    }
}
