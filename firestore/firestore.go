// Package firestore holds what is deployed to the database beside the documents: the security rules and the indexes. Its tests
// prove the rules on the emulator, attempt by attempt (matrix.md), and hold docs/data-model.md against the code.
package firestore

import _ "embed"

// Rules are firestore.rules, for tokens of Firebase Authentication.
//
//go:embed firestore.rules
var Rules string

// Indexes are firestore.indexes.json: single-field exemptions, and TTL policies.
//
//go:embed firestore.indexes.json
var Indexes []byte
