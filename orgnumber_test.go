package maskinporten

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseOrgNumber(t *testing.T) {
	for _, test := range []struct {
		in     string
		want   OrgNumber // empty: refused
		reason string
	}{
		{"910753614", "910753614", "as registered"},
		{"910 753 614", "910753614", "as letters print it"},
		{"910\u00a0753\u00a0614", "910753614", "as web pages print it, with no-break spaces"},
		{"0192:910753614", "910753614", "ISO 6523, in tokens"},
		{"NTRNO-910753614", "910753614", "in a virksomhetssertifikat"},
		{"991825827", "991825827", "Digdir"},
		{"310702641", "310702641", "synthetic, first digit 3"},
		{"213629158", "213629158", "synthetic, first digit 2"},
		{"974760673", "974760673", "Brønnøysundregistrene"},
		{"100000008", "100000008", "sum 3, check digit 11-3"},
		{"400000000", "", "the check digit would be 10, which is no digit"},
		{"400000001", "", "nor is the one of 10"},

		{"123456789", "", "the number of examples fails the check"},
		{"987654321", "", "and so does that one"},
		{"910753615", "", "last digit mistyped"},
		{"190753614", "", "two digits exchanged"},
		{"", "", "empty"},
		{"91075361", "", "eight digits"},
		{"9107536144", "", "ten digits"},
		{"25922947409", "", "a person"},
		{"910 753614", "", "a space in one place only"},
		{"9 1 0753614", "", "spaces elsewhere"},
		{" 910753614", "", "space in front: a mistake in a configuration file"},
		{"910753614\n", "", "line break after"},
		{"0192:0192:910753614", "", "prefix twice"},
		{"NTRNO-0192:910753614", "", "two prefixes"},
		{"0192: 910753614", "", "space after the prefix"},
		{"9908:910753614", "", "the code before 0192 is not Maskinporten's"},
		{"ntrno-910753614", "", "the prefix is in capitals"},
		{"NO910753614MVA", "", "the VAT number"},
		{"٩١٠٧٥٣٦١٤", "", "digits, but not ASCII"},
		{"910753614\x00", "", "control character"},
	} {
		got, err := ParseOrgNumber(test.in)
		require.Equal(t, test.want, got, "%q: %s", test.in, test.reason)
		if test.want != "" {
			require.NoError(t, err, "%q: %s", test.in, test.reason)
			require.Equal(t, "0192:"+string(test.want), got.ISO6523())
			continue
		}
		var field *FieldError
		require.ErrorAs(t, err, &field, "%q: %s", test.in, test.reason)
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "25922947409")
	}
	require.Empty(t, OrgNumber("").ISO6523(), "no organisation")
}

// Every number of eight digits has at most one check digit, and about one in
// eleven has none.
func TestModulus11(t *testing.T) {
	without := 0
	for prefix := 10_000_000; prefix < 10_011_000; prefix++ {
		valid := 0
		for check := range 10 {
			if modulus11(itoa9(prefix*10 + check)) {
				valid++
			}
		}
		require.LessOrEqual(t, valid, 1)
		if valid == 0 {
			without++
		}
	}
	require.InDelta(t, 1000, without, 50)
}

func itoa9(n int) string {
	digits := make([]byte, 9)
	for i := range digits {
		digits[8-i] = byte('0' + n%10)
		n /= 10
	}
	return string(digits)
}
