package probe

import "golang.org/x/sys/unix"

// pollChanged asks whether the kernel announced a change of the file since it was
// opened or last asked, as it does for the tables of mounts (proc_pid_mounts(5)).
func (f *File) pollChanged() bool {
	f.poll[0] = unix.PollFd{Fd: int32(f.f.Fd()), Events: unix.POLLPRI}
	n, err := unix.Poll(f.poll[:], 0)
	return err != nil || n > 0
}

type pollFds [1]unix.PollFd // in File, so that asking does not allocate
