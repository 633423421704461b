//! What travels between clients and broker: one canvas over the part of the stage that is in sight, one animation
//! loop that runs only while something flies. A request and its response are drawn in the colour of their kind; what
//! carries records is a bar, the rest a dot.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo_events::{EventListener, EventListenerOptions};
use shore_base::collections::BTreeMap;
use shore_view::api::Kind;
use shore_view::model::Exchange;
use wasm_bindgen::prelude::*;
use web_sys::{CanvasRenderingContext2d, DomRect, Element, HtmlCanvasElement, HtmlElement, ResizeObserver};
use yew::NodeRef;

use super::browser;

/// A flight takes as long as an eye needs, whatever the latency was.
const FLIGHT_MILLIS: f64 = 520.0;
/// A burst is drawn up to this many; the log has them all.
const MAX_FLIGHTS: usize = 60;

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
    /// The part of the stage that is in sight, in its own coordinates.
    sight: Cell<Rect>,
    /// It may be another one.
    scrolled: Cell<bool>,
    running: Cell<bool>,
    frame: RefCell<Option<OnFrame>>,
    /// What tells that things have moved.
    watching: RefCell<Option<Watching>>,
}

struct Watching {
    observer: Option<ResizeObserver>,
    _on_resize: Closure<dyn Fn()>,
    _on_scroll: EventListener,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer {
            observer.disconnect();
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Point {
    x: f64,
    y: f64,
}

struct Flight {
    /// Anchors: it finds its way anew when they move.
    from: Rc<str>,
    to: Rc<str>,
    way: Way,
    start: f64,
    kind: Kind,
    /// Bytes of records; 0 for what carries none.
    carries: u32,
    answer: bool,
}

#[derive(Clone, Copy, Default)]
struct Way {
    from: Point,
    to: Point,
    /// It leaves and arrives level, not upright.
    level: bool,
}

impl Motion {
    pub fn new() -> Self {
        Self(Rc::new(Inner {
            stage: RefCell::default(),
            canvas: RefCell::default(),
            flights: RefCell::default(),
            drawn: RefCell::default(),
            colors: RefCell::default(),
            sight: Cell::default(),
            scrolled: Cell::new(true),
            running: Cell::new(false),
            frame: RefCell::new(None),
            watching: RefCell::new(None),
        }))
    }

    /// Where to look for the clients and partitions, and what to draw on.
    pub fn attach(&self, stage: NodeRef, canvas: NodeRef) {
        let motion = self.clone();
        *self.0.frame.borrow_mut() = Some(OnFrame::new(move |_| motion.draw_frame()));
        let motion = self.clone();
        let on_resize = Closure::<dyn Fn()>::new(move || drop(motion.moved()));
        let motion = self.clone();
        let capture = EventListenerOptions::run_in_capture_phase();
        let on_scroll = EventListener::new_with_options(&browser::window(), "scroll", capture, move |_| {
            motion.0.scrolled.set(true);
        });
        let observer = ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(stage)) = (&observer, stage.cast::<Element>()) {
            observer.observe(&stage);
            stage.parent_element().iter().for_each(|region| observer.observe(region));
        }
        *self.0.watching.borrow_mut() = Some(Watching { observer, _on_resize: on_resize, _on_scroll: on_scroll });
        *self.0.stage.borrow_mut() = stage;
        *self.0.canvas.borrow_mut() = canvas;
    }

    pub fn feed(&self, exchanges: &[Exchange]) {
        if exchanges.is_empty() || browser::prefers_less_motion() {
            return;
        }
        let Some(anchors) = self.moved() else { return };
        let now = browser::now_millis();
        for exchange in exchanges {
            self.launch(exchange, &anchors, now);
        }
        self.0.drawn.borrow_mut().retain(|_, start| now - *start < 60_000.0);
        if !self.0.flights.borrow().is_empty() && !self.0.running.replace(true) {
            self.request_frame();
        }
    }

    /// Looks where everything is, and lets what is on its way go there.
    fn moved(&self) -> Option<Anchors> {
        let stage = self.0.stage.borrow().cast::<Element>()?;
        self.look(&stage);
        let anchors = anchors(&stage);
        self.0.flights.borrow_mut().retain_mut(|flight| flight.aim(&anchors));
        Some(anchors)
    }

    /// What of the stage is in sight: the canvas lies over that alone.
    fn look(&self, stage: &Element) {
        self.0.scrolled.set(false);
        let origin = stage.get_bounding_client_rect();
        let window = browser::window();
        let height = window.inner_height().ok().and_then(|height| height.as_f64()).unwrap_or(0.0);
        let region = stage.parent_element().map(|region| region.get_bounding_client_rect());
        let (region_top, region_bottom) = region.map_or((0.0, height), |region| (region.top(), region.bottom()));
        let top = origin.top().max(region_top).max(0.0) - origin.top();
        let bottom = (origin.bottom().min(region_bottom).min(height) - origin.top()).max(top);
        let sight = Rect { left: 0.0, right: origin.width(), top, bottom };
        self.0.sight.set(sight);
        if let Some(canvas) = self.0.canvas.borrow().cast::<HtmlCanvasElement>() {
            fit(&canvas, sight);
        }
    }

    fn launch(&self, exchange: &Exchange, anchors: &Anchors, now: f64) {
        let mut flights = self.0.flights.borrow_mut();
        let mut drawn = self.0.drawn.borrow_mut();
        let sight = self.0.sight.get();
        let kind = Kind::of(exchange.api_key);
        let client: Rc<str> = format!("client:{}", exchange.client).into();
        let mut fly = |from: &Rc<str>, to: &Rc<str>, start: f64, carries: u32, answer: bool| {
            let way = Way::default();
            let mut flight = Flight { from: from.clone(), to: to.clone(), way, start, kind, carries, answer };
            if flights.len() < MAX_FLIGHTS && flight.aim(anchors) && flight.way.is_in(sight) {
                flights.push(flight);
            }
        };
        let carried = exchange.carries.iter().map(|carried| {
            (Rc::<str>::from(format!("partition:{}-{}", carried.topic, carried.partition)), carried.bytes)
        });
        let targets: Vec<_> = carried.filter(|(name, _)| anchors.contains_key(name)).collect();
        let broker: Rc<str> = "broker".into();
        let sent = *drawn.entry(exchange.id).or_insert_with(|| {
            if kind == Kind::Produce && !targets.is_empty() {
                targets.iter().for_each(|(target, carries)| fly(&client, target, now, *carries, false));
            } else {
                fly(&client, &broker, now, 0, false);
            }
            now
        });
        if exchange.answer.is_none() {
            return;
        }
        let start = now.max(sent + FLIGHT_MILLIS);
        if kind == Kind::Fetch && !targets.is_empty() {
            targets.iter().for_each(|(target, carries)| fly(target, &client, start, *carries, true));
        } else {
            fly(targets.first().map_or(&broker, |(target, _)| target), &client, start, 0, true);
        }
        drawn.remove(&exchange.id);
    }

    fn draw_frame(&self) {
        let now = browser::now_millis();
        self.0.flights.borrow_mut().retain(|flight| now < flight.start + FLIGHT_MILLIS);
        let more = !self.0.flights.borrow().is_empty();
        if self.0.scrolled.get()
            && let Some(stage) = self.0.stage.borrow().cast::<Element>()
        {
            self.look(&stage);
        }
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
        let Some(pen) = prepare(&canvas, self.0.sight.get()) else { return };
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
}

type Anchors = BTreeMap<Rc<str>, Rect>;

fn anchors(stage: &Element) -> Anchors {
    let origin = stage.get_bounding_client_rect();
    let mut anchors = Anchors::new();
    let Ok(found) = stage.query_selector_all("[data-anchor]") else { return anchors };
    for index in 0..found.length() {
        let Some(element) = found.item(index).and_then(|node| node.dyn_into::<Element>().ok()) else { continue };
        if let Some(name) = element.get_attribute("data-anchor") {
            anchors.insert(name.into(), Rect::within(&origin, &element.get_bounding_client_rect()));
        }
    }
    anchors
}

#[derive(Clone, Copy, Default)]
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

impl Way {
    /// From edge to facing edge: sideways where the two stand side by side, else up or down.
    fn new(from: &Rect, to: &Rect, answer: bool) -> Self {
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
        Self { from, to, level }
    }

    fn is_in(&self, sight: Rect) -> bool {
        self.from.y.max(self.to.y) > sight.top && self.from.y.min(self.to.y) < sight.bottom
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

impl Flight {
    /// Finds the way between its ends as they lie now; false if one of them is gone.
    fn aim(&mut self, anchors: &Anchors) -> bool {
        let (Some(from), Some(to)) = (anchors.get(&self.from), anchors.get(&self.to)) else { return false };
        self.way = Way::new(from, to, self.answer);
        true
    }

    fn draw(&self, pen: &CanvasRenderingContext2d, color: &str, progress: f64) {
        let Way { from, to, level } = self.way;
        let (bend_from, bend_to) = self.way.bends();
        pen.set_stroke_style_str(color);
        pen.set_fill_style_str(color);
        pen.set_line_width(1.0);
        pen.set_global_alpha(0.28 * (1.0 - (2.0 * progress - 1.0).powi(4)));
        pen.begin_path();
        pen.move_to(from.x, from.y);
        pen.bezier_curve_to(bend_from.x, bend_from.y, bend_to.x, bend_to.y, to.x, to.y);
        pen.stroke();

        let eased = progress * progress * (3.0 - 2.0 * progress);
        let at = bezier([from, bend_from, bend_to, to], eased);
        pen.set_global_alpha((progress.min(1.0 - progress) * 9.0).min(1.0));
        pen.begin_path();
        if self.carries > 0 {
            let long = (f64::from(self.carries).sqrt() * 1.1).clamp(9.0, 30.0);
            let (width, height) = if level { (long, 8.0) } else { (8.0, long) };
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
}

fn bezier([a, b, c, d]: [Point; 4], t: f64) -> Point {
    let s = 1.0 - t;
    let mix =
        |a: f64, b: f64, c: f64, d: f64| s * s * s * a + 3.0 * s * s * t * b + 3.0 * s * t * t * c + t * t * t * d;
    Point { x: mix(a.x, b.x, c.x, d.x), y: mix(a.y, b.y, c.y, d.y) }
}

fn scale() -> f64 {
    browser::window().device_pixel_ratio().clamp(1.0, 2.0)
}

/// Lays the canvas over what is in sight. Nothing is asked of it here or while drawing: an answer would need a layout.
fn fit(canvas: &HtmlCanvasElement, sight: Rect) {
    let (width, height) = (sight.right - sight.left, sight.bottom - sight.top);
    let pixels = ((width * scale()) as u32, (height * scale()) as u32);
    if (canvas.width(), canvas.height()) != pixels {
        canvas.set_width(pixels.0);
        canvas.set_height(pixels.1);
    }
    let place = format!("top:{:.1}px;width:{width:.1}px;height:{height:.1}px", sight.top);
    let _ = canvas.unchecked_ref::<HtmlElement>().set_attribute("style", &place);
}

/// Clears the canvas, and has the stage's coordinates hold on it.
fn prepare(canvas: &HtmlCanvasElement, sight: Rect) -> Option<CanvasRenderingContext2d> {
    let scale = scale();
    let pen: CanvasRenderingContext2d = canvas.get_context("2d").ok().flatten()?.dyn_into().ok()?;
    let _ = pen.set_transform(scale, 0.0, 0.0, scale, 0.0, -sight.top * scale);
    pen.clear_rect(sight.left, sight.top, sight.right - sight.left, sight.bottom - sight.top);
    Some(pen)
}
