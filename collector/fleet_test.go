package collector

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"atalaya/collector/cmdb"
	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// fleetHosts is how many hosts the figures of the state file are made with:
//
//	go test ./collector -run FleetFigures -v -args -fleet 10000 -days 30
var (
	fleetHosts = flag.Int("fleet", 0, "hosts of TestFleetFigures, 0: it is skipped")
	fleetGrain = flag.Duration("grain", time.Second, "precision of the moments of installation in TestFleetFigures")
	fleetCMDB  = flag.Bool("cmdb", true, "keep the CMDB in TestFleetFigures")
	fleetAPI   = flag.Bool("api", true, "start the collector in TestFleetFigures and ask through its API")
	fleetDays  = flag.Int("days", 30, "days of changes of TestFleetFigures")
)

// fleetCommit is how many batches go into one transaction.
const fleetCommit = 100

type fleet struct {
	*distribution
	t       *testing.T
	s       *store.Store
	views   []func(context.Context) error
	start   time.Time
	digests []facts.Digest // of each host's packages
}

// newFigureFleet is a fleet that enrolls at such a moment that its days end yesterday.
func newFigureFleet(t *testing.T, s *store.Store, hosts int) *fleet {
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -*fleetDays-1)
	return &fleet{distribution: newDistribution(), t: t, s: s, start: start, digests: make([]facts.Digest, hosts)}
}

func (f *fleet) apply(ds []store.Delivery) {
	out, err := f.s.Apply(ds)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range out {
		if o.Err != nil || o.Failed != nil || len(o.Resync) > 0 {
			f.t.Fatalf("%+v", o)
		}
	}
}

func (f *fleet) catchUp() {
	for _, v := range f.views {
		if err := v(context.Background()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// cpu returns the processor time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (f *fleet) sizes(what string, hosts int) string {
	f.t.Helper()
	tables, err := f.s.Tables()
	if err != nil {
		f.t.Fatal(err)
	}
	total := uint64(0)
	for _, t := range tables {
		total += t.Pages
		f.t.Logf("  %-20s %9d records %12d bytes, %7.0f a host, %3.0f %% of the pages", t.Name, t.Records, t.Pages, float64(t.Pages)/float64(hosts), 100*float64(t.Bytes)/float64(t.Pages+1))
	}
	bySection := map[facts.ID]int{}
	err = f.s.View(func(tx *store.Tx) error {
		return tx.Table("store.held").Scan(nil, func(k, v []byte) error {
			bySection[facts.ID(binary.BigEndian.Uint16(k[4:]))] += len(k) + len(v) + 20
			return nil
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, sec := range facts.Sections() {
		if n := bySection[sec.ID]; n > 0 {
			f.t.Logf("  of store.held: %-20s %6d a host", sec.Name, n/hosts)
		}
	}
	f.t.Logf("%s: %.0f bytes a host in pages in use", what, float64(total)/float64(hosts))
	return fmt.Sprintf("%.0f", float64(total)/float64(hosts))
}

// quantiles runs q n times.
func (f *fleet) quantiles(what string, n int, q func(i int)) {
	f.t.Helper()
	var took []time.Duration
	for i := range n {
		begin := time.Now()
		q(i)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	f.t.Logf("%s: p50 %v, p99 %v, of %d", what, took[n/2], took[n*99/100], n)
}

func TestFleetFigures(t *testing.T) {
	n := *fleetHosts
	if n == 0 {
		t.Skip("give a number of hosts: -args -fleet 1000")
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(data, store.FileName)
	s, err := store.Open(store.Config{Path: path, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	f := newFigureFleet(t, s, n)
	inv := inventory.New(s)
	f.views = append(f.views, inv.CatchUp)
	if *fleetCMDB {
		f.views = append(f.views, cmdb.New(s).CatchUp)
	}
	var figures []figure
	f.inventories(n)
	figures = append(figures, figure{"bytes a host, first inventory", f.sizes("after first inventories", n), "10,000"})
	f.changes(n)
	f.assets(n)
	if *fleetDays > 0 {
		figures = append(figures, figure{fmt.Sprintf("bytes a host, %d days of changes", *fleetDays), f.sizes(fmt.Sprintf("after %d days", *fleetDays), n), ""})
	}
	f.questions(inv, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err == nil {
		figures = append(figures, figure{"state file", fmt.Sprintf("%d MB", info.Size()>>20), ""})
	}
	if *fleetAPI {
		f.asUsersDo(data, &figures)
	}
	printFigures(t, figures)
}

// fleetTags are what is said of a host: each tenth is tagged web.
func fleetTags(host int) []string {
	if host%10 == 0 {
		return []string{"web"}
	}
	return nil
}

// inventories brings the first inventory of each host.
func (f *fleet) inventories(n int) {
	var inStore, inViews time.Duration
	for h := 0; h < n; h += fleetCommit {
		var ds []store.Delivery
		err := f.s.Update(func(tx *store.Tx) error {
			for i := h; i < min(n, h+fleetCommit); i++ {
				if err := tx.PutHost(store.Host{ID: f.id(i), Name: fmt.Sprintf("host%05d", i), OS: "linux", Arch: "amd64", EnrolledAt: f.start, Tags: fleetTags(i)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
		for i := h; i < min(n, h+fleetCommit); i++ {
			ds = append(ds, f.first(i))
		}
		begin := cpu()
		f.apply(ds)
		inStore += cpu() - begin
		begin = cpu()
		f.catchUp()
		inViews += cpu() - begin
	}
	f.t.Logf("first inventory: %v CPU a host in the store, %v in the views", inStore/time.Duration(n), inViews/time.Duration(n))
}

// changes lets days go by: each host goes a patch level up every fourth day.
func (f *fleet) changes(n int) {
	var inStore, inViews time.Duration
	batches, rows := 0, 0
	for day := 1; day <= *fleetDays; day++ {
		var ds []store.Delivery
		for host := range n {
			if level := day / 4; (host+day)%4 == 0 && level > 0 && level < fleetLevels {
				d := f.upgrade(host, level, f.start.Add(time.Duration(day)*24*time.Hour+time.Duration(host%80_000)*time.Second))
				rows += len(d.Batch.Updates[0].Put)
				ds = append(ds, d)
			}
			if len(ds) == fleetCommit || host == n-1 {
				begin := cpu()
				f.apply(ds)
				inStore += cpu() - begin
				batches += len(ds)
				ds = ds[:0]
			}
		}
		begin := cpu()
		f.catchUp()
		inViews += cpu() - begin
	}
	if batches > 0 {
		f.t.Logf("%d deltas of %d rows: %v CPU each in the store, %v in the views", batches, rows/batches, inStore/time.Duration(batches), inViews/time.Duration(batches))
	}
}

func (f *fleet) questions(inv *inventory.View, n int) {
	ask := func(at time.Time, i int) int {
		row := f.row(i%basePackages, 5)
		res, err := inv.FindPackage(inventory.PackageQuery{Name: row.Name, Below: row.Version, Limit: 100, At: at})
		if err != nil {
			f.t.Fatal(err)
		}
		return res.Total
	}
	f.quantiles("package below a version", 2000, func(i int) { ask(time.Time{}, i) })
	for _, days := range []int{1, *fleetDays} {
		at := f.start.Add(time.Duration(*fleetDays-days+1) * 24 * time.Hour)
		f.quantiles(fmt.Sprintf("the same as of %d days ago", days), 10, func(i int) { ask(at, i) })
		f.quantiles(fmt.Sprintf("packages of one host as of %d days ago", days), 50, func(i int) {
			err := f.s.View(func(tx *store.Tx) error {
				state, err := tx.AsOf(at)
				if err != nil {
					return err
				}
				return state.Rows(uint32(i%n+1), facts.Packages, func(string, []byte) error { return nil })
			})
			if err != nil {
				f.t.Fatal(err)
			}
		})
	}
}
