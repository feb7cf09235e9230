-- Lua: tables, closures, string patterns, coroutines, metatables, string.pack, pcall, collections of
-- garbage in every request.
package.cpath = arg[1] .. "/?.so"
local clock = require "clock"

local REQUESTS <const>, ROUNDS <const> = 100, 10
local requests = 0

local Vector = {}
Vector.__index = Vector
Vector.__add = function(a, b) return setmetatable({ a[1] + b[1], a[2] + b[2] }, Vector) end
Vector.__tostring = function(v) return ("(%g, %g)"):format(v[1], v[2]) end

local function primes(limit)
  return coroutine.wrap(function()
    local composite = {}
    for n = 2, limit do
      if not composite[n] then
        coroutine.yield(n)
        for m = n * n, limit, n do composite[m] = true end
      end
    end
  end)
end

local function answer(number)
  local words = {}
  for n in primes(200 + number) do words[#words + 1] = ("p%d"):format(n) end
  table.sort(words, function(a, b) return a > b end)
  local text = table.concat(words, " ")
  local digits = 0
  for digit in text:gmatch("%d") do digits = digits + tonumber(digit) end
  local swapped = text:gsub("p(%d)(%d)", "%2%1"):sub(1, 40)
  local ok, message = pcall(error, { code = number })
  local vector = setmetatable({ number, 1 }, Vector) + setmetatable({ 0.5, 2 }, Vector)
  local packed = string.pack(">I4s2", number, "lua"):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  collectgarbage("step")
  return ("%d %d %s %s %d %s %s"):format(#words, digits, swapped, tostring(ok), message.code, tostring(vector), packed)
end

local function urandom()
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  file:setvbuf("no")
  return (file:read(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function uuid()
  local file <close> = assert(io.open("/proc/sys/kernel/random/uuid"))
  return file:read()
end

local function unique()
  return ("urandom %s\nuuid %s\nrandom %.17g\nmonotonic %d\nrealtime %d"):format(
    urandom(), uuid(), math.random(), clock.monotonic(), clock.realtime())
end

local native = not os.getenv("KVM_NAME")
for number = 0, REQUESTS - 1 do
  local text = answer(number)
  if native then io.write(text, "\n--\n") end
end
if native then
  local begun = clock.monotonic()
  for number = 1, ROUNDS * REQUESTS do answer(number % REQUESTS) end
  io.write(("ns %d\n"):format((clock.monotonic() - begun) // (ROUNDS * REQUESTS)))
  os.exit()
end

require("tinykvm").serve(function(request)
  requests = requests + 1
  if request.url == "/unique" then return unique() end
  if request.url == "/count" then return tostring(requests) end
  return answer(tonumber(request.url:sub(2)))
end)
