package serve

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/agenttrader/agenttrader/pkg/secret"
)

// ReadEnv fills configurations (pointers to structs with `env` tags) from an environment as of os.Environ. What is unset
// or empty keeps its value. The error names every fault, those of each configuration's own Validate among them, and
// any variable that would lend one account's keys to all users.
func ReadEnv(environ []string, configs ...interface{ Validate() error }) error {
	errs := []error{secret.CheckEnv(environ)}
	options := env.Options{Environment: env.ToMap(environ)}
	for _, c := range configs {
		var faults env.AggregateError
		switch err := env.ParseWithOptions(c, options); {
		case errors.As(err, &faults):
			for _, f := range faults.Errors {
				errs = append(errs, named(c, options.Environment, f))
			}
		case err != nil:
			errs = append(errs, err)
		}
		errs = append(errs, c.Validate())
	}
	return errors.Join(errs...)
}

// named tells the variable, where the library tells the struct's field.
func named(config any, environment map[string]string, fault error) error {
	var p env.ParseError
	if !errors.As(fault, &p) {
		return fault
	}
	f, ok := reflect.TypeOf(config).Elem().FieldByName(p.Name)
	if !ok {
		return fault
	}
	name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
	return fmt.Errorf("%s is %.80q, which is no %s: %w", name, environment[name], kind(f.Type), p.Err)
}

func kind(t reflect.Type) string {
	switch {
	case t.PkgPath() == "time":
		return "duration like 10s"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "whole number"
	}
	return t.String()
}
