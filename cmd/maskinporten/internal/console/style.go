package console

// Style is how a word stands out on a terminal.
type Style string

// The styles: escape sequences of ECMA-48.
const (
	Green  Style = "\x1b[32m"
	Yellow Style = "\x1b[33m"
	Red    Style = "\x1b[31m"
	Faint  Style = "\x1b[2m"
	Bold   Style = "\x1b[1m"
)

// Styled is s in a style, if Out is a terminal that shows it.
func (c *Console) Styled(style Style, s string) string {
	if !c.colour || !c.Terminal() {
		return s
	}
	return string(style) + s + "\x1b[0m"
}
