/* The native part of TinyKVM guest programs in Node.js: waiting for a request, and answering.
 *
 *     gcc -O2 -shared -fPIC -I/usr/include/node -Iguest/c/include guest/node/tinykvm.c -o tinykvm.node
 */
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <dlfcn.h>
#include <node_api.h>
#include <tinykvm.h>

static struct kvm_request request;

static void set(napi_env env, napi_value object, const char *name, const char *text, size_t length)
{
	napi_value value;
	napi_create_string_latin1(env, length ? text : "", length, &value);
	napi_set_named_property(env, object, name, value);
}

/* OpenSSL's generator was frozen with the rest: without this, crypto.randomBytes() would give every
 * request the same. */
static void reseed(void)
{
	static void (*add)(const void *, int, double);
	if (!add)
		add = (void (*)(const void *, int, double))dlsym(RTLD_DEFAULT, "RAND_add");
	if (add)
		add(request.prng, sizeof request.prng, sizeof request.prng);
}

/* wait(): the next request. */
static napi_value wait_for_request(napi_env env, napi_callback_info info)
{
	napi_value object, value;
	void *copy;
	(void)info;
	wait_for_requests_paused(&request);
	reseed();
	napi_create_object(env, &object);
	set(env, object, "method", request.method, request.method_len);
	set(env, object, "url", request.url, request.url_len);
	set(env, object, "argument", request.arg, request.arg_len);
	set(env, object, "contentType", request.content_type, request.content_type_len);
	napi_create_buffer_copy(env, request.content_len, request.content, &copy, &value);
	napi_set_named_property(env, object, "body", value);
	napi_create_buffer_copy(env, sizeof request.prng, request.prng, &copy, &value);
	napi_set_named_property(env, object, "seed", value);
	return object;
}

/* respond(status, type, body): `type` is a string, `body` a Buffer. */
static napi_value respond(napi_env env, napi_callback_info info)
{
	size_t count = 3, length = 0, type_length = 0;
	napi_value arguments[3];
	int32_t status = 500;
	char type[256];
	void *body = NULL;
	if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 3 ||
	    napi_get_value_int32(env, arguments[0], &status) != napi_ok ||
	    napi_get_value_string_latin1(env, arguments[1], type, sizeof type, &type_length) != napi_ok ||
	    napi_get_buffer_info(env, arguments[2], &body, &length) != napi_ok) {
		napi_throw_type_error(env, NULL, "respond(status, type, body)");
		return NULL;
	}
	backend_response((int16_t)status, type, type_length, body, length);
	return NULL;
}

/* header(name): the value of a header field of the request, or undefined. */
static napi_value header(napi_env env, napi_callback_info info)
{
	size_t count = 1, length;
	napi_value argument, value = NULL;
	char name[256], text[8192];
	if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok ||
	    napi_get_value_string_latin1(env, argument, name, sizeof name, &length) != napi_ok)
		return NULL;
	long found = http_value(TINYKVM_REQUEST, name, text, sizeof text);
	if (found >= 0)
		napi_create_string_latin1(env, text, (size_t)found, &value);
	return value;
}

/* setHeader(field): sets a header field of the answer, "Name: value". */
static napi_value set_header(napi_env env, napi_callback_info info)
{
	size_t count = 1, length;
	napi_value argument;
	char field[8192];
	if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == napi_ok &&
	    napi_get_value_string_latin1(env, argument, field, sizeof field, &length) == napi_ok)
		http_set(TINYKVM_RESPONSE, field, length);
	return NULL;
}

NAPI_MODULE_INIT()
{
	static const struct {
		const char *name;
		napi_callback function;
	} functions[] = {
	    {"wait", wait_for_request}, {"respond", respond}, {"header", header}, {"setHeader", set_header}};
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		napi_value function;
		napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL,
		                     &function);
		napi_set_named_property(env, exports, functions[i].name, function);
	}
	return exports;
}
