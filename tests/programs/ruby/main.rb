# Ruby: regular expressions, hashes, JSON, SHA-256, zlib, an enumerator (a fiber), a thread, big numbers,
# a caught error, garbage in every request.
require "digest"
require "json"
require "securerandom"
require "zlib"

REQUESTS = 100
ROUNDS = 5

Item = Struct.new(:name, :price)

$requests = 0

def primes(limit)
  composite = {}
  Enumerator.new do |found|
    (2..limit).each do |number|
      next if composite[number]

      found << number
      (number * number).step(limit, number) { |multiple| composite[multiple] = true }
    end
  end
end

def answer(number)
  raise ArgumentError, "no number" unless number.is_a?(Integer)

  items = Array.new(6) { |i| Item.new("Item #{number + i} <&>", ((number + i) * 7919) % 1000 / 100.0) }
  text = JSON.generate(items.sort_by(&:price).map(&:to_h))
  packed = Zlib.deflate(text)
  raise "not the same" unless Zlib.inflate(packed) == text

  words = text.scan(/[a-z]+/).tally.sort.map { |word, count| "#{word}=#{count}" }
  # Of the enumerator, one fiber; what comes after is not asked for.
  few = primes(500).lazy.select { |prime| prime % 10 == number % 10 }.first(2)
  cube = Thread.new { number**30 }.value
  caught =
    begin
      Integer("none")
    rescue ArgumentError => error
      error.message
    end
  GC.start if (number % 20).zero?
  "#{words.join(" ")} #{few} #{cube} #{caught} #{Digest::SHA256.hexdigest(text)[0, 16]}"
end

def nanoseconds(clock) = Process.clock_gettime(clock, :nanosecond)

def unique
  [
    "urandom #{File.binread("/dev/urandom", 16).unpack1("H*")}",
    "nonce #{SecureRandom.hex(16)}",
    "uuid #{SecureRandom.uuid}",
    "random #{rand}",
    "random.shuffled #{(1..100).to_a.shuffle.first(20).join("-")}",
    "monotonic #{nanoseconds(Process::CLOCK_MONOTONIC)}",
    "realtime #{nanoseconds(Process::CLOCK_REALTIME)}"
  ].join("\n")
end

native = !ENV.key?("KVM_NAME")
REQUESTS.times do |number|
  text = answer(number)
  print text, "\n--\n" if native
end
if native
  begun = nanoseconds(Process::CLOCK_MONOTONIC)
  (ROUNDS * REQUESTS).times { |number| answer(number % REQUESTS) }
  puts "ns #{(nanoseconds(Process::CLOCK_MONOTONIC) - begun) / (ROUNDS * REQUESTS)}"
  exit
end

# Generators have their seeds before the freeze.
unique
require "tinykvm"
TinyKVM.serve do |request|
  $requests += 1
  case request.url
  when "/unique" then unique
  when "/count" then $requests.to_s
  when "/nothing" then nil
  when "/fail" then answer(nil)
  else answer(Integer(request.url[1..]))
  end
end
