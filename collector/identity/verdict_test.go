package identity

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	hostid "atalaya/shared/identity"
)

// facts reads "uuid=.. sys=.. board=.. chassis=.. mac=.. disk=.. cloud=.. machine=..".
func factsOf(text string) []hostid.Fact {
	names := map[string]hostid.FactKind{"uuid": hostid.FactSystemUUID, "sys": hostid.FactSystemSerial, "board": hostid.FactBoardSerial, "chassis": hostid.FactChassisSerial,
		"mac": hostid.FactMAC, "disk": hostid.FactDisk, "cloud": hostid.FactInstance, "machine": hostid.FactMachineID}
	var out []hostid.Fact
	for _, word := range strings.Fields(text) {
		name, value, ok := strings.Cut(word, "=")
		if !ok || names[name] == 0 {
			panic(word)
		}
		out = append(out, hostid.Fact{Kind: names[name], Value: hostid.CleanFact(strings.ReplaceAll(value, "_", " "))})
	}
	return out
}

func plainJunk(f hostid.Fact) string { return f.Junk() }

const (
	uuidA, uuidB = "uuid=4c4c4544-0051-3610-8052-b4c04f564433", "uuid=7d1e20c4-95aa-4f0e-9c1b-0f1e2d3c4b5a"
	macA, macB   = "mac=3c:ec:ef:12:34:56", "mac=3c:ec:ef:65:43:21"
	diskA, diskB = "disk=naa.5000c500a1b2c3d4", "disk=naa.5000c500d4c3b2a1"
	server       = uuidA + " sys=5Q6RVD3 board=CN7220069C00AB chassis=5Q6RVD3 " + macA + " " + diskA + " machine=93b885adfe0da089"
	vm           = uuidA + " mac=52:54:00:12:34:56 machine=93b885adfe0da089"
)

func TestSameKeyIsJudgedByTheHardware(t *testing.T) {
	for _, c := range []struct {
		name, known, now string
		kind             Kind
		refuse           bool
		says             string
	}{
		{"same", server, server, "", false, "system uuid, system serial, board serial"},
		{"no facts at all", "", "", "", false, "no fact"},
		{"an old agent is updated", "", server, "", false, "no fact"},
		{"the agent lost its rights", server, macA + " machine=93b885adfe0da089", "", false, "network card and machine-id agree"},
		{"network card replaced", server, strings.Replace(server, macA, macB, 1), CardReplaced, false, "network card differs"},
		{"network card added", server, server + " " + macB, "", false, "agree"},
		{"disk replaced", server, strings.Replace(server, diskA, diskB, 1), DiskReplaced, false, "disk differs"},
		{"board swapped", server, uuidB + " sys=5Q6RVD3 board=CN7220069C00XX chassis=5Q6RVD3 " + macB + " " + diskA, BoardSwapped, false, "system uuid, board serial and network card differ"},
		{"board swapped with all its serials, card kept", server, uuidB + " sys=99ZZ board=CN7220069C00XX chassis=77YY8 " + macA + " " + diskA, BoardSwapped, false, ""},
		{"board and disk new, case kept", server, uuidB + " sys=5Q6RVD3 board=CN7220069C00XX chassis=5Q6RVD3 " + macB + " " + diskB, BoardSwapped, false, ""},
		{"disk moved", server, uuidB + " sys=99ZZ1 board=CN7220069C00XX chassis=77YY8 " + macB + " " + diskA + " machine=93b885adfe0da089", DiskMoved, false, "disk and machine-id agree"},
		{"chassis alone differs", server, strings.Replace(server, "chassis=5Q6RVD3", "chassis=77YY8", 1), HardwareChanged, false, "chassis serial differ"},
		{"state folder copied", server, uuidB + " sys=99ZZ1 board=CN7220069C00XX chassis=77YY8 " + macB + " " + diskB + " machine=aaaa85adfe0da089", StateCopied, true, "nothing agrees"},
		{"to another blade of the enclosure", server, uuidB + " sys=99ZZ1 board=CN7220069C00XX chassis=5Q6RVD3 " + macB + " " + diskB + " machine=aaaa85adfe0da089", StateCopied, true, "chassis serial agrees"},
		{"to a machine that took the card over", server, uuidB + " sys=99ZZ1 board=CN7220069C00XX " + macA + " " + diskB + " machine=aaaa85adfe0da089", StateCopied, true, ""},
		{"virtual machine cloned", vm, uuidB + " mac=52:54:00:65:43:21 machine=93b885adfe0da089", Cloned, true, "machine-id agrees"},
		{"cloned, UUID alone is told", uuidA, uuidB, StateCopied, true, ""},
		{"a container's card is not enough", macA, macB, CardReplaced, false, ""},
		{"junk differs", "board=Default_string sys=None " + macA, "board=To_be_filled_by_O.E.M. sys=0123456789 " + macA, "", false, "network card agrees"},
		{"junk agrees", "uuid=03000200-0400-0500-0006-000700080009 board=Default_string " + macA + " " + diskA,
			"uuid=03000200-0400-0500-0006-000700080009 board=Default_string " + macB + " " + diskB, StateCopied, true, "nothing agrees"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			v := SameKey(factsOf(c.known), factsOf(c.now), plainJunk)
			if v.Kind != c.kind || v.Refuse != c.refuse || !strings.Contains(v.Text, c.says) {
				t.Errorf("got %q, refuse %v: %s", v.Kind, v.Refuse, v.Text)
			}
		})
	}
}

func TestNewKeyIsAKnownMachineOnlyWithProof(t *testing.T) {
	for _, c := range []struct {
		name, known, now string
		kind             Kind // "": another machine
		says             string
	}{
		{"reimaged", server, strings.Replace(server, "machine=93b885adfe0da089", "machine=cccc85adfe0da089", 1), Reimaged, "installed anew"},
		{"reimaged on a new disk", server, strings.Replace(strings.Replace(server, diskA, diskB, 1), "machine=93", "machine=cc", 1), Reimaged, "disk and machine-id differ"},
		{"state lost", server, server, Reinstalled, "lost its state"},
		{"state lost in a virtual machine", vm, vm, Reinstalled, ""},
		{"virtual machine reimaged", vm, strings.Replace(vm, "machine=93", "machine=cc", 1), Reimaged, ""},
		{"template cloned", vm, uuidB + " mac=52:54:00:65:43:21 machine=93b885adfe0da089", "", "system UUID differs"},
		{"serials alone", "sys=5Q6RVD3 board=CN7220069C00AB", "sys=5Q6RVD3 board=CN7220069C00AB", "", "no UUID, network card or disk agrees"},
		{"UUID alone", uuidA, uuidA, "", "not enough agrees: 60 for and 0 against"},
		{"a travelling card alone", macA, macA, "", "not enough agrees"},
		{"a moved disk and nothing else", server, diskA + " machine=93b885adfe0da089 " + macB + " board=OTHER1", "", "not enough agrees"},
		{"nothing", "", "", "", "no fact of the hardware can be compared"},
		{"junk", "board=Default_string sys=Default_string uuid=00000000-0000-0000-0000-000000000000", "board=Default_string sys=Default_string uuid=00000000-0000-0000-0000-000000000000", "", "no fact of the hardware can be compared"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			v := SameMachine(factsOf(c.known), factsOf(c.now), plainJunk)
			if v.Kind != c.kind || v.Refuse != (c.kind == "") || !strings.Contains(v.Text, c.says) {
				t.Errorf("got %q, refuse %v: %s", v.Kind, v.Refuse, v.Text)
			}
		})
	}
}

func TestEveryFactIsExplained(t *testing.T) {
	c := Compare(factsOf(server+" board=Default_string "+macB), factsOf(strings.Replace(server, diskA, diskB, 1)+" sys=None mac=3c:ec:ef:00:00:09 mac=02:42:ac:11:00:02"), plainJunk)
	var got []string
	for _, l := range c.Lines {
		got = append(got, fmt.Sprintf("%s %s %d", l.Fact, l.Agreement, l.Weight))
	}
	want := []string{"system uuid agrees 60", "system serial junk 0", "system serial agrees 50", "board serial junk 0", "board serial agrees 50", "chassis serial agrees 30",
		"network card junk 0", "network card agrees 40", "network card gone 0", "network card new 0", "disk differs -50", "machine-id agrees 40"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if c.For != 60+50+50+30+40+40 || c.Against != 50 {
		t.Errorf("%d for, %d against", c.For, c.Against)
	}
}

func TestEightCardsWeighNoMoreThanTwo(t *testing.T) {
	var text strings.Builder
	for i := range 8 {
		fmt.Fprintf(&text, "mac=3c:ec:ef:00:00:%02d ", i+10)
	}
	if c := Compare(factsOf(text.String()), factsOf(text.String()), plainJunk); c.For != 80 || len(c.Lines) != 8 {
		t.Errorf("%d of %d facts", c.For, len(c.Lines))
	}
}

func TestWhatManyHostsHaveIsJunk(t *testing.T) {
	learned := func(f hostid.Fact) string {
		if f.Kind == hostid.FactSystemUUID {
			return "3 hosts or more of this fleet have it"
		}
		return f.Junk()
	}
	if v := SameMachine(factsOf(vm), factsOf(strings.Replace(vm, "52:54:00:12:34:56", "52:54:00:65:43:21", 1)), learned); !v.Refuse || !slices.ContainsFunc(v.Lines, func(l Line) bool { return l.Agreement == Junk && strings.Contains(l.Why, "3 hosts") }) {
		t.Errorf("%+v", v)
	}
}

func TestAlternates(t *testing.T) {
	for text, want := range map[string]bool{"": false, "1 2": false, "1 2 1": false, "1 2 1 2": true, "9 1 2 1 2": true, "1 2 3 2": false, "1 2 1 3": false, "1 2 1 3 1": false, "1 1 1 1": false} {
		var last []uint64
		for _, w := range strings.Fields(text) {
			last = append(last, uint64(w[0]-'0'))
		}
		if got := Alternates(last); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
