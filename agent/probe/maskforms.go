package probe

import "strings"

// maskUserInfo hides the passwords in scheme://user:password@host, of which a word may hold
// more than one, and in what looks like it: netroot=iscsi:user:password@host (dracut.cmdline(7)).
func maskUserInfo(w string) string {
	at := strings.IndexByte(w, '@')
	if at < 0 {
		return maskEncoded(w)
	}
	i := strings.Index(w, "://")
	if i < 0 || at < i {
		if colon := strings.IndexByte(w[:at], ':'); colon >= 0 {
			end := len(w)
			if i >= 0 {
				end = i
			}
			at = strings.LastIndexByte(w[:end], '@')
			if at != colon+1 && isHost(w[at+1:]) {
				w = w[:colon+1] + Masked + w[at:]
			}
		}
	}
	for from := 0; ; {
		i = strings.Index(w[from:], "://")
		if i < 0 {
			return w
		}
		i += from
		from = i + 3
		if start, end := userInfo(w, i); start < end {
			w = w[:start] + Masked + w[end:]
			from = start
		}
	}
}

// maskEncoded hides the user and password of an address that is the value of another's
// parameter: ?next=https%3A%2F%2Fuser%3Apassword%40host.
func maskEncoded(w string) string {
	start := max(strings.LastIndex(w, "%2F%2F"), strings.LastIndex(w, "%2f%2f")) + len("%2F%2F")
	if at := strings.LastIndex(w, "%40"); at > start && start >= len("%2F%2F") && strings.IndexByte(w[start:at], '/') < 0 {
		return w[:start] + Masked + w[at:]
	}
	return w
}

// userInfo is where in w the secret before the host is, of the address whose scheme ends at i.
// start is end if there is none.
func userInfo(w string, i int) (start, end int) {
	start = i + 3
	at := strings.LastIndexByte(w[start:], '@') + start
	if at < start {
		return 0, 0
	}
	if end := strings.IndexAny(w[start:], "/?#"); end >= 0 {
		if in := strings.LastIndexByte(w[start:start+end], '@'); in >= 0 {
			at = start + in
		} else if _, port, _ := strings.Cut(w[start:start+end], ":"); strings.Trim(port, "0123456789") == "" {
			return 0, 0 // the @ is in the path
		}
	}
	user, password, ok := strings.Cut(w[start:at], ":")
	switch {
	case (password == "" || password == "x-oauth-basic") && strings.HasSuffix(strings.TrimSuffix(w[:i], "s"), "http") && likeToken(user):
		return start, start + len(user) // https://TOKEN@host, TOKEN:@, TOKEN:x-oauth-basic@
	case ok && (user == "" || password != ""):
		return start + len(user) + 1, at
	case !ok && len(user) >= 16 && strings.ContainsAny(user, "0123456789"): // a key in the place of the user
		return start, at
	}
	return 0, 0
}

// likeToken tells a token from the name of a user: it has digits or capitals.
func likeToken(user string) bool {
	return len(user) >= 20 || len(user) >= 6 && user != "oauth2" && strings.ContainsAny(user, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

// isHost tells what may follow user:password@ from versions and digests, which follow a
// name with a colon too: npm:left-pad@1.3.0, nginx:1.25@sha256:...
func isHost(s string) bool {
	if strings.HasPrefix(s, "sha256:") || s == "" {
		return false
	}
	digits := strings.TrimPrefix(s, "v")
	end := len(digits) - len(strings.TrimLeft(digits, "0123456789."))
	return end == 0 || strings.Count(digits[:end], ".") == 3
}

// hooks are addresses whoever knows them may post to: what follows is the secret.
var hooks = [...]string{
	"hooks.slack.com/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "api.telegram.org/bot", "webhook.office.com/",
	"hooks.zapier.com/hooks/", "outlook.office.com/webhook/", "chat.googleapis.com/v1/spaces/",
}

func maskHook(w string) string {
	i := strings.Index(w, "://")
	if i < 0 {
		return w
	}
	for _, h := range hooks {
		if at := strings.Index(w[i:], h); at >= 0 && len(w) > i+at+len(h) {
			return w[:i+at+len(h)] + Masked
		}
	}
	return w
}

// form is a kind of key that can be told by how it begins and its least length.
type form struct {
	prefix string
	least  int
}

var forms = [...]form{
	{"AKIA", 20}, {"ASIA", 20}, {"ghp_", 20}, {"gho_", 20}, {"ghs_", 20}, {"ghu_", 20}, {"ghr_", 20}, {"github_pat_", 30}, {"glpat-", 20},
	{"gldt-", 20}, {"glrt-", 20}, {"xoxb-", 20}, {"xoxp-", 20}, {"xoxa-", 20}, {"xoxr-", 20}, {"xoxs-", 20}, {"xapp-", 20}, {"sk_live_", 20},
	{"sk_test_", 20}, {"rk_live_", 20}, {"sk-", 24}, {"AIza", 35}, {"eyJ", 30}, {"hvs.", 20}, {"hvb.", 20}, {"npm_", 30}, {"pypi-", 30},
	{"dop_v1_", 30}, {"SG.", 40}, {"ya29.", 20}, {"hf_", 30}, {"shpat_", 30}, {"dckr_pat_", 20}, {"AGE-SECRET-KEY-", 30}, {"whsec_", 20},
}

// leastForm is the least length of all of them.
const leastForm = 20

// maskForms hides keys that stand without a name.
func maskForms(w string) string {
	if len(w) < leastForm {
		return w
	}
	for i := 0; i < len(w); {
		if !isNameByte(w[i]) {
			i++
			continue
		}
		end := i
		for end < len(w) && isNameByte(w[end]) {
			end++
		}
		if end-i >= leastForm {
			for _, f := range forms {
				if end-i >= f.least && w[i] == f.prefix[0] && strings.HasPrefix(w[i:end], f.prefix) {
					return w[:i] + Masked + maskForms(w[end:])
				}
			}
		}
		i = end
	}
	return w
}
