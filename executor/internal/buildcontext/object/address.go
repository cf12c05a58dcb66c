package object

import (
	"net/url"
	"slices"
	"strings"
)

// IsGoogles reports whether an address is gs://BUCKET/OBJECT.
func IsGoogles(u *url.URL) bool { return u.Scheme == "gs" }

// IsAmazons reports whether an address is s3://BUCKET/KEY.
func IsAmazons(u *url.URL) bool { return u.Scheme == "s3" }

// IsAzures reports whether an address is https://ACCOUNT.SUFFIX/CONTAINER/PATH with
// the suffix of one of Azure's clouds.
func IsAzures(u *url.URL) bool {
	account, cloud := AzureAccount(u)
	return u.Scheme == "https" && account != "" && cloud != ""
}

// AzureAccount is the account in the host of an address, in lower case, and the rest
// of that: the suffix of one of [AzureSuffixes], or "".
func AzureAccount(u *url.URL) (account, suffix string) {
	account, suffix, _ = strings.Cut(strings.ToLower(u.Hostname()), ".")
	if !slices.Contains(AzureSuffixes(), suffix) {
		suffix = ""
	}
	return account, suffix
}

// AzureSuffixes are where the accounts of Azure's clouds are: the public one,
// China's, Germany's and that of the government of the United States.
func AzureSuffixes() []string {
	return []string{"blob.core.windows.net", "blob.core.chinacloudapi.cn", "blob.core.cloudapi.de", "blob.core.usgovcloudapi.net"}
}
