package patches

// phasedOut reports whether apt keeps this machine from an update that is offered to
// percent of all machines only: PhasedUpgrader in apt-pkg/depcache.cc seeds the C++
// generator minstd_rand with source, version and machine id and draws from 0 to 100.
func phasedOut(source, sourceVersion, machineID string, percent int) bool {
	return phaseDraw(source+"-"+sourceVersion+"-"+machineID) > percent
}

// phaseDraw is std::uniform_int_distribution<unsigned>(0, 100) over std::minstd_rand
// seeded by std::seed_seq of the string's characters, as libstdc++ computes them.
func phaseDraw(seed string) int {
	const (
		modulus = 1<<31 - 1
		factor  = 48271
		span    = modulus - 2 // of the generator: 1 to modulus-1
		scaling = span / 101
	)
	state := uint64(seedSequence(seed)) % modulus
	if state == 0 {
		state = 1
	}
	for {
		state = state * factor % modulus
		if draw := state - 1; draw < 101*scaling {
			return int(draw / scaling)
		}
	}
}

// seedSequence returns the fourth word of std::seed_seq::generate for four words
// ([rand.util.seedseq] of the C++ standard), which is what minstd_rand uses.
func seedSequence(seed string) uint32 {
	const n, t, p, q = 4, 1, 1, 2 // (n-1)/2 for n < 7; p = (n-t)/2; q = p+t
	word := [n]uint32{0x8b8b8b8b, 0x8b8b8b8b, 0x8b8b8b8b, 0x8b8b8b8b}
	s := len(seed)
	m := max(s+1, n)
	mix := func(x uint32) uint32 { return x ^ x>>27 }
	for k := range m {
		r := 1664525 * mix(word[k%n]^word[(k+p)%n]^word[(k+n-1)%n])
		add := uint32(k % n)
		switch {
		case k == 0:
			add = uint32(s)
		case k <= s:
			add += uint32(int8(seed[k-1])) // char is signed on amd64
		}
		word[(k+p)%n] += r
		word[(k+q)%n] += r + add
		word[k%n] = r + add
	}
	for k := m; k < m+n; k++ {
		r := 1566083941 * mix(word[k%n]+word[(k+p)%n]+word[(k+n-1)%n])
		sub := r - uint32(k%n)
		word[(k+p)%n] ^= r
		word[(k+q)%n] ^= sub
		word[k%n] = sub
	}
	return word[3]
}
