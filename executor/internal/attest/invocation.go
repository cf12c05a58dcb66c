package attest

import (
	"net/url"
	"strings"
)

// Invocation is the address of the run of a CI system that this build is part of, by what
// the system says in the environment; empty if none does.
func Invocation(getenv func(string) string) string {
	if server, repo, run := getenv("GITHUB_SERVER_URL"), getenv("GITHUB_REPOSITORY"), getenv("GITHUB_RUN_ID"); server != "" && repo != "" && run != "" {
		at := server + "/" + repo + "/actions/runs/" + run
		if attempt := getenv("GITHUB_RUN_ATTEMPT"); attempt != "" {
			at += "/attempts/" + attempt
		}
		return plain(at)
	}
	if at, id := getenv("BUILDKITE_BUILD_URL"), getenv("BUILDKITE_JOB_ID"); at != "" && id != "" {
		return plain(at + "#" + id)
	}
	if server, project, id := getenv("SYSTEM_TEAMFOUNDATIONCOLLECTIONURI"), getenv("SYSTEM_TEAMPROJECT"), getenv("BUILD_BUILDID"); server != "" && project != "" && id != "" {
		return plain(strings.TrimSuffix(server, "/") + "/" + url.PathEscape(project) + "/_build/results?buildId=" + url.QueryEscape(id))
	}
	// GitLab, CircleCI, Drone and Woodpecker, Jenkins.
	for _, name := range []string{"CI_JOB_URL", "CIRCLE_BUILD_URL", "DRONE_BUILD_LINK", "CI_PIPELINE_FORGE_URL", "BUILD_URL"} {
		if at := getenv(name); at != "" {
			return plain(at)
		}
	}
	return ""
}

// plain is an address on the web without user and password; empty if it is none.
func plain(at string) string {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	u.User = nil
	return u.String()
}
