package event_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agenttrader/agenttrader/pkg/event"
)

const (
	audience = "https://syncer.example"
	pusher   = "pusher@p.iam.gserviceaccount.com"
)

type object = map[string]any

// google signs tokens, and answers for the keys in place of the network.
type google struct {
	key     *rsa.PrivateKey
	iap     *ecdsa.PrivateKey
	answer  func(*http.Request) (*http.Response, error) // nil: the keys
	fetched int
}

func newGoogle(t testing.TB, bits int) *google {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	iap, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &google{key: key, iap: iap}
}

func reply(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{"Cache-Control": {"public, max-age=3600"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (g *google) RoundTrip(req *http.Request) (*http.Response, error) {
	g.fetched++
	if g.answer != nil {
		return g.answer(req)
	}
	point, err := g.iap.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(object{"keys": []object{
		{"kid": "g", "kty": "RSA", "alg": "RS256", "use": "sig", "n": b64(g.key.N.Bytes()), "e": b64(big.NewInt(int64(g.key.E)).Bytes())},
		{"kid": "iap", "kty": "EC", "alg": "ES256", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
	}})
	if err != nil {
		return nil, err
	}
	return reply(http.StatusOK, string(keys))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b64(b)
}

// claims are good ones, with changes; nil takes one away.
func claims(changes object) object {
	c := object{
		"iss": "https://accounts.google.com", "aud": audience, "email": pusher, "email_verified": true, "sub": "1", "azp": "1",
		"iat": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(key *rsa.PrivateKey, text string) string {
	sum := sha256.Sum256([]byte(text))
	s, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + b64(s)
}

// token is a good one, with changes to its header and its claims.
func (g *google) token(header, changes object) string {
	h := object{"alg": "RS256", "kid": "g", "typ": "JWT"}
	maps.Copy(h, header)
	return sign(g.key, encode(h)+"."+encode(claims(changes)))
}

func (g *google) verifier(t testing.TB, log *slog.Logger) *event.Verifier {
	t.Helper()
	v, err := event.NewVerifier(event.Callers{Audience: audience, ServiceAccounts: []string{"other@p.iam.gserviceaccount.com", pusher}}, &http.Client{Transport: g}, log)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type watched struct {
	io.Reader
	touched bool
}

func (w *watched) Read(p []byte) (int, error) { w.touched = true; return w.Reader.Read(p) }

// knock sends a request through the door, and says whether the handler behind it ran and whether the body was touched.
func knock(ctx context.Context, v *event.Verifier, authorization ...string) (w *httptest.ResponseRecorder, ran, touched bool) {
	body := &watched{Reader: strings.NewReader("{}")}
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", body)
	req.Header["Authorization"] = authorization
	w = httptest.NewRecorder()
	v.Require(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		ran = true
		_, _ = io.Copy(io.Discard, req.Body)
	})).ServeHTTP(w, req)
	return w, ran, body.touched
}

// swap replaces one of a token's three parts.
func swap(token string, i int, part string) string {
	parts := strings.Split(token, ".")
	parts[i] = part
	return strings.Join(parts, ".")
}

// proves checks the header's token by other means than the code does.
func proves(g *google, authorization string) error {
	parts := strings.Split(authorization[strings.LastIndex(authorization, " ")+1:], ".")
	if len(parts) != 3 {
		return errors.New("no token")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	if err := rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		return err
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var claims object
	if err := json.Unmarshal(text, &claims); err != nil {
		return err
	}
	if claims["email"] != pusher || claims["email_verified"] != true {
		return errors.New("not our account")
	}
	return nil
}
