package netinfo

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// Messages and attributes of rtnetlink(7) that we read: <linux/rtnetlink.h>,
// <linux/if_addr.h> and <linux/neighbour.h>.
const (
	nlHeaderLen   = 16
	nlDone        = 3
	nlError       = 2
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

var errNetlink = errors.New("netlink answer is cut off or malformed")

func align4(n int) int { return (n + 3) &^ 3 }

// eachMessage visits the bodies of the messages of a kind in an answer.
func eachMessage(b []byte, kind uint16, visit func(body []byte) error) error {
	for len(b) >= nlHeaderLen {
		size := int(binary.NativeEndian.Uint32(b))
		if size < nlHeaderLen || size > len(b) {
			return errNetlink
		}
		switch binary.NativeEndian.Uint16(b[4:]) {
		case nlDone:
			return nil
		case nlError:
			return errNetlink
		case kind:
			if err := visit(b[nlHeaderLen:size]); err != nil {
				return err
			}
		}
		b = b[min(align4(size), len(b)):]
	}
	if len(b) > 0 {
		return errNetlink
	}
	return nil
}

// eachAttribute visits the attributes of a message.
func eachAttribute(b []byte, visit func(kind uint16, value []byte)) error {
	for len(b) >= 4 {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < 4 || size > len(b) {
			return errNetlink
		}
		visit(kind, b[4:size])
		b = b[min(align4(size), len(b)):]
	}
	return nil
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
