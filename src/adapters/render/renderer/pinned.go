package main

import (
	"fmt"
	"sort"
	"strings"
	"time"
	_ "unsafe" // for go:linkname

	_ "github.com/Masterminds/sprig/v3"
)

// What templates may call, of which Helm's engine takes a copy for every rendering. Helm itself drops env and expandenv.
//
//go:linkname genericMap github.com/Masterminds/sprig/v3.genericMap
var genericMap map[string]any

const (
	first  = 0
	second = 1
)

// pinned replaces functions that answer something else each time: each has two fixed answers, and says that it was called.
var pinned = &pins{}

type pins struct {
	round  int
	called map[string]bool
}

func (p *pins) start(round int) { p.round, p.called = round, map[string]bool{} }

func (p *pins) names() []string {
	names := make([]string, 0, len(p.called))
	for name := range p.called {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (p *pins) says(name string) int { p.called[name] = true; return p.round }

// certificate has the fields that templates read of Sprig's.
type certificate struct{ Cert, Key string }

func init() {
	text := func(name, letters string) func(...any) string {
		return func(args ...any) string {
			n := 16
			if len(args) == 1 {
				if _, err := fmt.Sscan(fmt.Sprint(args[0]), &n); err != nil || n < 0 || n > 1<<20 {
					n = 16
				}
			}
			return strings.Repeat(letters[pinned.says(name):][:1], n)
		}
	}
	for name, letters := range map[string]string{
		"randAlphaNum": "ab", "randAlpha": "ab", "randNumeric": "12", "randAscii": "ab", "randBytes": "ab", "uuidv4": "ab",
		"genPrivateKey": "ab", "htpasswd": "ab", "bcrypt": "ab", "encryptAES": "ab", "ago": "ab",
	} {
		genericMap[name] = text(name, letters)
	}
	for _, name := range []string{"genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey"} {
		genericMap[name] = func(...any) certificate {
			letter := "ab"[pinned.says(name):][:1]
			return certificate{letter, letter}
		}
	}
	genericMap["randInt"] = func(low, high int) int {
		if pinned.says("randInt") == first || high <= low {
			return low
		}
		return high - 1
	}
	genericMap["shuffle"] = func(s string) string {
		r := []rune(s)
		if pinned.says("shuffle") == second {
			for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
				r[i], r[j] = r[j], r[i]
			}
		}
		return string(r)
	}
	genericMap["now"] = func() time.Time {
		if pinned.says("now") == first {
			return time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
		}
		return time.Date(2039, 12, 31, 23, 59, 59, 999, time.UTC)
	}
}
