package netinfo

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"atalaya/agent/probe"
)

// Messages and attributes of rtnetlink(7) that we read: <linux/rtnetlink.h>,
// <linux/if_addr.h> and <linux/neighbour.h>.
const (
	netlinkRoute  = 0 // NETLINK_ROUTE
	rtmNewAddr    = 20
	ifaMessageLen = 8
	ifaAddress    = 1
	ifaLocal      = 2
	ifaBroadcast  = 4
	ifaFlags      = 8
	ifaPermanent  = 0x80 // IFA_F_PERMANENT: it has no lifetime
	familyInet    = 2
	familyInet6   = 10

	rtmNewRoute  = 24
	rtMessageLen = 12
	rtaDst       = 1
	rtaOif       = 4
	rtaGateway   = 5
	rtaPriority  = 6
	rtaPrefSrc   = 7
	rtaMultipath = 9
	rtaTable     = 15
	rtaVia       = 18
	rtmCloned    = 0x200 // RTM_F_CLONED: from the cache
	tableMain    = 254
	tableLocal   = 255

	rtmNewNeighbour = 28
	ndMessageLen    = 12
	ndaDst          = 1
	ndaLLAddr       = 2
	nudPermanent    = 0x80
	nudNoARP        = 0x40
)

// list is what the messages of a kind tell.
type list[T any] struct {
	kind  uint16 // of the messages; the request for them has a number that is higher by two
	parse func(body []byte) ([]T, error)
	rows  []T
}

// maxRows bounds what is taken of one list: the full table of a backbone router has a
// million routes.
const maxRows = 20_000

// read asks the kernel (rtnetlink(7)). Rows before an error stand.
func (l *list[T]) read(h *probe.Host) error {
	n, err := h.Netlink(netlinkRoute)
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Ask(probe.NetlinkDump{
		Request: probe.NetlinkRequest(l.kind+2, 1), // struct rtgenmsg: any family
		Begin:   func() { l.rows = nil },
		Visit:   l.visit,
	})
}

func (l *list[T]) visit(kind uint16, body []byte) error {
	if kind != l.kind {
		return nil
	}
	if len(l.rows) >= maxRows {
		return fmt.Errorf("more than %d are not read", maxRows)
	}
	rows, err := l.parse(body)
	l.rows = append(l.rows, rows...)
	return err
}

// nameOf is the name of the interface whose index b begins with; the index itself for
// one that came after the interfaces were read, "" for none.
func nameOf(names map[int]string, b []byte) string {
	if len(b) < 4 {
		return ""
	}
	index := int(binary.NativeEndian.Uint32(b))
	if name, ok := names[index]; ok || index == 0 {
		return name
	}
	return strconv.Itoa(index)
}
