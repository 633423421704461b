import { browser } from '../browser.js';
import { provide } from '../platform.js';

provide(browser);

export * from './api.js';
