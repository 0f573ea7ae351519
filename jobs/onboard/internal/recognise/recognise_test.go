package recognise

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
)

func TestWords(t *testing.T) {
	for name, want := range map[string]string{
		"customer_id": "customer id", "customerId": "customer id", "CustomerID": "customer id", "orderTotal2": "order total 2",
		"InvoiceNo": "invoice no", "user.id": "user id", "ÜberName": "über name", "HTTPServer": "http server", "--": "", "NextSong": "next song",
	} {
		if got := strings.Join(words(name), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Names of events in trackers, shops and public data, with the role each
// plainly means. other is a name that must not be given a role.
func TestRoles(t *testing.T) {
	for role, types := range map[string]string{
		"purchase":      "order_completed|Order Completed|purchase|transaction|buy|ecommerce_purchase|checkout_completed|SALE|orderPlaced|in_app_purchase|order|order_confirmation",
		"return":        "order_returned|refund|Order Refunded|return|order_cancelled",
		"cart_add":      "add_to_cart|addToCart|Product Added|added_to_basket|addtocart|cart_add|basket",
		"cart_remove":   "remove_from_cart|Product Removed|removed_from_basket",
		"checkout":      "begin_checkout|checkout_started|Checkout Step Viewed 1|payment_details|shipping_details|purchase_started",
		"view":          "page_view|pageview|product_view|view_item|Product Viewed|screen_view|catalog|home|promo_page|review_page|purchase_history_view|click",
		"search":        "search|site_search|Products Searched|filter_results",
		"session":       "session_start|login|app_open|visit|Application Opened",
		"feature_use":   "NextSong|play|call|data_session|message|Add to Playlist|wishlist_add|feature_used|save_settings",
		"message_sent":  "campaign_received|email_sent|message_sent|push_delivered|sms_sent|Email Delivered",
		"message_open":  "email_opened|message_opened|push_open|Email Opened",
		"message_click": "email_clicked|message_clicked|ad_click|Email Link Clicked",
		"social_engage": "social_share|Thumbs Up|follow|Add Friend",
		"referral":      "friend_referred|Invite Sent|refer_friend",
		"review":        "review_posted|Product Reviewed|rating",
		"ticket":        "ticket_opened|support_chat|complaint",
		"subscribe":     "subscription_started|subscribe|Upgrade|trial_started",
		"renew":         "subscription_renewed|renewal",
		"cancel":        "subscription_cancelled|cancel|Cancellation Confirmation|downgrade",
		"coupon":        "coupon_redeemed|Coupon Applied|voucher_used",
		"other":         "payment_error|checkout_bug|error_page|logout|stock_adjustment|mystery|purchase_failed|Email Bounced|unsubscribe|42|",
	} {
		for typ := range strings.SplitSeq(types, "|") {
			got := assignRoles([]valueCount{{typ, 1}})[0]
			if got.Role.String() != role {
				t.Errorf("%q is taken for %s, want %s", typ, got.Role, role)
			}
		}
	}
}

// What a type means can depend on which others there are.
func TestRolesInContext(t *testing.T) {
	for _, tc := range []struct{ types, want string }{
		{"cart|view", "cart_add view"},
		{"cart|add_to_cart", "view cart_add"},
		{"Upgrade|Submit Upgrade", "view subscribe"},
		{"Cancel|Cancellation Confirmation", "view cancel"},
		{"Cancel|Submit Downgrade|Downgrade", "cancel cancel view"},
	} {
		var types []valueCount
		for typ := range strings.SplitSeq(tc.types, "|") {
			types = append(types, valueCount{typ, 1})
		}
		var got []string
		for _, r := range assignRoles(types) {
			got = append(got, r.Role.String())
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", tc.types, got, tc.want)
		}
	}
}

// column makes a profile of 1,000 rows in which each value occurs equally often.
func column(path string, kind scan.Kind, distinct int, values ...string) scan.ColumnProfile {
	c := scan.ColumnProfile{Path: path, Kind: kind, Type: kind.String(), Files: 1, Rows: 1000, Distinct: distinct}
	if distinct == 0 {
		c.Nulls = 1000
		return c
	}
	if len(values) == 0 {
		values = []string{"x1", "x2"}
	}
	c.Min, c.Max = values[0], values[len(values)-1]
	for _, v := range values {
		c.Top = append(c.Top, scan.ValueCount{Value: v, Count: int64(1000 / distinct)})
	}
	return c
}

func found(cols []scan.ColumnProfile, chosen map[datasets.Field]string) (*Recognition, map[string]string) {
	p := scan.Profile{Files: 1, Rows: 1000, SampledRows: 1000, Columns: cols}
	r := Columns(&p, chosen)
	m := map[string]string{}
	for f, c := range r.Fields {
		if c != nil {
			m[datasets.Field(f).String()] = c.Column.Path
		}
	}
	return r, m
}

func TestColumns(t *testing.T) {
	const (
		str, i64, i32, fl, ts, date, boolean = scan.KindString, scan.KindInt64, scan.KindInt32, scan.KindFloat, scan.KindTimestamp, scan.KindDate, scan.KindBool
	)
	when := column("event_time", ts, 900)
	for name, tc := range map[string]struct {
		cols []scan.ColumnProfile
		want map[string]string
	}{
		// UCI Online Retail as published.
		"retail": {[]scan.ColumnProfile{
			column("InvoiceNo", str, 300), column("StockCode", str, 200), column("Description", str, 200), column("Quantity", i64, 30, "1", "9"),
			column("InvoiceDate", ts, 300), column("UnitPrice", fl, 90, "1", "5"), column("CustomerID", i64, 100, "1", "9"), column("Country", str, 9),
		}, map[string]string{
			"customer_id": "CustomerID", "event_time": "InvoiceDate", "amount": "UnitPrice", "quantity": "Quantity", "product_id": "StockCode", "session_id": "InvoiceNo",
		}},
		// RetailRocket, milliseconds.
		"retailrocket": {[]scan.ColumnProfile{
			column("timestamp", i64, 990, "1430622004384", "1438398000000"), column("visitorid", i64, 300, "1", "9"),
			column("event", str, 3, "view", "addtocart", "transaction"), column("itemid", i64, 400, "1", "9"), column("transactionid", i64, 20, "1", "9"),
		}, map[string]string{
			"customer_id": "visitorid", "event_time": "timestamp", "event_type": "event", "product_id": "itemid", "session_id": "transactionid",
		}},
		// Dunnhumby Complete Journey as published.
		"dunnhumby": {[]scan.ColumnProfile{
			column("household_key", i64, 200, "1", "9"), column("BASKET_ID", i64, 400, "1", "9"), column("DAY", i64, 100, "20170101", "20170102"),
			column("PRODUCT_ID", i64, 400, "1", "9"), column("QUANTITY", i64, 9, "1", "9"), column("SALES_VALUE", fl, 300, "1", "9"),
			column("STORE_ID", i64, 30, "1", "9"), column("RETAIL_DISC", fl, 100, "1", "9"), column("COUPON_DISC", fl, 20, "0", "1"),
		}, map[string]string{
			"customer_id": "household_key", "event_time": "DAY", "amount": "SALES_VALUE", "quantity": "QUANTITY", "product_id": "PRODUCT_ID", "session_id": "BASKET_ID",
		}},
		// An id that never repeats gives way to one that does; a constant one too.
		"unique id":        {[]scan.ColumnProfile{when, column("user_id", str, 1000), column("account_id", str, 90)}, map[string]string{"customer_id": "account_id", "event_time": "event_time"}},
		"constant id":      {[]scan.ColumnProfile{when, column("customer_id", str, 1), column("member", str, 90)}, map[string]string{"customer_id": "member", "event_time": "event_time"}},
		"only a unique id": {[]scan.ColumnProfile{when, column("user_id", str, 1000), column("action", str, 2, "buy", "view")}, map[string]string{"customer_id": "user_id", "event_time": "event_time", "event_type": "action"}},
		// Times of something else are no event times.
		"dates": {[]scan.ColumnProfile{column("user_id", str, 90), column("birth_date", date, 80), column("updated_at", ts, 900), column("order_date", date, 90), column("delivery_date", date, 90)},
			map[string]string{"customer_id": "user_id", "event_time": "order_date"}},
		"only time by content": {[]scan.ColumnProfile{column("user_id", str, 90), column("zeit", str, 90, "2024-01-01 10:00:00", "2024-02-01 10:00:00")},
			map[string]string{"customer_id": "user_id", "event_time": "zeit"}},
		"text that is no time": {[]scan.ColumnProfile{column("user_id", str, 90), column("date", str, 90, "yesterday", "today")}, map[string]string{"customer_id": "user_id"}},
		// A type is told by its values where its name says nothing.
		"type by values": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("vorgang", str, 2, "order_completed", "add_to_cart")},
			map[string]string{"customer_id": "user_id", "event_time": "event_time", "event_type": "vorgang"}},
		"name that is a person's": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("name", str, 900)}, map[string]string{"customer_id": "user_id", "event_time": "event_time"}},
		// Totals go before prices; discounts, taxes and text are no amounts.
		"amounts": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("unit_price", fl, 90, "1", "2"), column("order_total", fl, 90, "1", "2"), column("tax_amount", fl, 90, "1", "2"), column("discount_amount", fl, 9, "1", "2")},
			map[string]string{"customer_id": "user_id", "event_time": "event_time", "amount": "order_total"}},
		"amount as text": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("price", str, 90, "1.50", "2")}, map[string]string{"customer_id": "user_id", "event_time": "event_time", "amount": "price"}},
		"prose as price": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("price", str, 90, "cheap", "dear")}, map[string]string{"customer_id": "user_id", "event_time": "event_time"}},
		// An event id does not repeat; a plain id is trusted less.
		"event id":          {[]scan.ColumnProfile{when, column("user_id", str, 90), column("event_id", str, 1000)}, map[string]string{"customer_id": "user_id", "event_time": "event_time", "event_id": "event_id"}},
		"repeated event id": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("event_id", str, 40)}, map[string]string{"customer_id": "user_id", "event_time": "event_time"}},
		"plain id":          {[]scan.ColumnProfile{when, column("user_id", str, 90), column("id", str, 250)}, map[string]string{"customer_id": "user_id", "event_time": "event_time"}},
		"rest": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("currency", str, 2, "EUR", "USD"), column("category_code", str, 30), column("utm_medium", str, 5),
			column("utm_campaign", str, 9), column("session_id", str, 300), column("stars", i32, 5, "1", "5"), column("has_consent", boolean, 2, "false", "true"), column("credit_score", fl, 90, "1", "9")},
			map[string]string{"customer_id": "user_id", "event_time": "event_time", "currency": "currency", "category": "category_code", "channel": "utm_medium", "campaign_id": "utm_campaign",
				"session_id": "session_id", "rating": "stars", "consent": "has_consent"}},
		"empty columns": {[]scan.ColumnProfile{when, column("user_id", str, 90), column("amount", fl, 0), column("session_id", str, 0)}, map[string]string{"customer_id": "user_id", "event_time": "event_time"}},
		"sessions only": {[]scan.ColumnProfile{when, column("session_id", str, 300)}, map[string]string{"customer_id": "session_id", "event_time": "event_time", "session_id": "session_id"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := found(tc.cols, nil); !cmp.Equal(tc.want, got) {
				t.Error(cmp.Diff(tc.want, got))
			}
		})
	}
}

func TestProblems(t *testing.T) {
	when := column("event_time", scan.KindTimestamp, 900)
	for name, tc := range map[string]struct {
		cols []scan.ColumnProfile
		want string
	}{
		"float id":  {[]scan.ColumnProfile{when, column("customer_id", scan.KindFloat, 90)}, "column customer_id was not taken for customer_id: it is float, and a customer id must be"},
		"no id":     {[]scan.ColumnProfile{when, column("wer", scan.KindString, 90)}, "by their content these could be one: wer (string)"},
		"no time":   {[]scan.ColumnProfile{column("customer_id", scan.KindString, 90)}, "no column says when an event happened"},
		"customers": {[]scan.ColumnProfile{column("customer_id", scan.KindString, 1000), column("reg_date", scan.KindDate, 90)}, "this looks like a table of customers"},
		"snapshot":  {[]scan.ColumnProfile{column("customer_id", scan.KindString, 1000), column("date", scan.KindDate, 90)}, "every row has its own customer_id and no column holds an event type or amount"},
	} {
		r, _ := found(tc.cols, nil)
		if got := strings.Join(r.Problems, "\n"); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestTimeUnit(t *testing.T) {
	for _, tc := range []struct {
		kind     scan.Kind
		lo, hi   string
		unit     string
		ok, zone bool
	}{
		{scan.KindInt64, "1700000000", "1710000000", "s", true, true},
		{scan.KindInt64, "1700000000000", "1710000000000", "ms", true, true},
		{scan.KindInt64, "1700000000000000", "1710000000000000", "us", true, true},
		{scan.KindInt64, "1700000000000000000", "1710000000000000000", "ns", true, true},
		{scan.KindInt32, "20230101", "20241231", "yyyymmdd", true, false},
		{scan.KindInt32, "20230199", "20241231", "", false, false}, // no 99th
		{scan.KindInt64, "1", "365", "", false, false},
		{scan.KindInt64, "1700000000", "1710000000000", "", false, false}, // units mixed
		{scan.KindString, "2024-01-01T10:00:00Z", "2024-01-02T10:00:00.5+02:00", "", true, true},
		{scan.KindString, "2024-01-01", "2024-01-02 10:00", "", true, false},
		{scan.KindString, "20240101", "20240102", "", true, false},
		{scan.KindString, "20240101", "20249999", "", false, false},
		{scan.KindString, "1/2/2024", "1/3/2024", "", false, false},
		{scan.KindFloat, "1700000000", "1710000000", "", false, false},
	} {
		c := column("t", tc.kind, 2, tc.lo, tc.hi)
		unit, ok := timeUnit(&c)
		if unit != tc.unit || ok != tc.ok {
			t.Errorf("%v %s: %q, %v; want %q, %v", tc.kind, tc.lo, unit, ok, tc.unit, tc.ok)
		}
		if ok && zoned(&c, unit) != tc.zone {
			t.Errorf("%v %s: zoned %v", tc.kind, tc.lo, !tc.zone)
		}
	}
}
