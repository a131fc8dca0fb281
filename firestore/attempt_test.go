package firestore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

// stage is a project of the emulator in which attempts are made, one after the other.
type stage struct {
	page     *page
	emulator *emulator.Emulator
	project  string
	there    map[string]bool // the documents that are there as the page has them; absent: it is not known
	attempts int
}

func newStage(t *testing.T, p *page) *stage {
	e, project := emulator.For(t)
	return &stage{page: p, emulator: e, project: project, there: map[string]bool{}}
}

// red is what is wrong with how an attempt came out, "": nothing.
func (s *stage) red(ctx context.Context, a try) (string, error) {
	if above := strings.SplitN(a.path, "/", 3); above[0] == "users" && len(above) == 3 {
		user := above[0] + "/" + above[1]
		if err := s.prepare(ctx, user, s.page.docs[user] != nil); err != nil {
			return "", err
		}
	}
	if err := s.prepare(ctx, a.path, a.op != "create"); err != nil {
		return "", err
	}
	allowed, err := s.attempt(ctx, a)
	if err != nil {
		return "", fmt.Errorf("matrix.md:%d: %s %s: %w", a.line, a.name, a.op, err)
	}
	if allowed == a.allowed() {
		return "", nil
	}
	word := map[bool]string{true: "allowed", false: "denied"}
	return fmt.Sprintf("matrix.md:%d: %s %s %s of %s: %s, want it %s", a.line, a.name, a.op, a.path, a.text, word[allowed], word[!allowed]), nil
}

// prepare makes the document what it is before an attempt.
func (s *stage) prepare(ctx context.Context, path string, there bool) error {
	if is, known := s.there[path]; known && is == there {
		return nil
	}
	w := map[string]any{"delete": s.name(path)}
	if there {
		f := s.page.docs[path]
		if f == nil {
			f = map[string]any{"x": map[string]any{"integerValue": "1"}}
		}
		w = map[string]any{"update": map[string]any{"name": s.name(path), "fields": f}}
	}
	status, answer, err := s.call(ctx, http.MethodPost, s.documents()+":commit", map[string]any{"writes": []any{w}}, "owner")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("prepare %s: %d %s", path, status, answer)
	}
	s.there[path] = there
	return err
}

func (s *stage) attempt(ctx context.Context, a try) (allowed bool, err error) {
	s.attempts++
	method, url, body := s.request(a)
	status, answer, err := s.call(ctx, method, url, body, a.token)
	switch {
	case err != nil:
		return false, err
	case status == http.StatusForbidden:
		return false, nil
	case status != http.StatusOK:
		return false, fmt.Errorf("%s: %d %s", a.path, status, answer)
	case a.op == "create" || a.op == "update" || a.op == "delete":
		delete(s.there, a.path)
	}
	return true, nil
}

func (s *stage) request(a try) (method, url string, body any) {
	parent, id := cut(a.path)
	above, collection := cut(parent)
	commit := func(w map[string]any, there bool) (string, string, any) {
		w["currentDocument"] = map[string]any{"exists": there}
		return http.MethodPost, s.documents() + ":commit", map[string]any{"writes": []any{w}}
	}
	switch a.op {
	case "get":
		return http.MethodGet, s.documents() + "/" + parent + "/" + id, nil
	case "list":
		return http.MethodPost, strings.TrimSuffix(s.documents()+"/"+above, "/") + ":runQuery", query(collection, false, nil)
	case "query":
		return http.MethodPost, strings.TrimSuffix(s.documents()+"/"+above, "/") + ":runQuery", query(collection, false, a.write.fields)
	case "group":
		return http.MethodPost, s.documents() + ":runQuery", query(collection, true, nil)
	case "delete":
		return commit(map[string]any{"delete": s.name(a.path)}, true)
	}
	f := a.write.fields
	if f == nil {
		f = map[string]any{}
	}
	w := map[string]any{"update": map[string]any{"name": s.name(a.path), "fields": f}}
	if a.op == "update" && !a.write.only {
		w["updateMask"] = map[string]any{"fieldPaths": a.write.touches()}
	}
	return commit(w, a.op == "update")
}

func query(collection string, group bool, where map[string]any) map[string]any {
	q := map[string]any{"from": []any{map[string]any{"collectionId": collection, "allDescendants": group}}}
	for field, value := range where {
		q["where"] = map[string]any{"fieldFilter": map[string]any{"field": map[string]any{"fieldPath": field}, "op": "EQUAL", "value": value}}
	}
	return map[string]any{"structuredQuery": q}
}

func cut(path string) (parent, id string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

func (s *stage) name(path string) string {
	return "projects/" + s.project + "/databases/(default)/documents/" + path
}

func (s *stage) documents() string {
	return "http://" + s.emulator.Addr() + "/v1/projects/" + s.project + "/databases/(default)/documents"
}

func (s *stage) call(ctx context.Context, method, url string, body any, token string) (status int, answer []byte, err error) {
	var b []byte
	if body != nil {
		if b, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * stages}}

// stages is how many projects are worked in at the same time.
const stages = 8
