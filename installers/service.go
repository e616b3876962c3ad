package installers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kardianos/service"
)

// Service is one of the two programs as the system's service manager sees it.
type Service struct {
	Name        string                      // of the unit, without its type
	Title       string                      // for people, in the Windows service list
	Description string                      // one line
	Args        []string                    // that make the program do its work
	Unit        func(command string) string // systemd unit for a command line
	Hint        string                      // what to look at when it does not start; may be empty
	Sysusers    string                      // sysusers.d(5) line of a system user with the service's name, made under systemd; may be empty
}

// ErrNotInstalled is returned by Status, Start, Stop and Uninstall for an unknown service.
var ErrNotInstalled = errors.New("the service is not installed")

// program adapts a blocking function to the library's Start and Stop.
type program struct {
	run    func(context.Context) error
	cancel context.CancelFunc
	done   chan error
}

func (p *program) Start(service.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done = cancel, make(chan error, 1)
	go func() { p.done <- p.run(ctx) }()
	return nil
}

func (p *program) Stop(service.Service) error {
	p.cancel()
	return <-p.done
}

func (s Service) open(p *program) (service.Service, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	words := []string{Quote(exe)}
	for _, a := range s.Args {
		words = append(words, Quote(a))
	}
	// The library's template engine expands {{ }}; the unit is complete as it is.
	unit := strings.ReplaceAll(s.Unit(strings.Join(words, " ")), "{{", "{ {")
	svc, err := service.New(p, &service.Config{
		Name:        s.Name,
		DisplayName: s.Title,
		Description: s.Description,
		Executable:  exe,
		Arguments:   s.Args,
		Option: service.KeyValue{
			"SystemdScript":          unit,
			"OnFailure":              "restart", // Windows: the library's own default is to do nothing
			"OnFailureDelayDuration": "5s",
			"RunAtLoad":              true, // launchd
		},
	})
	if errors.Is(err, service.ErrNoServiceSystemDetected) {
		return nil, fmt.Errorf("%w: start the program by hand: %s", err, strings.Join(words, " "))
	}
	return svc, err
}

// do runs one verb of the service manager and explains its refusals.
func (s Service) do(verb string, f func(service.Service) error) error {
	svc, err := s.open(&program{})
	if err != nil {
		return fmt.Errorf("%s service %s: %w", verb, s.Name, err)
	}
	err = f(svc)
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrPermission) || os.Geteuid() > 0 {
		return fmt.Errorf("%s service %s: permission denied (run as root)", verb, s.Name)
	}
	// The library does not pass on what systemctl says, only its exit status.
	if _, st := svc.Status(); errors.Is(err, service.ErrNotInstalled) || errors.Is(st, service.ErrNotInstalled) && verb != "install" {
		return fmt.Errorf("%s service %s: %w (run the install command first)", verb, s.Name, ErrNotInstalled)
	}
	if verb == "install" && strings.Contains(err.Error(), "already exists") {
		return fmt.Errorf("%s service %s: it is installed already (run the uninstall command first to replace it)", verb, s.Name)
	}
	if verb == "install" {
		return fmt.Errorf("%s service %s: %w", verb, s.Name, err)
	}
	return fmt.Errorf("%s service %s: %w (%s)", verb, s.Name, err, s.advice(verb, svc))
}

// advice names the next step when the service manager refuses.
func (s Service) advice(verb string, svc service.Service) string {
	words := []string{"the service manager is " + svc.Platform()}
	if svc.Platform() == systemd {
		words = []string{"the reason is in the log: journalctl -u " + s.Name}
	}
	if verb == "start" && s.Hint != "" {
		words = append(words, s.Hint)
	}
	return strings.Join(words, "; ")
}

// systemd is the library's name of that service manager.
const systemd = "linux-systemd"

// Install registers the service, enabled at boot, and does not start it.
func (s Service) Install() error {
	return s.do("install", func(svc service.Service) error {
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		if dir := hidden(exe); svc.Platform() == systemd && dir != "" {
			return fmt.Errorf("a service does not see %s: run `install -m 755 %s /usr/bin/`, then `/usr/bin/%s install`", dir, exe, filepath.Base(exe))
		}
		if svc.Platform() == systemd && s.Sysusers != "" {
			if err := makeUser(s.Name, s.Sysusers); err != nil {
				return err
			}
		}
		return svc.Install()
	})
}

// hidden names the folder, if any, in which the units do not find a program: homes are
// hidden from them and /tmp is one of their own. Besides, others may write there.
func hidden(exe string) string {
	for _, dir := range []string{"/home", "/root", "/run/user", "/tmp", "/var/tmp"} {
		if strings.HasPrefix(exe, dir+"/") {
			return dir
		}
	}
	return ""
}

// Uninstall stops the service and removes it; the state folder stays, and so does the system
// user, who owns it.
func (s Service) Uninstall() error {
	return s.do("uninstall", func(svc service.Service) error {
		// Also where the status is stopped: it may be stopping, or waiting for a restart.
		if err := svc.Stop(); err != nil {
			if st, why := svc.Status(); why == nil && st == service.StatusRunning {
				return err
			}
		}
		return svc.Uninstall()
	})
}

// errNotStarted: systemd skips a unit whose conditions are not met, and calls that success.
var errNotStarted = errors.New("it was not started")

// Start starts the installed service.
func (s Service) Start() error {
	return s.do("start", func(svc service.Service) error {
		if err := svc.Start(); err != nil {
			return err
		}
		if st, err := svc.Status(); svc.Platform() == systemd && err == nil && st == service.StatusStopped {
			return errNotStarted
		}
		return nil
	})
}

// Stop stops it.
func (s Service) Stop() error { return s.do("stop", service.Service.Stop) }

// Status returns what the service manager thinks: "running" or "stopped". A
// program that is being restarted counts as running, so ask the program itself too.
func (s Service) Status() (string, error) {
	svc, err := s.open(&program{})
	if err != nil {
		return "", err
	}
	st, err := svc.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return "", ErrNotInstalled
	case err != nil:
		return "", err
	case st == service.StatusRunning:
		return "running", nil
	}
	return "stopped", nil
}

// Run calls run until it returns or until the service manager, Ctrl-C or SIGTERM
// ends its context. Only the Windows service manager needs the program to speak to it.
func (s Service) Run(run func(context.Context) error) error {
	if service.Platform() == "windows-service" && !service.Interactive() {
		svc, err := s.open(&program{run: run})
		if err != nil {
			return err
		}
		return svc.Run()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx)
}
