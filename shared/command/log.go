package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// The levels that slog has no name for.
const (
	levelTrace = slog.Level(-8)
	levelFatal = slog.Level(12)
	levelPanic = slog.Level(16)
)

// logFlags is how the log is to be.
type logFlags struct {
	verbosity string
	format    string
	timestamp bool
}

func (f *logFlags) bind(fs *pflag.FlagSet) {
	fs.StringVarP(&f.verbosity, "verbosity", "v", "info", "log level: panic, fatal, error, warn, info, debug or trace")
	fs.StringVar(&f.format, "log-format", "color", "log format: text, color or json; color is for terminals only")
	fs.BoolVar(&f.timestamp, "log-timestamp", false, "the time of day, not the seconds since the start, in the log's lines")
}

// parseLevel reads a level's name as kaniko spells it.
func parseLevel(name string) (slog.Level, error) {
	switch strings.ToLower(name) {
	case "panic":
		return levelPanic, nil
	case "fatal":
		return levelFatal, nil
	case "error":
		return slog.LevelError, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "trace":
		return levelTrace, nil
	}
	return 0, fmt.Errorf("--verbosity: unknown level %q", name)
}

// handler writes a log of lines: level, time, message, attributes.
//
//	INFO[0003] pulled image="debian:12"
type handler struct {
	out   *output
	attrs []slog.Attr // of WithAttrs, their keys with the groups they are in
	group string      // of WithGroup, ending in a dot
}

// output is what all handlers of one log have in common.
type output struct {
	mu        sync.Mutex
	w         io.Writer
	start     time.Time
	level     slog.Level
	colors    bool
	timestamp bool
	json      slog.Handler // nil for lines
}

func newHandler(w io.Writer) *handler {
	return &handler{out: &output{w: w, start: time.Now(), level: slog.LevelInfo}}
}

// configure makes the log as the flags say. It is called before the program logs
// from more than one goroutine.
func (h *handler) configure(f logFlags, lookup func(string) (string, bool), terminal bool) error {
	level, err := parseLevel(f.verbosity)
	if err != nil {
		return err
	}
	o := h.out
	o.level, o.timestamp, o.colors, o.json = level, f.timestamp, false, nil
	switch f.format {
	case "text":
	case "color":
		_, refused := lookup("NO_COLOR")
		o.colors = !refused && terminal
	case "json":
		o.json = slog.NewJSONHandler(o, &slog.HandlerOptions{
			Level: level,
			ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if l, ok := a.Value.Any().(slog.Level); ok && len(groups) == 0 && a.Key == slog.LevelKey {
					a.Value = slog.StringValue(levelName(l))
				}
				return a
			},
		})
	default:
		return fmt.Errorf("--log-format: unknown format %q", f.format)
	}
	return nil
}

// redirect makes the log go elsewhere.
func (h *handler) redirect(w io.Writer) {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.w = w
}

// Write writes what is one line of the log, or several.
func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(line)
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.out.level }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := slices.Clone(h.attrs)
	for _, a := range attrs {
		a.Key = h.group + a.Key
		all = append(all, a)
	}
	return &handler{h.out, all, h.group}
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &handler{h.out, h.attrs, h.group + name + "."}
}

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if h.out.json != nil {
		return h.handleJSON(ctx, r)
	}
	var b strings.Builder
	name := strings.ToUpper(levelName(r.Level))
	if h.out.colors {
		fmt.Fprintf(&b, "\x1b[%dm%s\x1b[0m", color(r.Level), name)
	} else {
		b.WriteString(name)
	}
	if h.out.timestamp {
		fmt.Fprintf(&b, "[%s] ", r.Time.Format(time.RFC3339))
	} else {
		fmt.Fprintf(&b, "[%04d] ", int(r.Time.Sub(h.out.start).Seconds()))
	}
	b.WriteString(plain(r.Message))
	for _, a := range h.attrs {
		appendAttr(&b, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.group, a)
		return true
	})
	b.WriteByte('\n')
	_, err := io.WriteString(h.out, b.String())
	return err
}

// handleJSON gives the record to slog's own handler, groups as dotted names as in
// lines.
func (h *handler) handleJSON(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	out.AddAttrs(h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		a.Key = h.group + a.Key
		out.AddAttrs(a)
		return true
	})
	return h.out.json.Handle(ctx, out)
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range value.Group() {
			appendAttr(b, group, inner)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := value.String()
	if text == "" || strings.ContainsFunc(text, needsQuotes) {
		text = strconv.Quote(text)
	}
	fmt.Fprintf(b, " %s%s=%s", group, a.Key, text)
}

func needsQuotes(r rune) bool {
	return r <= ' ' || r == '"' || r == '=' || r == 0x7f || r >= 0x80 && r < 0xa0
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	case l < levelFatal:
		return "error"
	case l < levelPanic:
		return "fatal"
	}
	return "panic"
}

func color(l slog.Level) int {
	switch {
	case l < slog.LevelInfo:
		return 37
	case l < slog.LevelWarn:
		return 36
	case l < slog.LevelError:
		return 33
	}
	return 31
}
