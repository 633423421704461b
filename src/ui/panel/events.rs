//! What happened to the thing in the panel.

use std::rc::Rc;

use shore_view::happening::{About, Happening};
use shore_view::state::App;
use shore_view::text;
use yew::prelude::*;

/// More are not read.
const SHOWN: usize = 40;

pub fn of(app: &App, about: &About) -> Vec<Rc<Happening>> {
    app.happened_to(about).take(SHOWN).cloned().collect()
}

pub fn list(happenings: &[Rc<Happening>]) -> Html {
    if happenings.is_empty() {
        return Html::default();
    }
    html! {
        <section>
            <h3>{ "What happened" }</h3>
            <ol class="happenings">
                { for happenings.iter().map(|happening| html! {
                    <li key={happening.id}>
                        <time class="mono small quiet">{ text::clock(happening.at_micros) }</time>
                        <p>{ words(happening) }</p>
                    </li>
                }) }
            </ol>
        </section>
    }
}

pub fn words(happening: &Happening) -> Html {
    match &happening.step {
        Some((from, to)) if from == to => html! { <><b>{ to.clone() }</b>{ ": " }{ happening.text.clone() }</> },
        Some((from, to)) => html! {
            <><b>{ from.clone() }{ " \u{2192} " }{ to.clone() }</b>{ if happening.text.is_empty() { "" } else { ": " } }{ happening.text.clone() }</>
        },
        None => html! { { happening.text.clone() } },
    }
}
