//! Producers on the left, the broker with its tapes in the middle, groups on the right.

use std::rc::Rc;

use shore_view::message::Command;
use shore_view::model::{Assigned, Broker, Group, Hold, Member, Producer, Screen, Topic, Transaction};
use shore_view::rebalance::Rebalance;
use shore_view::state::{Dialog, Msg, Selection};
use shore_view::text;
use yew::prelude::*;

use super::context::use_ui;
use super::motion::Motion;
use super::rebalance;
use super::tape::{Marker, PartitionRow};

#[derive(PartialEq, Properties)]
pub struct StageProps {
    pub screen: Screen,
    pub selection: Option<Selection>,
    pub internal_shown: bool,
    pub motion: Motion,
    pub running: bool,
}

#[component]
pub fn Stage(props: &StageProps) -> Html {
    let ui = use_ui();
    let (stage, canvas) = (use_node_ref(), use_node_ref());
    {
        let (motion, stage, canvas) = (props.motion.clone(), stage.clone(), canvas.clone());
        use_effect_with((), move |()| motion.attach(stage, canvas));
    }
    let screen = &props.screen;
    html! {
        <div class="stage" ref={stage}>
            <div class="column clients">
                <header>
                    <h2>{ "Producers" }</h2>
                    <button class="button slim" onclick={ui.on_open(Dialog::NewProducer)}>{ "Add" }</button>
                </header>
                <div class="cards">
                    <>{ for screen.producers.iter().map(|producer| html! {
                        <ProducerCard key={&*producer.name} producer={producer.clone()}
                            chosen={props.selection == Some(Selection::Producer { name: producer.name.clone() })} />
                    }) }</>
                    if props.running && screen.producers.is_empty() {
                        <p class="nothing">{ "Nobody produces. Add a producer, or send a record by hand." }</p>
                    }
                </div>
                if !screen.transactions.is_empty() {
                    <header><h2>{ "Transactional ids" }</h2></header>
                    <div class="cards">
                        { for screen.transactions.iter().map(|transaction| html! {
                            <TransactionCard key={&*transaction.id} transaction={transaction.clone()}
                                chosen={props.selection == Some(Selection::Transaction { id: transaction.id.clone() })} />
                        }) }
                    </div>
                }
            </div>
            <BrokerCard broker={screen.broker.clone()} topics={screen.topics.clone()} groups={screen.groups.clone()}
                selection={props.selection.clone()} internal_shown={props.internal_shown} running={props.running} />
            <div class="column clients">
                <header>
                    <h2>{ "Consumers" }</h2>
                    <div class="group">
                        <button class="button slim" onclick={ui.on_open(Dialog::NewCopier)} aria-label="Add copier" title="A consumer that writes what it reads to another topic, in transactions">{ "Copier" }</button>
                        <button class="button slim" onclick={ui.on_open(Dialog::NewMember)}>{ "Add" }</button>
                    </div>
                </header>
                <div class="cards">
                    <>{ for screen.groups.iter().map(|group| html! {
                        <GroupBox key={&*group.id} group={group.clone()} selection={props.selection.clone()}
                            rebalance={rebalance::recent(screen, &group.id)} />
                    }) }</>
                    if props.running && screen.groups.is_empty() {
                        <p class="nothing">{ "Nobody reads. Add a consumer to a group." }</p>
                    }
                </div>
            </div>
            <canvas class="motion" ref={canvas} aria-hidden="true"></canvas>
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct ProducerProps {
    producer: Rc<Producer>,
    chosen: bool,
}

#[component]
fn ProducerCard(props: &ProducerProps) -> Html {
    let ui = use_ui();
    let producer = &props.producer;
    let dot = match (&producer.last_error, producer.running) {
        (Some(_), _) => "bad",
        (None, true) => "on",
        (None, false) => "off",
    };
    html! {
        <article class={classes!("card", "client", props.chosen.then_some("chosen"))} data-anchor={format!("client:{}", producer.name)}>
            <button class="cover-button" aria-label={format!("Producer {}", producer.name)}
                onclick={ui.on_select(Selection::Producer { name: producer.name.clone() })}></button>
            <p class="name"><i class={classes!("dot", dot)}></i><span>{ producer.name.clone() }</span></p>
            <p class="small quiet">{ "to " }<code>{ producer.topic.clone() }</code></p>
            <p class="figures"><span><b>{ text::grouped(producer.acked as i64) }</b>{ " acknowledged" }</span></p>
            if let Some(transactions) = &producer.transactions {
                <p class="figures">
                    <span><b>{ text::grouped(transactions.committed as i64) }</b>{ " committed" }</span>
                    <span><b>{ text::grouped(transactions.aborted as i64) }</b>{ " aborted" }</span>
                </p>
            }
            if let Some(error) = &producer.last_error {
                <p class="small error">{ error.clone() }</p>
            }
            <RateControl producer={producer.clone()} />
        </article>
    }
}

#[derive(PartialEq, Properties)]
struct TransactionProps {
    transaction: Rc<Transaction>,
    chosen: bool,
}

#[component]
fn TransactionCard(props: &TransactionProps) -> Html {
    let ui = use_ui();
    let transaction = &props.transaction;
    let dot = match &*transaction.state {
        "Ongoing" => "on",
        "PrepareCommit" | "PrepareAbort" | "PrepareEpochFence" => "busy",
        "CompleteAbort" => "bad",
        _ => "off",
    };
    html! {
        <article class={classes!("card", "client", props.chosen.then_some("chosen"))}>
            <button class="cover-button" aria-label={format!("Transactional id {}", transaction.id)}
                onclick={ui.on_select(Selection::Transaction { id: transaction.id.clone() })}></button>
            <p class="name"><i class={classes!("dot", dot)}></i><span>{ transaction.id.clone() }</span></p>
            <p class="small quiet">{ state_words(&transaction.state) }</p>
        </article>
    }
}

/// `PrepareCommit` as "prepare commit".
fn state_words(state: &str) -> String {
    let mut words = String::new();
    for letter in state.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// Records per second that the buttons step through.
const RATES: [u32; 12] = [0, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000];

#[derive(PartialEq, Properties)]
pub struct RateProps {
    pub producer: Rc<Producer>,
}

#[component]
pub fn RateControl(props: &RateProps) -> Html {
    let ui = use_ui();
    let producer = &props.producer;
    let set = |rate: Option<u32>| {
        let rate_milli = rate.unwrap_or(producer.rate_milli);
        ui.on_command(Command::SetRate { actor: producer.name.clone(), rate_milli })
    };
    let slower = RATES.iter().rev().copied().find(|&rate| rate < producer.rate_milli);
    let faster = RATES.iter().copied().find(|&rate| rate > producer.rate_milli);
    html! {
        <div class="rate above" role="group" aria-label={format!("Rate of {}", producer.name)}>
            <button class="button slim icon" disabled={slower.is_none()} onclick={set(slower)} aria-label="Slower">{ "−" }</button>
            <output>{ text::rate(producer.rate_milli) }{ "/s" }</output>
            <button class="button slim icon" disabled={faster.is_none()} onclick={set(faster)} aria-label="Faster">{ "+" }</button>
        </div>
    }
}

#[derive(PartialEq, Properties)]
struct GroupProps {
    group: Rc<Group>,
    /// The one that is under way or was lately.
    rebalance: Option<(Rc<Rebalance>, u64)>,
    selection: Option<Selection>,
}

#[component]
fn GroupBox(props: &GroupProps) -> Html {
    let ui = use_ui();
    let group = &props.group;
    let dot = match &*group.state {
        "Stable" => "on",
        "PreparingRebalance" | "CompletingRebalance" => "busy",
        _ => "off",
    };
    let state = match &*group.state {
        "PreparingRebalance" => "preparing a rebalance".into(),
        "CompletingRebalance" => "completing a rebalance".into(),
        state => state.to_lowercase(),
    };
    html! {
        <section class="group-box" data-anchor={format!("group:{}", group.id)} aria-label={format!("Group {}", group.id)}>
            <header>
                <button class="button plain slim" onclick={ui.on_select(Selection::Group { id: group.id.clone() })}>
                    <b>{ group.id.clone() }</b>
                </button>
                <span class="group small quiet"><i class={classes!("dot", dot)}></i>{ state }</span>
            </header>
            if let Some((rebalance, now)) = &props.rebalance {
                { rebalance::strip(rebalance, group, *now) }
            }
            <>{ for group.members.iter().enumerate().map(|(place, member)| html! {
                <MemberCard key={&*member.member_id} member={member.clone()} group={group.id.clone()} {place}
                    chosen={props.selection == Some(Selection::Member {
                        group: group.id.clone(), member_id: member.member_id.clone()
                    })} />
            }) }</>
            if group.members.is_empty() {
                <p class="small quiet">{ "No members. Its committed offsets stay." }</p>
            }
        </section>
    }
}

#[derive(PartialEq, Properties)]
struct MemberProps {
    member: Rc<Member>,
    group: Rc<str>,
    place: usize,
    chosen: bool,
}

#[component]
fn MemberCard(props: &MemberProps) -> Html {
    let ui = use_ui();
    let member = &props.member;
    let selection = Selection::Member { group: props.group.clone(), member_id: member.member_id.clone() };
    let anchor = format!("client:{}", member.actor.as_ref().unwrap_or(&member.client_id));
    html! {
        <article class={classes!("card", "client", props.chosen.then_some("chosen"))} data-anchor={anchor}>
            <button class="cover-button" aria-label={format!("Member {}", member.client_id)} onclick={ui.on_select(selection)}></button>
            <p class="name">
                <i class={classes!("mark", mark_class(props.place))}></i>
                <span>{ member.client_id.clone() }</span>
                if member.leader {
                    <span class="small quiet" title="It computes the assignment">{ "leader" }</span>
                }
                if member.actor.is_some() && !member.running {
                    <span class="small paused-mark" title="It stays in its group and fetches nothing">{ "paused" }</span>
                }
            </p>
            if let Some(copies) = &member.copies {
                <p class="small quiet copies"><code>{ copies.from.clone() }</code>{ " \u{2192} " }<code>{ copies.to.clone() }</code></p>
                <p class="figures">
                    <span><b>{ text::grouped(copies.transactions.committed as i64) }</b>{ " committed" }</span>
                    <span><b>{ text::grouped(copies.transactions.aborted as i64) }</b>{ " aborted" }</span>
                    if copies.is_open {
                        <span class="open-transaction">{ format!("{} open", text::grouped(copies.transactions.records as i64)) }</span>
                    }
                </p>
            }
            if let Some(error) = &member.last_error {
                <p class="small error">{ error.clone() }</p>
            }
            if member.assignment.is_empty() {
                <p class="small quiet">{ if &*member.state == "Stable" { "nothing assigned".to_owned() } else { member.state.to_lowercase() } }</p>
            } else {
                <ul class="assigned">{ for member.assignment.iter().map(assigned) }</ul>
            }
        </article>
    }
}

fn assigned(assigned: &Assigned) -> Html {
    let lag = match assigned.lag {
        Some(0) => ("lag", "caught up".to_owned()),
        Some(lag) => ("lag behind", format!("{} behind", text::grouped(lag))),
        None => ("lag", String::new()),
    };
    let (hold, (class, lag)) = match &assigned.hold {
        Hold::Reads => (None, lag),
        Hold::Leaving => (Some("leaving"), ("lag", "to give back".into())),
        Hold::GivenBack { to: None } => (Some("given-back"), ("lag", "given back".into())),
        Hold::GivenBack { to: Some(reader) } => (Some("given-back"), ("lag", format!("to {reader}"))),
        Hold::Awaited => (Some("awaited"), ("lag", "awaited".into())),
    };
    html! {
        <li class={classes!(hold)}>
            <code>{ format!("{}-{}", assigned.topic, assigned.partition) }</code>
            <span>{ assigned.position.map_or("–".into(), text::grouped) }</span>
            <span class={class}>{ lag }</span>
        </li>
    }
}

/// The colour of a member's marks on the tapes.
pub fn mark_class(place: usize) -> String {
    format!("mark-{}", place % 6)
}

#[derive(PartialEq, Properties)]
struct BrokerProps {
    broker: Rc<Broker>,
    topics: Vec<Rc<Topic>>,
    groups: Vec<Rc<Group>>,
    selection: Option<Selection>,
    internal_shown: bool,
    running: bool,
}

#[component]
fn BrokerCard(props: &BrokerProps) -> Html {
    let ui = use_ui();
    let broker = &props.broker;
    let users: Vec<_> = props.topics.iter().filter(|topic| !topic.internal).collect();
    html! {
        <article class="card broker" data-anchor="broker">
            <header>
                <h2>
                    <button class="button plain slim" onclick={ui.on_select(Selection::Broker)}>
                        <b>{ format!("Broker {}", broker.node) }</b>
                    </button>
                </h2>
                <span class="small quiet">{ "and its own controller" }</span>
                <div class="group push">
                    <button class="button slim" onclick={ui.on_open(Dialog::Send { topic: None })}>{ "Send a record" }</button>
                    <button class="button slim" onclick={ui.on_open(Dialog::NewTopic)}>{ "New topic" }</button>
                </div>
            </header>
            if !props.running {
                <p class="nothing" role="status">{ "The broker is starting: it reads its logs." }</p>
            } else if users.is_empty() {
                <p class="nothing">{ "No topics yet. Make one, and its partitions appear here as tapes of record batches." }</p>
            }
            <>{ for users.iter().map(|topic| html! {
                <TopicBox key={&*topic.name} topic={(*topic).clone()} markers={markers(&topic.name, &props.groups)}
                    selection={props.selection.clone()} />
            }) }</>
            <Internal topics={props.topics.iter().filter(|topic| topic.internal).cloned().collect::<Vec<_>>()}
                shown={props.internal_shown} />
        </article>
    }
}

/// Where the members of all groups stand in a topic.
fn markers(topic: &str, groups: &[Rc<Group>]) -> Vec<Marker> {
    let mut markers = Vec::new();
    for group in groups {
        for (place, member) in group.members.iter().enumerate() {
            let here = member.assignment.iter().filter(|assigned| &*assigned.topic == topic);
            markers.extend(here.filter_map(|assigned| {
                let (partition, offset) = (assigned.partition, assigned.position?);
                Some(Marker { partition, offset, place, who: member.client_id.clone() })
            }));
        }
    }
    markers
}

#[derive(PartialEq, Properties)]
struct TopicProps {
    topic: Rc<Topic>,
    markers: Vec<Marker>,
    selection: Option<Selection>,
}

#[component]
fn TopicBox(props: &TopicProps) -> Html {
    let ui = use_ui();
    let topic = &props.topic;
    let bytes = topic.partitions.iter().map(|partition| partition.bytes).sum();
    html! {
        <section class="topic" aria-label={format!("Topic {}", topic.name)}>
            <header>
                <h3>
                    <button class="button plain slim" onclick={ui.on_select(Selection::Topic { name: topic.name.clone() })}>{ topic.name.clone() }</button>
                </h3>
                <span class="small quiet">{ format!("{}, {}", count(topic.partitions.len(), "partition"), text::size(bytes)) }</span>
                if let Some(policy) = policy(topic) {
                    <span class="tag">{ policy }</span>
                }
                <div class="group push">
                    <button class="button plain slim" onclick={ui.on_open(Dialog::Send { topic: Some(topic.name.clone()) })}>{ "Send" }</button>
                    <button class="button plain slim" onclick={ui.on_open(Dialog::DeleteTopic { topic: topic.name.clone() })}>{ "Delete" }</button>
                </div>
            </header>
            <>{ for topic.partitions.iter().map(|partition| html! {
                <PartitionRow key={partition.index} topic={topic.name.clone()} partition={partition.clone()}
                    markers={props.markers.iter().filter(|marker| marker.partition == partition.index).cloned().collect::<Vec<_>>()}
                    chosen={chosen_in(&props.selection, &topic.name, partition.index)} />
            }) }</>
        </section>
    }
}

/// What becomes of old data, where the topic says so itself.
fn policy(topic: &Topic) -> Option<Rc<str>> {
    let own = topic.configs.iter().find(|(name, _)| &**name == "cleanup.policy");
    own.map(|(_, policy)| policy.clone()).filter(|policy| &**policy != "delete")
}

/// What of this partition the panel shows: `Some(None)` for the partition itself, else a batch's offset.
fn chosen_in(selection: &Option<Selection>, name: &str, index: i32) -> Option<Option<i64>> {
    match selection {
        Some(Selection::Partition { topic, partition }) if **topic == *name && *partition == index => Some(None),
        Some(Selection::Batch { topic, partition, offset }) if **topic == *name && *partition == index => {
            Some(Some(*offset))
        }
        _ => None,
    }
}

#[derive(PartialEq, Properties)]
struct InternalProps {
    topics: Vec<Rc<Topic>>,
    shown: bool,
}

#[component]
fn Internal(props: &InternalProps) -> Html {
    let ui = use_ui();
    if props.topics.is_empty() {
        return Html::default();
    }
    let toggle = {
        let (ui, shown) = (ui.clone(), props.shown);
        Callback::from(move |_| ui.message(Msg::ShowInternal(!shown)))
    };
    html! {
        <section class="internal" aria-label="Internal topics">
            <button class="button plain slim" onclick={toggle} aria-expanded={props.shown.to_string()}>
                { if props.shown { "Hide internal topics" } else { "Internal topics" } }
            </button>
            if props.shown {
                { for props.topics.iter().map(|topic| internal_topic(&ui, topic)) }
            }
        </section>
    }
}

/// Only the partitions that hold something: most of the 50 of `__consumer_offsets` never do.
fn internal_topic(ui: &super::context::Ui, topic: &Rc<Topic>) -> Html {
    let used: Vec<_> = topic.partitions.iter().filter(|partition| partition.log_end > 0).collect();
    html! {
        <div class="topic">
            <header>
                <h3>
                    <button class="button plain slim" onclick={ui.on_select(Selection::Topic { name: topic.name.clone() })}>{ topic.name.clone() }</button>
                </h3>
                <span class="small quiet">{ format!("{}, {} in use", count(topic.partitions.len(), "partition"), used.len()) }</span>
            </header>
            <ul>
                { for used.iter().map(|partition| {
                    let selection = Selection::Partition { topic: topic.name.clone(), partition: partition.index };
                    html! {
                        <li key={partition.index}>
                            <button class="button plain slim" onclick={ui.on_select(selection)}>
                                <code>{ format!("{}-{}", topic.name, partition.index) }</code>
                            </button>
                            <span>{ format!("end {}", text::grouped(partition.log_end)) }</span>
                            <span class="quiet">{ text::size(partition.bytes) }</span>
                        </li>
                    }
                }) }
            </ul>
        </div>
    }
}

pub fn count(number: usize, what: &str) -> String {
    format!("{} {what}{}", text::grouped(number as i64), if number == 1 { "" } else { "s" })
}
