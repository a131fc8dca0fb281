package event

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/api/idtoken"
	"google.golang.org/api/option"
)

const (
	maxToken  = 8 << 10         // a token of Google's has about 1 KB
	maxAhead  = 5 * time.Minute // how far Google's clock may be ahead of ours
	keysLimit = 10 * time.Second
)

// strippedSignature is what Cloud Run puts in a signature's place once it has checked the caller itself.
// https://cloud.google.com/run/docs/troubleshooting#signature-removed
const strippedSignature = ".SIGNATURE_REMOVED_BY_GOOGLE"

// Callers says whose identity tokens are taken.
type Callers struct {
	Audience        string   // the tokens' aud claim
	ServiceAccounts []string // e-mails
}

// Google writes the e-mail claim in lower case, and it is compared as it is.
var emailForm = regexp.MustCompile(`^[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$`)

// Validate names every fault.
func (c Callers) Validate() error {
	var errs []error
	switch {
	case c.Audience == "":
		errs = append(errs, errors.New("PUSH_AUDIENCE is not set: want the audience that the push subscriptions and triggers put into their tokens"))
	case strings.ContainsFunc(c.Audience, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		errs = append(errs, fmt.Errorf("PUSH_AUDIENCE is %.200q: want no spaces", c.Audience))
	}
	if len(c.ServiceAccounts) == 0 {
		errs = append(errs, errors.New("PUSH_SERVICE_ACCOUNTS is not set: want the e-mails of the service accounts that push, separated by commas"))
	}
	for _, a := range c.ServiceAccounts {
		if !emailForm.MatchString(a) {
			errs = append(errs, fmt.Errorf("PUSH_SERVICE_ACCOUNTS names %.200q: want an e-mail in lower case, like pusher@project.iam.gserviceaccount.com", a))
		}
	}
	return errors.Join(errs...)
}

// Verifier lets in only callers with an identity token of Google's for one of our service accounts.
type Verifier struct {
	callers Callers
	tokens  *idtoken.Validator
	log     *slog.Logger
	lines   map[int]*allowance // by the answer's status: strangers must not hush up our own trouble
}

// NewVerifier checks tokens with the keys that the client fetches from Google; nil is one with a timeout of 10 s.
func NewVerifier(c Callers, client *http.Client, log *slog.Logger) (*Verifier, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	tokens, err := idtoken.NewValidator(context.Background(), option.WithHTTPClient(keyClient(client)))
	if err != nil {
		return nil, fmt.Errorf("validator of identity tokens: %w", err)
	}
	return &Verifier{callers: c, tokens: tokens, log: log, lines: map[int]*allowance{
		http.StatusUnauthorized: newAllowance(), http.StatusForbidden: newAllowance(), http.StatusServiceUnavailable: newAllowance(),
	}}, nil
}

// refusal is why a caller is not let in.
type refusal struct {
	status int
	reason string
	claims *idtoken.Payload // what the token says, true or not; nil if it can't be read
}

// Require calls next only for a caller who has proved who it is. Until then nothing of the body is read.
func (v *Verifier) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r := v.check(req)
		if r == nil {
			next.ServeHTTP(w, req)
			return
		}
		v.tell(req.Context(), r)
		answer := "identity token refused"
		switch r.status {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", "Bearer")
		case http.StatusServiceUnavailable:
			answer = "try again"
		}
		http.Error(w, answer, r.status)
	})
}

// check returns nil for a caller of ours.
func (v *Verifier) check(req *http.Request) *refusal {
	token, ok := bearer(req.Header)
	if !ok {
		return &refusal{http.StatusUnauthorized, "no bearer token of at most 8 KiB in the Authorization header: have the push subscription or trigger send an identity token of its service account", nil}
	}
	alg, claims, ok := parse(token)
	if !ok {
		return &refusal{http.StatusUnauthorized, "the bearer token is no JWT: an access token is no identity token", nil}
	}
	if alg != "RS256" { // idtoken takes ES256 as well, which no push uses, and panics on a short signature
		return &refusal{http.StatusUnauthorized, "the token is not signed with RS256", claims}
	}
	if strings.HasSuffix(token, strippedSignature) {
		return &refusal{http.StatusUnauthorized, "Cloud Run has checked the token and taken its signature away: set invoker_iam_disabled on the service, which checks for itself", claims}
	}
	// A caller who hangs up must not end the fetching of keys that all wait for.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), keysLimit)
	defer cancel()
	_, err := v.tokens.Validate(ctx, token, v.callers.Audience)
	var unfetched *url.Error
	if errors.As(err, &unfetched) { // see keySource
		return &refusal{http.StatusServiceUnavailable, "Google's keys can't be fetched: " + unfetched.Error(), claims}
	}
	if err != nil {
		return &refusal{http.StatusUnauthorized, v.why(claims), claims}
	}
	return v.judge(claims)
}

// judge looks at the claims of a token that Google signed for our audience.
func (v *Verifier) judge(claims *idtoken.Payload) *refusal {
	if claims.Issuer != "https://accounts.google.com" && claims.Issuer != "accounts.google.com" {
		return &refusal{http.StatusUnauthorized, "the issuer is not Google", claims}
	}
	if time.Unix(claims.IssuedAt, 0).After(time.Now().Add(maxAhead)) { // by idtoken's own clock
		return &refusal{http.StatusUnauthorized, "the token is issued in the future: look at this machine's clock", claims}
	}
	if email, _ := claims.Claims["email"].(string); !slices.Contains(v.callers.ServiceAccounts, email) {
		return &refusal{http.StatusForbidden, "the e-mail is not among PUSH_SERVICE_ACCOUNTS: if the caller is ours, add it there", claims}
	}
	if verified, _ := claims.Claims["email_verified"].(bool); !verified {
		return &refusal{http.StatusForbidden, "the e-mail is not verified", claims}
	}
	return nil
}

// why puts idtoken's refusal in words: its own show parts of the token.
func (v *Verifier) why(claims *idtoken.Payload) string {
	switch {
	case claims.Audience != v.callers.Audience:
		return "the audience is not PUSH_AUDIENCE: if the caller is ours, set both alike"
	case time.Now().Unix() > claims.Expires:
		return "the token has expired"
	}
	return "the token is not signed with a key of Google's"
}

func bearer(h http.Header) (token string, ok bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxToken
}

// parse reads a token without believing it, as idtoken reads it.
func parse(token string) (alg string, claims *idtoken.Payload, ok bool) {
	claims, err := idtoken.ParsePayload(token)
	if err != nil {
		return "", nil, false
	}
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return "", nil, false
	}
	var h struct {
		Alg string `json:"alg"`
	}
	err = json.Unmarshal(text, &h)
	return h.Alg, claims, err == nil
}
