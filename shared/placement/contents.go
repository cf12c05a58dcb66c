package placement

import "github.com/kaniko-suite/kaniko/shared/tree"

// Contents are the files of Source whose bytes the request will read.
func (r Request) Contents() ([]tree.Path, error) {
	s, err := newSelection(r)
	if err != nil {
		return nil, err
	}
	var files []tree.Path
	take := func(e tree.Entry) {
		if e.Node.Type == tree.File && e.Hard == "" {
			files = append(files, e.Path)
		}
	}
	if r.Parents {
		for k, err := range s.kept(r.Patterns) {
			if err != nil {
				return nil, err
			}
			take(k.Entry)
		}
		return files, nil
	}
	found, err := s.matches(r.Patterns)
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		for e, err := range s.content(m) {
			if err != nil {
				return nil, err
			}
			take(e)
		}
	}
	return files, nil
}
