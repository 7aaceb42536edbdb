package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/maskinporten-go/maskinporten"
)

// remedy prints the command that the library's error prints for a file that it does not take.
func remedy(file, password string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.HasSuffix(file, ".pem") {
		_, err = maskinporten.LoadPEM(data)
	} else {
		_, err = maskinporten.LoadPKCS12(data, password)
	}
	if err == nil {
		return errors.New("it loads")
	}
	parts := strings.Split(err.Error(), "`")
	if len(parts) != 3 {
		return fmt.Errorf("no command in the error: %w", err)
	}
	fmt.Println(parts[1])
	return nil
}
