package patches

import "strings"

// masked stands for what is not told.
const masked = "***"

// maskURI hides what a URI may hold of secrets: user and password, and the values of a
// query, where repositories put tokens.
func maskURI(uri string) string {
	if i := strings.Index(uri, "://"); i >= 0 {
		host, path, slash := strings.Cut(uri[i+3:], "/")
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			host = masked + host[at:]
		}
		if slash {
			host += "/" + path
		}
		uri = uri[:i+3] + host
	}
	if before, query, ok := strings.Cut(uri, "?"); ok {
		parts := strings.Split(query, "&")
		for i, p := range parts {
			if name, _, ok := strings.Cut(p, "="); ok {
				parts[i] = name + "=" + masked
			} else {
				parts[i] = masked
			}
		}
		uri = before + "?" + strings.Join(parts, "&")
	}
	return uri
}
