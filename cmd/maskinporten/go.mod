module github.com/maskinporten-go/maskinporten/cmd/maskinporten

go 1.26.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/maskinporten-go/maskinporten v0.0.0
	github.com/spf13/cobra v1.10.2
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.50.0
	golang.org/x/term v0.48.0
	software.sslmate.com/src/go-pkcs12 v0.7.4
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
)

replace github.com/maskinporten-go/maskinporten => ../..
