//! What every component may do: change the page's state, and talk to the worker.

use std::rc::Rc;

use shore_view::message::{Command, Question};
use shore_view::state::{App, Dialog, Msg, Selection};
use yew::prelude::*;

use super::link::WorkerLink;

/// The page's state as Yew wants it.
#[derive(Clone, Default, PartialEq)]
pub struct Store(pub App);

impl Reducible for Store {
    type Action = Msg;

    fn reduce(self: Rc<Self>, message: Msg) -> Rc<Self> {
        Rc::new(Self(self.0.reduce(message)))
    }
}

#[derive(Clone)]
pub struct Ui {
    pub dispatch: UseReducerDispatcher<Store>,
    pub link: Rc<WorkerLink>,
}

impl PartialEq for Ui {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.link, &other.link)
    }
}

impl Ui {
    pub fn message(&self, message: Msg) {
        self.dispatch.dispatch(message);
    }

    pub fn command(&self, command: Command) {
        self.link.command(command);
    }

    pub fn open(&self, dialog: Dialog) {
        self.message(Msg::Open(Some(dialog)));
    }

    pub fn say(&self, text: &str, bad: bool) {
        self.message(Msg::Say { text: text.into(), bad });
    }

    /// Shows something in the panel, and asks the worker for what the screen does not have of it.
    pub fn select(&self, selection: Selection) {
        let question = match &selection {
            Selection::Batch { topic, partition, offset } => {
                Some(Question::Batch { topic: topic.clone(), partition: *partition, offset: *offset })
            }
            Selection::Exchange { id } => Some(Question::Exchange { id: *id }),
            Selection::Partition { topic, partition } => {
                Some(Question::Partition { topic: topic.clone(), partition: *partition })
            }
            _ => None,
        };
        self.message(Msg::Select(Some(selection)));
        if let Some(question) = question {
            self.link.ask(question);
        }
    }

    pub fn on_select(&self, selection: Selection) -> Callback<MouseEvent> {
        let ui = self.clone();
        Callback::from(move |_| ui.select(selection.clone()))
    }

    pub fn on_command(&self, command: Command) -> Callback<MouseEvent> {
        let ui = self.clone();
        Callback::from(move |_| ui.command(command.clone()))
    }

    pub fn on_open(&self, dialog: Dialog) -> Callback<MouseEvent> {
        let ui = self.clone();
        Callback::from(move |_| ui.open(dialog.clone()))
    }
}

#[hook]
pub fn use_ui() -> Ui {
    use_context().expect("every component lies below the page, which provides it")
}
