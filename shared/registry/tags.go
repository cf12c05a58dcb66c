package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
)

const (
	// maxTagList bounds one page of a list of tags, in bytes. Registries that know no
	// pages answer with all tags at once: this is about 900,000 of a cache's.
	maxTagList = 64 << 20
	// tagPage is how many tags are asked for at once, the most that ECR allows.
	tagPage = 1000
	// smallTagPage is for registries that refuse so many.
	smallTagPage = 100
	// maxTagPages bounds the pages of one list, so that a registry which never ends one
	// is found out.
	maxTagPages = 100_000
)

// Tags gives yield the tags of a repository, page by page, in the registry's order, and
// ends with the first error of it. A registry that says where the next page is may do
// so with any scheme and host, as those behind a proxy do: the list goes on where it
// began. One that says nothing after a full page is asked for what comes after the
// last. A repository that is not there is [ErrNotFound]. After an error the list is
// incomplete.
func (c *Client) Tags(ctx context.Context, repo name.Repository, yield func(tags []string) error) error {
	var ours error
	err := c.tags(ctx, repo, tagPage, func(tags []string) error {
		ours = yield(tags)
		return ours
	})
	if ours != nil {
		return ours
	}
	return c.failed("list the tags of "+repo.Name(), pull, repo, err)
}

func (c *Client) tags(ctx context.Context, repo name.Repository, size int, yield func([]string) error) error {
	query := "n=" + strconv.Itoa(size)
	var first, before []string
	linked := false
	for n := range maxTagPages {
		page, link, err := c.tagsAt(ctx, repo, query)
		if n == 0 && size > smallTagPage && status(err) == http.StatusBadRequest {
			return c.tags(ctx, repo, smallTagPage, yield)
		}
		if err != nil {
			return err
		}
		if again(before, page) || again(first, page) {
			// Pages are not known there, or nothing comes after the last and the list begins
			// anew, as go-containerregistry's does: this is what there was before.
			return nil
		}
		if n == 0 {
			first = page
		}
		if len(page) > 0 {
			if err := yield(page); err != nil {
				return err
			}
		}
		next, more := following(link)
		switch {
		case more && next == query:
			return fmt.Errorf("the page after %s is itself", excerpt(query))
		case more:
			first, before, linked = nil, nil, true
		case linked, len(page) != size:
			return nil
		default:
			before = page
			next = query[:len("n="+strconv.Itoa(size))] + "&last=" + url.QueryEscape(page[size-1])
		}
		query = next
	}
	return fmt.Errorf("%w: more than %d pages", ErrTooLarge, maxTagPages)
}

// again tells whether a page is an earlier one, or begins as that did.
func again(before, page []string) bool {
	return len(before) > 0 && (len(page) > 0 && page[0] == before[0] || slices.Contains(page, before[len(before)-1]))
}

// tagsAt is one page, and the header that says where the next one is.
func (c *Client) tagsAt(ctx context.Context, repo name.Repository, query string) ([]string, string, error) {
	raw, header, err := c.fetch(ctx, repo, "tags/list?"+query, "application/json", maxTagList)
	if err != nil {
		return nil, "", err
	}
	var said struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(raw, &said); err != nil {
		return nil, "", errors.New("the answer is no list of tags")
	}
	return said.Tags, header.Get("Link"), nil
}
