package recognise

import (
	"slices"
	"strings"
	"unicode"

	"github.com/shoal-data/shoal/datasets"
)

// words splits a name into lower-case words at underscores, punctuation,
// spaces, camelCase and letter–digit borders: orderTotal → order, total.
func words(name string) []string {
	var ws []string
	var cur []rune
	flush := func() {
		if len(cur) > 0 {
			ws = append(ws, strings.ToLower(string(cur)))
			cur = cur[:0]
		}
	}
	rs := []rune(name)
	for i, r := range rs {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
			continue
		case i > 0 && unicode.IsUpper(r) && (unicode.IsLower(rs[i-1]) ||
			unicode.IsUpper(rs[i-1]) && i+1 < len(rs) && unicode.IsLower(rs[i+1])):
			flush()
		case i > 0 && unicode.IsDigit(r) != unicode.IsDigit(rs[i-1]):
			flush()
		}
		cur = append(cur, r)
	}
	flush()
	return ws
}

// has reports whether the words occur in ws one after the other.
func has(ws []string, phrase string) bool {
	p := strings.Fields(phrase)
	for i := 0; i+len(p) <= len(ws); i++ {
		if slices.Equal(ws[i:i+len(p)], p) {
			return true
		}
	}
	return false
}

// columnNames lists, for each field, the names that columns holding it go by
// in trackers, shops and exports (Segment, GA4, Snowplow, Shopify, Kaggle and
// UCI sets), best first, as words. A column matches a name when its words end
// with it, the better the fewer words stand before.
var columnNames = [datasets.NumFields][]string{
	datasets.CustomerID: {
		"customer id", "customer key", "customerid", "user id", "userid", "customer", "client id", "clientid", "member id",
		"memberid", "account id", "accountid", "household id", "household key", "person id", "shopper id", "buyer id",
		"subscriber id", "visitor id", "visitorid", "profile id", "contact id", "cust id", "custid", "loyalty id", "card id",
		"user pseudo id", "player id", "user", "client", "member", "account", "household", "shopper", "buyer", "subscriber", "visitor",
		"customer number", "account number", "msno", "uid", "anonymous id", "cookie id", "device id", "email", "card number", "card",
	},
	datasets.EventTime: {
		"event time", "event timestamp", "event ts", "event datetime", "timestamp", "ts", "occurred at", "event at", "event date",
		"datetime", "date time", "time", "order time", "order date", "purchase date", "purchase time", "transaction date",
		"transaction time", "transaction timestamp", "invoice date", "invoicedate", "order timestamp", "sold at", "sold on", "sent at", "server time",
		"collector tstamp", "tstamp", "created at", "created", "date", "day", "dt", "ds", "txn date", "trans date", "when", "t",
	},
	datasets.EventType: {
		"event type", "event name", "event", "eventtype", "eventname", "event action", "action type", "action", "activity type",
		"activity", "interaction type", "interaction", "behavior type", "behaviour type", "behavior", "behaviour", "type", "name",
		"verb", "page", "kind", "transaction type", "status",
	},
	datasets.Amount: {
		"amount", "total amount", "order total", "order amount", "order value", "revenue", "total price", "line total", "total",
		"sales value", "sales amount", "sales", "sale amount", "gmv", "spend", "purchase amount", "payment amount", "payment value",
		"transaction amount", "amount paid", "net amount", "gross amount", "value", "price", "unit price", "unitprice", "item price", "cost",
	},
	datasets.Currency: {"currency", "currency code", "ccy", "iso currency", "currencycode"},
	datasets.Quantity: {
		"quantity", "qty", "units", "item count", "items", "num items", "number of items", "pieces", "count", "units sold",
		"volume",
	},
	datasets.ProductID: {
		"product id", "productid", "sku", "item id", "itemid", "product sku", "product code", "stock code", "stockcode", "product key",
		"article id", "asin", "ean", "upc", "content id", "song id", "product", "item", "article",
	},
	datasets.Category: {
		"category", "product category", "category id", "categoryid", "category code", "category name", "department", "genre",
		"product type", "product group", "cat", "section",
	},
	datasets.Channel: {
		"channel", "marketing channel", "sales channel", "channel name", "medium", "utm medium", "message channel", "platform",
		"device type", "source", "utm source", "traffic source",
	},
	datasets.CampaignID: {"campaign id", "campaignid", "campaign", "utm campaign", "campaign name", "campaign key", "promotion id"},
	datasets.SessionID: {
		"session id", "sessionid", "session", "visit id", "visitid", "session key", "basket id", "order id", "orderid", "order number",
		"invoice no", "invoiceno", "invoice id", "invoice number", "invoice", "transaction id", "transactionid", "receipt id", "receipt no", "receipt number",
		"receipt", "order no", "cart id", "ga session id",
	},
	datasets.EventID: {"event id", "eventid", "message id", "event uuid", "event key", "uuid", "insert id", "row id", "log id", "id"},
	datasets.Rating:  {"rating", "stars", "review score", "score", "review rating", "star rating", "nps"},
	datasets.Consent: {"consent", "has consent", "consent given", "tracking consent", "analytics consent", "marketing consent", "gdpr consent"},
}

// unlike lists words that make a column something else than its name ends
// with: an order's discount is no amount, a birthday no event time.
var unlike = [datasets.NumFields][]string{
	datasets.EventTime: {
		"registration", "registered", "reg", "signup", "birth", "birthday", "dob", "churn", "expiry", "expires", "expiration", "end", "ended",
		"valid", "updated", "modified", "deleted", "loaded", "load", "ingested", "ingestion", "processed", "delivery", "due", "first", "last",
		"start", "until", "join", "joined", "install", "cancelled", "canceled",
	},
	datasets.Amount: {"tax", "vat", "discount", "disc", "shipping", "freight", "fee", "tip", "cost", "coupon", "refund", "balance", "budget", "limit"},
	datasets.CustomerID: {
		"type", "segment", "count", "agent", "seller", "merchant", "employee", "group", "parent", "name",
	},
	datasets.EventType: {"customer", "user", "first", "last", "full", "product", "brand", "city", "file", "campaign", "channel", "device", "currency", "country"},
	datasets.Quantity:  {"stock", "minimum", "max"},
	datasets.SessionID: {"count", "number of", "in", "last", "item"},
	datasets.ProductID: {"type", "session"},
	datasets.EventID:   {"customer", "user", "product", "order", "session", "campaign", "store", "item", "category", "parent"},
	datasets.Rating:    {"credit", "risk", "lead", "fraud"},
	datasets.Channel:   {"id"},
}

// A rule maps event types whose words hold one of the phrases onto a role.
// Rules are tried in order: the specific before the general.
type rule struct {
	role    datasets.Role // Other leaves the type unmapped: activity, nothing more
	phrases []string
}

var rules = []rule{
	// What went wrong is no step of a funnel.
	{datasets.Other, []string{"error", "bug", "fail", "failed", "failure", "declined", "exception", "timeout", "logout", "log out", "logged out", "stock adjustment", "adjustment", "unsubscribe", "unsubscribed", "bounced", "bounce"}},
	{datasets.Return, []string{"return", "returned", "returns", "refund", "refunded", "chargeback", "order cancelled", "order canceled", "cancel order", "cancelled order", "purchase cancelled"}},
	{datasets.MessageClick, []string{"email click", "email clicked", "email link clicked", "message click", "message clicked", "push clicked", "push click", "sms clicked", "newsletter click", "newsletter clicked", "ad click", "ad clicked", "clicked email", "campaign clicked", "campaign click", "notification clicked", "notification click", "mail clicked"}},
	{datasets.MessageOpen, []string{"email open", "email opened", "message open", "message opened", "push opened", "push open", "sms opened", "newsletter open", "newsletter opened", "opened email", "campaign opened", "campaign open", "notification opened", "notification open", "message read", "email read", "mail opened"}},
	{datasets.MessageSent, []string{"email sent", "email send", "email delivered", "email received", "message sent", "message received", "message delivered", "push sent", "push delivered", "push received", "sms sent", "sms delivered", "newsletter sent", "campaign received", "campaign sent", "campaign delivered", "mail sent", "mailing sent", "notification sent", "notification received", "notification delivered", "ad impression", "ad shown", "send email", "sent email"}},
	{datasets.CartRemove, []string{"remove from cart", "removed from cart", "cart remove", "cart removed", "delete from cart", "product removed", "remove from basket", "removed from basket", "basket remove", "remove item from cart"}},
	{datasets.CartAdd, []string{"add to cart", "added to cart", "addtocart", "cart add", "cart added", "product added", "add item to cart", "add to basket", "added to basket", "add to bag", "added to bag", "basket add", "addtobasket"}},
	{datasets.Checkout, []string{"purchase started", "order started", "payment started", "begin purchase", "start purchase", "purchase attempt", "order pending", "payment pending"}},
	{datasets.FeatureUse, []string{"data session", "add to playlist", "add to wishlist", "wishlist add"}},
	{datasets.Purchase, []string{"order completed", "order complete", "order placed", "order paid", "order created", "completed order", "placed order", "checkout completed", "checkout complete", "purchase", "purchased", "purchases", "transaction", "transactions", "buy", "bought", "sale", "sold", "payment completed", "payment succeeded", "payment success", "invoice paid", "ecommerce purchase", "in app purchase"}},
	{datasets.Checkout, []string{"checkout", "begin checkout", "checkout started", "checkout step", "initiate checkout", "initiated checkout", "shipping details", "payment details", "payment info", "shipping info"}},
	{datasets.Coupon, []string{"coupon", "coupons", "voucher", "promo code", "promocode", "discount applied", "offer completed", "offer redeemed"}},
	{datasets.Renew, []string{"renew", "renewed", "renewal", "subscription renewed", "recurring payment"}},
	{datasets.Cancel, []string{"cancel", "cancelled", "canceled", "cancellation", "churn", "churned", "subscription ended", "account deleted", "downgrade", "submit downgrade", "downgraded"}},
	{datasets.Subscribe, []string{"subscribe", "subscribed", "subscription", "subscription started", "subscription created", "trial started", "start trial", "upgrade", "upgraded", "submit upgrade"}},
	{datasets.Review, []string{"review", "reviewed", "review posted", "rate", "rated", "rating", "product rated"}},
	{datasets.Ticket, []string{"ticket", "support", "complaint", "contact support", "case opened", "live chat", "chat", "helpdesk"}},
	{datasets.Referral, []string{"referral", "refer", "referred", "refer friend", "invite", "invited", "invite friend", "invite sent"}},
	{datasets.SocialEngage, []string{"social", "like", "liked", "share", "shared", "follow", "followed", "comment", "commented", "retweet", "thumbs up", "thumbs down", "add friend", "repost"}},
	{datasets.Search, []string{"search", "searched", "site search", "query", "filter", "filter results", "searches", "products searched"}},
	{datasets.Session, []string{"session", "session start", "session started", "login", "log in", "logged in", "sign in", "signed in", "signin", "visit", "app open", "app opened", "app launch", "open app", "application opened", "launch", "first open"}},
	{datasets.View, []string{"view", "viewed", "views", "viewitem", "pageview", "page view", "page viewed", "page", "screen", "screen view", "product view", "product viewed", "view item", "detail", "details", "browse", "catalog", "catalogue", "home", "homepage", "about", "click", "clicked", "impression", "pv", "product list"}},
	{datasets.FeatureUse, []string{"play", "played", "next song", "nextsong", "listen", "stream", "watch", "watched", "call", "calls", "data session", "message", "sms", "internet", "download", "upload", "export", "import", "feature used", "feature use", "use feature", "used", "usage", "save", "save settings", "settings", "compare", "wishlist", "favorite", "favourite", "fav", "bookmark", "add to playlist", "add to wishlist", "roll advert"}},
}

// pageRule is where among the rules names that end in page or view are caught.
const pageRule = 5

// roleOf is the role that a single event type's name speaks for; ok is false
// when no rule knows it, or when it is known to play none.
func roleOf(eventType string) (role datasets.Role, ok bool) {
	ws := words(eventType)
	for i, r := range rules {
		// A page about something is looked at; the thing itself happens
		// elsewhere. Faults and messages, the first rules, go before.
		if i == pageRule && len(ws) > 1 && slices.Contains([]string{"page", "screen", "view", "viewed", "views"}, ws[len(ws)-1]) {
			return datasets.View, true
		}
		for _, p := range r.phrases {
			if has(ws, p) {
				return r.role, r.role != datasets.Other
			}
		}
	}
	return datasets.Other, false
}

// A TypeRole is an event type with the role it was given.
type TypeRole struct {
	Type  string
	Count int64 // rows in the sample
	Role  datasets.Role
	Note  string // "" when the mapping is plain
}

// assignRoles maps event types onto roles by name, and by which other types
// the data have: cart is an action where nothing else adds to the cart, and a
// page where something does. Types that play no role have role Other.
func assignRoles(types []valueCount) []TypeRole {
	out := make([]TypeRole, len(types))
	exists := map[string]bool{}
	adds := false
	for i, t := range types {
		out[i] = TypeRole{Type: t.Value, Count: t.Count}
		exists[strings.Join(words(t.Value), " ")] = true
		if r, ok := roleOf(t.Value); ok {
			out[i].Role = r
			adds = adds || r == datasets.CartAdd
		}
	}
	for i := range out {
		t := &out[i]
		name := strings.Join(words(t.Type), " ")
		switch {
		case name == "cart" || name == "basket" || name == "bag":
			if adds {
				t.Role, t.Note = datasets.View, "another type adds to the cart, so this looks like the cart page"
			} else {
				t.Role, t.Note = datasets.CartAdd, "taken as adding to the cart; if it is the cart page, move it to view"
			}
		case name == "order" || name == "orders":
			t.Role = datasets.Purchase
		case exists["submit "+name]:
			t.Role, t.Note = datasets.View, "submit "+name+" is the act, so this is taken as its page"
		case (t.Role == datasets.Cancel || t.Role == datasets.Subscribe) && exists[name+" confirmation"],
			name == "cancel" && exists["cancellation confirmation"]:
			t.Role, t.Note = datasets.View, "its confirmation is the act, so this is taken as the page before"
		case strings.HasSuffix(name, " confirmation"):
			// cancellation confirmation confirms a cancellation, order confirmation a purchase.
			prefix := strings.TrimSuffix(name, " confirmation")
			if r, ok := roleOf(prefix); ok {
				t.Role = r
			} else if prefix == "order" {
				t.Role = datasets.Purchase
			}
		case t.Role == datasets.Subscribe && (has(words(t.Type), "upgrade") || has(words(t.Type), "upgraded")):
			t.Note = "an upgrade is taken as a subscription"
		case t.Role == datasets.Cancel && (has(words(t.Type), "downgrade") || has(words(t.Type), "downgraded")):
			t.Note = "a downgrade is taken as a cancellation; if it is a page or a cheaper plan, remove it"
		case t.Role == datasets.Return && (has(words(t.Type), "cancelled") || has(words(t.Type), "canceled") || has(words(t.Type), "cancel")):
			t.Note = "a cancelled order is taken as a return"
		}
	}
	return out
}

type valueCount struct {
	Value string
	Count int64
}
