/* Clocks with nanoseconds, which Lua does not have: clock.monotonic(), clock.realtime(). */
#include <lauxlib.h>
#include <lua.h>
#include <time.h>

static int now(lua_State *lua, clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	lua_pushinteger(lua, time.tv_sec * 1000000000LL + time.tv_nsec);
	return 1;
}

static int monotonic(lua_State *lua)
{
	return now(lua, CLOCK_MONOTONIC);
}

static int realtime(lua_State *lua)
{
	return now(lua, CLOCK_REALTIME);
}

int luaopen_clock(lua_State *lua)
{
	static const luaL_Reg functions[] = {
	    {"monotonic", monotonic}, {"realtime", realtime}, {NULL, NULL}};
	luaL_newlib(lua, functions);
	return 1;
}
