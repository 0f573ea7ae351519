package behaviour

import (
	"math"
	"time"

	"github.com/shoal-data/shoal/datasets"
)

// Event types, in the order of eventTypes.
const (
	typeNone = iota
	typeAccountCreated
	typeAppOpened
	typeSessionStart
	typeSiteSearch
	typePageView
	typeProductView
	typeFeatureUsed
	typeAddToCart
	typeRemoveFromCart
	typeCheckoutStarted
	typeCouponRedeemed
	typeOrderCompleted
	typeOrderReturned
	typeReviewPosted
	typeTicketOpened
	typeMessageSent
	typeMessageOpened
	typeMessageClicked
	typeSocialShare
	typeFriendReferred
	typeSubscriptionStarted
	typeSubscriptionRenewed
	typeSubscriptionCancelled
)

// An EventType is a name that event_type takes, and the role it plays.
// Types of role Other are meant to stay unmapped.
type EventType struct {
	Name string
	Role datasets.Role
}

var eventTypes = [...]EventType{
	typeNone:                  {},
	typeAccountCreated:        {"account_created", datasets.Other},
	typeAppOpened:             {"app_opened", datasets.Other},
	typeSessionStart:          {"session_start", datasets.Session},
	typeSiteSearch:            {"site_search", datasets.Search},
	typePageView:              {"page_view", datasets.View},
	typeProductView:           {"product_view", datasets.View},
	typeFeatureUsed:           {"feature_used", datasets.FeatureUse},
	typeAddToCart:             {"add_to_cart", datasets.CartAdd},
	typeRemoveFromCart:        {"remove_from_cart", datasets.CartRemove},
	typeCheckoutStarted:       {"checkout_started", datasets.Checkout},
	typeCouponRedeemed:        {"coupon_redeemed", datasets.Coupon},
	typeOrderCompleted:        {"order_completed", datasets.Purchase},
	typeOrderReturned:         {"order_returned", datasets.Return},
	typeReviewPosted:          {"review_posted", datasets.Review},
	typeTicketOpened:          {"ticket_opened", datasets.Ticket},
	typeMessageSent:           {"message_sent", datasets.MessageSent},
	typeMessageOpened:         {"message_opened", datasets.MessageOpen},
	typeMessageClicked:        {"message_clicked", datasets.MessageClick},
	typeSocialShare:           {"social_share", datasets.SocialEngage},
	typeFriendReferred:        {"friend_referred", datasets.Referral},
	typeSubscriptionStarted:   {"subscription_started", datasets.Subscribe},
	typeSubscriptionRenewed:   {"subscription_renewed", datasets.Renew},
	typeSubscriptionCancelled: {"subscription_cancelled", datasets.Cancel},
}

// EventTypes lists every event type there is, each with its role.
func EventTypes() []EventType { return append([]EventType(nil), eventTypes[1:]...) }

// channels: 0 is null, then the places one buys at, then the message media.
var channels = append([]string{"", "web", "app", "store"}, Media[:]...)

// Codes of the places, and the first of the media.
const (
	channelWeb   = 1
	channelApp   = 2
	channelStore = 3
	channelMedia = 4
)

// A Row is one event. Codes are 0 for null.
type Row struct {
	Time     int64 // µs since 1970-01-01 UTC
	Event    uint64
	Session  uint64
	Customer uint32 // number from 1; 0 on anonymous visits
	Amount   int32  // hundredths of the currency; NullAmount when absent
	Product  uint16 // 1 + category·productsPerCategory + bucket
	Campaign uint16 // 1 + week·numMedia + medium
	Kind     uint8
	Channel  uint8
	Quantity uint8
	Rating   uint8
}

// NullAmount is the amount of a row that has none.
const NullAmount = math.MinInt32

func productCode(category, bucket int) uint16 {
	return uint16(1 + category*productsPerCategory + bucket)
}

// campaign of the week of day on a medium.
func campaignCode(day, medium int) uint16 { return uint16(1 + day/7*numMedia + medium) }

// TypeName is the event type of Row.Kind.
func TypeName(kind uint8) string { return eventTypes[kind].Name }

// ChannelName is the channel of Row.Channel; "" when null.
func ChannelName(channel uint8) string { return channels[channel] }

// CategoryCode is the category of Row.Product, from 1; 0 when null.
func CategoryCode(product uint16) uint8 {
	return uint8((int(product) + productsPerCategory - 1) / productsPerCategory)
}

// CategoryName is the category of a CategoryCode other than 0.
func CategoryName(code uint8) string { return categories[code-1] }

// AppendProduct writes the id of a Row.Product other than 0: the first letters of
// its category and its place in the price range, as toy-0023.
func AppendProduct(dst []byte, product uint16) []byte {
	p := int(product) - 1
	dst = append(dst, categories[p/productsPerCategory][:3]...)
	dst = append(dst, '-')
	b := p % productsPerCategory
	return append(dst, '0', '0', byte('0'+b/10), byte('0'+b%10))
}

// AppendCampaign writes the id of a Row.Campaign other than 0 in a history from
// start: medium and first day of the week, as email-20240101.
func AppendCampaign(dst []byte, start time.Time, campaign uint16) []byte {
	c := int(campaign) - 1
	dst = append(dst, Media[c%numMedia]...)
	dst = append(dst, '-')
	return start.AddDate(0, 0, c/numMedia*7).AppendFormat(dst, "20060102")
}
