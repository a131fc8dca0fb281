package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/serviceusage/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/user"
)

func (p *patient) environment(context.Context) []Check {
	return []Check{ok("environment", "project %s, database %s, keys in %s", p.Config.ProjectID(), p.databaseID(), p.custodyName())}
}

func (p *patient) databaseID() string {
	if p.Config.Database == "" {
		return "(default)"
	}
	return p.Config.Database
}

func (p *patient) custodyName() string {
	if p.Config.Custody == "" {
		return gcp.SecretManager
	}
	return p.Config.Custody
}

// away says why a check of what only Google has can't be made, if it can't.
func (p *patient) away(name string) (Check, bool) {
	switch {
	case p.offline:
		return unknown(name, "--offline: it is not on this machine"), true
	case p.emulated:
		return unknown(name, "the emulator has none: look at the project in the cloud"), true
	}
	return Check{}, false
}

// credentials looks for those that Google's clients find. Those of a machine in the cloud are found online alone.
func (p *patient) credentials(context.Context) []Check {
	const login = "gcloud auth application-default login, or name a file in GOOGLE_APPLICATION_CREDENTIALS"
	if p.emulated {
		return []Check{unknown("credentials", "the emulator asks for none")}
	}
	path := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	if path == "" {
		if dir, err := configDir(); err == nil {
			path = filepath.Join(dir, "gcloud", "application_default_credentials.json")
		}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) { // #nosec G703 -- the caller's own
			return []Check{unknown("credentials", "there is no file of them (%s): on a machine in the cloud they are its service account's; elsewhere: %s", path, login)}
		}
	}
	f, err := os.Open(path) // #nosec G304 G703 -- Google's clients read it too
	if err != nil {
		return []Check{failed("credentials", login, "%v", err)}
	}
	_ = f.Close()
	return []Check{ok("credentials", "%s; whether they are still good, the next checks show", path)}
}

// configDir is where gcloud keeps its own.
func configDir() (string, error) {
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" {
		return filepath.Dir(dir), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".config"), err
}

// blamed says what is wrong with a call to one of Google's APIs.
func blamed(name, remedy, what string, err error) Check {
	var e *googleapi.Error
	switch {
	case errors.As(err, &e) && e.Code == http.StatusForbidden:
		return unknown(name, "%s: you may not look: %s", what, e.Message)
	case errors.As(err, &e) && e.Code == http.StatusUnauthorized:
		return failed(name, "gcloud auth application-default login", "%s: %s", what, e.Message)
	case errors.As(err, &e) && e.Code == http.StatusNotFound:
		return failed(name, remedy, "%s: %s", what, e.Message)
	case errors.As(err, &e) && e.Code < 500:
		return failed(name, remedy, "%s: %d %s", what, e.Code, e.Message)
	}
	return unknown(name, "%s: %v", what, err)
}

func (p *patient) project(ctx context.Context) []Check {
	if c, away := p.away("project"); away {
		return []Check{c}
	}
	id := p.Config.ProjectID()
	s, err := cloudresourcemanager.NewService(ctx, p.google...)
	if err != nil {
		return []Check{unknown("project", "%v", err)}
	}
	got, err := s.Projects.Get("projects/" + id).Context(ctx).Do()
	switch remedy := "is it the project's id (gcloud projects list), and are you let in?"; {
	case err != nil:
		return []Check{blamed("project", remedy, id, err)}
	case got.State != "ACTIVE":
		return []Check{failed("project", "gcloud projects undelete "+id, "%s is %s", id, got.State)}
	}
	return []Check{ok("project", "%s is there (%s)", id, got.DisplayName)}
}

// apis that the platform calls, or that call it.
func (p *patient) wanted() []string {
	list := []string{"firestore", "pubsub", "run", "eventarc", "cloudscheduler"}
	if p.Config.Custody != gcp.Envelope || p.Config.Fallback != gcp.Off {
		list = append(list, "secretmanager")
	}
	if p.Config.KMSKey != "" {
		list = append(list, "cloudkms")
	}
	return list
}

func (p *patient) apis(ctx context.Context) []Check {
	if c, away := p.away("apis"); away {
		return []Check{c}
	}
	parent := "projects/" + p.Config.ProjectID()
	var names []string
	for _, api := range p.wanted() {
		names = append(names, parent+"/services/"+api+".googleapis.com")
	}
	s, err := serviceusage.NewService(ctx, p.google...)
	if err != nil {
		return []Check{unknown("apis", "%v", err)}
	}
	got, err := s.Services.BatchGet(parent).Names(names...).Context(ctx).Do()
	if err != nil {
		return []Check{blamed("apis", "gcloud services enable serviceusage.googleapis.com --project "+p.Config.ProjectID(), "which are enabled", err)}
	}
	var off []string
	for _, name := range names {
		enabled := slices.ContainsFunc(got.Services, func(s *serviceusage.GoogleApiServiceusageV1Service) bool {
			return s.State == "ENABLED" && lastPart(s.Name) == lastPart(name)
		})
		if !enabled {
			off = append(off, lastPart(name))
		}
	}
	if len(off) > 0 {
		return []Check{failed("apis", "gcloud services enable "+strings.Join(off, " ")+" --project "+p.Config.ProjectID(), "not enabled: %s", strings.Join(off, ", "))}
	}
	return []Check{ok("apis", "%d are enabled", len(names))}
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// permissions are what the commands need of the caller, and what gives them.
func (p *patient) permissions() map[string]string {
	need := map[string]string{
		"datastore.entities.get": "roles/datastore.user", "datastore.entities.create": "roles/datastore.user", "datastore.entities.update": "roles/datastore.user",
		"datastore.entities.delete": "roles/datastore.user", "datastore.entities.list": "roles/datastore.user",
		"pubsub.subscriptions.consume": "roles/pubsub.editor", "pubsub.topics.publish": "roles/pubsub.editor",
	}
	if p.Config.Custody != gcp.Envelope || p.Config.Fallback != gcp.Off {
		for _, v := range []string{"secrets.create", "secrets.delete", "versions.add", "versions.get", "versions.access", "versions.destroy"} {
			need["secretmanager."+v] = "roles/secretmanager.admin"
		}
	}
	return need
}

// iam looks at what the caller may do, and at whom the project lets in who must not be.
func (p *patient) iam(ctx context.Context) []Check {
	if c, away := p.away("iam"); away {
		return []Check{c}
	}
	id := p.Config.ProjectID()
	s, err := cloudresourcemanager.NewService(ctx, p.google...)
	if err != nil {
		return []Check{unknown("iam", "%v", err)}
	}
	return []Check{p.mine(ctx, s, "projects/"+id), p.others(ctx, s, "projects/"+id)}
}

func (p *patient) mine(ctx context.Context, s *cloudresourcemanager.Service, project string) Check {
	need := p.permissions()
	var ask []string
	for permission := range need {
		ask = append(ask, permission)
	}
	slices.Sort(ask)
	got, err := s.Projects.TestIamPermissions(project, &cloudresourcemanager.TestIamPermissionsRequest{Permissions: ask}).Context(ctx).Do()
	if err != nil {
		return blamed("iam", "ask an owner of the project to let you in", "what you may do", err)
	}
	var missing, roles []string
	for _, permission := range ask {
		if !slices.Contains(got.Permissions, permission) {
			missing, roles = append(missing, permission), append(roles, need[permission])
		}
	}
	if len(missing) == 0 {
		return ok("iam", "you may do what the commands do (%d permissions)", len(ask))
	}
	slices.Sort(roles)
	return failed("iam", fmt.Sprintf("an owner grants you %s, for as long as you need it: gcloud projects add-iam-policy-binding %s --member user:YOU --role ROLE", strings.Join(slices.Compact(roles), ", "), lastPart(project)),
		"you may not: %s", strings.Join(missing, ", "))
}

func (p *patient) others(ctx context.Context, s *cloudresourcemanager.Service, project string) Check {
	policy, err := s.Projects.GetIamPolicy(project, &cloudresourcemanager.GetIamPolicyRequest{Options: &cloudresourcemanager.GetPolicyOptions{RequestedPolicyVersion: 3}}).Context(ctx).Do()
	if err != nil {
		return blamed("iam", "ask an owner of the project", "who is let in", err)
	}
	var wrong []string
	for _, b := range policy.Bindings {
		for _, m := range b.Members {
			basic := b.Role == "roles/owner" || b.Role == "roles/editor"
			if m == "allUsers" || m == "allAuthenticatedUsers" || basic && strings.HasPrefix(m, "serviceAccount:") {
				wrong = append(wrong, fmt.Sprintf("%s has %s", m, b.Role))
			}
		}
	}
	if len(wrong) > 0 {
		return failed("iam", "each service account gets only the roles of its own job, and nobody unknown gets any: gcloud projects remove-iam-policy-binding "+lastPart(project)+" --member MEMBER --role ROLE", "%s", strings.Join(wrong, "; "))
	}
	return ok("iam", "no service account is owner or editor, and nothing is public (%d bindings)", len(policy.Bindings))
}

// nobody is a user who is not there: to look for them needs all that looking for a user needs.
const nobody = "agenttrader-doctor"

func (p *patient) database(ctx context.Context) []Check {
	if p.offline {
		return []Check{unknown("database", "--offline: it is not on this machine")}
	}
	s, err := p.Store(ctx)
	if err == nil {
		if _, err = s.Profile(ctx, nobody); errors.Is(err, user.ErrNotFound) {
			err = nil
		}
	}
	remedy := fmt.Sprintf("gcloud firestore databases create --database '%s' --location LOCATION --project %s", p.databaseID(), p.Config.ProjectID())
	switch code := status.Code(err); {
	case err == nil:
		return []Check{ok("database", "%s answers", p.databaseID())}
	case code == codes.NotFound:
		return []Check{failed("database", remedy, "there is no database %s", p.databaseID())}
	case code == codes.PermissionDenied, code == codes.Unauthenticated:
		return []Check{failed("database", "you need roles/datastore.user", "%v", err)}
	case p.emulated:
		return []Check{failed("database", "is the emulator at "+p.Config.Firestore+" up? 'agenttrader up' starts one", "%v", err)}
	}
	return []Check{failed("database", "does the network reach Google? Try again, and see status.cloud.google.com", "%v", err)}
}

// keys looks for the keys of nobody, in each vault.
func (p *patient) keys(ctx context.Context) []Check {
	if p.offline {
		return []Check{unknown("keys", "--offline: the vaults are not on this machine")}
	}
	custody, err := p.Keys(ctx, "")
	if err != nil {
		return []Check{failed("keys", "docs/configuration.md has the variables of the custody", "%v", err)}
	}
	var list []Check
	for _, k := range custody.Keepers {
		name := gcp.SecretManager
		if _, is := k.(*gcp.Vault); !is {
			name = gcp.Envelope
		}
		switch _, _, err := k.Credentials(ctx, nobody, ""); {
		case errors.Is(err, secret.ErrNotFound):
			list = append(list, ok("keys", "%s answers", name))
		case errors.Is(err, secret.ErrDenied):
			list = append(list, failed("keys", "you need roles/secretmanager.admin to store keys; the syncer roles/secretmanager.secretAccessor to read them", "%s: %v", name, err))
		default:
			list = append(list, failed("keys", "is its API enabled, and does the network reach it?", "%s: %v", name, err))
		}
	}
	if p.Config.KMSKey != "" {
		list = append(list, p.kms(ctx))
	}
	return list
}

// kms wraps and unwraps what nobody needs.
func (p *patient) kms(ctx context.Context) Check {
	k, err := p.KMS(ctx, p.Config.KMSKey)
	if err != nil {
		return failed("keys", "KMS_KEY must name a key that is there", "%v", err)
	}
	bound := []byte("agenttrader doctor")
	wrapped, err := k.Wrap(ctx, []byte("nobody needs it!"), bound)
	if err == nil {
		_, _, err = k.Unwrap(ctx, wrapped, bound)
	}
	if err != nil {
		return failed("keys", "the key must be there, enabled and symmetric, and you need roles/cloudkms.cryptoKeyEncrypterDecrypter on it", "%v", err)
	}
	return ok("keys", "%s wraps and unwraps", p.Config.KMSKey)
}

func (p *patient) pubsub(ctx context.Context) []Check {
	switch {
	case p.offline:
		return []Check{unknown("topics", "--offline: they are not on this machine")}
	case p.emulated && p.Config.PubSub == "":
		return []Check{unknown("topics", "FIRESTORE_EMULATOR_HOST is set and PUBSUB_EMULATOR_HOST is not: those of the project are another world's")}
	}
	project := p.Config.ProjectID()
	var list []Check
	look := func(kind, id, remedy string, has func(context.Context, string) error) {
		switch err := has(ctx, id); status.Code(err) {
		case codes.OK:
			list = append(list, ok("topics", "%s %s is there", kind, id))
		case codes.NotFound:
			list = append(list, failed("topics", remedy, "there is no %s %s", kind, id))
		case codes.PermissionDenied:
			list = append(list, unknown("topics", "%s %s: you may not look", kind, id))
		default:
			list = append(list, failed("topics", "does the network reach Pub/Sub, and is its API enabled?", "%s %s: %v", kind, id, err))
		}
	}
	for _, id := range slices.Concat([]string{p.topics.Ticks}, p.topics.Requests, []string{p.topics.DeadLetters}) {
		look("topic", id, fmt.Sprintf("gcloud pubsub topics create %s --project %s", id, project), p.HasTopic)
	}
	look("subscription", p.letters.Subscription, fmt.Sprintf("gcloud pubsub subscriptions create %s --topic %s --project %s", p.letters.Subscription, p.topics.DeadLetters, project), p.HasSubscription)
	return list
}
