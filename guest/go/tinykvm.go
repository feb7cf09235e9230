// Package tinykvm is for TinyKVM guest programs in Go.
//
//	func main() {
//		http.HandleFunc("/", hello)
//		tinykvm.Serve(http.DefaultServeMux)
//	}
//
// What is done before Serve is done once; the process is then frozen, and every request finds it as
// it was at that moment, but for its random generators. Calls to the host go through package syscall;
// there is no C.
package tinykvm

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

const (
	waitForRequestsPaused = 0x10002
	backendResponse       = 0x10010
)

type header struct {
	field *byte
	colon uint32
	len   uint32
}

// struct kvm_request of tinykvm_abi.h
type request struct {
	method, url, arg, contentType             *byte
	methodLen, urlLen, argLen, contentTypeLen uint16
	content                                   *byte
	contentLen                                uint64
	headers                                   *header
	numHeaders, infoFlags                     uint16
	_                                         uint32
	prng                                      [2]uint64
	_                                         [2]uint64
}

// struct ResponseHeader
type field struct {
	text *byte
	len  uint64
}

// struct BackendResponseExtra
type extra struct {
	headers    *field
	numHeaders uint16
	cached     bool
	ttl        float32
	grace      float32
	keep       float32
	_          [4]uint64
}

// IsSandboxed is true inside a TinyKVM VM, false when the program was started by hand.
func IsSandboxed() bool {
	_, is := os.LookupEnv("KVM_NAME")
	return is
}

// Serve says that the program is ready, and has a handler of net/http answer every request.
func Serve(handler http.Handler) {
	// The request has to stay where the host was told it is.
	raw := new(request)
	generators := findGenerators()
	if generators == nil && IsSandboxed() {
		fmt.Fprintln(os.Stderr, "tinykvm: the generators of", runtime.Version(), "were not found: math/rand is seeded anew, but the order of maps, math/rand/v2, hash/maphash and names of temporary files are the same in every request")
	}
	for {
		// Not RawSyscall: the scheduler may start other goroutines before the freeze.
		syscall.Syscall(waitForRequestsPaused, uintptr(unsafe.Pointer(raw)), 0, 0)
		generators.reseed(raw.prng)
		response := newResponse()
		if request, err := raw.decode(); err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
		} else {
			answer(handler, response, request)
		}
		response.send()
	}
}

func answer(handler http.Handler, response *response, request *http.Request) {
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Fprintln(os.Stderr, "panic:", failure)
			response.body.Reset()
			response.status = http.StatusInternalServerError
		}
	}()
	handler.ServeHTTP(response, request)
}

func text(at *byte, length uint16) string {
	return string(unsafe.Slice(at, int(length)))
}

// decode copies the request: its memory is the host's.
func (raw *request) decode() (*http.Request, error) {
	var body []byte
	if raw.content != nil {
		body = append(body, unsafe.Slice(raw.content, int(raw.contentLen))...)
	}
	request, err := http.NewRequest(text(raw.method, raw.methodLen), text(raw.url, raw.urlLen), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if raw.headers != nil {
		for _, header := range unsafe.Slice(raw.headers, int(raw.numHeaders)) {
			line := string(unsafe.Slice(header.field, int(header.len)))
			if name, value, found := strings.Cut(line, ":"); found {
				request.Header.Add(name, strings.TrimSpace(value))
			}
		}
	}
	request.Host = request.Header.Get("Host")
	return request, nil
}

// response is an http.ResponseWriter that keeps everything.
type response struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func newResponse() *response {
	return &response{header: http.Header{}, status: http.StatusOK}
}

func (r *response) Header() http.Header            { return r.header }
func (r *response) WriteHeader(status int)         { r.status = status }
func (r *response) Write(data []byte) (int, error) { return r.body.Write(data) }

func (r *response) send() {
	kind := []byte(r.header.Get("Content-Type"))
	if len(kind) == 0 {
		kind = []byte(http.DetectContentType(r.body.Bytes()))
	}
	r.header.Del("Content-Type")
	var fields []field
	for name, values := range r.header {
		for _, value := range values {
			line := []byte(name + ": " + value)
			fields = append(fields, field{&line[0], uint64(len(line))})
		}
	}
	more := extra{numHeaders: uint16(len(fields))}
	if len(fields) == 0 {
		fields = make([]field, 1)
	}
	more.headers = &fields[0]
	body := append(r.body.Bytes(), 0)
	syscall.Syscall6(backendResponse, uintptr(r.status), uintptr(unsafe.Pointer(&kind[0])), uintptr(len(kind)),
		uintptr(unsafe.Pointer(&body[0])), uintptr(len(body)-1), uintptr(unsafe.Pointer(&more)))
	runtime.KeepAlive(fields)
}
