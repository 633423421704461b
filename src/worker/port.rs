//! The worker's end of the line to the page.

use js_sys::{Array, ArrayBuffer, Uint8Array};
use shore_view::message::{FromWorker, ToWorker, decode, encode};
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Sends a message; its bytes are moved, not copied.
pub fn post(message: &FromWorker) {
    let bytes = Uint8Array::from(encode(message).as_slice());
    let buffer = bytes.buffer();
    let _ = scope().post_message_with_transfer(&buffer, &Array::of1(&buffer));
}

/// Hands every message of the page to `hear`, for as long as the worker lives.
pub fn listen(hear: impl Fn(ToWorker) + 'static) {
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        let Ok(buffer) = event.data().dyn_into::<ArrayBuffer>() else { return };
        if let Some(message) = decode(&Uint8Array::new(&buffer).to_vec()) {
            hear(message);
        }
    });
    scope().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
}

pub fn now_micros() -> u64 {
    scope().performance().map_or(0, |performance| (performance.now() * 1_000.0) as u64)
}

/// Runs `then` after so many milliseconds; 0 is the end of this turn.
pub fn after(millis: i32, then: impl FnOnce() + 'static) {
    let then = Closure::once_into_js(then);
    let _ = scope().set_timeout_with_callback_and_timeout_and_arguments_0(then.unchecked_ref(), millis);
}

pub async fn sleep(millis: i32) {
    let promise = js_sys::Promise::new(&mut |resolve, _| {
        let _ = scope().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, millis);
    });
    let _ = wasm_bindgen_futures::JsFuture::from(promise).await;
}

/// A seed that no other cluster has. Everything that is random in it comes from this.
pub fn entropy() -> u64 {
    let random = || (js_sys::Math::random() * f64::from(u32::MAX)) as u64;
    (random() << 32) ^ random() ^ (js_sys::Date::now() as u64)
}
