package placement

import "github.com/kaniko-suite/kaniko/shared/tree"

// Contents are the files whose bytes a request with these patterns will read.
func Contents(src tree.FS, patterns []string) ([]tree.Path, error) {
	found, err := matches(src, patterns)
	if err != nil {
		return nil, err
	}
	var files []tree.Path
	for _, m := range found {
		for e, err := range src.Walk(m.real) {
			if err != nil {
				return nil, err
			}
			if e.Node.Type == tree.File && e.Hard == "" {
				files = append(files, e.Path)
			}
		}
	}
	return files, nil
}
