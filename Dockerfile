# The images of `make images`, for those who prefer docker: docker build --build-arg SERVICE=fanout -t fanout .
ARG GO=golang:1.26
ARG BASE=gcr.io/distroless/static-debian12:nonroot

FROM ${GO} AS build
ARG SERVICE
WORKDIR /src
COPY . .
RUN test -n "${SERVICE}" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o /out/service "./services/${SERVICE}/cmd/${SERVICE}"

FROM ${BASE}
COPY --from=build /out/service /service
USER 65532
ENTRYPOINT ["/service"]
