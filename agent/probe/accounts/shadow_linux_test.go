package accounts

import (
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestHiddenStatesOfPasswordsMakeUsersPartial(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"etc/passwd": "a:x:1:1::/:/bin/sh\n", "etc/group": "a:x:1:\n", "etc/shadow": "a:!:1::::::\n"})
	probetest.Deny(t, root, "etc/shadow")
	s := probetest.Sections(probe.RootHost(root), New())
	if users := s["users"]; users.Status != facts.StatusPartial || len(users.Rows) != 1 || !strings.HasPrefix(users.Reason, "states of passwords are not known") {
		t.Errorf("users: %v (%s), %d rows", users.Status, users.Reason, len(users.Rows))
	}
	if groups := s["groups"]; groups.Status != facts.StatusOK {
		t.Errorf("groups: %v (%s)", groups.Status, groups.Reason)
	}
}
