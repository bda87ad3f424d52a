package compute

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
)

var validatorInstance = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	rules := map[string]func(string) bool{
		"envname": isEnvName,
		"text":    func(s string) bool { return !strings.Contains(s, "\x00") },
	}
	for tag, ok := range rules {
		rule := func(fl validator.FieldLevel) bool { return ok(fl.Field().String()) }
		if err := v.RegisterValidation(tag, rule); err != nil {
			panic(err) // the table above is wrong
		}
	}
	return v
})

// validate keeps the validator out of the API: callers see ErrInvalid.
func validate(op string, v any) error {
	if reflect.ValueOf(v).IsNil() {
		return nil
	}
	err := validatorInstance().Struct(v)
	if err == nil {
		return nil
	}
	if fields, ok := errors.AsType[validator.ValidationErrors](err); ok {
		err = describe(fields)
	}
	return &Error{Op: op, Kind: ErrInvalid, Err: err}
}

// describe says what is wrong with each field, in words for the person who
// filled it in. Values are left out: they may be secret.
func describe(fields validator.ValidationErrors) error {
	what := make([]string, len(fields))
	for i, f := range fields {
		_, name, _ := strings.Cut(f.StructNamespace(), ".")
		what[i] = name + " " + complaint(f)
	}
	return errors.New(strings.Join(what, "; "))
}

func complaint(f validator.FieldError) string {
	switch f.Tag() {
	case "required":
		return "must not be empty"
	case "min":
		return "must be at least " + f.Param()
	case "max":
		if f.Kind() == reflect.String {
			return "must not be longer than " + f.Param() + " characters"
		}
		return "must be at most " + f.Param()
	case "startswith":
		return fmt.Sprintf("must begin with %q", f.Param())
	case "excluded_with":
		return "cannot be combined with " + strings.ReplaceAll(f.Param(), " ", " or ")
	case "envname":
		return "is not the name of an environment variable"
	case "text":
		return "must not contain a NUL byte"
	case "unique":
		return "must differ in " + f.Param()
	}
	return "breaks the rule " + f.Tag()
}

// isEnvName reports whether s is a name that every POSIX shell accepts.
func isEnvName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
