package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Question is a reading that may never return: the fill level of a file system on the
// network, the health of a dying disk. A helper process takes it (ADR 14).
type Question struct{ Task, Path string }

// Answer is what is known of a Question. Beside an error, Data and At are of the last
// good answer, if there was one.
type Answer struct {
	Data []byte // not to be changed
	At   time.Time
	Err  error
}

// Inquiry is a set of questions that may be asked again and again.
type Inquiry struct {
	Questions []Question
	Answers   []Answer // one for each question, set by Host.Ask
	// MaxAge is how old an answer may be before the question is asked again.
	MaxAge time.Duration
	// Wait bounds the call; answers that come later are seen by the next one. 0, and in a
	// reading that no other follows (RunOnce): until each question is answered or given up.
	Wait time.Duration
	// Keep says that the same is asked again within a minute, so that the helper is kept.
	Keep bool
}

var (
	// ErrNoAnswer is the error of a question that was given up.
	ErrNoAnswer = errors.New("no answer")
	// ErrPending is the error of a question that nothing is known of yet.
	ErrPending = errors.New("no answer yet")
)

var (
	errLost     = fmt.Errorf("%w: %d helper processes hang in the kernel", ErrNoAnswer, maxDying)
	errNoHelper = fmt.Errorf("no helper process here: %w", errors.ErrUnsupported)
)

const (
	// patience is when a question is given up and its helper killed. A statfs over a
	// slow line takes some 100 ms, a disk that wakes up is not asked.
	patience = 3 * time.Second
	// retryFirst and retryLast bound the time until a question that was given up is
	// asked again; it doubles each time.
	retryFirst = time.Minute
	retryLast  = 15 * time.Minute
	// maxInFlight bounds the threads of a helper that can hang at once.
	maxInFlight = 16
	// maxDying bounds the helpers that were killed and have not ended: one in an
	// uninterruptible call stays until its file system or disk answers.
	maxDying = 2
	// maxQuestions bounds what is remembered.
	maxQuestions = 8192
	// regularUse is how long a helper is kept for callers that ask again and again.
	regularUse = time.Minute
)

// WithHelper returns the host with the program that answers questions (ServeHelper)
// and its arguments; without it no question is answered. All copies of a host share
// one helper.
func (h *Host) WithHelper(program string, args ...string) *Host {
	own := *h
	own.asker = &asker{
		command: append([]string{program}, args...), patience: patience, turn: make(chan struct{}, 1),
		asked: make(map[Question]*asking), flying: make(map[uint64]*asking, maxInFlight),
	}
	return &own
}

// Ask sets the answers of an inquiry with a helper process, which is started for it. It
// does not hang with what it asks about, and pins no thread.
func (h *Host) Ask(ctx context.Context, i *Inquiry) {
	a := h.asker
	if a == nil || !h.Live() {
		i.settle(errNoHelper)
		return
	}
	wait := i.Wait
	if h.once {
		wait = 0
	}
	if !a.takeTurn(ctx, wait) {
		i.settle(ErrPending) // somebody with more time is at it: the answers of before stand
		return
	}
	defer func() { <-a.turn }()
	a.exchange(ctx, h, i, wait)
}

// takeTurn waits until nobody else asks, for at most wait; 0 is for ever.
func (a *asker) takeTurn(ctx context.Context, wait time.Duration) bool {
	select {
	case a.turn <- struct{}{}:
		return true
	default:
	}
	var late <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		late = t.C
	}
	select {
	case a.turn <- struct{}{}:
		return true
	case <-late:
	case <-ctx.Done():
	}
	return false
}

// settle gives err to the questions without an answer.
func (i *Inquiry) settle(err error) {
	for len(i.Answers) < len(i.Questions) {
		i.Answers = append(i.Answers, Answer{Err: err})
	}
	i.Answers = i.Answers[:len(i.Questions)]
}

// asker owns the helper process and remembers the answers. Whoever holds the turn may
// use the fields.
type asker struct {
	command  []string
	patience time.Duration
	turn     chan struct{} // room for the one who asks

	child   *child   // nil: none runs
	dying   []*child // killed, not ended
	asked   map[Question]*asking
	flying  map[uint64]*asking // by request; at most maxInFlight
	last    uint64             // number given to a request
	unread  []byte
	regular time.Time // when somebody asked who wants the helper kept
	broken  error     // why no helper could be started
	retry   time.Time // of starting one
}

// asking is the state of one question.
type asking struct {
	answer   Answer
	known    bool      // there is an answer, or an error in place of it
	request  uint64    // 0: none is under way
	sent     time.Time // the request, or the last one
	in       *child    // that had the request
	failures int       // times given up in a row
	retry    time.Time // not to be asked before
	wanted   time.Time // last
}

// exchange asks what is due and takes answers until all are there or the time is over.
func (a *asker) exchange(ctx context.Context, h *Host, i *Inquiry, wait time.Duration) {
	began := time.Now()
	if i.Keep && len(i.Questions) > 0 {
		a.regular = began
	}
	a.reap(h)
	a.receive(h, began) // what came since, or that the helper has ended
	for ctx.Err() == nil {
		now := time.Now()
		a.giveUp(now)
		waiting := a.send(h, i, began, now)
		if waiting.IsZero() {
			break
		}
		deadline := waiting.Add(a.patience)
		if end := began.Add(wait); wait > 0 && end.Before(deadline) {
			if !now.Before(end) {
				break
			}
			deadline = end
		}
		if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
			deadline = d
		}
		a.receive(h, deadline)
	}
	i.Answers = i.Answers[:0]
	for _, q := range i.Questions {
		i.Answers = append(i.Answers, a.answerOf(q, i, began))
	}
	if a.regular.IsZero() || time.Since(a.regular) > regularUse {
		a.retire(h)
	}
}

// answerOf returns what is known. An answer that should be newer, but cannot be for want
// of a helper, is none any more.
func (a *asker) answerOf(q Question, i *Inquiry, began time.Time) Answer {
	err := ErrPending
	switch {
	case a.broken != nil:
		err = a.broken
	case a.child == nil && len(a.dying) >= maxDying:
		err = errLost
	}
	x := a.asked[q]
	if x == nil || !x.known {
		return Answer{Err: err}
	}
	answer := x.answer
	if answer.Err == nil && a.child == nil && a.due(x, i, began, time.Now()) {
		answer.Err = err
	}
	return answer
}

// send requests what is due and returns when the oldest request that still runs for this
// inquiry was sent; zero: none does.
func (a *asker) send(h *Host, i *Inquiry, began, now time.Time) (oldest time.Time) {
	for _, q := range i.Questions {
		x := a.question(q, now)
		if x == nil {
			continue
		}
		x.wanted = now
		if a.due(x, i, began, now) && len(a.flying) < maxInFlight && a.start(h, now) {
			a.last++
			x.request, x.sent, x.in = a.last, now, a.child
			a.flying[x.request] = x
			if err := a.child.write(appendRequest(nil, x.request, q)); err != nil {
				a.lose(fmt.Errorf("helper process: %w", err))
				return time.Time{}
			}
		}
		if x.request != 0 && (oldest.IsZero() || x.sent.Before(oldest)) {
			oldest = x.sent
		}
	}
	return oldest
}

// due reports whether a question is to be asked now. One that hangs in a helper that
// has not ended would only hang again.
func (a *asker) due(x *asking, i *Inquiry, began, now time.Time) bool {
	switch {
	case x.request != 0 || now.Before(x.retry) || x.failures > 0 && x.in != nil && !x.in.ended:
		return false
	case !x.known || x.failures > 0:
		return true
	}
	return x.sent.Before(began) && now.Sub(x.sent) >= i.MaxAge
}

// question returns the state of a question; nil when there are too many.
func (a *asker) question(q Question, now time.Time) *asking {
	if x := a.asked[q]; x != nil {
		return x
	}
	if len(a.asked) >= maxQuestions {
		for old, x := range a.asked { // mounts that are gone
			if x.request == 0 && now.Sub(x.wanted) > time.Hour {
				delete(a.asked, old)
			}
		}
		if len(a.asked) >= maxQuestions {
			return nil
		}
	}
	x := &asking{}
	a.asked[q] = x
	return x
}

// start has a helper run, unless too many hang.
func (a *asker) start(h *Host, now time.Time) bool {
	if a.child != nil {
		return true
	}
	a.reap(h)
	if len(a.dying) >= maxDying || now.Before(a.retry) {
		return false
	}
	c, err := startChild(a.command)
	if err != nil {
		a.broken, a.retry = fmt.Errorf("start helper process: %w", err), now.Add(retryFirst)
		return false
	}
	a.child, a.broken, a.unread = c, nil, a.unread[:0]
	return true
}

// giveUp kills the helper when a question has waited too long.
func (a *asker) giveUp(now time.Time) {
	if a.child == nil {
		return
	}
	late := false
	for _, x := range a.flying {
		if now.Sub(x.sent) >= a.patience {
			late = true
			x.fail(now, fmt.Errorf("%w within %v", ErrNoAnswer, a.patience))
		}
	}
	if late {
		a.dismiss()
	}
}

// dismiss kills the helper. What else it was asked is asked again, of another one.
func (a *asker) dismiss() {
	for _, x := range a.flying {
		x.request = 0
	}
	clear(a.flying)
	a.child.kill()
	a.dying, a.child = append(a.dying, a.child), nil
}

// fail notes that a question could not be answered; what was known stays.
func (x *asking) fail(now time.Time, err error) {
	x.known, x.answer.Err = true, err
	x.retry = now.Add(min(retryFirst<<min(x.failures, 10), retryLast))
	x.failures++
}

// lose gives up a helper that does not work. The requests that it had fail; one that
// ended while it had none (killed by whoever needed memory) is replaced at once.
func (a *asker) lose(err error) {
	now := time.Now()
	for _, x := range a.flying {
		x.fail(now, err)
	}
	if len(a.flying) > 0 {
		a.broken, a.retry = err, now.Add(retryFirst)
	}
	a.dismiss()
}

// reap lets helpers go that have ended.
func (a *asker) reap(h *Host) {
	left := a.dying[:0]
	for _, c := range a.dying {
		if cpu, ended := c.reap(); ended {
			c.ended = true
			h.childCPU.Add(int64(max(cpu-c.cpu, 0)))
		} else {
			left = append(left, c)
		}
	}
	clear(a.dying[len(left):])
	a.dying = left
}

// retire ends the helper that nobody needs any more, and waits a moment for those that
// were killed, so that no dead process is left until the next inquiry.
func (a *asker) retire(h *Host) {
	if a.child != nil && len(a.flying) == 0 {
		a.dismiss()
	}
	for _, c := range a.dying {
		c.awaitEnd()
	}
	a.reap(h)
}

// receive takes answers until the deadline, or until one came.
func (a *asker) receive(h *Host, deadline time.Time) {
	if a.child == nil {
		return
	}
	var buf [4096]byte
	n, err := a.child.read(buf[:], deadline)
	a.unread = append(a.unread, buf[:n]...)
	h.bytes.Add(int64(n))
	for {
		line, rest, whole := bytes.Cut(a.unread, []byte{'\n'})
		if !whole {
			break
		}
		r, understood := parseReply(line)
		if !understood {
			a.lose(fmt.Errorf("helper process: %w", NotUnderstood(line)))
			return
		}
		a.take(h, r)
		a.unread = a.unread[:copy(a.unread, rest)]
	}
	if err != nil || len(a.unread) > maxReply {
		a.lose(errors.New("helper process does not work"))
	}
}

// take enters an answer.
func (a *asker) take(h *Host, r reply) {
	h.childCPU.Add(int64(max(r.cpu-a.child.cpu, 0)))
	a.child.cpu = max(r.cpu, a.child.cpu)
	x := a.flying[r.request]
	if x == nil {
		return
	}
	delete(a.flying, r.request)
	x.known, x.request, x.failures, x.retry = true, 0, 0, time.Time{}
	if x.answer.Err = r.err; r.err == nil {
		x.answer.Data, x.answer.At = r.data, time.Now()
	}
}
