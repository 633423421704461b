//! The page's state, and the one function that changes it. Nothing here touches the browser.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::api::Kind;
use crate::happening::{About, Happening};
use crate::message::{Config, Details, FromWorker, Refusal};
use crate::model::{Exchange, Screen};

/// As many requests stay in the log, and as many happenings.
pub const LOG_LENGTH: usize = 500;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    pub link: Link,
    pub screen: Screen,
    /// Newest last.
    pub log: VecDeque<Rc<Exchange>>,
    /// Newest last.
    pub happenings: VecDeque<Rc<Happening>>,
    pub tab: Tab,
    pub filter: Filter,
    pub selection: Option<Selection>,
    /// What the worker says of the selection.
    pub details: Option<Rc<Details>>,
    /// What a new topic would be configured with.
    pub defaults: Option<Rc<Vec<Config>>>,
    /// The configs of the topic that was asked for last.
    pub configs: Option<(Rc<str>, Rc<Vec<Config>>)>,
    pub dialog: Option<Dialog>,
    /// What the dialog asked for; it stays until that is done.
    pub asked: Option<Asked>,
    pub notice: Option<Notice>,
    pub internal_shown: bool,
    /// The last crash of the worker, until it is dismissed.
    pub crash: Option<Crash>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Crash {
    pub trace: Rc<str>,
    /// The cluster lay in memory and is gone.
    pub lost: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub id: u32,
    /// Why it was not done. Nothing that was filled in is lost.
    pub refused: Option<Rc<str>>,
}

/// What the list below the stage lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Requests,
    Events,
}

/// How it stands with the worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Link {
    #[default]
    Starting,
    Running,
    Refused(Refusal),
    /// The worker's file is of another build than the page's.
    Stale,
    /// Its file could not be loaded.
    Dead,
    /// It crashed too often. One that runs no cluster stands by to save a copy of the store, or to delete it.
    Broken,
}

/// What the panel shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    Broker,
    Topic { name: Rc<str> },
    Partition { topic: Rc<str>, partition: i32 },
    Batch { topic: Rc<str>, partition: i32, offset: i64 },
    Exchange { id: u64 },
    Producer { name: Rc<str> },
    Group { id: Rc<str> },
    Member { group: Rc<str>, member_id: Rc<str> },
    Transaction { id: Rc<str> },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Dialog {
    NewTopic,
    DeleteTopic {
        topic: Rc<str>,
    },
    AlterConfigs {
        topic: Rc<str>,
    },
    CreatePartitions {
        topic: Rc<str>,
    },
    /// Up to an offset to begin with.
    DeleteRecords {
        topic: Rc<str>,
        partition: i32,
        offset: i64,
    },
    NewProducer,
    NewMember,
    NewCopier,
    Send {
        topic: Option<Rc<str>>,
    },
    Reset,
    Help,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub text: Rc<str>,
    pub bad: bool,
    /// Told apart from the one before, so that the same words can be said twice.
    pub number: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    hidden: Vec<Kind>,
    pub text: Rc<str>,
    /// Nothing new is added while the log is read.
    pub held: bool,
}

impl Filter {
    pub fn shows(&self, kind: Kind) -> bool {
        !self.hidden.contains(&kind)
    }

    fn toggle(&mut self, kind: Kind) {
        match self.hidden.iter().position(|&hidden| hidden == kind) {
            Some(place) => drop(self.hidden.remove(place)),
            None => self.hidden.push(kind),
        }
    }

    fn takes(&self, exchange: &Exchange) -> bool {
        self.shows(Kind::of(exchange.api_key)) && (self.text.is_empty() || self.finds(exchange))
    }

    fn finds(&self, exchange: &Exchange) -> bool {
        let wanted = self.text.to_lowercase();
        let error = exchange.answer.as_ref().and_then(|answer| answer.error.as_deref()).unwrap_or_default();
        [&crate::api::name(exchange.api_key), &*exchange.client, &*exchange.about, error]
            .iter()
            .any(|text| text.to_lowercase().contains(&wanted))
    }
}

#[derive(Clone, Debug)]
pub enum Msg {
    FromWorker(FromWorker),
    Select(Option<Selection>),
    Open(Option<Dialog>),
    /// The dialog sent a command of this number.
    Asked(u32),
    Show(Tab),
    Filter(Kind),
    FilterText(Rc<str>),
    HoldLog(bool),
    ShowInternal(bool),
    Say {
        text: Rc<str>,
        bad: bool,
    },
    Dismiss,
    DismissCrash,
    Link(Link),
}

impl App {
    pub fn reduce(&self, msg: Msg) -> Self {
        let mut next = self.clone();
        match msg {
            Msg::FromWorker(message) => next.hear(message),
            Msg::Select(selection) => {
                if selection != next.selection {
                    next.details = None;
                }
                next.selection = selection;
            }
            Msg::Open(dialog) => (next.dialog, next.asked) = (dialog, None),
            Msg::Asked(id) => next.asked = Some(Asked { id, refused: None }),
            Msg::Show(tab) => next.tab = tab,
            Msg::Filter(kind) => next.filter.toggle(kind),
            Msg::FilterText(text) => next.filter.text = text,
            Msg::HoldLog(held) => next.filter.held = held,
            Msg::ShowInternal(shown) => next.internal_shown = shown,
            Msg::Say { text, bad } => next.say(text, bad),
            Msg::Dismiss => next.notice = None,
            Msg::DismissCrash => next.crash = None,
            Msg::Link(link) => next.link = link,
        }
        next
    }

    fn hear(&mut self, message: FromWorker) {
        match message {
            FromWorker::Ready { .. } | FromWorker::Exported { .. } => {}
            FromWorker::Gone => (self.dialog, self.asked) = (None, None),
            FromWorker::Opened => {
                self.link = Link::Running;
                self.screen = Screen::default();
                self.log.clear();
                self.happenings.clear();
            }
            FromWorker::Refused(refusal) => self.link = Link::Refused(refusal),
            FromWorker::Delta(mut delta) => {
                for exchange in std::mem::take(&mut delta.exchanges) {
                    self.note(exchange);
                }
                for happening in std::mem::take(&mut delta.happenings) {
                    self.happened(happening);
                }
                self.screen.apply(*delta);
                self.drop_stale_selection();
            }
            FromWorker::Done { id, result } => self.done(id, result),
            FromWorker::Details { details: Details::Configs { topic, configs }, .. } => match topic {
                Some(topic) => self.configs = Some((topic, Rc::new(configs))),
                None => self.defaults = Some(Rc::new(configs)),
            },
            FromWorker::Details { details, .. } => self.details = Some(Rc::new(details)),
            FromWorker::Crashed { trace } => {
                self.crash = Some(Crash { trace, lost: self.screen.storage.volatile.is_some() });
                self.link = Link::Starting;
                if let Some(asked) = self.asked.as_mut().filter(|asked| asked.refused.is_none()) {
                    asked.refused = Some("The cluster crashed before it answered.".into());
                }
            }
        }
    }

    /// A command was carried out or refused. What the open dialog asked for is answered there.
    fn done(&mut self, id: u32, result: Result<Rc<str>, Rc<str>>) {
        let asked = self.asked.as_mut().filter(|asked| asked.id == id);
        match (asked, result) {
            (Some(asked), Err(why)) => asked.refused = Some(why),
            (None, Err(why)) => self.say(why, true),
            (asked, Ok(text)) => {
                if asked.is_some() {
                    (self.dialog, self.asked) = (None, None);
                }
                if !text.is_empty() {
                    self.say(text, false);
                }
            }
        }
    }

    fn happened(&mut self, happening: Happening) {
        if self.happenings.len() >= LOG_LENGTH {
            self.happenings.pop_front();
        }
        self.happenings.push_back(Rc::new(happening));
    }

    /// What happened to one thing, newest first.
    pub fn happened_to(&self, about: &About) -> impl Iterator<Item = &Rc<Happening>> {
        self.happenings.iter().rev().filter(move |happening| happening.about == *about)
    }

    /// A new exchange, or the answer to a known one.
    fn note(&mut self, exchange: Exchange) {
        let known = self.log.iter_mut().rev().find(|known| known.id == exchange.id);
        match known {
            Some(known) => *known = Rc::new(exchange),
            None if self.filter.held => {}
            None => {
                if self.log.len() >= LOG_LENGTH {
                    self.log.pop_front();
                }
                self.log.push_back(Rc::new(exchange));
            }
        }
    }

    fn say(&mut self, text: Rc<str>, bad: bool) {
        let number = self.notice.as_ref().map_or(0, |notice| notice.number) + 1;
        self.notice = Some(Notice { text, bad, number });
    }

    fn drop_stale_selection(&mut self) {
        let there = match &self.selection {
            Some(Selection::Partition { topic, partition } | Selection::Batch { topic, partition, .. }) => {
                self.screen.partition(topic, *partition).is_some()
            }
            Some(Selection::Topic { name }) => self.screen.topic(name).is_some(),
            Some(Selection::Transaction { id }) => self.screen.transactions.iter().any(|known| known.id == *id),
            Some(Selection::Producer { name }) => self.screen.producers.iter().any(|producer| producer.name == *name),
            Some(Selection::Group { id }) => self.screen.groups.iter().any(|group| group.id == *id),
            Some(Selection::Member { group, member_id }) => {
                self.screen.groups.iter().any(|known| {
                    known.id == *group && known.members.iter().any(|member| member.member_id == *member_id)
                })
            }
            Some(Selection::Broker | Selection::Exchange { .. }) | None => true,
        };
        if !there {
            self.selection = None;
            self.details = None;
        }
    }

    /// The log as filtered, newest first.
    pub fn shown_log(&self) -> impl Iterator<Item = &Rc<Exchange>> {
        self.log.iter().rev().filter(|exchange| self.filter.takes(exchange))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Answer, Delta};

    fn delta(exchanges: Vec<Exchange>) -> Msg {
        Msg::FromWorker(FromWorker::Delta(Box::new(Delta { exchanges, ..Delta::default() })))
    }

    fn exchange(id: u64, api_key: i16) -> Exchange {
        Exchange { id, api_key, client: "shop".into(), ..Exchange::default() }
    }

    #[test]
    fn an_answer_finds_its_request() {
        let app = App::default().reduce(delta(vec![exchange(1, 0), exchange(2, 1)]));
        let answered = Exchange { answer: Some(Answer { bytes: 9, ..Answer::default() }), ..exchange(1, 0) };
        let app = app.reduce(delta(vec![answered]));
        let log: Vec<_> = app.shown_log().map(|exchange| (exchange.id, exchange.answer.is_some())).collect();
        assert_eq!(log, [(2, false), (1, true)]);
    }

    #[test]
    fn the_log_forgets_the_oldest() {
        let all = (0..LOG_LENGTH as u64 + 5).map(|id| exchange(id, 0)).collect();
        let app = App::default().reduce(delta(all));
        assert_eq!((app.log.len(), app.log[0].id), (LOG_LENGTH, 5));
    }

    #[test]
    fn filters_hide_kinds_and_find_words() {
        let app = App::default().reduce(delta(vec![exchange(1, 0), exchange(2, 1), exchange(3, 12)]));
        let shown = |app: &App| app.shown_log().map(|exchange| exchange.id).collect::<Vec<_>>();
        let without_fetch = app.reduce(Msg::Filter(Kind::Fetch));
        assert_eq!(shown(&without_fetch), [3, 1]);
        assert_eq!(shown(&without_fetch.reduce(Msg::Filter(Kind::Fetch))), [3, 2, 1]);
        assert_eq!(shown(&app.reduce(Msg::FilterText("SHOP".into()))), [3, 2, 1]);
        assert_eq!(shown(&app.reduce(Msg::FilterText("heart".into()))), [3]);
    }

    #[test]
    fn a_deleted_topic_takes_the_panel_with_it() {
        let app = App::default().reduce(Msg::Select(Some(Selection::Partition { topic: "gone".into(), partition: 0 })));
        assert_eq!(app.reduce(delta(vec![])).selection, None);
    }

    #[test]
    fn a_restarted_worker_is_heard_from_the_beginning() {
        let app = App::default().reduce(delta(vec![exchange(9, 0)]));
        let app = app.reduce(Msg::FromWorker(FromWorker::Crashed { trace: "it broke".into() }));
        let crash = Crash { trace: "it broke".into(), lost: false };
        assert_eq!((app.link.clone(), app.crash.clone()), (Link::Starting, Some(crash)));
        let app = app.reduce(Msg::FromWorker(FromWorker::Opened));
        assert!(app.log.is_empty() && app.link == Link::Running && app.crash.is_some());
    }

    #[test]
    fn a_dialog_stays_until_what_it_asked_for_is_done() {
        let done = |id, result| Msg::FromWorker(FromWorker::Done { id, result });
        let app = App::default().reduce(Msg::Open(Some(Dialog::NewTopic))).reduce(Msg::Asked(7));
        let app = app.reduce(done(6, Ok("Something else.".into())));
        assert!(app.dialog.is_some() && app.notice.is_some(), "another command is said beside it");
        let refused = app.reduce(done(7, Err("INVALID_CONFIG: no".into())));
        let asked = Asked { id: 7, refused: Some("INVALID_CONFIG: no".into()) };
        assert_eq!((&refused.dialog, &refused.asked), (&Some(Dialog::NewTopic), &Some(asked)));
        let again = refused.reduce(Msg::Asked(8));
        assert_eq!(again.asked, Some(Asked { id: 8, refused: None }));
        let over = again.reduce(done(8, Ok("".into())));
        assert_eq!((over.dialog, over.asked), (None, None));
        let crashed = again.reduce(Msg::FromWorker(FromWorker::Crashed { trace: "".into() }));
        assert!(crashed.dialog.is_some() && crashed.asked.is_some_and(|asked| asked.refused.is_some()));
    }

    #[test]
    fn what_happened_is_found_by_what_it_happened_to() {
        let group = |id: u64, name: &str| Happening {
            id,
            at_micros: id,
            about: About::Group(name.into()),
            text: "it changed".into(),
            step: None,
            matters: false,
        };
        let happenings = vec![group(1, "a"), group(2, "b"), group(3, "a")];
        let delta = Delta { happenings, ..Delta::default() };
        let app = App::default().reduce(Msg::FromWorker(FromWorker::Delta(Box::new(delta))));
        let found: Vec<_> = app.happened_to(&About::Group("a".into())).map(|happening| happening.id).collect();
        assert_eq!(found, [3, 1]);
    }
}
