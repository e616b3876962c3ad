package identity

import "testing"

func TestJunkTellsNothingOfAMachine(t *testing.T) {
	for _, f := range []Fact{
		{FactBoardSerial, "Default string"}, {FactBoardSerial, "To be filled by O.E.M."}, {FactSystemSerial, "None"}, {FactSystemSerial, " 0123456789 "},
		{FactSystemSerial, "System Serial Number"}, {FactChassisSerial, "0000000"}, {FactChassisSerial, "."}, {FactChassisSerial, "a1"}, {FactSystemSerial, ""},
		{FactSystemUUID, "00000000-0000-0000-0000-000000000000"}, {FactSystemUUID, "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"},
		{FactSystemUUID, "03000200-0400-0500-0006-000700080009"}, {FactSystemUUID, "FEFEFEFE-FEFE-FEFE-FEFE-FEFEFEFEFEFE"},
		{FactMAC, "00:00:00:00:00:00"}, {FactMAC, "ff:ff:ff:ff:ff:ff"}, {FactMAC, "02:42:ac:11:00:02"}, {FactMAC, "01:00:5e:00:00:01"}, {FactMAC, "eth0"},
		{FactMAC, "zz:zz:zz:zz:zz:z1"}, {FactDisk, "QM00001"}, {FactDisk, "drive-scsi0"}, {FactDisk, "rootdisk"}, {FactBoardSerial, "Standard PC"}, {FactInstance, "nocloud"},
	} {
		if f.Value = CleanFact(f.Value); f.Junk() == "" {
			t.Errorf("%s %q counts as a fact", f.Kind, f.Value)
		}
	}
}

func TestValuesOfMachinesAreNoJunk(t *testing.T) {
	for _, f := range []Fact{
		{FactSystemUUID, "4C4C4544-0051-3610-8052-B4C04F564433"}, {FactBoardSerial, "CN7220069C00AB"}, {FactSystemSerial, "5Q6RVD3"}, {FactChassisSerial, "CZJ12345WX"},
		{FactMAC, "3C:EC:EF:12:34:56"}, {FactMAC, "52:54:00:AB:CD:EF"}, {FactMAC, "00:50:56:9a:01:02"}, {FactDisk, "naa.5000c500a1b2c3d4"}, {FactDisk, "eui.0025388b01c2a3f4"},
		{FactInstance, "i-0abc1234def567890"}, {FactMachineID, "93b885adfe0da089"},
	} {
		if why := (Fact{f.Kind, CleanFact(f.Value)}).Junk(); why != "" {
			t.Errorf("%s %q is junk: %s", f.Kind, f.Value, why)
		}
	}
}

func FuzzJunk(f *testing.F) {
	f.Add(byte(FactMAC), "52:54:00:ab:cd:ef")
	f.Add(byte(FactSystemUUID), "\xff\x00")
	f.Fuzz(func(t *testing.T, kind byte, value string) {
		fact := Fact{FactKind(kind), CleanFact(value)}
		if CleanFact(fact.Value) != fact.Value {
			t.Errorf("%q is not clean", fact.Value)
		}
		if why := fact.Junk(); fact.Value == "" && why == "" {
			t.Error("nothing counts as a fact")
		}
	})
}
