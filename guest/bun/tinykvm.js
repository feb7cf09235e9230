// TinyKVM guest programs in Bun.
//
//     import { serve } from "./tinykvm.js";
//     serve((request) => `Hello ${request.url}`);
//
// What is done before serve() is done once; the process is then frozen, and every request finds it
// as it was at that moment. Needs no compiler: calls to the host go through the C library's
// syscall().

import { dlopen, toArrayBuffer } from "bun:ffi";

const WAIT_FOR_REQUESTS_PAUSED = 0x10002;
const BACKEND_RESPONSE = 0x10010;
const HTTP_SET = 0x10021;
const GETRANDOM = 318;
const REQUEST_SIZE = 104;

/** True inside a TinyKVM VM, false when the program was started by hand. */
export const isSandboxed = process.env.KVM_NAME !== undefined;

// A function of C with these arguments behind the number.
const call = (...args) =>
  dlopen("libc.so.6", { syscall: { args: ["u64", ...args], returns: "i64" } }).symbols.syscall;

const wait = call("ptr");
const respond = call("u64", "ptr", "u64", "ptr", "u64", "u64");
const set = call("u64", "ptr", "u64");
const fill = call("ptr", "u64", "u64");

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");
const raw = new Uint8Array(REQUEST_SIZE);
const view = new DataView(raw.buffer);

// Copies bytes from an address that the host gave.
function bytes(at, length) {
  if (length === 0) return new Uint8Array(0);
  return new Uint8Array(toArrayBuffer(Number(view.getBigUint64(at, true)), 0, length)).slice();
}

/** struct kvm_request of tinykvm_abi.h */
function decode() {
  const text = (at, length) => decoder.decode(bytes(at, view.getUint16(length, true)));
  return {
    method: text(0, 32),
    url: text(8, 34),
    argument: text(16, 36),
    contentType: text(24, 38),
    body: bytes(40, Number(view.getBigUint64(48, true))),
  };
}

// Generators of JavaScript are frozen with the rest: these ask the system.
function getRandomValues(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  // Up to 256 bytes come at once.
  for (let at = 0; at < bytes.length; at += 256) {
    const part = bytes.subarray(at, at + 256);
    fill(GETRANDOM, part, part.length, 0);
  }
  return array;
}

function randomUUID() {
  const bytes = getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// Math.random() as sfc32, seeded for each request.
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

function reseed() {
  for (let i = 0; i < 4; i++) state[i] = view.getUint32(72 + 4 * i, true);
  for (let i = 0; i < 12; i++) next();
}

// Bytes of a string or an array, of which there is at least one: else they have no address.
function data(body) {
  if (body instanceof Uint8Array && body.length > 0) return [body, body.length];
  const bytes = encoder.encode((body instanceof Uint8Array ? "" : body) + "\0");
  return [bytes, bytes.length - 1];
}

/** Sets a header field of the answer, "Name: value". */
export function setHeader(field) {
  set(HTTP_SET, 1, ...data(field));
}

/** An answer with all that it consists of. */
function checked(result) {
  const isBody = (value) => typeof value === "string" || value instanceof Uint8Array;
  const whole = isBody(result) ? { body: result } : result;
  const { status = 200, type = "text/html; charset=utf-8", body } = whole ?? {};
  if (!Number.isInteger(status) || typeof type !== "string" || !isBody(body)) {
    const wanted = "a body (string or Uint8Array), or {status, type, body}";
    throw new TypeError(`${wanted} should be returned, not ${Bun.inspect(result)}`);
  }
  return { status, type, body };
}

/**
 * Says that the program is ready, and answers every request with what `answer(request)` returns, or
 * promises: a body (string or Uint8Array), or {status, type, body}.
 */
export async function serve(answer) {
  Math.random = random;
  crypto.getRandomValues = getRandomValues;
  crypto.randomUUID = randomUUID;
  for (;;) {
    wait(WAIT_FOR_REQUESTS_PAUSED, raw);
    reseed();
    let result;
    try {
      result = checked(await answer(decode()));
    } catch (error) {
      console.error(error);
      result = { status: 500, type: "text/plain", body: "Internal error" };
    }
    const { status, type, body } = result;
    respond(BACKEND_RESPONSE, status, ...data(type), ...data(body), 0);
  }
}
