package ingest

import (
	"context"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/wire"
)

// serveEnrolment answers one request for a certificate and ends the connection.
func (s *Server) serveEnrolment(ctx context.Context, conn *quic.Conn) {
	select {
	case s.enrolling <- struct{}{}:
		defer func() { <-s.enrolling }()
	default:
		s.refuse(conn, &Refusal{Code: wire.CodeOverload, Reason: "too many enrolments at once"})
		return
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	if err := s.enroll(ctx, conn); err != nil {
		if conn.Context().Err() == nil && ctx.Err() == nil {
			s.refuse(conn, s.refusalOf(err, [8]byte{}))
		}
	}
	conn.CloseWithError(quic.ApplicationErrorCode(wire.CodeNone), "")
}

func (s *Server) enroll(ctx context.Context, conn *quic.Conn) error {
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		return err
	}
	if err := stream.SetDeadline(time.Now().Add(enrolTimeout)); err != nil {
		return err
	}
	t, payload, err := wire.NewReader(stream, wire.ControlLimits()).Next()
	if err != nil {
		return err
	}
	if t != wire.TypeEnrollRequest {
		return &Refusal{Code: wire.CodeProtocol, Reason: "want EnrollRequest, not " + t.String()}
	}
	request, err := wire.DecodeEnrollRequest(payload)
	if err != nil {
		return err
	}
	reply := s.cfg.Enroller.Enroll(ctx, request, remoteAddr(conn))
	if reply.Code != wire.CodeNone {
		s.counters.refused(reply.Code)
	}
	if _, err := stream.Write(wire.AppendMessage(nil, wire.TypeEnrollReply, wire.AppendEnrollReply(nil, reply))); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	// The agent closes when it has the reply; closing first could overtake it.
	select {
	case <-conn.Context().Done():
	case <-ctx.Done():
	}
	return nil
}

// remoteAddr returns the agent's address as the packets show it.
func remoteAddr(conn *quic.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
