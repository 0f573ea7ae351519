package telemetry

import (
	"context"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/jobs/nightly"
)

// traces make a span of every night and of each of its steps.
type traces struct {
	provider *sdk.TracerProvider
	parent   context.Context // of the scheduler's span, where it gave one
}

// newTraces goes by OpenTelemetry's variables; nil makes none.
func newTraces(ctx context.Context, lookup func(string) string, version string, log zerolog.Logger) (*traces, error) {
	if lookup("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && lookup("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" ||
		strings.EqualFold(lookup("OTEL_SDK_DISABLED"), "true") || lookup("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	// The SDK tells of its own faults, and of addresses with them, where nobody looks.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn().Str("code", "telemetry.traces").Msg(plain(err)) }))
	exporter, err := otlptracehttp.New(ctx) // reads endpoint, headers, certificates and time-out from the environment
	if err != nil {
		return nil, err
	}
	r, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "shoal"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	t := &traces{parent: context.Background(), provider: sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(r))}
	t.parent = propagation.TraceContext{}.Extract(t.parent, propagation.MapCarrier{"traceparent": lookup("TRACEPARENT"), "tracestate": lookup("TRACESTATE")})
	return t, nil
}

func (t *traces) flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }
func (t *traces) close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// A nightTrace is the span of a night.
type nightTrace struct {
	tracer trace.Tracer
	ctx    context.Context
	span   trace.Span
}

func (t *traces) begin(ctx context.Context, o nightly.Options, began time.Time) *nightTrace {
	n := &nightTrace{tracer: t.provider.Tracer("github.com/shoal-data/shoal")}
	n.ctx, n.span = n.tracer.Start(trace.ContextWithSpanContext(ctx, trace.SpanContextFromContext(t.parent)), "shoal run", trace.WithTimestamp(began),
		trace.WithAttributes(attribute.String("shoal.date", o.Date), attribute.String("shoal.job", o.Config.Monitoring.Job)))
	return n
}

func (n *nightTrace) step(name string, began, ended time.Time, err error) {
	_, span := n.tracer.Start(n.ctx, name, trace.WithTimestamp(began))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End(trace.WithTimestamp(ended))
}

func (n *nightTrace) end(s *nightly.Summary, ended time.Time, err error) {
	n.span.SetAttributes(attribute.String("shoal.status", s.Status), attribute.Int("shoal.exit_code", s.ExitCode), attribute.String("shoal.run_id", s.RunID),
		attribute.Int64("shoal.events", s.Input.Events), attribute.Int64("shoal.customers", s.Input.Customers))
	for _, v := range s.Gates {
		if v.Status != gates.OK {
			n.span.AddEvent("gate", trace.WithTimestamp(ended), trace.WithAttributes(attribute.String("gate", v.Gate), attribute.String("status", string(v.Status))))
		}
	}
	if err != nil {
		n.span.SetStatus(codes.Error, err.Error())
	}
	n.span.End(trace.WithTimestamp(ended))
}
