package gcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// connections of a client: Google's front ends take 100 calls at a time on one, an instance may have 1,000 events in work.
const connections = 10

// Config says which project, and where it is. Google's clients read FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST
// themselves; here they are checked.
type Config struct {
	Project        string `env:"GCP_PROJECT"`
	Gcloud         string `env:"GCLOUD_PROJECT"`          // the predecessor's other name for it
	Database       string `env:"FIRESTORE_DATABASE"`      // "" is (default)
	SecretEndpoint string `env:"SECRET_MANAGER_ENDPOINT"` // host:port of a stand-in on loopback; "" is Google's
	KMSEndpoint    string `env:"KMS_ENDPOINT"`            // the same
	Firestore      string `env:"FIRESTORE_EMULATOR_HOST"` // the same
	PubSub         string `env:"PUBSUB_EMULATOR_HOST"`    // the same

	Custody      string `env:"KEY_CUSTODY"`          // where the users' keys are: SecretManager or Envelope; "" is the former
	KMSKey       string `env:"KMS_KEY"`              // the resource name of the key that wraps data keys; "": there are no envelopes
	KMSKeyBefore string `env:"KMS_KEY_BEFORE"`       // data keys that are wrapped by this one are read too
	Fallback     string `env:"KEY_CUSTODY_FALLBACK"` // On or Off: whether the other custody is read too; "" is On
}

// Where the users' keys are kept.
const (
	SecretManager = "secret-manager"
	Envelope      = "envelope"
)

// Whether the other custody is read for keys that are not in the preferred one.
const (
	On  = "on"
	Off = "off"
)

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	if c.ProjectID() == "" {
		errs = append(errs, errors.New("Missing GCP_PROJECT or GCLOUD_PROJECT environment variable")) //nolint:staticcheck // the predecessor's text
	}
	if c.Project != "" && c.Gcloud != "" && c.Project != c.Gcloud {
		errs = append(errs, fmt.Errorf("GCP_PROJECT is %q, GCLOUD_PROJECT is %q: unset one", c.Project, c.Gcloud))
	}
	errs = append(errs,
		checkLoopback("SECRET_MANAGER_ENDPOINT", c.SecretEndpoint), checkLoopback("FIRESTORE_EMULATOR_HOST", c.Firestore),
		checkLoopback("PUBSUB_EMULATOR_HOST", c.PubSub), checkLoopback("KMS_ENDPOINT", c.KMSEndpoint))
	if c.Custody != "" && c.Custody != SecretManager && c.Custody != Envelope {
		errs = append(errs, fmt.Errorf("KEY_CUSTODY is %.80q: want %s or %s", c.Custody, SecretManager, Envelope))
	}
	if c.KMSKey != "" && !keyForm.MatchString(c.KMSKey) {
		errs = append(errs, fmt.Errorf("KMS_KEY is %.300q: want a key's resource name, without a version: %s", c.KMSKey, keyExample))
	}
	if c.KMSKeyBefore != "" && !keyForm.MatchString(c.KMSKeyBefore) {
		errs = append(errs, fmt.Errorf("KMS_KEY_BEFORE is %.300q: want a key's resource name, without a version: %s", c.KMSKeyBefore, keyExample))
	}
	if c.KMSKeyBefore != "" && (c.KMSKey == "" || c.KMSKey == c.KMSKeyBefore) {
		errs = append(errs, errors.New("KMS_KEY_BEFORE is set, and KMS_KEY names no other key: unset the former"))
	}
	if c.Fallback != "" && c.Fallback != On && c.Fallback != Off {
		errs = append(errs, fmt.Errorf("KEY_CUSTODY_FALLBACK is %.80q: want %s or %s", c.Fallback, On, Off))
	}
	if c.Custody == Envelope && c.KMSKey == "" {
		errs = append(errs, fmt.Errorf("KEY_CUSTODY is %s, and KMS_KEY is not set: want the key that wraps the data keys: %s", Envelope, keyExample))
	}
	return errors.Join(errs...)
}

const keyExample = "projects/P/locations/L/keyRings/R/cryptoKeys/K"

// checkLoopback: what is set in place of Google's is spoken to without encryption, and without asking who it is.
func checkLoopback(name, addr string) error {
	if addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || (host != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return fmt.Errorf("%s is %.100q: keys and accounts go unencrypted to loopback only, like 127.0.0.1:9000", name, addr)
	}
	return nil
}

// ProjectID is the Google Cloud project.
func (c *Config) ProjectID() string {
	if c.Project != "" {
		return c.Project
	}
	return c.Gcloud
}

// Cloud opens clients of one project, each with a pool of connections, and closes them.
type Cloud struct {
	cfg       Config
	topics    *pubsub.Client
	documents *Firestore
	closers   []func() error
}

// Open is for a valid cfg. Nothing is connected before it is asked for.
func Open(cfg Config) *Cloud { return &Cloud{cfg: cfg} }

// closeLimit bounds Close: with serve.Drain before it, a stop ends before Cloud Run kills, 10 s after SIGTERM.
const closeLimit = time.Second

// Close closes what was opened, last first. A publisher whose topic does not answer would flush for half a minute, in
// vain: what it holds was not acknowledged by anybody.
func (c *Cloud) Close() error { return c.CloseWithin(closeLimit) }

// CloseWithin is Close with a bound of its own, for what has the time to close in order.
func (c *Cloud) CloseWithin(limit time.Duration) error {
	closers := c.closers
	c.closers = nil
	closed := make(chan error, 1)
	go func() {
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		closed <- errors.Join(errs...)
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(limit):
		return fmt.Errorf("clients of project %s did not close within %s: left open", c.cfg.ProjectID(), limit)
	}
}

// Firestore is the project's document database.
func (c *Cloud) Firestore(ctx context.Context) (*Firestore, error) {
	if c.documents != nil {
		return c.documents, nil
	}
	database := c.cfg.Database
	if database == "" {
		database = firestore.DefaultDatabaseID
	}
	client, err := firestore.NewClientWithDatabase(ctx, c.cfg.ProjectID(), database, pooled("FIRESTORE_EMULATOR_HOST")...)
	if err != nil {
		return nil, fmt.Errorf("firestore client of project %s: %w", c.cfg.ProjectID(), err)
	}
	c.closers = append(c.closers, client.Close)
	c.documents = NewFirestore(client)
	return c.documents, nil
}

// Publisher sends to the project's topic with this id, or to the one with this full name.
func (c *Cloud) Publisher(ctx context.Context, topic string) (*Publisher, error) {
	client, err := c.pubsub(ctx)
	if err != nil {
		return nil, err
	}
	p := NewPublisher(client, topic)
	c.closers = append(c.closers, func() error { p.Stop(); return nil })
	return p, nil
}

// Letters reads the dead letters that the project's subscription with this id holds.
func (c *Cloud) Letters(ctx context.Context, subscription string) (*Letters, error) {
	client, err := c.pubsub(ctx)
	if err != nil {
		return nil, err
	}
	l := NewLetters(client, subscription)
	c.closers = append(c.closers, l.Close)
	return l, nil
}

func (c *Cloud) pubsub(ctx context.Context) (*pubsub.Client, error) {
	if c.topics == nil {
		client, err := pubsub.NewClient(ctx, c.cfg.ProjectID(), pooled("PUBSUB_EMULATOR_HOST")...)
		if err != nil {
			return nil, fmt.Errorf("pub/sub client of project %s: %w", c.cfg.ProjectID(), err)
		}
		c.topics = client
		c.closers = append(c.closers, client.Close)
	}
	return c.topics, nil
}

// pooled is for a client of Google's own service; on an emulator the client makes one connection of its own.
func pooled(emulator string) []option.ClientOption {
	if emulator != "" && os.Getenv(emulator) != "" {
		return nil
	}
	return []option.ClientOption{
		option.WithGRPCConnectionPool(connections),
		// A connection into a black hole would fail its calls for a quarter of an hour, until TCP gives it up.
		option.WithGRPCDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second})),
	}
}
