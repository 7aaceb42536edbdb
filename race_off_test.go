//go:build !race

package maskinporten

const raceDetector = false
