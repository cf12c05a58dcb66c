package keychain

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/google/go-containerregistry/pkg/authn"
)

// ecrHost is a private registry: the account, FIPS, the region, and the domain of one
// of Amazon's partitions, where on.* are their names for both families of addresses.
var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.` +
	`(?:amazonaws\.(?:com|com\.cn|eu)|on\.(?:aws|amazonwebservices\.com\.cn)|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)

const (
	ecrPublic = "public.ecr.aws"
	// ecrPublicRegion is the only one that hands out tokens for the public registry.
	ecrPublicRegion = "us-east-1"
)

type ecrCredentials struct {
	Options
}

// newECR is the source for Amazon's registries. A realm is a region, for a token of it
// is good for all accounts that its owner may use; or the public registry.
func newECR(o Options) source {
	e := ecrCredentials{o}
	return &cloudSource{title: "ECR", fetch: e.fetch, realm: func(host string) (string, bool) {
		if host == ecrPublic {
			return ecrPublic, true
		}
		m := ecrHost.FindStringSubmatch(host)
		if m == nil {
			return "", false
		}
		return m[2] + m[1], true
	}}
}

func (e ecrCredentials) fetch(ctx context.Context, realm string) (token, error) {
	region, fips := strings.CutSuffix(realm, "-fips")
	if realm == ecrPublic {
		region = ecrPublicRegion
	}
	load := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(region)}
	if fips {
		load = append(load, awsconfig.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if e.HTTP != nil {
		load = append(load, awsconfig.WithHTTPClient(&http.Client{Transport: e.HTTP}))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return token{}, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	owner, err := awsIdentity(ctx, c)
	if err != nil {
		return token{}, err
	}
	var t token
	if realm == ecrPublic {
		t, err = publicToken(ctx, c)
	} else {
		t, err = privateToken(ctx, c)
	}
	if err != nil {
		return token{}, err
	}
	t.from = "AWS credentials by " + owner
	return t, nil
}

// awsIdentity finds AWS credentials, and says what had them.
func awsIdentity(ctx context.Context, c aws.Config) (string, error) {
	ambient, cancel := context.WithTimeout(ctx, 2*ambientPatience)
	defer cancel()
	found, err := c.Credentials.Retrieve(ambient)
	switch {
	case err != nil && ambient.Err() != nil:
		return "", fmt.Errorf("no AWS credentials found within %v", 2*ambientPatience)
	case err != nil:
		return "", fmt.Errorf("no AWS credentials found: %w", err)
	}
	return found.Source, nil
}

func privateToken(ctx context.Context, c aws.Config) (token, error) {
	said, err := ecr.NewFromConfig(c).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return token{}, err
	}
	if len(said.AuthorizationData) == 0 {
		return token{}, errNoToken
	}
	return ecrToken(said.AuthorizationData[0].AuthorizationToken, said.AuthorizationData[0].ExpiresAt)
}

func publicToken(ctx context.Context, c aws.Config) (token, error) {
	said, err := ecrpublic.NewFromConfig(c).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil {
		return token{}, err
	}
	if said.AuthorizationData == nil {
		return token{}, errNoToken
	}
	return ecrToken(said.AuthorizationData.AuthorizationToken, said.AuthorizationData.ExpiresAt)
}

// errNoToken is an answer that does not hold what it is for.
var errNoToken = errors.New("the answer holds no token")

// ecrToken is user and password, in base64.
func ecrToken(encoded *string, until *time.Time) (token, error) {
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(encoded))
	user, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return token{}, errNoToken
	}
	return token{auth: authn.AuthConfig{Username: user, Password: password}, until: aws.ToTime(until)}, nil
}
