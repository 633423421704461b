//! A transactional id, as its coordinator knows it.

use std::rc::Rc;

use shore_view::happening::About;
use shore_view::state::App;
use shore_view::text;
use yew::prelude::*;

use super::{Sheet, events, facts, machine};

pub fn transaction(app: &App, id: &Rc<str>) -> Html {
    let Some(transaction) = app.screen.transactions.iter().find(|known| known.id == *id) else {
        return Html::default();
    };
    let happenings = events::of(app, &About::Transaction(id.clone()));
    let mut rows = vec![
        ("State", transaction.state.to_string()),
        ("Producer id", transaction.producer_id.to_string()),
        ("Epoch", transaction.producer_epoch.to_string()),
        ("Timeout", text::duration(transaction.timeout_millis.max(0) as u64 * 1_000)),
    ];
    if let Some(pending) = &transaction.pending {
        rows.push(("About to be", pending.to_string()));
    }
    if let Some(started) = transaction.started_millis {
        rows.push(("Last began", text::timestamp(started)));
    }
    html! {
        <Sheet title={id.to_string()} subtitle="Transactional id">
            { machine::drawing(&shore_view::machine::TRANSACTION, &transaction.state, &happenings) }
            { facts(&rows) }
            <section>
                <h3>{ "Partitions in it" }</h3>
                if transaction.partitions.is_empty() {
                    <p class="quiet">{ "None." }</p>
                } else {
                    <ul class="partitions">
                        { for transaction.partitions.iter().map(|(topic, partition)| html! { <li><code>{ format!("{topic}-{partition}") }</code></li> }) }
                    </ul>
                }
            </section>
            { events::list(&happenings) }
        </Sheet>
    }
}
