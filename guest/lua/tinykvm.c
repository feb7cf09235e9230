/* TinyKVM guest programs in Lua 5.4.
 *
 *     local tinykvm = require "tinykvm"
 *     tinykvm.serve(function(request) return "Hello " .. request.url end)
 *
 * What is done before serve() is done once; the process is then frozen, and every request finds it
 * as it was at that moment.
 *
 *     gcc -O2 -shared -fPIC -I/usr/include/lua5.4 -Iguest/c/include guest/lua/tinykvm.c -o tinykvm.so
 */
#include <lauxlib.h>
#include <lua.h>
#include <tinykvm.h>

static void set_field(lua_State *lua, const char *name, const void *text, size_t length)
{
	lua_pushlstring(lua, length ? text : "", length);
	lua_setfield(lua, -2, name);
}

static void push_request(lua_State *lua, const struct kvm_request *request)
{
	lua_createtable(lua, 0, 5);
	set_field(lua, "method", request->method, request->method_len);
	set_field(lua, "url", request->url, request->url_len);
	set_field(lua, "argument", request->arg, request->arg_len);
	set_field(lua, "content_type", request->content_type, request->content_type_len);
	set_field(lua, "body", request->content, request->content_len);
}

/* The generator behind math.random() was frozen with the rest. */
static void seed(lua_State *lua, const uint64_t *prng)
{
	lua_getglobal(lua, "math");
	lua_getfield(lua, -1, "randomseed");
	lua_pushinteger(lua, (lua_Integer)prng[0]);
	lua_pushinteger(lua, (lua_Integer)prng[1]);
	lua_call(lua, 2, 0);
	lua_pop(lua, 1);
}

/* serve(answer): answers every request with what `answer` returns: a body, or a status, a content
 * type and a body. */
static int serve(lua_State *lua)
{
	struct kvm_request request;
	luaL_checktype(lua, 1, LUA_TFUNCTION);
	for (;;) {
		wait_for_requests_paused(&request);
		lua_settop(lua, 1);
		seed(lua, request.prng);
		lua_pushvalue(lua, 1);
		push_request(lua, &request);
		if (lua_pcall(lua, 1, LUA_MULTRET, 0) != LUA_OK) {
			const char *message = lua_tostring(lua, -1);
			fprintf(stderr, "%s\n", message ? message : "error");
			backend_response_str(500, "text/plain", "Internal error");
			continue;
		}
		size_t type_length = 24, length = 0;
		const char *type = "text/html; charset=utf-8", *body;
		lua_Integer status = 200;
		if (lua_gettop(lua) >= 4) {
			status = lua_tointeger(lua, 2);
			type = lua_tolstring(lua, 3, &type_length);
		}
		body = lua_tolstring(lua, -1, &length);
		backend_response((int16_t)status, type, type_length, body, length);
	}
	return 0;
}

/* header(name): the value of a header field of the request, or nil. */
static int header(lua_State *lua)
{
	char value[8192];
	long length = http_value(TINYKVM_REQUEST, luaL_checkstring(lua, 1), value, sizeof value);
	if (length < 0)
		lua_pushnil(lua);
	else
		lua_pushlstring(lua, value, (size_t)length);
	return 1;
}

/* set_header(field): sets a header field of the answer, "Name: value". */
static int set_header(lua_State *lua)
{
	size_t length;
	const char *field = luaL_checklstring(lua, 1, &length);
	http_set(TINYKVM_RESPONSE, field, length);
	return 0;
}

int luaopen_tinykvm(lua_State *lua)
{
	static const luaL_Reg functions[] = {
	    {"serve", serve}, {"header", header}, {"set_header", set_header}, {NULL, NULL}};
	luaL_newlib(lua, functions);
	return 1;
}
