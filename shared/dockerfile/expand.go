package dockerfile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Lookup finds the value of a variable.
type Lookup func(name string) (value string, ok bool)

// Expander expands variables in the words of instructions, and takes quotes and
// escapes off, as the Dockerfile language has it: $a, ${a}, ${a:-b}, ${a:+b},
// ${a:?message} and the same without colon, ${a#p}, ${a##p}, ${a%p}, ${a%%p},
// ${a/p/r} and ${a//p/r}.
type Expander struct{ escape rune }

// Expander is the one for f's escape character.
func (f *File) Expander() Expander { return Expander{escape: f.Escape} }

// Word expands one word. unset are the variables in it that have no value, sorted.
func (x Expander) Word(word string, vars Lookup) (text string, unset []string, err error) {
	if !strings.ContainsAny(word, "$'\""+string(x.escape)) {
		return word, nil, nil
	}
	r, err := process(shell.NewLex(x.escape), word, vars)
	return r.Result, names(r.Unmatched), err
}

// Words expands a word that may become several: a variable's value is split at
// white space unless it stands in quotes.
func (x Expander) Words(word string, vars Lookup) (words, unset []string, err error) {
	r, err := process(shell.NewLex(x.escape), word, vars)
	return r.Words, names(r.Unmatched), err
}

// Text expands variables in the body of a heredoc. Quotes mean nothing there,
// and the escape character is always the backslash.
func (x Expander) Text(text string, vars Lookup) (_ string, unset []string, err error) {
	lex := shell.NewLex('\\')
	lex.SkipProcessQuotes = true
	r, err := process(lex, text, vars)
	return r.Result, names(r.Unmatched), err
}

func process(lex *shell.Lex, word string, vars Lookup) (shell.ProcessWordResult, error) {
	if !isText(word) {
		return shell.ProcessWordResult{}, fmt.Errorf("expand %q: %w", word, ErrNotText)
	}
	r, err := lex.ProcessWordWithMatches(word, getter{vars})
	if err != nil {
		// What the lexer wraps around the cause repeats the word.
		for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
			err = inner
		}
		if strings.ContainsRune(err.Error(), utf8.RuneError) {
			err = errMissingBrace // the lexer prints its end-of-text mark as the modifier
		}
		return shell.ProcessWordResult{}, fmt.Errorf("expand %q: %w", word, err)
	}
	return r, nil
}

func names(set map[string]struct{}) []string { return slices.Sorted(maps.Keys(set)) }

// getter is a Lookup for the lexer.
type getter struct{ get Lookup }

func (g getter) Get(name string) (string, bool) { return g.get(name) }

// Keys is for suggestions only, which the lexer itself does not make.
func (getter) Keys() []string { return nil }

// ErrNotText says that something is no text: its bytes are not UTF-8, or one is NUL.
var ErrNotText = errors.New("not UTF-8 text")

var errMissingBrace = errors.New("syntax error: missing '}'")

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
