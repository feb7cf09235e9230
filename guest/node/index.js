// TinyKVM guest programs in Node.js.
//
//     const tinykvm = require("tinykvm");
//     tinykvm.serve((request) => `Hello ${request.url}`);
//
// What is done before serve() is done once; the process is then frozen, and every request finds it
// as it was at that moment. Call your own code some hundred times before: then it is compiled.
"use strict";

const { inspect } = require("node:util");

const native = require("./tinykvm.node");

/** True inside a TinyKVM VM, false when the program was started by hand. */
exports.isSandboxed = "KVM_NAME" in process.env;

/** The value of a header field of the request, or undefined. */
exports.header = native.header;

/** Sets a header field of the answer, "Name: value". */
exports.setHeader = native.setHeader;

// Math.random() can't be seeded, and its state is frozen with the rest: it is replaced by a
// generator (sfc32) that is seeded for each request.
const state = new Uint32Array(4);

function next() {
  const sum = (state[0] + state[1] + state[3]++) | 0;
  state[0] = state[1] ^ (state[1] >>> 9);
  state[1] = state[2] + (state[2] << 3);
  state[2] = ((state[2] << 21) | (state[2] >>> 11)) + sum;
  return sum >>> 0;
}

function random() {
  return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
}

function reseed(seed) {
  for (let i = 0; i < 4; i++) state[i] = seed.readUInt32LE(4 * i);
  for (let i = 0; i < 12; i++) next();
  Math.random = random;
}

/** An answer with all that it consists of. */
function checked(result) {
  const isBody = (value) => typeof value === "string" || value instanceof Uint8Array;
  const whole = isBody(result) ? { body: result } : result;
  const { status = 200, type = "text/html; charset=utf-8", body } = whole ?? {};
  if (!Number.isInteger(status) || typeof type !== "string" || !isBody(body)) {
    const wanted = "a body (string or Buffer), or {status, type, body}";
    throw new TypeError(`${wanted} should be returned, not ${inspect(result)}`);
  }
  return { status, type, body };
}

/**
 * Says that the program is ready, and answers every request with what `answer(request)` returns, or
 * promises: a body (string or Buffer), or {status, type, body}.
 */
exports.serve = async function serve(answer) {
  for (;;) {
    const request = native.wait();
    reseed(request.seed);
    let result;
    try {
      result = answer(request);
      if (result instanceof Promise) result = await result;
      result = checked(result);
    } catch (error) {
      console.error(error);
      result = { status: 500, type: "text/plain", body: "Internal error" };
    }
    const { status, type, body } = result;
    native.respond(status, type, Buffer.isBuffer(body) ? body : Buffer.from(body));
  }
};
