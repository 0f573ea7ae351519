// Package config is shoal.yaml: one strict decoder, one struct, one validator.
//
// The struct below is the only place a key is declared. Its tags carry the key
// (yaml), its meaning (doc), its bounds (min, max, enum, required) and whether
// it is left out of [Config.Hash] (hash:"-"); the decoder, the validator, the
// JSON Schema for editors ([Schema]) and the reference page ([Reference]) all
// read them from there. Every fault of a file is reported at once, with line,
// column, key path, value and bound.
package config

import (
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config/conditions"
	"github.com/shoal-data/shoal/jobs/config/measures"
	"github.com/shoal-data/shoal/jobs/config/units"
)

// Config is a whole job. Every field holds its effective value: [Default]
// fills what a file leaves out, and no zero value stands for a default.
type Config struct {
	Sources       []Source        `yaml:"sources" required:"true" doc:"Where the events are. Several sources (web, till, CRM, support) feed one job; their customer ids must be of one type, or of kinds that identity lists."`
	Out           string          `yaml:"out" required:"true" hash:"-" doc:"Directory or bucket prefix that runs are published under. Sources must not match files in it."`
	TimeZone      string          `yaml:"time_zone" doc:"IANA zone whose midnight begins a day, for as-of dates, day counts, hours and weekdays."`
	Currency      string          `yaml:"currency" doc:"The one currency of the run. Amounts in another fail it, unless currency_rates converts them. Empty expects whichever single currency is found."`
	CurrencyRates CurrencyRates   `yaml:"currency_rates" doc:"What other currencies were worth, by day: amounts are converted into currency by the latest rate of the event's local day or before, exactly, to 1e-4, halves away from zero. An amount without a rate fails the run."`
	Identity      []IdentityTable `yaml:"identity" doc:"Tables that say whose ids are: every event counts for the customer at the end of the chain alias → customer → …. An alias of two customers, or a chain that goes in a circle, fails the run. An empty list leaves ids as they are."`
	Dedupe        string          `yaml:"dedupe" enum:"auto|none|exact|event_id" doc:"What counts as the same event twice: none keeps every row, exact drops rows equal in every mapped field, event_id drops later rows of an id, auto is event_id in sources that map it and none in the others."`
	Limits        Limits          `yaml:"limits" doc:"What the run may use, and how much bad input it tolerates."`
	Features      Features        `yaml:"features" doc:"What is measured about a customer."`
	Occasions     []Occasion      `yaml:"occasions" doc:"Days of the calendar that people buy for; the family occasions measures what a customer buys in the seasons around them. An empty list has none. A customer's own days, such as birthdays, are not among them (docs/decisions/0008-own-occasions.md says why)."`
	Segmentations []Segmentation  `yaml:"segmentations" doc:"The k-means segmentations; an empty list makes none."`
	Rules         []Rule          `yaml:"rules" doc:"Divisions of customers by rules, each a column of customer_scores. usage_rate, loyalty_tier, lifecycle_stage, benefit_sought, occasion_shopper and journey_stage are built in (docs/rules.md); one of such a name replaces it, others are added."`
	Engagement    []Engagement    `yaml:"engagement" doc:"What engagement_score, from 0 to 100, is made of. A part that nobody has anything of takes no part."`
	Targets       []Target        `yaml:"targets" doc:"What is predicted; an empty list predicts nothing."`
	Models        Models          `yaml:"models" doc:"How models are trained."`
	Privacy       Privacy         `yaml:"privacy" doc:"Whose events may be used, and under what name (docs/privacy.md)."`
	Contacts      []ContactTable  `yaml:"contacts" doc:"How customers are reached, for audiences: tables of e-mail addresses and telephone numbers. Nothing of them is published but hashes, where an audience asks for them."`
	Audiences     []Audience      `yaml:"audiences" doc:"Whom to address: each a CSV file published with the run, of the customers who meet its conditions (docs/audiences.md)."`
	Gates         Gates           `yaml:"gates" doc:"What a run must be like to be published (docs/monitoring.md)."`
	Monitoring    Monitoring      `yaml:"monitoring" hash:"-" doc:"Who hears how a night went (docs/monitoring.md)."`
	Publish       Publish         `yaml:"publish" doc:"How tables are written."`
	Schedule      Schedule        `yaml:"schedule" hash:"-" doc:"When shoal schedule runs the job; other schedulers have their own (docs/scheduling.md)."`
}

// Source is one set of Parquet files that share a layout.
type Source struct {
	Name        string    `yaml:"name" doc:"Name of the source in messages and in rejected_rows; the default is events, then events2, events3 and so on by position."`
	Path        OneOrMany `yaml:"path" required:"true" hash:"-" doc:"File, glob (** matches any depth) or list of them. key=value directories are Hive partitions and can be mapped like columns."`
	Columns     Columns   `yaml:"columns" required:"true" doc:"Event field → column name, dotted path into nested groups, or Hive partition key. customer_id and event_time are required."`
	Roles       Roles     `yaml:"roles" doc:"Role → event types that play it, as the data spell them. Event types left out still count as activity."`
	Role        string    `yaml:"role" doc:"The role every row plays, for a source without an event type; excludes columns.event_type and roles. Empty when rows have an event type."`
	TimeZone    string    `yaml:"time_zone" doc:"IANA zone of times that carry none: plain dates, texts without offset, timestamps not adjusted to UTC. Empty is the job's time_zone."`
	TimeUnit    string    `yaml:"time_unit" enum:"auto|s|ms|us|ns|yyyymmdd" doc:"What an integer event_time counts; auto tells by magnitude."`
	Currency    string    `yaml:"currency" doc:"Currency of amounts that name none: the source has no currency column, or it is null there. Empty when a column always says it, or nothing is known."`
	RequireDate bool      `yaml:"require_date" doc:"When the path is Hive-partitioned by date, whether the partition of the run's date must exist; if it does not, the run ends with exit code 99 (no input)."`
	IDKind      string    `yaml:"id_kind" doc:"What kind of id customer_id holds. customer: customers' own, and one that identity does not list is a customer. Any other name: aliases that identity lists under that kind, compared as text; a row with another is refused (customer_id_unknown_alias)."`
}

// IdentityTable says whose aliases ids are.
type IdentityTable struct {
	Path    OneOrMany       `yaml:"path" required:"true" hash:"-" doc:"Parquet file, glob or list of them: a row an alias and its customer."`
	Columns IdentityColumns `yaml:"columns" doc:"Where the table keeps what: columns, dotted paths or Hive partition keys. Rows without alias, customer or kind are passed over."`
	Kind    string          `yaml:"kind" doc:"Kind of all aliases of the table, when it has no column for it. customer: customers' own ids, merged into others; any other name is for sources[].id_kind."`
}

// IdentityColumns are the columns of an IdentityTable.
type IdentityColumns struct {
	Alias    string `yaml:"alias" doc:"Column of the alias."`
	Customer string `yaml:"customer" doc:"Column of the customer that it stands for, who may be an alias too. Converted to the id type of the sources where texts spell it."`
	Kind     string `yaml:"kind" doc:"Column of the alias's kind, for a table of several kinds; empty when it has none."`
}

// CurrencyRates says what currencies were worth.
type CurrencyRates struct {
	Path    OneOrMany    `yaml:"path" hash:"-" doc:"Parquet file, glob or list of them: a row a rate. Empty when rates are listed here, or none are needed."`
	Columns RateColumns  `yaml:"columns" doc:"Where the table keeps what. Rows that lack one of them are passed over."`
	List    []ListedRate `yaml:"list" doc:"Rates written here, besides those of the table."`
	Inverse bool         `yaml:"inverse" doc:"false: a rate is what one unit of the currency is worth in the run's currency. true: it is how many units of it one unit of the run's currency buys, as central banks publish them."`
	MaxAge  Days         `yaml:"max_age" min:"0" max:"36500" doc:"Days that a rate is good for after its own; an older one fails the run rather than being used."`
}

// RateColumns are the columns of a table of rates.
type RateColumns struct {
	Date     string `yaml:"date" doc:"Column of the day from which the rate is good: a date, a timestamp, or text or a number that spells one."`
	Currency string `yaml:"currency" doc:"Column of the currency."`
	Rate     string `yaml:"rate" doc:"Column of the rate: a decimal, a number or text; at most 18 digits. A floating-point number is taken as its shortest decimal."`
}

// ListedRate is one rate.
type ListedRate struct {
	Date     Date    `yaml:"date" required:"true" doc:"Day from which the rate is good, YYYY-MM-DD."`
	Currency string  `yaml:"currency" required:"true" doc:"The currency that the rate is of."`
	Rate     Decimal `yaml:"rate" required:"true" doc:"The rate, of at most 18 digits, as exact as it is written."`
}

// Columns maps event fields to where a source keeps them.
type Columns map[datasets.Field]string

// Roles maps roles to the event types that play them.
type Roles map[datasets.Role]OneOrMany

// OneOrMany is a list of texts that a file may write as a single text.
type OneOrMany = units.OneOrMany

// What is measured: see package measures.
type (
	Features = measures.Features
	Custom   = measures.Custom
	Occasion = measures.Occasion
)

// Limits bounds resources and bad input.
type Limits struct {
	RejectedShare  float64 `yaml:"rejected_share" min:"0" max:"1" doc:"Share of rows (0 to 1) that may be refused before the run fails with exit code 65."`
	Workers        AutoInt `yaml:"workers" min:"1" max:"4096" hash:"-" doc:"Parallel workers; auto is one a processor. The number never changes a result."`
	Memory         Memory  `yaml:"memory" hash:"-" doc:"Memory budget, a size or a share of the machine's (or container's) memory. Events and features beyond their part of it go to a temporary file (in TMPDIR) that vanishes with the run; the result is the same. A run that needed more all the same says so."`
	SampleRows     int     `yaml:"sample_rows" min:"1000" max:"100000000" doc:"Training rows at most per snapshot, drawn by hash of customer and seed."`
	RejectedSample int     `yaml:"rejected_sample" min:"0" max:"100000" doc:"Rejected rows kept per reason in rejected_rows."`
}

// Segmentation is one k-means segmentation.
type Segmentation struct {
	Name     string   `yaml:"name" required:"true" doc:"Name of the segmentation in columns and tables: a lower-case letter, then letters, digits and underscores, at most 40."`
	K        AutoInt  `yaml:"k" min:"2" max:"100" doc:"Number of segments; auto chooses between k_min and k_max by stability and silhouette."`
	KMin     int      `yaml:"k_min" min:"2" max:"100" doc:"Fewest segments that auto considers."`
	KMax     int      `yaml:"k_max" min:"2" max:"100" doc:"Most segments that auto considers."`
	Features []string `yaml:"features" doc:"Feature columns to cluster on; empty takes the default selection."`
	MinShare float64  `yaml:"min_share" min:"0" max:"0.5" doc:"Smallest share of customers (0 to 0.5) that auto accepts in a segment."`
	Restarts int      `yaml:"restarts" min:"1" max:"1000" doc:"K-means starts; the best is kept."`
	Seed     uint64   `yaml:"seed" doc:"Seed of the starts and samples."`

	Retrain       string  `yaml:"retrain" enum:"every_run|weekly|on_drift" doc:"When segments are fitted anew: in every run, when the stored model is seven days old, or when customers have moved away from it (mean squared distance to the centres up by a tenth, or a stability index of the segments' shares above 0.1). In between, customers are assigned to the centres stored with the run before."`
	Hysteresis    float64 `yaml:"hysteresis" min:"0" max:"1" doc:"A customer stays in the segment of the run before while its centre is at most this share farther than the nearest; at 0 the nearest always wins."`
	InactiveAfter Days    `yaml:"inactive_after" min:"1" max:"36500" doc:"Customers without any event for more than so many days are a segment of their own, set apart before the others are divided."`
}

// Rule is a division by rules.
type Rule struct {
	Name      string `yaml:"name" required:"true" doc:"Name of the rule and of its column: a lower-case letter, then letters, digits and underscores, at most 40."`
	Cells     []Cell `yaml:"cells" doc:"The cells, in order: a customer is in the first whose conditions are all met."`
	Otherwise string `yaml:"otherwise" required:"true" doc:"The cell of customers who are in no other."`
}

// Cell is one cell of a Rule.
type Cell struct {
	Name string            `yaml:"name" required:"true" doc:"Name of the cell; several cells of one name are one cell with alternatives."`
	When []conditions.Text `yaml:"when" doc:"Conditions, all of which must be met: a feature and >=, >, <=, <, = or != a number, is known, is unknown, or in top N% of those who have more than 0."`
}

// Engagement is a part of the engagement score.
type Engagement struct {
	Name   string  `yaml:"feature" required:"true" doc:"Feature that is counted."`
	Full   float64 `yaml:"full" min:"0.000001" max:"1000000000" doc:"Value from which the part counts in full; below, in proportion."`
	Weight float64 `yaml:"weight" min:"0.000001" max:"1000000" doc:"Weight of the part."`
}

// Target is one thing predicted about each customer.
type Target struct {
	Name         string          `yaml:"name" required:"true" doc:"Name of the target in columns and tables: a lower-case letter, then letters, digits and underscores, at most 40."`
	Kind         string          `yaml:"kind" required:"true" enum:"churn|propensity" doc:"churn: no event of the role in the outcome window; propensity: at least one."`
	Role         string          `yaml:"role" doc:"Role whose events decide the outcome: a role, any (every event, whatever its role) or auto (purchase, or any when the data have no purchases)."`
	Horizon      AutoDays        `yaml:"horizon" min:"1" max:"3650" doc:"Length of the outcome window in days; auto derives it from the gaps between a customer's active days."`
	Gap          Days            `yaml:"gap" min:"0" max:"365" doc:"Days between the as-of date and the outcome window, the lead time to act."`
	Where        measures.Filter `yaml:"where" doc:"Further conditions on the events of the role that decide the outcome and, for churn, who is eligible: a product, a category, a channel, a campaign, an event type. Without one, all events of the role do. Its role is left out: it stands in role."`
	Ends         string          `yaml:"ends" enum:"silence|cancel|either" doc:"What ends a customer, for churn. silence: no event of the role in the outcome window. cancel: a cancel event in it; eligible are those whose last word was subscribe or renew. either: whichever of the two, among customers who are eligible for silence and whose last word was not cancel."`
	ActiveWithin Within          `yaml:"active_within" min:"1" max:"3650" doc:"Which customers are eligible: for churn those with an event of the role, for propensity those with any event, within so many days before the as-of date; ever asks for one at any time before; auto is the horizon for churn and ever for propensity."`
}

// Models says how models are trained.
type Models struct {
	Snapshots    int     `yaml:"snapshots" min:"1" max:"52" doc:"Past as-of dates to train on, besides the last complete one, which tests out of time. Once the best model is known, it is learnt again from the last complete date, too, and that is the model that scores."`
	Retrain      string  `yaml:"retrain" enum:"every_run|weekly|on_drift" doc:"When the models of targets are learnt: in every run; when those that score are seven days old; or in the run after one whose probabilities had moved away from those of the run that learnt the model (stability index above 0.1, beyond chance), and when it is ninety days old. In between, the run before lends its models, when its configuration and program are the same; their figures are in the tables of the run that learnt them."`
	Seed         uint64  `yaml:"seed" doc:"Seed of training samples and bootstrap intervals."`
	L2           float64 `yaml:"l2" min:"0" max:"1000000" doc:"L2 penalty on the standardised weights of the logistic models."`
	Baselines    bool    `yaml:"baselines" doc:"Whether naive Bayes, nearest neighbours and a random forest are measured, too, for model_metrics; scores never come from them. They learn from 8,000 rows at most."`
	MinPositives int     `yaml:"min_positives" min:"10" max:"1000000" doc:"Training customers of each outcome below which a target is not modelled and the report says why."`
	ValueHorizon Days    `yaml:"value_horizon" min:"1" max:"3650" doc:"Days ahead that expected purchases and value are stated for."`
}

// Publish says how tables are written.
type Publish struct {
	FileSize Size    `yaml:"file_size" min:"1MiB" max:"4GiB" doc:"Size at which a published table rolls over to its next file."`
	Changes  Changes `yaml:"changes" doc:"Which customers are in the table changes: besides those who are new or gone, those whose segment, cell or band is another than in the run before, and those of whom a number moved by more than so much."`
}

// Changes says how far a number must have moved.
type Changes struct {
	Probability float64 `yaml:"probability" min:"0" max:"1" doc:"How far a probability must have moved, up or down."`
	Value       float64 `yaml:"value" min:"0" max:"1000000" doc:"How far expected value must have moved, as a share of what it was: 0.1 is a tenth."`
}

// Schedule says when nights are run.
type Schedule struct {
	Cron     string `yaml:"cron" doc:"When a night is run: minute, hour, day of month, month and day of week, as cron writes them. A time that clocks skip in spring comes right after, one that they show twice in autumn comes once."`
	TimeZone string `yaml:"time_zone" doc:"IANA zone of the clock that cron is about. Empty is the job's time_zone."`
	Behind   Days   `yaml:"behind" min:"0" max:"366" doc:"How many days before the time of cron the date of the run lies: 1 runs yesterday."`
	CatchUp  Days   `yaml:"catch_up" min:"0" max:"366" doc:"How far back nights count that were missed or failed for a reason that may have passed; those not published are run first, the earliest first. 0 misses them for good."`
	Retries  int    `yaml:"retries" min:"0" max:"100" doc:"How often a night is tried again at once after a fault that may pass (exit code 75), 10 seconds later and then twice as long each time, up to 15 minutes. backfill keeps to it too."`
}

// Names that keys accept.
const (
	DedupeAuto    = "auto"
	DedupeNone    = "none"
	DedupeExact   = "exact"
	DedupeEventID = "event_id"

	KindChurn      = "churn"
	KindPropensity = "propensity"

	RetrainEveryRun = "every_run"
	RetrainWeekly   = "weekly"
	RetrainOnDrift  = "on_drift"

	RoleAuto = "auto" // purchase, or any when the data have none
	RoleAny  = "any"  // every event

	AllFamilies = measures.All
)

// Default is the configuration of a file that says nothing. It is not valid:
// sources and out have no default.
func Default() *Config {
	return &Config{
		Sources:  []Source{},
		TimeZone: "UTC",
		Dedupe:   DedupeAuto,
		CurrencyRates: CurrencyRates{
			Path: OneOrMany{}, Columns: RateColumns{Date: "date", Currency: "currency", Rate: "rate"}, List: []ListedRate{}, MaxAge: 31,
		},
		Identity: []IdentityTable{},
		Limits: Limits{
			RejectedShare:  0.5,
			Workers:        AutoInt{Auto: true},
			Memory:         Memory{Percent: 25},
			SampleRows:     50_000,
			RejectedSample: 100,
		},
		Features:      measures.DefaultFeatures(),
		Occasions:     measures.DefaultOccasions(),
		Segmentations: []Segmentation{DefaultSegmentation("behaviour")},
		Rules:         []Rule{},
		Engagement: []Engagement{
			{Name: "engaged_week_share_84d", Full: 1, Weight: 3},
			{Name: "sessions_per_30d", Full: 8, Weight: 2},
			{Name: "purchase_days_per_30d", Full: 2, Weight: 2},
			{Name: "message_open_rate", Full: 0.5, Weight: 1},
			{Name: "message_click_rate", Full: 0.2, Weight: 1},
			{Name: "advocacy_share", Full: 0.05, Weight: 1},
		},
		Targets: []Target{
			DefaultTarget("churn", KindChurn),
			DefaultTarget("purchase", KindPropensity),
		},
		Models: Models{
			Snapshots:    3,
			Retrain:      RetrainEveryRun,
			Seed:         1,
			L2:           1,
			Baselines:    true,
			MinPositives: 30,
			ValueHorizon: 365,
		},
		Privacy:    Privacy{Erased: []ErasureTable{}, Consents: []ConsentTable{}, Unlisted: UnlistedWithheld},
		Contacts:   []ContactTable{},
		Audiences:  []Audience{},
		Gates:      DefaultGates(),
		Monitoring: Monitoring{Job: "shoal"},
		Publish:    Publish{FileSize: 192 * units.MiB, Changes: Changes{Probability: 0.05, Value: 0.1}},
		Schedule:   Schedule{Cron: "30 4 * * *", Behind: 1, CatchUp: 7, Retries: 5},
	}
}

// DefaultSource is the source at position i before a file says anything of it.
func DefaultSource(i int) Source {
	name := "events"
	if i > 0 {
		name = fmt.Sprintf("events%d", i+1)
	}
	return Source{
		Name:        name,
		Path:        OneOrMany{},
		Columns:     Columns{},
		Roles:       Roles{},
		TimeUnit:    "auto",
		RequireDate: true,
		IDKind:      scan.CustomerKind,
	}
}

// DefaultSegmentation is a segmentation of which only the name is said.
func DefaultSegmentation(name string) Segmentation {
	return Segmentation{
		Name: name, K: AutoInt{Auto: true}, KMin: 2, KMax: 10,
		Features: []string{}, MinShare: 0.02, Restarts: 10, Seed: 1,
		Retrain: RetrainEveryRun, Hysteresis: 0.1, InactiveAfter: 365,
	}
}

// DefaultTarget is a target of which only the name and kind are said.
func DefaultTarget(name, kind string) Target {
	return Target{
		Name: name, Kind: kind, Role: RoleAuto,
		Where: measures.NoFilter(), Ends: EndsSilence,
		Horizon: AutoDays{Auto: true}, Gap: 0, ActiveWithin: Within{Mode: WithinAuto},
	}
}

// What ends a customer, for churn.
const (
	EndsSilence = "silence"
	EndsCancel  = "cancel"
	EndsEither  = "either"
)

// Reads says whether the outcome of a target depends on a field of events.
func (t *Target) Reads(f datasets.Field) bool { return len(t.Where.Features().Values[f]) > 0 }

// SetDefaults is a table of the usual columns.
func (t *IdentityTable) SetDefaults(int) {
	*t = IdentityTable{Path: OneOrMany{}, Columns: IdentityColumns{Alias: "alias", Customer: "customer"}, Kind: scan.CustomerKind}
}

// SetDefaults is a rate of which nothing is said.
func (r *ListedRate) SetDefaults(int) { *r = ListedRate{} }

// SetDefaults is DefaultSource.
func (s *Source) SetDefaults(i int) { *s = DefaultSource(i) }

// SetDefaults is DefaultSegmentation of no name.
func (s *Segmentation) SetDefaults(i int) { *s = DefaultSegmentation("") }

// SetDefaults is a rule of which nothing is said.
func (r *Rule) SetDefaults(int) { *r = Rule{Cells: []Cell{}} }

// SetDefaults is a cell of which nothing is said.
func (c *Cell) SetDefaults(int) { *c = Cell{When: []conditions.Text{}} }

// SetDefaults is a part of which nothing is said.
func (e *Engagement) SetDefaults(int) { *e = Engagement{Full: 1, Weight: 1} }

// SetDefaults is DefaultTarget of no name.
func (t *Target) SetDefaults(i int) { *t = DefaultTarget("", "") }

// EventRoles is the source's role mapping the way a reader uses it: event type
// → role. Types that appear in no list are absent.
func (s *Source) EventRoles() map[string]datasets.Role {
	m := make(map[string]datasets.Role)
	for role, types := range s.Roles {
		for _, t := range types {
			m[t] = role
		}
	}
	return m
}

// ConstantRole is the role of every row of a source without event types;
// ok is false when rows carry their own event type.
func (s *Source) ConstantRole() (role datasets.Role, ok bool) {
	if s.Role == "" {
		return datasets.Other, false
	}
	role, err := datasets.ParseRole(s.Role)
	return role, err == nil
}

// MapsRole reports whether any source can produce events of the role.
func (c *Config) MapsRole(role datasets.Role) bool {
	for i := range c.Sources {
		if r, ok := c.Sources[i].ConstantRole(); ok && r == role {
			return true
		}
		if len(c.Sources[i].Roles[role]) > 0 {
			return true
		}
	}
	return false
}

// Maps reports whether any source maps the field.
func (c *Config) Maps(f datasets.Field) bool {
	return slices.ContainsFunc(c.Sources, func(s Source) bool { return s.Columns[f] != "" })
}
