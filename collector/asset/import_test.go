package asset

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (d *desk) load(content string, change ...func(*Import)) (Plan, error) {
	in := Import{Content: []byte(content), File: "list.csv", Key: FieldTag, Apply: true, By: "ana"}
	for _, c := range change {
		c(&in)
	}
	return d.Import(in)
}

func TestImportPreviewsThenAppliesThenChangesNothing(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana", "status=in_use")
	content := "Asset Tag;Owner;Status;Purchase Date;Price\nIT-1;Ben;;;\nIT-2;Cleo;planned;1.2.2026;1.299,00 EUR\nIT-3;Dan;in stock;;99 EUR\nIT-1;Eve;;;\n;Fay;;;\nIT-4;x;nowhere;;\n"
	preview := func(in *Import) { in.Apply = false }
	plan, err := d.load(content, preview)
	if err != nil {
		t.Fatal(err)
	}
	plan.Columns = nil
	want := Plan{Separator: ';', Ignored: []string{}, Added: 1, Changed: 1, Refused: 4, Rows: []PlanRow{
		{Line: 2, Action: Changed, Asset: 1, Label: "A1 (IT-1)", Fields: []FieldChange{{Field: "owner", Old: "Ana", New: "Ben"}}},
		{Line: 3, Action: Refused, Label: "IT-2", Reason: `price: "1.299,00 EUR": want an amount with its currency, such as 1234.50 EUR, and nothing between thousands`},
		{Line: 4, Action: Added, Asset: 2, Label: "IT-3", Fields: []FieldChange{
			{Field: "status", New: "in_stock"}, {Field: "asset_tag", New: "IT-3"}, {Field: "owner", New: "Dan"}, {Field: "price", New: "99 EUR"}}},
		{Line: 5, Action: Refused, Label: "IT-1", Reason: `asset_tag "IT-1" stands in line 2 already`},
		{Line: 6, Action: Refused, Reason: "asset_tag is empty: it is what the row finds its asset by"},
		{Line: 7, Action: Refused, Label: "IT-4", Reason: `status: "nowhere": want one of planned, in_stock, in_use, in_repair, retired, disposed`},
	}}
	for i := range plan.Rows {
		if plan.Rows[i].Action == Refused && i == 3 {
			plan.Rows[i].Asset = 0
		}
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Fatal(diff)
	}
	if a := d.asset("IT-1"); a.Values["owner"] != "Ana" {
		t.Error("the preview was written")
	}
	if plan, err = d.load(content); err != nil || plan.Applied || d.asset("IT-1").Values["owner"] != "Ana" {
		t.Fatalf("with refused rows nothing is applied: %+v, %v", plan, err)
	}
	skip := func(in *Import) { in.SkipRefused = true }
	if plan, err = d.load(content, skip); err != nil || !plan.Applied || d.asset("IT-1").Values["owner"] != "Ben" {
		t.Fatalf("%+v, %v", plan, err)
	}
	if plan, err = d.load(content, skip); err != nil || plan.Added+plan.Changed != 0 || plan.Unchanged != 2 {
		t.Errorf("a second import: %+v, %v", plan, err)
	}
	if _, history, _, err := d.History("IT-3", 0, 9); err != nil || history[0].Note != "import of list.csv" {
		t.Errorf("%+v, %v", history, err)
	}
}

func TestImportTakesFilesAsTheyCome(t *testing.T) {
	f := func(content string, want ...string) {
		t.Helper()
		d := newDesk(t)
		plan, err := d.load(content)
		if err != nil || !plan.Applied {
			t.Errorf("%q: %+v, %v", content, plan, err)
			return
		}
		got := d.asset("IT-1").Values
		if diff := cmp.Diff(values(append([]string{"asset_tag=IT-1"}, want...)...), got); diff != "" {
			t.Errorf("%q:\n%s", content, diff)
		}
	}
	f("\ufeffasset_tag,owner\r\nIT-1,Ana\r\n", "owner=Ana")
	f("asset_tag\towner\nIT-1\tAna, Ben", "owner=Ana, Ben")
	f("sep=;\r\nasset_tag;owner\r\nIT-1;Ana\r\n", "owner=Ana")
	f("\"asset_tag\",\"owner\",notes\nIT-1,,\"two\r\nlines \"\"quoted\"\"\"\n", "notes=two\nlines \"quoted\"")
	f("asset_tag,Serial Number,Purchase Cost,Cost Center\nIT-1,S1,5 EUR,CC 7\n\n", "serial=S1", "price=5 EUR", "cost_centre=CC 7")
	f("asset_tag,name,owner\nIT-1,'=1+1,'-x\n", "name==1+1", "owner=-x")
	f("asset_tag,owner\nIT-1\n")
}

func TestImportMapsColumns(t *testing.T) {
	d := newDesk(t)
	mapped := func(in *Import) {
		in.Map = map[string]string{"Inventarnummer": "asset_tag", "Farbe": "-", "Preis": "price"}
		in.Currency = "eur"
	}
	plan, err := d.load("Inventarnummer,Farbe,Preis\nIT-1,rot,12.5\n", mapped)
	if err != nil || !plan.Applied || d.asset("IT-1").Values["price"] != "12.50 EUR" {
		t.Fatalf("%+v, %v", plan, err)
	}
	_, err = d.load("Inventarnummer,Preis\n", mapped)
	refused(t, err, ErrInvalid, `no column "Farbe"`)
	_, err = d.load("asset_tag,Ownr,Frabe\nIT-1,x,y\n")
	refused(t, err, ErrInvalid, `"Ownr" (did you mean owner?), "Frabe"`, "Fields: name, kind, status", "--map")
	_, err = d.load("asset_tag,owner,Assigned To\n")
	refused(t, err, ErrInvalid, `"owner" and "Assigned To" are both the field owner`)
	_, err = d.load("owner\nAna\n")
	refused(t, err, ErrInvalid, "no column is asset_tag", "--key")
	_, err = d.load("serial\nS1\n", func(in *Import) { in.Key = "owner" })
	refused(t, err, ErrInvalid, "want asset_tag, serial or name")
}

func TestImportRefusesWhatItCannotRead(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := newDesk(t).load(content)
		refused(t, err, ErrInvalid, want)
	}
	f("", "the file is empty")
	f("\xff\xfea\x00", "UTF-16")
	f("asset_tag,own\xe9r\nIT-1,Ana\n", "line 1: invalid: not UTF-8")
	f("asset_tag,owner\nIT-1,\"Ana\nIT-2,Ben\n", "line 3: ")
	f("asset_tag,owner\nIT-1,A\"na\n", "line 2: ")
	f(strings.Repeat("a,", maxColumns)+"\n", "more than 200 columns")
	f("asset_tag\n"+strings.Repeat("x\n", maxRows+1), "more than 100000 rows")
	f(strings.Repeat("x", MaxFile+1), "at most")
}

// TestImportRefusesRowsThatAreNoText: the other rows have their own reasons, and nothing
// counts as missing that may stand in a row which cannot be read.
func TestImportRefusesRowsThatAreNoText(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-4")
	content := "asset_tag,owner,status\nIT-1,J\xfcrgen,\nIT-2,Ana,\nIT-3,x,nowhere\n"
	plan, err := d.load(content, func(in *Import) { in.SkipRefused = true })
	if err != nil || plan.Added != 1 || plan.Refused != 2 || !plan.Applied {
		t.Fatal(plan, err)
	}
	for i, want := range map[int]string{0: `not UTF-8 in "J?rgen": save the file as`, 2: `status: "nowhere": want one of`} {
		if got := plan.Rows[i].Reason; !strings.HasPrefix(got, want) {
			t.Errorf("row %d: %s, want %s", i, got, want)
		}
	}
	_, err = d.load(content, func(in *Import) { in.SkipRefused, in.DeleteMissing = true, true })
	refused(t, err, ErrInvalid, "line 2 cannot be read: mend it first")
}

func TestImportTakesAnExportWithAFieldThatEndsInAnUnderscore(t *testing.T) {
	d := newDesk(t)
	if err := d.Define(Field{Name: "rack_", Type: Text}, "amy"); err != nil {
		t.Fatal(err)
	}
	d.add("asset_tag=IT-1", "rack_=7")
	var b strings.Builder
	if err := d.Export(&b); err != nil {
		t.Fatal(err)
	}
	if plan, err := d.load(b.String()); err != nil || plan.Unchanged != 1 {
		t.Error(plan, err)
	}
	if err := d.Define(Field{Name: "rack", Type: Text}, "amy"); err != nil {
		t.Error(err)
	}
	if plan, err := d.load("asset_tag,Rack \nIT-1,8\n"); err != nil || plan.Changed != 1 || plan.Rows[0].Fields[0].Field != "rack" {
		t.Error(plan, err)
	}
}

func TestANumberIsNeverAmbiguous(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1")
	d.add("asset_tag=A1")
	d.add("asset_tag=A99")
	for ref, want := range map[string]ID{"A1": 1, "A2": 2, "A99": 3} {
		if a, err := d.Asset(ref); err != nil || a.ID != want {
			t.Errorf("%s is %v, %v; want %v", ref, a.ID, err, want)
		}
	}
}

func TestImportRemovesWhatIsMissingWhenTold(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1")
	d.add("asset_tag=IT-2")
	d.add("asset_tag=IT-3")
	d.add("name=without a tag")
	if _, err := d.Lock("IT-3", []string{"owner"}, "cfo", ""); err != nil {
		t.Fatal(err)
	}
	plan, err := d.load("asset_tag,owner\nIT-1,Ana\n", func(in *Import) { in.DeleteMissing, in.SkipRefused = true, true })
	if err != nil || plan.Removed != 1 || plan.Refused != 1 || plan.Changed != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	list, _, err := d.Assets(Query{})
	if err != nil || len(list) != 3 {
		t.Errorf("%d assets left, %v", len(list), err)
	}
}

func TestEmptyCellsClearOnlyWhenTold(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana")
	if plan, err := d.load("asset_tag,owner\nIT-1,\n"); err != nil || plan.Unchanged != 1 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if plan, err := d.load("asset_tag,owner\nIT-1,\n", func(in *Import) { in.ClearEmpty = true }); err != nil || plan.Changed != 1 || d.asset("IT-1").Values["owner"] != "" {
		t.Fatalf("%+v, %v", plan, err)
	}
}

func TestExportComesBackAsItWas(t *testing.T) {
	d := newDesk(t)
	d.Host(1, "web1", "web")
	if err := d.Define(Field{Name: "delta", Type: Number}, "ana"); err != nil {
		t.Fatal(err)
	}
	d.add("asset_tag=IT-1", "name==HYPERLINK(\"http://x\")", "notes=one\ntwo, \"three\"; four", "price=1.5 EUR", "delta=-5")
	d.add("asset_tag='quoted", "owner=@SUM(A1)", "location='-x")
	d.add("asset_tag=IT-3", "host=web1")
	d.add("name=without a tag")
	if _, err := d.Lock("IT-1", []string{"owner", "price"}, "cfo", "audit"); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := d.Export(&first); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"'=HYPERLINK(""http://x"")"`, ",'@SUM(A1),", ",-5,", ",''-x,"} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("the export lacks %s:\n%s", want, first.String())
		}
	}
	if plan, err := d.load(first.String()); err != nil || plan.Unchanged != 4 || plan.Added+plan.Changed+plan.Refused != 0 {
		t.Fatalf("into the same book: %+v, %v", plan, err)
	}
	other := newDesk(t)
	other.Host(1, "web1", "web")
	if err := other.Define(Field{Name: "delta", Type: Number}, "ana"); err != nil {
		t.Fatal(err)
	}
	if plan, err := other.load(first.String()); err != nil || plan.Added != 3 && plan.Refused != 1 {
		t.Fatalf("into an empty book, where the one without a tag cannot be known again: %+v, %v", plan, err)
	}
	if _, err := d.Remove("A4", "ana", ""); err != nil {
		t.Fatal(err)
	}
	first.Reset()
	if err := d.Export(&first); err != nil {
		t.Fatal(err)
	}
	if plan, err := other.load(first.String()); err != nil || plan.Added != 3 {
		t.Fatalf("into an empty book: %+v, %v", plan, err)
	}
	if err := other.Export(&second); err != nil || first.String() != second.String() {
		t.Errorf("%v\n%s", err, cmp.Diff(first.String(), second.String()))
	}
	refused(t, other.set("IT-1", "price=2 EUR"), ErrConflict, "price of A1 (IT-1) is locked by")
	if plan, err := other.load("asset_tag,locked\nIT-1,location\nIT-8,nosuch\n"); err != nil || plan.Unchanged != 1 || plan.Refused != 1 || !strings.Contains(plan.Rows[0].Reason, "nosuch") {
		t.Errorf("locks of an asset that is there, and of no field: %+v, %v", plan, err)
	}
	if plan, err := other.load("asset_tag,locked\nIT-9,owner\n", func(in *Import) { in.Map = map[string]string{"locked": "-"} }); err != nil || plan.Added != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
	if err := other.set("IT-9", "owner=Ben"); err != nil {
		t.Errorf("after the column was left out: %v", err)
	}
}

func TestImportOfManyRows(t *testing.T) {
	d := newDesk(t)
	var b strings.Builder
	b.WriteString("asset_tag,name,serial,status,owner,location,purchased,price,notes\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "IT-%05d,pc-%d,SN%07d,in_use,owner %d,Room %d,2025-01-%02d,%d.99 EUR,bought in lot %d\n", i, i, i, i%300, i%80, i%28+1, 400+i%900, i%20)
	}
	begin := time.Now()
	plan, err := d.load(b.String())
	if err != nil || plan.Added != 2000 {
		t.Fatalf("%d added, %v", plan.Added, err)
	}
	first := time.Since(begin)
	begin = time.Now()
	if plan, err = d.load(b.String()); err != nil || plan.Unchanged != 2000 {
		t.Fatalf("%d unchanged, %v", plan.Unchanged, err)
	}
	t.Logf("2,000 rows of 9 columns: %v, again %v", first, time.Since(begin))
}

// FuzzImport asserts that no file breaks the reader, that what is applied is unchanged
// when it comes again, and that an export comes back as it was.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		"asset_tag,owner\nIT-1,Ana\n", "\ufeffasset_tag;price\r\nIT-1;12,50 EUR\r\n", "asset_tag\tnotes\nIT-1\t\"a\nb\"\n", "sep=;\nasset_tag;tags\nx;a b\n",
		"asset_tag,name\n'=x,'=1+1\n", "asset_tag,status\na,planned\na,disposed\n", "\xff\xfe", "asset_tag,\"", ",,,\n,,\n", "asset_tag,serial,host\n1,2,3\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 4096 {
			t.Skip("a file of this size only takes time")
		}
		d := newDesk(t)
		load := func(content []byte) (Plan, error) {
			return d.load(string(content), func(in *Import) { in.SkipRefused = true })
		}
		plan, err := load(content)
		if err != nil {
			return
		}
		again, err := load(content)
		if err != nil || again.Added+again.Changed != 0 || again.Unchanged != plan.Added+plan.Unchanged {
			t.Fatalf("the second time: %+v, %v, the first %+v", again, err, plan)
		}
		var out bytes.Buffer
		if err := d.Export(&out); err != nil {
			t.Fatal(err)
		}
		if back, err := load(out.Bytes()); err != nil || back.Added+back.Changed+back.Refused != 0 {
			t.Fatalf("the export: %+v, %v:\n%q", back, err, out.String())
		}
	})
}
