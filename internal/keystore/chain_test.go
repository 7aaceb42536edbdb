package keystore

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChain(t *testing.T) {
	for _, test := range []struct {
		reason string
		given  []string
		chain  []string
		err    error
	}{
		{"in order", []string{"leaf", "ca", "root"}, []string{"leaf", "ca", "root"}, nil},
		{"backwards", []string{"root", "ca", "leaf"}, []string{"leaf", "ca", "root"}, nil},
		{"the root is not needed", []string{"ca", "leaf"}, []string{"leaf", "ca"}, nil},
		{"a stray, and one of another key", []string{"stray", "otherleaf", "root", "leaf", "ca"}, []string{"leaf", "ca", "root"}, nil},
		{"all of them twice", []string{"leaf", "leaf", "ca", "ca", "root", "root"}, []string{"leaf", "ca", "root"}, nil},
		{"the other environment's CA has the same key", []string{"leaf", "prodca", "prodroot", "ca", "root"}, []string{"leaf", "ca", "root"}, nil},
		{"the old certificate beside the renewed one", []string{"expired", "leaf", "ca"}, []string{"leaf", "ca"}, nil},
		{"auth and sign of the same key", []string{"sign", "ca", "leaf"}, []string{"leaf", "ca"}, nil},
		{"the longer of two", []string{"leaf", "production", "ca"}, []string{"leaf", "ca"}, nil},
		{"no intermediate", []string{"leaf", "root"}, []string{"leaf"}, nil},
		{"only the old certificate", []string{"expired", "ca"}, nil, ErrCertificateExpired},
		{"only the coming certificate", []string{"future", "ca"}, nil, ErrCertificateNotYetValid},
		{"for signing documents", []string{"sign", "ca"}, nil, ErrUnusableKey},
		{"for encryption", []string{"enc", "ca"}, nil, ErrUnusableKey},
		{"another's certificate", []string{"otherleaf", "ca"}, nil, ErrKeyMismatch},
		{"no certificate", nil, nil, ErrNoCertificate},
	} {
		t.Run(test.reason, func(t *testing.T) {
			key, err := New(privateKey(t, "key"), certificates(t, test.given...), time.Now())
			require.ErrorIs(t, err, test.err)
			if test.err != nil {
				assert.Nil(t, key)
				return
			}
			assert.Equal(t, certificates(t, test.chain...), key.Chain)
		})
	}
}

// TestManyCertificatesOfOneName: a thousand candidates for the issuer, none of which it is, are not all tried.
func TestManyCertificatesOfOneName(t *testing.T) {
	false1 := *certificates(t, "ca")[0]
	false1.PublicKey = privateKey(t, "other").Public()
	many := slices.Repeat([]*x509.Certificate{&false1}, 1000)
	start := time.Now()
	key, err := New(privateKey(t, "key"), append(many, certificates(t, "leaf")...), time.Now())
	require.NoError(t, err)
	assert.Len(t, key.Chain, 1)
	assert.Less(t, time.Since(start), time.Second)
}
