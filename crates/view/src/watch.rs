//! The world's events as exchanges of requests and responses, and the frames of the last ones for
//! whoever wants to look into them.

use std::rc::Rc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Instant};
use shore_sim::{Event, EventKind};
use shore_wire::frame::{decode_request_head, response_correlation_id};

use crate::decode::{About, Load, TopicRef, about_request, about_response, request_details, response_details};
use crate::happening::{Happening, happening};
use crate::message::{Details, ExchangeDetails};
use crate::model::{Answer, Carried, Exchange, Screen};
use crate::rebalance::Rebalances;

/// Frames of the last exchanges are kept up to this many bytes.
const KEPT_BYTES: usize = 8 * 1024 * 1024;
/// A turn with more requests than this tells of the newest.
const MOST_AT_ONCE: usize = 300;

/// Follows the requests of a world.
#[derive(Default)]
pub struct Watch {
    next_id: u64,
    /// Requests without an answer, by connection and correlation id.
    open: BTreeMap<(ConnId, i32), u64>,
    kept: BTreeMap<u64, Kept>,
    kept_bytes: usize,
    /// What the page has not heard of yet.
    news: BTreeMap<u64, Exchange>,
    happenings: Vec<Happening>,
    next_happening: u64,
    topic_names: BTreeMap<[u8; 16], Rc<str>>,
    rebalances: Rebalances,
}

struct Kept {
    exchange: Exchange,
    request: Bytes,
    response: Option<Bytes>,
}

impl Watch {
    /// Newer versions of requests name topics by id alone.
    pub fn know_topic(&mut self, id: [u8; 16], name: &Rc<str>) {
        self.topic_names.entry(id).or_insert_with(|| name.clone());
    }

    pub fn note(&mut self, event: &Event) {
        self.rebalances.note(event);
        match &event.kind {
            EventKind::RequestSent { conn, frame, .. } => self.request(event.at, *conn, frame),
            EventKind::ResponseArrived { conn, frame } => self.response(event.at, *conn, frame),
            EventKind::Node { event: inner, .. } => self.happened(event.at, inner),
            EventKind::Closed { conn, .. } => self.open.retain(|(open, _), _| open != conn),
            _ => {}
        }
    }

    /// New exchanges and new answers since the last call.
    pub fn take_news(&mut self) -> Vec<Exchange> {
        let mut news = std::mem::take(&mut self.news);
        while news.len() > MOST_AT_ONCE {
            news.pop_first();
        }
        news.into_values().collect()
    }

    fn happened(&mut self, at: Instant, event: &shore_broker::event::Event) {
        let Some(happening) = happening(event) else { return };
        self.next_happening += 1;
        self.happenings.push(Happening { id: self.next_happening, at_micros: at.as_micros(), ..happening });
        if self.happenings.len() > 2 * MOST_AT_ONCE {
            self.happenings.drain(..MOST_AT_ONCE);
        }
    }

    /// What happened inside the broker since the last call.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Draws what a snapshot does not show: how things came to be as they are.
    pub fn complete(&mut self, screen: &mut Screen) {
        self.rebalances.complete(screen);
    }

    pub fn details(&self, id: u64) -> Details {
        let Some(kept) = self.kept.get(&id) else {
            return Details::Gone {
                why: "Its bytes are not kept any more: only those of the last requests are.".into(),
            };
        };
        let response = kept.response.as_ref();
        Details::Exchange(ExchangeDetails {
            request: request_details(&kept.request),
            response: response.map(|frame| response_details(kept.exchange.api_key, kept.exchange.version, frame)),
        })
    }

    fn request(&mut self, at: Instant, conn: ConnId, frame: &Bytes) {
        let Ok((head, body)) = decode_request_head(frame) else { return };
        let about = about_request(head.api_key, head.api_version, &body);
        self.next_id += 1;
        let exchange = Exchange {
            id: self.next_id,
            sent_micros: at.as_micros(),
            client: head.client_id.as_ref().map_or("", |id| id.as_str()).into(),
            api_key: head.api_key,
            version: head.api_version,
            correlation: head.correlation_id,
            request_bytes: frame.len() as u32,
            answer: None,
            about: self.words(&about),
            carries: self.carried(&about.loads),
        };
        self.open.insert((conn, head.correlation_id), exchange.id);
        self.kept_bytes += frame.len();
        let kept = Kept { exchange: exchange.clone(), request: frame.clone(), response: None };
        self.kept.insert(exchange.id, kept);
        self.news.insert(exchange.id, exchange);
        self.forget_old();
    }

    fn response(&mut self, at: Instant, conn: ConnId, frame: &Bytes) {
        let Some(correlation) = response_correlation_id(frame) else { return };
        let Some(id) = self.open.remove(&(conn, correlation)) else { return };
        let Some(mut kept) = self.kept.remove(&id) else { return };
        let exchange = &mut kept.exchange;
        let about = about_response(exchange.api_key, exchange.version, frame);
        if !about.loads.is_empty() {
            exchange.about = self.words(&about);
            exchange.carries = self.carried(&about.loads);
        }
        exchange.answer = Some(Answer {
            micros: at.as_micros().saturating_sub(exchange.sent_micros),
            bytes: frame.len() as u32,
            error: about.error,
        });
        self.news.insert(id, exchange.clone());
        self.kept_bytes += frame.len();
        kept.response = Some(frame.clone());
        self.kept.insert(id, kept);
        self.forget_old();
    }

    fn forget_old(&mut self) {
        while self.kept_bytes > KEPT_BYTES && self.kept.len() > 1 {
            let Some((_, oldest)) = self.kept.pop_first() else { return };
            self.kept_bytes -= oldest.request.len() + oldest.response.map_or(0, |frame| frame.len());
        }
        while self.news.len() > 2 * MOST_AT_ONCE {
            self.news.pop_first();
        }
    }

    fn words(&self, about: &About) -> Rc<str> {
        if let Some(name) = &about.name {
            return name.clone();
        }
        let asked = about.asks.iter().map(|(topic, partition)| format!("{}-{partition}", self.name(topic)));
        let loaded = about.loads.iter().map(|load| {
            let records = if load.records == 1 { "record" } else { "records" };
            format!("{}-{}: {} {records}", self.name(&load.topic), load.partition, load.records)
        });
        let words: Vec<String> = loaded.chain(asked).take(6).collect();
        words.join(", ").into()
    }

    fn carried(&self, loads: &[Load]) -> Vec<Carried> {
        let carried =
            |load: &Load| Carried { topic: self.name(&load.topic), partition: load.partition, bytes: load.bytes };
        loads.iter().map(carried).collect()
    }

    fn name(&self, topic: &TopicRef) -> Rc<str> {
        match topic {
            TopicRef::Name(name) => name.clone(),
            TopicRef::Id(id) => {
                self.topic_names.get(id).cloned().unwrap_or_else(|| shore_base::Uuid(*id).to_string().into())
            }
        }
    }
}
