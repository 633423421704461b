//! One tab per store: a Web Lock named after the store. The browser frees it when its holder is gone,
//! however it went.

use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Held until dropped, or until the page that holds it goes away.
pub struct StoreLock {
    release: Function,
}

impl StoreLock {
    /// `None` if somebody else holds it. Without Web Locks (old webviews, pages without an origin)
    /// everybody gets it: the store's epoch then still keeps a second writer out.
    pub async fn take(store: &str) -> Result<Option<Self>, JsValue> {
        let Some(locks) = lock_manager() else { return Ok(Some(Self { release: Function::default() })) };
        let request: Function = Reflect::get(&locks, &"request".into())?.dyn_into()?;
        let options = Object::new();
        Reflect::set(&options, &"ifAvailable".into(), &true.into())?;
        let mut denied = None;
        let answer = Promise::new(&mut |answer, deny| {
            // The lock is held as long as the promise that the callback returns is pending.
            let granted = Closure::once_into_js(move |lock: JsValue| -> JsValue {
                if lock.is_null() {
                    let _ = answer.call1(&JsValue::NULL, &JsValue::NULL);
                    return JsValue::UNDEFINED;
                }
                Promise::new(&mut |release, _| drop(answer.call1(&JsValue::NULL, &release))).into()
            });
            match request.call3(&locks, &lock_name(store).into(), &options, &granted) {
                Ok(asked) => denied = Some((asked, deny)),
                Err(why) => drop(deny.call1(&JsValue::NULL, &why)),
            }
        });
        if let Some((asked, deny)) = denied {
            let catch: Function = Reflect::get(&asked, &"catch".into())?.dyn_into()?;
            catch.call1(&asked, &deny)?;
        }
        let Ok(release) = JsFuture::from(answer).await else { return Ok(Some(Self { release: Function::default() })) };
        Ok(release.dyn_into::<Function>().ok().map(|release| Self { release }))
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        let _ = self.release.call0(&JsValue::NULL);
    }
}

/// Named by the store alone: two builds that open the same store must meet.
fn lock_name(store: &str) -> String {
    format!("kafka-shore store {store}")
}

fn lock_manager() -> Option<JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
    Reflect::get(&navigator, &"locks".into()).ok().filter(|locks| locks.is_object())
}
