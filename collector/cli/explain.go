package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"atalaya/collector/api/v1"
)

// explain adds to an error what the caller can do about it.
func (c *connection) explain(err error) error {
	var refused *v1.Error
	var network *net.OpError
	// Errors of files of the caller's own have the same causes, but no dial.
	unreached := c.local && errors.As(err, &network) && network.Op == "dial"
	switch {
	case err == nil || errors.As(err, new(usage)):
		return err
	case errors.As(err, &refused):
		return explainRefusal(err, refused.Problem.Code, c.local)
	case unreached && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot reach the collector at %s: permission denied; run as root or as the collector's user, or use --server with --token-file", c.place)
	case unreached && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)):
		return fmt.Errorf("cannot reach the collector at %s: is `atalaya serve` running? (another data folder: --socket or $ATALAYA_DATA; another machine: --server)", c.place)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the collector at %s did not answer in time: see its log", c.place)
	case isCertificateError(err):
		return fmt.Errorf("cannot trust the collector at %s: %w; add its CA to this system's trust store", c.place, err)
	case errors.As(err, &network):
		return fmt.Errorf("cannot reach the collector at %s: %w; is `atalaya serve` running there and api.listen set?", c.place, err)
	}
	return err
}

func explainRefusal(err error, code string, local bool) error {
	if code == v1.CodeUnauthorised && !local {
		return fmt.Errorf("%w; then give it with --token-file", err)
	}
	return err
}

func isCertificateError(err error) bool {
	return errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.CertificateInvalidError))
}
