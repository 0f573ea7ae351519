package scan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan/internal/column"
	"github.com/shoal-data/shoal/datasets/scan/internal/consent"
	"github.com/shoal-data/shoal/datasets/scan/internal/fault"
	"github.com/shoal-data/shoal/datasets/scan/internal/files"
	"github.com/shoal-data/shoal/datasets/scan/internal/identity"
	"github.com/shoal-data/shoal/datasets/scan/internal/lexical"
	"github.com/shoal-data/shoal/datasets/scan/internal/ordered"
	"github.com/shoal-data/shoal/datasets/scan/internal/pseudonym"
	"github.com/shoal-data/shoal/datasets/scan/internal/rates"
)

// batchRows is the most rows of a Batch.
const batchRows = 64 << 10

// Read delivers every accepted event of the plan to emit, in batches of at most
// 65,536 events of one source. emit is called by several workers at once, never
// twice at once with the same worker index (0 … opts.Workers-1), and must not
// keep the batch: its memory is reused. Values are interned in dicts, which must
// not be read before Read returns.
//
// After an error what was delivered must be discarded. The error is an *Error,
// the context's, or emit's own, and is the same for any number of workers unless
// emit or the storage fails. The report is complete when the error is nil or is
// about currencies, and nil otherwise.
func (p *Plan) Read(ctx context.Context, dicts *datasets.Dicts, opts Options, emit func(worker int, b *datasets.Batch) error) (*Report, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	ids := dicts.Customer
	if p.key != nil {
		ids = datasets.NewDict() // that the caller never sees
	}
	resolver, quotes, err := p.loadLookups(ctx, ids, opts.Workers)
	if err != nil {
		return nil, err
	}
	register, err := p.register(ctx, resolver, ids, opts.Workers)
	if err != nil {
		return nil, err
	}
	matches := opts.Customers.matches(p.sources, resolver)
	type task struct{ file, group int }
	var tasks []task
	shared := make([]files.Shared, len(p.files))
	total := newTally(p, opts)
	rep := &Report{Files: len(p.Files), Rows: p.Rows, IDType: p.DeliveredIDs()}
	prog := ordered.Progress{Call: opts.Progress, Total: p.Rows}
	for i := range p.files {
		for g := range p.files[i].groups {
			rg := &p.files[i].groups[g]
			switch {
			case rg.rows == 0:
			case p.groupAfter(i, g, opts.Before):
				rep.RowGroupsSkipped++
				rep.RowsSkipped += rg.rows
				prog.Done += rg.rows
			case opts.Customers != nil && resolver == nil && rg.customers.Outside(opts.Customers.Min, opts.Customers.Max):
				rep.RowGroupsSkipped++
				total.others += rg.rows
				prog.Done += rg.rows
			default:
				rep.RowGroupsRead++
				shared[i].Expect()
				tasks = append(tasks, task{i, g})
			}
		}
	}
	total.after = rep.RowsSkipped
	prog.Add(0)
	workers := make([]*worker, opts.Workers)
	err = ordered.Run(ctx, len(tasks), opts.Workers, func(ctx context.Context, n, i int) error {
		if workers[n] == nil {
			w := &worker{plan: p, index: n, dicts: dicts, customers: ids, register: register, opts: opts, emit: emit, source: -1, progress: &prog, matches: matches, tally: newTally(p, opts)}
			if resolver != nil {
				w.ids = resolver.NewReader()
			}
			if p.key != nil {
				w.pseudonyms = p.key.NewReader(p.IDType, ids, dicts.Customer)
			}
			if quotes != nil {
				w.exchange = quotes.NewReader(dicts.Currency)
			}
			workers[n] = w
		}
		t := tasks[i]
		err := ordered.Guard(func() error { return workers[n].read(ctx, &shared[t.file], t.file, t.group) })
		var bug *ordered.PanicError
		if errors.As(err, &bug) {
			f := &p.Files[t.file]
			return fault.InFile(f.Source, f.Path, t.group, workers[n].column, err)
		}
		return err
	}, func(n int) error {
		if workers[n] == nil {
			return nil
		}
		return workers[n].flush()
	})
	for i := range shared {
		shared[i].Close()
	}
	if err != nil {
		return nil, err
	}
	identities, exchanges := make([]*identity.Reader, len(workers)), make([]*rates.Reader, len(workers))
	for i, w := range workers {
		if w != nil {
			identities[i], exchanges[i] = w.ids, w.exchange
			w.tallyTypes()
			total.merge(w.tally)
			for i := range w.cols {
				pages, unverified := w.cols[i].Pages()
				rep.Pages += pages
				rep.PagesWithoutChecksum += unverified
			}
		}
	}
	total.report(rep, p, dicts)
	rep.Consent = newConsentReport(p, register, ids, workers)
	if resolver != nil {
		rep.Identity = resolver.Report(identities)
	}
	if quotes != nil {
		for _, x := range exchanges {
			if x != nil {
				rep.AmountsConverted += x.Converted
			}
		}
		return rep, quotes.Err(exchanges, dicts.Currency, func(file int) string { return p.Files[file].Path })
	}
	return rep, rep.checkCurrencies(opts.Currency)
}

// loadLookups reads the tables beside the sources; what there is no table for is nil.
func (p *Plan) loadLookups(ctx context.Context, customers *datasets.Dict, workers int) (resolver *identity.Resolver, quotes *rates.Rates, err error) {
	if p.identity != nil {
		if resolver, err = p.resolver(ctx, customers, workers); err != nil {
			return nil, nil, err
		}
	}
	if p.rates != nil {
		quotes, err = p.rates.Load(ctx, p.fsys)
	}
	return resolver, quotes, err
}

// groupAfter says whether all rows of a row group are known, without reading
// them, to be at or after before.
func (p *Plan) groupAfter(file, group int, before int64) bool {
	f := &p.files[file]
	src := &p.sources[f.source]
	k := slices.Index(p.fields[f.source], datasets.EventTime)
	col := &f.cols[k]
	if col.Path != nil {
		return f.groups[group].times.AtOrAfter(&col.Type, src.TimeUnit, before)
	}
	t := src.constantTime(col)
	return t > column.BadTime && t >= before
}

// A status is why a row is not delivered, 0 when it is: field and problem of a
// refused row, or one of those below.
type status uint8

const (
	rowAfter    status = 255
	rowWithheld status = 254
	rowOther    status = 253
	rowErased   status = 252
)

// refused is the status of a row that a problem of field f refuses.
func refused(f datasets.Field, p lexical.Problem) status { return status(f)<<3 | status(p) }

func (s status) field() datasets.Field    { return datasets.Field(s >> 3) }
func (s status) problem() lexical.Problem { return lexical.Problem(s & 7) }

// A worker reads row groups into one batch.
type worker struct {
	plan     *Plan
	index    int
	dicts    *datasets.Dicts
	opts     Options
	emit     func(int, *datasets.Batch) error
	progress *ordered.Progress
	*tally

	source   int // whose columns cols are; -1 at first
	cols     []*column.Reader
	field    [datasets.NumFields]*column.Reader
	currency uint32 // code of the source's own currency
	column   string // column being decoded, for messages

	customers  *datasets.Dict    // of ids, before pseudonyms take their place
	register   *consent.Register // nil when everybody's events may be used
	fates      *consent.Reader   // of the present source's ids; nil without register
	pseudonyms *pseudonym.Reader // nil when customers keep their ids
	withheldOf []bool            // by code: customers of whom a consent column withheld a row

	ids      *identity.Reader // nil without identity tables
	exchange *rates.Reader    // nil without currency rates
	aliases  [column.SegmentRows]uint32
	matches  []func(id []byte) bool // by source, whom to read; empty is everybody

	times    [column.SegmentRows]int64
	status   [column.SegmentRows]status
	money    [3][column.SegmentRows]datasets.Money // amount, quantity, rating
	selected []int32
	shown    []byte // texts of the refused row at hand
	reasons  [256]string
	batch    datasets.Batch
}

// startSource readies the worker for a source.
func (w *worker) startSource(source int) error {
	if w.source == source {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.tallyTypes()
	for _, c := range w.cols {
		pages, unverified := c.Pages()
		w.pages += pages
		w.unverified += unverified
	}
	src := &w.plan.sources[source]
	w.source = source
	w.cols, w.field = nil, [datasets.NumFields]*column.Reader{}
	for _, f := range w.plan.fields[source] {
		c := column.NewReader(f, src.conventions())
		w.cols = append(w.cols, c)
		w.field[f] = c
	}
	if w.ids != nil {
		w.ids.Start(src.kind())
	}
	if w.register != nil {
		w.fates = w.register.Start(src.kind())
	}
	w.currency = 0
	if src.Currency != "" {
		w.currency = w.dicts.Currency.CodeString(src.Currency)
	}
	b := &w.batch
	mapped := func(f datasets.Field) bool { return w.field[f] != nil }
	ready(&b.Customer, true)
	ready(&b.Time, true)
	ready(&b.Role, true)
	ready(&b.Type, true)
	ready(&b.Amount, mapped(datasets.Amount))
	ready(&b.Quantity, mapped(datasets.Quantity))
	ready(&b.Rating, mapped(datasets.Rating))
	ready(&b.Currency, mapped(datasets.Currency) || w.currency != 0)
	for _, t := range w.texts() {
		ready(t.codes, mapped(t.field))
	}
	ready(&b.Session, mapped(datasets.SessionID))
	ready(&b.EventID, mapped(datasets.EventID))
	return nil
}

// ready empties a batch column, which is nil when its field is not mapped.
func ready[T any](s *[]T, mapped bool) {
	switch {
	case !mapped:
		*s = nil
	case *s == nil:
		*s = make([]T, 0, batchRows)
	default:
		*s = (*s)[:0]
	}
}

// A textColumn is a column of the batch that holds codes.
type textColumn struct {
	field datasets.Field
	dict  *datasets.Dict
	codes *[]uint32
}

// texts are the coded columns that have no rule of their own.
func (w *worker) texts() [4]textColumn {
	d, b := w.dicts, &w.batch
	return [4]textColumn{
		{datasets.ProductID, d.Product, &b.Product}, {datasets.Category, d.Category, &b.Category},
		{datasets.Channel, d.Channel, &b.Channel}, {datasets.CampaignID, d.Campaign, &b.Campaign},
	}
}

// flush delivers the batch.
func (w *worker) flush() error {
	b := &w.batch
	if b.Len() == 0 {
		return nil
	}
	if err := w.emit(w.index, b); err != nil {
		return err
	}
	empty(&b.Customer)
	empty(&b.Time)
	empty(&b.Role)
	empty(&b.Type)
	empty(&b.Amount)
	empty(&b.Quantity)
	empty(&b.Rating)
	empty(&b.Currency)
	for _, t := range w.texts() {
		empty(t.codes)
	}
	empty(&b.Session)
	empty(&b.EventID)
	return nil
}

// empty empties a column of the batch, which is nil when its field is not mapped.
func empty[T any](s *[]T) {
	if *s != nil {
		*s = (*s)[:0]
	}
}

// read delivers a row group.
func (w *worker) read(ctx context.Context, h *files.Shared, file, group int) error {
	info, f := &w.plan.Files[file], &w.plan.files[file]
	w.column = ""
	if err := w.startSource(f.source); err != nil {
		return err
	}
	fail := func(err error) error { return fault.InFile(info.Source, info.Path, group, w.column, err) }
	src := &w.plan.sources[f.source]
	r, err := h.Open(ctx, w.plan.fsys, info)
	if err != nil {
		return fail(err)
	}
	defer h.Release()
	rg := &f.groups[group]
	if w.opts.Customers != nil {
		k := slices.Index(w.plan.fields[f.source], datasets.CustomerID)
		w.column = src.Columns[datasets.CustomerID]
		w.cols[k].Open(&f.cols[k], r, rg.chunks[k])
		holds, err := w.cols[k].AnyMatch(ctx, rg.rows, w.matches[f.source])
		if err != nil {
			return fail(err)
		}
		if !holds {
			w.peeked++
			w.others += rg.rows
			w.progress.Add(rg.rows)
			return nil
		}
	}
	for k, c := range w.cols {
		c.Open(&f.cols[k], r, rg.chunks[k])
	}
	reported := int64(0)
	for row := int64(0); row < rg.rows; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("scan: %s: %w", info.Path, err)
		}
		n := int(min(rg.rows-row, column.SegmentRows, int64(batchRows-w.batch.Len())))
		for k, c := range w.cols {
			w.column = src.Columns[w.plan.fields[f.source][k]]
			if n, err = c.Available(n); err != nil {
				return fail(err)
			}
		}
		for k, c := range w.cols {
			w.column = src.Columns[w.plan.fields[f.source][k]]
			if err := c.Next(n); err != nil {
				return fail(err)
			}
		}
		w.column = ""
		w.applyRules(n)
		w.selectAccepted(place{file, group, rg.first + row}, n)
		w.appendSelected(place{file, group, rg.first + row})
		if w.batch.Len() == batchRows {
			if err := w.flush(); err != nil {
				return err
			}
		}
		row += int64(n)
		if row-reported >= batchRows || row == rg.rows {
			w.progress.Add(row - reported)
			reported = row
		}
	}
	return nil
}

// applyRules applies the package's rules to the n rows in hand.
func (w *worker) applyRules(n int) {
	st := w.status[:n]
	times := w.times[:n]
	w.field[datasets.EventTime].Times(times)
	for i, t := range times {
		switch {
		case t <= column.BadTime:
			st[i] = refused(datasets.EventTime, column.TimeProblem(t))
		case t >= w.opts.Before:
			st[i] = rowAfter
		default:
			st[i] = 0
		}
	}
	if w.opts.Customers != nil {
		w.dropOthers(st)
	}
	if w.fates != nil {
		w.dropBarred(st)
	}
	if c := w.field[datasets.Consent]; c != nil {
		for i := range st {
			if st[i] != rowAfter && st[i] != rowOther && st[i] != rowErased && !c.Consents(i) {
				st[i] = rowWithheld
			}
		}
		w.noteWithheld(st)
	}
	c := w.field[datasets.CustomerID]
	switch {
	case c.Fine():
		if valid := c.Run.Valid; valid != nil {
			for i := range st {
				if !valid[i] && st[i] == 0 {
					st[i] = refused(datasets.CustomerID, lexical.Null)
				}
			}
		}
	default:
		for i := range st {
			if st[i] == 0 {
				if p := c.Problem(i); p != lexical.OK {
					st[i] = refused(datasets.CustomerID, p)
				}
			}
		}
	}
	if w.ids != nil && w.ids.Aliases() != nil {
		for i := range st {
			if st[i] != 0 {
				continue
			}
			if w.aliases[i] = c.Code(w.ids.Aliases(), i); !w.ids.Known(w.aliases[i]) {
				st[i] = refused(datasets.CustomerID, lexical.UnknownAlias)
			}
		}
	}
	for k, f := range column.MoneyFields {
		c := w.field[f]
		if c == nil || !c.Amounts(w.money[k][:n]) {
			continue
		}
		for i, m := range w.money[k][:n] {
			if st[i] == 0 && m != datasets.NullMoney && m <= column.BadMoney {
				st[i] = refused(f, column.MoneyProblem(m))
			}
		}
	}
	for _, c := range w.cols {
		switch c.Field {
		case datasets.CustomerID, datasets.EventTime, datasets.Amount, datasets.Quantity, datasets.Rating, datasets.Consent:
			continue
		}
		if c.Fine() {
			continue
		}
		for i := range st {
			if st[i] == 0 && c.Problem(i) == lexical.BadUTF8 {
				st[i] = refused(c.Field, lexical.BadUTF8)
			}
		}
	}
}

// selectAccepted selects the accepted rows and counts the others.
func (w *worker) selectAccepted(at place, n int) {
	w.selected = w.selected[:0]
	for i, s := range w.status[:n] {
		switch s {
		case 0:
			w.selected = append(w.selected, int32(i))
		case rowAfter:
			w.after++
		case rowWithheld:
			w.withheld++
		case rowErased:
			w.erased++
		case rowOther:
			w.others++
		default:
			p := at
			p.row += int64(i)
			w.reject(i, s, p)
		}
	}
}

// appendSelected appends the selected rows of the segment that begins at a place to
// the batch and counts what they hold.
func (w *worker) appendSelected(at place) {
	if len(w.selected) == 0 {
		return
	}
	b, from := &w.batch, w.batch.Len()
	for _, i := range w.selected {
		t := w.times[i]
		b.Time = append(b.Time, t)
		w.minTime, w.maxTime = min(w.minTime, t), max(w.maxTime, t)
	}
	w.accepted += int64(len(w.selected))
	counts := w.sources[w.source]
	if w.ids != nil && w.ids.Aliases() != nil {
		for _, i := range w.selected {
			b.Customer = append(b.Customer, w.aliases[i])
		}
	} else {
		b.Customer = w.field[datasets.CustomerID].AppendCodes(b.Customer, w.customers, w.selected, 0)
	}
	if w.ids != nil {
		w.ids.Resolve(b.Customer[from:])
	}
	if w.pseudonyms != nil {
		w.pseudonyms.Replace(b.Customer[from:])
	}
	if c := w.field[datasets.EventType]; c != nil {
		b.Type = c.AppendCodes(b.Type, w.dicts.Type, w.selected, 0)
		for _, code := range b.Type[from:] {
			role := datasets.Other
			if code != 0 {
				role = c.Role(code)
			} else {
				counts.nulls[datasets.EventType]++
			}
			b.Role = append(b.Role, role)
			for int(code) >= len(w.types) {
				w.types = append(w.types, 0)
			}
			w.types[code]++
		}
	} else {
		role := w.plan.sources[w.source].Role
		for range w.selected {
			b.Role = append(b.Role, role)
			b.Type = append(b.Type, 0)
		}
		counts.untyped += int64(len(w.selected))
	}
	for k, dst := range [3]*[]datasets.Money{&b.Amount, &b.Quantity, &b.Rating} {
		if *dst == nil {
			continue
		}
		money, out, nulls := &w.money[k], slices.Grow(*dst, len(w.selected)), int64(0)
		for _, i := range w.selected {
			m := money[i]
			if m == datasets.NullMoney {
				nulls++
			}
			out = append(out, m)
		}
		*dst = out
		counts.nulls[column.MoneyFields[k]] += nulls
	}
	for _, t := range w.texts() {
		if *t.codes == nil {
			continue
		}
		*t.codes = w.field[t.field].AppendCodes(*t.codes, t.dict, w.selected, 0)
		nulls := int64(0)
		for _, code := range (*t.codes)[from:] {
			if code == 0 {
				nulls++
			}
		}
		counts.nulls[t.field] += nulls
	}
	b.Session = w.appendHashes(b.Session, datasets.SessionID)
	b.EventID = w.appendHashes(b.EventID, datasets.EventID)
	if b.Currency == nil {
		return
	}
	if c := w.field[datasets.Currency]; c != nil {
		b.Currency = c.AppendCodes(b.Currency, w.dicts.Currency, w.selected, w.currency)
	} else {
		for range w.selected {
			b.Currency = append(b.Currency, w.currency)
		}
	}
	for i, code := range b.Currency[from:] {
		if code == 0 {
			counts.nulls[datasets.Currency]++
			continue
		}
		if b.Amount != nil && b.Amount[from+i] != datasets.NullMoney {
			w.seeCurrency(code, place{at.file, at.group, -1})
			if w.exchange != nil {
				row := rates.Place{File: at.file, Group: at.group, Row: at.row + int64(w.selected[i])}
				b.Amount[from+i] = w.exchange.Convert(b.Amount[from+i], code, b.Time[from+i], row)
			}
		}
		if w.exchange != nil {
			b.Currency[from+i] = w.exchange.Target()
		}
	}
}

// appendHashes appends the hashes of the selected rows to a column of the
// batch, which is nil when its field is not mapped.
func (w *worker) appendHashes(dst []uint64, f datasets.Field) []uint64 {
	if dst == nil {
		return nil
	}
	from := len(dst)
	dst = w.field[f].AppendHashes(dst, w.selected)
	for _, id := range dst[from:] {
		if id == 0 {
			w.sources[w.source].nulls[f]++
		}
	}
	return dst
}
