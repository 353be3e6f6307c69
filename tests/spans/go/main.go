// The shop of shop.py as far as it calls others, with Go's own instrumentations: these write the
// newer conventions of RPC, which Python's do not.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type shop struct {
	stock  *grpc.ClientConn
	prices string
	web    http.Client
}

type method func(*shop, context.Context, *wrapperspb.StringValue) (string, error)

func (s *shop) quote(ctx context.Context, in *wrapperspb.StringValue) (string, error) {
	rate, err := s.fetch(ctx, "GET", "/rates/"+in.Value+"?base=1", "")
	if err != nil {
		return "", err
	}
	if _, err = s.fetch(ctx, "POST", "/quotes", rate); err != nil {
		return "", err
	}
	_, err = s.fetch(ctx, "GET", "/gone", "")
	return rate, err
}

func (s *shop) fetch(ctx context.Context, verb, path, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, verb, s.prices+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	answer, err := s.web.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	return string(all), err
}

func (s *shop) reserve(ctx context.Context, in *wrapperspb.StringValue) (string, error) {
	var out wrapperspb.StringValue
	if err := s.stock.Invoke(ctx, "/spans.v1.Stock/Take", in, &out); err != nil {
		return "", err
	}
	err := s.stock.Invoke(ctx, "/spans.v1.Stock/Audit", in, &out)
	return strings.ToUpper(status.Code(err).String()), nil
}

func (s *shop) register(server *grpc.Server) {
	one := func(name string, of method) grpc.MethodDesc {
		handle := func(
			_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
		) (any, error) {
			var in wrapperspb.StringValue
			if err := decode(&in); err != nil {
				return nil, err
			}
			out, err := of(s, ctx, &in)
			return wrapperspb.String(out), err
		}
		return grpc.MethodDesc{MethodName: name, Handler: handle}
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "spans.v1.Shop",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{one("Quote", (*shop).quote), one("Reserve", (*shop).reserve)},
	}, s)
}

func main() {
	stock := flag.String("stock", "", "HOST:PORT")
	prices := flag.String("prices", "", "URL")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		log.Fatal(err)
	}
	tracers := sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	defer tracers.Shutdown(context.Background())
	otel.SetTracerProvider(tracers)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	client, err := grpc.NewClient(*stock,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler()))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.StatsHandler(otelgrpc.NewServerHandler()))
	web := http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}
	(&shop{stock: client, prices: *prices, web: web}).register(server)
	fmt.Println("listening on", listener.Addr())
	go func() {
		<-ctx.Done()
		server.GracefulStop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Print(err)
	}
}
