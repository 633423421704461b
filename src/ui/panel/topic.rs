//! A topic and its configs.

use std::rc::Rc;

use shore_view::happening::{About, Happening};
use shore_view::message::{Config, Question};
use shore_view::model::Topic;
use shore_view::state::{App, Dialog, Selection};
use shore_view::text;
use yew::prelude::*;

use super::{Sheet, events, facts};
use crate::ui::context::{use_question, use_ui};

pub fn topic(app: &App, name: &Rc<str>) -> Html {
    let Some(topic) = app.screen.topic(name) else { return Html::default() };
    let configs = app.configs.as_ref().filter(|(of, _)| of == name).map(|(_, configs)| configs.clone());
    let happenings = events::of(app, &About::Topic(name.clone()));
    html! { <TopicPanel topic={topic.clone()} {configs} {happenings} /> }
}

#[derive(PartialEq, Properties)]
struct TopicProps {
    topic: Rc<Topic>,
    configs: Option<Rc<Vec<Config>>>,
    happenings: Vec<Rc<Happening>>,
}

#[component]
fn TopicPanel(props: &TopicProps) -> Html {
    let ui = use_ui();
    let topic = &props.topic;
    let all = use_state(|| false);
    use_question(Question::Configs { topic: Some(topic.name.clone()) }, topic.configs.clone());
    let bytes = topic.partitions.iter().map(|partition| partition.bytes).sum();
    let rows = [
        ("Topic id", topic.id.to_string()),
        ("Partitions", topic.partitions.len().to_string()),
        ("Size", text::size(bytes)),
    ];
    let toggle = {
        let all = all.clone();
        Callback::from(move |_| all.set(!*all))
    };
    let name = || topic.name.clone();
    html! {
        <Sheet title={topic.name.to_string()} subtitle={if topic.internal { "Internal topic" } else { "Topic" }}>
            { facts(&rows) }
            if !topic.internal {
                <div class="actions">
                    <button class="button" onclick={ui.on_open(Dialog::AlterConfigs { topic: name() })}>{ "Alter configs" }</button>
                    <button class="button" onclick={ui.on_open(Dialog::CreatePartitions { topic: name() })}>{ "Add partitions" }</button>
                    <button class="button danger" onclick={ui.on_open(Dialog::DeleteTopic { topic: name() })}>{ "Delete" }</button>
                </div>
            }
            <section>
                <h3>{ "Configs" }</h3>
                { configs(props.configs.as_deref().map_or(&[], Vec::as_slice), *all) }
                <button class="button plain slim" onclick={toggle} aria-expanded={all.to_string()}>
                    { if *all { "Only its own" } else { "All, with the defaults" } }
                </button>
            </section>
            <section>
                <h3>{ "Partitions" }</h3>
                <table class="table">
                    <thead><tr><th>{ "Partition" }</th><th>{ "Start" }</th><th>{ "End" }</th><th>{ "Size" }</th></tr></thead>
                    <tbody>
                        { for topic.partitions.iter().filter(|partition| !topic.internal || partition.log_end > 0).map(|partition| {
                            let selection = Selection::Partition { topic: name(), partition: partition.index };
                            html! {
                                <tr key={partition.index}>
                                    <td><button class="button plain slim" onclick={ui.on_select(selection)}><code>{ format!("{}-{}", topic.name, partition.index) }</code></button></td>
                                    <td>{ text::grouped(partition.log_start) }</td>
                                    <td>{ text::grouped(partition.log_end) }</td>
                                    <td>{ text::size(partition.bytes) }</td>
                                </tr>
                            }
                        }) }
                    </tbody>
                </table>
            </section>
            { events::list(&props.happenings) }
        </Sheet>
    }
}

fn configs(configs: &[Config], all: bool) -> Html {
    let shown: Vec<_> = configs.iter().filter(|config| all || config.own).collect();
    if shown.is_empty() {
        return html! { <p class="quiet">{ "None of its own: the broker\u{2019}s defaults count." }</p> };
    }
    html! {
        <dl class="facts config-values">
            { for shown.iter().map(|config| html! {
                <>
                    <dt class={classes!(config.own.then_some("own"))} title={config.documentation.to_string()}><code>{ config.name.clone() }</code></dt>
                    <dd class="mono">{ if config.value.is_empty() { "\u{2013}".into() } else { config.value.clone() } }</dd>
                </>
            }) }
        </dl>
    }
}
