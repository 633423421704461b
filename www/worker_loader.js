// Starts the worker's program. The query is the page's build, so that no cache mixes two of them.
// The first ten calls of a broken invariant are those that report it.
Error.stackTraceLimit = 50;
importScripts(`./worker.js${location.search}`);
wasm_bindgen({ module_or_path: `./worker_bg.wasm${location.search}` }).catch((why) => {
  // A worker tells its page of an error that is thrown, and not of a promise that is.
  setTimeout(() => {
    throw why;
  });
});
