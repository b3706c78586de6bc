// Checks a folder of tiles that Countersign exported with the Go team's own transparency log packages: the checkpoint's
// signature, every leaf against the tree, and consistency of the tree with each of its beginnings (all of them, or a sample);
// then with Tessera's checker and its project's cosignatures.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

func main() {
	if len(os.Args) < 3 {
		fail("usage: tlog-check FOLDER VKEY [WITNESS VKEY]...")
	}
	folder, vkey := os.Args[1], os.Args[2]
	tree := openCheckpoint(folder, vkey)
	// tlog itself checks what it reads from tiles against the tree's root.
	reader := tlog.TileHashReader(tree, &tiles{folder})

	stored, err := reader.ReadHashes(leafIndexes(tree.N))
	check(err, "reading leaf hashes")
	for i, leaf := range readEntries(folder, tree.N) {
		if hash := tlog.RecordHash(leaf); hash != stored[i] {
			fail("entry %d does not have the hash in its tile", i)
		}
	}
	for _, i := range sample(0, tree.N) {
		proof, err := tlog.ProveRecord(tree.N, i, reader)
		check(err, "proving entry %d", i)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, i, stored[i]), "inclusion of entry %d", i)
	}
	for _, n := range sample(1, tree.N+1) {
		old, err := tlog.TreeHash(n, reader)
		check(err, "root of %d entries", n)
		proof, err := tlog.ProveTree(tree.N, n, reader)
		check(err, "proving consistency with %d entries", n)
		check(tlog.CheckTree(proof, tree.N, tree.Hash, n, old), "consistency with %d entries", n)
	}
	checkGiven(tree, stored, reader)
	checkAsTessera(folder, vkey)
	checkCosignatures(folder, os.Args[3:])
	fmt.Printf("%d entries, inclusion and consistency agree, root %s\n", tree.N, tree.Hash)
}

// checkGiven reads proofs that Countersign made, from standard input, and checks them:
// "inclusion INDEX SIZE HASH,HASH" and "consistency OLD NEW HASH,HASH", hashes in base64.
func checkGiven(tree tlog.Tree, leaves []tlog.Hash, reader tlog.HashReader) {
	given := 0
	for {
		var kind, hashes string
		var a, b int64
		if n, _ := fmt.Scanf("%s %d %d %s\n", &kind, &a, &b, &hashes); n != 4 {
			break
		}
		root, err := tlog.TreeHash(b, reader)
		check(err, "root of %d entries", b)
		if kind == "inclusion" {
			check(tlog.CheckRecord(parseHashes(hashes), b, root, a, leaves[a]), "the given inclusion proof of %d in %d", a, b)
		} else {
			old, err := tlog.TreeHash(a, reader)
			check(err, "root of %d entries", a)
			check(tlog.CheckTree(parseHashes(hashes), b, root, a, old), "the given consistency proof from %d to %d", a, b)
		}
		given++
	}
	fmt.Printf("%d given proofs agree\n", given)
}

func parseHashes(text string) []tlog.Hash {
	hashes := []tlog.Hash{}
	for _, part := range strings.Split(text, ",") {
		if part == "-" {
			continue
		}
		hash, err := tlog.ParseHash(part)
		check(err, "hash %q", part)
		hashes = append(hashes, hash)
	}
	return hashes
}

func openCheckpoint(folder, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	check(err, "vkey")
	signed, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	check(err, "checkpoint")
	opened, err := note.Open(signed, note.VerifierList(verifier))
	check(err, "signature of the checkpoint")
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		fail("the checkpoint is not of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err, "size")
	root, err := tlog.ParseHash(lines[2])
	check(err, "root")
	return tlog.Tree{N: size, Hash: root}
}

// tiles reads C2SP tlog-tiles, whose paths leave out the height that tlog's own begin with.
type tiles struct{ folder string }

func (t *tiles) Height() int                         { return tileHeight }
func (t *tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(want))
	for i, tile := range want {
		path := "tile/" + strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
		bytes, err := os.ReadFile(filepath.Join(t.folder, path))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

func readEntries(folder string, size int64) [][]byte {
	var entries [][]byte
	for n := int64(0); int64(len(entries)) < size; n++ {
		width := min(256, size-n*256)
		tile := tlog.Tile{H: tileHeight, L: 0, N: n, W: int(width)}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		bytes, err := os.ReadFile(filepath.Join(folder, path))
		check(err, "entries")
		for len(bytes) >= 2 {
			length := int(binary.BigEndian.Uint16(bytes))
			if len(bytes) < 2+length {
				fail("%s is cut short", path)
			}
			entries = append(entries, bytes[2:2+length])
			bytes = bytes[2+length:]
		}
	}
	if int64(len(entries)) != size {
		fail("%d entries instead of %d", len(entries), size)
	}
	return entries
}

func leafIndexes(size int64) []int64 {
	indexes := make([]int64, size)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	return indexes
}

func sample(from, to int64) []int64 {
	step := max(1, (to-from)/500)
	var list []int64
	for i := from; i < to; i += step {
		list = append(list, i)
	}
	return append(list, to-1)
}

func check(err error, what string, args ...any) {
	if err != nil {
		fail("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

func fail(what string, args ...any) {
	fmt.Fprintf(os.Stderr, what+"\n", args...)
	os.Exit(1)
}
