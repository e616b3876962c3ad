package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// nixProfiles are the environments of a host: what a person has installed, not all that
// it needs.
var nixProfiles = []string{"/nix/var/nix/profiles/default", "/nix/var/nix/profiles/per-user/*/profile", "/home/*/.local/state/nix/profiles/profile", "/root/.nix-profile"}

func nixFound(h *probe.Host) bool { return exists(h, "/nix/var/nix/profiles") }

func readNix(ctx context.Context, h *probe.Host) (got found, problem error) {
	t := new(texts)
	var limits limits
	var problems probe.Problems
	byKey := make(map[string]*facts.PackageRow)
	for _, pattern := range nixProfiles {
		profiles, err := h.Glob(pattern)
		problems.Add(err)
		for _, p := range profiles {
			if err := limits.reached(ctx, &got, t); err != nil {
				problems.Add(err)
				return got, problems.Err()
			}
			got.seen = append(got.seen, look(h, p)...)
			stores, err := nixManifest(h, p)
			if err != nil {
				problems.Add(fmt.Errorf("profile %s: %w", p, err))
			}
			got.rows = addStores(got.rows, byKey, stores, p, t)
		}
	}
	if exists(h, nixSystem) {
		got.seen = append(got.seen, look(h, nixSystem)...)
		stores, err := nixPrograms(h, path.Join(nixSystem, "sw/bin"))
		problems.Add(err)
		got.rows = addStores(got.rows, byKey, stores, nixSystem, t)
	}
	return got, problems.Err()
}

func addStores(rows []facts.Row, byKey map[string]*facts.PackageRow, stores []string, profile string, t *texts) []facts.Row {
	for _, s := range stores {
		if row := nixRow(s, t); row != nil {
			rows = addLocated(rows, byKey, row, profile)
		}
	}
	return rows
}

// nixSystem is what NixOS itself consists of. It has no manifest: what is installed for all
// is what the programs in sw/bin are links to.
const nixSystem = "/nix/var/nix/profiles/system"

// nixPrograms returns the store paths of the programs in a folder.
func nixPrograms(h *probe.Host, dir string) ([]string, error) {
	entries, problem := h.ReadDir(dir)
	var out []string
	for _, e := range entries {
		target, err := h.Readlink(path.Join(dir, e.Name()))
		parts := strings.SplitN(target, "/", 5) // "", nix, store, HASH-name, what is in it
		if err == nil && len(parts) > 3 {
			out = append(out, strings.Join(parts[:4], "/"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), problem
}

// nixStore finds store paths in the manifest that nix-env writes, a Nix expression.
var nixStore = regexp.MustCompile(`outPath = "(/nix/store/[^"/]+)"`)

// nixManifest returns the store paths in a profile.
func nixManifest(h *probe.Host, profile string) ([]string, error) {
	data, err := readHead(h, path.Join(profile, "manifest.json"))
	if err == nil {
		return parseNixJSON(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	data, err = readHead(h, path.Join(profile, "manifest.nix"))
	if err != nil {
		return nil, gone(err)
	}
	return parseNixExpression(data), nil
}

func parseNixExpression(data []byte) []string {
	var out []string
	for _, m := range nixStore.FindAllSubmatch(data, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

// parseNixJSON reads versions 1 to 3, whose elements are a list or a map.
func parseNixJSON(data []byte) ([]string, error) {
	type element struct {
		Active     *bool    `json:"active"`
		StorePaths []string `json:"storePaths"`
	}
	var m struct {
		Elements json.RawMessage `json:"elements"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var list []element
	var byName map[string]element
	if json.Unmarshal(m.Elements, &list) != nil {
		if err := json.Unmarshal(m.Elements, &byName); err != nil {
			return nil, fmt.Errorf("manifest.json: %w", err)
		}
		for _, name := range sortedKeys(byName) {
			list = append(list, byName[name])
		}
	}
	var out []string
	for _, e := range list {
		if e.Active == nil || *e.Active {
			out = append(out, e.StorePaths...)
		}
	}
	return out, nil
}

// nixRow takes /nix/store/HASH-name-version apart; outputs other than the first have
// their name behind the version.
func nixRow(store string, t *texts) *facts.PackageRow {
	_, rest, ok := strings.Cut(path.Base(store), "-")
	if !ok || !strings.HasPrefix(store, "/nix/store/") {
		return nil
	}
	row := t.row()
	row.Source, row.Name, row.Version = "nix", rest, ""
	for i := 0; i+1 < len(rest); i++ { // the version begins with the first part that is no word
		if rest[i] == '-' && '0' <= rest[i+1] && rest[i+1] <= '9' {
			row.Name, row.Version = rest[:i], rest[i+1:]
			break
		}
	}
	row.Name, row.Version = text(t, []byte(row.Name)), text(t, []byte(row.Version))
	if row.Name == "" || row.Version == "" {
		return nil
	}
	return row
}
