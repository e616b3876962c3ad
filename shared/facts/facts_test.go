package facts

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSortOrdersByKeyAndKeepsTheLastOfEqual(t *testing.T) {
	rows := []Row{
		&UserRow{Name: "b", UID: 1}, &UserRow{Name: "a", UID: 2}, &UserRow{Name: "b", UID: 3}, &UserRow{Name: "a", UID: 4},
	}
	got := Sort(rows)
	if len(got) != 2 || got[0].(*UserRow).UID != 4 || got[1].(*UserRow).UID != 3 {
		t.Errorf("got %v", got)
	}
	if got := Sort(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestKeysOfDifferentPartsDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 2, 'a'}))
		parts := rapid.SliceOfN(part, 3, 3) // a section's keys have one number of parts
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		same := slices.Equal(a, b)
		if ka, kb := key(slices.Clone(a)...), key(slices.Clone(b)...); (ka == kb) != same {
			t.Fatalf("%q and %q give %q and %q", a, b, ka, kb)
		}
	})
}

// items makes a sorted state from a map.
func items(m map[string]string) []Item {
	var out []Item
	for k, v := range m {
		out = append(out, Item{k, []byte(v)})
	}
	slices.SortFunc(out, func(a, b Item) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return out
}

func TestDiffLeadsFromOldToNewAndDigestFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := rapid.MapOf(rapid.StringMatching(`[a-e]{1,2}`), rapid.StringMatching(`[xy]?`))
		old, new := state.Draw(t, "old"), state.Draw(t, "new")
		digest := DigestOf(items(old))
		got := map[string]string{}
		for k, v := range old {
			got[k] = v
		}
		d := Diff(items(old), items(new))
		for _, k := range d.Removed {
			digest = digest.Minus(Item{k, []byte(got[k])})
			delete(got, k)
		}
		for _, it := range d.Put {
			if v, ok := got[it.Key]; ok {
				digest = digest.Minus(Item{it.Key, []byte(v)})
			}
			digest = digest.Plus(it)
			got[it.Key] = string(it.Data)
		}
		if fmt.Sprint(got) != fmt.Sprint(new) {
			t.Fatalf("%v and %v give %v", old, d, got)
		}
		if want := DigestOf(items(new)); digest != want {
			t.Fatalf("digest %x, counted anew %x", digest, want)
		}
	})
}

func TestTimeIsRFC3339AndZeroIsNotKnown(t *testing.T) {
	at := TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.FixedZone("", 3600)))
	b, err := json.Marshal(at)
	if err != nil || string(b) != `"2026-03-01T11:00:00.005Z"` {
		t.Errorf("got %s, %v", b, err)
	}
	var back Time
	if err := json.Unmarshal(b, &back); err != nil || back != at {
		t.Errorf("back: %v, %v", back, err)
	}
	if TimeOf(time.Time{}) != 0 || !Time(0).Time().IsZero() {
		t.Error("no time is not zero")
	}
}

func TestStatusIsAWord(t *testing.T) {
	for s := StatusUnknown; s <= StatusStale; s++ {
		b, err := json.Marshal(s)
		var back Status
		if err != nil || json.Unmarshal(b, &back) != nil || back != s {
			t.Errorf("%d: %s, %v, back %v", s, b, err, back)
		}
	}
	if err := new(Status).UnmarshalText([]byte("fine")); err == nil {
		t.Error("a word that is no status was taken")
	}
}

func TestSectionsAreWhole(t *testing.T) {
	names, ids := map[string]bool{}, map[ID]bool{}
	for _, s := range Sections() {
		if names[s.Name] || ids[s.ID] || s.ID == 0 || s.Doc == "" {
			t.Errorf("section %d %q: number or name twice, or no words", s.ID, s.Name)
		}
		names[s.Name], ids[s.ID] = true, true
		if by, ok := ByName(s.Name); !ok || by.ID != s.ID || s.ID.String() != s.Name {
			t.Errorf("section %q is not found by its name and number", s.Name)
		}
		if len(s.Columns()) == 0 {
			t.Errorf("section %q has no columns", s.Name)
		}
		if slices.Contains(s.Columns(), "") {
			t.Errorf("section %q has a column without a name", s.Name)
		}
	}
}
