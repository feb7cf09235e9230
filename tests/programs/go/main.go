// Go: a handler of net/http with goroutines, channels, garbage, maps, a recovered nil
// dereference, templates, JSON, timers.
package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"html/template"
	mathrand "math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"tinykvm"
)

const (
	requests = 100
	rounds   = 10
)

var count int

var page = template.Must(template.New("page").Parse(
	`<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>`))

// worker is started before the freeze and answers in requests.
var questions, answers = make(chan int), make(chan int)

func worker() {
	for question := range questions {
		answers <- question * question
	}
}

type node struct {
	next *node
	name string
}

func nilPointer(number int) (result string) {
	defer func() {
		if failure := recover(); failure != nil {
			result = fmt.Sprint(failure.(runtime.Error))
		}
	}()
	list := &node{name: "first"}
	if number%2 == 0 {
		list = list.next
	}
	return list.name
}

func inParallel(number int) int {
	var group sync.WaitGroup
	results := make(chan int, 8)
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			runtime.Gosched()
			results <- i * number
		}(i)
	}
	group.Wait()
	close(results)
	sum := 0
	for result := range results {
		sum += result
	}
	return sum
}

func handler(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	words := map[string]int{}
	for i := 0; i < 500; i++ {
		words[fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i), byte(number)}))[:2]]++
	}
	var garbage [][]byte
	for i := 0; i < 50; i++ {
		garbage = append(garbage, make([]byte, 1024))
	}
	keys := make([]string, 0, len(words))
	for key := range words {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	questions <- number
	square := <-answers
	select {
	case <-time.After(20 * time.Microsecond):
	}
	text, _ := json.Marshal(map[string]interface{}{
		"kinds": len(words), "first": keys[0], "sum": inParallel(number), "square": square,
		"nil": nilPointer(number), "garbage": len(garbage)})
	w.Header().Set("X-Number", strconv.Itoa(number))
	w.Write(text)
	page.Execute(w, []string{"<a>", strconv.Itoa(number)})
}

// monotonic is CLOCK_MONOTONIC in nanoseconds.
func monotonic() int64 {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

// more are generators that not every version of Go has.
var more = map[string]func() interface{}{}

// crowd is a map whose order is looked at.
var crowd = map[int]bool{}

// generators tells what Go's runtime takes from its own generators.
func generators(w http.ResponseWriter) {
	var order []int
	for i := 0; i < 16; i++ {
		for key := range crowd {
			order = append(order, key)
			break
		}
	}
	ready, other, choice := make(chan int, 64), make(chan int, 64), uint64(0)
	for i := 0; i < 64; i++ {
		ready <- 0
		other <- 1
	}
	for i := 0; i < 64; i++ {
		select {
		case bit := <-ready:
			choice = choice<<1 | uint64(bit)
		case bit := <-other:
			choice = choice<<1 | uint64(bit)
		}
	}
	_, err := os.CreateTemp("/nowhere", "*") // fails with the name that it chose
	threads := make(chan uint64)
	for i := 0; i < 2; i++ {
		go func() {
			runtime.LockOSThread() // of its own, perhaps a new one
			var hash maphash.Hash
			threads <- hash.Sum64()
		}()
	}
	fmt.Fprintf(w, "maphash %v\nmap %v\nselect %x\nfile %v\n", maphash.MakeSeed(), order, choice, err)
	fmt.Fprintf(w, "thread %x\nthread2 %x\n", <-threads, <-threads)
	for name, generator := range more {
		fmt.Fprintf(w, "%s %v\n", name, generator())
	}
}

func unique(w http.ResponseWriter, r *http.Request) {
	var bytes, nonce [16]byte
	file, err := os.Open("/dev/urandom")
	if err == nil {
		_, err = file.Read(bytes[:])
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	uuid, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err == nil {
		_, err = rand.Read(nonce[:])
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	generators(w)
	fmt.Fprintf(w, "urandom %x\nnonce %x\nuuid %s\nrandom %v\nmonotonic %d\nrealtime %d\n",
		bytes, nonce, strings.TrimSpace(string(uuid)), mathrand.Float64(), monotonic(), time.Now().UnixNano())
}

func ask(number int) string {
	recorder := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(recorder, httptest.NewRequest("GET", fmt.Sprint("/", number), nil))
	count = 0
	return recorder.Body.String()
}

func main() {
	go worker()
	for i := 0; i < 1000; i++ {
		crowd[i] = true
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		count++
		handler(w, r)
	})
	http.HandleFunc("/unique", unique)
	http.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		count++
		fmt.Fprint(w, count)
	})
	native := !tinykvm.IsSandboxed()
	for number := 0; number < requests; number++ {
		text := ask(number)
		if native {
			fmt.Print(text, "\n--\n")
		}
	}
	runtime.GC()
	if native {
		begun := time.Now()
		_, emulated := os.LookupEnv("TINYKVM_EMULATED") // time means nothing there
		for number := 0; number < rounds*requests && !emulated; number++ {
			ask(number % requests)
		}
		fmt.Println("ns", time.Since(begun).Nanoseconds()/(rounds*requests))
		return
	}
	tinykvm.Serve(http.DefaultServeMux)
}
