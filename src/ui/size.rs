//! How large elements are on the screen.

use wasm_bindgen::prelude::*;
use web_sys::{HtmlElement, ResizeObserver};
use yew::prelude::*;

/// The width and height within an element's border, kept up to date.
#[hook]
pub fn use_size(node: &NodeRef) -> (f64, f64) {
    let size = use_state_eq(|| (0, 0));
    let (node, set) = (node.clone(), size.setter());
    use_effect_with((), move |()| {
        let element = node.cast::<HtmlElement>();
        let measured = element.clone();
        let on_resize = Closure::<dyn Fn()>::new(move || {
            if let Some(element) = &measured {
                set.set((element.client_width(), element.client_height()));
            }
        });
        let observer = ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, &element) {
            observer.observe(element);
        }
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop(on_resize);
        }
    });
    let (width, height) = *size;
    (f64::from(width), f64::from(height))
}
