package installers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
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
}

// ErrNotInstalled is returned by Status, Start and Stop for an unknown service.
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
	switch {
	case err == nil:
		return nil
	case errors.Is(err, service.ErrNotInstalled):
		return fmt.Errorf("%s %s: %w (run the install command first)", verb, s.Name, ErrNotInstalled)
	case errors.Is(err, fs.ErrPermission) || os.Geteuid() > 0:
		return fmt.Errorf("%s service %s: %w (run as root)", verb, s.Name, err)
	case strings.Contains(err.Error(), "already exists"):
		return fmt.Errorf("%s service %s: it is installed already (run the uninstall command first to replace it)", verb, s.Name)
	}
	return fmt.Errorf("%s service %s through %s: %w", verb, s.Name, svc.Platform(), err)
}

// Install registers the service, enabled at boot, and does not start it.
func (s Service) Install() error { return s.do("install", service.Service.Install) }

// Uninstall stops the service and removes it; the state folder stays.
func (s Service) Uninstall() error {
	return s.do("uninstall", func(svc service.Service) error {
		if st, err := svc.Status(); err == nil && st == service.StatusRunning {
			if err := svc.Stop(); err != nil {
				return err
			}
		}
		return svc.Uninstall()
	})
}

// Start starts the installed service.
func (s Service) Start() error { return s.do("start", service.Service.Start) }

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
