package store

import (
	"encoding/binary"
	"sync"

	"atalaya/shared/facts"
)

// maxKnown is how many items are remembered: most of what the hosts of a fleet share,
// in some 20 MB.
const maxKnown = 1 << 16

// knownItems remembers items that were told lately, so that the same row of the next
// host costs one look into a map. It holds nothing that is not durable, and is
// forgotten as a whole when an item goes away or damage is found.
type knownItems struct {
	mu    sync.Mutex
	items map[string]knownItem // by section and content
}

type knownItem struct {
	id  uint32
	key string // of the row
}

func (k *knownItems) find(content []byte) (knownItem, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	it, ok := k.items[string(content)]
	return it, ok
}

func (k *knownItems) add(met map[string]knownItem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.items == nil || len(k.items)+len(met) > maxKnown {
		k.items = map[string]knownItem{}
	}
	for content, it := range met {
		k.items[content] = it
	}
}

func (k *knownItems) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.items = nil
}

func contentName(section facts.ID, common []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, len(common)+2), uint16(section)), common...)
}

// knownItem returns the item with that content if it is remembered.
func (tx *Tx) knownItem(section facts.ID, common []byte) (knownItem, bool) {
	name := contentName(section, common)
	if it, ok := tx.met[string(name)]; ok {
		return it, true
	}
	return tx.store.known.find(name)
}

// meet remembers an item, from the commit of this transaction on for others.
func (tx *Tx) meet(section facts.ID, key string, common []byte, id uint32) {
	if tx.met == nil {
		tx.met = map[string]knownItem{}
	}
	if len(tx.met) < maxKnown {
		tx.met[string(contentName(section, common))] = knownItem{id, key}
	}
}

// forgetItems is called when items may not be what they were.
func (tx *Tx) forgetItems() {
	tx.met = nil
	tx.store.known.forget()
	tx.store.past.forget()
	tx.store.told.forget()
}
