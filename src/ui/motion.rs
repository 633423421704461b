//! What travels between clients and broker: one canvas, one animation loop that runs only while
//! something flies. A request and its response are drawn in the colour of their kind; what carries
//! records is a bar, the rest a dot.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use shore_base::collections::BTreeMap;
use shore_view::api::Kind;
use shore_view::model::Exchange;
use wasm_bindgen::prelude::*;
use web_sys::{CanvasRenderingContext2d, DomRect, Element, HtmlCanvasElement};
use yew::NodeRef;

use super::browser;

/// A flight takes as long as an eye needs, whatever the latency was.
const FLIGHT_MILLIS: f64 = 520.0;
/// A burst is drawn up to this many; the log has them all.
const MAX_FLIGHTS: usize = 90;

#[derive(Clone)]
pub struct Motion(Rc<Inner>);

impl PartialEq for Motion {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

/// What the browser calls for each animation frame, with the time.
type OnFrame = Closure<dyn Fn(f64)>;

struct Inner {
    stage: RefCell<NodeRef>,
    canvas: RefCell<NodeRef>,
    flights: RefCell<Vec<Flight>>,
    /// Exchanges whose request was drawn: only their answers are.
    drawn: RefCell<BTreeMap<u64, f64>>,
    colors: RefCell<(f64, BTreeMap<Kind, String>)>,
    running: Cell<bool>,
    frame: RefCell<Option<OnFrame>>,
}

#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
}

struct Flight {
    from: Point,
    to: Point,
    /// It leaves and arrives level, not upright.
    level: bool,
    start: f64,
    kind: Kind,
    /// Bytes of records; 0 for what carries none.
    carries: u32,
    answer: bool,
}

impl Motion {
    pub fn new() -> Self {
        Self(Rc::new(Inner {
            stage: RefCell::default(),
            canvas: RefCell::default(),
            flights: RefCell::default(),
            drawn: RefCell::default(),
            colors: RefCell::default(),
            running: Cell::new(false),
            frame: RefCell::new(None),
        }))
    }

    /// Where to look for the clients and partitions, and what to draw on.
    pub fn attach(&self, stage: NodeRef, canvas: NodeRef) {
        *self.0.stage.borrow_mut() = stage;
        *self.0.canvas.borrow_mut() = canvas;
        let motion = self.clone();
        let frame = OnFrame::new(move |_| motion.draw_frame());
        *self.0.frame.borrow_mut() = Some(frame);
    }

    pub fn feed(&self, exchanges: &[Exchange]) {
        if exchanges.is_empty() || browser::prefers_less_motion() {
            return;
        }
        let Some(anchors) = self.anchors() else { return };
        let now = browser::now_millis();
        for exchange in exchanges {
            self.launch(exchange, &anchors, now);
        }
        self.0.drawn.borrow_mut().retain(|_, start| now - *start < 60_000.0);
        if !self.0.flights.borrow().is_empty() && !self.0.running.replace(true) {
            self.request_frame();
        }
    }

    fn launch(&self, exchange: &Exchange, anchors: &Anchors, now: f64) {
        let mut flights = self.0.flights.borrow_mut();
        if flights.len() >= MAX_FLIGHTS {
            return;
        }
        let kind = Kind::of(exchange.api_key);
        let Some(client) = anchors.get(&format!("client:{}", exchange.client)) else { return };
        let targets: Vec<(&Rect, u32)> = exchange
            .carries
            .iter()
            .filter_map(|carried| {
                Some((anchors.get(&format!("partition:{}-{}", carried.topic, carried.partition))?, carried.bytes))
            })
            .collect();
        let mut drawn = self.0.drawn.borrow_mut();
        let sent = *drawn.entry(exchange.id).or_insert_with(|| {
            let produces = kind == Kind::Produce && !targets.is_empty();
            let ends = if produces {
                targets.clone()
            } else {
                anchors.get("broker").map(|broker| (broker, 0)).into_iter().collect()
            };
            flights.extend(ends.into_iter().map(|(end, carries)| Flight::new(client, end, now, kind, carries, false)));
            now
        });
        if exchange.answer.is_none() {
            return;
        }
        let start = now.max(sent + FLIGHT_MILLIS);
        if kind == Kind::Fetch && !targets.is_empty() {
            flights
                .extend(targets.iter().map(|(from, carries)| Flight::new(from, client, start, kind, *carries, true)));
        } else if let Some(from) = targets.first().map(|target| target.0).or_else(|| anchors.get("broker")) {
            flights.push(Flight::new(from, client, start, kind, 0, true));
        }
        drawn.remove(&exchange.id);
    }

    fn draw_frame(&self) {
        let now = browser::now_millis();
        self.0.flights.borrow_mut().retain(|flight| now < flight.start + FLIGHT_MILLIS);
        let more = !self.0.flights.borrow().is_empty();
        self.draw(now);
        self.0.running.set(more);
        if more {
            self.request_frame();
        }
    }

    fn request_frame(&self) {
        if let Some(frame) = &*self.0.frame.borrow() {
            let _ = browser::window().request_animation_frame(frame.as_ref().unchecked_ref());
        }
    }

    fn draw(&self, now: f64) {
        let Some(canvas) = self.0.canvas.borrow().cast::<HtmlCanvasElement>() else { return };
        let Some(pen) = prepare(&canvas) else { return };
        self.refresh_colors(&canvas, now);
        let colors = &self.0.colors.borrow().1;
        for flight in self.0.flights.borrow().iter() {
            if now >= flight.start
                && let Some(color) = colors.get(&flight.kind)
            {
                flight.draw(&pen, color, (now - flight.start) / FLIGHT_MILLIS);
            }
        }
    }

    /// The style sheet owns the colours; they change with the theme.
    fn refresh_colors(&self, canvas: &HtmlCanvasElement, now: f64) {
        let mut colors = self.0.colors.borrow_mut();
        if now - colors.0 < 1_000.0 && !colors.1.is_empty() {
            return;
        }
        colors.0 = now;
        for kind in Kind::ALL {
            canvas.set_class_name(&format!("motion kind-{}", kind.slug()));
            let style = browser::window().get_computed_style(canvas).ok().flatten();
            if let Some(color) = style.and_then(|style| style.get_property_value("color").ok()) {
                colors.1.insert(kind, color);
            }
        }
        canvas.set_class_name("motion");
    }

    fn anchors(&self) -> Option<Anchors> {
        let stage = self.0.stage.borrow().cast::<Element>()?;
        let origin = stage.get_bounding_client_rect();
        let found = stage.query_selector_all("[data-anchor]").ok()?;
        let mut anchors = Anchors::new();
        for index in 0..found.length() {
            let Some(element) = found.item(index).and_then(|node| node.dyn_into::<Element>().ok()) else { continue };
            if let Some(name) = element.get_attribute("data-anchor") {
                anchors.insert(name, Rect::within(&origin, &element.get_bounding_client_rect()));
            }
        }
        Some(anchors)
    }
}

type Anchors = BTreeMap<String, Rect>;

#[derive(Clone, Copy)]
struct Rect {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Rect {
    fn within(origin: &DomRect, rect: &DomRect) -> Self {
        Self {
            left: rect.left() - origin.left(),
            right: rect.right() - origin.left(),
            top: rect.top() - origin.top(),
            bottom: rect.bottom() - origin.top(),
        }
    }

    fn middle(&self) -> Point {
        Point { x: f64::midpoint(self.left, self.right), y: f64::midpoint(self.top, self.bottom) }
    }
}

impl Flight {
    /// From edge to facing edge: sideways where the two stand side by side, else up or down.
    fn new(from: &Rect, to: &Rect, start: f64, kind: Kind, carries: u32, answer: bool) -> Self {
        let (a, b) = (from.middle(), to.middle());
        let level = from.right <= to.left || to.right <= from.left;
        // What goes and what comes keep to their own side of the way.
        let lane = if answer { 5.0 } else { -5.0 };
        // A tall target is met at the height of whoever comes, as far as it reaches there.
        let meet = |own: f64, other: &Rect| own.clamp(other.top + 14.0, (other.bottom - 14.0).max(other.top + 14.0));
        let (from, to) = if level {
            let (leave, arrive) = if from.right <= to.left { (from.right, to.left) } else { (from.left, to.right) };
            let (from_y, to_y) = (meet(b.y, from).min(a.y.max(meet(b.y, from))), meet(a.y, to));
            let from_y = if from.bottom - from.top > 300.0 { from_y } else { a.y };
            let to_y = if to.bottom - to.top > 300.0 { to_y } else { b.y };
            (Point { x: leave, y: from_y + lane }, Point { x: arrive, y: to_y + lane })
        } else {
            let down = a.y < b.y;
            let (leave, arrive) = if down { (from.bottom, to.top) } else { (from.top, to.bottom) };
            (Point { x: a.x + lane, y: leave }, Point { x: b.x + lane, y: arrive })
        };
        Self { from, to, level, start, kind, carries, answer }
    }

    fn draw(&self, pen: &CanvasRenderingContext2d, color: &str, progress: f64) {
        let (bend_from, bend_to) = self.bends();
        pen.set_stroke_style_str(color);
        pen.set_fill_style_str(color);
        pen.set_line_width(1.0);
        pen.set_global_alpha(0.28 * (1.0 - (2.0 * progress - 1.0).powi(4)));
        pen.begin_path();
        pen.move_to(self.from.x, self.from.y);
        pen.bezier_curve_to(bend_from.x, bend_from.y, bend_to.x, bend_to.y, self.to.x, self.to.y);
        pen.stroke();

        let eased = progress * progress * (3.0 - 2.0 * progress);
        let at = bezier([self.from, bend_from, bend_to, self.to], eased);
        pen.set_global_alpha((progress.min(1.0 - progress) * 9.0).min(1.0));
        pen.begin_path();
        if self.carries > 0 {
            let long = (f64::from(self.carries).sqrt() * 1.1).clamp(9.0, 30.0);
            let (width, height) = if self.level { (long, 8.0) } else { (8.0, long) };
            let _ = pen.round_rect_with_f64(at.x - width / 2.0, at.y - height / 2.0, width, height, 3.0);
            pen.fill();
        } else if self.answer {
            let _ = pen.arc(at.x, at.y, 3.0, 0.0, std::f64::consts::TAU);
            pen.set_line_width(1.6);
            pen.stroke();
        } else {
            let _ = pen.arc(at.x, at.y, 3.2, 0.0, std::f64::consts::TAU);
            pen.fill();
        }
    }

    fn bends(&self) -> (Point, Point) {
        if self.level {
            let bend = (self.to.x - self.from.x) * 0.5;
            (Point { x: self.from.x + bend, ..self.from }, Point { x: self.to.x - bend, ..self.to })
        } else {
            let bend = (self.to.y - self.from.y) * 0.5;
            (Point { y: self.from.y + bend, ..self.from }, Point { y: self.to.y - bend, ..self.to })
        }
    }
}

fn bezier([a, b, c, d]: [Point; 4], t: f64) -> Point {
    let s = 1.0 - t;
    let mix =
        |a: f64, b: f64, c: f64, d: f64| s * s * s * a + 3.0 * s * s * t * b + 3.0 * s * t * t * c + t * t * t * d;
    Point { x: mix(a.x, b.x, c.x, d.x), y: mix(a.y, b.y, c.y, d.y) }
}

/// Fits the canvas to its size on the screen and clears it.
fn prepare(canvas: &HtmlCanvasElement) -> Option<CanvasRenderingContext2d> {
    let scale = browser::window().device_pixel_ratio().clamp(1.0, 2.0);
    let (width, height) = (f64::from(canvas.client_width()), f64::from(canvas.client_height()));
    let pixels = ((width * scale) as u32, (height * scale) as u32);
    if (canvas.width(), canvas.height()) != pixels {
        canvas.set_width(pixels.0);
        canvas.set_height(pixels.1);
    }
    let pen: CanvasRenderingContext2d = canvas.get_context("2d").ok().flatten()?.dyn_into().ok()?;
    let _ = pen.set_transform(scale, 0.0, 0.0, scale, 0.0, 0.0);
    pen.clear_rect(0.0, 0.0, width, height);
    Some(pen)
}
