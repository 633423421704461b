//! The page in Yew: structure only. What it shows is decided in `shore_view`; what moves is drawn by
//! [`motion`], outside of Yew's diff.

mod app;
mod browser;
mod context;
mod cover;
mod dialogs;
mod header;
mod link;
mod log;
mod motion;
mod panel;
mod rebalance;
mod size;
mod stage;
mod tape;

/// Draws the page over the static one of index.html.
pub fn mount() {
    let document = web_sys::window().and_then(|window| window.document()).expect("a page has a document");
    let root = document.get_element_by_id("app").expect("index.html has #app");
    root.set_inner_html("");
    yew::Renderer::<app::Page>::with_root(root).render();
}
