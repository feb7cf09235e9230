//go:build go1.22

package main

import randv2 "math/rand/v2"

func init() {
	more["randv2"] = func() interface{} { return randv2.Uint64() }
}
