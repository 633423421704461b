//! A state machine: where it stands, and the way it has just gone.

use std::rc::Rc;

use shore_view::happening::Happening;
use shore_view::machine::{HALF, Machine};
use yew::prelude::*;

/// `happenings` are those of the thing, newest first.
pub fn drawing(machine: &Machine, state: &str, happenings: &[Rc<Happening>]) -> Html {
    let is_way = |step: &&(Rc<str>, Rc<str>)| machine.ways.contains(&(&*step.0, &*step.1));
    let last = happenings.iter().find_map(|happening| Some((happening.id, happening.step.as_ref().filter(is_way)?)));
    let is_last = |from: &str, to: &str| last.is_some_and(|(_, step)| &*step.0 == from && &*step.1 == to);
    let label = match last {
        Some((_, (from, to))) => format!("State {state}, last from {from} to {to}"),
        None => format!("State {state}"),
    };
    html! {
        <svg class="machine" viewBox={format!("0 0 {} {}", machine.width, machine.height)} role="img" aria-label={label}>
            <defs>
                <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M1 1l6 3-6 3" /></marker>
                <marker id="tip-gone" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto"><path d="M1 1l6 3-6 3" /></marker>
            </defs>
            { for machine.ways.iter().filter_map(|(from, to)| {
                let line = machine.line(from, to)?;
                let gone = is_last(from, to);
                // A way that is gone again is drawn anew.
                let key = if gone { last.map_or(0, |(id, _)| id) } else { 0 };
                Some(html! {
                    <path key={format!("{from} {to} {key}")} class={classes!("way", gone.then_some("gone"))}
                        d={format!("M{:.1} {:.1}L{:.1} {:.1}", line.from.0, line.from.1, line.to.0, line.to.1)}
                        marker-end={if gone { "url(#tip-gone)" } else { "url(#tip)" }} />
                })
            }) }
            { for machine.places.iter().map(|place| {
                let first = place.y + 4.0 - (place.lines.len() - 1) as f64 * 6.5;
                html! {
                    <g key={place.state} class={classes!((place.state == state).then_some("now"), (!place.note.is_empty()).then_some("rare"))}>
                        <rect x={(place.x - HALF.0).to_string()} y={(place.y - HALF.1).to_string()} width={(HALF.0 * 2.0).to_string()} height={(HALF.1 * 2.0).to_string()} rx="7" />
                        { for place.lines.iter().enumerate().map(|(row, line)| html! {
                            <text x={place.x.to_string()} y={(first + row as f64 * 13.0).to_string()}>{ *line }</text>
                        }) }
                        <text class="note" x={place.x.to_string()} y={(place.y + HALF.1 + 13.0).to_string()}>{ place.note }</text>
                    </g>
                }
            }) }
        </svg>
    }
}
