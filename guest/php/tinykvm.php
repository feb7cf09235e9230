<?php
// TinyKVM guest programs in PHP.
//
//     require "tinykvm.php";
//     TinyKVM\serve(fn ($request) => "Hello $request->url");
//
// or, to change the bodies of others:
//
//     TinyKVM\set_filter(
//         fn ($start) => TinyKVM\FILTER_TRANSFORM,
//         fn ($data) => TinyKVM\filter_write(strtoupper($data)),
//     );
//     TinyKVM\wait_for_requests();
//
// What is done before serve() or wait_for_requests() is done once; the process is then frozen, and
// every request finds it as it was at that moment. Needs no compiler: calls to the host go through
// the C library's syscall(), and PHP's FFI, which the command line interpreter has switched on.

declare(strict_types=1);

namespace TinyKVM;

const WAIT_FOR_REQUESTS = 0x10001;
const WAIT_FOR_REQUESTS_PAUSED = 0x10002;
const BACKEND_RESPONSE = 0x10010;
const HTTP_SET = 0x10021;
const HTTP_FIND = 0x10022;
const SET_FILTER = 0x10040;
const FILTER_WRITE = 0x10041;

// What the begin function of a filter answers: the body is none of its business; it wants the body
// part by part, as it comes; or all of it in one piece.
const FILTER_PASS = 0;
const FILTER_TRANSFORM = 1;
const FILTER_WHOLE_BODY = 2;

const FILTER_ENCODED = 1;
const FILTER_DELIVERY = 1;

/** What is asked for. Strings are bytes, as the client sent them. */
final class Request
{
    public function __construct(
        public readonly string $method,
        public readonly string $url,
        public readonly string $argument,
        public readonly string $content_type,
        public readonly string $body,
    ) {}

    /** The value of a header field, or null. */
    public function header(string $name): ?string
    {
        return header(0, $name);
    }
}

/**
 * A body that is about to be filtered; for the begin function only. `$length` is null if nobody
 * knows it yet, `$delivery` true if the body is on its way to a client.
 */
final class FilterStart
{
    public function __construct(
        public readonly string $method,
        public readonly string $url,
        public readonly string $argument,
        public readonly string $config,
        public readonly ?int $length,
        public readonly int $status,
        public readonly bool $delivery,
    ) {}

    public function request_header(string $name): ?string
    {
        return header(0, $name);
    }

    /** set_header() sets one. */
    public function response_header(string $name): ?string
    {
        return header(1, $name);
    }
}

/** The C library's syscall(), with the structs of tinykvm_abi.h. */
function host(): \FFI
{
    static $host = null;
    return $host ??= \FFI::cdef(<<<'C'
        long syscall(long call, ...);

        struct request {
            char *method, *url, *argument, *content_type;
            uint16_t method_len, url_len, argument_len, content_type_len;
            char *body;
            uint64_t body_len;
            void *headers;
            uint16_t num_headers, info_flags;
            uint32_t reserved0;
            uint64_t prng[2], reserved1[2];
        };

        struct filter_start {
            char *method, *url, *argument, *config;
            uint32_t method_len, url_len, argument_len, config_len;
            void *request_headers, *response_headers;
            uint32_t num_request_headers, num_response_headers;
            int64_t length;
            uint16_t status, flags;
            uint32_t reserved;
            uint64_t prng[2];
        };

        struct filter_output { char *data; uint64_t capacity, length; };

        struct filter {
            int (*begin)(struct filter_start *);
            int (*chunk)(char *, size_t);
            int (*end)(void);
            struct filter_output output;
        };
        C);
}

/** Copies bytes from an address that the host gave. */
function bytes(?\FFI\CData $address, int $length): string
{
    return $length === 0 ? "" : \FFI::string($address, $length);
}

/** True inside a TinyKVM VM, false when the program was started by hand. */
function is_sandboxed(): bool
{
    return getenv("KVM_NAME") !== false;
}

/** The value of a header field of the request (0) or the response (1), or null. */
function header(int $where, string $name): ?string
{
    $room = host()->new("char[65535]");
    $length = host()->syscall(HTTP_FIND, $where, $name, strlen($name), \FFI::addr($room[0]), 65535);
    return $length > 0 ? trim(substr(\FFI::string($room, $length), strlen($name) + 1)) : null;
}

/** Sets a header field of the answer: "Name: value". Without a colon, it is a name to be removed. */
function set_header(string $field): void
{
    host()->syscall(HTTP_SET, 1, $field, strlen($field));
}

/** What failed, to the log. Warnings and the like go there by display_errors=stderr. */
function complain(\Throwable $error): void
{
    fwrite(STDERR, "PHP Uncaught $error\n");
}

/** Generators of PHP are frozen with the rest, but for those that ask the system. */
function reseed(): void
{
    mt_srand(random_int(PHP_INT_MIN, PHP_INT_MAX));
}

/** What the function returned, as status, content type and body. */
function checked(mixed $result): array
{
    $whole = is_array($result) ? $result : [200, "text/html; charset=utf-8", $result];
    [$status, $kind, $body] = array_values($whole) + [null, null, null];
    if (count($whole) !== 3 || !is_int($status) || !is_string($kind)
        || !(is_scalar($body) || $body instanceof \Stringable)) {
        $wanted = "a body, or [status, content type, body]";
        throw new \UnexpectedValueException("$wanted should be returned, not " . get_debug_type($result));
    }
    return [$status, $kind, $body];
}

/**
 * Says that the program is ready, and answers every request with what `$answer($request)` returns: a
 * body, or [status, content type, body]. If it returns nothing, what it printed is the body.
 */
function serve(callable $answer): never
{
    $raw = host()->new("struct request");
    for (;;) {
        host()->syscall(WAIT_FOR_REQUESTS_PAUSED, \FFI::addr($raw));
        reseed();
        $level = ob_get_level();
        try {
            $request = new Request(
                bytes($raw->method, $raw->method_len),
                bytes($raw->url, $raw->url_len),
                bytes($raw->argument, $raw->argument_len),
                bytes($raw->content_type, $raw->content_type_len),
                bytes($raw->body, $raw->body_len),
            );
            ob_start();
            $result = $answer($request);
            while (ob_get_level() > $level + 1) {
                ob_end_flush();
            }
            $printed = (string) ob_get_clean();
            if ($result !== null) {
                // What is printed beside an answer is for the log.
                echo $printed;
            }
            $result = checked($result ?? $printed);
        } catch (\Throwable $error) {
            while (ob_get_level() > $level) {
                ob_end_clean();
            }
            complain($error);
            $result = [500, "text/plain", "Internal error"];
        }
        [$status, $kind, $body] = $result;
        $body = (string) $body;
        host()->syscall(BACKEND_RESPONSE, $status, $kind, strlen($kind), $body, strlen($body), null);
    }
}

/** A function that the host can call. Exceptions do not go through the host: they fail the filter. */
function guarded(callable $function): \Closure
{
    return function (...$values) use ($function): int {
        try {
            return $function(...$values);
        } catch (\Throwable $error) {
            complain($error);
            return -1;
        }
    };
}

/**
 * The program filters bodies with these functions; before wait_for_requests() or serve().
 *
 * `$begin($start)` looks at the FilterStart, may set header fields of the response, and returns one
 * of FILTER_PASS, FILTER_TRANSFORM and FILTER_WHOLE_BODY. `$chunk($data)` gets a part of the body, or
 * all of it. `$end()` comes behind the last one. An exception says that the filter has failed. What
 * the program remembers lasts until the body has ended. `$encoded`: bodies come as they are sent or
 * stored, gzip and all. PHP compiles what the host is to call, for which it has to have leave.
 */
function set_filter(callable $begin, callable $chunk, ?callable $end = null, bool $encoded = false): void
{
    // What the host calls must not be collected.
    static $filter = null;
    $filter = host()->new("struct filter");
    $start = guarded(function ($start) use ($begin): int {
        reseed();
        return $begin(new FilterStart(
            bytes($start[0]->method, $start[0]->method_len),
            bytes($start[0]->url, $start[0]->url_len),
            bytes($start[0]->argument, $start[0]->argument_len),
            bytes($start[0]->config, $start[0]->config_len),
            $start[0]->length < 0 ? null : $start[0]->length,
            $start[0]->status,
            ($start[0]->flags & FILTER_DELIVERY) !== 0,
        ));
    });
    $part = guarded(function ($data, int $length) use ($chunk): int {
        $chunk(bytes($data, $length));
        return 0;
    });
    $last = guarded(function () use ($end): int {
        if ($end !== null) {
            $end();
        }
        return 0;
    });
    try {
        [$filter->begin, $filter->chunk, $filter->end] = [$start, $part, $last];
    } catch (\FFI\Exception $error) {
        $message = 'a filter in PHP needs "executable_heap": true, or allow(..., exec_memory)';
        throw new \RuntimeException($message, 0, $error);
    }
    $flags = $encoded ? FILTER_ENCODED : 0;
    $output = \FFI::addr($filter->output);
    host()->syscall(SET_FILTER, $filter->begin, $filter->chunk, $filter->end, $output, $flags);
}

/** Writes output: any amount of it, in the chunk and end functions of a filter. */
function filter_write(string $data): void
{
    host()->syscall(FILTER_WRITE, $data, strlen($data));
}

/** The program is ready: from now on the functions of set_filter() are called. Never returns. */
function wait_for_requests(): never
{
    host()->syscall(WAIT_FOR_REQUESTS);
    exit;
}
