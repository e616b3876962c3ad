package schedule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// tree is written after the documented formats.
func tree(t testing.TB) string {
	files := map[string]string{
		"etc/debian_version":                                  "12\n",
		"etc/passwd":                                          "root:x:0:0::/root:/bin/sh\nalice:x:1000:1::/home/alice:/bin/sh\nbob:x:1001:1::/home/alice:/bin/sh\nd:x:1:1::/:/bin/sh\n",
		"etc/crontab":                                         "# c\nSHELL=/bin/sh\nPATH = \"/bin:/sbin\"\n17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly\n@reboot root /bin/boot --password x\n",
		"etc/cron.d/e2scrub":                                  "30 3 * * 0 root test -e /run/systemd/system || /sbin/e2scrub_all\n",
		"etc/cron.d/not.run":                                  "* * * * * root x\n",
		"etc/cron.d/.placeholder":                             "",
		"etc/cron.d/bad":                                      "* * * * root\nx\n61 * * * * root ok\n",
		"etc/cron.daily/man-db":                               "#!/bin/sh\n",
		"etc/cron.daily/man.sh":                               "#!/bin/sh\n",
		"etc/anacrontab":                                      "SHELL=/bin/sh\n1\t5\tcron.daily\tnice run-parts /etc/cron.daily\n@monthly 45 m x --token=y\n",
		"var/spool/cron/crontabs/alice":                       "MAILTO=a@b\n*/5 1-3 * jan mon-fri curl https://u:pw@h/ # x\n@every_minute poll\n",
		"var/spool/cron/atjobs/a0000101b2c3d4":                "#!/bin/sh\n# atrun uid=1000 gid=1000\n# mail alice 0\nSECRET=x; export SECRET\n",
		"var/spool/cron/atjobs/.SEQ":                          "1\n",
		"etc/xdg/autostart/a.desktop":                         "[Desktop Entry]\nName=Agent\nName[de]=Agentin\nExec=/usr/bin/agent --token abc\n[Other]\nName=no\n",
		"etc/xdg/autostart/off.desktop":                       "[Desktop Entry]\nExec=x\nHidden=true\n",
		"etc/rc.local":                                        "#!/bin/sh\n",
		"etc/profile.d/lang.sh":                               "x\n",
		"etc/systemd/user/default.target.wants/pulse.service": "-> /usr/lib/systemd/user/pulse.service",
		"usr/lib/systemd/user/pulse.service":                  "",
		"home/alice/.config/autostart/mail.desktop":           "[Desktop Entry]\nName=Mail\nExec=mail\nX-GNOME-Autostart-enabled=false\n",
		"home/alice/.config/systemd/user/default.target.wants/sync.service": "-> ../sync.service",
	}
	return probetest.Tree(t, files)
}

func TestJobs(t *testing.T) {
	s := probetest.Sections(probe.RootHost(tree(t)), New())["cron_jobs"]
	var got []string
	for _, row := range s.Rows {
		r := row.(*facts.CronJobRow)
		got = append(got, fmt.Sprintf("%s %s [%s] %s <%s>%d %s", r.Source, r.User, r.Schedule, r.Command, r.File, r.Line, r.Name))
	}
	want := []string{
		"anacron root [@monthly] x --token=*** </etc/anacrontab>3 m",
		"anacron root [every 1 days] nice run-parts /etc/cron.daily </etc/anacrontab>2 cron.daily",
		"crontab root [61 * * * *] ok </etc/cron.d/bad>3 ",
		"crontab root [30 3 * * 0] test -e /run/systemd/system || /sbin/e2scrub_all </etc/cron.d/e2scrub>1 ",
		"periodic root [@daily] /etc/cron.daily/man-db </etc/cron.daily/man-db>0 ",
		"crontab root [17 * * * *] cd / && run-parts --report /etc/cron.hourly </etc/crontab>4 ",
		"crontab root [@reboot] /bin/boot --password *** </etc/crontab>5 ",
		"at alice [2024-01-04T14:28:00Z] /var/spool/cron/atjobs/a0000101b2c3d4 </var/spool/cron/atjobs/a0000101b2c3d4>0 a",
		"spool alice [*/5 1-3 * jan mon-fri] curl https://u:***@h/ # x </var/spool/cron/crontabs/alice>2 ",
		"spool alice [@every_minute] poll </var/spool/cron/crontabs/alice>3 ",
	}
	for i, line := range want { // the moment is that of the name
		if strings.HasPrefix(line, "at ") && i < len(got) {
			when, ok := parseAtName("a0000101b2c3d4")
			if !ok {
				t.Error("the name of a job is not understood")
			}
			want[i] = strings.Replace(line, "2024-01-04T14:28:00Z", when.Format("2006-01-02T15:04:05Z"), 1)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s.Status != facts.StatusPartial || !strings.Contains(s.Reason, "/etc/cron.d/bad: line 1 not understood") {
		t.Errorf("status %s %q", s.Status, s.Reason)
	}
}

func TestAutostart(t *testing.T) {
	s := probetest.Sections(probe.RootHost(tree(t)), New())["autostart"]
	var got []string
	for _, row := range s.Rows {
		r := row.(*facts.AutostartRow)
		got = append(got, fmt.Sprintf("%s %s %s %q %v %s", r.Kind, r.Name, r.User, r.Exec, r.Enabled, r.Path))
	}
	want := []string{
		`profile lang.sh  "" true /etc/profile.d/lang.sh`,
		`rc-local rc.local  "" true /etc/rc.local`,
		`user-unit pulse.service  "" true /etc/systemd/user/default.target.wants/pulse.service`,
		`user-unit sync.service alice "" true /home/alice/.config/systemd/user/default.target.wants/sync.service`,
		`user-xdg Mail alice "mail" false /home/alice/.config/autostart/mail.desktop`,
		`xdg Agent  "/usr/bin/agent --token ***" true /etc/xdg/autostart/a.desktop`,
		`xdg off  "x" false /etc/xdg/autostart/off.desktop`,
	}
	if diff := cmp.Diff(want, got); diff != "" || s.Status != facts.StatusOK {
		t.Errorf("status %s %q, -want +got:\n%s", s.Status, s.Reason, diff)
	}
}

func TestNothingIsThere(t *testing.T) {
	got := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{"etc/": ""})), New())
	if got["cron_jobs"].Status != facts.StatusUnsupported || got["autostart"].Status != facts.StatusEmpty {
		t.Errorf("%+v", got)
	}
}

func TestDamagedFilesAreNamed(t *testing.T) {
	root := tree(t)
	probetest.Write(t, root, "etc/crontab", []byte("* * * * * root x\x00"))
	if err := os.Truncate(filepath.Join(root, "var/spool/cron/crontabs/alice"), 1<<31); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	s := probetest.Sections(probe.RootHost(root), New())["cron_jobs"]
	for _, part := range []string{"/etc/crontab: has NUL bytes", "alice: larger than the limit"} {
		if s.Status != facts.StatusPartial || !strings.Contains(s.Reason, part) {
			t.Errorf("status %s %q, want %q", s.Status, s.Reason, part)
		}
	}
}

func TestACrontabOfTheSystemIsToldFromAUsers(t *testing.T) {
	f := func(text string, want bool) {
		t.Helper()
		if got := hasUsers(text); got != want {
			t.Errorf("%q: users %v, want %v", text, got, want)
		}
	}
	f("01 * * * * root run-parts /etc/cron.hourly\n@daily www-data /x\n", true)
	f("01 * * * * /usr/bin/wget -q x\n", false)
	f("01 * * * * root run-parts\n* * * * * /bin/x y\n", false)
	f("@daily backup\n", false)
	f("", false)
}

func TestVariablesAreMasked(t *testing.T) {
	got, err := parseCrontab("DB_PASSWORD=\"a b\"\nURL=https://u:p@h/\nMAILTO=''\n0-59/15,3 * * * * a\n", false)
	b, jsonErr := json.Marshal(got)
	want := `{"schedule":[{"minute":["0-59/15","3"],"hour":["*"],"day_of_month":["*"],"month":["*"],"day_of_week":["*"],"command":"a"}],` +
		`"variables":[{"name":"DB_PASSWORD","value":"***"},{"name":"URL","value":"https://u:***@h/"},{"name":"MAILTO","value":""}]}`
	if string(b) != want || err != nil || jsonErr != nil {
		t.Errorf("got %s, %v", b, err)
	}
}

func TestTheStandardInputOfAJobIsMasked(t *testing.T) {
	for line, want := range map[string]string{
		"curl -u a:S h%SECRET":     "curl -u *** h%***",
		"passwd --stdin u%a%b":     "passwd --stdin u%***",
		`date +\%F`:                `date +\%F`,
		`date +\%F % x --password`: `date +\%F %***`,
		"x %":                      "x %",
		"":                         "",
	} {
		if got := jobCommand(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzCrontab(f *testing.F) {
	f.Add("SHELL=x\n* * * * * root x\n@daily y z\n1 5 n c\n[Desktop Entry]\nExec=x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, users := range []bool{true, false} {
			tab, _ := parseCrontab(s, users)
			for _, j := range tab.Schedule {
				if j.Command == "" || j.Line < 1 || users && j.User == "" {
					t.Errorf("%+v", j)
				}
			}
		}
		parseAnacrontab(s)
		parseDesktop(s)
		parseAtName(s)
		atUser(s)
	})
}

func BenchmarkUnchanged(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
