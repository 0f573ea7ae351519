package datasets

import (
	"fmt"
	"strings"
)

// A Role is what an event means to the customer's story, whatever the source
// calls it. Event types map onto roles in the configuration; a type that is
// mapped to nothing is Other and still counts as activity.
type Role uint8

// The vocabulary of behaviour. The order is the canonical sort order of roles
// and is part of the on-disk contract: append, never reorder.
const (
	Other Role = iota
	Purchase
	Return
	CartAdd
	CartRemove
	Checkout
	View
	Search
	Session
	FeatureUse
	MessageSent
	MessageOpen
	MessageClick
	SocialEngage
	Referral
	Review
	Ticket
	Subscribe
	Renew
	Cancel
	Coupon
	NumRoles int = iota
)

var roleNames = [NumRoles]string{
	"other", "purchase", "return", "cart_add", "cart_remove", "checkout", "view", "search", "session",
	"feature_use", "message_sent", "message_open", "message_click", "social_engage", "referral", "review",
	"ticket", "subscribe", "renew", "cancel", "coupon",
}

// String is the role's name in configuration, SQL and published tables.
func (r Role) String() string {
	if int(r) < NumRoles {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// Roles lists the roles a configuration may map event types onto (all but Other).
func Roles() []Role {
	rs := make([]Role, 0, NumRoles-1)
	for r := Purchase; int(r) < NumRoles; r++ {
		rs = append(rs, r)
	}
	return rs
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	for r, name := range roleNames {
		if s == name {
			return Role(r), nil
		}
	}
	return Other, fmt.Errorf("unknown role %q (roles are %s)", s, strings.Join(roleNames[1:], ", "))
}
