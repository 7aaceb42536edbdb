package apistest

import (
	"fmt"
	"strings"
	"unicode"
)

// field is a field that a GraphQL query selects, with what it selects of it.
type field struct {
	name, alias string
	arguments   map[string]any
	fields      []field
}

// parseQuery reads a query (GraphQL, October 2021) as far as clients of this API
// go: one operation with fields, aliases, and arguments that are variables or
// strings. Fragments and directives are not known here.
func parseQuery(text string, variables map[string]any) ([]field, error) {
	p := &queryParser{tokens: queryTokens(text), variables: variables}
	switch p.peek() {
	case "query":
		p.next()
		if p.peek() != "{" && p.peek() != "(" {
			p.next() // the operation's name
		}
		if p.peek() == "(" {
			if err := p.skipParentheses(); err != nil {
				return nil, err
			}
		}
	case "{":
	default:
		return nil, fmt.Errorf("a query was expected, not %q", p.peek())
	}
	fields, err := p.selection(0)
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("%q after the query", p.peek())
	}
	return fields, err
}

type queryParser struct {
	tokens    []string
	variables map[string]any
}

func (p *queryParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *queryParser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *queryParser) expect(t string) error {
	if got := p.next(); got != t {
		return fmt.Errorf("%q was expected, not %q", t, got)
	}
	return nil
}

// skipParentheses passes over what variables are declared to be.
func (p *queryParser) skipParentheses() error {
	for t := p.next(); t != ")"; t = p.next() {
		if t == "" {
			return fmt.Errorf("a ) is missing")
		}
	}
	return nil
}

const maxDepth = 20

// selection reads fields between braces.
func (p *queryParser) selection(depth int) ([]field, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels", maxDepth)
	}
	if err := p.expect("{"); err != nil {
		return nil, err
	}
	var fields []field
	for p.peek() != "}" {
		f, err := p.field(depth)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	p.next()
	if fields == nil {
		return nil, fmt.Errorf("nothing is selected")
	}
	return fields, nil
}

func (p *queryParser) field(depth int) (field, error) {
	name := p.next()
	if !isName(name) {
		return field{}, fmt.Errorf("a field was expected, not %q", name)
	}
	f := field{name: name, alias: name}
	if p.peek() == ":" {
		p.next()
		if f.name = p.next(); !isName(f.name) {
			return field{}, fmt.Errorf("a field was expected, not %q", f.name)
		}
	}
	var err error
	if p.peek() == "(" {
		if f.arguments, err = p.argumentList(); err != nil {
			return field{}, err
		}
	}
	if p.peek() == "{" {
		f.fields, err = p.selection(depth + 1)
	}
	return f, err
}

func (p *queryParser) argumentList() (map[string]any, error) {
	arguments := make(map[string]any)
	p.next()
	for p.peek() != ")" {
		name := p.next()
		if !isName(name) {
			return nil, fmt.Errorf("an argument was expected, not %q", name)
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		value := p.next()
		switch {
		case value == "$":
			arguments[name] = p.variables[p.next()]
		case strings.HasPrefix(value, `"`):
			arguments[name] = strings.Trim(value, `"`)
		case value == "null":
		default:
			return nil, fmt.Errorf("a variable or a string was expected, not %q", value)
		}
	}
	p.next()
	return arguments, nil
}

// queryTokens splits a query into names, strings and punctuation.
func queryTokens(text string) []string {
	var tokens []string
	for text != "" {
		switch c := rune(text[0]); {
		case c == ',' || unicode.IsSpace(c):
			text = text[1:]
		case c == '#':
			_, text, _ = strings.Cut(text, "\n")
		case c == '"':
			end := strings.IndexByte(text[1:], '"')
			if end < 0 {
				return append(tokens, text)
			}
			tokens, text = append(tokens, text[:end+2]), text[end+2:]
		case isNameByte(text[0]):
			n := 1
			for n < len(text) && isNameByte(text[n]) {
				n++
			}
			tokens, text = append(tokens, text[:n]), text[n:]
		default:
			tokens, text = append(tokens, text[:1]), text[1:]
		}
	}
	return tokens
}

func isName(s string) bool { return s != "" && isNameByte(s[0]) }

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// project is what the fields select of v.
func project(v any, fields []field) (any, error) {
	switch v := v.(type) {
	case []any:
		list := []any{}
		for _, item := range v {
			selected, err := project(item, fields)
			if err != nil {
				return nil, err
			}
			list = append(list, selected)
		}
		return list, nil
	case map[string]any:
		if fields == nil {
			return nil, fmt.Errorf("subfields are missing")
		}
		o := make(map[string]any)
		for _, f := range fields {
			value, ok := v[f.name]
			if !ok {
				return nil, fmt.Errorf("field '%s' is undefined", f.name)
			}
			selected, err := project(value, f.fields)
			if err != nil {
				return nil, err
			}
			o[f.alias] = selected
		}
		return o, nil
	}
	return v, nil
}
