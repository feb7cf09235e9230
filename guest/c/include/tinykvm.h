/* TinyKVM guest programs in C and C++.
 *
 * A guest program is an ordinary Linux executable. Its main() does what has
 * to be done once, registers functions, and says that it is ready:
 *
 *     #include <tinykvm.h>
 *
 *     static void get(const char *url, const char *arg)
 *     {
 *         backend_response_str(200, "text/plain", "Hello World");
 *     }
 *
 *     int main(void)
 *     {
 *         set_backend_get(get);
 *         wait_for_requests();
 *     }
 *
 * Its memory is then frozen. Every request finds the program as it was at that moment, changes
 * what it likes, answers, and all changes are forgotten.
 *
 * Rules that hold everywhere:
 *   - Strings that a function gets are NUL-terminated, never NULL, and may be written to.
 *   - Wrong arguments (a bad address, a malformed header) end the request with status 500, or
 *     with what the program's own error function answers.
 *   - Lengths are bytes without a NUL.
 *
 * Needs C99 or C++11, gcc or clang, x86-64.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TINYKVM_H
#define TINYKVM_H

#if !defined(__x86_64__) || !defined(__LP64__)
#error "TinyKVM guest programs are x86-64 programs"
#endif

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tinykvm_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The hypercall itself ----
 *
 * The number goes to EAX, arguments to RDI, RSI, RDX, RCX (not R10, as in system calls), R8 and
 * R9. The result comes back in RAX; the host changes no other register. It does read and write
 * memory, hence the clobber.
 */

static inline long tinykvm_call3(unsigned number, long a, long b, long c)
{
	long result;
	__asm__ volatile("{outl %%eax, $0|out 0, eax}"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c)
	                 : "memory");
	return result;
}

static inline long tinykvm_call6(unsigned number, long a, long b, long c, long d, long e, long f)
{
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("{outl %%eax, $0|out 0, eax}"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "c"(d), "r"(r8), "r"(r9)
	                 : "memory");
	return result;
}

/* ---- Being called ---- */

/* A request without a body. `url` and `arg` are what VCL passed. */
typedef void (*kvm_get_func)(const char *url, const char *arg);
/* A request with a body. `data` is not NUL-terminated. */
typedef void (*kvm_post_func)(const char *url, const char *arg, const char *content_type,
                              const uint8_t *data, size_t len);
/* Any request, with everything that is known about it. */
typedef void (*kvm_request_func)(const struct kvm_request *request);
/* A request that failed: crashed, ran out of time or memory, or did not answer. `exception`
 * says how, for humans. The function runs in the state that the failure left behind. */
typedef void (*kvm_error_func)(const char *url, const char *arg, const char *exception);

/* Registers a function; before the wait call. The functions below do it with types. */
static inline void register_func(int index, void (*function)(void))
{
	tinykvm_call3(TINYKVM_CALL_REGISTER_FUNC, index, (long)function, 0);
}

/* Requests without a body go to this function, whatever their method. */
static inline void set_backend_get(kvm_get_func function)
{
	tinykvm_call3(TINYKVM_CALL_REGISTER_FUNC, TINYKVM_CALLBACK_GET, (long)function, 0);
}

/* Requests with a body go to this function, whatever their method. */
static inline void set_backend_post(kvm_post_func function)
{
	tinykvm_call3(TINYKVM_CALL_REGISTER_FUNC, TINYKVM_CALLBACK_POST, (long)function, 0);
}

/* All requests go to this function; those above are then never called. */
static inline void set_backend_request(kvm_request_func function)
{
	tinykvm_call3(TINYKVM_CALL_REGISTER_FUNC, TINYKVM_CALLBACK_REQUEST, (long)function, 0);
}

/* Failed requests go to this function, which has one second to answer. */
static inline void set_on_error(kvm_error_func function)
{
	tinykvm_call3(TINYKVM_CALL_REGISTER_FUNC, TINYKVM_CALLBACK_ON_ERROR, (long)function, 0);
}

/* ---- Waiting for requests ---- */

/* The program is ready; its functions are called from now on. Never returns. */
__attribute__((noreturn)) static inline void wait_for_requests(void)
{
	/* Should a host resume the program here all the same, it must not run into whatever
	 * the compiler put behind a function that does not return. */
	__asm__ volatile("{outl %%eax, $0|out 0, eax}\n\tud2"
	                 :
	                 : "a"(TINYKVM_CALL_WAIT_FOR_REQUESTS)
	                 : "memory");
	__builtin_unreachable();
}

/* The program is ready, and returns from here with each request, for programs that are a loop:
 *
 *     for (;;) { wait_for_requests_paused(&request); ...; backend_response(...); }
 *
 * A program that is reset after each request never sees its loop's second turn. */
__attribute__((noinline, unused)) static void wait_for_requests_paused(struct kvm_request *request)
{
	/* Not inline: a host may use the stack below the stack pointer when it resumes, which
	 * in an inlined copy can hold the caller's variables (the red zone). */
	tinykvm_call3(TINYKVM_CALL_WAIT_FOR_REQUESTS_PAUSED, (long)request, 0, 0);
}

/* ---- Answering ---- */

/* Answers the request. The first answer counts, and a program that is reset after each request
 * does not come back from this call. `extra` may be NULL. */
static inline void sys_backend_response(int16_t status, const void *content_type, size_t ctlen,
                                        const void *body, size_t len,
                                        const struct BackendResponseExtra *extra)
{
	tinykvm_call6(TINYKVM_CALL_BACKEND_RESPONSE, status, (long)content_type, (long)ctlen,
	              (long)body, (long)len, (long)extra);
}

/* Answers with a status (200 to 599), a content type and a body. */
static inline void backend_response(int16_t status, const void *content_type, size_t ctlen,
                                    const void *body, size_t len)
{
	sys_backend_response(status, content_type, ctlen, body, len, NULL);
}

/* As backend_response, with strings. */
static inline void backend_response_str(int16_t status, const char *content_type, const char *body)
{
	backend_response(status, content_type, strlen(content_type), body, strlen(body));
}

/* As backend_response, with headers and cacheability. */
static inline void backend_response_extra(int16_t status, const void *content_type, size_t ctlen,
                                          const void *body, size_t len,
                                          const struct BackendResponseExtra *extra)
{
	/* Hosts reject a NULL header array even when it has no elements. */
	struct BackendResponseExtra copy = *extra;
	struct ResponseHeader none = {NULL, 0};
	if (copy.num_headers == 0) {
		copy.headers = &none;
	}
	sys_backend_response(status, content_type, ctlen, body, len, &copy);
}

/* Whether the response may be cached, and for how many milliseconds: how long it is fresh, how
 * much longer it may be delivered while a new one is fetched, and how much longer it is kept
 * for revalidation. 0, or -1 where nothing is being fetched. */
static inline long sys_set_cacheable(bool cacheable, long ttl_ms, long grace_ms, long keep_ms)
{
	return tinykvm_call6(TINYKVM_CALL_SET_CACHEABLE, cacheable, ttl_ms, grace_ms, keep_ms, 0,
	                     0);
}

/* The same in seconds. */
static inline long set_cacheable(bool cacheable, float ttl, float grace, float keep)
{
	return sys_set_cacheable(cacheable, (long)(ttl * 1e3f), (long)(grace * 1e3f),
	                         (long)(keep * 1e3f));
}

/* ---- HTTP headers ----
 *
 * `where` is TINYKVM_REQUEST or TINYKVM_RESPONSE. A field is the whole "Name: value", with one
 * space behind the colon; names match in any case.
 */

/* Adds a field, even if there is one of that name. Returns its index, or
 * TINYKVM_HEADER_TABLE_FULL. */
static inline long sys_http_append(int where, const char *field, size_t len)
{
	return tinykvm_call3(TINYKVM_CALL_HTTP_APPEND, where, (long)field, (long)len);
}

/* Replaces the field of that name, or adds one. Without a colon, it is a name to be removed. */
static inline long sys_http_set(int where, const char *field, size_t len)
{
	return tinykvm_call3(TINYKVM_CALL_HTTP_SET, where, (long)field, (long)len);
}

/* Copies the first field of that name, name and all and without a NUL, to `out` and returns its
 * length; 0 if there is none or it does not fit. With a NULL `out`, only returns the length. */
static inline unsigned sys_http_find(int where, const char *name, size_t len, char *out,
                                     size_t outlen)
{
	return (unsigned)tinykvm_call6(TINYKVM_CALL_HTTP_FIND, where, (long)name, (long)len,
	                               (long)out, (long)outlen, 0);
}

/* Copies the request method, without a NUL, and returns its length; 0 if it does not fit. Only
 * where something is being fetched. */
static inline unsigned long sys_http_method(char *out, size_t outlen)
{
	return (unsigned long)tinykvm_call3(TINYKVM_CALL_HTTP_METHOD, (long)out, (long)outlen, 0);
}

static inline long http_append(int where, const char *field, size_t len)
{
	return sys_http_append(where, field, len);
}

static inline long http_append_str(int where, const char *field)
{
	return sys_http_append(where, field, strlen(field));
}

static inline long http_set(int where, const char *field, size_t len)
{
	return sys_http_set(where, field, len);
}

static inline long http_set_str(int where, const char *field)
{
	return sys_http_set(where, field, strlen(field));
}

/* Removes the first field of that name. Returns the index that it had, or 0. */
static inline long http_unset(int where, const char *name, size_t len)
{
	return sys_http_set(where, name, len);
}

static inline long http_unset_str(int where, const char *name)
{
	return sys_http_set(where, name, strlen(name));
}

/* Sets a field as printf would print it, if that is shorter than 4096 bytes; else returns -1. */
__attribute__((format(printf, 2, 3), unused)) static long http_setf(int where, const char *format,
                                                                   ...)
{
	char field[4096];
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(field, sizeof field, format, arguments);
	va_end(arguments);
	if (len < 0 || (size_t)len >= sizeof field) {
		return -1;
	}
	return sys_http_set(where, field, (size_t)len);
}

static inline unsigned http_find(int where, const char *name, size_t len, char *out, size_t outlen)
{
	return sys_http_find(where, name, len, out, outlen);
}

static inline unsigned http_find_str(int where, const char *name, char *out, size_t outlen)
{
	return sys_http_find(where, name, strlen(name), out, outlen);
}

/* Copies only the value of a field, NUL-terminated, and returns its length; -1 if there is no
 * such field or name and value do not fit. */
static inline long http_value(int where, const char *name, char *out, size_t outlen)
{
	size_t skip = strlen(name) + 1;
	size_t len = sys_http_find(where, name, skip - 1, out, outlen);
	if (len == 0) {
		return -1;
	}
	while (skip < len && out[skip] == ' ') {
		skip++;
	}
	memmove(out, out + skip, len - skip);
	out[len - skip] = '\0';
	return (long)(len - skip);
}

static inline unsigned long http_method(char *out, size_t outlen)
{
	return sys_http_method(out, outlen);
}

/* ---- Filtering bodies ----
 *
 * A filter changes a backend's body on its way into the cache, or a cached body on its way to a
 * client, part by part:
 *
 *     static int begin(const struct filter_start *start)
 *     {
 *         http_set_str(TINYKVM_RESPONSE, "Content-Type: text/plain");
 *         return TINYKVM_FILTER_TRANSFORM;
 *     }
 *
 *     static int chunk(const uint8_t *data, size_t len)
 *     {
 *         filter_write(data, len);
 *         return 0;
 *     }
 *
 *     static int end(void)
 *     {
 *         filter_write_str("the end");
 *         return 0;
 *     }
 *
 *     int main(void)
 *     {
 *         set_filter(begin, chunk, end);
 *         wait_for_requests();
 *     }
 *
 * begin() may use the HTTP functions above; chunk() and end() may not, for headers are on their
 * way then. What the program has in memory lasts from begin() to end(), except on the stack.
 * Parts have any size, and end anywhere. They may be written to, and are gone when chunk()
 * returns.
 */

/* Called once for each body. Answers TINYKVM_FILTER_PASS, _TRANSFORM or _WHOLE_BODY. */
typedef int (*filter_begin_func)(const struct filter_start *start);
/* A part of the body. Anything but 0 says that the filter has failed. */
typedef int (*filter_chunk_func)(const uint8_t *data, size_t len);
/* The body has ended. Anything but 0 says that the filter has failed. */
typedef int (*filter_end_func)(void);

/* One for the whole program, in however many files this header is included. */
__attribute__((weak)) struct filter_output tinykvm_filter_output;

/* The program filters bodies with these functions; before the wait call. `flags` is 0 or
 * TINYKVM_FILTER_ENCODED. */
static inline void sys_set_filter(filter_begin_func begin, filter_chunk_func chunk,
                                  filter_end_func end, unsigned flags)
{
	tinykvm_call6(TINYKVM_CALL_SET_FILTER, (long)begin, (long)chunk, (long)end,
	              (long)&tinykvm_filter_output, flags, 0);
}

/* The program filters bodies with these functions. They are decoded, whatever the backend sent. */
static inline void set_filter(filter_begin_func begin, filter_chunk_func chunk, filter_end_func end)
{
	sys_set_filter(begin, chunk, end, 0);
}

/* Hands on what was written so far, and then this. */
static inline void sys_filter_write(const void *data, size_t len)
{
	tinykvm_call3(TINYKVM_CALL_FILTER_WRITE, (long)data, (long)len, 0);
}

/* Writes output: any amount of it, at any time in chunk() and end(). */
static inline void filter_write(const void *data, size_t len)
{
	struct filter_output *output = &tinykvm_filter_output;
	if (len <= output->capacity - output->length) {
		memcpy((uint8_t *)output->data + output->length, data, len);
		output->length += len;
	} else {
		sys_filter_write(data, len);
	}
}

static inline void filter_write_str(const char *text)
{
	filter_write(text, strlen(text));
}

/* Room for output, to be written to directly: at least one byte, and `*room` says how much. */
static inline uint8_t *filter_room(size_t *room)
{
	struct filter_output *output = &tinykvm_filter_output;
	if (output->length == output->capacity) {
		sys_filter_write(NULL, 0);
	}
	*room = output->capacity - output->length;
	return (uint8_t *)output->data + output->length;
}

/* So much of that room was written to. */
static inline void filter_wrote(size_t len)
{
	tinykvm_filter_output.length += len;
}

/* ---- The rest ---- */

/* Writes one entry to the log. */
static inline void sys_log(const char *text, size_t len)
{
	tinykvm_call3(TINYKVM_CALL_LOG, (long)text, (long)len, 0);
}

/* Whether the program is reset after each request (it is, by default). Before the wait call; -1
 * if the operator does not let the program choose. */
static inline int sys_make_ephemeral(int ephemeral)
{
	return (int)tinykvm_call3(TINYKVM_CALL_MAKE_EPHEMERAL, ephemeral, 0, 0);
}

/* 1 in the storage VM, 0 in those that serve requests. */
static inline int sys_is_storage(void)
{
	return (int)tinykvm_call3(TINYKVM_CALL_IS_STORAGE, 0, 0, 0);
}

/* 1 if the program was loaded for debugging. */
static inline int sys_is_debug(void)
{
	return (int)tinykvm_call3(TINYKVM_CALL_IS_DEBUG, 0, 0, 0);
}

/* Memory limits and use. */
static inline void get_meminfo(struct meminfo *info)
{
	tinykvm_call3(TINYKVM_CALL_MEMINFO, (long)info, 0, 0);
}

/* Number of the vCPU that this runs on: 0, or 1 and up for further ones of the same VM. */
static inline int vcpuid(void)
{
	int id;
	__asm__ volatile("{movl %%gs:0, %0|mov %0, DWORD PTR gs:0}" : "=r"(id));
	return id;
}

/* Number of this VM among those that serve the program's requests. */
static inline int vcpureqid(void)
{
	int id;
	__asm__ volatile("{movl %%gs:4, %0|mov %0, DWORD PTR gs:4}" : "=r"(id));
	return id;
}

/* True inside a TinyKVM VM, false when the program was started by hand. */
#define IS_SANDBOXED_MAIN() (getenv("KVM_NAME") != NULL)

#ifdef __cplusplus
}
#endif

#endif /* TINYKVM_H */
