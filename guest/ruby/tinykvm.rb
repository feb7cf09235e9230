# TinyKVM guest programs in Ruby.
#
#     require "tinykvm"
#     TinyKVM.serve { |request| "Hello #{request.url}" }
#
# or, to change the bodies of others:
#
#     TinyKVM.set_filter(
#       begin: ->(start) { TinyKVM::FILTER_TRANSFORM },
#       chunk: ->(data) { TinyKVM.filter_write(data.upcase) }
#     )
#     TinyKVM.wait_for_requests
#
# What is done before serve or wait_for_requests is done once; the process is then frozen, and every
# request finds it as it was at that moment. Needs no compiler: calls to the host go through Ruby's
# own syscall(), to which strings are given by their addresses, and fiddle reads what it has to say.
require "fiddle"

module TinyKVM
  WAIT_FOR_REQUESTS = 0x10001
  WAIT_FOR_REQUESTS_PAUSED = 0x10002
  BACKEND_RESPONSE = 0x10010
  HTTP_SET = 0x10021
  HTTP_FIND = 0x10022
  SET_FILTER = 0x10040
  FILTER_WRITE = 0x10041
  MMAP = 9
  MUNMAP = 11
  private_constant :MMAP, :MUNMAP, :WAIT_FOR_REQUESTS, :WAIT_FOR_REQUESTS_PAUSED, :BACKEND_RESPONSE
  private_constant :HTTP_SET, :HTTP_FIND, :SET_FILTER, :FILTER_WRITE

  # What the begin function of a filter answers: the body is none of its business; it wants the body
  # part by part, as it comes; or all of it in one piece.
  FILTER_PASS = 0
  FILTER_TRANSFORM = 1
  FILTER_WHOLE_BODY = 2

  FILTER_ENCODED = 1
  FILTER_DELIVERY = 1
  UNKNOWN_LENGTH = 2**64 - 1
  private_constant :FILTER_ENCODED, :FILTER_DELIVERY, :UNKNOWN_LENGTH

  # What is asked for. Strings are bytes, as the client sent them.
  Request = Struct.new(:method, :url, :argument, :content_type, :body) do
    # The value of a header field, or nil.
    def header(name) = TinyKVM.header(0, name)
  end

  # A body that is about to be filtered; for the begin function only. `length` is nil if nobody knows
  # it yet, `delivery` true if the body is on its way to a client.
  FilterStart = Struct.new(:method, :url, :argument, :config, :length, :status, :delivery) do
    def request_header(name) = TinyKVM.header(0, name)

    # set_header() sets one.
    def response_header(name) = TinyKVM.header(1, name)
  end

  class << self
    # True inside a TinyKVM VM, false when the program was started by hand.
    def sandboxed? = ENV.key?("KVM_NAME")

    # Sets a header field of the answer: "Name: value". Without a colon, it is a name to be removed.
    def set_header(field)
      host(HTTP_SET, 1, field)
      nil
    end

    # The value of a header field of the request (0) or the response (1), or nil.
    def header(where, name)
      room = "\0".b * 65_535
      length = syscall(HTTP_FIND, where, address(name), name.bytesize, address(room), room.bytesize)
      length.positive? ? room.byteslice(name.bytesize + 1...length).strip : nil
    end

    # Says that the program is ready, and answers every request with what the block returns: a body,
    # or [status, content type, body].
    def serve
      # struct kvm_request of tinykvm_abi.h
      raw = "\0".b * 104
      loop do
        syscall(WAIT_FOR_REQUESTS_PAUSED, address(raw))
        # The generator behind rand() was frozen with the rest.
        srand
        status, kind, body =
          begin
            checked(yield(request_of(raw)))
          rescue StandardError, ScriptError => error
            complain(error)
            [500, "text/plain", "Internal error"]
          end
        syscall(BACKEND_RESPONSE, status, address(kind), kind.bytesize, address(body), body.bytesize, 0)
      end
    end

    # The program filters bodies with these functions; before wait_for_requests or serve.
    #
    # begin.(start) looks at the FilterStart, may set header fields of the response, and returns one of
    # FILTER_PASS, FILTER_TRANSFORM and FILTER_WHOLE_BODY. chunk.(data) gets a part of the body, or all
    # of it. end.() comes behind the last one. An exception says that the filter has failed. What the
    # program remembers lasts until the body has ended. `encoded`: bodies come as they are sent or
    # stored, gzip and all.
    def set_filter(begin:, chunk:, end: nil, encoded: false)
      need_executable_memory
      first, each, last = binding.local_variable_get(:begin), chunk, binding.local_variable_get(:end)
      int, pointer, size = Fiddle::TYPE_INT, Fiddle::TYPE_VOIDP, Fiddle::TYPE_SIZE_T
      # What the host calls must not be collected.
      @filter = [
        closure(int, [pointer]) do |raw|
          srand
          first.call(start_of(raw.to_i))
        end,
        closure(int, [pointer, size]) do |data, length|
          each.call(bytes(data.to_i, length))
          0
        end,
        closure(int, []) do
          last&.call
          0
        end
      ]
      # struct filter_output: the host takes what filter_write() gives it at once.
      @output = "\0".b * 24
      syscall(SET_FILTER, *@filter.map(&:to_i), address(@output), encoded ? FILTER_ENCODED : 0)
      nil
    end

    # Writes output: any amount of it, in the chunk and end functions of a filter.
    def filter_write(data)
      syscall(FILTER_WRITE, address(data), data.bytesize)
      nil
    end

    # The program is ready: from now on the functions of set_filter are called. Never returns.
    def wait_for_requests = syscall(WAIT_FOR_REQUESTS)

    private

    # Where a string is. It has to be alive, and not changed, for as long as the host looks.
    def address(string) = [string].pack("P").unpack1("J")

    # Copies bytes from an address that the host gave.
    def bytes(address, length)
      length.zero? ? "".b : Fiddle::Pointer.new(address)[0, length]
    end

    def host(call, where, text) = syscall(call, where, address(text), text.bytesize)

    def complain(error)
      $stderr.write(error.full_message(highlight: false))
    end

    def request_of(raw)
      method, url, argument, kind, *lengths, body, length = raw.unpack("J4S4J2")
      texts = [method, url, argument, kind].zip(lengths).map { |at, count| bytes(at, count) }
      Request.new(*texts, bytes(body, length))
    end

    # struct filter_start of tinykvm_abi.h
    def start_of(address)
      method, url, argument, config, *lengths, _, _, _, _, length, status, flags =
        bytes(address, 84).unpack("J4L4J2L2JS2")
      texts = [method, url, argument, config].zip(lengths).map { |at, count| bytes(at, count) }
      length = nil if length == UNKNOWN_LENGTH
      FilterStart.new(*texts, length, status, flags.anybits?(FILTER_DELIVERY))
    end

    # What the block returned, as status, content type and body.
    def checked(answer)
      whole = answer.is_a?(Array) ? answer : [200, "text/html; charset=utf-8", answer]
      return whole if whole.size == 3 && [Integer, String, String].zip(whole).all? { |kind, it| kind === it }

      wanted = "a body, or [status, content type, body]"
      raise TypeError, "#{wanted} should be returned, not #{answer.inspect[0, 200]}"
    end

    # A function that the host can call. Exceptions do not go through the host: they fail the filter.
    def closure(result, arguments, &block)
      Fiddle::Closure::BlockCaller.new(result, arguments) do |*values|
        answer = block.call(*values)
        raise TypeError, "begin answered #{answer.inspect}, not one of FILTER_..." unless answer.is_a?(Integer)

        answer
      rescue StandardError, ScriptError => error
        complain(error)
        -1
      ensure
        # What is not flushed is forgotten.
        $stdout.flush
      end
    end

    # Fiddle compiles what the host is to call, and crashes if it may not.
    def need_executable_memory
      address = syscall(MMAP, 0, 4096, 7, 0x22, -1, 0)
      syscall(MUNMAP, address, 4096)
    rescue SystemCallError
      raise "a filter in Ruby needs \"executable_heap\": true, or allow(..., exec_memory)"
    end
  end
end
