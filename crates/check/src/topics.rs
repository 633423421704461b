//! The topics that a run has, and what may become of their records. A name can be given again: what is promised of
//! a topic is promised under its id.

use shore_base::Uuid;
use shore_base::collections::BTreeMap;
use shore_broker::view::TopicView;
use shore_sim::Action;

use crate::wire_watch::Broken;

#[derive(Default)]
pub(crate) struct Topics {
    names: BTreeMap<String, Uuid>,
    ids: BTreeMap<Uuid, String>,
    asked: BTreeMap<String, Asked>,
}

/// What somebody asked to be done to the topics of a name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// Its records may go with it.
    pub delete: bool,
    /// Its keys may move.
    pub grow: bool,
    /// Its oldest records may go.
    pub trim: bool,
    /// Records may go that are not the last of their key.
    pub compact: bool,
    /// Not all of its offsets are records: those of transactions end with markers.
    pub has_markers: bool,
}

impl Topics {
    pub fn acted(&mut self, action: &Action) {
        match action {
            Action::CreateTopic { topic, configs, .. } => self.configured(topic, configs),
            Action::AlterConfigs { topic, set, .. } => self.configured(topic, set),
            Action::DeleteTopic { topic } => self.of(topic).delete = true,
            Action::CreatePartitions { topic, .. } => self.of(topic).grow = true,
            Action::DeleteRecords { topic, .. } => self.of(topic).trim = true,
            _ => {}
        }
    }

    fn configured(&mut self, topic: &str, configs: &BTreeMap<String, String>) {
        let asked = self.of(topic);
        asked.compact |= configs.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
        asked.trim |= configs.keys().any(|name| name.starts_with("retention."));
    }

    fn of(&mut self, topic: &str) -> &mut Asked {
        self.asked.entry(topic.to_owned()).or_default()
    }

    pub fn asked(&self, topic: &str) -> Asked {
        self.asked.get(topic).copied().unwrap_or_default()
    }

    pub fn has_markers(&mut self, topic: &str) {
        self.of(topic).has_markers = true;
    }

    pub fn created(&mut self, topic: &str, id: Uuid) {
        self.names.insert(topic.to_owned(), id);
        self.ids.insert(id, topic.to_owned());
    }

    pub fn deleted(&mut self, topic: &str, id: Uuid) {
        if self.names.get(topic) == Some(&id) {
            self.names.remove(topic);
        }
    }

    /// The topic that has a name now.
    pub fn id(&self, topic: &str) -> Option<Uuid> {
        self.names.get(topic).copied()
    }

    /// The name of a topic that is there or was.
    pub fn name(&self, id: Uuid) -> Option<&str> {
        self.ids.get(&id).map(String::as_str)
    }

    /// A node that is up says what there is. Names of topics that are gone, or others now, are returned.
    pub fn seen(&mut self, topics: &[TopicView]) -> (Vec<String>, Vec<Broken>) {
        let mut broken = Vec::new();
        let before = core::mem::take(&mut self.names);
        for topic in topics {
            self.created(&topic.name, topic.id);
        }
        let gone = before.iter().filter(|(name, id)| self.names.get(*name) != Some(*id));
        let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
        for name in gone.iter().filter(|name| !self.asked(name).delete) {
            broken.push(("6: what is acknowledged stays", format!("{name} is gone and nobody deleted it")));
        }
        (gone, broken)
    }
}
