package main

import (
	"maps"
	"slices"

	"github.com/maskinporten-go/maskinporten/apis"
)

// apiByName are the APIs that the library knows, as the command line names them.
var apiByName = map[string]apis.API{
	"skatteetaten-inntekt":                apis.SkatteetatenInntekt,
	"skatteetaten-inntektsmottakere":      apis.SkatteetatenInntektsmottakere,
	"skatteetaten-tjenestepensjonsavtale": apis.SkatteetatenTjenestepensjonsavtale,
	"nav-aareg-otp":                       apis.NAVAaregOTP,
}

func apiNames() []string { return slices.Sorted(maps.Keys(apiByName)) }
