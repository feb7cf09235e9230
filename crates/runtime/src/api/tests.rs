use std::time::Duration;

use tinykvm_abi::structs::{BackendResponseExtra, ResponseHeader};
use tinykvm_abi::{callbacks, sides};
use tinykvm_testkit::FakeGuest;

use super::*;
use crate::journal::Silent;
use crate::plain::PlainTransaction;

const UNKNOWN: i64 = -38;

/// What every test needs.
struct Bench {
    guest: FakeGuest,
    transaction: PlainTransaction,
    registration: Registration,
    output: Output,
}

impl Bench {
    fn new() -> Self {
        Self {
            guest: FakeGuest::new(),
            transaction: PlainTransaction::backend(),
            registration: Registration::default(),
            output: Output::default(),
        }
    }

    /// The guest, and what a call needs besides it while a request is served.
    fn parts(&mut self) -> (&mut FakeGuest, Host<'_>) {
        let host = Host {
            program: "p",
            stage: Stage::Request {
                transaction: &mut self.transaction,
                method: b"POST",
                answered: false,
            },
            output: &mut self.output,
            journal: None,
            operator: &Silent,
            deadline: Instant::now(),
            memory: Meminfo {
                max_memory: 7,
                ..Meminfo::default()
            },
            by_syscall: false,
        };
        (&mut self.guest, host)
    }

    /// Makes a call while a request is served.
    fn in_request(&mut self, number: u32, arguments: [u64; 6]) -> Result<Action, Abort> {
        let (guest, mut host) = self.parts();
        guest.set_hypercall(number, arguments);
        dispatch(guest, u64::from(number), &mut host)
    }

    /// Makes a call in `main()`.
    fn in_init(&mut self, number: u32, arguments: [u64; 6]) -> Result<Action, Abort> {
        self.guest.set_hypercall(number, arguments);
        let start = Start::new().expect("a pipe");
        let mut host = Host {
            program: "p",
            stage: Stage::Init {
                registration: &mut self.registration,
                start: &start,
            },
            output: &mut self.output,
            journal: None,
            operator: &Silent,
            deadline: Instant::now(),
            memory: Meminfo::default(),
            by_syscall: false,
        };
        dispatch(&mut self.guest, u64::from(number), &mut host)
    }

    /// The result of a call that resumes.
    fn result(&mut self, number: u32, arguments: [u64; 6]) -> i64 {
        assert_eq!(self.in_request(number, arguments), Ok(Action::Resume));
        self.guest.result()
    }

    /// The text with which a call ends the run.
    fn abort(&mut self, number: u32, arguments: [u64; 6]) -> String {
        self.in_request(number, arguments)
            .expect_err("this call must end the run")
            .to_string()
    }

    fn header(&mut self, number: u32, place: i32, field: &str) -> Result<Action, Abort> {
        let address = self.guest.put(field.as_bytes());
        let place = u64::from(place.cast_unsigned());
        self.in_request(number, [place, address, field.len() as u64, 0, 0, 0])
    }
}

fn word(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

#[test]
fn registering() {
    let mut bench = Bench::new();
    let register = calls::REGISTER_FUNC;
    let get = u64::from(callbacks::GET);
    assert_eq!(
        bench.in_init(register, [get, 0x40_1000, 0, 0, 0, 0]),
        Ok(Action::Resume)
    );
    // A void call leaves RAX as it is.
    assert_eq!(bench.guest.result(), i64::from(register));
    assert_eq!(
        bench.in_init(register, [get, 0x7000_0040_2000, 0, 0, 0, 0]),
        Ok(Action::Resume)
    );
    let registered = bench.registration.callbacks;
    assert_eq!(registered.get(callbacks::GET), Some(0x7000_0040_2000));
    assert_eq!(registered.get(callbacks::POST), None);
    assert_eq!(registered.get(99), None);
    for (index, address) in [(13, 0x40_1000), (get, 0), (get, 0xFFF), (get, 1 << 63)] {
        let result = bench.in_init(register, [index, address, 0, 0, 0, 0]);
        assert!(matches!(result, Err(Abort::Argument { .. })), "{result:?}");
    }
    assert!(
        bench
            .abort(register, [get, 0x40_1000, 0, 0, 0, 0])
            .contains("before the wait call")
    );
}

#[test]
fn waiting() {
    let mut bench = Bench::new();
    let (plain, paused) = (calls::WAIT_FOR_REQUESTS, calls::WAIT_FOR_REQUESTS_PAUSED);
    assert_eq!(
        bench.in_init(plain, [0; 6]),
        Ok(Action::Wait { paused: false })
    );
    assert_eq!(
        bench.in_init(paused, [0; 6]),
        Ok(Action::Wait { paused: true })
    );
    assert!(bench.in_request(plain, [0; 6]).is_err());
    assert!(bench.in_request(paused, [0; 6]).is_err());
}

#[test]
fn choosing_to_be_ephemeral() {
    let mut bench = Bench::new();
    let call = calls::MAKE_EPHEMERAL;
    assert_eq!(bench.in_init(call, [1, 0, 0, 0, 0, 0]), Ok(Action::Resume));
    assert_eq!(bench.guest.result(), -1);
    bench.registration.may_choose = true;
    for choice in [1, 0] {
        assert_eq!(
            bench.in_init(call, [choice, 0, 0, 0, 0, 0]),
            Ok(Action::Resume)
        );
        assert_eq!(bench.guest.result(), 0);
        assert_eq!(bench.registration.ephemeral, choice == 1);
    }
    assert!(bench.in_request(call, [1, 0, 0, 0, 0, 0]).is_err());
}

#[test]
fn header_calls_return_indices() {
    let mut bench = Bench::new();
    let (append, set) = (calls::HTTP_APPEND, calls::HTTP_SET);
    for (call, field, result) in [
        (append, "X-A: 1", 5),
        (append, "X-A: 2", 6),
        (set, "x-a: 3", 5),
        (set, "", 0),
        (set, "X-None", 0),
        (set, "X-A", 5),
    ] {
        bench
            .header(call, sides::RESPONSE, field)
            .expect("a good field");
        assert_eq!(bench.guest.result(), result, "{field:?}");
    }
    assert_eq!(bench.transaction.response(), ["X-A: 2"]);
    bench
        .header(append, sides::BACKEND_REQUEST, "Y: z")
        .expect("the same as the request");
    assert_eq!(bench.transaction.request, [b"Y: z".to_vec()]);
}

#[test]
fn header_calls_that_end_the_run() {
    let mut bench = Bench::new();
    let (append, set) = (calls::HTTP_APPEND, calls::HTTP_SET);
    for call in [append, set] {
        for field in [
            "X-Value: 1 ",
            "X-Value: ",
            "X-Value:1",
            ": 1",
            "a:b",
            "X: a\r\nY: b",
        ] {
            assert!(
                bench.header(call, sides::RESPONSE, field).is_err(),
                "{field:?}"
            );
        }
        let good = bench.guest.put(b"X-Value: 1");
        assert!(
            bench
                .abort(call, [1, good, u64::MAX, 0, 0, 0])
                .contains("65535")
        );
        assert!(
            bench
                .abort(call, [1, good, 11, 0, 0, 0])
                .contains("bad guest address")
        );
        assert!(
            bench
                .abort(call, [1, 0, 10, 0, 0, 0])
                .contains("bad guest address")
        );
        for place in [2, 3, 6, -1] {
            assert!(
                bench
                    .abort(call, [word(place), good, 10, 0, 0, 0])
                    .contains("message")
            );
        }
    }
    // The client side has other names, and may have no response.
    bench.transaction = PlainTransaction::default();
    assert!(bench.header(append, sides::REQUEST, "X: yz").is_ok());
    assert!(
        bench
            .header(append, sides::BACKEND_REQUEST, "X: yz")
            .is_err()
    );
    assert!(bench.header(append, sides::RESPONSE, "X: yz").is_err());
    // In main() there is no transaction.
    let field = bench.guest.put(b"X-Value: 1");
    assert!(bench.in_init(append, [0, field, 10, 0, 0, 0]).is_err());
}

#[test]
fn a_full_header_table() {
    let mut bench = Bench::new();
    bench.transaction.fail_append = Some(crate::FieldError::TableFull);
    bench
        .header(calls::HTTP_APPEND, sides::RESPONSE, "X: yz")
        .expect("no error");
    assert_eq!(bench.guest.result(), 0xFFFF_FFFF);
}

#[test]
fn finding_headers() {
    let mut bench = Bench::new();
    bench.transaction.request = vec![b"Host: test.com".to_vec()];
    let find = calls::HTTP_FIND;
    let name = bench.guest.put(b"hOSt");
    let out = bench.guest.put(&[0xFF; 20]);
    assert_eq!(bench.result(find, [0, name, 4, 0, 0, 0]), 14);
    assert_eq!(bench.result(find, [0, name, 4, out, 13, 0]), 0);
    assert_eq!(bench.guest.bytes(out, 1), [0xFF]);
    assert_eq!(bench.result(find, [0, name, 4, out, 20, 0]), 14);
    assert_eq!(bench.guest.bytes(out, 15), *b"Host: test.com\xFF");
    // Only 16 bits of lengths count.
    assert_eq!(bench.result(find, [0, name, 0x1_0004, out, 0x1_0000, 0]), 0);
    let missing = bench.guest.put(b"X-Missing");
    assert_eq!(bench.result(find, [0, missing, 9, out, 20, 0]), 0);
    for bad in ["a:b", "a b", "a\0"] {
        let key = bench.guest.put(bad.as_bytes());
        bench.abort(find, [0, key, bad.len() as u64, 0, 0, 0]);
    }
    bench.abort(find, [0, name, 0, 0, 0, 0]);
    bench.abort(find, [0, name, u64::MAX, 0, 0, 0]);
    bench.abort(find, [0, 0, 4, 0, 0, 0]);
    assert!(
        bench
            .abort(find, [0, name, 4, 0x40_0000, 20, 0])
            .contains("0x400000")
    );
}

#[test]
fn the_method() {
    let mut bench = Bench::new();
    let call = calls::HTTP_METHOD;
    let out = bench.guest.put(&[0; 8]);
    assert_eq!(bench.result(call, [0, 0, 0, 0, 0, 0]), 4);
    assert_eq!(bench.result(call, [out, 3, 0, 0, 0, 0]), 0);
    assert_eq!(bench.result(call, [out, (1 << 31) | 8, 0, 0, 0, 0]), 4);
    assert_eq!(bench.guest.bytes(out, 5), *b"POST\0");
    bench.abort(call, [0x40_0000, 8, 0, 0, 0, 0]);
    bench.transaction.backend = false;
    assert!(
        bench
            .abort(call, [out, 8, 0, 0, 0, 0])
            .contains("backend fetch")
    );
}

#[test]
fn cacheability() {
    let mut bench = Bench::new();
    let call = calls::SET_CACHEABLE;
    assert_eq!(bench.result(call, [1, 1500, 20, u64::MAX, 0, 0]), 0);
    let told = bench.transaction.cacheable.expect("told");
    assert!(told.cacheable);
    assert_eq!(told.ttl, Duration::from_millis(1500));
    assert_eq!(told.grace, Duration::from_millis(20));
    assert_eq!(told.keep, Duration::from_secs(1_000_000_000));
    bench.transaction.backend = false;
    assert_eq!(bench.result(call, [1, 1, 1, 1, 0, 0]), -1);
    assert_eq!(bench.in_init(call, [1, 1, 1, 1, 0, 0]), Ok(Action::Resume));
    assert_eq!(bench.guest.result(), -1);
}

#[test]
fn what_is_not_configured() {
    let mut bench = Bench::new();
    let data = bench.guest.put(b"data");
    assert_eq!(bench.result(calls::SHARED_MEMORY_AREA, [0; 6]), -1);
    assert_eq!(bench.guest.registers().rdx, u64::MAX);
    for (call, arguments, result) in [
        (calls::IS_STORAGE, [0; 6], 0),
        (calls::IS_DEBUG, [0; 6], 0),
        (calls::STORAGE_ALLOW, [0x40_1000, 0, 0, 0, 0, 0], -1),
        (calls::STORAGE_CALLV, [0x40_1000, 65, 0, 0, 0, 0], -1),
        (calls::STORAGE_CALLV, [0x40_1000, 1, 0, u64::MAX, 1, 0], -1),
        (calls::STORAGE_TASK, [0x40_1000, data, 4, 10, 0, 0], 0),
        (calls::STOP_STORAGE_TASK, [0; 6], 0),
        (calls::MULTIPROCESS, [4, 0x40_1000, 0, 0, 0, 0], -1),
        (calls::MULTIPROCESS_ARRAY, [4, 0x40_1000, 0, 0, 0, 0], -1),
        (calls::MULTIPROCESS_CLONE, [4, 0x40_1000, 0, 0, 0, 0], -1),
        (calls::MULTIPROCESS_WAIT, [0; 6], 0),
        (calls::REGEX_COMPILE, [data, 4, 0, 0, 0, 0], UNKNOWN),
        (calls::FETCH, [data, 4, 0, 0, 0, 0], UNKNOWN),
        (calls::REQUEST, [0; 6], UNKNOWN),
        (0x10200, [0; 6], UNKNOWN),
        (512, [0; 6], UNKNOWN),
        (u32::MAX, [0; 6], UNKNOWN),
    ] {
        assert_eq!(bench.result(call, arguments), result, "{call:#x}");
    }
    for (call, arguments) in [
        (calls::STORAGE_CALLV, [0x40_1000, 1, data, 0, 0, 0]),
        (calls::STORAGE_TASK, [0x40_1000, data, 4, 0, 0, 0]),
        (calls::STORAGE_TASK, [0x40_1000, data, 5, 1, 0, 0]),
        (calls::STORAGE_TASK, [0x40_1000, data, 0x20_0001, 1, 0, 0]),
        (calls::REMOTE_DISCONNECT, [0; 6]),
        (calls::BEGIN_STREAMING_RESPONSE, [0; 6]),
    ] {
        bench.abort(call, arguments);
    }
    for call in [
        calls::OLD_SET_BACKEND,
        calls::SOCKETS_WRITE,
        calls::BREAKPOINT,
    ] {
        assert_eq!(bench.result(call, [0; 6]), i64::from(call));
    }
    assert_eq!(bench.transaction.logged, ["tinykvm p: breakpoint skipped"]);
}

#[test]
fn stops_and_linux_calls() {
    let mut bench = Bench::new();
    for call in [calls::STOP, calls::STORAGE_RETURN, calls::STORAGE_NORETURN] {
        assert_eq!(bench.in_request(call, [0; 6]), Ok(Action::Stop));
    }
    assert_eq!(bench.in_request(39, [0; 6]), Ok(Action::Linux));
    assert_eq!(
        bench.in_request(calls::BACKEND_RESPONSE, [0, 0, 0, 5, 0, 0]),
        Ok(Action::Respond { body: 5 })
    );
}

#[test]
fn logging_and_memory_figures() {
    let mut bench = Bench::new();
    let text = bench.guest.put(b"hello\n");
    assert_eq!(
        bench.result(calls::LOG, [text, 6, 0, 0, 0, 0]),
        i64::from(calls::LOG)
    );
    assert_eq!(bench.transaction.logged, ["p says: hello"]);
    bench.abort(calls::LOG, [text, 7, 0, 0, 0, 0]);
    let to = bench.guest.put(&[0; 32]);
    bench.result(calls::MEMINFO, [to, 0, 0, 0, 0, 0]);
    assert_eq!(bench.guest.bytes(to, 9), [7, 0, 0, 0, 0, 0, 0, 0, 0]);
    bench.abort(calls::MEMINFO, [to + 1, 0, 0, 0, 0, 0]);
}

mod answers {
    use super::*;

    const LONGEST_BODY: u64 = 1 << 20;

    fn decoded(bench: &mut Bench, arguments: [u64; 6]) -> Result<Answer, BadAnswer> {
        let (guest, mut host) = bench.parts();
        guest.set_hypercall(calls::BACKEND_RESPONSE, arguments);
        decode_response(guest, arguments[3], LONGEST_BODY, &mut host)
    }

    #[test]
    fn a_plain_answer() {
        let mut bench = Bench::new();
        let kind = bench.guest.put(b"text/plain\0");
        let body = bench.guest.put(b"hello");
        // Upper halves of 16-bit values don't count; a NUL ends the type.
        let answer = decoded(&mut bench, [0xABCD_00C8, kind, 11, body, 5, 0]).expect("good");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.content_type, b"text/plain");
        assert_eq!((answer.body, answer.length), (body, 5));
        let empty = decoded(&mut bench, [599, 0, 0, 0, 0, 0]).expect("good");
        assert!(empty.content_type.is_empty());
        assert_eq!(empty.length, 0);
    }

    #[test]
    fn bad_answers() {
        let mut bench = Bench::new();
        let kind = bench.guest.put(&[b'x'; 5000]);
        let injected = bench.guest.put(b"a\r\nb");
        let body = bench.guest.put(b"hello");
        for arguments in [
            [199, 0, 0, body, 5, 0],
            [600, 0, 0, body, 5, 0],
            [0, 0, 0, body, 5, 0],
            [200, kind, 4096, body, 5, 0],
            [200, kind, 0xFFFF_FFFF, body, 5, 0],
            [200, 0, 5, body, 5, 0],
            [200, injected, 4, body, 5, 0],
            [200, 0, 0, 0, 16, 0],
            [200, 0, 0, body, 6, 0],
            [200, 0, 0, body, u64::MAX, 0],
            [200, 0, 0, body, 5, 1],
            [200, 0, 0, body, 5, 0xFFF],
            [200, 0, 0, body, 5, 0x40_0000],
        ] {
            assert!(decoded(&mut bench, arguments).is_err(), "{arguments:x?}");
        }
    }

    fn extra(headers: u64, num_headers: u16) -> BackendResponseExtra {
        BackendResponseExtra {
            headers,
            num_headers,
            ..BackendResponseExtra::default()
        }
    }

    fn with_extra(bench: &mut Bench, extra: &BackendResponseExtra) -> Result<Answer, BadAnswer> {
        let at = bench.guest.put(&extra.to_bytes());
        decoded(bench, [200, 0, 0, 0, 0, at])
    }

    #[test]
    fn extra_headers_behave_like_set() {
        let mut bench = Bench::new();
        bench.transaction.response = Some(vec![b"X-Old: 1".to_vec()]);
        let mut records = Vec::new();
        for field in [
            "X-A: 1",
            "X-Old",
            "",
            "x-a: 2",
            "Content_Length: 7",
            "Connection",
        ] {
            let header = ResponseHeader {
                field: bench.guest.put(field.as_bytes()),
                field_len: field.len() as u64 | 1 << 40,
            };
            records.extend(header.to_bytes());
        }
        let headers = bench.guest.put(&records);
        let block = extra(headers, 6);
        with_extra(&mut bench, &block).expect("good");
        assert_eq!(bench.transaction.response(), ["x-a: 2"]);
        // What is ignored is told, as of `http_set`.
        let [length, connection] = bench.transaction.logged.as_slice() else {
            panic!("{:?}", bench.transaction.logged);
        };
        assert!(length.contains("Content_Length: 7") && length.contains("is ignored"));
        assert!(connection.contains("Connection") && connection.contains("is ignored"));
        assert_eq!(bench.transaction.cacheable, None);
        // One more record than there is.
        let block = extra(headers, 7);
        assert!(with_extra(&mut bench, &block).is_err());
        let block = extra(headers, 65);
        assert_eq!(
            with_extra(&mut bench, &block),
            Err(BadAnswer::HeaderCount { count: 65 })
        );
        // The pointer must be one even for no headers.
        let block = extra(0, 0);
        assert!(with_extra(&mut bench, &block).is_err());
    }

    #[test]
    fn extra_times() {
        let mut bench = Bench::new();
        let block = BackendResponseExtra {
            headers: 0x1000,
            cached: 1,
            ttl: 1.5,
            grace: f32::NAN,
            keep: f32::INFINITY,
            ..BackendResponseExtra::default()
        };
        with_extra(&mut bench, &block).expect("good");
        let told = bench.transaction.cacheable.expect("told");
        assert!(told.cacheable);
        assert_eq!(told.ttl, Duration::from_millis(1500));
        assert_eq!(told.grace, Duration::ZERO);
        assert_eq!(told.keep, Duration::from_secs(1_000_000_000));
        // On the client side there is nothing to cache.
        bench.transaction = PlainTransaction::default();
        assert!(with_extra(&mut bench, &block).is_ok());
    }
}
