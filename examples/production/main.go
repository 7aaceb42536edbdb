// Production is a service as it is run: tokens shared in Redis, metrics for
// Prometheus, traces through the context, readiness and liveness, and logs
// without persons. docs/production.md says why each part is as it is.
//
// Its Maskinporten is a fake that misbehaves on a script, so that there is
// something to see:
//
//	redis-server --port 6399 &
//	go run . -redis localhost:6399 &
//	curl localhost:8080/metrics
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/otelmaskinporten"
	"github.com/maskinporten-go/maskinporten/redisstore"
)

func main() {
	listen := flag.String("listen", "localhost:8080", "address of /metrics, /livez and /readyz")
	redisAddr := flag.String("redis", "", "address of a Redis to share tokens in; empty for none")
	step := flag.Duration("step", 30*time.Second, "how long each part of the script lasts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *redisAddr, *step); err != nil {
		slog.Error("production", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends or the script does.
func run(ctx context.Context, listen, redisAddr string, step time.Duration) error {
	log := slog.New(withTrace{slog.NewJSONHandler(os.Stdout, nil)})
	fake := newMisbehaving()
	defer fake.Close()

	s, err := newService(fake.config(), redisAddr, log)
	if err != nil {
		return err
	}
	defer s.close()
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	defer server.Shutdown(context.WithoutCancel(ctx))

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	for _, org := range customers {
		work.Go(func() { s.workFor(ctx, org, fake.api()) })
	}
	fake.play(ctx, step, log)
	cancel()
	work.Wait()
	return nil
}

// service is the program proper.
type service struct {
	client     *maskinporten.Client
	tracers    *sdktrace.TracerProvider
	registry   *prometheus.Registry
	unregister func() error
	rdb        *redis.Client
	log        *slog.Logger
}

func newService(config maskinporten.Config, redisAddr string, log *slog.Logger) (*service, error) {
	s := &service{log: log, registry: prometheus.NewRegistry()}

	// A real program gives the provider an exporter; the ids in the logs are
	// there without one.
	s.tracers = sdktrace.NewTracerProvider()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(s.registry))
	if err != nil {
		return nil, err
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))

	config.Logger = log
	config.HTTPClient = &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport, otelhttp.WithTracerProvider(s.tracers))}
	config.Trace, err = otelmaskinporten.NewTrace(otelmaskinporten.Options{
		TracerProvider: s.tracers,
		MeterProvider:  meters,
		Environment:    config.Environment,
		Scope:          true,
	})
	if err != nil {
		return nil, err
	}
	if redisAddr != "" {
		s.rdb = redis.NewClient(&redis.Options{Addr: redisAddr, ContextTimeoutEnabled: true})
		if config.Store, err = redisstore.New(s.rdb, redisstore.Options{Logger: log}); err != nil {
			return nil, err
		}
	}
	if s.client, err = maskinporten.New(config); err != nil {
		return nil, err
	}
	s.unregister, err = otelmaskinporten.RegisterStats(meters.Meter("production"), s.client)
	return s, err
}

func (s *service) close() {
	s.unregister()
	if s.rdb != nil {
		s.rdb.Close()
	}
}

// handler serves what Kubernetes and Prometheus ask for. Readiness asks for the
// credential, not for a token: a Maskinporten that is away must not take all
// replicas out of service at once. Liveness asks nothing of others.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.client.Check(r.Context()); err != nil {
			s.log.WarnContext(r.Context(), "not ready", "error", withoutURL(err))
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	return mux
}

// workFor calls an API for one customer, again and again. Each call is a span,
// and so is what it waits for.
func (s *service) workFor(ctx context.Context, org string, api *url.URL) {
	transport, err := s.client.Transport(maskinporten.Request{Scope: scope, ConsumerOrg: org}, nil, api.Host)
	if err != nil {
		s.log.Error("no transport", "error", err)
		return
	}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	tracer := s.tracers.Tracer("production")
	for ctx.Err() == nil {
		call, span := tracer.Start(ctx, "income of a person")
		req, err := http.NewRequestWithContext(call, http.MethodGet, api.JoinPath("otp", "25922947409", "inntekter").String(), nil)
		if err == nil {
			var resp *http.Response
			if resp, err = client.Do(req); err == nil {
				resp.Body.Close()
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(call, "call failed", "error", withoutURL(err))
		}
		span.End()
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// withoutURL returns what went wrong with a call, without the URL that net/http
// puts before it: Skatteetaten's URLs hold the person.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}
