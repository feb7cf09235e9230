// Bun with its JIT: a page rendered on the server, compression, hashes, a file, timers.
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import { isSandboxed, serve } from "../../../guest/bun/tinykvm.js";

const REQUESTS = 100;
const ROUNDS = 10;

let requests = 0;

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function page(number) {
  const items = Array.from({ length: 6 }, (_, i) => {
    const id = number * 20 + i;
    return { id, name: `Item ${id} <&>`, price: ((id * 7919) % 1000) / 100 };
  });
  items.sort((a, b) => a.price - b.price);
  const rows = items.map(({ name, price }) => `<li>${escape(name)}: ${price.toFixed(2)}</li>`);
  return `<html><body><ul>${rows.join("")}</ul></body></html>`;
}

async function answer(number) {
  const html = page(number);
  const packed = gzipSync(html);
  const same = gunzipSync(packed).toString() === html;
  const hash = createHash("sha256").update(html).digest("hex").slice(0, 16);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(html));
  await new Promise((resolve) => setTimeout(resolve, 0));
  const agree = Buffer.from(digest).toString("hex").startsWith(hash);
  return `${html.slice(0, 80)} ... ${html.length} ${same} ${agree} ${hash}`;
}

function urandom() {
  const file = openSync("/dev/urandom");
  const bytes = Buffer.alloc(16);
  readSync(file, bytes, 0, 16, null);
  closeSync(file);
  return bytes.toString("hex");
}

function unique() {
  return [
    `urandom ${urandom()}`,
    `uuid ${crypto.randomUUID()}`,
    `uuid.kernel ${readFileSync("/proc/sys/kernel/random/uuid", "utf8").trim()}`,
    `nonce ${randomBytes(16).toString("hex")}`,
    `nonce.web ${Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex")}`,
    `random ${Math.random()}`,
    `monotonic ${process.hrtime.bigint()}`,
    `realtime ${BigInt(Date.now()) * 1000000n}`,
  ].join("\n");
}

async function respond(request) {
  requests++;
  if (request.url === "/unique") return unique();
  if (request.url === "/count") return String(requests);
  if (request.url === "/nothing") return undefined;
  if (request.url === "/fail") throw new Error("no number", { cause: { number: NaN } });
  return await answer(Number(request.url.slice(1)));
}

for (let number = 0; number < REQUESTS; number++) {
  const text = await answer(number);
  if (!isSandboxed) console.log(`${text}\n--`);
}
const begun = performance.now();
for (let number = 0; number < ROUNDS * REQUESTS; number++) await answer(number % REQUESTS);
const time = performance.now() - begun;
if (isSandboxed) await serve(respond);
else console.log(`ns ${Math.round((time * 1e6) / (ROUNDS * REQUESTS))}`);
