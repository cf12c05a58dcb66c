// Package pagetest has a real browser look at pages: what it asks for, what it says,
// how it lays them out and what is hard to read of that. It is for tests.
package pagetest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Chromium is a browser that shows one page and does what it is told over two pipes
// (Chrome DevTools Protocol, --remote-debugging-pipe): messages of JSON, each with a
// zero byte behind it.
type Chromium struct {
	t       *testing.T
	in      *os.File
	session string
	waiting map[int]chan reply
	last    int

	mu     sync.Mutex
	events []event
	closed chan struct{}
}

type reply struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

type event struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// patience is how long the browser may take for one thing.
const patience = time.Minute

// Start runs Debian's Chromium until the test is over; without one the test is
// skipped.
func Start(t *testing.T) *Chromium {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium is installed (Debian package chromium-headless-shell)")
	}
	home := t.TempDir()
	theirs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{
		"--headless", "--remote-debugging-pipe", "--user-data-dir=" + filepath.Join(home, "profile"), "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		// Its sandbox does not work as root, nor in containers; what it shows here is ours.
		"--no-sandbox", "about:blank",
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.ExtraFiles = []*os.File{theirs, ours} // 3 and 4
	var said bytes.Buffer
	cmd.Stderr = &said // so that Wait waits for its children too
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	ours.Close()
	c := &Chromium{t: t, in: in, waiting: map[int]chan reply{}, closed: make(chan struct{})}
	go c.read(out)
	t.Cleanup(func() {
		c.send("", "Browser.close", nil)
		end := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer end.Stop()
		cmd.Wait()
		in.Close()
		<-c.closed
		out.Close()
		if t.Failed() {
			t.Logf("Chromium says:\n%s", said.String())
		}
	})
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	c.call("", "Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var attached struct{ SessionID string }
			c.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
			c.session = attached.SessionID
		}
	}
	if c.session == "" {
		t.Fatal("Chromium has no page")
	}
	for _, domain := range []string{"Page", "Network", "Runtime", "Log", "Accessibility"} {
		c.Do(domain+".enable", nil, nil)
	}
	return c
}

func (c *Chromium) read(out *os.File) {
	defer close(c.closed)
	r := bufio.NewReader(out)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var message struct {
			ID int `json:"id"`
			reply
			event
		}
		if json.Unmarshal(text[:len(text)-1], &message) != nil {
			continue
		}
		c.mu.Lock()
		if answer, ok := c.waiting[message.ID]; ok {
			answer <- message.reply
			delete(c.waiting, message.ID)
		} else if message.Method != "" {
			c.events = append(c.events, message.event)
		}
		c.mu.Unlock()
	}
}

func (c *Chromium) send(session, method string, params any) <-chan reply {
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.waiting[id] = answer
	c.mu.Unlock()
	message := map[string]any{"id": id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if session != "" {
		message["sessionId"] = session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = c.in.Write(append(text, 0))
	}
	if err != nil {
		c.t.Errorf("%s: %v", method, err)
	}
	return answer
}

func (c *Chromium) call(session, method string, params, result any) {
	c.t.Helper()
	select {
	case r := <-c.send(session, method, params):
		if r.Error != nil {
			c.t.Fatalf("%s: %s", method, r.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(r.Result, result); err != nil {
				c.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-c.closed:
		c.t.Fatalf("%s: Chromium has ended", method)
	case <-time.After(patience):
		c.t.Fatalf("%s: no answer in %v", method, patience)
	}
}

// Do tells the page.
func (c *Chromium) Do(method string, params, result any) {
	c.t.Helper()
	c.call(c.session, method, params, result)
}

// Open shows a file and returns when all of it is there.
func (c *Chromium) Open(path string) {
	c.t.Helper()
	c.mu.Lock()
	c.events = nil
	c.mu.Unlock()
	c.Do("Page.navigate", map[string]any{"url": "file://" + path}, nil)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var state string
		c.Eval(`location.href + " " + document.readyState`, &state)
		if state == "file://"+path+" complete" {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("open %s: %s", path, state)
		}
	}
}

// As makes the page be looked at on a screen of a width and in a colour scheme.
func (c *Chromium) As(width int, scheme string) {
	c.t.Helper()
	c.Do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	c.Do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Eval evaluates an expression of JavaScript.
func (c *Chromium) Eval(expression string, result any) {
	c.t.Helper()
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		ExceptionDetails json.RawMessage `json:"exceptionDetails"`
	}
	c.Do("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		c.t.Fatalf("evaluate: %s", r.ExceptionDetails)
	}
	if err := json.Unmarshal(r.Result.Value, result); err != nil {
		c.t.Fatalf("evaluate: %v in %s", err, r.Result.Value)
	}
}

// Happened are the events of a page since it was opened, of these methods.
func (c *Chromium) Happened(methods ...string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, e := range c.events {
		for _, m := range methods {
			if e.Method == m {
				all = append(all, m+" "+string(e.Params))
			}
		}
	}
	return all
}

// Requested are the addresses that a page asked for, without itself and what it
// contains.
func (c *Chromium) Requested(path string) []string {
	var all []string
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Method != "Network.requestWillBeSent" {
			continue
		}
		var p struct {
			Request struct{ URL string }
		}
		if err := json.Unmarshal(e.Params, &p); err != nil {
			all = append(all, fmt.Sprint(err))
		}
		if p.Request.URL != "file://"+path && !strings.HasPrefix(p.Request.URL, "data:") {
			all = append(all, p.Request.URL)
		}
	}
	return all
}

// Roles counts what the page is to those who do not see it.
func (c *Chromium) Roles() map[string]int {
	c.t.Helper()
	var tree struct {
		Nodes []struct {
			Ignored bool
			Role    struct{ Value string }
		}
	}
	c.Do("Accessibility.getFullAXTree", nil, &tree)
	count := map[string]int{}
	for _, n := range tree.Nodes {
		if !n.Ignored {
			count[n.Role.Value]++
		}
	}
	return count
}
