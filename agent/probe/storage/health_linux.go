package storage

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sgIO = 0x2285 // include/scsi/sg.h
	// nvmeAdmin is NVME_IOCTL_ADMIN_CMD (include/uapi/linux/nvme_ioctl.h).
	nvmeAdmin = 0xC0484E41
	// diskTimeout is what the kernel gives the disk, in milliseconds: we have given up by then.
	diskTimeout = 5000
)

// ATA commands (ACS-4).
const (
	ataIdentify   = 0xEC
	ataPowerMode  = 0xE5
	ataSMART      = 0xB0
	ataReadLog    = 0x2F
	smartData     = 0xD0
	smartLimits   = 0xD1
	smartStatus   = 0xDA
	statisticsLog = 0x04
)

// HealthAnswer asks a disk how it feels. It wakes no disk, changes nothing, and may hang
// for as long as the disk does.
func HealthAnswer(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if strings.HasPrefix(path, "/dev/nvme") {
		return askNVMe(fd)
	}
	return askATA(fd)
}

func askATA(fd int) ([]byte, error) {
	mode, err := ataCommand(fd, ataRequest{command: ataPowerMode}, nil)
	if err != nil {
		return nil, err
	}
	if mode.count == 0 { // standby, spun down
		return []byte{answerAsleep}, nil
	}
	out := make([]byte, 2+4*ataPage)
	out[0], out[1] = answerATA, saidNothing
	page := func(n int) []byte { return out[2+n*ataPage:][:ataPage] }
	if _, err := ataCommand(fd, ataRequest{command: ataIdentify, count: 1}, page(0)); err != nil {
		return nil, err
	}
	id, err := ParseATAIdentity(page(0))
	if err != nil || !id.SMARTEnabled {
		return out, err
	}
	if _, err := ataCommand(fd, smart(smartData), page(1)); err != nil {
		return nil, err
	}
	if _, err := ataCommand(fd, smart(smartLimits), page(2)); err != nil {
		clear(page(2)) // not every disk has them
	}
	if r, err := ataCommand(fd, smart(smartStatus), nil); err == nil {
		switch {
		case r.mid == 0x4F && r.high == 0xC2:
			out[1] = saidPassed
		case r.mid == 0xF4 && r.high == 0x2C:
			out[1] = saidFailing
		}
	}
	if id.SSD && id.Logs {
		if _, err := ataCommand(fd, ataRequest{command: ataReadLog, count: 1, low: statisticsLog, mid: 7, extended: true}, page(3)); err != nil {
			clear(page(3))
		}
	}
	return out, nil
}

// ataRequest are the registers of a command.
type ataRequest struct {
	command, feature, count, low, mid, high byte
	extended                                bool
}

// smart is a subcommand of SMART, with the key that it needs.
func smart(feature byte) ataRequest {
	return ataRequest{command: ataSMART, feature: feature, count: 1, mid: 0x4F, high: 0xC2}
}

// sgHeader is struct sg_io_hdr.
type sgHeader struct {
	interfaceID    int32
	direction      int32
	cmdLen         uint8
	maxSense       uint8
	iovecCount     uint16
	length         uint32
	data           unsafe.Pointer
	cmd            unsafe.Pointer
	sense          unsafe.Pointer
	timeout        uint32
	flags          uint32
	packID         int32
	user           unsafe.Pointer
	status         uint8
	maskedStatus   uint8
	messageStatus  uint8
	senseWritten   uint8
	hostStatus     uint16
	driverStatus   uint16
	resid          int32
	duration, info uint32
}

// ataCommand sends an ATA command in a SCSI one, ATA PASS-THROUGH (16) (SAT-4, 12.2.2): one
// page is read into data, or none when it is nil; then the registers are returned.
func ataCommand(fd int, r ataRequest, data []byte) (ataRegisters, error) {
	const read, none = 4 << 1, 3 << 1 // protocols PIO data in, no data
	cdb := [16]byte{0: 0x85, 1: read, 2: 0x0E, 4: r.feature, 6: r.count, 8: r.low, 10: r.mid, 12: r.high, 14: r.command}
	if r.extended {
		cdb[1] |= 1
	}
	var sense [32]byte
	h := sgHeader{interfaceID: 'S', direction: -3, cmdLen: 16, maxSense: 32, timeout: diskTimeout,
		cmd: unsafe.Pointer(&cdb), sense: unsafe.Pointer(&sense)}
	if data == nil {
		cdb[1], cdb[2], h.direction = none, 0x20, -1 // and tell the registers
	} else {
		h.length, h.data = uint32(len(data)), unsafe.Pointer(&data[0])
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), sgIO, uintptr(unsafe.Pointer(&h)))
	runtime.KeepAlive(data)
	if errno != 0 {
		return ataRegisters{}, errno
	}
	return ataResult(h.hostStatus, h.status, data == nil, sense[:])
}

func askNVMe(fd int) ([]byte, error) {
	identity := make([]byte, 4096)
	if err := nvmeCommand(fd, 0x06, 0, 1, identity); err != nil { // Identify, of the controller
		return nil, fmt.Errorf("identify: %w", err)
	}
	out := make([]byte, 1+2*ataPage)
	out[0] = answerNVMe
	copy(out[1:1+ataPage], identity)
	const all, numbered = 0xFFFFFFFF, (ataPage/4 - 1) << 16
	if err := nvmeCommand(fd, 0x02, all, 0x02|numbered, out[1+ataPage:]); err != nil { // Get Log Page
		return nil, fmt.Errorf("health log: %w", err)
	}
	return out, nil
}

// nvmeRequest is struct nvme_passthru_cmd.
type nvmeRequest struct {
	opcode, flags     uint8
	_                 uint16
	namespace         uint32
	_, _              uint32
	metadata, address uint64
	metadataLen       uint32
	length            uint32
	dword10           uint32
	_                 [5]uint32
	timeout, result   uint32
}

func nvmeCommand(fd int, opcode uint8, namespace, dword10 uint32, data []byte) error {
	r := nvmeRequest{opcode: opcode, namespace: namespace, address: uint64(uintptr(unsafe.Pointer(&data[0]))),
		length: uint32(len(data)), dword10: dword10, timeout: diskTimeout}
	var pin runtime.Pinner // the address stands in a number, which keeps nothing in its place
	pin.Pin(&data[0])
	defer pin.Unpin()
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), nvmeAdmin, uintptr(unsafe.Pointer(&r)))
	if errno != 0 {
		return errno
	}
	if status != 0 {
		return errors.New("controller refused")
	}
	return nil
}
