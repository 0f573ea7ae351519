package config

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// credential says what of a text is a credential that has no place in a configuration;
// "" when nothing is.
func credential(text string) string {
	for word := range strings.FieldsSeq(text) {
		if what := credentialOf(word); what != "" {
			return what
		}
	}
	return ""
}

// CheckPlace refuses a place, given on the command line by a flag, with a credential in it.
func CheckPlace(flag, place string) error {
	if what := credential(place); what != "" {
		return fmt.Errorf("%s holds %s, which would stand in logs: take it out: credentials come from the environment of each store's own tools", flag, what)
	}
	return nil
}

func credentialOf(address string) string {
	_, rest, isURL := strings.Cut(address, "://")
	if !isURL {
		return ""
	}
	authority, _, _ := strings.Cut(rest, "/")
	if user, _, found := cutLast(authority, "@"); found && strings.Contains(user, ":") {
		return "a user and a password in a URL"
	}
	_, query, _ := strings.Cut(rest, "?")
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(key); err == nil {
			key = k
		}
		if value != "" && slices.Contains(credentialKeys, strings.ToLower(key)) {
			return "a credential in a URL (" + key + ")"
		}
	}
	return ""
}

// credentialKeys are the parameters that signed URLs of S3, Google Cloud Storage and Azure
// carry, and those that drivers take.
var credentialKeys = []string{
	"sig", "signature", "x-amz-signature", "x-amz-security-token", "x-amz-credential", "x-goog-signature", "x-goog-credential",
	"awsaccesskeyid", "access_key", "access_key_id", "accesskey", "secret", "secret_key", "secret_access_key", "secretkey",
	"password", "passwd", "pwd", "token", "access_token", "auth_token", "session_token", "sas", "sas_token", "api_key", "apikey", "account_key", "client_secret",
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// masked are the values of environment variables that a file refers to. Errors name the
// variable in their place: it may hold a secret that was meant for another.
type masked []struct{ name, value string }

func (m *masked) noting(lookup func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := lookup(name)
		if ok && len(value) >= minMasked {
			*m = append(*m, struct{ name, value string }{name, value})
		}
		return value, ok
	}
}

// minMasked is the length of the shortest value that is masked: shorter ones are parts of
// too many words.
const minMasked = 4

// hide puts variables in the place of their values, the longest first.
func (m masked) hide(faults []Fault) {
	slices.SortStableFunc(m, func(a, b struct{ name, value string }) int { return cmp.Compare(len(b.value), len(a.value)) })
	for i := range faults {
		f := &faults[i]
		for _, v := range m {
			f.Value = strings.ReplaceAll(f.Value, v.value, "${"+v.name+"}")
			f.Message = strings.ReplaceAll(f.Message, v.value, "${"+v.name+"}")
		}
	}
}
