package emulator_test

import (
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/agenttrader/agenttrader/pkg/document"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
)

func TestMain(m *testing.M) { emulator.Main(m) }

// What the bridge hands on is what Eventarc would deliver: raw protobuf, and attributes that the SDK takes.
func TestBridge(t *testing.T) {
	e, project := emulator.For(t)
	client, err := e.Client(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	events := make(chan emulator.Event, 10)
	trigger := emulator.Trigger{Project: project, ID: "snapshots", Type: "google.cloud.firestore.document.v1.written", Path: "users/{uid}/alpacaAccounts/{account}"}
	if err := e.Watch(t.Context(), trigger, func(ev emulator.Event) { events <- ev }); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Doc("users/u").Set(t.Context(), map[string]any{"other": true}); err != nil {
		t.Fatal(err)
	}
	ref := client.Doc("users/u/alpacaAccounts/snapshot")
	if _, err := ref.Set(t.Context(), map[string]any{"cash": 1.5}); err != nil {
		t.Fatal(err)
	}
	if _, err := ref.Update(t.Context(), []firestore.Update{{Path: "cash", Value: 2.5}}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1.5, 2.5} {
		select {
		case ev := <-events:
			c, err := document.DecodeChange(ev.Body)
			if err != nil {
				t.Fatal(err)
			}
			if c.Path != "users/u/alpacaAccounts/snapshot" || c.New.Fields["cash"] != want || (c.Old == nil) != (i == 0) {
				t.Errorf("event %d = %+v, want cash %g", i, c, want)
			}
			if h := ev.Header; h.Get("Ce-Datacontenttype") != "" || h.Get("Content-Type") != "application/protobuf" ||
				h.Get("Ce-Source") != "//firestore.googleapis.com/projects/"+project+"/databases/(default)" || h.Get("Ce-Document") != c.Path {
				t.Errorf("headers = %v", h)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("event %d did not come", i)
		}
	}
	if err := e.Clear(t.Context(), project); err != nil {
		t.Fatal(err)
	}
	if all, err := client.Collection("users").Documents(t.Context()).GetAll(); err != nil || len(all) != 0 {
		t.Errorf("after Clear: %d documents, %v", len(all), err)
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	e, err := emulator.Start(t.Context())
	if err == nil {
		e.Stop()
		t.Fatal("it started without Java")
	}
	if !errors.Is(err, emulator.ErrMissing) {
		t.Errorf("Start = %v, want ErrMissing", err)
	}
}
