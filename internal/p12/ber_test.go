package p12

import (
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestToDER(t *testing.T) {
	for _, test := range []struct{ reason, ber, der, rest string }{
		{"DER stays as it is", "3003020105", "3003020105", ""},
		{"indefinite length", "30800201050000", "3003020105", ""},
		{"indefinite in indefinite", "3080308002010500000000", "30053003020105", ""},
		{"what follows is not touched", "30030201050d0a", "3003020105", "0d0a"},
		{"what follows an indefinite length", "308002010500000d0a", "3003020105", "0d0a"},
		{"octet string in pieces", "248004010104020203" + "0000", "0403010203", ""},
		{"octet string in pieces, definite length", "240704010104020203", "0403010203", ""},
		{"octet string in pieces in pieces", "2480248004010100000401020000", "04020102", ""},
		{"octet string of no pieces", "24800000", "0400", ""},
		{"what is in an octet string stays as it is", "0407308002010500" + "00", "040730800201050000", ""},
		{"explicit tag", "a08030800201050000" + "0000", "a0053003020105", ""},
		{"length longer than need be", "30840000000402810105", "3003020105", ""},
		{"high tag number", "bf8f7f8002010500" + "00", "bf8f7f03020105", ""},
		{"null is no end of contents", "308005000000", "30020500", ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			ber, err := hex.DecodeString(test.ber)
			require.NoError(t, err)
			der, rest, err := toDER(ber)
			require.NoError(t, err)
			assert.Equal(t, test.der, hex.EncodeToString(der))
			assert.Equal(t, test.rest, hex.EncodeToString(rest))
		})
	}
}

func TestToDERLongContent(t *testing.T) {
	for _, n := range []int{127, 128, 255, 256, 65535, 65536, 1 << 20} {
		want, err := asn1.Marshal([][]byte{make([]byte, n)})
		require.NoError(t, err)
		ber := append([]byte{0x30, 0x80}, want[len(want)-n-headerSize(n):]...)
		der, _, err := toDER(append(ber, 0, 0))
		require.NoError(t, err)
		assert.Equal(t, want, der, "%d bytes", n)
	}
}

func headerSize(n int) int { return len(appendLength([]byte{0x04}, n)) }

func TestToDERRefuses(t *testing.T) {
	for _, test := range []struct {
		reason, ber string
		err         error
	}{
		{"nothing", "", errTruncated},
		{"a tag alone", "30", errTruncated},
		{"a high tag number without end", "1fffff", errTruncated},
		{"content shorter than its length", "30050201", errTruncated},
		{"no end of contents", "3080020105", errTruncated},
		{"half an end of contents", "308002010500", errTruncated},
		{"indefinite length of a primitive", "04800000", errLength},
		{"a length of 2^64", "30880fffffffffffffff", errLength},
		{"a length whose octets are missing", "3084ff", errTruncated},
		{"an integer in an octet string", "24800201050000", nil},
		{"nesting without end", strings.Repeat("3080", 100), errDepth},
		{"pieces of pieces without end", strings.Repeat("2480", 100), errDepth},
	} {
		t.Run(test.reason, func(t *testing.T) {
			ber, err := hex.DecodeString(test.ber)
			require.NoError(t, err)
			_, _, err = toDER(ber)
			require.Error(t, err)
			if test.err != nil {
				assert.ErrorIs(t, err, test.err)
			}
		})
	}
}
