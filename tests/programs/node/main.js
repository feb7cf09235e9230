// Node.js with its JIT: a page rendered on the server with preact, a timer, compression, hashes.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const zlib = require("node:zlib");
const { h } = require("preact");
const html = require("htm").bind(h);
const { render } = require("preact-render-to-string");

const REQUESTS = 100;
const ROUNDS = 10;

let requests = 0;

function Item({ id }) {
  const price = ((id * 7919) % 1000) / 100;
  return html`<li class=${id % 2 ? "odd" : "even"}>Item ${id} <b>${price.toFixed(2)}</b></li>`;
}

function Page({ number }) {
  const ids = Array.from({ length: 20 }, (_, i) => number * 20 + i);
  return html`
    <html>
      <head><title>${`Page ${number} <&>`}</title></head>
      <body><ul>${ids.map((id) => html`<${Item} id=${id} />`)}</ul></body>
    </html>
  `;
}

async function answer(number) {
  const page = render(html`<${Page} number=${number} />`);
  const packed = zlib.gzipSync(page);
  if (zlib.gunzipSync(packed).toString() !== page) throw new Error("not the same");
  const hash = crypto.createHash("sha256").update(page).digest("hex").slice(0, 16);
  await new Promise((resolve) => setImmediate(resolve));
  return `${page.slice(0, 120)} ... ${page.length} ${hash}`;
}

function urandom() {
  const file = fs.openSync("/dev/urandom", "r");
  const bytes = Buffer.alloc(16);
  fs.readSync(file, bytes, 0, 16, null);
  fs.closeSync(file);
  return bytes.toString("hex");
}

function unique() {
  return [
    `urandom ${urandom()}`,
    `uuid ${crypto.randomUUID({ disableEntropyCache: true })}`,
    `nonce ${crypto.randomBytes(16).toString("hex")}`,
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
  return answer(Number(request.url.slice(1)));
}

async function main() {
  const native = !("KVM_NAME" in process.env);
  for (let number = 0; number < REQUESTS; number++) {
    const text = await answer(number);
    if (native) console.log(`${text}\n--`);
  }
  const begun = process.hrtime.bigint();
  for (let number = 0; number < ROUNDS * REQUESTS; number++) await answer(number % REQUESTS);
  const time = process.hrtime.bigint() - begun;
  if (native) console.log(`ns ${time / BigInt(ROUNDS * REQUESTS)}`);
  else await require("tinykvm").serve(respond);
}

main();
