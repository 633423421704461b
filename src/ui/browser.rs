//! Small things that only a browser has.

use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, Element, HtmlAnchorElement, HtmlElement, Url, Window};
use yew::NodeRef;

pub fn window() -> Window {
    web_sys::window().expect("the page runs in a window")
}

pub fn now_millis() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}

pub fn prefers_less_motion() -> bool {
    window().match_media("(prefers-reduced-motion: reduce)").ok().flatten().is_some_and(|query| query.matches())
}

/// `element.animate`, by the Web Animations API: from `from` to where it is, without touching its style.
pub fn slide(element: &Element, from: &str, millis: f64) {
    if prefers_less_motion() {
        return;
    }
    let frame = |transform: &str| {
        let frame = Object::new();
        let _ = Reflect::set(&frame, &"transform".into(), &transform.into());
        frame
    };
    let options = Object::new();
    let _ = Reflect::set(&options, &"duration".into(), &millis.into());
    let _ = Reflect::set(&options, &"easing".into(), &"cubic-bezier(.2,.7,.2,1)".into());
    let frames = Array::of2(&frame(from), &frame("none"));
    if let Ok(animate) = Reflect::get(element, &"animate".into()).and_then(JsCast::dyn_into::<Function>) {
        let _ = animate.call2(element, &frames, &options);
    }
}

pub fn focus(node: &NodeRef) {
    if let Some(element) = node.cast::<HtmlElement>() {
        let _ = element.focus();
    }
}

/// What has the focus, and whether that is shown: whether the visitor goes by the keyboard.
pub fn focused() -> Option<(HtmlElement, bool)> {
    let element = window().document()?.active_element()?.dyn_into::<HtmlElement>().ok()?;
    let is_shown = element.matches(":focus-visible").unwrap_or(false);
    Some((element, is_shown))
}

/// Hands the visitor a file.
pub fn save(name: &str, bytes: &[u8]) {
    let parts = Array::of1(&js_sys::Uint8Array::from(bytes));
    let Ok(blob) = Blob::new_with_u8_array_sequence(&parts) else { return };
    let Ok(url) = Url::create_object_url_with_blob(&blob) else { return };
    let link = window().document().and_then(|document| document.create_element("a").ok());
    if let Some(link) = link.and_then(|link| link.dyn_into::<HtmlAnchorElement>().ok()) {
        link.set_href(&url);
        link.set_download(name);
        link.unchecked_ref::<HtmlElement>().click();
    }
    let _ = Url::revoke_object_url(&url);
}

/// (bytes used, bytes allowed, kept under pressure), as far as the browser says.
pub async fn space() -> Option<(u64, u64, bool)> {
    let storage = window().navigator().storage();
    let estimate = JsFuture::from(storage.estimate().ok()?).await.ok()?;
    let number = |key: &str| Reflect::get(&estimate, &key.into()).ok().and_then(|value| value.as_f64()).unwrap_or(0.0);
    let persisted = JsFuture::from(storage.persisted().ok()?).await.ok()?;
    Some((number("usage") as u64, number("quota") as u64, persisted.is_truthy()))
}

/// Asks the browser to keep this site's data when space is short.
pub async fn persist() -> bool {
    let Ok(asked) = window().navigator().storage().persist() else { return false };
    JsFuture::from(asked).await.is_ok_and(|granted| granted.is_truthy())
}

const THEME_KEY: &str = "kafka-shore theme";

/// Light, dark, or as the system has it.
pub fn set_theme(theme: Option<&str>) {
    let Some(root) = window().document().and_then(|document| document.document_element()) else { return };
    let storage = window().local_storage().ok().flatten();
    match theme {
        Some(theme) => {
            let _ = root.set_attribute("data-theme", theme);
            storage.map(|storage| storage.set_item(THEME_KEY, theme));
        }
        None => {
            let _ = root.remove_attribute("data-theme");
            storage.map(|storage| storage.remove_item(THEME_KEY));
        }
    }
}

pub fn is_dark() -> bool {
    let root = window().document().and_then(|document| document.document_element());
    match root.and_then(|root| root.get_attribute("data-theme")).as_deref() {
        Some("dark") => true,
        Some("light") => false,
        _ => window().match_media("(prefers-color-scheme: dark)").ok().flatten().is_some_and(|query| query.matches()),
    }
}

/// Calls back once what has just been changed is drawn, with the milliseconds that the frame took.
pub fn after_drawing(then: impl FnOnce(f64) + 'static) {
    on_frame(move |begun| on_frame(move |now| then(now - begun)));
}

fn on_frame(then: impl FnOnce(f64) + 'static) {
    let then = Closure::once_into_js(then);
    let _ = window().request_animation_frame(then.unchecked_ref());
}

pub async fn sleep(millis: i32) {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, millis);
    });
    let _ = JsFuture::from(promise).await;
}
