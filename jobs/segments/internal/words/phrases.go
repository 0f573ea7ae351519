package words

import (
	"fmt"
	"math"
	"regexp"
	"strings"
)

// A phrase is how a marketer says a feature.
type phrase struct {
	topic     string // of several features of one topic, a name uses only the strongest
	high, low string // what sets apart those who have much of it, or little
	noun      string // what is measured, its window included
	kind      kind
}

// A kind says how values are written.
type kind int

const (
	number kind = iota
	money
	days
	minutes
	hours
	share
	flag
	coded // a number that stands for something: its mean says nothing
)

// exact are the features that are phrased one by one, without their windows.
var exact = map[string]phrase{
	"event_count": {"activity level", "very active", "little activity", "events", number},
	"events":      {"activity level", "very active", "little activity", "events", number},
	"active_days": {"activity level", "active on many days", "active on few days", "days with activity", number},

	"spend":                 {"spend", "high spend", "low spend", "spend", money},
	"net_spend":             {"spend", "high spend", "low spend", "spend less returns", money},
	"first_day_spend":       {"first order", "large first order", "small first order", "spend on the first day", money},
	"repeat_day_spend_mean": {"order value", "large repeat orders", "small repeat orders", "spend on a repeat day", money},
	"spend_year_ago":        {"spend a year ago", "spent much a year ago", "spent little a year ago", "spend a year ago", money},
	"spend_year_ago_next":   {"spend a year ago", "spent much a year ago", "spent little a year ago", "spend in the weeks after this date last year", money},
	"refund":                {"returns", "return much", "return little", "refunds", money},
	"return_share":          {"returns", "return goods", "hardly return", "share of spend returned", share},
	"orders":                {"frequency", "buy often", "buy rarely", "orders", number},
	"purchase_days":         {"frequency", "buy often", "buy rarely", "days with a purchase", number},
	"items":                 {"items", "many items", "few items", "items bought", number},
	"items_per_order":       {"order size", "big baskets", "small baskets", "items an order", number},
	"average_order_value":   {"order value", "large orders", "small orders", "spend an order", money},
	"largest_order":         {"largest order", "a very large order", "no large order", "largest order", money},
	"largest_order_share":   {"lumpiness", "spend in one order", "spend spread over orders", "largest order's share of spend", share},

	"purchase_days_year_ago":      {"last year", "bought much a year ago", "bought little a year ago", "days with a purchase a year ago", number},
	"purchase_days_year_ago_next": {"last year", "bought much a year ago", "bought little a year ago", "days with a purchase in the weeks after this date last year", number},
	"purchase_months":             {"frequency", "buy in many months", "buy in few months", "months with a purchase", number},
	"purchase_month_share":        {"regularity", "buy every month", "buy in few months", "share of months with a purchase", share},
	"repeat_purchase_day_share":   {"repeat buying", "repeat buyers", "one-time buyers", "share of purchase days that are repeats", share},
	"purchase_gap_mean":           {"cadence", "long gaps between orders", "short gaps between orders", "days between purchases", days},
	"purchase_gap_sd":             {"rhythm", "irregular buyers", "regular buyers", "spread of the days between purchases", days},
	"purchase_gap_cv":             {"rhythm", "irregular buyers", "regular buyers", "irregularity of purchases", number},
	"purchase_gap_min":            {"cadence", "never buy soon again", "sometimes buy soon again", "shortest gap between purchases", days},
	"purchase_gap_max":            {"cadence", "long pauses", "no long pauses", "longest gap between purchases", days},
	"purchase_gap_last":           {"cadence", "a long gap before the last order", "a short gap before the last order", "gap before the last purchase", days},
	"purchase_gap_burstiness":     {"rhythm", "buy in bursts", "regular buyers", "burstiness of purchases", number},
	"purchase_overdue_ratio":      {"overdue", "overdue for an order", "not yet due for an order", "days since the last purchase, in usual gaps", number},
	"active_day_gap_mean":         {"activity rhythm", "rarely active", "often active", "days between active days", days},
	"active_day_gap_sd":           {"activity rhythm", "irregular activity", "regular activity", "spread of the days between active days", days},
	"active_day_gap_max":          {"activity rhythm", "long breaks", "no long breaks", "longest break between active days", days},
	"active_overdue_ratio":        {"activity overdue", "quiet for longer than usual", "active as usual", "days since the last event, in usual gaps", number},
	"engaged_day_gap_burstiness":  {"activity rhythm", "active in bursts", "evenly active", "burstiness of activity", number},

	"products":                     {"range", "wide range of products", "few products", "products bought", number},
	"categories":                   {"range", "many categories", "few categories", "categories bought", number},
	"products_viewed":              {"browsing", "look at many products", "look at few products", "products viewed", number},
	"categories_viewed":            {"browsing", "look at many categories", "look at few categories", "categories viewed", number},
	"products_viewed_not_bought":   {"browsing", "look at much they do not buy", "buy what they look at", "products viewed and not bought", number},
	"products_carted_not_bought":   {"carts", "leave products in carts", "buy what they put into carts", "products put into carts and not bought", number},
	"product_repeat_share":         {"repeat products", "buy the same again", "always buy something new", "share of products bought again", share},
	"novelty_share":                {"repeat products", "always buy something new", "buy the same again", "share of products bought for the first time", share},
	"favourite_product_share":      {"focus", "one favourite product", "no favourite product", "share of purchases in one product", share},
	"favourite_category_share":     {"focus", "one category", "many categories", "share of purchases in one category", share},
	"category_entropy":             {"focus", "many categories", "one category", "spread over categories", number},
	"category_spend_concentration": {"focus", "spend in one category", "spend over many categories", "concentration of spend on categories", number},

	"channels":               {"channels", "many channels", "few channels", "channels used", number},
	"view_channels":          {"channels", "browse in many channels", "browse in one channel", "channels of views", number},
	"purchase_channels":      {"channels", "buy in several channels", "buy in one channel", "channels of purchases", number},
	"message_open_channels":  {"channels", "open messages in several channels", "open messages in one channel at most", "channels of opened messages", number},
	"channels_first":         {"channels", "came through many channels", "came through one channel", "channels of the first days", number},
	"first_channel_is_last":  {"channels", "stay with their first channel", "changed channel", "whether the last channel is the first", flag},
	"first_channel":          {"first channel", "came by another channel", "came by the common channel", "first channel", coded},
	"last_channel":           {"last channel", "last seen in another channel", "last seen in the common channel", "last channel", coded},
	"roles":                  {"variety", "do many kinds of things", "do few kinds of things", "kinds of behaviour", number},
	"role_entropy":           {"variety", "do many kinds of things", "do one kind of thing", "variety of behaviour", number},
	"role_change_share":      {"variety", "change what they do often", "do one thing for long", "share of events of another kind than the one before", share},
	"last_step":              {"last step", "another last step", "the common last step", "kind of the last event", coded},
	"last_step_but_one":      {"last step", "another last step", "the common last step", "kind of the event before the last", coded},
	"last_step_but_two":      {"last step", "another last step", "the common last step", "kind of the last event but two", coded},
	"funnel_stage":           {"funnel", "far down the funnel", "early in the funnel", "furthest stage of the funnel", number},
	"funnel_stage_days":      {"funnel", "long at their stage", "new at their stage", "days at the furthest stage", days},
	"funnel_advances":        {"funnel", "move on often", "rarely move on", "moves down the funnel", number},
	"funnel_retreats":        {"funnel", "fall back often", "rarely fall back", "moves back up the funnel", number},
	"funnel_advance_share":   {"funnel", "move on rather than back", "fall back rather than on", "share of moves down the funnel", share},
	"advocacy_events":        {"advocacy", "advocates", "no advocates", "referrals, reviews and shares", number},
	"advocacy_share":         {"advocacy", "advocates", "no advocates", "share of referrals, reviews and shares in activity", share},
	"stickiness":             {"stickiness", "active most days of a month", "active few days of a month", "active days of a week to those of a month", share},
	"engaged_months":         {"loyalty", "active in many months", "active in few months", "months with activity", number},
	"engaged_month_share":    {"loyalty", "active every month", "active in few months", "share of months with activity", share},
	"engaged_week_share":     {"loyalty", "active every week", "active in few weeks", "share of weeks with activity", share},
	"engaged_streak_days":    {"streak", "active day after day", "no daily habit", "days of activity in a row", days},
	"engaged_streak_weeks":   {"streak", "active week after week", "no weekly habit", "weeks of activity in a row", number},
	"purchase_streak_months": {"streak", "buy month after month", "no monthly habit", "months with a purchase in a row", number},

	"engaged_streak_days_longest":  {"streak", "had a daily habit", "never had a daily habit", "most days of activity in a row", days},
	"engaged_streak_weeks_longest": {"streak", "had a weekly habit", "never had a weekly habit", "most weeks of activity in a row", number},

	"sessions":                 {"visits", "visit often", "visit rarely", "visits", number},
	"session_minutes_mean":     {"depth", "long visits", "short visits", "minutes a visit", minutes},
	"session_events_mean":      {"depth", "long visits", "short visits", "events a visit", number},
	"session_bounce_share":     {"depth", "leave at once", "stay for a look", "share of visits of a single event", share},
	"session_conversion_share": {"conversion", "visits end in orders", "browse without buying", "share of visits with an order", share},
	"visit_day_gap_mean":       {"visits", "visit rarely", "visit often", "days between visits", days},
	"visit_day_gap_sd":         {"visit rhythm", "irregular visitors", "regular visitors", "spread of the days between visits", days},
	"visit_day_gap_max":        {"visit rhythm", "long breaks between visits", "no long breaks between visits", "longest gap between visits", days},
	"visit_overdue_ratio":      {"activity overdue", "away for longer than usual", "visiting as usual", "days since the last visit, in usual gaps", number},
	"views_per_visit_day":      {"depth", "look at much in a visit", "look at little in a visit", "views a visit day", number},
	"searches_per_visit_day":   {"search", "search much", "search little", "searches a visit day", number},
	"visit_day_cart_share":     {"carts", "visits fill carts", "visits leave carts empty", "share of visit days with something put into a cart", share},
	"visit_day_purchase_share": {"conversion", "visits end in orders", "browse without buying", "share of visit days with a purchase", share},
	"feature_use_days":         {"usage", "heavy users", "light users", "days of use", number},
	"feature_uses_per_day":     {"usage", "heavy users", "light users", "uses a day", number},
	"features_used":            {"usage", "use many features", "use few features", "features used", number},
	"favourite_feature_share":  {"usage focus", "use one feature", "use many features", "share of use in one feature", share},

	"carts":                         {"carts", "fill carts", "leave carts empty", "carts", number},
	"cart_value":                    {"cart value", "valuable carts", "small carts", "value put into carts", money},
	"cart_value_mean":               {"cart value", "valuable carts", "small carts", "value of a cart", money},
	"cart_additions_mean":           {"cart value", "full carts", "nearly empty carts", "products put into a cart", number},
	"carts_abandoned":               {"abandonment", "abandon carts", "rarely abandon carts", "carts abandoned", number},
	"cart_abandoned_value":          {"abandonment", "abandon valuable carts", "rarely abandon carts", "value of abandoned carts", money},
	"cart_abandoned_value_share":    {"abandonment", "abandon carts", "rarely abandon carts", "share of cart value abandoned", share},
	"cart_abandonment_share":        {"abandonment", "abandon carts", "rarely abandon carts", "share of carts abandoned", share},
	"checkout_abandonment_share":    {"abandonment", "abandon checkouts", "complete checkouts", "share of checkouts abandoned", share},
	"cart_to_purchase_minutes_mean": {"decisiveness", "slow to order", "quick to order", "minutes from cart to order", minutes},
	"view_to_purchase_minutes_mean": {"decisiveness", "slow to order", "quick to order", "minutes from view to order", minutes},
	"view_to_cart_minutes_mean":     {"decisiveness", "slow to choose", "quick to choose", "minutes from view to cart", minutes},
	"view_to_cart_share":            {"conversion", "put what they see into carts", "look without choosing", "share of viewed products put into a cart", share},
	"cart_to_purchase_share":        {"conversion", "buy what is in the cart", "leave products in carts", "share of carted products bought", share},
	"view_to_purchase_share":        {"conversion", "buy what they see", "look without buying", "share of viewed products bought", share},

	"message_open_rate":               {"messages", "open messages", "ignore messages", "share of messages opened", share},
	"message_click_rate":              {"clicks", "click messages", "do not click", "clicks a message", share},
	"message_response_hours_mean":     {"response time", "answer messages late", "answer messages soon", "hours until a message is opened", hours},
	"preferred_message_channel":       {"message channel", "prefer another message channel", "prefer the common message channel", "message channel opened most", coded},
	"preferred_message_channel_share": {"message channel", "open messages in one channel", "open messages in many channels", "share of opens in one channel", share},
	"messages_since_last_open":        {"messages", "tired of messages", "still open messages", "messages since the last one opened", number},

	"subscribed":             {"subscription", "subscribers", "not subscribed", "share who are subscribed", flag},
	"subscription_days":      {"subscription", "long subscribed", "subscribed lately", "days subscribed", days},
	"subscription_renewals":  {"subscription", "renewed often", "hardly renewed", "renewals", number},
	"resubscriptions":        {"subscription", "came back to subscribe", "never came back to subscribe", "times subscribed again", number},
	"subscription_cancelled": {"subscription", "cancelled", "did not cancel", "share who have cancelled", flag},

	"tickets":           {"support", "many support tickets", "few support tickets", "support tickets", number},
	"tickets_per_order": {"support", "many support tickets", "few support tickets", "support tickets an order", number},
	"ticket_gap_mean":   {"support", "long between tickets", "one ticket after the other", "days between support tickets", days},
	"reviews_per_order": {"reviews", "write reviews", "hardly write reviews", "reviews an order", number},
	"ratings":           {"reviews", "rate often", "rarely rate", "ratings given", number},
	"rating_mean":       {"rating", "content", "discontent", "mean rating", number},
	"rating_min":        {"rating", "never rate low", "have rated low", "lowest rating", number},
	"rating_last":       {"rating", "content of late", "discontent of late", "last rating", number},
	"rating_trend":      {"rating", "more content than before", "less content than before", "last rating less the mean", number},

	"unit_price_mean":          {"price", "expensive products", "cheap products", "price of a product", money},
	"unit_price_sd":            {"price range", "both cheap and expensive products", "one price level", "spread of prices", money},
	"unit_price_max":           {"price", "have bought expensive products", "never bought expensive products", "highest price paid", money},
	"line_amount_mean":         {"price", "expensive products", "cheap products", "amount of a purchase line", money},
	"line_amount_max":          {"price", "have bought expensive products", "never bought expensive products", "largest purchase line", money},
	"coupons_per_order":        {"coupons", "use coupons", "hardly use coupons", "coupons an order", number},
	"coupons_per_purchase_day": {"coupons", "use coupons", "hardly use coupons", "coupons a purchase day", number},
	"coupon_day_share":         {"coupons", "use coupons", "hardly use coupons", "share of purchase days with a coupon", share},
	"coupon_day_spend_share":   {"coupons", "spend with coupons", "pay the full price", "share of spend with coupons", share},
	"discount_share":           {"discounts", "buy at a discount", "pay the full price", "share of purchases at a discount", share},
	"below_own_price_share":    {"discounts", "wait for lower prices", "do not wait for lower prices", "share of repeat purchases below the own price", share},

	"activity_hour_mode":             {"hour", "active late in the day", "active early in the day", "hour of most activity", coded},
	"activity_weekday_mode":          {"weekday", "active late in the week", "active early in the week", "weekday of most activity", coded},
	"activity_hour_concentration":    {"hour habit", "always active at one hour", "active at any hour", "concentration of activity on hours", number},
	"activity_weekday_concentration": {"weekday habit", "always active on one weekday", "active on any weekday", "concentration of activity on weekdays", number},
	"purchase_hour_mode":             {"hour", "buy late in the day", "buy early in the day", "hour of most purchases", coded},
	"purchase_weekday_mode":          {"weekday", "buy late in the week", "buy early in the week", "weekday of most purchases", coded},
	"purchase_hour_concentration":    {"hour habit", "always buy at one hour", "buy at any hour", "concentration of purchases on hours", number},
	"purchase_weekday_concentration": {"weekday habit", "always buy on one weekday", "buy on any weekday", "concentration of purchases on weekdays", number},
	"purchase_month_mode":            {"season", "buy late in the year", "buy early in the year", "month of most purchases", coded},
	"purchase_month_concentration":   {"season", "buy in one month of the year", "buy all year", "concentration of purchases on months", number},
	"november_december_spend_share":  {"season", "spend before Christmas", "spend all year", "share of spend in November and December", share},
}

// patterns are the features that come once for each of several things; $1 is
// the first thing that the pattern finds, put into words.
var patterns = []struct {
	match *regexp.Regexp
	phrase
}{
	{regexp.MustCompile(`^days_since_first_event$`), phrase{"tenure", "long-standing", "new", "days since the first event", days}},
	{regexp.MustCompile(`^days_since_first_purchase$`), phrase{"tenure", "long-standing buyers", "new buyers", "days since the first purchase", days}},
	{regexp.MustCompile(`^days_since_last_event$`), phrase{"activity", "not seen lately", "active now", "days since the last event", days}},
	{regexp.MustCompile(`^days_since_last_purchase$`), phrase{"recency", "lapsed buyers", "recent buyers", "days since the last purchase", days}},
	{regexp.MustCompile(`^days_since_last_(email|push|sms|mail|ad|social)_response$`), phrase{"$1 response", "long without an answer by $1", "answered by $1 lately", "days since the last answer by $1", days}},
	{regexp.MustCompile(`^days_since_last_(\w+)$`), phrase{"last $1", "long since the last $1", "a $1 lately", "days since the last $1", days}},
	{regexp.MustCompile(`^days_since_(\w+)_purchase$`), phrase{"$1", "long since they bought for $1", "bought for $1 lately", "days since the last purchase for $1", days}},
	{regexp.MustCompile(`^(\w+)_purchase_day_share$`), phrase{"$1", "buy for $1", "do not buy for $1", "share of purchase days in the season of $1", share}},
	{regexp.MustCompile(`^(\w+)_spend_share$`), phrase{"$1", "spend for $1", "do not spend for $1", "share of spend in the season of $1", share}},
	{regexp.MustCompile(`^(\w+)_spend_last_season$`), phrase{"$1", "spent much for $1", "spent little for $1", "spend in the last season of $1", money}},
	{regexp.MustCompile(`^(email|push|sms|mail|ad|social)_sent$`), phrase{"$1 sent", "get much by $1", "get little by $1", "messages sent by $1", number}},
	{regexp.MustCompile(`^(email|push|sms|mail|ad|social)_opened$`), phrase{"$1", "open what comes by $1", "ignore $1", "opens by $1", number}},
	{regexp.MustCompile(`^(email|push|sms|mail|ad|social)_clicked$`), phrase{"$1 clicks", "click what comes by $1", "do not click by $1", "clicks by $1", number}},
	{regexp.MustCompile(`^(email|push|sms|mail|ad|social)_open_rate$`), phrase{"$1", "open what comes by $1", "ignore $1", "share of messages by $1 opened", share}},
	{regexp.MustCompile(`^(email|push|sms|mail|ad|social)_click_rate$`), phrase{"$1 clicks", "click what comes by $1", "do not click by $1", "clicks a message by $1", share}},
	{regexp.MustCompile(`^(email|push|sms|mail|ad|social)_unsubscribed$`), phrase{"$1 consent", "unsubscribed by $1", "not unsubscribed by $1", "share who have unsubscribed by $1", flag}},
	{regexp.MustCompile(`^(email|push|sms|mail|ad|social)_response_hours_mean$`), phrase{"$1 response", "slow to answer by $1", "quick to answer by $1", "hours until a message by $1 is opened", hours}},
	{regexp.MustCompile(`^activity_(weekend|night|morning|afternoon|evening)_share$`), phrase{"$1", "active $1", "not active $1", "share of activity $1", share}},
	{regexp.MustCompile(`^purchase_(weekend|night|morning|afternoon|evening)_share$`), phrase{"$1", "buy $1", "do not buy $1", "share of purchases $1", share}},
	{regexp.MustCompile(`^purchase_quarter_([1-4])_share$`), phrase{"quarter $1", "buy $1", "do not buy $1", "share of purchases $1", share}},
	{regexp.MustCompile(`^(event|engaged_day|purchase_day|spend|visit_day)_slope$`), phrase{"trend of $1", "$1 on the rise", "$1 on the decline", "slope of $1", number}},
	{regexp.MustCompile(`^(event|engaged_day|purchase_day|spend|visit_day)_trend_(?:[0-9]+d)$`), phrase{"trend of $1", "more $1 of late", "less $1 of late", "$1 of late against before", number}},
	{regexp.MustCompile(`^(other|purchase|return|cart_add|cart_remove|checkout|view|search|session|feature_use|message_sent|message_open|message_click|social_engage|referral|review|ticket|subscribe|renew|cancel|coupon)_count$`), phrase{}},
}

// counts are how much people do of each role.
var counts = map[string]phrase{
	"other":         {"other activity", "much other activity", "little other activity", "other events", number},
	"purchase":      {"frequency", "buy much", "buy little", "purchases", number},
	"return":        {"returns", "return much", "return little", "returns", number},
	"cart_add":      {"carts", "fill carts", "leave carts empty", "products put into carts", number},
	"cart_remove":   {"cart removals", "take much out of carts", "keep what is in the cart", "products taken out of carts", number},
	"checkout":      {"checkouts", "check out often", "rarely check out", "checkouts", number},
	"view":          {"browsing", "browse much", "browse little", "views", number},
	"search":        {"search", "search much", "search little", "searches", number},
	"session":       {"visits", "visit often", "visit rarely", "visits", number},
	"feature_use":   {"usage", "heavy users", "light users", "uses of features", number},
	"message_sent":  {"messages sent", "get many messages", "get few messages", "messages sent", number},
	"message_open":  {"messages", "open messages", "ignore messages", "messages opened", number},
	"message_click": {"clicks", "click messages", "do not click", "messages clicked", number},
	"social_engage": {"social", "active in social media", "absent from social media", "social media events", number},
	"referral":      {"referrals", "refer friends", "hardly refer friends", "referrals", number},
	"review":        {"reviews", "write reviews", "hardly write reviews", "reviews", number},
	"ticket":        {"support", "many support tickets", "few support tickets", "support tickets", number},
	"subscribe":     {"subscription", "subscribed often", "hardly subscribed", "subscriptions", number},
	"renew":         {"subscription", "renewed often", "hardly renewed", "renewals", number},
	"cancel":        {"subscription", "cancelled often", "hardly cancelled", "cancellations", number},
	"coupon":        {"coupons", "use coupons", "hardly use coupons", "coupons redeemed", number},
}

// spoken are the things that patterns find, as people say them.
var spoken = map[string]string{
	"email": "e-mail", "sms": "text message", "mail": "post", "ad": "advert", "push": "push", "social": "social media",
	"weekend": "at weekends", "night": "at night", "morning": "in the morning", "afternoon": "in the afternoon", "evening": "in the evening",
	"1": "from January to March", "2": "from April to June", "3": "from July to September", "4": "from October to December",
	"event": "activity", "engaged_day": "activity", "purchase_day": "buying", "visit_day": "visits",
	"cart_add": "product put into a cart", "cart_remove": "product taken out of a cart", "session": "visit", "feature_use": "use",
	"message_sent": "message", "message_open": "opened message", "message_click": "click", "social_engage": "social media event",
	"ticket": "support ticket", "subscribe": "subscription", "renew": "renewal", "cancel": "cancellation",
	"christmas": "Christmas", "black_friday": "Black Friday", "valentines": "Valentine's Day", "easter": "Easter",
}

var window = regexp.MustCompile(`_(per_)?([0-9]+d|lifetime)$`)

// phraseOf is how a feature is said; known is false for one that is not of the
// catalogue, such as a custom feature, which is said by its name.
func phraseOf(feature string) (p phrase, known bool) {
	stem, when := feature, ""
	if m := window.FindStringSubmatch(feature); m != nil {
		stem = strings.TrimSuffix(feature, m[0])
		switch length := strings.TrimSuffix(m[2], "d"); {
		case m[1] != "":
			when = " in " + length + " days"
		case m[2] != "lifetime":
			when = " in the last " + length + " days"
		}
	}
	p, known = phraseOfStem(stem)
	if !known {
		plain := strings.ReplaceAll(stem, "_", " ")
		p = phrase{stem, "high " + plain, "low " + plain, plain, number}
	}
	if strings.Contains(stem, "year_ago") || strings.Contains(stem, "_trend_") || strings.HasPrefix(stem, "channels_first") {
		when = "" // the window is not one that ends today
	}
	p.noun += when
	return p, known
}

func phraseOfStem(stem string) (phrase, bool) {
	if p, ok := exact[stem]; ok {
		return p, true
	}
	for _, pattern := range patterns {
		m := pattern.match.FindStringSubmatch(stem)
		if m == nil {
			continue
		}
		if pattern.noun == "" {
			return counts[m[1]], true
		}
		p := pattern.phrase
		if len(m) > 1 {
			said, ok := spoken[m[1]]
			if !ok {
				said = strings.ReplaceAll(m[1], "_", " ")
			}
			fill := func(s string) string { return strings.ReplaceAll(s, "$1", said) }
			p.topic, p.high, p.low, p.noun = fill(p.topic), fill(p.high), fill(p.low), fill(p.noun)
		}
		return p, true
	}
	return phrase{}, false
}

// value writes a value of a kind.
func (k kind) value(v float64) string {
	switch k {
	case share, flag:
		return percent(v)
	case days:
		return count(v, "day")
	case minutes:
		if v >= 120 {
			return count(v/60, "hour")
		}
		return count(v, "minute")
	case hours:
		return count(v, "hour")
	case money:
		return price(v)
	}
	return amount(v)
}

// threshold writes a value as exactly as it was given.
func (k kind) threshold(v float64) string {
	plain := func(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.12g", v), ".0") }
	switch k {
	case share, flag:
		return plain(100*v) + "%"
	}
	return plain(v)
}

func count(v float64, unit string) string {
	n := math.Round(v)
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%.0f %ss", n, unit)
}

func percent(v float64) string {
	if v > 0 && v < 0.01 {
		return "less than 1%"
	}
	return fmt.Sprintf("%.0f%%", 100*v)
}

// price writes money as people write it: 5.30, not 5.3, and no cents of hundreds.
func price(v float64) string {
	switch {
	case math.IsNaN(v):
		return amount(v)
	case math.Abs(v) >= 99.995:
		return fmt.Sprintf("%.0f", v)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
}

// amount writes a number with as many digits as people say.
func amount(v float64) string {
	trim := func(s string) string { return strings.TrimRight(strings.TrimRight(s, "0"), ".") }
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "unknown"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return trim(fmt.Sprintf("%.1f", v))
	}
	return trim(fmt.Sprintf("%.2f", v))
}
