// Checks verification summaries that Countersign wrote, a DSSE envelope a line, with the in-toto project's own packages: the signature
// by the key given, the Statement v1, and the predicate of SLSA's Verification Summary v1.
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	vsa "github.com/in-toto/attestation/go/predicates/vsa/v1"
	ita "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"
	"google.golang.org/protobuf/encoding/protojson"
)

const predicateType = "https://slsa.dev/verification_summary/v1"

func main() {
	if len(os.Args) != 3 {
		fail("usage: vsa-check FILE PUBLIC-KEY (base64 of 32 bytes)")
	}
	raw, err := base64.StdEncoding.DecodeString(os.Args[2])
	check(err, "key")
	verifier := newVerifier(raw)
	file, err := os.Open(os.Args[1])
	check(err, "file")
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	results := map[string]int{}
	for n := 1; lines.Scan(); n++ {
		results[checkLine(verifier, lines.Bytes(), n)]++
	}
	check(lines.Err(), "reading")
	fmt.Printf("%d PASSED, %d FAILED\n", results["PASSED"], results["FAILED"])
}

func checkLine(verifier *dsse.EnvelopeVerifier, line []byte, n int) string {
	var envelope dsse.Envelope
	check(json.Unmarshal(line, &envelope), "line %d", n)
	_, err := verifier.Verify(context.Background(), &envelope)
	check(err, "signature of line %d", n)
	if envelope.PayloadType != "application/vnd.in-toto+json" {
		fail("line %d holds %s", n, envelope.PayloadType)
	}
	payload, err := envelope.DecodeB64Payload()
	check(err, "payload of line %d", n)
	statement := &ita.Statement{}
	check(protojson.Unmarshal(payload, statement), "statement of line %d", n)
	check(statement.Validate(), "statement of line %d", n)
	if statement.PredicateType != predicateType {
		fail("line %d is a %s", n, statement.PredicateType)
	}
	// No field may be there that the predicate does not have.
	predicate, err := protojson.Marshal(statement.Predicate)
	check(err, "predicate of line %d", n)
	summary := &vsa.VerificationSummary{}
	check(protojson.Unmarshal(predicate, summary), "predicate of line %d", n)
	required := []string{summary.GetVerifier().GetId(), summary.ResourceUri, summary.GetPolicy().GetUri()}
	for i, text := range required {
		if text == "" {
			fail("line %d lacks member %d of the predicate", n, i)
		}
	}
	if summary.TimeVerified == nil || len(summary.VerifiedLevels) == 0 || len(summary.InputAttestations) == 0 {
		fail("line %d does not say when, what or from what it was verified", n)
	}
	return summary.VerificationResult
}

func newVerifier(raw []byte) *dsse.EnvelopeVerifier {
	key := &signerverifier.SSLibKey{
		KeyType: "ed25519",
		Scheme:  "ed25519",
		KeyVal:  signerverifier.KeyVal{Public: fmt.Sprintf("%x", ed25519.PublicKey(raw))},
	}
	signer, err := signerverifier.NewED25519SignerVerifierFromSSLibKey(key)
	check(err, "key")
	verifier, err := dsse.NewEnvelopeVerifier(signer)
	check(err, "key")
	return verifier
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
