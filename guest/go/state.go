package tinykvm

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math/rand"
	"runtime"
	"runtime/debug"
	"unsafe"
)

// The random generators of Go's runtime: of math/rand and math/rand/v2, the order of maps and of
// ready channels, hash/maphash, the names of temporary files, ports of DNS queries. They are seeded
// once, when the program starts, so they are frozen with it, and no function seeds them anew. So
// they are looked for in memory, before the freeze, and every request writes a seed of its own.
//
// Each thread (an M of the runtime) has generators; up to Go 1.21 a counter, since then a ChaCha8
// and a counter; and one more ChaCha8 seeds those of new threads. Where they are in an M is found
// by looking at what changes when a number is taken. Nothing is written that was not found so.

// currentG is the address of the goroutine's own record.
func currentG() uintptr

// variables is where the program's variables are: those with pointers, and those without pointers
// that begin as zero.
func variables() (pointers, pointersEnd, others, othersEnd uintptr)

const (
	// Offset of the pointer to its M in a G; an M begins with a pointer to its G for scheduling.
	offsetM = 48
	// Bytes of an M that are looked at.
	sizeM = 2560
	// What the counters advance by: one of 64 bits, one of 32.
	step64 = 0xa0761d6478bd642f
	step32 = 0x53c5ca59
	// How far from one another pointers into the heap may be.
	nearHeap = 1 << 36
	// Bytes of variables in which runtime.globalRand must be: small ones come first.
	small = 1 << 20
)

// chacha8 is internal/chacha8rand.State.
type chacha8 struct {
	buf     [32]uint64
	seed    [4]uint64
	i, n, c uint32
}

// seeded tells whether this looks like one in use.
func (s *chacha8) seeded() bool {
	if s.n != 32 && s.n != 28 || s.i > s.n || s.c%4 != 0 || s.c > 12 {
		return false
	}
	for _, word := range s.buf {
		if word == 0 {
			return false
		}
	}
	return s.seed[0] != 0 && s.seed[1] != 0 && s.seed[2] != 0 && s.seed[3] != 0
}

// reseed leaves it as one whose numbers are used up, and whose next seed is this.
func (s *chacha8) reseed(seed [4]uint64) {
	s.seed = seed
	copy(s.buf[28:], seed[:])
	s.i, s.n, s.c = 28, 28, 12
}

// generators is what was found.
type generators struct {
	// Variables that point to an M, with what was in them; and the Ms.
	roots map[uintptr]uintptr
	known map[uintptr]bool
	ms    []uintptr
	// Offsets in an M; 0 if there is none.
	chacha, counter64, counter32 uintptr
	global                       *chacha8
	// The functions of math/rand have a generator of their own.
	ownRand bool
	// Pointers lead near this place in the heap, or to variables.
	heap, start, end uintptr
}

//go:nocheckptr
func word(at uintptr) uintptr { return *(*uintptr)(unsafe.Pointer(at)) }

//go:nocheckptr
func stateAt(at uintptr) *chacha8 { return (*chacha8)(unsafe.Pointer(at)) }

//go:nocheckptr
func write64(at uintptr, value uint64) { *(*uint64)(unsafe.Pointer(at)) = value }

//go:nocheckptr
func write32(at uintptr, value uint32) { *(*uint32)(unsafe.Pointer(at)) = value }

//go:nocheckptr
func copyM(m uintptr) [sizeM / 4]uint32 { return *(*[sizeM / 4]uint32)(unsafe.Pointer(m)) }

// findGenerators returns nil if the runtime is not as expected.
func findGenerators() (found *generators) {
	// The thread stays the same, and what is no pointer does no harm.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			found = nil
		}
	}()
	it := &generators{roots: map[uintptr]uintptr{}, known: map[uintptr]bool{}}
	start, end, others, othersEnd := variables()
	g := currentG()
	it.heap, it.start, it.end = g, start, end
	m := word(g + offsetM)
	if !it.isM(m) {
		return nil
	}
	it.findOffsets(m)
	if it.chacha == 0 && it.counter64 == 0 {
		return nil
	}
	for at := it.start; at < it.end; at += 8 {
		if to := word(at); it.isM(to) {
			it.roots[at] = to
			it.add(to)
		}
	}
	it.add(m)
	if it.chacha != 0 && !it.findGlobal(others, othersEnd) {
		return nil
	}
	it.ownRand = !it.takesFrom(m, func() { rand.Int63() })
	return it
}

func (it *generators) mayPoint(to uintptr) bool {
	return to%8 == 0 && (to-it.heap+nearHeap < 2*nearHeap || to-it.start < it.end-it.start)
}

func (it *generators) isM(at uintptr) (is bool) {
	if !it.mayPoint(at) {
		return false
	}
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	g0 := word(at)
	return it.mayPoint(g0) && word(g0+offsetM) == at
}

// add adds an M and those that it leads to: each knows the one that was made before it.
func (it *generators) add(m uintptr) {
	todo := []uintptr{m}
	for len(todo) > 0 {
		m := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if it.known[m] {
			continue
		}
		it.known[m] = true
		if it.chacha == 0 || stateAt(m+it.chacha).seeded() {
			it.ms = append(it.ms, m)
		}
		for at := m; at < m+sizeM; at += 8 {
			if to := word(at); it.isM(to) {
				todo = append(todo, to)
			}
		}
	}
}

// findOffsets finds out what changes in the M that runs this when numbers are taken.
func (it *generators) findOffsets(m uintptr) {
	for try := 0; try < 4 && it.chacha == 0; try++ {
		for at := uintptr(0); at+unsafe.Sizeof(chacha8{}) <= sizeM; at += 8 {
			state := stateAt(m + at)
			if !state.seeded() {
				continue
			}
			before := *state
			seed := maphash.MakeSeed()
			if before.i < before.n && state.i == before.i+1 && before.buf[before.i] == *(*uint64)(unsafe.Pointer(&seed)) {
				it.chacha = at
			}
		}
	}
	take := func() { maphash.MakeSeed() }
	if it.chacha != 0 {
		one, other := make(chan int, 1), make(chan int, 1)
		take = func() {
			one <- 1
			other <- 1
			select {
			case <-one:
				<-other
			case <-other:
				<-one
			}
		}
	}
	for try := 0; try < 4 && it.counter64 == 0 && it.counter32 == 0; try++ {
		before := copyM(m)
		take()
		after := copyM(m)
		for at := 0; at < len(before); at++ {
			if isStep(uint64(after[at]-before[at]), step32, 1<<32-1) {
				it.counter32 = uintptr(at * 4)
			}
			if at%2 == 0 && isStep(word64(after[at:])-word64(before[at:]), step64, 1<<64-1) {
				it.counter64 = uintptr(at * 4)
			}
		}
	}
}

func word64(halves []uint32) uint64 { return uint64(halves[0]) | uint64(halves[1])<<32 }

// isStep is true for a small multiple of a counter's step.
func isStep(difference, step, mask uint64) bool {
	for count := uint64(1); count <= 8; count++ {
		if difference == count*step&mask {
			return true
		}
	}
	return false
}

// findGlobal finds the generator that seeds the threads': runtime.globalRand has zeros before it
// (a seed that was used), and is true behind it.
func (it *generators) findGlobal(start, end uintptr) bool {
	if end-start > small {
		end = start + small
	}
	size := unsafe.Sizeof(chacha8{})
	for at := start + 32; at+size+8 <= end; at += 8 {
		if word(at) == 0 || word(at-8)|word(at-16)|word(at-24)|word(at-32) != 0 {
			continue
		}
		if stateAt(at).seeded() && word(at+size)&0xff == 1 {
			it.global = stateAt(at)
			return true
		}
	}
	return false
}

// takesFrom is true if the function takes numbers from the M's generator.
func (it *generators) takesFrom(m uintptr, function func()) bool {
	if it.chacha != 0 {
		state := stateAt(m + it.chacha)
		before := *state
		function()
		return *state != before
	}
	before := word(m + it.counter64)
	function()
	return word(m+it.counter64) != before
}

// reseed gives each generator numbers of this request's own.
func (it *generators) reseed(random [2]uint64) {
	if it == nil {
		rand.Seed(int64(random[0]))
		return
	}
	// Threads that were started since.
	for at, before := range it.roots {
		if now := word(at); now != before && it.isM(now) {
			it.roots[at] = now
			it.add(now)
		}
	}
	var input [24]byte
	binary.LittleEndian.PutUint64(input[0:], random[0])
	binary.LittleEndian.PutUint64(input[8:], random[1])
	next := func() (words [4]uint64) {
		sum := sha256.Sum256(input[:])
		for i := range words {
			words[i] = binary.LittleEndian.Uint64(sum[8*i:])
		}
		binary.LittleEndian.PutUint64(input[16:], binary.LittleEndian.Uint64(input[16:])+1)
		return words
	}
	if it.global != nil {
		it.global.reseed(next())
	}
	for _, m := range it.ms {
		if it.chacha != 0 {
			stateAt(m + it.chacha).reseed(next())
		}
		more := next()
		if it.counter64 != 0 {
			write64(m+it.counter64, more[0])
		}
		if it.counter32 != 0 {
			write32(m+it.counter32, uint32(more[1]))
		}
	}
	if it.ownRand {
		rand.Seed(int64(next()[0] >> 1))
	}
}
