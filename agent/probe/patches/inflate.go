package patches

import (
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"

	"atalaya/agent/probe"
)

// maxWindow bounds the memory that inflating a file may ask for: that of `xz -9` and
// of `zstd --ultra -22 --long=26`.
const maxWindow = 64 << 20

// openInflated opens a file and inflates it as its name says; an extension that is no
// compression's is read as it is.
func openInflated(h *probe.Host, name string) (io.ReadCloser, error) {
	f, err := h.Open(name)
	if err != nil {
		return nil, err
	}
	r, err := inflate(f, path.Ext(name))
	if err != nil {
		f.Close() // read only: nothing can be lost
		return nil, err
	}
	return closer{r, func() error {
		if z, ok := r.(*zstd.Decoder); ok {
			z.Close()
		}
		return f.Close()
	}}, nil
}

func inflate(f io.Reader, ext string) (io.Reader, error) {
	switch ext {
	case ".lz4":
		return newLZ4Reader(f), nil
	case ".gz":
		return gzip.NewReader(f)
	case ".bz2":
		return bzip2.NewReader(f), nil
	case ".xz":
		return xz.NewReader(f, maxWindow)
	case ".zst":
		return zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderLowmem(true))
	case ".zck", ".lzma", ".sqlite":
		return nil, fmt.Errorf("%s files are not read: %w", ext, errors.ErrUnsupported)
	}
	return f, nil
}

type closer struct {
	io.Reader
	close func() error
}

func (c closer) Close() error { return c.close() }
