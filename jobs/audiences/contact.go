package audiences

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config"
)

// keys are the hashed contact keys of a customer, each set once, in order; those
// without any are left out.
func (a *audience) keys(all []scan.Contact) [][]string {
	var keys [][]string
	for _, c := range all {
		var set []string
		some := false
		for _, h := range a.Hashed {
			text := ""
			if h == config.HashedEmail {
				text = normalEmail(c.Email)
			} else if text = normalPhone(c.Phone, a.PhoneCountry); a.PhoneFormat == config.PhoneDigits {
				text = strings.TrimPrefix(text, "+")
			}
			if text != "" {
				sum := sha256.Sum256([]byte(text))
				text, some = hex.EncodeToString(sum[:]), true
			}
			set = append(set, text)
		}
		if some {
			keys = append(keys, set)
		}
	}
	slices.SortFunc(keys, slices.Compare)
	return slices.CompactFunc(keys, slices.Equal)
}

// normalEmail is an address in lower case without spaces around it; "" when it is
// none.
func normalEmail(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	user, host, ok := strings.Cut(s, "@")
	if !ok || user == "" || !strings.Contains(strings.Trim(host, "."), ".") || strings.ContainsRune(host, '@') || strings.ContainsFunc(s, unicode.IsSpace) {
		return ""
	}
	return s
}

// normalPhone is a number as E.164 writes it, such as +4915112345678; "" when it is
// none. country is the calling code of those that do not say theirs.
func normalPhone(s, country string) string {
	s = strings.TrimSpace(s)
	var digits strings.Builder
	for _, r := range strings.Replace(strings.TrimPrefix(s, "+"), "(0)", "", 1) {
		switch {
		case r >= '0' && r <= '9':
			digits.WriteRune(r)
		case !strings.ContainsRune(" -./()\u00a0\u2011\u2013", r):
			return "" // an extension, a remark, a name
		}
	}
	n := digits.String()
	switch {
	case strings.HasPrefix(s, "+"):
	case strings.HasPrefix(n, "00"):
		n = n[2:]
	case country == "":
		return ""
	default:
		n = country + strings.TrimPrefix(n, "0")
	}
	if len(n) < 7 || len(n) > 15 || n[0] == '0' {
		return ""
	}
	return "+" + n
}
