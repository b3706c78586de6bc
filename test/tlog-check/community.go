package main

import (
	"context"
	"os"
	"path/filepath"

	cosignature "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// checkAsTessera has Tessera's own checker of tlog-tiles logs derive every tile from the entries and compare it with ours.
func checkAsTessera(folder, vkey string) {
	verifier, err := note.NewVerifier(vkey)
	check(err, "vkey")
	hashes := func(bundle []byte) ([][]byte, error) {
		var entries api.EntryBundle
		if err := entries.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		leaves := make([][]byte, 0, len(entries.Entries))
		for _, entry := range entries.Entries {
			leaves = append(leaves, rfc6962.DefaultHasher.HashLeaf(entry))
		}
		return leaves, nil
	}
	checker := fsck.New(verifier.Name(), verifier, client.FileFetcher{Root: folder}, hashes, fsck.Opts{N: 2})
	check(checker.Check(context.Background()), "Tessera's fsck")
}

// checkCosignatures fails unless every witness given has signed the checkpoint (cosignature/v1).
func checkCosignatures(folder string, vkeys []string) {
	signed, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	check(err, "checkpoint")
	for _, vkey := range vkeys {
		verifier, err := cosignature.NewVerifierForCosignatureV1(vkey)
		check(err, "witness key %s", vkey)
		opened, err := note.Open(signed, note.VerifierList(verifier))
		check(err, "cosignature by %s", verifier.Name())
		_, err = cosignature.CoSigV1Timestamp(opened.Sigs[0])
		check(err, "time of %s", verifier.Name())
	}
}
