import { browser } from '../browser.js';
import { provide } from '../platform.js';

// In this very form bundlers see that the file belongs to the program.
provide(browser, () => fetch(new URL('./kafka-shore.wasm', import.meta.url)));

export * from './api.js';
