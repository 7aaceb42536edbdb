package maskinporten

type lane struct{ api, consumer string }
