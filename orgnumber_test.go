package maskinporten

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseOrgNumber(t *testing.T) {
	for _, test := range []struct {
		in     string
		want   string // empty: refused
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
		{"259229 47409", "", "a person with a space"},
		{"25 92 29 474 09", "", "a person with more of them"},
		{"259229\u00a047409", "", "a person with a no-break space"},
		{"0192:25922947409", "", "a person behind a prefix"},
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
			continue
		}
		var field *FieldError
		require.ErrorAs(t, err, &field, "%q: %s", test.in, test.reason)
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "25922947409")
		require.NotContains(t, err.Error(), "47409")
		if strings.TrimSpace(test.in) != test.in {
			require.ErrorContains(t, err, "white space", "%q: %s", test.in, test.reason)
		}
	}
}

// White space is the fault: the error shows it as it stands.
func TestBadOrgNumberIsShownWithItsWhiteSpace(t *testing.T) {
	_, err := ParseOrgNumber("313367002\n")
	require.ErrorContains(t, err, `"313367002\n" is not nine digits; white space stands before or after it`)
	err = (&Request{Scope: "s", ConsumerOrg: "\t313367002"}).Validate()
	require.ErrorContains(t, err, `"\t313367002" is not an organisation number`)
	require.ErrorContains(t, err, "white space")
	err = (&Request{Scope: "s", ConsumerOrg: "259229 47409"}).Validate()
	require.NotContains(t, err.Error(), "47409")
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

func TestOrgNumberWithPrintedSpaces(t *testing.T) {
	for _, space := range []string{" ", "\u00a0", "\u202f", "\u2009"} {
		n, err := ParseOrgNumber("910" + space + "753" + space + "614")
		require.NoError(t, err, "%q", space)
		require.Equal(t, "910753614", n)
	}
	for _, dash := range []string{"-", "\u2013", "\u2010"} {
		_, err := ParseOrgNumber("123456" + dash + "78901")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "78901", "a person, however the number is written")
	}
}

func TestHostIsShownWithItsWhiteSpace(t *testing.T) {
	_, err := parseHost("api.example.no\n")
	require.ErrorContains(t, err, `"api.example.no\n" is not a host`)
	require.ErrorContains(t, err, "white space stands before or after it")
}
