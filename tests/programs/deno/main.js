// Deno with its JIT: a page rendered on the server, timers, compression, hashes.
import { isSandboxed, serve } from "../../../guest/deno/tinykvm.js";

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
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(html));
  const stream = new Blob([html]).stream().pipeThrough(new CompressionStream("gzip"));
  const packed = await new Response(stream).arrayBuffer();
  await new Promise((resolve) => setTimeout(resolve, 0));
  return `${html.slice(0, 80)} ... ${html.length} ${packed.byteLength > 50} ${hex(new Uint8Array(hash)).slice(0, 16)}`;
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function unique() {
  const file = Deno.openSync("/dev/urandom");
  const bytes = new Uint8Array(16);
  file.readSync(bytes);
  file.close();
  return [
    `urandom ${hex(bytes)}`,
    `nonce ${hex(crypto.getRandomValues(new Uint8Array(16)))}`,
    `uuid ${crypto.randomUUID()}`,
    `random ${Math.random()}`,
    `monotonic ${Math.round(performance.now() * 1e6)}`,
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
