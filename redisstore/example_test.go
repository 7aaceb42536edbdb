package redisstore_test

import (
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/redisstore"
)

// Every replica does the same; the first that needs a token fetches it.
func Example() {
	rdb := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs:                 []string{"redis:6379"},
		Username:              "app",
		ContextTimeoutEnabled: true, // see New
	})
	defer rdb.Close()
	store, err := redisstore.New(rdb, redisstore.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	config := maskinporten.Config{Environment: maskinporten.Test}
	_ = store // config.Store = store, and maskinporten.New(config)
	fmt.Println(config.Environment.Issuer)
	// Output: https://test.maskinporten.no/
}
