//! The cluster's clients, kept beside it as script lines: they go on after a reload.

use shore_base::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_sim::Action;
use shore_sim::action::{ConsumerSpec, CopierSpec, ProducerSpec, TransactionSpec};
use shore_view::message::{Command, Transactions};

pub const CLIENTS_NOTE: &str = "clients";

/// By name. Invariant: each is an `AddProducer`, an `AddConsumer` or an `AddCopier` of that name.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    by_name: BTreeMap<String, Action>,
    /// Members that fetch nothing. Invariant: each is one of the above.
    paused: BTreeSet<String>,
}

impl Clients {
    /// Reads what [`Clients::text`] wrote. A line of a version that is not understood is left out.
    pub fn parse(text: &str) -> Self {
        let mut clients = Self::default();
        for action in text.lines().filter_map(|line| line.parse::<Action>().ok()) {
            clients.insert(action);
        }
        clients
    }

    pub fn text(&self) -> String {
        self.actions().map(|action| format!("{action}\n")).collect()
    }

    /// What makes them all, as they are, in a cluster that has none of them.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        let pauses = self.paused.iter().map(|actor| Action::PauseConsumer { actor: actor.clone() });
        self.by_name.values().cloned().chain(pauses)
    }

    pub fn insert(&mut self, action: Action) {
        let name = match &action {
            Action::AddProducer(spec) => spec.name.clone(),
            Action::AddConsumer(spec) => spec.name.clone(),
            Action::AddCopier(spec) => spec.name.clone(),
            Action::PauseConsumer { actor } => return self.set_paused(actor, true),
            _ => return,
        };
        self.by_name.insert(name, action);
    }

    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
        self.paused.remove(name);
    }

    pub fn set_paused(&mut self, name: &str, paused: bool) {
        if paused && self.by_name.contains_key(name) {
            self.paused.insert(name.to_owned());
        } else {
            self.paused.remove(name);
        }
    }

    pub fn set_rate(&mut self, name: &str, rate: u64) {
        if let Some(Action::AddProducer(spec)) = self.by_name.get_mut(name) {
            spec.millirate = rate;
        }
    }

    /// `base-1`, or the first number that is free.
    fn free_name(&self, base: &str) -> String {
        let mut number = 1;
        loop {
            let name = format!("{base}-{number}");
            if !self.by_name.contains_key(&name) {
                return name;
            }
            number += 1;
        }
    }

    pub fn new_producer(&self, topic: &str, millirate: u64, transactions: Option<Transactions>) -> Action {
        let mut spec = ProducerSpec::new(self.free_name(&format!("{topic}-producer")), topic);
        spec.millirate = millirate;
        spec.transactions = transactions.map(transaction_spec);
        Action::AddProducer(spec)
    }

    pub fn new_copier(&self, group: &str, from: &str, to: &str, pace: u32, transactions: Transactions) -> Action {
        let mut spec = CopierSpec::new(self.free_name(&format!("{from}-copier")), group, from, to);
        let name = spec.name.as_str().into();
        let id = if transactions.id.is_empty() { name } else { transactions.id };
        spec.transactions = transaction_spec(Transactions { id, ..transactions });
        spec.records_per_second = pace.into();
        spec.session_timeout = SESSION_TIMEOUT;
        Action::AddCopier(spec)
    }

    pub fn new_member(&self, group: &str, topic: &str) -> ConsumerSpec {
        member(&self.free_name(group), group, topic)
    }
}

fn transaction_spec(transactions: Transactions) -> TransactionSpec {
    TransactionSpec {
        records: transactions.records.max(1),
        abort_percent: transactions.abort_percent.min(100),
        ..TransactionSpec::new(transactions.id.to_string())
    }
}

/// A reader of the page sees a member that is gone before losing patience.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// The action behind a command that is a request of the admin client.
pub fn request(command: &Command) -> Option<Action> {
    let text = |text: &std::rc::Rc<str>| text.to_string();
    Some(match command {
        Command::CreateTopic { name, partitions, configs } => Action::CreateTopic {
            topic: text(name),
            partitions: *partitions,
            replication: 1,
            configs: configs.iter().map(|(name, value)| (text(name), text(value))).collect(),
        },
        Command::DeleteTopic { name } => Action::DeleteTopic { topic: text(name) },
        Command::AlterConfigs { topic, configs } => {
            let set = configs.iter().filter_map(|(name, value)| Some((text(name), text(value.as_ref()?))));
            let reset = configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| text(name));
            Action::AlterConfigs { topic: text(topic), set: set.collect(), reset: reset.collect() }
        }
        Command::CreatePartitions { topic, total } => Action::CreatePartitions { topic: text(topic), total: *total },
        Command::DeleteRecords { topic, partition, offset } => {
            Action::DeleteRecords { topic: text(topic), partition: *partition, offset: *offset }
        }
        _ => return None,
    })
}

fn member(name: &str, group: &str, topic: &str) -> ConsumerSpec {
    let mut spec = ConsumerSpec::new(name, group, topic);
    // As with the session: its commits are to be seen.
    spec.auto_commit = Some(Duration::from_secs(3));
    spec.session_timeout = SESSION_TIMEOUT;
    spec
}

pub const DEMO_TOPIC: &str = "orders";

/// The topic that a new cluster begins with. It forgets: an open tab must not fill a disk.
pub fn demo_topic() -> Action {
    let configs = [("retention.bytes", "4194304"), ("segment.bytes", "1048576")];
    Action::CreateTopic {
        topic: DEMO_TOPIC.into(),
        partitions: 3,
        replication: 1,
        configs: configs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

/// Who works on it: one producer and a group of two.
pub fn demo_clients() -> Clients {
    let mut clients = Clients::default();
    let mut shop = ProducerSpec::new("shop", DEMO_TOPIC);
    shop.millirate = 2_000;
    clients.insert(Action::AddProducer(shop));
    clients.insert(Action::AddConsumer(member("billing-1", "billing", DEMO_TOPIC)));
    clients.insert(Action::AddConsumer(member("billing-2", "billing", DEMO_TOPIC)));
    clients
}
