package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// The canaries have no run of letters in common with anything that a test prints.
const (
	canaryID     = "PKZQXJWVKY7341"
	canarySecret = "zqxJwvKybfGhT0918zqxJwvKybfGhT0918zqxJwvKyZ9"
	redacted     = "[redacted]"
)

func canary(t testing.TB) secret.Credentials {
	t.Helper()
	c, err := secret.NewCredentials(canaryID, canarySecret)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leak is a part of a canary that a text shows: as it is, or in a form that a printer gives it. "" is none.
func leak(text string) string {
	for _, part := range parts() {
		if strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

var parts = sync.OnceValue(func() (parts []string) {
	const run = 6
	for _, key := range []string{canaryID, canarySecret} {
		for i := 0; i+run <= len(key); i += 3 { // a multiple of 3, for base64
			s := key[i : i+run]
			b := []byte(s)
			parts = append(parts, s, strings.ToUpper(s), strings.ToLower(s), hex.EncodeToString(b), fmt.Sprintf("%X", b), fmt.Sprintf("% x", b),
				base64.RawStdEncoding.EncodeToString(b), strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"), strings.Trim(fmt.Sprint(b), "[]"), //nolint:staticcheck // numbers, not text
				strings.Trim(fmt.Sprintf("%U", []rune(s)), "[]"), strings.Trim(fmt.Sprintf("%o", b), "[]"), strings.Trim(fmt.Sprintf("%b", b), "[]"))
		}
	}
	return parts
})

type (
	exported   struct{ Creds secret.Credentials }
	unexported struct{ creds secret.Credentials }
	embedded   struct{ secret.Credentials }
	pointing   struct{ creds *secret.Credentials }
	boxed      struct{ creds any }
	deep       struct{ next []map[string]*unexported }
)

// The detector must see a key in whatever form a printer gives it, or the tests below prove nothing.
func TestLeakIsSeen(t *testing.T) {
	plain := struct{ keyID, secretKey string }{canaryID, canarySecret}
	bytesOf := struct{ b []byte }{[]byte(canarySecret)}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%p"} {
		for _, v := range []any{plain, &plain, bytesOf, &bytesOf} {
			if format == "%p" && reflect.TypeOf(v).Kind() == reflect.Pointer {
				continue // an address
			}
			if out := fmt.Sprintf(format, v); leak(out) == "" {
				t.Errorf("%s shows a key, and nobody sees it: %s", format, out)
			}
		}
	}
	for _, out := range []string{"", redacted, "secret.Credentials", base64.StdEncoding.EncodeToString([]byte("nothing"))} {
		if got := leak(out); got != "" {
			t.Errorf("leak(%q) = %q", out, got)
		}
	}
}

func TestFormatting(t *testing.T) {
	c := canary(t)
	p := &c
	var verbs []string
	for verb := rune('!'); verb <= '~'; verb++ { // those that fmt doesn't know as well
		if verb == '%' || strings.ContainsRune("+-# 0123456789.*[", verb) {
			continue
		}
		for _, flags := range []string{"", "+", "#", " ", "-8", "08.3", "+#", "[1]"} {
			verbs = append(verbs, "%"+flags+string(verb))
		}
	}
	// shown: fmt can call a method there, and must get [redacted]
	for name, c := range map[string]struct {
		v     any
		shown bool
	}{
		"value":              {c, true},
		"pointer":            {p, true},
		"pointer to pointer": {&p, false},
		"exported field":     {exported{c}, true},
		"unexported field":   {unexported{c}, false},
		"pointer to struct":  {&unexported{c}, false},
		"embedded":           {embedded{c}, true},
		"pointer in a field": {pointing{p}, false},
		"any in a field":     {boxed{c}, false},
		"deep":               {deep{[]map[string]*unexported{{"k": {c}}}}, false},
		"slice":              {[]secret.Credentials{c}, true},
		"slice of any":       {[]any{c, p}, true},
		"array":              {[1]secret.Credentials{c}, true},
		"slice of structs":   {[]unexported{{c}}, false},
		"map":                {map[string]secret.Credentials{"k": c}, true},
		"map's key":          {map[*secret.Credentials]int{p: 1}, true},
		"reflect.Value":      {reflect.ValueOf(c), true},
		"unexported Value":   {reflect.ValueOf(unexported{c}).Field(0), false},
		"func":               {c.Reveal, false},
		"error":              {fmt.Errorf("user u: %v", c), false}, // its text is made already
		"joined error":       {errors.Join(fmt.Errorf("user u: %w", fmt.Errorf("keys %+v", exported{c}))), false},
	} {
		for _, verb := range verbs {
			out := fmt.Sprintf(verb, c.v)
			if part := leak(out); part != "" {
				t.Errorf("%s with %s shows %q", name, verb, part)
			}
			if c.shown && strings.HasSuffix(verb, "v") && !strings.Contains(out, redacted) {
				t.Errorf("%s with %s = %q, want %s", name, verb, out, redacted)
			}
		}
	}
	// not through fmt.Sprintf's happy path
	format := "%d %" // at run time, out of vet's sight
	for name, out := range map[string]string{
		"too many operands": fmt.Sprintf(format[:2], 1, c, unexported{c}),
		"a width":           fmt.Sprintf("%*"+format[1:2]+" %v", c, 1, c),
		"no verb":           fmt.Sprintf(format, c, c), //nolint:staticcheck // that is the test
		"Errorf with %w":    fmt.Errorf(format[3:]+"w", c).Error(),
		"Errorf, a struct":  fmt.Errorf(format[3:]+"w", unexported{c}).Error(),
		"Sprint":            fmt.Sprint(c, p, unexported{c}),
		"Sprintln":          fmt.Sprintln(c, p, exported{c}),
		"String":            c.String(),
		"GoString":          c.GoString(),
	} {
		if part := leak(out); part != "" || !strings.Contains(out, redacted) && !strings.Contains(out, "Credentials") && !strings.Contains(out, "unexported") {
			t.Errorf("%s = %q shows %q", name, out, part)
		}
	}
	for name, got := range map[string]string{"String": c.String(), "GoString": c.GoString()} {
		if got != redacted {
			t.Errorf("%s = %q, want %s", name, got, redacted)
		}
	}
}

func TestLogs(t *testing.T) {
	c := canary(t)
	var out bytes.Buffer
	for name, h := range map[string]slog.Handler{"text": slog.NewTextHandler(&out, nil), "JSON": slog.NewJSONHandler(&out, nil)} {
		l := slog.New(h)
		for what, write := range map[string]func(){
			"attribute":        func() { l.Info("m", "creds", c) },
			"pointer":          func() { l.Info("m", "creds", &c) },
			"exported field":   func() { l.Info("m", slog.Any("session", exported{c})) },
			"unexported field": func() { l.Info("m", slog.Any("session", unexported{c})) },
			"deep":             func() { l.Info("m", slog.Any("session", &deep{[]map[string]*unexported{{"k": {c}}}})) },
			"list":             func() { l.Info("m", slog.Any("all", []any{c, &c, exported{c}})) },
			"map":              func() { l.Info("m", slog.Any("all", map[string]any{"k": c})) },
			"group":            func() { l.Info("m", slog.Group("g", "creds", c, slog.Group("h", "in", exported{c}))) },
			"with":             func() { l.With("creds", c).WithGroup("g").Info("m", "again", c) },
			"error":            func() { l.Error("m", "err", fmt.Errorf("keys %v", c)) },
			"message":          func() { l.Info(fmt.Sprint("keys ", c)) },
			"key without value": func() {
				l.Info("m", []any{c}...) //nolint:sloglint // on purpose
			},
			"package log": func() { log.New(&out, "", 0).Printf("%v %+v", c, unexported{c}) },
		} {
			out.Reset()
			write()
			if part := leak(out.String()); part != "" || out.Len() == 0 {
				t.Errorf("%s handler, %s: %q shows %q", name, what, out.String(), part)
			}
			if !strings.Contains(what, "unexported") && what != "deep" && !strings.Contains(out.String(), redacted) {
				t.Errorf("%s handler, %s: %q does not say %s", name, what, out.String(), redacted)
			}
		}
	}
	// a handler of somebody else's sees only the value
	if v := slog.AnyValue(c).Resolve(); v.Kind() != slog.KindString || v.String() != redacted {
		t.Errorf("LogValue = %v %v, want the string %s", v.Kind(), v, redacted)
	}
}

func TestEncoders(t *testing.T) {
	c := canary(t)
	for name, v := range map[string]any{
		"value": c, "pointer": &c, "exported field": exported{c}, "embedded": embedded{c}, "slice": []secret.Credentials{c},
	} {
		for encoder, encode := range map[string]func(io.Writer, any) error{
			"json": func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
			"xml":  func(w io.Writer, v any) error { return xml.NewEncoder(w).Encode(v) },
			"text/template": func(w io.Writer, v any) error {
				return template.Must(template.New("").Parse(`{{.}} {{printf "%#v" .}}`)).Execute(w, v)
			},
			"html/template": func(w io.Writer, v any) error {
				return htmltemplate.Must(htmltemplate.New("").Parse(`<p title="{{.}}">{{.}}</p><script>var x = {{.}}</script>`)).Execute(w, v)
			},
		} {
			var out bytes.Buffer
			if err := encode(&out, v); err != nil || leak(out.String()) != "" || !strings.Contains(out.String(), redacted) {
				t.Errorf("%s of %s: %v, %q shows %q; want %s", encoder, name, err, out.String(), leak(out.String()), redacted)
			}
		}
		var out bytes.Buffer
		if err := gob.NewEncoder(&out).Encode(v); err == nil || leak(err.Error()+out.String()) != "" {
			t.Errorf("gob of %s: %v, %q: want an error, and no key", name, err, out.String())
		}
	}
	for name, v := range map[string]any{"json of a map": map[string]any{"k": c}, "json of a key": map[*secret.Credentials]int{&c: 1}, "json of a hidden field": unexported{c}} {
		if out, err := json.Marshal(v); err != nil || leak(string(out)) != "" {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	for _, text := range []string{`{{.Reveal}}`, `{{.reveal}}`, `{{printf "%s" .Reveal}}`, `{{call .Reveal}}`, `{{index . 0}}`} {
		var out bytes.Buffer
		if err := template.Must(template.New("").Parse(text)).Execute(&out, c); err == nil || leak(err.Error()+out.String()) != "" {
			t.Errorf("template %s: %q, %v: want an error, and no key", text, out.String(), err)
		}
	}
}

// Credentials come from ParsePayload only: decoded from elsewhere they would be none, without a word.
func TestDecodersRefuse(t *testing.T) {
	payload := fmt.Sprintf(`{"key_id":%q,"secret_key":%q}`, canaryID, canarySecret)
	for _, in := range []string{payload, `{}`, `"[redacted]"`, `""`, `5`, `true`, `[]`, `["a","b"]`} {
		var c secret.Credentials
		if err := json.Unmarshal([]byte(in), &c); err == nil || leak(err.Error()) != "" || !c.IsZero() {
			t.Errorf("json.Unmarshal(%s): %v", in, err)
		}
		var s exported
		if err := json.Unmarshal([]byte(`{"Creds":`+in+`}`), &s); err == nil || leak(err.Error()) != "" {
			t.Errorf("json.Unmarshal(%s) into a field: %v", in, err)
		}
	}
	var c secret.Credentials
	if err := xml.Unmarshal([]byte("<c>"+canarySecret+"</c>"), &c); err == nil || leak(err.Error()) != "" {
		t.Errorf("xml.Unmarshal: %v", err)
	}
	var stream bytes.Buffer
	if err := gob.NewEncoder(&stream).Encode(struct{ KeyID, SecretKey string }{canaryID, canarySecret}); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&stream).Decode(&c); err == nil || leak(err.Error()) != "" {
		t.Errorf("gob.Decode: %v", err)
	}
}

// What looks into values by reflection, unexported fields included, finds no key.
func TestReflection(t *testing.T) {
	c := canary(t)
	other, err := secret.NewCredentials("PKOTHER", "other")
	if err != nil {
		t.Fatal(err)
	}
	all := cmp.Exporter(func(reflect.Type) bool { return true })
	for name, pair := range map[string][2]any{
		"value": {c, other}, "unexported field": {unexported{c}, unexported{other}}, "pointer": {pointing{&c}, pointing{&other}},
		"removed": {[]unexported{{c}}, []unexported{}},
	} {
		if diff := cmp.Diff(pair[0], pair[1], all); diff == "" || leak(diff) != "" {
			t.Errorf("%s: diff shows %q:\n%s", name, leak(diff), diff)
		}
	}
	func() {
		defer func() {
			if p := recover(); p == nil || leak(fmt.Sprint(p)) != "" {
				t.Errorf("cmp.Diff without an option panics with %v", p)
			}
		}()
		_ = cmp.Diff(unexported{c}, unexported{other})
	}()
	var walk func(v reflect.Value, depth int)
	walk = func(v reflect.Value, depth int) {
		if depth > 20 {
			return
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem(), depth+1)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), depth+1)
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i), depth+1)
			}
		case reflect.String:
			if leak(v.String()) != "" {
				t.Errorf("reflection reads %q", v.String())
			}
		}
	}
	walk(reflect.ValueOf(deep{[]map[string]*unexported{{"k": {c}}}}), 0)
	walk(reflect.ValueOf(&c), 0)
}

// panics are what the child process of TestPanic dies of.
var panics = map[string]func(secret.Credentials){
	"value":            func(c secret.Credentials) { panic(c) },
	"pointer":          func(c secret.Credentials) { panic(&c) },
	"unexported field": func(c secret.Credentials) { panic(unexported{c}) },
	"exported field":   func(c secret.Credentials) { panic(exported{c}) },
	"text":             func(c secret.Credentials) { panic(fmt.Sprintf("%v %+v %#v", c, unexported{c}, exported{c})) },
	"error":            func(c secret.Credentials) { panic(fmt.Errorf("keys %v of %+v", c, &unexported{c})) },
	"log":              func(c secret.Credentials) { log.Panicf("%v %+v", c, pointing{&c}) },
	"map":              func(c secret.Credentials) { m := map[any]int{}; m[c]++ }, // they are no map's key
	"type assertion":   func(c secret.Credentials) { _ = any(c).(error) },
	"nil":              func(c secret.Credentials) { var p *unexported; fmt.Println(c, p.creds) },
}

const panicEnv = "AGENTTRADER_TEST_PANIC"

func TestMain(m *testing.M) {
	die := panics[os.Getenv(panicEnv)]
	if die == nil {
		os.Exit(m.Run())
	}
	c, err := secret.NewCredentials(canaryID, canarySecret)
	if err != nil {
		os.Exit(0) // which the test takes for no panic
	}
	go die(c) // where nothing recovers
	select {}
}

func TestPanic(t *testing.T) {
	for name := range panics {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), panicEnv+"="+name, "GOTRACEBACK=system")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), "panic: ") || !strings.Contains(string(out), "goroutine ") {
			t.Errorf("%s: %v, %.300s: want a panic", name, err, out)
		}
		if part := leak(string(out)); part != "" {
			t.Errorf("%s: the panic shows %q:\n%s", name, part, out)
		}
		if name == "value" && !strings.Contains(string(out), redacted) {
			t.Errorf("%s: %.300s: want %s", name, out, redacted)
		}
	}
}

func TestCredentials(t *testing.T) {
	c := canary(t)
	again := c
	for name, got := range map[string]secret.Credentials{"it": c, "a copy": again} {
		if id, key := got.Reveal(); id != canaryID || key != canarySecret || got.IsZero() {
			t.Errorf("%s: Reveal = %q, %q, IsZero %t", name, id, key, got.IsZero())
		}
	}
	var zero secret.Credentials
	if id, key := zero.Reveal(); id != "" || key != "" || !zero.IsZero() {
		t.Errorf("zero: Reveal = %q, %q, IsZero %t", id, key, zero.IsZero())
	}
	if size := reflect.TypeFor[secret.Credentials]().Size(); size > 16 {
		t.Errorf("credentials are %d bytes to copy", size)
	}
	if reflect.TypeFor[secret.Credentials]().Comparable() {
		t.Error("== would compare something other than the keys")
	}
}

func TestNewCredentialsRefuses(t *testing.T) {
	long := strings.Repeat(canarySecret, 6)
	for name, bad := range map[string]string{
		"empty": "", "a space": " ", "spaces": " \t ", "newline at the end": canarySecret + "\n", "space at the end": canarySecret + " ",
		"space at the start": " " + canarySecret, "space inside": canarySecret[:9] + " " + canarySecret[9:],
		"header smuggled": canarySecret + "\r\nX-Admin: 1", "NUL": canarySecret + "\x00", "tab": canarySecret + "\t", "DEL": canarySecret + "\x7f",
		"escape": "\x1b[2J" + canarySecret, "no-break space": canarySecret + "\u00a0", "zero-width space": canarySecret + "\u200b",
		"byte order mark": "\ufeff" + canarySecret, "letters beyond ASCII": canarySecret + "é", "no UTF-8": canarySecret + "\xff", "too long": long,
	} {
		for half, keys := range map[string][2]string{"key_id": {bad, canarySecret}, "secret_key": {canaryID, bad}} {
			c, err := secret.NewCredentials(keys[0], keys[1])
			if !errors.Is(err, secret.ErrMalformed) || !c.IsZero() || !strings.Contains(fmt.Sprint(err), half) {
				t.Errorf("%s as %s: %v, want ErrMalformed that names it", name, half, err)
			}
			if err != nil && (leak(err.Error()) != "" || strings.Contains(err.Error(), "Admin")) {
				t.Errorf("%s as %s: the error shows the key: %v", name, half, err)
			}
		}
	}
	for _, good := range []string{"k", "PK0123456789ABCDEFGH", "a/b+c=_-.~!", strings.Repeat("a", 256)} {
		if _, err := secret.NewCredentials(good, good); err != nil {
			t.Errorf("%.40s: %v", good, err)
		}
	}
}

func TestParsePayload(t *testing.T) {
	const good = `{"key_id":"` + canaryID + `","secret_key":"` + canarySecret + `"}`
	for name, payload := range map[string]string{
		"plain": good, "space around it": " \n" + good + "\r\n", "other fields": `{"note":["x"],` + good[1:], "capitals": strings.ReplaceAll(good, "key_id", "KEY_ID"),
		"escapes": strings.ReplaceAll(good, "PKZ", `\u0050K\u005a`),
	} {
		c, err := secret.ParsePayload([]byte(payload))
		if id, key := c.Reveal(); err != nil || id != canaryID || key != canarySecret {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, payload := range map[string]string{
		"empty": "", "space": " \n", "null": "null", "no JSON": canarySecret, "the pair as text": canaryID + ":" + canarySecret, "cut": good[:40],
		"trailing garbage": good + canarySecret, "two objects": good + good, "a string": `"` + canarySecret + `"`, "a list": `["` + canaryID + `","` + canarySecret + `"]`,
		"a number": "5", "empty object": "{}", "no secret_key": `{"key_id":"` + canaryID + `"}`, "no key_id": `{"secret_key":"` + canarySecret + `"}`,
		"an empty half": `{"key_id":"","secret_key":"` + canarySecret + `"}`, "a null half": `{"key_id":null,"secret_key":"` + canarySecret + `"}`,
		"a number for a half": `{"key_id":7341,"secret_key":"` + canarySecret + `"}`, "an object for a half": `{"key_id":{"` + canaryID + `":1},"secret_key":"` + canarySecret + `"}`,
		"other names": `{"id":"` + canaryID + `","secret":"` + canarySecret + `"}`, "single quotes": strings.ReplaceAll(good, `"`, "'"),
		"bad escape": `{"key_id":"\q` + canaryID + `","secret_key":"` + canarySecret + `"}`, "line break in a half": `{"key_id":"` + canaryID + `\n","secret_key":"` + canarySecret + `"}`,
		"raw line break": "{\"key_id\":\"" + canaryID + "\n\",\"secret_key\":\"" + canarySecret + "\"}", "byte order mark": "\ufeff" + good,
		"no UTF-8": strings.ReplaceAll(good, canaryID, canaryID+"\xff"), "64 KiB of key": strings.ReplaceAll(good, canarySecret, strings.Repeat(canarySecret, 64<<10/len(canarySecret))),
		"64 KiB of nothing": strings.Repeat(canarySecret+" ", 64<<10/len(canarySecret)), "64 KiB of brackets": strings.Repeat("[", 64<<10), "an env file": "APCA_API_KEY_ID=" + canaryID,
	} {
		c, err := secret.ParsePayload([]byte(payload))
		if !errors.Is(err, secret.ErrMalformed) || !c.IsZero() {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
			continue
		}
		if part := leak(err.Error()); part != "" || len(err.Error()) > 200 || strings.Contains(err.Error(), "7341") {
			t.Errorf("%s: the error shows %q: %v", name, part, err)
		}
	}
}

func TestName(t *testing.T) {
	if got := secret.Name("p", "alice"); got != "projects/p/secrets/alpaca-keys-alice" {
		t.Errorf("Name = %s", got)
	}
}
