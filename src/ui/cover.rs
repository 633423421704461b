//! What a tab shows that runs no cluster, and the ways out of it.

use shore_view::message::{Command, Refusal, Start};
use shore_view::state::{Dialog, Link};
use shore_view::text;
use yew::prelude::*;

use super::browser;
use super::context::use_ui;

#[derive(PartialEq, Properties)]
pub struct CoverProps {
    pub link: Link,
}

#[component]
pub fn Cover(props: &CoverProps) -> Html {
    let ui = use_ui();
    let restart = |start: Start| {
        let ui = ui.clone();
        Callback::from(move |_| ui.link.restart(start))
    };
    let reload = Callback::from(|_| drop(browser::window().location().reload()));
    let try_again = html! { <button class="button primary" onclick={restart(Start::Kept)}>{ "Try again" }</button> };
    let keep_or_reset = html! {
        <>
            <button class="button" onclick={ui.on_command(Command::Export)}>{ "Save a copy" }</button>
            <button class="button danger" onclick={ui.on_open(Dialog::Reset)}>{ "Reset the cluster" }</button>
        </>
    };
    let (title, body, ways) = match &props.link {
        Link::Refused(Refusal::Held { since_millis }) => {
            let since = since_millis.map_or(String::new(), |millis| format!(", since {}", text::timestamp(millis)));
            (
                "Another tab runs this cluster",
                format!(
                    "One tab at a time may write to its store. Another tab or window of this site holds it{since}. \
                         Close that one, or go on there."
                ),
                try_again,
            )
        }
        Link::Refused(Refusal::Newer { why }) => (
            "The store is newer than this page",
            why.to_string(),
            html! { <><button class="button primary" onclick={reload}>{ "Reload" }</button>{ keep_or_reset }</> },
        ),
        Link::Refused(Refusal::Failed { why }) => {
            let in_memory = html! {
                <button class="button" onclick={restart(Start::InMemory)}>{ "Run in memory" }</button>
            };
            (
                "The cluster could not be started",
                why.to_string(),
                html! { <>{ try_again }{ in_memory }{ keep_or_reset }</> },
            )
        }
        Link::Broken => (
            "The cluster crashed again and again",
            "It is not started any more. What it had stored is still there: save a copy of it, or begin anew.".into(),
            html! { <>{ try_again }{ keep_or_reset }</> },
        ),
        Link::Stale => (
            "This page has been updated",
            "The browser kept an older part of it. A reload brings them together; nothing is lost.".into(),
            html! { <button class="button primary" onclick={reload}>{ "Reload" }</button> },
        ),
        Link::Starting | Link::Running | Link::Dead => (
            "The cluster does not run",
            "Its program could not be loaded. What it had stored is still there.".into(),
            try_again,
        ),
    };
    html! {
        <main class="cover">
            <div role="alert">
                <h2>{ title }</h2>
                <p>{ body }</p>
                <div class="group">{ ways }</div>
            </div>
        </main>
    }
}
