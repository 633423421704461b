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

    /// The open dialog's command: it stays open until that is done.
    pub fn command_of_dialog(&self, command: Command) {
        let id = self.link.command(command);
        self.message(Msg::Asked(id));
    }

    pub fn open(&self, dialog: Dialog) {
        match &dialog {
            Dialog::NewTopic => self.link.ask(Question::Configs { topic: None }),
            Dialog::AlterConfigs { topic } => self.link.ask(Question::Configs { topic: Some(topic.clone()) }),
            _ => {}
        }
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

/// Asks the worker, and asks again whenever what it is about has changed.
#[hook]
pub fn use_question<T: PartialEq + 'static>(question: Question, about: T) {
    let ui = use_ui();
    use_effect_with((question, about), move |(question, _)| ui.link.ask(question.clone()));
}
