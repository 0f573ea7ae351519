package ordered

import "sync"

// Progress tells of what tasks have done, one call at a time.
type Progress struct {
	Done, Total int64
	Call        func(done, total int64) // may be nil

	mu sync.Mutex
}

// Add tells of n more.
func (p *Progress) Add(n int64) {
	if p.Call == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Done += n
	p.Call(p.Done, p.Total)
}
