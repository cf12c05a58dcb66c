package clouds

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

// ecrPublicRegion is the only one that hands out tokens for the public registry.
const ecrPublicRegion = "us-east-1"

type ecrCredentials struct {
	keychain.Options
}

func (e ecrCredentials) fetch(ctx context.Context, realm string) (keychain.Token, error) {
	region, fips := strings.CutSuffix(realm, "-fips")
	if realm == keychain.ECRPublic {
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
		return keychain.Token{}, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	owner, err := awsIdentity(ctx, c)
	if err != nil {
		return keychain.Token{}, err
	}
	var t keychain.Token
	if realm == keychain.ECRPublic {
		t, err = publicToken(ctx, c)
	} else {
		t, err = privateToken(ctx, c)
	}
	if err != nil {
		return keychain.Token{}, err
	}
	t.From = "AWS credentials by " + owner
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

func privateToken(ctx context.Context, c aws.Config) (keychain.Token, error) {
	said, err := ecr.NewFromConfig(c).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return keychain.Token{}, err
	}
	if len(said.AuthorizationData) == 0 {
		return keychain.Token{}, errNoToken
	}
	return ecrToken(said.AuthorizationData[0].AuthorizationToken, said.AuthorizationData[0].ExpiresAt)
}

func publicToken(ctx context.Context, c aws.Config) (keychain.Token, error) {
	said, err := ecrpublic.NewFromConfig(c).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil {
		return keychain.Token{}, err
	}
	if said.AuthorizationData == nil {
		return keychain.Token{}, errNoToken
	}
	return ecrToken(said.AuthorizationData.AuthorizationToken, said.AuthorizationData.ExpiresAt)
}

// errNoToken is an answer that does not hold what it is for.
var errNoToken = errors.New("the answer holds no token")

// ecrToken is user and password, in base64.
func ecrToken(encoded *string, until *time.Time) (keychain.Token, error) {
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(encoded))
	user, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return keychain.Token{}, errNoToken
	}
	return keychain.Token{Auth: authn.AuthConfig{Username: user, Password: password}, Until: aws.ToTime(until)}, nil
}
