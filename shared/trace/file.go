package trace

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// FileError is a file of Flags, or another that tells of a program's work, that cannot
// be written.
type FileError struct {
	What string // "trace file", "metrics file", "CPU profile" or such
	Path string
	Err  error
}

func (e *FileError) Error() string {
	err := e.Err
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Sprintf("write %s %s: %v", e.What, e.Path, err)
}

func (e *FileError) Unwrap() error { return e.Err }

// ExitCode is that of an output which cannot be written, or of a full disk.
func (e *FileError) ExitCode() int {
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) || errors.Is(e.Err, syscall.EIO) {
		return 74
	}
	return 73
}

// Hint says what to do.
func (e *FileError) Hint() string {
	return "name a file that can be written to, or leave the flag out"
}

// file is a client of OpenTelemetry's exporter that sends to a file: a TracesData
// object in OTLP's JSON a line, as the collector's file exporter writes them.
type file struct {
	path string

	mu  sync.Mutex
	out *os.File // nil once it is closed
	err error    // the first one
}

var _ otlptrace.Client = (*file)(nil)

// createFile makes the file, or empties it. Missing directories are made.
func createFile(path string) (*file, error) {
	out, err := create(path)
	if err != nil {
		return nil, &FileError{"trace file", path, err}
	}
	return &file{path: path, out: out}, nil
}

func create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
}

// Start implements [otlptrace.Client]; the file is open already.
func (*file) Start(context.Context) error { return nil }

// Stop implements [otlptrace.Client]. The error is the first of all that was written.
func (f *file) Stop(context.Context) error { return f.close() }

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out != nil {
		f.fail(f.out.Close())
		f.out = nil
	}
	return f.err
}

// fail remembers the first error.
func (f *file) fail(err error) {
	if f.err == nil && err != nil {
		f.err = &FileError{"trace file", f.path, err}
	}
}

// UploadTraces implements [otlptrace.Client]. What goes wrong with the file is told by
// close, and not for each batch.
func (f *file) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	line, err := encode(spans)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.out != nil && f.err == nil {
		_, err = f.out.Write(line) // at once, so that lines stay whole
	}
	f.fail(err)
	return nil
}

// encode is a line of OTLP's JSON, which differs from that of protocol buffers: enums
// are numbers, and ids hexadecimal. It changes the spans.
func encode(spans []*tracepb.ResourceSpans) ([]byte, error) {
	for _, r := range spans {
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				asHex(&s.TraceId, &s.SpanId, &s.ParentSpanId)
				for _, l := range s.Links {
					asHex(&l.TraceId, &l.SpanId)
				}
			}
		}
	}
	text, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return nil, err
	}
	// The library puts spaces where it likes, so that nobody relies on them.
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, err
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// asHex makes ids such that they come out of base64, which is what bytes are in the
// JSON of protocol buffers, as their hexadecimal digits. Sixteen and thirty-two of these
// are base64 of some bytes, since their number can be divided by four.
func asHex(ids ...*[]byte) {
	for _, id := range ids {
		if decoded, err := base64.StdEncoding.DecodeString(hex.EncodeToString(*id)); err == nil {
			*id = decoded
		}
	}
}
