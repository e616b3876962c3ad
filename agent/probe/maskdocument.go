package probe

import "strings"

// hideDocuments hides the here-documents of a line, the first of which may begin at. They are
// what a program reads, passwords among it: mysql <<EOF. Where newlines were lost, a document
// is all that follows up to the word that closes it.
func hideDocuments(line string, at int) string {
	var b strings.Builder
	for {
		from, closing := documentAt(line[at:])
		if closing == "" {
			b.WriteString(line)
			return b.String()
		}
		body, sign := at+from, " "
		newline := strings.IndexByte(line[body:], '\n')
		if newline >= 0 {
			head := line[body : body+newline]
			for more, word := documentAt(head); word != ""; more, word = documentAt(head) {
				head, closing = head[more:], word // a <<A <<B ends with B's
			}
			body, sign = body+newline+1, ""
		}
		end := body + documentEnd(line[body:], closing, newline >= 0)
		b.WriteString(line[:body])
		if strings.TrimSpace(line[body:end]) != "" {
			b.WriteString(sign + Masked)
			if end < len(line) {
				b.WriteByte(line[end-1]) // what stands before the closing word
			}
		}
		line, at = line[end:], 0
	}
}

// documentAt finds the operator of a here-document: <<EOF, <<-'EOF', << EOF. from is behind the
// word that closes it; that is empty if there is none.
func documentAt(s string) (from int, closing string) {
	for i := 0; ; {
		next := strings.Index(s[i:], "<<")
		if next < 0 {
			return 0, ""
		}
		i += next + 2
		if strings.HasPrefix(s[i:], "<") { // <<< is a text
			i++
			continue
		}
		start := i
		for start < len(s) && strings.IndexByte("- \t\"'\\", s[start]) >= 0 {
			start++
		}
		end := start
		for end < len(s) && isNameByte(s[end]) {
			end++
		}
		if end == start || s[start] >= '0' && s[start] <= '9' { // 1 << 2 is a shift
			i = end
			continue
		}
		for from = end; from < len(s) && strings.IndexByte("\"'\\", s[from]) >= 0; {
			from++
		}
		return from, s[start:end]
	}
}

// documentEnd is where the word stands that closes a document, at the beginning of a line if
// there are lines. A quote or a bracket may follow it, as in sh -c "...".
func documentEnd(s, closing string, lines bool) int {
	for i := 0; i < len(s); {
		if isBlank(s[i]) {
			i++
			continue
		}
		word := i
		for i < len(s) && !isBlank(s[i]) {
			i++
		}
		if strings.Trim(s[word:i], "\"'\\();`") == closing && (!lines || word == 0 || s[word-1] != ' ') {
			return word
		}
	}
	return len(s)
}
