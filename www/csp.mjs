// Run by Trunk after a build: puts the hashes of the inline scripts into the page's
// Content-Security-Policy, so that it needs no 'unsafe-inline'.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const page = join(process.env.TRUNK_STAGING_DIR ?? 'dist', 'index.html');
const html = readFileSync(page, 'utf8');
const inline = [...html.matchAll(/<script\b(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/g)].map((match) => match[1]);
const hashes = inline.map((script) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`);
if (!html.includes("'inline-hashes'")) throw new Error(`${page} has no place for the hashes`);
writeFileSync(page, html.replace("'inline-hashes'", hashes.join(' ')));
