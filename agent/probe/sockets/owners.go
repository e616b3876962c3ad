package sockets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
)

// owner is the process that holds a socket.
type owner struct {
	inode uint64
	pid   int // 0 until found
}

// scanner looks for the processes that hold sockets.
type scanner struct {
	host   *probe.Host
	wanted []owner // sorted by inode
	denied int     // processes whose files we may not see
	cut    bool    // not all processes are read
	hidden bool    // /proc shows only one's own processes (hidepid)
}

// past is what scans before have found, by which most processes need not be looked at: a
// walk over all descriptors is the largest part of one more inventory.
type past struct {
	runs    int             // since the last scan in the order of the processes alone
	seen    map[int]bool    // processes that there were
	holders map[int]bool    // those of them that held sockets
	orphans map[uint64]bool // sockets that none held
	denied  int             // processes that could not be looked at
}

// maxPast is how many scans go by what is past: an hour of the regular period. Then numbers
// that a new process has taken over, and sockets that were handed on, are set right.
const maxPast = 12

// order puts first those processes that held sockets, then the new ones: with them a scan
// mostly ends. The first process stays behind both, as it holds what it passed to services.
func (p *past) order(pids []int) []int {
	if p.runs++; p.seen == nil || p.runs > maxPast {
		*p = past{}
		return pids
	}
	var ranks [4][]int
	for _, pid := range pids {
		rank := 1 // new
		switch {
		case p.seen[pid] && !p.holders[pid]:
			rank = 3
		case pid == 1:
			rank = 2
		case p.seen[pid]:
			rank = 0
		}
		ranks[rank] = append(ranks[rank], pid)
	}
	return slices.Concat(ranks[:]...)
}

// learn notes the outcome of a scan, which looked at all processes or ended before.
func (p *past) learn(s *scanner, pids []int, all bool) {
	if all {
		p.denied = s.denied
	}
	s.denied = max(s.denied, p.denied)
	orphans := make(map[uint64]bool)
	p.seen, p.holders = make(map[int]bool, len(pids)), make(map[int]bool)
	for _, pid := range pids {
		p.seen[pid] = true
	}
	for _, o := range s.wanted {
		if p.holders[o.pid] = true; o.pid == 0 {
			orphans[o.inode] = true
		}
	}
	p.orphans = orphans
}

// run goes through the processes in their order and stops as soon as all sockets have
// one. Processes that vanish meanwhile are passed over.
func (s *scanner) run(ctx context.Context, pids []int, p *past) error {
	order := p.order(pids)
	missing := 0
	for _, o := range s.wanted {
		if !p.orphans[o.inode] {
			missing++
		}
	}
	all, err := s.walk(ctx, order, missing, p.orphans)
	if err != nil {
		*p = past{}
		return err
	}
	p.learn(s, pids, all)
	return nil
}

// walk looks at processes until no socket is missing; all tells that it came to their end.
func (s *scanner) walk(ctx context.Context, pids []int, missing int, orphans map[uint64]bool) (all bool, err error) {
	for _, pid := range pids {
		if missing == 0 {
			return false, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		err := s.host.Links(path.Join("/proc", strconv.Itoa(pid), "fd"), func(target []byte) {
			inode, ok := socketInode(target)
			if !ok {
				return
			}
			if i, found := s.find(inode); found && s.wanted[i].pid == 0 {
				if s.wanted[i].pid = pid; !orphans[inode] {
					missing--
				}
			}
		})
		if errors.Is(err, fs.ErrPermission) {
			s.denied++
		}
	}
	return true, nil
}

func (s *scanner) find(inode uint64) (int, bool) {
	return slices.BinarySearchFunc(s.wanted, inode, func(o owner, inode uint64) int { return cmp.Compare(o.inode, inode) })
}

// owner is the process of a socket, 0 when it was not found.
func (s *scanner) owner(inode uint64) int {
	if i, ok := s.find(inode); ok {
		return s.wanted[i].pid
	}
	return 0
}

// shortcoming says why some sockets have no process: theirs could not be read. A
// socket of the kernel has none either; that is no shortcoming.
func (s *scanner) shortcoming() error {
	switch {
	case !slices.ContainsFunc(s.wanted, func(o owner) bool { return o.pid == 0 }):
		return nil
	case s.denied > 0:
		return fmt.Errorf("the processes of some sockets are not known: %w for those of other users, or protected ones", fs.ErrPermission)
	case s.hidden:
		return errors.New("some sockets have no process: those of others are hidden (hidepid)")
	case s.cut:
		return fmt.Errorf("some sockets have no process: only %d processes were read", maxProcesses)
	}
	return nil
}

// processes lists the processes that may hold sockets, in order of their numbers, so
// that of processes that share a socket the oldest is found; the first process last of
// all. cut says that there are more.
func processes(h *probe.Host) (pids []int, cut bool, err error) {
	pids, err = h.Processes(maxProcesses)
	if cut = errors.Is(err, probe.ErrMoreProcesses); err != nil && !cut {
		return nil, false, err
	}
	if len(pids) > 0 && pids[0] == 1 { // systemd also holds the sockets that it passed to services
		pids = append(pids[1:], 1)
	}
	return pids, cut, nil
}

// socketInode reads the target of a link to a socket: "socket:[12345]".
func socketInode(target []byte) (uint64, bool) {
	const prefix = "socket:["
	if len(target) <= len(prefix) || string(target[:len(prefix)]) != prefix || target[len(target)-1] != ']' {
		return 0, false
	}
	n, ok := probe.ParseUint(target[len(prefix) : len(target)-1])
	return n, ok && n != 0
}

// process is what a row says of a process. Workers of one service are equal.
type process struct{ name, exe, unit, container string }

// readProcess reads a process; what cannot be read of it is empty.
func readProcess(h *probe.Host, pid int) process {
	dir := path.Join("/proc", strconv.Itoa(pid))
	exe, _ := h.Readlink(dir + "/exe") // gone, or not ours to see
	unit, container := probe.ServiceAndContainer(h.ReadString(dir + "/cgroup"))
	return process{
		name:      h.ReadString(dir + "/comm"),
		exe:       strings.TrimSuffix(exe, " (deleted)"), // after an upgrade of the running program
		unit:      unit,
		container: container,
	}
}

// directory knows processes by number, and numbers those that differ.
type directory struct {
	host  *probe.Host
	byPID map[int]uint32
	who   map[process]uint32
	list  []process // the first is the process that is not known
}

func newDirectory(h *probe.Host) *directory {
	return &directory{host: h, byPID: map[int]uint32{0: 0}, who: map[process]uint32{{}: 0}, list: []process{{}}}
}

// meet reads the processes that hold sockets, as far as the time lasts.
func (d *directory) meet(ctx context.Context, owners []owner) {
	for i := range owners {
		if ctx.Err() != nil {
			return
		}
		d.number(owners[i].pid)
	}
}

// number is the place in list of the process with a number of the system.
func (d *directory) number(pid int) uint32 {
	if n, ok := d.byPID[pid]; ok {
		return n
	}
	p := readProcess(d.host, pid)
	n, ok := d.who[p]
	if !ok {
		n = uint32(len(d.list))
		d.list = append(d.list, p)
		d.who[p] = n
	}
	d.byPID[pid] = n
	return n
}

func (d *directory) process(pid int) process { return d.list[d.number(pid)] }
